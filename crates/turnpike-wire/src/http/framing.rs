//! How long a body is (RFC 9112 §6.3), decided strictly.

use super::head::{Fields, RequestHead, ResponseHead, Version};

/// What follows a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// Nothing.
    Empty,
    /// This many bytes.
    Length(u64),
    /// Chunks (RFC 9112 §7.1).
    Chunked,
    /// Whatever comes until the origin closes; never of a request.
    UntilClose,
}

/// Why a message's length cannot be known for certain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// Two lengths: the classic of request smuggling.
    #[error("a message has either Transfer-Encoding or Content-Length, not both")]
    TwoLengths,
    /// Not one field with digits up to 2^63-1.
    #[error("Content-Length must be one decimal number")]
    ContentLength,
    /// Not one field that says `chunked`, or a coding that HTTP/1.0 does not have.
    #[error("Transfer-Encoding must be the one word chunked, in HTTP/1.1")]
    TransferEncoding,
    /// A transfer coding that is not spoken here.
    #[error("the only transfer coding spoken here is chunked")]
    UnknownCoding,
}

/// The body of a request; nothing ambiguous passes.
///
/// # Errors
/// [`FramingError`]; the connection cannot go on.
pub fn request_body(head: &RequestHead<'_>) -> Result<Body, FramingError> {
    let has_length = head.fields.has("content-length");
    if !head.fields.has("transfer-encoding") {
        return Ok(content_length(&head.fields)?.map_or(Body::Empty, Body::Length));
    }
    if has_length {
        return Err(FramingError::TwoLengths);
    }
    if head.version == Version::Http10 {
        return Err(FramingError::TransferEncoding);
    }
    chunked_only(&head.fields)?;
    Ok(Body::Chunked)
}

/// A response's body, and what its framing asks of the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponseFraming {
    /// The body.
    pub body: Body,
    /// Whether `Content-Length` must not go onward: it was contradicted, or the status has none.
    pub drop_content_length: bool,
    /// Whether `Transfer-Encoding` must not go onward: the status has none (RFC 9112 §6.1).
    pub drop_transfer_encoding: bool,
    /// Whether the origin's connection may be used again.
    pub reusable: bool,
}

/// The body of a response to a request of `method`.
///
/// # Errors
/// [`FramingError`]; nothing of it may be passed on.
pub fn response_framing(head: &ResponseHead<'_>, method: &str) -> Result<ResponseFraming, FramingError> {
    let bodiless = matches!(head.status, 100..=199 | 204);
    let plain = |body| ResponseFraming {
        body,
        drop_content_length: bodiless,
        drop_transfer_encoding: bodiless,
        reusable: head.keeps_alive() && body != Body::UntilClose,
    };
    if bodiless || head.status == 304 || method == "HEAD" {
        return Ok(plain(Body::Empty));
    }
    if !head.fields.has("transfer-encoding") {
        return Ok(plain(
            content_length(&head.fields)?.map_or(Body::UntilClose, Body::Length),
        ));
    }
    if head.version == Version::Http10 {
        return Err(FramingError::TransferEncoding);
    }
    chunked_only(&head.fields)?;
    let contradicted = head.fields.has("content-length");
    let framing = plain(Body::Chunked);
    Ok(ResponseFraming {
        drop_content_length: contradicted,
        reusable: framing.reusable && !contradicted,
        ..framing
    })
}

fn content_length(fields: &Fields<'_>) -> Result<Option<u64>, FramingError> {
    let mut values = fields.values("content-length");
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() || value.is_empty() || value.len() > 19 {
        return Err(FramingError::ContentLength);
    }
    let mut length: u64 = 0;
    for &byte in value {
        let digit = char::from(byte).to_digit(10).ok_or(FramingError::ContentLength)?;
        length = length
            .checked_mul(10)
            .and_then(|tens| tens.checked_add(u64::from(digit)))
            .filter(|&sum| sum <= i64::MAX.unsigned_abs())
            .ok_or(FramingError::ContentLength)?;
    }
    Ok(Some(length))
}

