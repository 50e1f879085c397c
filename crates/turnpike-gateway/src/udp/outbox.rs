//! Datagrams on their way to the system, in lots.
//!
//! Most of what a batch brings goes on to one place and is of one length: the packets of a download by QUIC, a call's voice. The
//! system takes such a lot with one call (UDP_SEGMENT, "GSO") and carries it through its layers as one, which is most of what a
//! datagram costs. A lot is closed by a datagram that does not fit into it, and by the end of the batch that it comes from.

use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::socket::DatagramSocket;

/// No longer ones: the system cuts a lot into packets, which must fit the network's frames.
const LONGEST: usize = 1_472;

/// A lot's bytes in all: no more than a packet's length can tell.
const BYTES: usize = 64_000;

thread_local! {
    static OUTBOX: RefCell<Outbox> = RefCell::default();
}

#[derive(Default)]
struct Outbox {
    /// Whether a batch is being received on this thread, whose end closes what is open.
    is_open: bool,
    lot: Option<Lot>,
    bytes: Vec<u8>,
}

/// What the bytes in the box are.
struct Lot {
    socket: Arc<DatagramSocket>,
    to: SocketAddr,
    from: Option<IpAddr>,
    /// The length of each but the last, which may be shorter.
    each: usize,
    count: usize,
}

/// While it lives, what is sent on this thread may wait for more.
pub(super) struct Open(());

pub(super) fn open() -> Open {
    OUTBOX.with_borrow_mut(|outbox| outbox.is_open = true);
    Open(())
}

impl Drop for Open {
    fn drop(&mut self) {
        OUTBOX.with_borrow_mut(|outbox| {
            outbox.flush();
            outbox.is_open = false;
        });
    }
}

/// Sends a datagram, now or with the lot that it fits into.
pub(super) fn send(
    socket: &Arc<DatagramSocket>,
    datagram: &[u8],
    to: SocketAddr,
    from: Option<IpAddr>,
) -> io::Result<()> {
    OUTBOX.with_borrow_mut(|outbox| outbox.send(socket, datagram, to, from))
}

impl Outbox {
    fn send(
        &mut self,
        socket: &Arc<DatagramSocket>,
        datagram: &[u8],
        to: SocketAddr,
        from: Option<IpAddr>,
    ) -> io::Result<()> {
        let may_wait = self.is_open && (1..=LONGEST).contains(&datagram.len()) && socket.longest_lot() > 1;
        if may_wait
            && let Some(lot) = &mut self.lot
            && Arc::ptr_eq(&lot.socket, socket)
            && (lot.to, lot.from) == (to, from)
            && datagram.len() <= lot.each
            && lot.count < socket.longest_lot()
            && self.bytes.len() + datagram.len() <= BYTES
        {
            self.bytes.extend_from_slice(datagram);
            lot.count += 1;
            if datagram.len() < lot.each {
                self.flush();
            }
            return Ok(());
        }
        // Nothing overtakes what waits.
        self.flush();
        if !may_wait {
            return socket.send_now(datagram, None, to, from);
        }
        self.bytes.extend_from_slice(datagram);
        self.lot = Some(Lot {
            socket: Arc::clone(socket),
            to,
            from,
            each: datagram.len(),
            count: 1,
        });
        Ok(())
    }

    /// Sends what waits. Where the system does not take it as a lot (its network's frames are smaller, its device cannot cut), it
    /// goes one by one.
    fn flush(&mut self) {
        let Some(lot) = self.lot.take() else { return };
        let each = (lot.count > 1).then_some(lot.each);
        let sent = lot.socket.send_now(&self.bytes, each, lot.to, lot.from);
        if let (Some(each), Err(error)) = (each, sent)
            && error.kind() != io::ErrorKind::WouldBlock
        {
            for datagram in self.bytes.chunks(each) {
                let _ = lot.socket.send_now(datagram, None, lot.to, lot.from);
            }
        }
        self.bytes.clear();
    }
}
