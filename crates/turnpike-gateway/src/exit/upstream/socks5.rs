//! The client's side of SOCKS5, as far as an exit needs it.

use std::net::{IpAddr, SocketAddr};

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

/// The request and its reply (RFC 1928 §4 to §6).
pub(super) async fn connect(stream: &mut TcpStream, to: SocketAddr) -> Result<(), UpstreamError> {
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
        return Err(of_reply(reply));
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
