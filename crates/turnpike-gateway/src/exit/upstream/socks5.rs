//! The client's side of SOCKS5, as far as an exit needs it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use secrecy::{ExposeSecret as _, SecretString};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{DialError, UpstreamError, misbehaves, prohibited, refuses};

/// Greeting and login (RFC 1928 §3, RFC 1929).
pub(super) async fn log_in(
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
        ([0x05, PASSWORD], Some((username, password))) => give_password(stream, username, password).await,
        ([0x05, PASSWORD], None) => Err(refuses("wants a password, and none is configured")),
        ([0x05, NONE_ACCEPTABLE], _) => Err(refuses("accepts no way of login that we have")),
        _ => Err(misbehaves("does not speak SOCKS5")),
    }
}

async fn give_password(stream: &mut TcpStream, username: &str, password: &SecretString) -> Result<(), UpstreamError> {
    let password = password.expose_secret();
    let lengths = (u8::try_from(username.len()), u8::try_from(password.len()));
    let (Ok(username_length), Ok(password_length)) = lengths else {
        return Err(refuses("cannot be given credentials of more than 255 bytes"));
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

/// Asks for a connection (RFC 1928 §4 to §6).
pub(super) async fn connect(stream: &mut TcpStream, to: SocketAddr) -> Result<(), UpstreamError> {
    // BND.ADDR and BND.PORT tell nothing that we need, but what follows them is the destination's first byte.
    match request(stream, CONNECT, to).await? {
        Ok(_) => Ok(()),
        Err(reply) => Err(of_reply(reply)),
    }
}

/// Asks for an association (RFC 1928 §7). It answers where the proxy takes datagrams, as it says itself.
pub(super) async fn associate(stream: &mut TcpStream) -> Result<Bound, UpstreamError> {
    // Where we will send from is not known behind a NAT, and some proxies insist on what they were told.
    let unknown = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
    match request(stream, ASSOCIATE, unknown).await? {
        Ok(Bound { port: 0, .. }) => Err(misbehaves("opened an association without a port")),
        Ok(bound) => Ok(bound),
        // Not allowed, command not supported, address type not supported: whatever it is, it will not pass.
        Err(0x02 | 0x07 | 0x08) => Err(UpstreamError::Destination(DialError::NoUdp)),
        Err(reply) => Err(UpstreamError::BrokeOff(format!("general failure {reply:02X}"))),
    }
}

const CONNECT: u8 = 0x01;
const ASSOCIATE: u8 = 0x03;

/// BND.ADDR and BND.PORT of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bound {
    /// Absent where it is a name.
    pub(super) address: Option<IpAddr>,
    pub(super) port: u16,
}

/// Sends a request; what was bound for it, or the code of its refusal.
async fn request(stream: &mut TcpStream, command: u8, to: SocketAddr) -> Result<Result<Bound, u8>, UpstreamError> {
    let mut request = vec![0x05, command, 0x00];
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
        return Ok(Err(reply));
    }
    let address = match kind {
        0x01 => Some(IpAddr::V4(Ipv4Addr::from_bits(
            stream.read_u32().await.map_err(broken)?,
        ))),
        0x04 => Some(IpAddr::V6(Ipv6Addr::from_bits(
            stream.read_u128().await.map_err(broken)?,
        ))),
        0x03 => {
            let length = u64::from(stream.read_u8().await.map_err(broken)?);
            let mut name = Vec::new();
            stream.take(length).read_to_end(&mut name).await.map_err(broken)?;
            None
        }
        _ => return Err(misbehaves("does not speak SOCKS5")),
    };
    let port = stream.read_u16().await.map_err(broken)?;
    Ok(Ok(Bound { address, port }))
}

fn of_reply(reply: u8) -> UpstreamError {
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
