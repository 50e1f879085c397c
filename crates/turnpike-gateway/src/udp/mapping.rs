//! An association's socket to the outside, for one family.
//!
//! It sends to every destination from one port, and takes replies from anybody (RFC 4787: endpoint-independent mapping
//! and filtering; games and calls need it). It lives while it is used; the association opens another when it must.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rustix::io::Errno;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::socket::{DatagramSocket, Received};
use crate::descriptors::Permit;
use crate::exit::UdpEgress;

/// Without a datagram either way, a mapping ends after this time (RFC 4787 REQ-5).
const IDLE: Duration = Duration::from_secs(300);

/// The same where all that was sent were questions to name servers: one datagram each way, and then nobody cares.
const IDLE_AFTER_DNS: Duration = Duration::from_secs(15);

const DNS: u16 = 53;

#[derive(Debug)]
pub(super) struct Mapping {
    socket: DatagramSocket,
    /// Cancelled when the exit gives its address up.
    lease: CancellationToken,
    /// Cancelled when the socket is of no use any more: its device is gone.
    broken: CancellationToken,
    opened: Instant,
    /// When something moved last, in milliseconds since it was opened.
    moved: AtomicU64,
    is_dns_only: AtomicBool,
    _descriptor: Permit,
}

/// Why a mapping ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MappingEnd {
    Idle,
    /// The exit leaves from another address now, or from none.
    Moved,
}

impl Mapping {
    pub(super) fn new(egress: UdpEgress, descriptor: Permit) -> io::Result<Self> {
        Ok(Self {
            socket: DatagramSocket::new(egress.socket)?,
            lease: egress.lease,
            broken: CancellationToken::new(),
            opened: Instant::now(),
            moved: AtomicU64::new(0),
            is_dns_only: AtomicBool::new(true),
            _descriptor: descriptor,
        })
    }

    /// Sends without waiting; says whether it went.
    pub(super) fn send(&self, datagram: &[u8], to: SocketAddr) -> bool {
        match self.socket.send(datagram, to, None) {
            Ok(()) => {
                self.note();
                if to.port() != DNS {
                    self.is_dns_only.store(false, Ordering::Relaxed);
                }
                true
            }
            Err(error) => {
                if is_lasting(&error) {
                    self.broken.cancel();
                }
                false
            }
        }
    }

    /// Hands replies to `take` until the mapping ends.
    pub(super) async fn receive(&self, mut take: impl FnMut(Received<'_>)) -> MappingEnd {
        let moved = async {
            tokio::select! {
                () = self.lease.cancelled() => {}
                () = self.broken.cancelled() => {}
            }
        };
        let idle = self.idle();
        tokio::pin!(moved, idle);
        loop {
            tokio::select! {
                biased;
                () = &mut moved => return MappingEnd::Moved,
                received = self.socket.receive(|received| { self.note(); take(received) }) => {
                    if received.is_err_and(|error| is_lasting(&error)) {
                        return MappingEnd::Moved;
                    }
                }
                () = &mut idle => return MappingEnd::Idle,
            }
        }
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

/// Whether an error says something of the socket rather than of one datagram or one moment.
fn is_lasting(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::NODEV | Errno::NXIO | Errno::ADDRNOTAVAIL | Errno::BADF | Errno::NOTSOCK)
    )
}
