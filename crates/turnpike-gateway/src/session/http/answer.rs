//! What the proxy says in its own name: a status, the cause for programs (`Proxy-Status`, RFC 9209), and one sentence
//! for people. Nothing that a peer sent is repeated but a name that was found to be one.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

use turnpike_wire::http::{FramingError, HeadError, TargetError};

use crate::exit::DialError;
use crate::limits::Denied;
use crate::refusals::Reason;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    status: u16,
    reason: &'static str,
    /// The error type of RFC 9209 §2.3.
    error: &'static str,
    sentence: Cow<'static, str>,
    /// A field that this status needs, with its CR LF.
    field: Cow<'static, str>,
}

impl Answer {
    pub(super) const LOGIN_REQUIRED: Self = Self {
        status: 407,
        reason: "Proxy Authentication Required",
        error: "http_request_denied",
        sentence: Cow::Borrowed("This proxy wants the user name and the password of its subscription."),
        field: Cow::Borrowed("Proxy-Authenticate: Basic realm=\"proxy\", charset=\"UTF-8\"\r\n"),
    };

    pub(super) const TOO_SLOW: Self = Self::new(
        408,
        "Request Timeout",
        "http_request_error",
        "The request did not arrive in time.",
    );

    pub(super) const NO_ANSWER: Self = Self::new(
        502,
        "Bad Gateway",
        "connection_terminated",
        "The destination closed the connection without an answer.",
    );

    pub(super) const BROKEN_ANSWER: Self = Self::new(
        502,
        "Bad Gateway",
        "http_protocol_error",
        "The destination's answer is not HTTP that can be passed on.",
    );

    pub(super) const LONG_ANSWER: Self = Self::new(
        502,
        "Bad Gateway",
        "http_response_header_section_size",
        "The head of the destination's answer is too long.",
    );

    pub(super) const UNFRAMED_ANSWER: Self = Self::new(
        502,
        "Bad Gateway",
        "http_response_transfer_coding",
        "The length of the destination's answer cannot be told for certain.",
    );

    pub(super) const LATE_ANSWER: Self = Self::new(
        504,
        "Gateway Timeout",
        "http_response_timeout",
        "The destination did not answer in time.",
    );

    pub(super) const BROKEN_BODY: Self = Self::bad_request("The request's body is not framed as chunks must be.");

    const fn new(status: u16, reason: &'static str, error: &'static str, sentence: &'static str) -> Self {
        Self {
            status,
            reason,
            error,
            sentence: Cow::Borrowed(sentence),
            field: Cow::Borrowed(""),
        }
    }

    const fn bad_request(sentence: &'static str) -> Self {
        Self::new(400, "Bad Request", "http_request_error", sentence)
    }

    /// The same for the customer, who may not have seen it.
    pub(super) fn as_reason(&self) -> Reason {
        match self.status {
            408 => Reason::CutShort,
            _ => Reason::Request(self.sentence.clone()),
        }
    }

    /// The whole answer. It says whether the connection stays, as HTTP/1.0 and 1.1 differ in what silence means. An
    /// answer to HEAD has no body.
    pub(super) fn bytes(&self, stays: bool, with_body: bool) -> Vec<u8> {
        let Self {
            status,
            reason,
            error,
            sentence,
            field,
        } = self;
        let connection = if stays { "keep-alive" } else { "close" };
        let length = sentence.len() + 1;
        let mut text = String::with_capacity(320 + length);
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "HTTP/1.1 {status} {reason}\r\n{field}Proxy-Status: turnpike; error={error}\r\n\
             Content-Type: text/plain; charset=utf-8\r\nContent-Length: {length}\r\nConnection: {connection}\r\n\r\n",
        );
        if with_body {
            let _ = writeln!(text, "{sentence}");
        }
        text.into_bytes()
    }
}

