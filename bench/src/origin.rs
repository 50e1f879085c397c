//! The origin: what a connection wants of it is said by its first bytes.
//!
//! `E` echoes; `D` and a length sends so many bytes of [`pattern`]; `U` and a length reads as many and answers `k` where they
//! are the pattern; anything else is HTTP, and each request is answered with 1,000 bytes.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;

/// Bytes of the answer to a request.
pub(crate) const ANSWER: usize = 1_000;

const ROOM: usize = 256 * 1024;

/// Its period is no divisor of any buffer's size, so a piece that is lost, doubled or misplaced shows.
const PERIOD: usize = 251;

#[derive(Debug)]
pub(crate) struct Origin {
    address: SocketAddr,
}

impl Origin {
    /// It lives as long as the process.
    pub(crate) fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::new(127, 0, 1, 1), 0))?;
        let address = listener.local_addr()?;
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || {
                    // Who breaks off is missed by the client.
                    let _ = serve(stream);
                });
            }
        });
        Ok(Self { address })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

/// So much of the pattern, from its `start`th byte on.
pub(crate) fn pattern(start: usize, length: usize) -> Vec<u8> {
    let byte = |at: usize| u8::try_from(at % PERIOD).unwrap_or_default();
    (start..start + length).map(byte).collect()
}

/// The pattern, a whole number of its periods long.
pub(crate) fn periods() -> Vec<u8> {
    pattern(0, ROOM / PERIOD * PERIOD)
}

fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut first = [0];
    if stream.read(&mut first)? == 0 {
        return Ok(());
    }
    match first {
        [b'E'] => echo(stream),
        [b'D'] => send(stream),
        [b'U'] => receive(stream),
        _ => answer(stream, first.to_vec()),
    }
}

fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut room = vec![0; 4096];
    loop {
        match stream.read(&mut room)? {
            0 => return Ok(()),
            count => stream.write_all(&room[..count])?,
        }
    }
}

fn length(stream: &mut TcpStream) -> io::Result<usize> {
    let mut bytes = [0; 8];
    stream.read_exact(&mut bytes)?;
    usize::try_from(u64::from_be_bytes(bytes)).map_err(io::Error::other)
}

fn send(mut stream: TcpStream) -> io::Result<()> {
    let mut left = length(&mut stream)?;
    let piece = periods();
    while left > 0 {
        let now = piece.len().min(left);
        stream.write_all(&piece[..now])?;
        left -= now;
    }
    Ok(())
}

fn receive(mut stream: TcpStream) -> io::Result<()> {
    let total = length(&mut stream)?;
    let mut room = vec![0; ROOM];
    let (mut got, mut is_right) = (0, true);
    let two = [periods(), periods()].concat();
    while got < total {
        let count = stream.read(&mut room)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let start = got % PERIOD;
        is_right &= room[..count] == two[start..start + count];
        got += count;
    }
    stream.write_all(if is_right { b"k" } else { b"x" })
}

fn answer(mut stream: TcpStream, mut pending: Vec<u8>) -> io::Result<()> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {ANSWER}\r\n\r\n");
    let answer = [head.as_bytes(), &vec![b'.'; ANSWER]].concat();
    let mut room = [0; 4096];
    loop {
        while let Some(end) = pending.windows(4).position(|window| window == b"\r\n\r\n") {
            pending.drain(..end + 4);
            stream.write_all(&answer)?;
        }
        match stream.read(&mut room)? {
            0 => return Ok(()),
            count => pending.extend_from_slice(&room[..count]),
        }
    }
}
