//! A test that somebody asks for: one small request through the exit, the same way as customers' connections, to a place that
//! tells from which address it came.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;
use turnpike_wire::address::Destination;

use super::dialling::Opening;
use super::{DialError, Exit};
use crate::stream::Stream;

/// A test in all.
const LONGEST: Duration = Duration::from_secs(15);

/// The longest answer: a head and an address.
const MAX_ANSWER: usize = 8 * 1024;

/// What a test through an exit found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// The address that was seen from outside, where it was told.
    pub address: Option<IpAddr>,
    /// From the lookup of the name to the end of the answer.
    pub took: Duration,
}

/// Where a test goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckTarget {
    /// As URLs write it: `shop.example:8080`, `[2001:db8::1]:80`.
    pub authority: String,
    /// Of a page that answers with the caller's address as bare text, by HTTP without TLS. Absent: connecting is all.
    pub path: Option<String>,
}

impl Exit {
    /// Connects to `target` through this exit and asks which address was seen.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub(crate) async fn check(self: &Arc<Self>, target: &CheckTarget) -> Result<Checked, String> {
        let destination = Destination::from_authority(&target.authority, None)
            .ok_or_else(|| format!("{} cannot be connected to", target.authority))?;
        let began = Instant::now();
        let work = async {
            let dialed = self
                .dial(&destination, Opening::Unknown)
                .await
                .map_err(|error| not_dialled(&error))?;
            let Some(path) = &target.path else {
                return Ok(None);
            };
            let answer = ask(&dialed.stream, dialed.early, &target.authority, path).await;
            told(&answer.map_err(|error| format!("connected, but then: {error}"))?).map(Some)
        };
        let address = tokio::time::timeout(LONGEST, work)
            .await
            .unwrap_or_else(|_| Err(format!("there was no answer within {} seconds", LONGEST.as_secs())))?;
        Ok(Checked {
            address,
            took: began.elapsed(),
        })
    }
}

/// Why the shop was not reached. That it may not be is no fault of the exit.
fn not_dialled(error: &DialError) -> String {
    match error {
        DialError::Prohibited(_) => {
            "server.public_url leads where no exit may connect to; set it to the public address at \
             which customers reach this shop"
                .to_owned()
        }
        other => other.to_string(),
    }
}

/// One request by HTTP/1.0 (RFC 1945), whose answer ends with the connection.
async fn ask(stream: &Stream, early: Bytes, host: &str, path: &str) -> std::io::Result<BytesMut> {
    let request = format!("GET {path} HTTP/1.0\r\nHost: {host}\r\nAccept: text/plain\r\nUser-Agent: turnpike\r\n\r\n");
    let mut left = request.as_bytes();
    while !left.is_empty() {
        stream.writable().await?;
        match stream.try_write(left) {
            Ok(written) => left = left.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    let mut answer = BytesMut::from(early.as_ref());
    // A read takes no more than there is room for.
    answer.reserve(MAX_ANSWER);
    while answer.len() < MAX_ANSWER {
        stream.readable().await?;
        match stream.try_read_buf(&mut answer) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(answer)
}

/// The address that an answer tells.
fn told(answer: &[u8]) -> Result<IpAddr, String> {
    let text = String::from_utf8_lossy(answer);
    let not_ours = || "something answered that is not this shop; look at server.public_url".to_owned();
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(not_ours)?;
    let status = head.split(' ').nth(1).unwrap_or_default();
    if status != "200" {
        // Only what is a number is shown of what a stranger may have sent.
        return Err(match status.parse::<u16>() {
            Ok(status) => format!("the shop answered {status}"),
            Err(_) => not_ours(),
        });
    }
    body.trim().parse().map_err(|_| not_ours())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_an_address_or_why_there_is_none() {
        let answer = |text: &str| told(text.as_bytes());
        let seen = answer("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n198.51.100.7\n");
        assert_eq!(seen, Ok(IpAddr::from([198, 51, 100, 7])));
        let refused = answer("HTTP/1.1 503 Service Unavailable\r\n\r\n198.51.100.7");
        assert_eq!(refused, Err("the shop answered 503".to_owned()));
        for other in [
            "",
            "SSH-2.0-OpenSSH_9.2\r\n",
            "HTTP/1.1 200 OK\r\n\r\n<html>",
            "HTTP/1.1 <b> OK\r\n\r\n198.51.100.7",
            "HTTP/1.1\r\n\r\n198.51.100.7",
        ] {
            assert!(answer(other).is_err_and(|why| why.contains("not this shop")), "{other}");
        }
    }
}
