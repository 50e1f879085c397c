//! Proxy auto-configuration: a script that tells a browser its proxy. It cannot carry a password; the browser asks for it, once.

use super::document::Document;
use super::format::unwritable;
use super::way::Protocol;
use crate::api::protocols::authority;
use crate::error::ApiError;

/// The first port: another one would be another exit and another password, so none stands in for it unasked. What has no dot or is
/// this machine goes past the proxy, as no port reaches it; nothing else does. Addresses of IPv6 have no dot either, and do not.
pub(super) fn write(document: &Document<'_>, protocol: Option<Protocol>) -> Result<String, ApiError> {
    let allowed = [Protocol::Http, Protocol::Https, Protocol::Socks5];
    if protocol.is_some_and(|asked| !allowed.contains(&asked)) {
        return Err(Protocol::refused(&allowed));
    }
    if protocol == Some(Protocol::Https) {
        document.needs_tls("protocol")?;
    }
    let fitting = document
        .ports
        .iter()
        .find(|port| protocol != Some(Protocol::Https) || port.subscription.tls.is_some());
    let proxy = match fitting {
        Some(port) => {
            let kind = match (protocol, &port.subscription.tls) {
                (Some(Protocol::Socks5), _) => "SOCKS5",
                (Some(Protocol::Https), _) | (None, Some(_)) => "HTTPS",
                _ => "PROXY",
            };
            format!("{kind} {}", authority(port.subscription))
        }
        // Nobody listens there. Not DIRECT: whoever believes in a proxy must not be without one unawares.
        None => "PROXY 127.0.0.1:1".to_owned(),
    };
    // Letters that could end the string, the script or the line are written by their numbers.
    let proxy = serde_json::to_string(&proxy)
        .map_err(|error| unwritable("a proxy auto-configuration", error))?
        .replace('<', "\\u003c")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029");
    Ok(format!(
        "function FindProxyForURL(url, host) {{\n\
         \x20 var isAddress = host.indexOf(\":\") >= 0;\n\
         \x20 if ((isPlainHostName(host) && !isAddress) || /^127(\\.[0-9]+){{3}}$/.test(host) || shExpMatch(host, \"*.localhost\")) {{\n\
         \x20   return \"DIRECT\";\n\
         \x20 }}\n\
         \x20 return {proxy};\n\
         }}\n"
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use turnpike_shop::subscription::Subscription;

    use super::super::document::tests::{of_account, two, written};
    use super::*;

    fn returned(live: Vec<Subscription>, protocol: Option<Protocol>) -> String {
        let script = written(&of_account(live), |document| write(document, protocol).unwrap());
        script.lines().nth(5).unwrap().trim().to_owned()
    }

    #[test]
    fn it_names_the_first_port_by_the_best_that_browsers_know() {
        let with_tls = || two().into_iter().take(1).collect::<Vec<_>>();
        let without = || two().into_iter().skip(1).collect::<Vec<_>>();
        assert_eq!(returned(two(), None), r#"return "HTTPS proxy.example.com:12001";"#);
        assert_eq!(returned(without(), None), r#"return "PROXY [2001:db8::1]:12002";"#);
        assert_eq!(
            returned(with_tls(), Some(Protocol::Http)),
            r#"return "PROXY proxy.example.com:12001";"#
        );
        assert_eq!(
            returned(with_tls(), Some(Protocol::Socks5)),
            r#"return "SOCKS5 proxy.example.com:12001";"#
        );
        assert_eq!(returned(Vec::new(), None), r#"return "PROXY 127.0.0.1:1";"#);
        written(&of_account(without()), |document| {
            assert!(write(document, Some(Protocol::Https)).is_err());
            assert!(write(document, Some(Protocol::Vless)).is_err());
        });
    }

    #[test]
    fn no_host_ends_the_string() {
        let odd = Subscription {
            host: "a\"; evil(); \"</script>\u{2028}".to_owned(),
            ..two().remove(1)
        };
        assert_eq!(
            returned(vec![odd], None),
            r#"return "PROXY a\"; evil(); \"\u003c/script>\u2028:12002";"#
        );
    }
}
