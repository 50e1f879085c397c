//! The secret part of a rotate link: derived, so that it can be shown again without being stored.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::secrets;
use crate::shop::Shop;
use crate::types::SubscriptionId;

/// Bytes of a token: 144 bits, 24 characters.
const TOKEN_BYTES: usize = 18;

/// A subscription's token. Another version gives another token and voids the earlier ones.
pub(crate) fn token(shop: &Shop, subscription: &SubscriptionId, version: i64) -> String {
    derive(&shop.derived_key("rotate link"), subscription, version)
}

fn derive(key: &[u8; 32], subscription: &SubscriptionId, version: i64) -> String {
    // The id has a fixed length, so no two pairs of id and version give the same bytes.
    let mut message = subscription.as_str().as_bytes().to_vec();
    message.extend_from_slice(&version.to_be_bytes());
    let full = secrets::keyed_hash(key, &message);
    let token: [u8; TOKEN_BYTES] = std::array::from_fn(|index| full[index]);
    URL_SAFE_NO_PAD.encode(token)
}

/// What is stored of a token, to find its subscription by.
pub(crate) fn token_hash(token: &str) -> Vec<u8> {
    secrets::hash(token.as_bytes()).to_vec()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test's broken assumption should stop it")]
mod tests {
    use super::*;

    #[test]
    fn a_token_depends_on_key_subscription_and_version_and_on_nothing_else() {
        let one: SubscriptionId = "a".repeat(24).parse().unwrap();
        let other: SubscriptionId = "b".repeat(24).parse().unwrap();
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
