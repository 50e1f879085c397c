//! What is in a head.

/// The longest head, its empty line included.
pub const MAX_HEAD: usize = 64 * 1024;

/// The longest first line, without its line feed.
pub const MAX_REQUEST_LINE: usize = 16 * 1024;

/// The most fields of one head.
pub const MAX_FIELDS: usize = 200;

/// Why these bytes are no head that a proxy may act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// The first line is longer than [`MAX_REQUEST_LINE`].
    #[error("the request line is longer than 16 KiB")]
    RequestLineTooLong,
    /// The head is longer than [`MAX_HEAD`].
    #[error("the head is longer than 64 KiB")]
    TooLarge,
    /// There are more than [`MAX_FIELDS`] fields.
    #[error("the head has more than 200 fields")]
    TooManyFields,
    /// A line ends without a carriage return (RFC 9112 §2.2 lets a recipient take it; two recipients may differ).
    #[error("a line of the head does not end with CR LF")]
    BareLineFeed,
    /// Not the grammar of RFC 9112: a bare CR, a NUL, a folded line, whitespace before a colon, an empty name.
    #[error("the head is malformed")]
    Malformed,
    /// An HTTP version other than 1.0 and 1.1.
    #[error("only HTTP/1.0 and HTTP/1.1 are spoken here")]
    Version,
}

/// The versions that are spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
}

/// One field line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'h> {
    /// Its name, in the sender's letter case.
    pub name: &'h str,
    /// Its value, without the whitespace around it.
    pub value: &'h [u8],
    /// The whole line as it was sent, with its CR LF.
    pub line: &'h [u8],
}

impl Field<'_> {
    /// Whether this is the field of that name.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

/// The fields of a head, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fields<'h>(Vec<Field<'h>>);

impl<'h> Fields<'h> {
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Field<'h>> {
        self.0.iter()
    }

    /// The values of the fields of this name.
    pub fn values<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'h [u8]> + 's {
        self.0
            .iter()
            .filter(move |field| field.is(name))
            .map(|field| field.value)
    }

    /// Whether there is a field of this name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.values(name).next().is_some()
    }

    /// The members of the comma-separated list that the fields of this name make together (RFC 9110 §5.6.1).
    pub fn members<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'h [u8]> + 's {
        self.values(name).flat_map(members_of)
    }

    /// Whether that list has this member, in any letter case.
    #[must_use]
    pub fn has_member(&self, name: &str, member: &str) -> bool {
        self.members(name)
            .any(|one| one.eq_ignore_ascii_case(member.as_bytes()))
    }
}

/// The members of one list value; empty ones do not count.
pub(super) fn members_of(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|&byte| byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|member| !member.is_empty())
}

/// A request's head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHead<'h> {
    /// The method, as it was sent: methods are case-sensitive.
    pub method: &'h str,
    /// The request target, as it was sent.
    pub target: &'h str,
    /// The client's version.
    pub version: Version,
    /// The fields.
    pub fields: Fields<'h>,
}

impl<'h> RequestHead<'h> {
    /// Tokenises a whole head, from its first byte to its empty line, as [`HeadEnd`] found it.
    ///
    /// # Errors
    /// [`HeadError::Malformed`], [`HeadError::Version`], [`HeadError::TooManyFields`].
    pub fn parse(raw: &'h [u8]) -> Result<Self, HeadError> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut request = httparse::Request::new(&mut headers);
        complete(request.parse(raw), raw).map_err(|error| match error {
            HeadError::Version if !names_another_version(raw) => HeadError::Malformed,
            other => other,
        })?;
        let (Some(method), Some(target), Some(version)) = (request.method, request.path, request.version) else {
            return Err(HeadError::Malformed);
        };
        Ok(Self {
            method,
            target,
            version: version_of(version),
            fields: fields(raw, request.headers),
        })
    }

    /// Whether the client wants to keep its connection. `Proxy-Connection` is what older clients say to a proxy instead.
    #[must_use]
    pub fn keeps_alive(&self) -> bool {
        keeps_alive(self.version, &self.fields, &["connection", "proxy-connection"])
    }

    /// Whether the client waits for a `100 Continue` before it sends its body (RFC 9110 §10.1.1).
    #[must_use]
    pub fn expects_continue(&self) -> bool {
        self.version == Version::Http11 && self.fields.has_member("expect", "100-continue")
    }

    /// Whether this asks to become a WebSocket (RFC 6455 §4.1): the one upgrade that is passed on.
    #[must_use]
    pub fn upgrades_to_websocket(&self) -> bool {
        let mut protocols = self.fields.members("upgrade");
        self.method == "GET"
            && self.version == Version::Http11
            && self.fields.has_member("connection", "upgrade")
            && protocols
                .next()
                .is_some_and(|protocol| protocol.eq_ignore_ascii_case(b"websocket"))
            && protocols.next().is_none()
    }
}