fn chunked_only(fields: &Fields<'_>) -> Result<(), FramingError> {
    let mut values = fields.values("transfer-encoding");
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(FramingError::TransferEncoding);
    };
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(());
    }
    let is_other_token = value
        .iter()
        .all(|&byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte));
    if is_other_token && !value.is_empty() {
        return Err(FramingError::UnknownCoding);
    }
    Err(FramingError::TransferEncoding)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test's panic is its failure")]
mod tests {
    use super::*;
    use FramingError::{ContentLength, TransferEncoding, TwoLengths, UnknownCoding};

    #[test]
    fn a_request_is_framed_in_one_way_or_refused() {
        for (version, fields, expected) in [
            ("1.1", "", Ok(Body::Empty)),
            ("1.0", "", Ok(Body::Empty)),
            ("1.1", "Content-Length: 0", Ok(Body::Length(0))),
            ("1.0", "Content-Length: 5", Ok(Body::Length(5))),
            ("1.1", "content-length:5", Ok(Body::Length(5))),
            ("1.1", "Content-Length: \t5 \t", Ok(Body::Length(5))),
            ("1.1", "Content-Length: 0000005", Ok(Body::Length(5))),
            (
                "1.1",
                "Content-Length: 9223372036854775807",
                Ok(Body::Length(i64::MAX as u64)),
            ),
            ("1.1", "Transfer-Encoding: chunked", Ok(Body::Chunked)),
            ("1.1", "TRANSFER-ENCODING: Chunked", Ok(Body::Chunked)),
            ("1.1", "Content-Length: 9223372036854775808", Err(ContentLength)),
            ("1.1", "Content-Length: 18446744073709551615", Err(ContentLength)),
            ("1.1", "Content-Length: 18446744073709551616", Err(ContentLength)),
            ("1.1", "Content-Length: 18446744073709551621", Err(ContentLength)),
            ("1.1", "Content-Length: 00000000000000000005", Err(ContentLength)),
            ("1.1", "Content-Length:", Err(ContentLength)),
            ("1.1", "Content-Length: +5", Err(ContentLength)),
            ("1.1", "Content-Length: -5", Err(ContentLength)),
            ("1.1", "Content-Length: 0x5", Err(ContentLength)),
            ("1.1", "Content-Length: 5a", Err(ContentLength)),
            ("1.1", "Content-Length: 5.0", Err(ContentLength)),
            ("1.1", "Content-Length: 5 5", Err(ContentLength)),
            ("1.1", "Content-Length: 5,5", Err(ContentLength)),
            ("1.1", "Content-Length: 5, 5", Err(ContentLength)),
            ("1.1", "Content-Length: 5,", Err(ContentLength)),
            ("1.1", "Content-Length: 5;", Err(ContentLength)),
            ("1.1", "Content-Length: \"5\"", Err(ContentLength)),
            ("1.1", "Content-Length: 5_0", Err(ContentLength)),
            ("1.1", "Content-Length: ５", Err(ContentLength)),
            ("1.1", "Content-Length: 5\r\nContent-Length: 5", Err(ContentLength)),
            ("1.1", "Content-Length: 5\r\ncontent-length: 6", Err(ContentLength)),
            ("1.1", "Content-Length: 5\r\nContent-Length:", Err(ContentLength)),
            (
                "1.1",
                "Content-Length: 5\r\nTransfer-Encoding: chunked",
                Err(TwoLengths),
            ),
            (
                "1.1",
                "Transfer-Encoding: chunked\r\nContent-Length: 5",
                Err(TwoLengths),
            ),
            (
                "1.1",
                "Transfer-Encoding: chunked\r\nContent-Length: 0",
                Err(TwoLengths),
            ),
            (
                "1.0",
                "Transfer-Encoding: chunked\r\nContent-Length: 5",
                Err(TwoLengths),
            ),
            (
                "1.1",
                "Transfer-Encoding: identity\r\nContent-Length: 5",
                Err(TwoLengths),
            ),
            ("1.0", "Transfer-Encoding: chunked", Err(TransferEncoding)),
            ("1.1", "Transfer-Encoding:", Err(TransferEncoding)),
            ("1.1", "Transfer-Encoding: chunked, chunked", Err(TransferEncoding)),
            ("1.1", "Transfer-Encoding: gzip, chunked", Err(TransferEncoding)),
            ("1.1", "Transfer-Encoding: chunked, identity", Err(TransferEncoding)),
            ("1.1", "Transfer-Encoding: ,chunked", Err(TransferEncoding)),
            ("1.1", "Transfer-Encoding: chunked,", Err(TransferEncoding)),
            ("1.1", "Transfer-Encoding: chunked;q=1", Err(TransferEncoding)),
            ("1.1", "Transfer-Encoding: \"chunked\"", Err(TransferEncoding)),
            ("1.1", "Transfer-Encoding: chun ked", Err(TransferEncoding)),
            ("1.1", "Transfer-Encoding: \u{b}chunked", Err(TransferEncoding)),
            (
                "1.1",
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
                Err(TransferEncoding),
            ),
            (
                "1.1",
                "Transfer-Encoding: chunked\r\ntransfer-encoding: identity",
                Err(TransferEncoding),
            ),
            ("1.1", "Transfer-Encoding: identity", Err(UnknownCoding)),
            ("1.1", "Transfer-Encoding: gzip", Err(UnknownCoding)),
            ("1.1", "Transfer-Encoding: xchunked", Err(UnknownCoding)),
        ] {
            let end = if fields.is_empty() { "\r\n" } else { "\r\n\r\n" };
            let text = format!("POST http://a/ HTTP/{version}\r\n{fields}{end}");
            // A vertical tab is not even a head.
            let Ok(head) = RequestHead::parse(text.as_bytes()) else {
                assert!(text.contains('\u{b}'), "{text:?}");
                continue;
            };
            assert_eq!(request_body(&head), expected, "{text:?}");
        }
    }

