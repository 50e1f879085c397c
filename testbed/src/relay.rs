//! A stretch of network between a program and its server that can go wrong in ways a server's own stop cannot show.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// Passes connections on, until it is dropped.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    ended: AtomicBool,
    /// Counts up whenever all connections of before go silent.
    generation: AtomicU64,
}

impl Relay {
    /// A relay on loopback to `server`.
    ///
    /// # Panics
    /// When there is no free port.
    #[must_use]
    pub fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a listener");
        let relay = Self {
            address: listener.local_addr().expect("the listener's address"),
            state: Arc::default(),
        };
        let state = Arc::clone(&relay.state);
        thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                if state.ended.load(Ordering::Relaxed) {
                    return;
                }
                // A server that is away ends the client's connection, as it would without us.
                let Ok(server) = TcpStream::connect(server) else {
                    continue;
                };
                pass_on(&client, &server, &state);
                pass_on(&server, &client, &state);
            }
        });
        relay
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on nothing comes through any present connection, and neither end is told: what a firewall that forgot them
    /// does, or a machine that lost its power. New connections work.
    pub fn forget_connections(&self) {
        self.state.generation.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect_timeout(&self.address, Duration::from_millis(100));
    }
}

fn pass_on(from: &TcpStream, to: &TcpStream, state: &Arc<State>) {
    let (mut from, mut to) = (from.try_clone().expect("a socket"), to.try_clone().expect("a socket"));
    let (state, born) = (Arc::clone(state), state.generation.load(Ordering::Relaxed));
    thread::spawn(move || {
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let came = from.read(&mut buffer);
            let is_forgotten = state.generation.load(Ordering::Relaxed) != born;
            match came {
                // The end is not passed on either.
                Ok(0) | Err(_) if is_forgotten => return,
                Ok(length @ 1..) if is_forgotten || to.write_all(&buffer[..length]).is_ok() => {}
                _ => {
                    let _ = to.shutdown(Shutdown::Write);
                    return;
                }
            }
        }
    });
}