/// A response's head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponseHead<'h> {
    /// The status code, 100 to 999.
    pub status: u16,
    /// The origin's version.
    pub version: Version,
    /// The status line behind the version: a space, the code, the reason, CR LF.
    pub(super) status_and_reason: &'h [u8],
    /// The fields.
    pub fields: Fields<'h>,
}

impl<'h> ResponseHead<'h> {
    /// Tokenises a whole head, from its first byte to its empty line, as [`HeadEnd`] found it.
    ///
    /// # Errors
    /// [`HeadError::Malformed`], [`HeadError::Version`], [`HeadError::TooManyFields`].
    pub fn parse(raw: &'h [u8]) -> Result<Self, HeadError> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut response = httparse::Response::new(&mut headers);
        complete(response.parse(raw), raw)?;
        let (Some(status @ 100..), Some(version)) = (response.code, response.version) else {
            return Err(HeadError::Malformed);
        };
        let status_line = raw.split_inclusive(|&byte| byte == b'\n').next().unwrap_or_default();
        let status_and_reason = status_line.get("HTTP/1.1".len()..).ok_or(HeadError::Malformed)?;
        Ok(Self {
            status,
            version: version_of(version),
            status_and_reason,
            fields: fields(raw, response.headers),
        })
    }

    /// Whether the origin keeps its connection after a fully framed answer.
    #[must_use]
    pub fn keeps_alive(&self) -> bool {
        keeps_alive(self.version, &self.fields, &["connection"])
    }
}

/// RFC 9112 §9.3.
fn keeps_alive(version: Version, fields: &Fields<'_>, names: &[&str]) -> bool {
    let says = |option| names.iter().any(|name| fields.has_member(name, option));
    !says("close") && (version == Version::Http11 || says("keep-alive"))
}

/// A head that is whole for [`HeadEnd`] and not for the tokeniser, or the other way round, is read in two ways: refuse.
fn complete(parsed: httparse::Result<usize>, raw: &[u8]) -> Result<(), HeadError> {
    match parsed {
        Ok(httparse::Status::Complete(length)) if length == raw.len() => Ok(()),
        Ok(_) => Err(HeadError::Malformed),
        Err(httparse::Error::Version) => Err(HeadError::Version),
        Err(httparse::Error::TooManyHeaders) => Err(HeadError::TooManyFields),
        Err(_) => Err(HeadError::Malformed),
    }
}

