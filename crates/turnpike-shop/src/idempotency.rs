//! Idempotency-Key: the first answer to a key is given again, and nothing is charged twice.

/// A key and what it came with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// 1 to 255 printable ASCII characters, checked at the edge.
    pub key: String,
    /// SHA-256 of the operation and the request's body, so that the same key with another body is noticed.
    pub request_hash: [u8; 32],
}
