//! Going out through somebody else's proxy: HTTP CONNECT (RFC 9110 §9.3.6) and SOCKS5 (RFC 1928, 1929).
//!
//! Three parties can fail here, and customers are told which: the proxy itself ([`UpstreamError::Down`]), the
//! destination behind it as the proxy reports it ([`UpstreamError::Destination`]), or this machine. The proxy's own
//! name is resolved by the gateway's name servers, without a source address: that path is the operator's, not the exit's.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::dialling::{DialError, RETRY_AFTER};
use super::health::{Cause, Finding};
use super::{ExitWay, Source, Upstream};
use crate::dial::{self, AttemptError, Families};
use crate::resolve::Resolver;

/// For reaching the proxy and logging in; what follows is bounded by the dial as a whole.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(4);

/// The longest head of an answer to CONNECT.
const MAX_HEAD: usize = 16 * 1024;

/// An exit's upstream proxy.
#[derive(Debug, Clone, Copy)]
pub(super) struct Proxy<'a> {
    protocol: Protocol,
    upstream: &'a Upstream,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Http,
    Socks5,
}

/// Why there is no connection through the proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum UpstreamError {
    /// The proxy works and says this of the destination.
    Destination(DialError),
    /// The proxy works and has no room for us just now.
    Busy(Duration),
    /// The proxy broke off: its own trouble, or its way to say that it cannot reach the destination.
    BrokeOff(String),
    /// The proxy cannot be used; the words are for the operator.
    Down(Cause, String),
    /// This machine has no port or descriptor left.
    Exhausted(String),
}

/// The upstream of `way`, where it has one.
pub(super) fn of(way: &ExitWay) -> Option<Proxy<'_>> {
    let (protocol, upstream) = match way {
        ExitWay::HttpUpstream(upstream) => (Protocol::Http, upstream),
        ExitWay::Socks5Upstream(upstream) => (Protocol::Socks5, upstream),
        ExitWay::Pool(_) | ExitWay::Prefix(_) | ExitWay::Interface(_) => return None,
    };
    Some(Proxy { protocol, upstream })
}

impl Proxy<'_> {
    /// A connection to `destination` through the proxy, and what arrived behind the proxy's answer.
    pub(super) async fn connect(
        &self,
        resolver: &Arc<Resolver>,
        destination: SocketAddr,
    ) -> Result<(TcpStream, Bytes), UpstreamError> {
        let mut stream = self.log_in(resolver).await?;
        let early = match self.protocol {
            Protocol::Http => {
                let credentials = self.upstream.credentials.as_ref();
                http_connect(&mut stream, destination, credentials).await?
            }
            Protocol::Socks5 => {
                socks_connect(&mut stream, destination).await?;
                Bytes::new()
            }
        };
        Ok((stream, early))
    }

    /// Whether the proxy can be used, as far as that shows without asking it for a destination; `login_suffices` says
    /// whether that is far enough.
    pub(super) async fn examine(&self, resolver: &Arc<Resolver>, login_suffices: bool) -> Finding {
        match self.log_in(resolver).await {
            Ok(_) if login_suffices => Finding::Works,
            Err(UpstreamError::Down(cause, detail)) => Finding::Fails(cause, detail),
            Ok(_) | Err(_) => Finding::Unclear,
        }
    }

    /// Whether a login that works refutes that the exit is down for `cause`. HTTP has no login apart from a request,
    /// and no login tells whether destinations answer behind the proxy: there only a customer's dial can.
    pub(super) fn login_proves(&self, cause: Cause) -> bool {
        match cause {
            Cause::Source | Cause::Upstream => true,
            Cause::Credentials => self.protocol == Protocol::Socks5,
            Cause::Silence => false,
        }
    }

    /// Reaches the proxy and, where the protocol has a login of its own, logs in.
    async fn log_in(&self, resolver: &Arc<Resolver>) -> Result<TcpStream, UpstreamError> {
        let login = async {
            let mut stream = self.reach(resolver).await?;
            if self.protocol == Protocol::Socks5 {
                socks_log_in(&mut stream, self.upstream.credentials.as_ref()).await?;
            }
            Ok(stream)
        };
        tokio::time::timeout(LOGIN_TIMEOUT, login)
            .await
            .unwrap_or_else(|_| Err(self.down("did not answer in time")))
    }

    async fn reach(&self, resolver: &Arc<Resolver>) -> Result<TcpStream, UpstreamError> {
        let host = self.upstream.host.as_str();
        let literal = host.trim_start_matches('[').trim_end_matches(']');
        let addresses = match literal.parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) => resolver
                .addresses(host, Families { v4: true, v6: true })
                .await
                .map_err(|_| self.down("has a name that cannot be resolved"))?,
        };
        let candidates = addresses
            .into_iter()
            .map(|address| SocketAddr::new(address, self.upstream.port))
            .collect();
        let connect = async |address: SocketAddr| {
            let socket = Source::Unbound.tcp(address.ip())?;
            socket
                .connect(address)
                .await
                .map_err(|error| AttemptError::of_connect(&error))
        };
        dial::race(&dial::in_order(candidates), connect)
            .await
            .map_err(|error| match error {
                AttemptError::Exhausted(reason) => UpstreamError::Exhausted(reason),
                AttemptError::Refused => self.down("refused the connection"),
                AttemptError::TimedOut => self.down("did not answer in time"),
                AttemptError::NetworkUnreachable
                | AttemptError::HostUnreachable
                | AttemptError::Source(_) => self.down("cannot be reached"),
            })
    }

    fn down(&self, what: &str) -> UpstreamError {
        let Upstream { host, port, .. } = self.upstream;
        UpstreamError::Down(
            Cause::Upstream,
            format!("the upstream proxy {host}:{port} {what}"),
        )
    }
}

