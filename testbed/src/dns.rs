//! Name servers that say what a test wants them to, the truth or not.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// The only class there is, and a pointer to the name of the question.
const INTERNET: [u8; 2] = [0, 1];
const SAME_NAME: [u8; 2] = [0xc0, 12];
const A: u16 = 1;
const CNAME: u16 = 5;
const AAAA: u16 = 28;

/// What a name server was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The name in lower case, without a dot at its end.
    pub name: String,
    /// Whether addresses of IPv6 are wanted, not of IPv4.
    pub v6: bool,
    /// Who asked.
    pub from: SocketAddr,
}

/// What it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// These addresses, of which the question gets those of its family, for so many seconds.
    Addresses(Vec<IpAddr>, u32),
    /// It is another name for this one.
    Alias(String),
    /// There is no such name.
    NoSuchName,
    /// The server has failed (SERVFAIL).
    Failure,
    /// Nothing.
    Silence,
    /// This, but so much later.
    After(Duration, Box<Self>),
}

/// A name server that answers until it is dropped.
#[derive(Debug)]
pub struct NameServer {
    address: SocketAddr,
    questions: Arc<Mutex<Vec<Question>>>,
    ended: Arc<AtomicBool>,
}

impl NameServer {
    /// One on loopback that knows these names, each with one IPv4 address; no other name exists.
    #[must_use]
    pub fn knowing(names: &[(&str, Ipv4Addr)]) -> Self {
        let names: Vec<_> = names
            .iter()
            .map(|(name, address)| ((*name).to_owned(), *address))
            .collect();
        Self::at((Ipv4Addr::LOCALHOST, 0).into(), move |question| {
            let found = names.iter().find(|(name, _)| *name == question.name);
            found.map_or(Reply::NoSuchName, |(_, address)| {
                Reply::Addresses(vec![(*address).into()], 60)
            })
        })
    }

    /// One at any address of this machine that says what `script` says.
    #[must_use]
    pub fn at(address: SocketAddr, script: impl Fn(&Question) -> Reply + Send + Sync + 'static) -> Self {
        let socket = UdpSocket::bind(address).expect("a UDP socket");
        // So that the thread notices that it has been dropped.
        socket
            .set_read_timeout(Some(Duration::from_millis(50)))
            .expect("a time limit");
        let server = Self {
            address: socket.local_addr().expect("the socket's address"),
            questions: Arc::default(),
            ended: Arc::default(),
        };
        let (questions, ended, script) = (
            Arc::clone(&server.questions),
            Arc::clone(&server.ended),
            Arc::new(script),
        );
        thread::spawn(move || {
            let mut buffer = [0; 1_500];
            while !ended.load(Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut buffer) else {
                    continue;
                };
                let query = buffer[..length].to_vec();
                let Some((question, kind)) = asked(&query, from) else {
                    continue;
                };
                if kind == A || kind == AAAA {
                    questions.lock().expect("the questions").push(question.clone());
                }
                // A thread for each, since some answers take their time.
                let (socket, script) = (socket.try_clone().expect("the socket"), Arc::clone(&script));
                thread::spawn(move || {
                    if let Some(answer) = answer(&query, kind, script(&question)) {
                        let _ = socket.send_to(&answer, from);
                    }
                });
            }
        });
        server
    }

    /// Where it answers.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has been asked for addresses so far.
    ///
    /// # Panics
    /// When its thread has panicked.
    #[must_use]
    pub fn questions(&self) -> Vec<Question> {
        self.questions.lock().expect("the questions").clone()
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

/// Where the question of a query ends (RFC 1035 §4.1.2): its name begins behind the header's 12 bytes.
fn end_of_name(query: &[u8]) -> Option<usize> {
    Some(12 + query.get(12..)?.iter().position(|byte| *byte == 0)? + 1)
}

fn asked(query: &[u8], from: SocketAddr) -> Option<(Question, u16)> {
    let end = end_of_name(query)?;
    let kind = u16::from_be_bytes(query.get(end..end + 2)?.try_into().ok()?);
    let mut labels = Vec::new();
    let mut rest = query.get(12..end)?;
    while let Some((length, after)) = rest.split_first().filter(|(length, _)| **length > 0) {
        let (label, after) = after.split_at_checked(usize::from(*length))?;
        labels.push(String::from_utf8_lossy(label).to_ascii_lowercase());
        rest = after;
    }
    let question = Question {
        name: labels.join("."),
        v6: kind == AAAA,
        from,
    };
    Some((question, kind))
}

/// RFC 1035 §4: the header, the question as it came, and what there is to say.
fn answer(query: &[u8], kind: u16, reply: Reply) -> Option<Vec<u8>> {
    let question = query.get(12..end_of_name(query)? + 4)?;
    let record = |kind: u16, ttl: u32, data: &[u8]| {
        let length = u16::try_from(data.len()).expect("a short record");
        [
            &SAME_NAME[..],
            &kind.to_be_bytes(),
            &INTERNET,
            &ttl.to_be_bytes(),
            &length.to_be_bytes(),
            data,
        ]
        .concat()
    };
    let (code, records) = match reply {
        Reply::Silence => return None,
        Reply::After(delay, reply) => {
            thread::sleep(delay);
            return answer(query, kind, *reply);
        }
        Reply::NoSuchName => (3, Vec::new()),
        Reply::Failure => (2, Vec::new()),
        Reply::Alias(name) => (0, vec![record(CNAME, 60, &encoded(&name))]),
        Reply::Addresses(addresses, ttl) => {
            let records = addresses.into_iter().filter_map(|address| match (kind, address) {
                (A, IpAddr::V4(address)) => Some(record(A, ttl, &address.octets())),
                (AAAA, IpAddr::V6(address)) => Some(record(AAAA, ttl, &address.octets())),
                _ => None,
            });
            (0, records.collect())
        }
    };
    let count = u16::try_from(records.len()).expect("few records").to_be_bytes();
    // A response, recursion available.
    let header = [
        query[0],
        query[1],
        0x81,
        0x80 | code,
        0,
        1,
        count[0],
        count[1],
        0,
        0,
        0,
        0,
    ];
    Some([&header[..], question, &records.concat()].concat())
}

fn encoded(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).expect("a short label"));
        bytes.extend(label.bytes());
    }
    bytes.push(0);
    bytes
}
