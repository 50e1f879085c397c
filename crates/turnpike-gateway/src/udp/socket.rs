//! Datagram sockets: read in batches, told to which of this machine's addresses each datagram came, and written in lots.
//!
//! There is one buffer per thread for all of them. It is filled and emptied without an await in between, so twenty
//! thousand sockets cost no more memory than one. What is sent because of a batch leaves in lots ([`outbox`]), at the latest when
//! the batch has been dealt with.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use quinn_udp::{RecvMeta, Transmit, UdpSocketState};
use rustix::io::Errno;
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio_util::sync::CancellationToken;

use super::outbox;
use crate::sockopt;

/// Datagrams read with one call.
const BATCH: usize = 16;

/// Room in front of a datagram, for the header that a customer's protocol puts there.
const HEADROOM: usize = 64;

/// No datagram is longer, and no burst that the system hands over as one.
const LONGEST: usize = 65_536;

thread_local! {
    static ROOM: RefCell<Box<[u8]>> = RefCell::new(vec![0; BATCH * (HEADROOM + LONGEST)].into_boxed_slice());
}

/// A UDP socket of this machine. Its family is one: an IPv6 socket has no IPv4 datagrams.
#[derive(Debug)]
pub(crate) struct DatagramSocket {
    socket: UdpSocket,
    state: UdpSocketState,
    /// Cancelled when the socket is of no use any more: its device is gone.
    broken: CancellationToken,
}

/// What has come, and how.
pub(super) struct Received<'a> {
    pub(super) source: SocketAddr,
    /// The address of ours that it was sent to.
    pub(super) local: Option<IpAddr>,
    pub(super) datagram: Datagram<'a>,
}

/// A datagram in the buffer that it was received into.
pub(crate) struct Datagram<'a> {
    bytes: &'a mut [u8],
    start: usize,
}

impl Datagram<'_> {
    /// What was received.
    pub(crate) fn payload(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    /// The same without its first bytes.
    pub(super) fn without(self, count: usize) -> Self {
        let start = self.start.saturating_add(count).min(self.bytes.len());
        Self { start, ..self }
    }

    /// The same, to be opened in place.
    pub(super) fn payload_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.start..).unwrap_or_default()
    }

    /// The payload behind `header`. There is room for 64 bytes.
    pub(crate) fn behind(&mut self, header: &[u8]) -> &[u8] {
        let start = self.start.saturating_sub(header.len());
        if let Some(room) = self.bytes.get_mut(start..self.start)
            && room.len() == header.len()
        {
            room.copy_from_slice(header);
        }
        self.bytes.get(start..).unwrap_or_default()
    }
}

impl DatagramSocket {
    pub(crate) fn new(socket: UdpSocket) -> io::Result<Self> {
        let state = UdpSocketState::new((&socket).into())?;
        // quinn-udp forbids fragments, as QUIC wants it. Here go datagrams of any protocol and any length.
        sockopt::allow_fragments(&socket, socket.local_addr()?.is_ipv6())?;
        let broken = CancellationToken::new();
        Ok(Self { socket, state, broken })
    }

    /// Waits until sending has shown that the socket is of no use any more.
    pub(super) async fn broken(&self) {
        self.broken.cancelled().await;
    }

    /// Waits for datagrams and hands them to `take`, one after the other.
    pub(super) async fn receive(&self, mut take: impl FnMut(Received<'_>)) -> io::Result<()> {
        poll_fn(|cx| self.poll_receive(cx, &mut take)).await
    }

    /// The same for the one task that reads this socket.
    pub(super) fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        mut take: impl FnMut(Received<'_>),
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.socket.poll_recv_ready(cx))?;
            match ROOM.with_borrow_mut(|room| self.receive_batch(room, &mut take)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                outcome => return Poll::Ready(outcome),
            }
        }
    }

    fn receive_batch(&self, room: &mut [u8], mut take: impl FnMut(Received<'_>)) -> io::Result<()> {
        let mut meta = [RecvMeta::default(); BATCH];
        let mut slots = room.chunks_exact_mut(HEADROOM + LONGEST);
        let mut buffers: [IoSliceMut<'_>; BATCH] = std::array::from_fn(|_| {
            let slot = slots.next().and_then(|slot| slot.get_mut(HEADROOM..));
            IoSliceMut::new(slot.unwrap_or_default())
        });
        let count = self.socket.try_io(Interest::READABLE, || {
            self.state.recv((&self.socket).into(), &mut buffers, &mut meta)
        })?;
        let _lots = outbox::open();
        for (meta, slot) in meta.iter().zip(room.chunks_exact_mut(HEADROOM + LONGEST)).take(count) {
            each_datagram(meta, slot, &mut take);
        }
        Ok(())
    }

    /// Sends without waiting, `from` one of our addresses where several could be meant. While a batch is being received, what
    /// is sent may wait for the rest of it; whether the system takes it is not known then.
    ///
    /// # Errors
    /// Whatever the system says; `WouldBlock` where it has no room just now.
    pub(super) fn send(self: &Arc<Self>, datagram: &[u8], to: SocketAddr, from: Option<IpAddr>) -> io::Result<()> {
        outbox::send(self, datagram, to, from)
    }

    /// How many datagrams of one length the system takes at once.
    pub(super) fn longest_lot(&self) -> usize {
        self.state.max_gso_segments()
    }

    /// Sends `contents` now: one datagram, or several of the length `each`, of which the last may be shorter.
    pub(super) fn send_now(
        &self,
        contents: &[u8],
        each: Option<usize>,
        to: SocketAddr,
        from: Option<IpAddr>,
    ) -> io::Result<()> {
        let transmit = Transmit {
            destination: to,
            ecn: None,
            contents,
            segment_size: each,
            src_ip: from,
        };
        // Not through the runtime's idea of readiness: a fresh socket has none yet, and nobody waits for it here.
        let sent = self.state.try_send((&self.socket).into(), &transmit);
        if sent.as_ref().is_err_and(is_lasting) {
            self.broken.cancel();
        }
        sent
    }
}

