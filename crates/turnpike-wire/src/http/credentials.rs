//! Basic credentials (RFC 7617).

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// What a client says it may use the proxy with. It does not print itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    decoded: Vec<u8>,
    colon: usize,
}

impl Credentials {
    /// The bytes before the first colon.
    #[must_use]
    pub fn username(&self) -> &[u8] {
        self.decoded.get(..self.colon).unwrap_or_default()
    }

    /// The bytes behind it.
    #[must_use]
    pub fn password(&self) -> &[u8] {
        self.decoded.get(self.colon.saturating_add(1)..).unwrap_or_default()
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials(…)")
    }
}

/// Clients leave the padding out, or do not; both are the same bytes.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Reads the value of a `Proxy-Authorization` field; absent where it is no Basic credentials.
#[must_use]
pub fn basic_credentials(value: &[u8]) -> Option<Credentials> {
    let space = value.iter().position(|&byte| byte == b' ')?;
    let (scheme, token) = value.split_at_checked(space)?;
    if !scheme.eq_ignore_ascii_case(b"basic") {
        return None;
    }
    let decoded = BASE64.decode(token.trim_ascii()).ok()?;
    let colon = decoded.iter().position(|&byte| byte == b':')?;
    Some(Credentials { decoded, colon })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test's panic is its failure")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(value: &str) -> Option<(String, String)> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        basic_credentials(value.as_bytes()).map(|read| (text(read.username()), text(read.password())))
    }

    #[test]
    fn credentials_are_split_at_the_first_colon() {
        let pair = |name: &str, word: &str| Some((name.to_owned(), word.to_owned()));
        assert_eq!(read("Basic dXNlcjpwYXNz"), pair("user", "pass"));
        assert_eq!(read("bAsIc   dXNlcjpwYXNz"), pair("user", "pass"));
        assert_eq!(read("Basic dTpwOnE="), pair("u", "p:q"));
        assert_eq!(read("Basic dTpwOnE"), pair("u", "p:q"));
        assert_eq!(read("Basic Og=="), pair("", ""));
        assert_eq!(read("Basic dcO8OsOk"), pair("uü", "ä"));
    }

    #[test]
    fn anything_else_is_none() {
        for value in [
            "",
            "Basic",
            "Basic ",
            "Bearer dXNlcjpwYXNz",
            "Basic dXNlcg==",
            "Basic !!",
            "Basic dTpw dTpw",
            "dTpw",
            "Basic\tdTpw",
        ] {
            assert!(basic_credentials(value.as_bytes()).is_none(), "{value:?}");
        }
    }

    #[test]
    fn credentials_do_not_print() {
        let printed = format!("{:?}", basic_credentials(b"Basic dXNlcjpwYXNz").unwrap());
        assert_eq!(printed, "Credentials(…)");
    }

    proptest! {
        #[test]
        fn what_a_client_encodes_is_what_is_read(name in "[^:]{0,20}", word in ".{0,20}", padded in any::<bool>()) {
            let mut token = base64::engine::general_purpose::STANDARD.encode(format!("{name}:{word}"));
            if !padded {
                token = token.trim_end_matches('=').to_owned();
            }
            prop_assert_eq!(read(&format!("Basic {token}")), Some((name, word)));
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(value in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = basic_credentials(&value);
        }
    }
}
