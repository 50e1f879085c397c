//! What the proxy says in its own name: a status, the cause for programs (`Proxy-Status`, RFC 9209), and one sentence
//! for people. Nothing that a peer sent is repeated but a name that was found to be one.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

use turnpike_wire::http::{FramingError, HeadError, TargetError};

use crate::exit::DialError;

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
        sentence: Cow::Borrowed(
            "This proxy wants the user name and the password of its subscription.",
        ),
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

    pub(super) const BROKEN_BODY: Self =
        Self::bad_request("The request's body is not framed as chunks must be.");

    const fn new(
        status: u16,
        reason: &'static str,
        error: &'static str,
        sentence: &'static str,
    ) -> Self {
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
            HeadError::RequestLineTooLong => (
                414,
                "URI Too Long",
                "The request line is longer than 16 KiB.",
            ),
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
            TargetError::UserInfo => {
                Self::bad_request("The address must not contain a user name or a password.")
            }
            TargetError::Malformed => {
                Self::bad_request("The request's target is not a host and port to go to.")
            }
            TargetError::Host => Self::bad_request("A request must have exactly one Host field."),
            TargetError::UnknownScheme => Self::new(
                501,
                "Not Implemented",
                "http_request_error",
                "Only http:// addresses are forwarded; anything else goes through CONNECT.",
            ),
            TargetError::Trace => Self {
                field: Cow::Borrowed(
                    "Allow: GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH, CONNECT\r\n",
                ),
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
            FramingError::TwoLengths => Self::bad_request(
                "A request has either Transfer-Encoding or Content-Length, not both.",
            ),
            FramingError::ContentLength => {
                Self::bad_request("Content-Length must be one decimal number.")
            }
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
            DialError::ExitUnavailable { .. } => {
                (503, "Service Unavailable", "destination_unavailable")
            }
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

/// For the counter of refusals.
pub(super) fn refusal_reason(error: &DialError) -> &'static str {
    match error {
        DialError::Prohibited(_) => "destination",
        DialError::ExitUnavailable { .. } => "exit",
        _ => "dial",
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
