//! Secrets at rest: the master key, sealing of what must be shown again, hashing of what must not.

/// The key under which proxy credentials, exits' specifications and remembered answers are sealed. 256 bits, in a file of
/// the operator's, never in the database.
pub struct MasterKey {
    // S1
}