/// `HTTP/2.0` and its like, as against a third word that is no version at all.
fn names_another_version(raw: &[u8]) -> bool {
    let line = raw.split(|&byte| byte == b'\r').next().unwrap_or_default();
    let mut words = line.split(|&byte| byte == b' ').skip(2);
    let version = words.next().unwrap_or_default();
    let is_version = matches!(version, [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
        if major.is_ascii_digit() && minor.is_ascii_digit());
    is_version && words.next().is_none()
}

fn version_of(minor: u8) -> Version {
    if minor == 0 { Version::Http10 } else { Version::Http11 }
}

/// Joins each tokenised field with its line. Every line behind the first is one field: folded lines were refused.
fn fields<'h>(raw: &'h [u8], headers: &[httparse::Header<'h>]) -> Fields<'h> {
    let lines = raw.split_inclusive(|&byte| byte == b'\n').skip(1);
    Fields(
        headers
            .iter()
            .zip(lines)
            .map(|(header, line)| Field {
                name: header.name,
                value: header.value,
                line,
            })
            .collect(),
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test's panic is its failure")]
mod tests {
    use super::*;
    use crate::Parse;
    use crate::http::HeadEnd;

    fn head_of(text: &str) -> Result<RequestHead<'_>, HeadError> {
        match HeadEnd::first().find(text.as_bytes()) {
            Parse::Done(0, end) => RequestHead::parse(&text.as_bytes()[..end]),
            Parse::Refuse(error) => Err(error),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_head_keeps_the_letter_case_order_and_repetition_of_its_fields() {
        let head = head_of("GET http://a/ HTTP/1.1\r\nhOsT:a\r\nX-B:  1 \r\nx-b: 2\r\nEmpty:\r\n\r\n").unwrap();
        assert_eq!(
            (head.method, head.target, head.version),
            ("GET", "http://a/", Version::Http11)
        );
        let lines: Vec<_> = head
            .fields
            .iter()
            .map(|field| (field.name, field.value, field.line))
            .collect();
        assert_eq!(
            lines,
            [
                ("hOsT", &b"a"[..], &b"hOsT:a\r\n"[..]),
                ("X-B", b"1", b"X-B:  1 \r\n"),
                ("x-b", b"2", b"x-b: 2\r\n"),
                ("Empty", b"", b"Empty:\r\n"),
            ]
        );
    }

    #[test]
    fn what_is_not_strictly_a_head_is_refused() {
        for (text, error) in [
            ("GET / HTTP/1.1\nHost: a\r\n\r\n", HeadError::BareLineFeed),
            ("GET / HTTP/1.1\r\nHost: a\n\r\n", HeadError::BareLineFeed),
            ("\r\nGET / HTTP/1.1\r\n\r\n", HeadError::Malformed),
            ("GET / HTTP/1.1\r\n Host: a\r\n\r\n", HeadError::Malformed),
            ("GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n", HeadError::Malformed),
            ("GET / HTTP/1.1\r\nA: b\r\n\tfolded\r\n\r\n", HeadError::Malformed),
            ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", HeadError::Malformed),
            ("GET / HTTP/1.1\r\nHost\t: a\r\n\r\n", HeadError::Malformed),
            ("GET / HTTP/1.1\r\n: a\r\n\r\n", HeadError::Malformed),
            ("GET / HTTP/1.1\r\nno colon\r\n\r\n", HeadError::Malformed),
            ("GET / HTTP/1.1\r\nA: b\rc\r\n\r\n", HeadError::Malformed),
            ("GET / HTTP/1.1\r\nA: b\r\r\n\r\n", HeadError::Malformed),
            ("GET / HTTP/1.1\r\nA: \0\r\n\r\n", HeadError::Malformed),
            ("GET / HTTP/1.1\r\nA\0: b\r\n\r\n", HeadError::Malformed),
            ("GET / HTTP/1.1\r\nA(b): c\r\n\r\n", HeadError::Malformed),
            ("GET  / HTTP/1.1\r\n\r\n", HeadError::Malformed),
            ("GET /  HTTP/1.1\r\n\r\n", HeadError::Malformed),
            ("GET /  HTTP/2.0\r\n\r\n", HeadError::Malformed),
            ("GET / HTTP/1.1 \r\n\r\n", HeadError::Malformed),
            ("GET /\r\n\r\n", HeadError::Malformed),
            ("GET / FTP/1.1\r\n\r\n", HeadError::Malformed),
            ("GET / HTTP/11\r\n\r\n", HeadError::Malformed),
            ("GET / http/1.1\r\n\r\n", HeadError::Malformed),
            ("GET / HTTP/1.2\r\n\r\n", HeadError::Version),
            ("GET / HTTP/0.9\r\n\r\n", HeadError::Version),
            ("PRI * HTTP/2.0\r\n\r\n", HeadError::Version),
        ] {
            assert_eq!(head_of(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn values_of_any_bytes_above_ascii_are_kept() {
        let raw = b"GET http://a/ HTTP/1.1\r\nX-Name: \xc3\xa9\xff\r\n\r\n";
        let head = RequestHead::parse(raw).unwrap();
        assert_eq!(head.fields.values("x-name").next(), Some(&b"\xc3\xa9\xff"[..]));
    }

    #[test]
    fn persistence_follows_version_and_options() {
        for (version, fields, expected) in [
            ("1.1", "", true),
            ("1.1", "Connection: close\r\n", false),
            ("1.1", "Connection: x, CLOSE\r\n", false),
            ("1.1", "Proxy-Connection: close\r\n", false),
            ("1.1", "Proxy-Connection: keep-alive\r\n", true),
            ("1.0", "", false),
            ("1.0", "Connection: Keep-Alive\r\n", true),
            ("1.0", "Proxy-Connection: Keep-Alive\r\n", true),
            ("1.0", "Connection: close\r\nProxy-Connection: Keep-Alive\r\n", false),
            ("1.0", "Connection: keep-alive\r\nProxy-Connection: close\r\n", false),
        ] {
            let text = format!("GET http://a/ HTTP/{version}\r\n{fields}\r\n");
            assert_eq!(head_of(&text).unwrap().keeps_alive(), expected, "{text:?}");
        }
    }

    #[test]
    fn only_a_plain_websocket_upgrade_of_get_counts() {
        for (text, expected) in [
            (
                "GET x HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
                true,
            ),
            (
                "GET x HTTP/1.1\r\nConnection: keep-alive, upgrade\r\nUpgrade: WebSocket\r\n\r\n",
                true,
            ),
            (
                "POST x HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
                false,
            ),
            (
                "GET x HTTP/1.0\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
                false,
            ),
            ("GET x HTTP/1.1\r\nUpgrade: websocket\r\n\r\n", false),
            ("GET x HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", false),
            (
                "GET x HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket, h2c\r\n\r\n",
                false,
            ),
            (
                "GET x HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n\r\n",
                false,
            ),
        ] {
            assert_eq!(head_of(text).unwrap().upgrades_to_websocket(), expected, "{text:?}");
        }
    }

    #[test]
    fn a_response_may_lack_its_reason() {
        let head = ResponseHead::parse(b"HTTP/1.0 404\r\nA: b\r\n\r\n").unwrap();
        assert_eq!(
            (head.status, head.version, head.status_and_reason),
            (404, Version::Http10, &b" 404\r\n"[..])
        );
        assert!(ResponseHead::parse(b"HTTP/1.1 099 x\r\n\r\n").is_err());
        assert!(ResponseHead::parse(b"SSH-2.0-x\r\n\r\n").is_err());
    }
}
