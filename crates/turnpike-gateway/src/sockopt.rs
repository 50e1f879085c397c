//! Socket options that no safe crate offers.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _};

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
