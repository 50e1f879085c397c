//! A name server that does as a test tells it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hickory_resolver::proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, CNAME};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};

/// What the server does with one question.
pub(crate) enum Reply {
    /// These addresses of the asked family, with this TTL; none is "no such record".
    Addresses(Vec<IpAddr>, u32),
    /// The name is another.
    Alias(&'static str),
    NoSuchName,
    ServerFailure,
    Silence,
    Late(Duration, Vec<IpAddr>),
}

/// A running server; it ends with the test's runtime.
pub(crate) struct NameServer {
    pub(crate) address: SocketAddr,
    questions: Arc<AtomicUsize>,
    last_source: Arc<std::sync::Mutex<Option<SocketAddr>>>,
}

impl NameServer {
    /// Starts a server on loopback, UDP and TCP, that answers by `rule`.
    pub(crate) async fn start(rule: impl Fn(&str, RecordType) -> Reply + Send + Sync + 'static) -> Self {
        let (tcp, udp) = loop {
            let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()).await {
                break (tcp, Arc::new(udp));
            }
        };
        let address = tcp.local_addr().unwrap();
        let questions = Arc::new(AtomicUsize::new(0));
        let last_source = Arc::new(std::sync::Mutex::new(None));
        let rule = Arc::new(rule);
        let (count, source, by) = (questions.clone(), last_source.clone(), rule.clone());
        tokio::spawn(async move {
            let mut buffer = [0; 2_048];
            while let Ok((length, from)) = udp.recv_from(&mut buffer).await {
                *source.lock().unwrap() = Some(from);
                count.fetch_add(1, Ordering::SeqCst);
                let question = Message::from_vec(&buffer[..length]).unwrap();
                let (udp, by) = (udp.clone(), by.clone());
                tokio::spawn(async move {
                    if let Some(answer) = answer(question, by.as_ref(), 1_232).await {
                        udp.send_to(&answer, from).await.unwrap();
                    }
                });
            }
        });
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = tcp.accept().await {
                let rule = rule.clone();
                tokio::spawn(async move {
                    while let Ok(length) = stream.read_u16().await {
                        let mut question = vec![0; usize::from(length)];
                        stream.read_exact(&mut question).await.unwrap();
                        let question = Message::from_vec(&question).unwrap();
                        if let Some(answer) = answer(question, rule.as_ref(), 65_535).await {
                            let length = u16::try_from(answer.len()).unwrap();
                            stream.write_u16(length).await.unwrap();
                            stream.write_all(&answer).await.unwrap();
                        }
                    }
                });
            }
        });
        Self {
            address,
            questions,
            last_source,
        }
    }

    /// Questions that came by UDP so far.
    pub(crate) fn questions(&self) -> usize {
        self.questions.load(Ordering::SeqCst)
    }

    /// Where the last of them came from.
    pub(crate) fn last_source(&self) -> Option<SocketAddr> {
        *self.last_source.lock().unwrap()
    }
}

/// What a server says by `rule`, in at most `room` bytes.
pub(super) async fn answer(
    question: Message,
    rule: &(impl Fn(&str, RecordType) -> Reply + Send + Sync),
    room: usize,
) -> Option<Vec<u8>> {
    let query = question.queries.first().unwrap().clone();
    let mut answer = Message::new(question.metadata.id, MessageType::Response, OpCode::Query);
    answer.metadata.recursion_desired = true;
    answer.metadata.recursion_available = true;
    answer.add_query(query.clone());
    let name = query.name().to_ascii();
    let reply = rule(name.trim_end_matches('.'), query.query_type());
    let (addresses, ttl) = match reply {
        Reply::Addresses(addresses, ttl) => (addresses, ttl),
        Reply::Late(delay, addresses) => {
            tokio::time::sleep(delay).await;
            (addresses, 60)
        }
        Reply::Alias(target) => {
            let target = CNAME(Name::from_ascii(target).unwrap());
            let record = Record::from_rdata(query.name().clone(), 0, RData::CNAME(target));
            answer.add_answer(record);
            (Vec::new(), 0)
        }
        Reply::NoSuchName => {
            answer.metadata.response_code = ResponseCode::NXDomain;
            (Vec::new(), 0)
        }
        Reply::ServerFailure => {
            answer.metadata.response_code = ResponseCode::ServFail;
            (Vec::new(), 0)
        }
        Reply::Silence => return None,
    };
    for address in addresses {
        let data = match (address, query.query_type()) {
            (IpAddr::V4(v4), RecordType::A) => RData::A(A(v4)),
            (IpAddr::V6(v6), RecordType::AAAA) => RData::AAAA(AAAA(v6)),
            _ => continue,
        };
        answer.add_answer(Record::from_rdata(query.name().clone(), ttl, data));
    }
    let bytes = answer.to_vec().unwrap();
    if bytes.len() <= room {
        return Some(bytes);
    }
    answer.answers.clear();
    answer.metadata.truncation = true;
    Some(answer.to_vec().unwrap())
}
