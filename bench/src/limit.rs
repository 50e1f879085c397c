//! A bare relay: one thread, one destination, no protocol, no accounting. What it costs is what the system itself costs, so it is
//! the limit for everything that is measured.
//!
//! Little is copied through one buffer; where much comes at a time it is spliced through a pipe.

use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, RecvFlags, SendFlags, Shutdown, SocketFlags, SocketType, sockopt};
use rustix::pipe::{self, PipeFlags, SpliceFlags};

const BUFFER: usize = 16 * 1024;
const PIPE: usize = 1024 * 1024;
/// A direction is spliced once it has moved so much.
const BULK: usize = 256 * 1024;
/// The listener's mark among events.
const LISTENER: u64 = u64::MAX;

struct Tunnel {
    /// The client's socket and the origin's.
    ends: [OwnedFd; 2],
    /// From the client, and from the origin.
    ways: [Way; 2],
}

#[derive(Default)]
struct Way {
    moved: usize,
    pipe: Option<(OwnedFd, OwnedFd)>,
    /// Bytes in the pipe.
    piped: usize,
    /// What was copied and did not leave.
    kept: Vec<u8>,
    has_ended: bool,
}

/// Relays for ever.
pub(crate) fn run(listen: SocketAddr, origin: SocketAddr) -> io::Result<()> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let listener = net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&listener, true)?;
    sockopt::set_tcp_nodelay(&listener, true)?;
    net::bind(&listener, &listen)?;
    net::listen(&listener, 4096)?;
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    let mut tunnels: Vec<Option<Tunnel>> = Vec::new();
    let mut free = Vec::new();
    let mut events = Vec::with_capacity(256);
    loop {
        events.clear();
        epoll::wait(&epoll, rustix::buffer::spare_capacity(&mut events), None)?;
        for Event { data, .. } in events.iter().copied() {
            if data.u64() == LISTENER {
                while let Ok(client) = net::accept_with(&listener, flags) {
                    let Ok(tunnel) = open(client, origin) else { continue };
                    let place = free.pop().unwrap_or_else(|| {
                        tunnels.push(None);
                        tunnels.len() - 1
                    });
                    let when = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
                    let mark = EventData::new_u64(place as u64);
                    for end in &tunnel.ends {
                        epoll::add(&epoll, end, mark, when)?;
                    }
                    tunnels[place] = Some(tunnel);
                }
                continue;
            }
            let place = usize::try_from(data.u64()).map_err(io::Error::other)?;
            if let Some(tunnel) = &mut tunnels[place]
                && !matches!(tunnel.pump(), Ok(true))
            {
                tunnels[place] = None;
                free.push(place);
            }
        }
    }
}

fn open(client: OwnedFd, origin: SocketAddr) -> io::Result<Tunnel> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    match net::connect(&socket, &origin) {
        Ok(()) | Err(Errno::INPROGRESS) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(Tunnel {
        ends: [client, socket],
        ways: Default::default(),
    })
}

impl Tunnel {
    /// Moves what can be moved. Whether there may be more.
    fn pump(&mut self) -> Result<bool, Errno> {
        let [client, origin] = &self.ends;
        let [up, down] = &mut self.ways;
        up.pump(client, origin)?;
        down.pump(origin, client)?;
        Ok(!(up.has_ended && down.has_ended))
    }
}

impl Way {
    fn pump(&mut self, from: &OwnedFd, to: &OwnedFd) -> Result<(), Errno> {
        while !self.has_ended {
            if !self.flush(to)? {
                return Ok(());
            }
            let moved = match if self.moved < BULK {
                self.copy(from, to)
            } else {
                self.fill(from)
            } {
                // Not connected yet is nothing to read yet.
                Err(Errno::AGAIN | Errno::NOTCONN) => return Ok(()),
                moved => moved?,
            };
            self.moved += moved;
            if moved == 0 {
                self.has_ended = true;
                net::shutdown(to, Shutdown::Write)?;
            }
        }
        Ok(())
    }

    /// Whether nothing waits any more.
    fn flush(&mut self, to: &OwnedFd) -> Result<bool, Errno> {
        while !self.kept.is_empty() {
            match net::send(to, &self.kept, SendFlags::NOSIGNAL) {
                Ok(count) => drop(self.kept.drain(..count)),
                Err(Errno::AGAIN) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        while self.piped > 0
            && let Some((read, _)) = &self.pipe
        {
            match splice(read, to, self.piped) {
                Ok(count) => self.piped -= count,
                Err(Errno::AGAIN) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn copy(&mut self, from: &OwnedFd, to: &OwnedFd) -> Result<usize, Errno> {
        let mut room = [MaybeUninit::<u8>::uninit(); BUFFER];
        let ((read, _), _) = net::recv(from, &mut room[..], RecvFlags::empty())?;
        if !read.is_empty() {
            let sent = match net::send(to, read, SendFlags::NOSIGNAL) {
                Err(Errno::AGAIN | Errno::NOTCONN) => 0,
                sent => sent?,
            };
            self.kept = read[sent..].to_vec();
        }
        Ok(read.len())
    }

    fn fill(&mut self, from: &OwnedFd) -> Result<usize, Errno> {
        if self.pipe.is_none() {
            let (read, write) = pipe::pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC)?;
            pipe::fcntl_setpipe_size(&write, PIPE)?;
            self.pipe = Some((read, write));
        }
        let Some((_, write)) = &self.pipe else { return Ok(0) };
        let count = splice(from, write, PIPE)?;
        self.piped = count;
        Ok(count)
    }
}

fn splice(from: impl AsFd, to: impl AsFd, count: usize) -> Result<usize, Errno> {
    pipe::splice(from, None, to, None, count, SpliceFlags::MOVE | SpliceFlags::NONBLOCK)
}
