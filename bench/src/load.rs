//! The load: each mode drives a contender and says what that cost it.

use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::client::Way;
use crate::measure::{cpu_time, memory};
use crate::origin::{ANSWER, pattern, periods};

/// Sessions at one time.
const AT_ONCE: usize = 16;
/// Streams of a bulk transfer at one time.
const STREAMS: usize = 4;
/// Between two tunnels that are opened at a steady pace: a thousand in a second.
const PACE: Duration = Duration::from_millis(1);
/// So many of these may be open at a time.
const CLIENTS_IN_WAITING: usize = 64;
/// What is compared byte by byte.
const VERIFIED: usize = 4 * 1024 * 1024;

/// How much of everything.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Amounts {
    pub(crate) rounds: usize,
    pub(crate) tunnels: usize,
    pub(crate) idle: usize,
    pub(crate) bytes: usize,
    pub(crate) requests: usize,
    /// Of tunnels that are opened at a steady pace.
    pub(crate) arrivals: usize,
    pub(crate) datagrams: usize,
}

impl Amounts {
    pub(crate) fn of(full: bool) -> Self {
        if full {
            Self {
                rounds: 3,
                tunnels: 4_000,
                idle: 2_000,
                bytes: 2_000_000_000,
                requests: 8_000,
                arrivals: 5_000,
                datagrams: 100_000,
            }
        } else {
            Self {
                rounds: 1,
                tunnels: 1_000,
                idle: 300,
                bytes: 400_000_000,
                requests: 2_000,
                arrivals: 1_000,
                datagrams: 20_000,
            }
        }
    }
}

/// CPU time of the contender per one of what was done.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) cpu_seconds: f64,
}

/// What an idle tunnel holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Idle {
    pub(crate) bytes: f64,
    pub(crate) descriptors: f64,
}

/// How long a tunnel takes from the first packet to the first byte of the origin's: of a hundred, the middle one and the last but one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
}

/// Every byte is compared both ways.
pub(crate) fn verify(way: &Way, origin: SocketAddr) -> io::Result<()> {
    let mut tunnel = way.open(origin, &order(b'D', VERIFIED))?;
    tunnel.expect(&pattern(0, VERIFIED))?;
    let mut tunnel = way.open(origin, &order(b'U', VERIFIED))?;
    tunnel.write(&pattern(0, VERIFIED))?;
    tunnel.expect(b"k")
}

/// A client that has finished is answered all the same.
pub(crate) fn hears_out(way: &Way, origin: SocketAddr) -> io::Result<()> {
    let mut tunnel = way.open(origin, &order(b'D', 100_000))?;
    tunnel.finish()?;
    tunnel.expect(&pattern(0, 100_000))
}

/// Tunnels that are opened, pinged once and held.
pub(crate) fn idle(way: &Way, origin: SocketAddr, amounts: &Amounts, pid: u32) -> io::Result<Idle> {
    // A few first, so that what is made once is not counted.
    for _ in 0..20 {
        way.open(origin, b"E")?.ping()?;
    }
    let (bytes_before, descriptors_before) = settled(pid)?;
    let mut held = Vec::with_capacity(amounts.idle);
    for _ in 0..amounts.idle {
        let mut tunnel = way.open(origin, b"E")?;
        tunnel.ping()?;
        held.push(tunnel);
    }
    let (bytes, descriptors) = settled(pid)?;
    for tunnel in &mut held {
        tunnel.ping()?;
    }
    let each = |before: u64, after: u64| (after as f64 - before as f64) / held.len() as f64;
    Ok(Idle {
        bytes: each(bytes_before, bytes),
        descriptors: each(descriptors_before, descriptors),
    })
}

/// Memory and descriptors once they stay what they are: what has just ended may still be given back.
fn settled(pid: u32) -> io::Result<(u64, u64)> {
    let mut last = memory(pid)?;
    for _ in 0..50 {
        thread::sleep(Duration::from_millis(50));
        let now = memory(pid)?;
        if now == last {
            break;
        }
        last = now;
    }
    Ok(last)
}

/// Tunnels that are opened, pinged once and closed.
pub(crate) fn tunnels(way: &Way, origin: SocketAddr, amounts: &Amounts, pid: u32) -> io::Result<Cost> {
    cost(pid, amounts.tunnels as f64, || {
        spread(AT_ONCE, amounts.tunnels, nothing, |()| {
            let mut tunnel = way.open(origin, b"Ep")?;
            tunnel.expect(b"p")?;
            tunnel.finish()?;
            match tunnel.read(&mut [0])? {
                0 => Ok(()),
                _ => Err(io::Error::other("more than was said")),
            }
        })
    })
}

