//! Socket options that no safe crate offers.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _};
use std::time::Duration;

/// Lets a socket be bound to an address now and be given its port at connect, when the destination is known.
///
/// Without it the port is fixed at bind, for all destinations: an exit address would be out of ports after 28,000
/// connections in all, instead of per destination.
pub(crate) fn bind_address_no_port(socket: impl AsFd) -> io::Result<()> {
    set(&socket, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, 1)
}

/// Lets datagrams be longer than the path carries in one packet: the system cuts them into fragments, as it does for
/// sockets that nobody has tuned for QUIC.
pub(crate) fn allow_fragments(socket: impl AsFd, is_ipv6: bool) -> io::Result<()> {
    if is_ipv6 {
        set(&socket, libc::IPPROTO_IPV6, libc::IPV6_DONTFRAG, 0)?;
        set(
            &socket,
            libc::IPPROTO_IPV6,
            libc::IPV6_MTU_DISCOVER,
            libc::IPV6_PMTUDISC_WANT,
        )
    } else {
        set(&socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_WANT)
    }
}

/// What the system knows of the other side of a TCP connection. By default: nothing.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct TcpInfo {
    // `struct tcp_info` of linux/tcp.h, as far as Linux 4.6 has it. The kernel fills as much as it knows.
    state: u8,
    ca_state: u8,
    retransmits: u8,
    probes: u8,
    backoff: u8,
    options: u8,
    window_scales: u8,
    flags: u8,
    before: [u32; 4],
    unacked: u32,
    between: [u32; 7],
    last_ack_recv: u32,
    sizes: [u32; 11],
    rates_and_bytes: [u64; 4],
    segments: [u32; 2],
    notsent_bytes: u32,
    min_rtt: u32,
}

impl TcpInfo {
    /// Whether something is on its way to the other side, or waits until that has room for it.
    pub(crate) fn is_waited_for(&self) -> bool {
        self.unacked > 0 || self.notsent_bytes > 0
    }

    /// For how long the other side has not acknowledged anything although it was asked several times: by data that was sent
    /// again, or by probes whether it has room again. Absent where it was not.
    pub(crate) fn unanswered_for(&self) -> Option<Duration> {
        let was_asked = self.retransmits >= ASKED || self.probes >= ASKED;
        was_asked.then(|| Duration::from_millis(self.last_ack_recv.into()))
    }
}

/// So many questions in a row are not a packet that was lost.
const ASKED: u8 = 2;

/// How a TCP connection stands.
pub(crate) fn tcp_info(socket: impl AsFd) -> io::Result<TcpInfo> {
    let mut info = TcpInfo::default();
    let mut length = libc::socklen_t::try_from(size_of::<TcpInfo>()).map_err(io::Error::other)?;
    // SAFETY: `socket` is borrowed, so its descriptor is open for the whole call; the value pointer is to a live local of plain
    // integers and of the length that is given with it, and the kernel writes no more than that.
    let answer = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            std::ptr::from_mut(&mut info).cast(),
            &raw mut length,
        )
    };
    if answer == 0 {
        Ok(info)
    } else {
        Err(io::Error::last_os_error())
    }
}

fn set(socket: &impl AsFd, level: libc::c_int, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of::<libc::c_int>()).map_err(io::Error::other)?;
    // SAFETY: `socket` is borrowed, so its descriptor is open for the whole call; the value pointer is to a live local
    // of the length that is given with it, and the kernel only reads it.
    let answer = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            option,
            std::ptr::from_ref(&value).cast(),
            length,
        )
    };
    if answer == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use std::net::SocketAddr;

    use socket2::{Domain, Socket, Type};

    use super::*;

    #[test]
    fn what_the_other_side_has_not_taken_is_waited_for_until_it_reads() {
        use std::io::{Read as _, Write as _};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut one = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut other, _) = listener.accept().unwrap();
        assert!(!tcp_info(&one).unwrap().is_waited_for());
        one.set_nonblocking(true).unwrap();
        let mut sent = 0;
        while let Ok(count) = one.write(&[7; 65_536]) {
            sent += count;
        }
        assert!(tcp_info(&one).unwrap().is_waited_for());
        let mut room = vec![0; sent];
        other.read_exact(&mut room).unwrap();
        testbed::eventually("all is acknowledged", || !tcp_info(&one).unwrap().is_waited_for());
        assert_eq!(tcp_info(&one).unwrap().unanswered_for(), None);
    }

    #[test]
    fn a_bound_socket_has_no_port_before_it_connects() {
        for (domain, address) in [(Domain::IPV4, "127.0.0.9:0"), (Domain::IPV6, "[::1]:0")] {
            let Ok(socket) = Socket::new(domain, Type::STREAM, None) else {
                continue;
            };
            bind_address_no_port(&socket).unwrap();
            let address: SocketAddr = address.parse().unwrap();
            if socket.bind(&address.into()).is_err() {
                continue; // No IPv6 here.
            }
            assert_eq!(socket.local_addr().unwrap().as_socket().unwrap().port(), 0);
        }
    }
}