/// Whether an error says something of the socket rather than of one datagram or one moment.
pub(super) fn is_lasting(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::NODEV | Errno::NXIO | Errno::ADDRNOTAVAIL | Errno::BADF | Errno::NOTSOCK)
    )
}

/// A slot holds one datagram, or several of one length (but for the last) that the system has put together (GRO).
fn each_datagram(meta: &RecvMeta, slot: &mut [u8], take: &mut impl FnMut(Received<'_>)) {
    let end = HEADROOM + meta.len;
    let mut start = HEADROOM;
    loop {
        let stop = end.min(start.saturating_add(meta.stride.max(1)));
        let Some(bytes) = slot.get_mut(..stop) else { return };
        take(Received {
            source: meta.addr,
            local: meta.dst_ip,
            // What is in front of it may be overwritten: that one has been taken already.
            datagram: Datagram { bytes, start },
        });
        if stop >= end {
            return;
        }
        start = stop;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use std::time::Duration;

    use super::*;

    async fn pair() -> (DatagramSocket, UdpSocket, UdpSocketState) {
        let receiver = DatagramSocket::new(UdpSocket::bind("127.0.0.1:0").await.unwrap()).unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        sender.connect(receiver.socket.local_addr().unwrap()).await.unwrap();
        let state = UdpSocketState::new((&sender).into()).unwrap();
        (receiver, sender, state)
    }

    /// Everything that arrives up to the datagram `end`, each behind the header `<>`.
    async fn until_end(receiver: &DatagramSocket) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        while all.last().is_none_or(|last| last != b"<>end") {
            let batch = receiver.receive(|mut received| {
                assert_eq!(received.local, Some([127, 0, 0, 1].into()));
                let length = received.datagram.payload().len();
                let bytes = received.datagram.behind(b"<>").to_vec();
                assert_eq!(bytes.len(), length + 2);
                all.push(bytes);
            });
            tokio::time::timeout(Duration::from_secs(10), batch)
                .await
                .unwrap()
                .unwrap();
        }
        all
    }

    /// The kernel hands over as one what was sent as one burst, as it does with what a network card has put together.
    #[tokio::test]
    async fn a_burst_is_taken_apart() {
        let (receiver, sender, state) = pair().await;
        let burst: Vec<u8> = (0..10_u8).flat_map(|number| [number; 100]).chain([10; 30]).collect();
        let transmit = Transmit {
            destination: receiver.socket.local_addr().unwrap(),
            ecn: None,
            contents: &burst,
            segment_size: Some(100),
            src_ip: None,
        };
        state.try_send((&sender).into(), &transmit).unwrap();
        sender.send(b"end").await.unwrap();
        let mut expected: Vec<_> = burst.chunks(100).map(|chunk| [b"<>", chunk].concat()).collect();
        expected.push(b"<>end".to_vec());
        assert_eq!(until_end(&receiver).await, expected);
    }

    /// What a batch leads to arrives whole and in order, whatever waits in between and wherever it goes.
    #[tokio::test]
    async fn what_leaves_in_lots_arrives_as_it_was_sent() {
        let (receiver, sender, _) = pair().await;
        let out = Arc::new(DatagramSocket::new(UdpSocket::bind("127.0.0.1:0").await.unwrap()).unwrap());
        let places = [
            UdpSocket::bind("127.0.0.1:0").await.unwrap(),
            UdpSocket::bind("127.0.0.1:0").await.unwrap(),
        ];
        let [one, other] = [0, 1].map(|number: usize| places[number].local_addr().unwrap());
        let (short, long, longest) = (vec![1; 100], vec![2; 101], vec![3; 65_507]);
        let mut sent: Vec<(SocketAddr, Vec<u8>)> = Vec::new();
        sent.extend((0..70).map(|number| (one, [&[number], &short[..]].concat())));
        for (to, datagram) in [
            (one, &short[..50]),
            (one, &short),
            (other, &short),
            (one, &long),
            (one, &long),
            (one, b""),
            (one, &long),
            (one, &longest),
            (one, &short),
            (other, &long),
        ] {
            sent.push((to, datagram.to_vec()));
        }
        sender.send(b"go").await.unwrap();
        receiver
            .receive(|_| {
                for (to, datagram) in &sent {
                    out.send(datagram, *to, None).unwrap();
                }
            })
            .await
            .unwrap();
        let mut buffer = vec![0; 65_536];
        for (place, socket) in [(one, &places[0]), (other, &places[1])] {
            for (_, expected) in sent.iter().filter(|(to, _)| *to == place) {
                let arrives = tokio::time::timeout(Duration::from_secs(10), socket.recv(&mut buffer));
                let length = arrives.await.unwrap().unwrap();
                assert!(buffer[..length] == **expected, "{length} and not {}", expected.len());
            }
        }
    }

    #[tokio::test]
    async fn empty_and_longest_datagrams_are_taken_as_they_are() {
        let (receiver, sender, _) = pair().await;
        let longest = vec![7; 65_507];
        for datagram in [&[][..], &longest, &[], b"x", b"end"] {
            sender.send(datagram).await.unwrap();
        }
        let lengths: Vec<_> = until_end(&receiver).await.iter().map(|bytes| bytes.len() - 2).collect();
        assert_eq!(lengths, [0, 65_507, 0, 1, 3]);
    }
}
