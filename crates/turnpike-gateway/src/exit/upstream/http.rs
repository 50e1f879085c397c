//! CONNECT to an HTTP proxy, and what its answer means.

use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use turnpike_wire::Parse;
use turnpike_wire::http::{HeadEnd, ResponseHead};

use super::super::dialling::RETRY_AFTER;
use super::{DialError, UpstreamError, misbehaves, prohibited, refuses};

/// No proxy's word keeps us away for longer.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3_600);

/// Asks for `to`; gives back what followed the answer's head.
pub(super) async fn connect(
    stream: &mut TcpStream,
    to: SocketAddr,
    credentials: Option<&(String, SecretString)>,
) -> Result<Bytes, UpstreamError> {
    let broken = |error: std::io::Error| UpstreamError::BrokeOff(error.to_string());
    let request = request(to, credentials);
    stream.write_all(request.as_bytes()).await.map_err(broken)?;
    let mut answer = BytesMut::with_capacity(1_024);
    let mut end = HeadEnd::first();
    let length = loop {
        if stream.read_buf(&mut answer).await.map_err(broken)? == 0 {
            return Err(UpstreamError::BrokeOff("closed without an answer".to_owned()));
        }
        match end.find(&answer) {
            Parse::Done(_, length) => break length,
            Parse::Need(_) => {}
            Parse::Refuse(_) => return Err(misbehaves("does not speak HTTP")),
        }
    };
    let head = answer.split_to(length);
    let head = ResponseHead::parse(&head).map_err(|_| misbehaves("does not speak HTTP"))?;
    match head.status {
        // Whatever its fields say: an answer of 2xx to CONNECT has no body (RFC 9110 §9.3.6).
        200..=299 => Ok(answer.freeze()),
        _ => Err(of_refusal(&head)),
    }
}

fn request(to: SocketAddr, credentials: Option<&(String, SecretString)>) -> String {
    let mut request = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n");
    if let Some((username, password)) = credentials {
        let pair = format!("{username}:{}", password.expose_secret());
        request.push_str("Proxy-Authorization: Basic ");
        STANDARD.encode_string(pair, &mut request);
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    request
}

fn of_refusal(head: &ResponseHead<'_>) -> UpstreamError {
    if let Some(said) = head.fields.members("proxy-status").find_map(of_proxy_status) {
        return UpstreamError::Destination(said);
    }
    match (head.status, retry_after(head)) {
        (401 | 402 | 407, _) => refuses(&format!("refused our credentials ({})", head.status)),
        (403, _) => UpstreamError::Destination(prohibited()),
        (429, wait) => UpstreamError::Busy(wait.unwrap_or(RETRY_AFTER)),
        (503, Some(wait)) => UpstreamError::Busy(wait),
        // For destinations that they cannot reach Squid answers 503, and tinyproxy 500.
        (404 | 500 | 502 | 503, _) => UpstreamError::Destination(DialError::HostUnreachable),
        (504, _) => UpstreamError::Destination(DialError::TimedOut),
        (status, _) => UpstreamError::BrokeOff(format!("answered {status} to CONNECT")),
    }
}

fn retry_after(head: &ResponseHead<'_>) -> Option<Duration> {
    let value = head.fields.values("retry-after").next()?;
    let seconds = std::str::from_utf8(value).ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(MAX_RETRY_AFTER))
}

/// What `name; error=connection_refused` says of the destination (RFC 9209 §2.3).
fn of_proxy_status(member: &[u8]) -> Option<DialError> {
    let error = std::str::from_utf8(member)
        .ok()?
        .split(';')
        .find_map(|parameter| parameter.trim().strip_prefix("error="))?;
    match error.trim() {
        "connection_refused" => Some(DialError::Refused),
        "connection_timeout" => Some(DialError::TimedOut),
        "destination_ip_unroutable" => Some(DialError::NetworkUnreachable),
        "destination_ip_prohibited" => Some(prohibited()),
        _ => None,
    }
}
