//! Links, one a line: `vless://` and `ss://`, or those of the protocol that is asked for.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::document::Document;
use super::way::{self, Protocol};
use crate::api::protocols::encoded;
use crate::error::ApiError;

/// As they are. Where nothing can be used there is none: programs count them.
pub(super) fn plain(document: &Document<'_>, protocol: Option<Protocol>) -> Result<String, ApiError> {
    let ways = way::into_all(document, protocol)?;
    Ok(ways.iter().map(|way| way.link() + "\n").collect())
}

/// As clients with a window read them, in one piece of base64. They tell their users nothing but the names of links, so where
/// nothing can be used there is a link that leads nowhere and says in its name what to do. An empty list they would take for a
/// failure, and keep what they had.
pub(super) fn base64(document: &Document<'_>, protocol: Option<Protocol>) -> Result<String, ApiError> {
    let text = match document.notice() {
        None => plain(document, protocol)?,
        // Port 1 of the user's own machine: refused at once.
        Some(notice) => format!(
            "vless://00000000-0000-0000-0000-000000000000@127.0.0.1:1?encryption=none&security=none&type=tcp#{}\n",
            encoded(&notice)
        ),
    };
    Ok(STANDARD.encode(text))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::super::document::tests::{of_account, two, written};
    use super::*;

    #[test]
    fn base64_is_the_links_and_nothing_else() {
        let profile = of_account(two());
        let (encoded, links) = written(&profile, |document| {
            (base64(document, None).unwrap(), plain(document, None).unwrap())
        });
        assert_eq!(STANDARD.decode(encoded).unwrap(), links.as_bytes());
        let schemes: Vec<_> = links.lines().map(|link| link.split_once("://").unwrap().0).collect();
        assert_eq!(schemes, ["vless", "ss", "ss", "vless"]);
        assert!(links.is_ascii(), "{links}");
        assert!(links.contains("@[2001:db8::1]:12002"), "{links}");
    }

    #[test]
    fn where_nothing_can_be_used_clients_are_told_and_programs_get_nothing() {
        let profile = of_account(Vec::new());
        let (encoded, links) = written(&profile, |document| {
            (base64(document, None).unwrap(), plain(document, None).unwrap())
        });
        assert_eq!(links, "");
        let told = String::from_utf8(STANDARD.decode(encoded).unwrap()).unwrap();
        assert!(told.ends_with("#Ended%3A%20renew%20at%20shop.example\n"), "{told}");
    }
}
