//! The secret part of a rotate link: derived, so that it can be shown again without being stored.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::secrets;
use crate::shop::Shop;
use crate::types::{LinkId, SubscriptionId};

/// Bytes of a token: 144 bits, 24 characters.
const TOKEN_BYTES: usize = 18;

/// The token of a subscription's own link. Another version gives another token and voids the earlier ones.
pub(crate) fn own_token(shop: &Shop, subscription: &SubscriptionId, version: i64) -> String {
    derive(&shop.derived_key("rotate link"), subscription.as_str(), version)
}

/// The same of a named link.
pub(crate) fn named_token(shop: &Shop, link: &LinkId, version: i64) -> String {
    derive(&shop.derived_key("named link"), link.as_str(), version)
}

fn derive(key: &[u8; 32], id: &str, version: i64) -> String {
    // Ids have a fixed length, so no two pairs of id and version give the same bytes.
    let mut message = id.as_bytes().to_vec();
    message.extend_from_slice(&version.to_be_bytes());
    let full = secrets::keyed_hash(key, &message);
    let token: [u8; TOKEN_BYTES] = std::array::from_fn(|index| full[index]);
    URL_SAFE_NO_PAD.encode(token)
}

/// What is stored of a token, to find its link by.
pub(crate) fn token_hash(token: &str) -> Vec<u8> {
    secrets::hash(token.as_bytes()).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_depends_on_key_id_and_version_and_on_nothing_else() {
        let (one, other) = ("a".repeat(24), "b".repeat(24));
        let token = derive(&[7; 32], &one, 1);
        assert_eq!(token.len(), 24);
        assert!(
            token
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        );
        assert_eq!(token, derive(&[7; 32], &one, 1));
        assert_ne!(token, derive(&[8; 32], &one, 1));
        assert_ne!(token, derive(&[7; 32], &other, 1));
        assert_ne!(token, derive(&[7; 32], &one, 2));
    }
}
