//! An association's socket to the outside, for one family.
//!
//! It sends to every destination from one port, and takes replies from anybody (RFC 4787: endpoint-independent mapping
//! and filtering; games and calls need it). It lives while it is used; the association opens another when it must.
//!
//! To an upstream's relay each datagram goes behind a header that names its destination, and comes from there behind one
//! that names its source (RFC 1928 §7).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use turnpike_wire::address::Host;
use turnpike_wire::socks5;

use super::socket::{DatagramSocket, Received, is_lasting};
use crate::descriptors::Permit;
use crate::exit::{UdpEgress, UpstreamAssociation};

/// Without a datagram either way, a mapping ends after this time (RFC 4787 REQ-5).
const IDLE: Duration = Duration::from_secs(300);

/// The same where all that was sent were questions to name servers: one datagram each way, and then nobody cares.
const IDLE_AFTER_DNS: Duration = Duration::from_secs(15);

pub(super) const DNS: u16 = 53;

#[derive(Debug)]
pub(super) struct Mapping {
    socket: Arc<DatagramSocket>,
    upstream: Option<UpstreamAssociation>,
    /// Cancelled when the exit gives its address up.
    lease: CancellationToken,
    opened: Instant,
    /// When something moved last, in milliseconds since it was opened.
    moved: AtomicU64,
    is_dns_only: AtomicBool,
    _descriptors: Permit,
}

/// Why a mapping ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MappingEnd {
    Idle,
    /// The exit leaves from another address now, or from none.
    Moved,
    /// The upstream proxy has ended it.
    Ended,
}

impl Mapping {
    pub(super) fn new(egress: UdpEgress) -> io::Result<Self> {
        Ok(Self {
            socket: Arc::new(DatagramSocket::new(egress.socket)?),
            upstream: egress.upstream,
            lease: egress.lease,
            opened: Instant::now(),
            moved: AtomicU64::new(0),
            is_dns_only: AtomicBool::new(true),
            _descriptors: egress.descriptors,
        })
    }

    /// Sends without waiting; says whether it went.
    pub(super) fn send(&self, datagram: &[u8], to: SocketAddr) -> bool {
        let sent = match &self.upstream {
            Some(upstream) => {
                let packet = [&socks5::datagram_header(to)[..], datagram].concat();
                self.socket.send(&packet, upstream.relay, None)
            }
            None => self.socket.send(datagram, to, None),
        };
        if sent.is_err() {
            return false;
        }
        self.note();
        if to.port() != DNS {
            self.is_dns_only.store(false, Ordering::Relaxed);
        }
        true
    }

    /// Hands replies to `take` until the mapping ends.
    pub(super) async fn receive(&self, mut take: impl FnMut(Received<'_>)) -> MappingEnd {
        let moved = async {
            tokio::select! {
                () = self.lease.cancelled() => {}
                () = self.socket.broken() => {}
            }
        };
        let ended = async {
            match &self.upstream {
                Some(upstream) => upstream.ended().await,
                None => std::future::pending().await,
            }
        };
        let idle = self.idle();
        tokio::pin!(moved, ended, idle);
        let mut take_reply = |received: Received<'_>| {
            if let Some(reply) = self.reply(received) {
                self.note();
                take(reply);
            }
        };
        loop {
            tokio::select! {
                biased;
                () = &mut moved => return MappingEnd::Moved,
                () = &mut ended => return MappingEnd::Ended,
                received = self.socket.receive(&mut take_reply) => {
                    if received.is_err_and(|error| is_lasting(&error)) {
                        return MappingEnd::Moved;
                    }
                }
                () = &mut idle => return MappingEnd::Idle,
            }
        }
    }

    /// A reply as its sender sent it. Absent where it is none of the upstream's, a fragment, or does not say by an address
    /// who sent it.
    fn reply<'a>(&self, received: Received<'a>) -> Option<Received<'a>> {
        let Some(upstream) = &self.upstream else {
            return Some(received);
        };
        if received.source != upstream.relay {
            return None;
        }
        let packet = received.datagram.payload();
        let (sender, data) = socks5::datagram(packet)?;
        let Host::Ip(address) = sender.host else { return None };
        let header = packet.len() - data.len();
        Some(Received {
            source: SocketAddr::new(address, sender.port),
            datagram: received.datagram.without(header),
            ..received
        })
    }

    /// Waits until nothing has moved for long enough. The timer is set again only when it fires.
    async fn idle(&self) {
        loop {
            let allowed = if self.is_dns_only.load(Ordering::Relaxed) {
                IDLE_AFTER_DNS
            } else {
                IDLE
            };
            let due = self.opened + Duration::from_millis(self.moved.load(Ordering::Relaxed)) + allowed;
            if due <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(due).await;
        }
    }

    fn note(&self) {
        let elapsed = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved.store(elapsed, Ordering::Relaxed);
    }
}