/// Tunnels that are opened at a steady pace, whether those before have been answered or not.
pub(crate) fn arrivals(way: &Way, origin: SocketAddr, amounts: &Amounts) -> io::Result<Arrival> {
    let took = Mutex::new(Vec::with_capacity(amounts.arrivals));
    let (began, next) = (Instant::now(), AtomicU32::new(0));
    spread(CLIENTS_IN_WAITING, amounts.arrivals, nothing, |()| {
        let due = began + PACE * next.fetch_add(1, Ordering::Relaxed);
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let opened = Instant::now();
        let mut tunnel = way.open(origin, b"Ep")?;
        tunnel.expect(b"p")?;
        let own = opened.elapsed();
        took.lock().unwrap_or_else(PoisonError::into_inner).push(own);
        Ok(())
    })?;
    let mut took = took.into_inner().unwrap_or_else(PoisonError::into_inner);
    took.sort();
    let of_hundred = |place: usize| took.get(took.len() * place / 100).copied().unwrap_or_default();
    Ok(Arrival {
        p50: of_hundred(50),
        p99: of_hundred(99),
    })
}

/// Per byte.
pub(crate) fn download(way: &Way, origin: SocketAddr, amounts: &Amounts, pid: u32) -> io::Result<Cost> {
    let each = amounts.bytes / STREAMS;
    cost(pid, amounts.bytes as f64, || {
        spread(STREAMS, STREAMS, nothing, |()| {
            let mut tunnel = way.open(origin, &order(b'D', each))?;
            let mut room = vec![0; 256 * 1024];
            let mut got = 0;
            while got < each {
                match tunnel.read(&mut room)? {
                    0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    count => got += count,
                }
            }
            Ok(())
        })
    })
}

/// Per byte.
pub(crate) fn upload(way: &Way, origin: SocketAddr, amounts: &Amounts, pid: u32) -> io::Result<Cost> {
    let each = amounts.bytes / STREAMS;
    cost(pid, amounts.bytes as f64, || {
        spread(STREAMS, STREAMS, nothing, |()| {
            let mut tunnel = way.open(origin, &order(b'U', each))?;
            let piece = periods();
            let mut left = each;
            while left > 0 {
                let now = piece.len().min(left);
                tunnel.write(&piece[..now])?;
                left -= now;
            }
            tunnel.expect(b"k")
        })
    })
}

/// Plain requests, many on one connection.
pub(crate) fn requests(way: &Way, origin: SocketAddr, amounts: &Amounts, pid: u32) -> io::Result<Cost> {
    let each = amounts.requests / AT_ONCE;
    let head = way.request(origin);
    cost(pid, (each * AT_ONCE) as f64, || {
        spread(AT_ONCE, AT_ONCE, nothing, |()| {
            let mut socket = way.connect()?;
            for _ in 0..each {
                socket.write_all(&head)?;
                let mut answer = Vec::new();
                let mut room = [0; 4096];
                loop {
                    let count = socket.read(&mut room)?;
                    answer.extend_from_slice(&room[..count]);
                    if let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n")
                        && answer.len() >= end + 4 + ANSWER
                    {
                        break;
                    }
                    if count == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
            }
            Ok(())
        })
    })
}

fn order(kind: u8, length: usize) -> Vec<u8> {
    [&[kind][..], &(length as u64).to_be_bytes()].concat()
}

/// Does `work` so many times, by several threads that each open something to work with. The first error is told.
pub(crate) fn spread<C>(
    threads: usize,
    times: usize,
    open: impl Fn() -> io::Result<C> + Sync,
    work: impl Fn(&mut C) -> io::Result<()> + Sync,
) -> io::Result<()> {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        let worker = || {
            let mut opened = open()?;
            while next.fetch_add(1, Ordering::Relaxed) < times {
                work(&mut opened)?;
            }
            Ok(())
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().map_err(|_| io::Error::other("a client has panicked"))?)
    })
}

/// Of workers that have nothing to open once.
fn nothing() -> io::Result<()> {
    Ok(())
}

pub(crate) fn cost(pid: u32, count: f64, work: impl FnOnce() -> io::Result<()>) -> io::Result<Cost> {
    let before = cpu_time(pid)?;
    work()?;
    Ok(Cost {
        cpu_seconds: cpu_time(pid)?.saturating_sub(before).as_secs_f64() / count,
    })
}
