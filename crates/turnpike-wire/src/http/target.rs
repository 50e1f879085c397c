//! What a request asks the proxy for (RFC 9112 §3.2).

use std::borrow::Cow;

use super::head::{RequestHead, Version};
use crate::address::Destination;

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target<'h> {
    /// CONNECT: a tunnel.
    Tunnel(Destination),
    /// Anything else: one request, passed on.
    Forward(ForwardTarget<'h>),
}

/// Where a request goes, in the words that the origin will see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardTarget<'h> {
    /// Where to dial.
    pub destination: Destination,
    /// Host and port as the client wrote them: the origin's `Host`.
    pub authority: &'h str,
    /// The target in origin-form, or `*`.
    pub origin_form: Cow<'h, str>,
}

/// Why nothing can be asked for so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// `GET /`: somebody takes the proxy for a web server.
    #[error("this is a proxy, not a web server")]
    OriginForm,
    /// `https://` and `wss://` are for tunnels.
    #[error("encrypted pages are fetched through a tunnel: use CONNECT")]
    UseConnect,
    /// A scheme that is not spoken here.
    #[error("only http:// is forwarded")]
    UnknownScheme,
    /// TRACE would show the client's own secrets to whoever reads the answer.
    #[error("TRACE is not forwarded")]
    Trace,
    /// A name and a password in the target.
    #[error("the target must not contain a user name")]
    UserInfo,
    /// No host, no port where one is needed, a host that is none, or no target at all.
    #[error("the target is malformed")]
    Malformed,
    /// HTTP/1.1 wants exactly one `Host`; nobody may send two.
    #[error("a request must have exactly one Host field")]
    Host,
}

impl<'h> Target<'h> {
    /// Reads the target of a request.
    ///
    /// # Errors
    /// [`TargetError`].
    pub fn parse(head: &RequestHead<'h>) -> Result<Self, TargetError> {
        match head.fields.values("host").count() {
            1 => {}
            0 if head.version == Version::Http10 => {}
            _ => return Err(TargetError::Host),
        }
        match head.method {
            "CONNECT" => destination(head.target, None).map(Target::Tunnel),
            "TRACE" => Err(TargetError::Trace),
            method => forward(method, head.target).map(Target::Forward),
        }
    }
}

fn forward<'h>(method: &str, target: &'h str) -> Result<ForwardTarget<'h>, TargetError> {
    if target.starts_with('/') || target == "*" {
        return Err(TargetError::OriginForm);
    }
    let (scheme, rest) = target.split_once("://").ok_or(TargetError::Malformed)?;
    match scheme.to_ascii_lowercase().as_str() {
        "http" => {}
        "https" | "wss" => return Err(TargetError::UseConnect),
        _ => return Err(TargetError::UnknownScheme),
    }
    // A fragment never leaves a client (RFC 9110 §7.1); where one does, its `#` hides a host from some readers.
    if rest.contains('#') {
        return Err(TargetError::Malformed);
    }
    let (authority, path) = rest
        .split_at_checked(rest.find(['/', '?']).unwrap_or(rest.len()))
        .unwrap_or((rest, ""));
    let destination = destination(authority, Some(80))?;
    let origin_form = match path {
        "" if method == "OPTIONS" => Cow::Borrowed("*"),
        "" => Cow::Borrowed("/"),
        path if path.starts_with('?') => Cow::Owned(format!("/{path}")),
        path => Cow::Borrowed(path),
    };
    Ok(ForwardTarget {
        destination,
        authority,
        origin_form,
    })
}