impl From<HeadError> for Answer {
    fn from(error: HeadError) -> Self {
        let (status, reason, sentence) = match error {
            HeadError::RequestLineTooLong => (414, "URI Too Long", "The request line is longer than 16 KiB."),
            HeadError::TooLarge => (
                431,
                "Request Header Fields Too Large",
                "The request's head is longer than 64 KiB.",
            ),
            HeadError::TooManyFields => (
                431,
                "Request Header Fields Too Large",
                "The request has more than 200 header fields.",
            ),
            HeadError::Version => (
                505,
                "HTTP Version Not Supported",
                "This proxy speaks HTTP/1.0 and HTTP/1.1.",
            ),
            HeadError::BareLineFeed => (
                400,
                "Bad Request",
                "A line of the request's head does not end with CR LF.",
            ),
            HeadError::Malformed => (400, "Bad Request", "The request's head is malformed."),
        };
        Self::new(status, reason, "http_request_error", sentence)
    }
}

impl From<TargetError> for Answer {
    fn from(error: TargetError) -> Self {
        match error {
            TargetError::OriginForm => Self::bad_request(
                "This is the port of a Turnpike proxy, not a web page. Enter its host, port, user name and password as \
                 the HTTP or SOCKS5 proxy of your browser or program.",
            ),
            TargetError::UseConnect => Self::bad_request(
                "Encrypted pages are not fetched on your behalf: use CONNECT and speak TLS through the tunnel.",
            ),
            TargetError::UserInfo => Self::bad_request("The address must not contain a user name or a password."),
            TargetError::Malformed => Self::bad_request("The request's target is not a host and port to go to."),
            TargetError::Host => Self::bad_request("A request must have exactly one Host field."),
            TargetError::UnknownScheme => Self::new(
                501,
                "Not Implemented",
                "http_request_error",
                "Only http:// addresses are forwarded; anything else goes through CONNECT.",
            ),
            TargetError::Trace => Self {
                field: Cow::Borrowed("Allow: GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH, CONNECT\r\n"),
                ..Self::new(
                    405,
                    "Method Not Allowed",
                    "http_request_error",
                    "TRACE is not forwarded.",
                )
            },
        }
    }
}

impl From<FramingError> for Answer {
    fn from(error: FramingError) -> Self {
        match error {
            FramingError::TwoLengths => {
                Self::bad_request("A request has either Transfer-Encoding or Content-Length, not both.")
            }
            FramingError::ContentLength => Self::bad_request("Content-Length must be one decimal number."),
            FramingError::TransferEncoding => {
                Self::bad_request("Transfer-Encoding must be the one word chunked, in HTTP/1.1.")
            }
            FramingError::UnknownCoding => Self::new(
                501,
                "Not Implemented",
                "http_request_error",
                "The only transfer coding spoken here is chunked.",
            ),
        }
    }
}

impl From<Denied> for Answer {
    fn from(denied: Denied) -> Self {
        let (status, reason, kind) = match denied {
            Denied::Connections(_) => (429, "Too Many Requests", "connection_limit_reached"),
            Denied::Sources(_) => (403, "Forbidden", "http_request_denied"),
            Denied::Traffic => (402, "Payment Required", "http_request_denied"),
        };
        Self {
            status,
            reason,
            error: kind,
            sentence: Cow::Owned(as_sentence(&denied.to_string())),
            field: Cow::Borrowed(""),
        }
    }
}

impl From<DialError> for Answer {
    fn from(error: DialError) -> Self {
        let (status, reason, kind) = match &error {
            DialError::Prohibited(_) => (403, "Forbidden", "destination_ip_prohibited"),
            DialError::NoSuchName(_) => (502, "Bad Gateway", "dns_error"),
            DialError::NameTimeout(_) => (504, "Gateway Timeout", "dns_timeout"),
            DialError::Refused => (502, "Bad Gateway", "connection_refused"),
            DialError::NetworkUnreachable | DialError::HostUnreachable => {
                (502, "Bad Gateway", "destination_ip_unroutable")
            }
            DialError::TimedOut => (504, "Gateway Timeout", "connection_timeout"),
            DialError::ExitUnavailable { .. } => (503, "Service Unavailable", "destination_unavailable"),
            DialError::NoUdp => (501, "Not Implemented", "http_request_error"),
        };
        let field = match &error {
            DialError::ExitUnavailable { retry_after, .. } => {
                Cow::Owned(format!("Retry-After: {}\r\n", whole_seconds(*retry_after)))
            }
            _ => Cow::Borrowed(""),
        };
        Self {
            status,
            reason,
            error: kind,
            sentence: Cow::Owned(as_sentence(&error.to_string())),
            field,
        }
    }
}

