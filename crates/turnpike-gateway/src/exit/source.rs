//! Where an exit's sockets start: the addresses or the device that they are bound to.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpSocket, UdpSocket};

use super::device;
use crate::dial::{AttemptError, Families, is_exhaustion};
use crate::sockopt::bind_address_no_port;

/// What an exit's sockets are bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// These addresses of this machine; a family without one is not used.
    Addresses {
        v4: Option<Ipv4Addr>,
        v6: Option<Ipv6Addr>,
        /// The IPv6 address lies in a prefix that is routed here but set on no interface (IPV6_FREEBIND).
        freebind: bool,
    },
    /// This network device, with whatever addresses it has (SO_BINDTODEVICE).
    Device(String),
    /// Nothing: the system's routes decide. Only towards upstream proxies and their name servers.
    Unbound,
}

impl Source {
    /// This address alone.
    pub(crate) fn of_address(address: IpAddr, freebind: bool) -> Self {
        let (v4, v6) = match address {
            IpAddr::V4(v4) => (Some(v4), None),
            IpAddr::V6(v6) => (None, Some(v6)),
        };
        Self::Addresses { v4, v6, freebind }
    }

    /// The families that it can reach.
    pub(crate) fn families(&self) -> Families {
        match self {
            Self::Addresses { v4, v6, .. } => Families {
                v4: v4.is_some(),
                v6: v6.is_some(),
            },
            Self::Device(name) => device::families(name),
            Self::Unbound => Families { v4: true, v6: true },
        }
    }

    /// The same source for asking a name server, where it can reach that server at all: neither a public address
    /// nor a device leads to a resolver on loopback, nor a loopback address (a demo's exit) to any other. One that is
    /// directly behind another of the machine's devices is not to be found at the end of an exit's way either.
    pub(crate) fn towards_name_server(&self, server: IpAddr) -> Self {
        let fits = match self {
            Self::Addresses { v4, v6, .. } => {
                let own = match server {
                    IpAddr::V4(_) => v4.map(IpAddr::V4),
                    IpAddr::V6(_) => v6.map(IpAddr::V6),
                };
                own.is_some_and(|own| {
                    own.is_loopback() == server.is_loopback() && !device::is_beside(server, &device::of_address(own))
                })
            }
            Self::Device(name) => !server.is_loopback() && !device::is_beside(server, std::slice::from_ref(name)),
            Self::Unbound => true,
        };
        if fits { self.clone() } else { Self::Unbound }
    }

    /// A TCP socket that can be connected to `towards`.
    pub(crate) fn tcp(&self, towards: IpAddr) -> Result<TcpSocket, AttemptError> {
        let socket = self.socket(towards, Type::STREAM)?;
        socket.set_tcp_nodelay(true).map_err(|error| self.failure(&error))?;
        if let Some(address) = self.address(towards)? {
            // Without it an address has 28,000 connections in all instead of as many per destination.
            bind_address_no_port(&socket).map_err(|error| self.failure(&error))?;
            self.bind(&socket, SocketAddr::new(address, 0))?;
        }
        Ok(TcpSocket::from_std_stream(std::net::TcpStream::from(socket)))
    }

    /// An unconnected UDP socket for addresses of the family of `towards`, on `port` or, where that is 0, any.
    pub(crate) fn udp(&self, towards: IpAddr, port: u16) -> Result<UdpSocket, AttemptError> {
        let socket = self.socket(towards, Type::DGRAM)?;
        let address = self.address(towards)?.unwrap_or(match towards {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        });
        self.bind(&socket, SocketAddr::new(address, port))?;
        UdpSocket::from_std(socket.into()).map_err(|error| self.failure(&error))
    }

    /// Whether sockets can be bound to it just now. Sends nothing.
    pub(crate) fn check(&self) -> Result<(), AttemptError> {
        match self {
            Self::Addresses { v4: None, v6: None, .. } => {
                Err(AttemptError::Source("it has no address at all".to_owned()))
            }
            Self::Addresses { v4, v6, .. } => {
                for address in [v4.map(IpAddr::V4), v6.map(IpAddr::V6)].into_iter().flatten() {
                    let socket = self.socket(address, Type::DGRAM)?;
                    self.bind(&socket, SocketAddr::new(address, 0))?;
                }
                Ok(())
            }
            Self::Device(name) => {
                self.socket(Ipv4Addr::UNSPECIFIED.into(), Type::DGRAM)?;
                if device::addresses(name).is_empty() {
                    return Err(AttemptError::Source(format!(
                        "the device {name} is down or has no address"
                    )));
                }
                Ok(())
            }
            Self::Unbound => Ok(()),
        }
    }

    fn socket(&self, towards: IpAddr, kind: Type) -> Result<Socket, AttemptError> {
        let open = || {
            let (domain, freebind) = match (towards, self) {
                (IpAddr::V4(_), _) => (Domain::IPV4, false),
                (IpAddr::V6(_), Self::Addresses { freebind, .. }) => (Domain::IPV6, *freebind),
                (IpAddr::V6(_), _) => (Domain::IPV6, false),
            };
            let protocol = if kind == Type::STREAM {
                Protocol::TCP
            } else {
                Protocol::UDP
            };
            let socket = Socket::new(domain, kind.nonblocking().cloexec(), Some(protocol))?;
            if domain == Domain::IPV6 {
                socket.set_only_v6(true)?;
            }
            if freebind {
                socket.set_freebind_v6(true)?;
            }
            if let Self::Device(name) = self {
                socket.bind_device(Some(name.as_bytes()))?;
            }
            Ok(socket)
        };
        open().map_err(|error: io::Error| self.failure(&error))
    }

    fn bind(&self, socket: &Socket, address: SocketAddr) -> Result<(), AttemptError> {
        socket
            .bind(&address.into())
            .map_err(|error| match Errno::from_io_error(&error) {
                Some(Errno::ADDRNOTAVAIL) => {
                    AttemptError::Source(format!("the address {} is not on this machine", address.ip()))
                }
                Some(Errno::ADDRINUSE) => AttemptError::Exhausted(format!("no port of {} is free", address.ip())),
                _ => self.failure(&error),
            })
    }

    /// The address to bind to; none where a device or the routes decide.
    fn address(&self, towards: IpAddr) -> Result<Option<IpAddr>, AttemptError> {
        match self {
            Self::Addresses { v4, v6, .. } => match towards {
                IpAddr::V4(_) => v4.map(IpAddr::V4),
                IpAddr::V6(_) => v6.map(IpAddr::V6),
            }
            .map(Some)
            .ok_or(AttemptError::NetworkUnreachable),
            Self::Device(_) | Self::Unbound => Ok(None),
        }
    }

    /// What it means that a socket could not be prepared.
    fn failure(&self, error: &io::Error) -> AttemptError {
        match Errno::from_io_error(error) {
            Some(errno) if is_exhaustion(errno) => AttemptError::Exhausted(error.to_string()),
            Some(Errno::AFNOSUPPORT) => AttemptError::NetworkUnreachable,
            _ => AttemptError::Source(match self {
                Self::Device(name) => format!("the device {name} cannot be used: {error}"),
                _ => format!("a socket cannot be bound: {error}"),
            }),
        }
    }
}