fn destination(authority: &str, default_port: Option<u16>) -> Result<Destination, TargetError> {
    if authority.contains('@') {
        return Err(TargetError::UserInfo);
    }
    Destination::from_authority(authority, default_port).ok_or(TargetError::Malformed)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test's panic is its failure")]
mod tests {
    use super::*;
    use crate::address::Host;

    fn asked(line: &str) -> Result<(String, u16, String, String), TargetError> {
        let text = format!("{line} HTTP/1.1\r\nHost: ignored\r\n\r\n");
        let head = RequestHead::parse(text.as_bytes()).unwrap();
        let host = |destination: &Destination| match &destination.host {
            Host::Ip(address) => address.to_string(),
            Host::Name(name) => name.clone(),
        };
        Target::parse(&head).map(|target| match target {
            Target::Tunnel(to) => (host(&to), to.port, String::new(), String::new()),
            Target::Forward(to) => (
                host(&to.destination),
                to.destination.port,
                to.authority.to_owned(),
                to.origin_form.into_owned(),
            ),
        })
    }

    #[test]
    fn absolute_forms_become_origin_forms() {
        for (line, expected) in [
            ("GET http://example.com/", ("example.com", 80, "example.com", "/")),
            (
                "GET HTTP://Example.COM:80/a?b",
                ("example.com", 80, "Example.COM:80", "/a?b"),
            ),
            ("GET http://example.com", ("example.com", 80, "example.com", "/")),
            (
                "GET http://example.com?x=1",
                ("example.com", 80, "example.com", "/?x=1"),
            ),
            (
                "GET http://example.com?to=http://b/",
                ("example.com", 80, "example.com", "/?to=http://b/"),
            ),
            ("GET http://example.com/@x", ("example.com", 80, "example.com", "/@x")),
            (
                "GET http://[2001:db8::1]:8080/x",
                ("2001:db8::1", 8080, "[2001:db8::1]:8080", "/x"),
            ),
            (
                "OPTIONS http://example.com:81",
                ("example.com", 81, "example.com:81", "*"),
            ),
            ("OPTIONS http://example.com/", ("example.com", 80, "example.com", "/")),
            (
                "GET http://192.0.2.1:8080//x",
                ("192.0.2.1", 8080, "192.0.2.1:8080", "//x"),
            ),
            ("QUERY http://example.com/", ("example.com", 80, "example.com", "/")),
        ] {
            let (host, port, authority, form) = expected;
            assert_eq!(
                asked(line),
                Ok((host.to_owned(), port, authority.to_owned(), form.to_owned())),
                "{line}"
            );
        }
    }

    #[test]
    fn tunnels_need_a_host_and_a_port() {
        let to = |host: &str, port| Ok((host.to_owned(), port, String::new(), String::new()));
        assert_eq!(asked("CONNECT example.com:443"), to("example.com", 443));
        assert_eq!(asked("CONNECT [::1]:443"), to("::1", 443));
        assert_eq!(asked("CONNECT 192.0.2.1:22"), to("192.0.2.1", 22));
        for line in [
            "CONNECT example.com",
            "CONNECT example.com:",
            "CONNECT example.com:0",
            "CONNECT example.com:65536",
            "CONNECT example.com:4294967739",
            "CONNECT example.com:+443",
            "CONNECT :443",
            "CONNECT ::1:443",
            "CONNECT [::1]",
            "CONNECT [::1%25eth0]:443",
            "CONNECT http://example.com:443/",
            "CONNECT /",
            "CONNECT *",
        ] {
            assert_eq!(asked(line), Err(TargetError::Malformed), "{line}");
        }
        let long = "a".repeat(300);
        assert_eq!(asked(&format!("CONNECT {long}:443")), Err(TargetError::Malformed));
    }

    #[test]
    fn what_cannot_be_asked_for_is_told_apart() {
        for (line, error) in [
            ("GET /", TargetError::OriginForm),
            ("OPTIONS *", TargetError::OriginForm),
            ("GET https://example.com/", TargetError::UseConnect),
            ("GET HTTPS://example.com/", TargetError::UseConnect),
            ("GET ftp://example.com/", TargetError::UnknownScheme),
            ("GET ws://example.com/", TargetError::UnknownScheme),
            ("TRACE http://example.com/", TargetError::Trace),
            ("GET http://user:word@example.com/", TargetError::UserInfo),
            ("CONNECT user@example.com:443", TargetError::UserInfo),
            ("GET http:///x", TargetError::Malformed),
            ("GET http://:80/x", TargetError::Malformed),
            ("GET http:/example.com/", TargetError::Malformed),
            ("GET http://example.com/#x", TargetError::Malformed),
            ("GET http://example.com#@other.example/", TargetError::Malformed),
            ("GET http://exa\\mple.com/", TargetError::Malformed),
            ("GET example.com:80", TargetError::Malformed),
        ] {
            assert_eq!(asked(line), Err(error), "{line}");
        }
    }

    #[test]
    fn one_host_field_or_none_in_http_1_0() {
        for (text, expected) in [
            ("GET http://a.example/ HTTP/1.1\r\n\r\n", Some(TargetError::Host)),
            (
                "GET http://a.example/ HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n",
                Some(TargetError::Host),
            ),
            (
                "GET http://a.example/ HTTP/1.0\r\nHost: a\r\nhost: a\r\n\r\n",
                Some(TargetError::Host),
            ),
            ("CONNECT a.example:1 HTTP/1.1\r\n\r\n", Some(TargetError::Host)),
            ("GET http://a.example/ HTTP/1.1\r\nHost:\r\n\r\n", None),
            ("GET http://a.example/ HTTP/1.0\r\n\r\n", None),
            ("CONNECT a.example:1 HTTP/1.0\r\n\r\n", None),
        ] {
            let head = RequestHead::parse(text.as_bytes()).unwrap();
            assert_eq!(Target::parse(&head).err(), expected, "{text:?}");
        }
    }
}