/// Rounded up: a client that comes back earlier would find nothing changed.
fn whole_seconds(duration: Duration) -> u64 {
    (duration.as_secs() + u64::from(duration.subsec_nanos() > 0)).max(1)
}

/// With a capital letter and a full stop.
fn as_sentence(error: &str) -> String {
    let mut characters = error.chars();
    let first = characters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(characters).chain(['.']).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail by panicking")]
mod tests {
    use super::*;

    /// The table of outcomes that all protocols share, in HTTP's words.
    #[test]
    fn every_way_in_which_a_dial_fails_has_its_answer() {
        let name = || "h.example".to_owned();
        let unavailable = |retry_after| DialError::ExitUnavailable {
            reason: "it is rotating".to_owned(),
            retry_after,
        };
        for (error, expected) in [
            (
                DialError::Prohibited("this address is private".to_owned()),
                "403 Forbidden|destination_ip_prohibited|This address is private.",
            ),
            (
                DialError::NoSuchName(name()),
                "502 Bad Gateway|dns_error|The name h.example does not exist.",
            ),
            (
                DialError::NameTimeout(name()),
                "504 Gateway Timeout|dns_timeout|The name servers gave no answer for h.example.",
            ),
            (
                DialError::Refused,
                "502 Bad Gateway|connection_refused|The destination refused the connection.",
            ),
            (
                DialError::NetworkUnreachable,
                "502 Bad Gateway|destination_ip_unroutable|The destination's network cannot be reached.",
            ),
            (
                DialError::HostUnreachable,
                "502 Bad Gateway|destination_ip_unroutable|The destination cannot be reached.",
            ),
            (
                DialError::TimedOut,
                "504 Gateway Timeout|connection_timeout|The destination did not answer in time.",
            ),
            (
                unavailable(Duration::from_millis(1_001)),
                "503 Service Unavailable|destination_unavailable|\
                 This proxy's exit is unavailable just now: it is rotating.|Retry-After: 2",
            ),
            (
                unavailable(Duration::ZERO),
                "503 Service Unavailable|destination_unavailable|\
                 This proxy's exit is unavailable just now: it is rotating.|Retry-After: 1",
            ),
        ] {
            let text = String::from_utf8(Answer::from(error).bytes(true, true)).unwrap();
            let mut parts = expected.split('|');
            let mut part = || parts.next().unwrap_or_default();
            let status = part();
            assert!(text.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{text}");
            let kind = part();
            assert!(
                text.contains(&format!("\r\nProxy-Status: turnpike; error={kind}\r\n")),
                "{text}"
            );
            let sentence = part();
            assert!(text.ends_with(&format!("\r\n\r\n{sentence}\n")), "{text}");
            assert!(
                text.contains(&format!("\r\nContent-Length: {}\r\n", sentence.len() + 1)),
                "{text}"
            );
            let retry = part();
            assert_eq!(text.contains("Retry-After"), !retry.is_empty(), "{text}");
            assert!(text.contains(retry), "{text}");
        }
    }

    #[test]
    fn an_answer_to_head_is_its_head_alone() {
        let whole = Answer::LOGIN_REQUIRED.bytes(true, true);
        let head = Answer::LOGIN_REQUIRED.bytes(true, false);
        assert!(whole.starts_with(&head) && head.ends_with(b"\r\n\r\n"));
    }
}
