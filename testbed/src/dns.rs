//! A name server that knows a few names.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// Answers on loopback until it is dropped.
#[derive(Debug)]
pub struct NameServer {
    address: SocketAddr,
    ended: Arc<AtomicBool>,
}

impl NameServer {
    /// Knows these names, each with one IPv4 address; no other name exists.
    #[must_use]
    pub fn knowing(names: &[(&str, Ipv4Addr)]) -> Self {
        let names: Vec<_> = names.iter().map(|(name, address)| (encoded(name), *address)).collect();
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a UDP socket");
        // So that the thread notices that it has been dropped.
        socket
            .set_read_timeout(Some(Duration::from_millis(50)))
            .expect("a time limit");
        let address = socket.local_addr().expect("the socket's address");
        let ended = Arc::new(AtomicBool::new(false));
        let server = Self {
            address,
            ended: Arc::clone(&ended),
        };
        thread::spawn(move || {
            let mut buffer = [0; 1_500];
            while !ended.load(Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut buffer) else {
                    continue;
                };
                if let Some(answer) = answer(&buffer[..length], &names) {
                    let _ = socket.send_to(&answer, from);
                }
            }
        });
        server
    }

    /// Where it answers.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

/// RFC 1035 §4: the header, the question as it came, and one answer where there is one.
fn answer(query: &[u8], names: &[(Vec<u8>, Ipv4Addr)]) -> Option<Vec<u8>> {
    const A: &[u8] = &[0, 1, 0, 1];
    let end = 12 + query.get(12..)?.iter().position(|byte| *byte == 0)? + 1;
    let (name, kind) = (query.get(12..end)?, query.get(end..end + 4)?);
    let found = names.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    let address = found.filter(|_| kind == A).map(|(_, address)| address);
    // A response, recursion available; NXDOMAIN where the name is unknown.
    let flags = [0x81, if found.is_some() { 0x80 } else { 0x83 }];
    let counts = [0, 1, 0, u8::from(address.is_some()), 0, 0, 0, 0];
    let mut answer = [&query[..2], &flags, &counts, name, kind].concat();
    if let Some(address) = address {
        // A pointer to the question's name, the kind, 60 seconds, four bytes.
        answer.extend([&[0xc0, 12], A, &[0, 0, 0, 60, 0, 4], &address.octets()].concat());
    }
    Some(answer)
}

fn encoded(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).expect("a short label"));
        bytes.extend(label.bytes());
    }
    bytes.push(0);
    bytes
}