    #[test]
    fn a_response_is_framed_by_its_request_its_status_and_its_fields() {
        let framing = |body, reusable| Ok((body, false, false, reusable));
        for (method, text, expected) in [
            (
                "GET",
                "HTTP/1.1 200 OK\r\nContent-Length: 5",
                framing(Body::Length(5), true),
            ),
            (
                "GET",
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close",
                framing(Body::Length(5), false),
            ),
            (
                "GET",
                "HTTP/1.0 200 OK\r\nContent-Length: 5",
                framing(Body::Length(5), false),
            ),
            (
                "GET",
                "HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive",
                framing(Body::Length(5), true),
            ),
            (
                "GET",
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked",
                framing(Body::Chunked, true),
            ),
            ("GET", "HTTP/1.1 200 OK", framing(Body::UntilClose, false)),
            (
                "HEAD",
                "HTTP/1.1 200 OK\r\nContent-Length: 5",
                framing(Body::Empty, true),
            ),
            (
                "HEAD",
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked",
                framing(Body::Empty, true),
            ),
            (
                "GET",
                "HTTP/1.1 304 Not Modified\r\nContent-Length: 5",
                framing(Body::Empty, true),
            ),
            (
                "GET",
                "HTTP/1.1 204 No Content\r\nContent-Length: 5",
                Ok((Body::Empty, true, true, true)),
            ),
            (
                "GET",
                "HTTP/1.1 100 Continue\r\nTransfer-Encoding: chunked",
                Ok((Body::Empty, true, true, true)),
            ),
            (
                "GET",
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked",
                Ok((Body::Chunked, true, false, false)),
            ),
            (
                "GET",
                "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked",
                Err(TransferEncoding),
            ),
            (
                "GET",
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked",
                Err(TransferEncoding),
            ),
            ("GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip", Err(UnknownCoding)),
            (
                "GET",
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5",
                Err(ContentLength),
            ),
            ("GET", "HTTP/1.1 200 OK\r\nContent-Length: -1", Err(ContentLength)),
        ] {
            let text = format!("{text}\r\n\r\n");
            let head = ResponseHead::parse(text.as_bytes()).unwrap();
            let framed = response_framing(&head, method)
                .map(|it| (it.body, it.drop_content_length, it.drop_transfer_encoding, it.reusable));
            assert_eq!(framed, expected, "{method} {text:?}");
        }
    }
}
