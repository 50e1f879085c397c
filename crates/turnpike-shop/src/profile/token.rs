//! The secret part of a subscription URL: whose it is, and a seal over that which nobody without the master key can make.
//!
//! Because it names its owner, nothing of it is stored and nothing is looked up by it: what was sold before there were such URLs
//! has one without a row being written, and a stolen database opens none.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::secrets;
use crate::shop::Shop;
use crate::types::{AccountId, ID_LENGTH, SubscriptionId};

/// Bytes of the seal: 144 bits, 24 characters.
const SEAL_BYTES: usize = 18;
const SEAL_LENGTH: usize = SEAL_BYTES / 3 * 4;

/// Who has a subscription URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A subscription.
    Subscription(SubscriptionId),
    /// An account.
    Account(AccountId),
}

impl Owner {
    fn letter(&self) -> char {
        match self {
            Self::Subscription(_) => 's',
            Self::Account(_) => 'a',
        }
    }

    fn id(&self) -> &str {
        match self {
            Self::Subscription(id) => id.as_str(),
            Self::Account(id) => id.as_str(),
        }
    }
}

/// An owner's token. Another version gives another one.
pub(super) fn of(shop: &Shop, owner: &Owner, version: i64) -> String {
    write(&shop.derived_key("subscription url"), owner, version)
}

fn write(key: &[u8; 32], owner: &Owner, version: i64) -> String {
    let named = format!("{}{}", owner.letter(), owner.id());
    // The letter and the id have fixed lengths, so no two owners and versions give the same bytes.
    let mut message = named.clone().into_bytes();
    message.extend_from_slice(&version.to_be_bytes());
    let full = secrets::keyed_hash(key, &message);
    let seal: [u8; SEAL_BYTES] = std::array::from_fn(|index| full[index]);
    named + &URL_SAFE_NO_PAD.encode(seal)
}

/// Whom a token names, where it can be one at all. Its seal is still to be compared.
pub(super) fn read(token: &str) -> Option<Owner> {
    let (letter, rest) = token.split_at_checked(1)?;
    let (id, seal) = rest.split_at_checked(ID_LENGTH)?;
    if seal.len() != SEAL_LENGTH {
        return None;
    }
    match letter {
        "s" => id.parse().ok().map(Owner::Subscription),
        "a" => id.parse().ok().map(Owner::Account),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test's broken assumption should stop it")]
mod tests {
    use super::*;

    #[test]
    fn a_token_depends_on_key_owner_and_version_and_on_nothing_else() {
        let id = "a".repeat(24);
        let one = Owner::Subscription(id.parse().unwrap());
        let token = write(&[7; 32], &one, 1);
        assert_eq!(token.len(), 49);
        assert!(
            token
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        );
        assert_eq!(token, write(&[7; 32], &one, 1));
        let others = [
            write(&[8; 32], &one, 1),
            write(&[7; 32], &one, 2),
            write(&[7; 32], &Owner::Subscription("b".repeat(24).parse().unwrap()), 1),
            write(&[7; 32], &Owner::Account(id.parse().unwrap()), 1),
        ];
        for other in others {
            assert_ne!(token[25..], other[25..]);
        }
    }

    #[test]
    fn it_names_its_owner_and_whatever_is_none_names_nobody() {
        for owner in [
            Owner::Subscription("a1".repeat(12).parse().unwrap()),
            Owner::Account("b2".repeat(12).parse().unwrap()),
        ] {
            let token = write(&[7; 32], &owner, 3);
            assert_eq!(read(&token), Some(owner));
            assert_eq!(read(&token[1..]), None);
            assert_eq!(read(&token[..48]), None);
            assert_eq!(read(&format!("{token}A")), None);
            assert_eq!(read(&format!("x{}", &token[1..])), None);
            assert_eq!(read(&token.to_uppercase()), None);
        }
        for odd in ["", "s", "é", &"é".repeat(24), &format!("s{}", "é".repeat(24))] {
            assert_eq!(read(odd), None, "{odd}");
        }
    }
}
