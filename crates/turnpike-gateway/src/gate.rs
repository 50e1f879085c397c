//! One TCP socket for all ports: the system redirects their connections to it, and tells of each which port it was for.
//!
//! A range of 60,000 ports then costs TCP one descriptor per address instead of 60,000. The rule that redirects is the operator's
//! (`turnpike firewall` prints it). Datagrams keep a socket per port where they are wanted: the system tells of none of them for which
//! port it was before it was redirected.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};

use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::descriptors::Permit;
use crate::gateway::Shared;
use crate::listener::{self, Port};

/// The socket, on every address where it is open, and the ports that are served by it.
#[derive(Debug)]
pub(crate) struct Gate {
    number: u16,
    ports: RwLock<HashMap<u16, Weak<Port>>>,
    doors: Mutex<HashMap<IpAddr, Door>>,
}

#[derive(Debug)]
struct Door {
    task: JoinHandle<()>,
    _descriptor: Permit,
}

impl Gate {
    /// To listen on port `number`; nothing is open yet.
    pub(crate) fn on(number: u16) -> Self {
        Self {
            number,
            ports: RwLock::default(),
            doors: Mutex::default(),
        }
    }

    /// Connections for `port` on `address` reach it from now on, until it closes.
    ///
    /// # Errors
    /// The gate's own port cannot be opened there.
    pub(crate) fn serve(&self, port: &Arc<Port>, address: IpAddr) -> io::Result<()> {
        self.open(&port.shared, address)
            .map_err(|error| io::Error::other(format!("gateway.redirect_port {}: {error}", self.number)))?;
        let mut ports = self.ports.write().unwrap_or_else(PoisonError::into_inner);
        ports.insert(port.number, Arc::downgrade(port));
        Ok(())
    }

    /// Whether it is open on an address and lives.
    pub(crate) fn is_open(&self, address: IpAddr) -> bool {
        let doors = self.doors.lock().unwrap_or_else(PoisonError::into_inner);
        doors.get(&address).is_some_and(|door| !door.task.is_finished())
    }

    fn open(&self, shared: &Arc<Shared>, address: IpAddr) -> io::Result<()> {
        let mut doors = self.doors.lock().unwrap_or_else(PoisonError::into_inner);
        if doors.get(&address).is_some_and(|door| !door.task.is_finished()) {
            return Ok(());
        }
        let out_of_files = || io::Error::other("too many open files");
        let descriptor = shared.descriptors.take(1).ok_or_else(out_of_files)?;
        let socket = listener::listen(SocketAddr::new(address, self.number), shared.config.peer_timeout)?;
        let accept = accept(Arc::clone(shared), TcpListener::from_std(socket.into())?);
        let closing = shared.draining.clone();
        let task = tokio::spawn(async move {
            closing.run_until_cancelled_owned(accept).await;
        });
        doors.insert(
            address,
            Door {
                task,
                _descriptor: descriptor,
            },
        );
        Ok(())
    }

    /// Whom a connection is for.
    fn find(&self, number: u16) -> Option<Arc<Port>> {
        let ports = self.ports.read().unwrap_or_else(PoisonError::into_inner);
        let port = ports.get(&number)?.upgrade()?;
        (!port.closing.is_cancelled()).then_some(port)
    }
}

fn accept(shared: Arc<Shared>, listener: TcpListener) -> impl Future<Output = ()> + Send {
    listener::accept(listener, move |stream, peer| {
        let gate = shared.gate.as_ref();
        match gate
            .zip(port_before_redirection(&stream))
            .and_then(|(gate, number)| gate.find(number))
        {
            Some(port) => port.admit(stream, peer),
            // As the system answers for a port that nobody has opened.
            None => drop(stream.set_zero_linger()),
        }
    })
}

/// The port that the client has connected to.
fn port_before_redirection(stream: &TcpStream) -> Option<u16> {
    let socket = SockRef::from(stream);
    let address = match stream.local_addr().ok()? {
        SocketAddr::V4(_) => socket.original_dst_v4(),
        SocketAddr::V6(_) => socket.original_dst_v6(),
    };
    address.ok()?.as_socket().map(|address| address.port())
}