fn refuses(what: &str) -> UpstreamError {
    UpstreamError::Down(Cause::Credentials, format!("the upstream proxy {what}"))
}

fn misbehaves(what: &str) -> UpstreamError {
    UpstreamError::Down(Cause::Upstream, format!("the upstream proxy {what}"))
}

/// Greeting and login (RFC 1928 §3, RFC 1929).
async fn socks_log_in(
    stream: &mut TcpStream,
    credentials: Option<&(String, SecretString)>,
) -> Result<(), UpstreamError> {
    const NO_LOGIN: u8 = 0x00;
    const PASSWORD: u8 = 0x02;
    const NONE_ACCEPTABLE: u8 = 0xFF;
    // Both are offered where we have a password: a proxy may know us by our address and want none.
    let greeting: &[u8] = match credentials {
        Some(_) => &[0x05, 2, NO_LOGIN, PASSWORD],
        None => &[0x05, 1, NO_LOGIN],
    };
    let broken = |_| misbehaves("broke off at the greeting");
    stream.write_all(greeting).await.map_err(broken)?;
    let mut answer = [0_u8; 2];
    stream.read_exact(&mut answer).await.map_err(broken)?;
    match (answer, credentials) {
        ([0x05, NO_LOGIN], _) => Ok(()),
        ([0x05, PASSWORD], Some((username, password))) => {
            socks_password(stream, username, password).await
        }
        ([0x05, PASSWORD], None) => Err(refuses("wants a password, and none is configured")),
        ([0x05, NONE_ACCEPTABLE], _) => Err(refuses("accepts no way of login that we have")),
        _ => Err(misbehaves("does not speak SOCKS5")),
    }
}

async fn socks_password(
    stream: &mut TcpStream,
    username: &str,
    password: &SecretString,
) -> Result<(), UpstreamError> {
    let password = password.expose_secret();
    let lengths = (u8::try_from(username.len()), u8::try_from(password.len()));
    let (Ok(username_length), Ok(password_length)) = lengths else {
        return Err(refuses(
            "cannot be given credentials of more than 255 bytes",
        ));
    };
    let mut login = Vec::with_capacity(3 + username.len() + password.len());
    login.extend_from_slice(&[0x01, username_length]);
    login.extend_from_slice(username.as_bytes());
    login.push(password_length);
    login.extend_from_slice(password.as_bytes());
    // Some proxies answer a wrong password by closing.
    let refused = |_| refuses("refused our credentials");
    stream.write_all(&login).await.map_err(refused)?;
    let mut answer = [0_u8; 2];
    stream.read_exact(&mut answer).await.map_err(refused)?;
    match answer {
        [_, 0x00] => Ok(()),
        _ => Err(refuses("refused our credentials")),
    }
}

/// The request and its reply (RFC 1928 §4 to §6).
async fn socks_connect(stream: &mut TcpStream, to: SocketAddr) -> Result<(), UpstreamError> {
    let mut request = vec![0x05, 0x01, 0x00];
    match to.ip() {
        IpAddr::V4(address) => {
            request.push(0x01);
            request.extend_from_slice(&address.octets());
        }
        IpAddr::V6(address) => {
            request.push(0x04);
            request.extend_from_slice(&address.octets());
        }
    }
    request.extend_from_slice(&to.port().to_be_bytes());
    let broken = |error: std::io::Error| UpstreamError::BrokeOff(error.to_string());
    stream.write_all(&request).await.map_err(broken)?;
    let mut head = [0_u8; 4];
    stream.read_exact(&mut head).await.map_err(broken)?;
    let [version, reply, _, kind] = head;
    if version != 0x05 {
        return Err(misbehaves("does not speak SOCKS5"));
    }
    if reply != 0x00 {
        return Err(of_socks_reply(reply));
    }
    // BND.ADDR and BND.PORT tell nothing that we need, but what follows them is the destination's first byte.
    let rest = match kind {
        0x01 => 4 + 2,
        0x04 => 16 + 2,
        0x03 => usize::from(stream.read_u8().await.map_err(broken)?) + 2,
        _ => return Err(misbehaves("does not speak SOCKS5")),
    };
    let mut bound = [0_u8; 255 + 2];
    let bound = bound
        .get_mut(..rest)
        .ok_or_else(|| misbehaves("does not speak SOCKS5"))?;
    stream.read_exact(bound).await.map_err(broken)?;
    Ok(())
}

fn of_socks_reply(reply: u8) -> UpstreamError {
    UpstreamError::Destination(match reply {
        0x02 => prohibited(),
        0x03 | 0x08 => DialError::NetworkUnreachable,
        0x04 => DialError::HostUnreachable,
        0x05 => DialError::Refused,
        0x06 => DialError::TimedOut,
        0x07 => return misbehaves("does not know CONNECT"),
        _ => return UpstreamError::BrokeOff(format!("general failure {reply:02X}")),
    })
}

fn prohibited() -> DialError {
    DialError::Prohibited("this proxy's upstream does not allow this destination".to_owned())
}

/// CONNECT and the answer to it; gives back what followed the answer's head.
async fn http_connect(
    stream: &mut TcpStream,
    to: SocketAddr,
    credentials: Option<&(String, SecretString)>,
) -> Result<Bytes, UpstreamError> {
    let mut request = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n");
    if let Some((username, password)) = credentials {
        let pair = format!("{username}:{}", password.expose_secret());
        request.push_str("Proxy-Authorization: Basic ");
        STANDARD.encode_string(pair, &mut request);
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    let broken = |error: std::io::Error| UpstreamError::BrokeOff(error.to_string());
    stream.write_all(request.as_bytes()).await.map_err(broken)?;
    let mut answer = BytesMut::with_capacity(1_024);
    let mut searched = 0;
    let head = loop {
        if stream.read_buf(&mut answer).await.map_err(broken)? == 0 {
            let closed = "the upstream proxy closed instead of answering".to_owned();
            return Err(UpstreamError::BrokeOff(closed));
        }
        if let Some(length) = end_of_head(&answer, searched) {
            break answer.split_to(length);
        }
        // The end may straddle two reads.
        searched = answer.len().saturating_sub(3);
        if answer.len() >= MAX_HEAD {
            return Err(misbehaves("sent a head of more than 16 KiB"));
        }
    };
    let head = String::from_utf8_lossy(&head);
    match status(&head) {
        Some(200..=299) => Ok(answer.freeze()),
        Some(status) => Err(of_http_status(status, &head)),
        None => Err(misbehaves("does not speak HTTP")),
    }
}

fn end_of_head(answer: &[u8], from: usize) -> Option<usize> {
    let unsearched = answer.get(from..)?;
    let at = unsearched.windows(4).position(|four| four == b"\r\n\r\n")?;
    Some(from + at + 4)
}

/// The status of `HTTP/1.1 200 Connection established`.
fn status(head: &str) -> Option<u16> {
    let mut words = head.lines().next()?.split(' ');
    words
        .next()
        .filter(|version| version.starts_with("HTTP/1."))?;
    words.next()?.parse().ok()
}

fn header<'a>(head: &'a str, wanted: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case(wanted).then(|| value.trim())
    })
}

fn of_http_status(status: u16, head: &str) -> UpstreamError {
    let retry_after = header(head, "retry-after")
        .and_then(|value| value.parse().ok())
        .map(|seconds: u64| Duration::from_secs(seconds.min(3_600)));
    if let Some(said) = header(head, "proxy-status").and_then(of_proxy_status) {
        return UpstreamError::Destination(said);
    }
    match (status, retry_after) {
        (401 | 402 | 407, _) => refuses(&format!("refused our credentials ({status})")),
        (403, _) => UpstreamError::Destination(prohibited()),
        (429, wait) => UpstreamError::Busy(wait.unwrap_or(RETRY_AFTER)),
        (503, Some(wait)) => UpstreamError::Busy(wait),
        // Squid answers 503 for destinations that it cannot reach.
        (404 | 502 | 503, _) => UpstreamError::Destination(DialError::HostUnreachable),
        (504, _) => UpstreamError::Destination(DialError::TimedOut),
        _ => UpstreamError::BrokeOff(format!("the upstream proxy answered {status} to CONNECT")),
    }
}

/// What `Proxy-Status: name; error=connection_refused` says of the destination (RFC 9209 §2.3).
fn of_proxy_status(value: &str) -> Option<DialError> {
    let error = value
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
