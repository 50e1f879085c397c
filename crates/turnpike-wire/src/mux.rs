//! mux.cool and XUDP, the server's side: frames of many streams and datagrams in one (Xray, "Mux.Cool"; common/mux,
//! common/xudp).
//!
//! `u16 length | metadata | u16 length, data`, the last two where the metadata says so. A session is what a frame's id names.

use std::net::SocketAddr;

use crate::Parse;
use crate::address::Destination;
use crate::cursor::{Cursor, NotYet};
use crate::vless;

/// The metadata of a frame without an address, and the longest that is accepted.
const SHORTEST: u16 = 4;
const LONGEST: u16 = 512;

const NEW: u8 = 0x01;
const KEEP: u8 = 0x02;
const END: u8 = 0x03;
const KEEP_ALIVE: u8 = 0x04;

/// Options: data follows; the session has ended by an error.
const DATA: u8 = 0x01;
const ERROR: u8 = 0x02;

const TCP: u8 = 0x01;
const UDP: u8 = 0x02;

/// The most data in one frame of a stream that every client takes.
pub const LONGEST_PIECE: usize = 8 * 1024;
/// The most data in one frame of datagrams: a longer one ends an Xray client's session.
pub const LONGEST_DATAGRAM: usize = 8_192;
/// The header of a piece of a stream.
pub const PIECE_HEADER: usize = 8;

/// A frame from a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame<'b> {
    /// Which session.
    pub session: u16,
    /// What is said of it.
    pub kind: Kind,
    /// What is said in it; absent where the frame has no place for it.
    pub data: Option<&'b [u8]>,
}

/// What a frame says of its session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// It begins. Absent where it cannot be served: the network or the address is of no known kind.
    New(Option<New>),
    /// It goes on.
    Keep(Toward),
    /// It is over.
    End {
        /// And not because everything has been said.
        has_failed: bool,
    },
    /// Nothing: the connection is to be kept alive.
    KeepAlive,
}

/// A session that begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct New {
    /// What it carries.
    pub network: Network,
    /// Where to.
    pub to: Destination,
    /// Who the client's socket is for as long as it lives, whichever connection brings its datagrams (XUDP).
    pub global_id: Option<GlobalId>,
}

/// What a session carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// A stream.
    Tcp,
    /// Datagrams.
    Udp,
}

/// Names one of a client's sockets; chosen by the client.
pub type GlobalId = [u8; 8];

/// Where a frame's data goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Toward {
    /// Where the session goes.
    Session,
    /// There, this once.
    Address(Destination),
    /// The address is of no known kind.
    Nowhere,
}

/// Why a connection cannot go on: where the next frame begins is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Shorter than what every frame has, or longer than any.
    #[error("a frame's metadata is of an impossible length")]
    Length,
    /// None of the four.
    #[error("a frame's status is of no known kind")]
    Status,
}

/// Reads the next frame, which must have arrived whole.
#[must_use]
pub fn frame(bytes: &[u8]) -> Parse<Frame<'_>, Refused> {
    let mut cursor = Cursor::new(bytes);
    match whole(&mut cursor) {
        Ok(Ok(frame)) => Parse::Done(frame, cursor.used()),
        Ok(Err(refused)) => Parse::Refuse(refused),
        Err(NotYet(needed)) => Parse::Need(needed),
    }
}

fn whole<'b>(cursor: &mut Cursor<'b>) -> Result<Result<Frame<'b>, Refused>, NotYet> {
    let length = cursor.u16()?;
    if !(SHORTEST..=LONGEST).contains(&length) {
        return Ok(Err(Refused::Length));
    }
    // Only what is inside belongs to the frame, however long its fields say that they are; what is left is padding.
    let mut metadata = Cursor::new(cursor.take(usize::from(length))?);
    let session = metadata.u16()?;
    let [status, option] = metadata.array()?;
    let has_data = option & DATA != 0;
    let kind = match status {
        NEW => Kind::New(new(&mut metadata, has_data)),
        KEEP => Kind::Keep(toward(&mut metadata, length)),
        END => Kind::End {
            has_failed: option & ERROR != 0,
        },
        KEEP_ALIVE => Kind::KeepAlive,
        _ => return Ok(Err(Refused::Status)),
    };
    let data = if has_data {
        let length = cursor.u16()?;
        Some(cursor.take(usize::from(length))?)
    } else {
        None
    };
    Ok(Ok(Frame { session, kind, data }))
}

/// `network | port, address | GlobalID`; the last with datagrams and data only.
fn new(metadata: &mut Cursor<'_>, has_data: bool) -> Option<New> {
    let network = match metadata.u8().ok()? {
        TCP => Network::Tcp,
        UDP => Network::Udp,
        _ => return None,
    };
    let to = vless::address(metadata).ok()??;
    let global_id = if network == Network::Udp && has_data {
        // All zeros are nobody.
        metadata.array().ok().filter(|id| *id != GlobalId::default())
    } else {
        None
    };
    Some(New { network, to, global_id })
}

/// `network | port, address`, of datagrams only.
fn toward(metadata: &mut Cursor<'_>, length: u16) -> Toward {
    if length == SHORTEST || metadata.u8() != Ok(UDP) {
        return Toward::Session;
    }
    match vless::address(metadata) {
        Ok(Some(to)) => Toward::Address(to),
        _ => Toward::Nowhere,
    }
}

/// The header of `length` bytes of a stream.
#[must_use]
pub fn piece(session: u16, length: u16) -> [u8; PIECE_HEADER] {
    let [[a, b], [c, d]] = [session.to_be_bytes(), length.to_be_bytes()];
    [0x00, 0x04, a, b, KEEP, DATA, c, d]
}

/// The header of a datagram of `length` bytes from `source`. Nothing is behind the address: sing-box reads it by its length.
#[must_use]
pub fn datagram(session: u16, source: SocketAddr, length: u16) -> Vec<u8> {
    let mut metadata = session.to_be_bytes().to_vec();
    metadata.extend([KEEP, DATA, UDP]);
    vless::put_address(&mut metadata, source);
    // 24 at most.
    let metadata_length = u16::try_from(metadata.len()).unwrap_or(LONGEST);
    let mut header = metadata_length.to_be_bytes().to_vec();
    header.extend(metadata);
    header.extend(length.to_be_bytes());
    header
}

/// The frame that ends a session.
#[must_use]
pub fn end(session: u16, has_failed: bool) -> [u8; 6] {
    let [a, b] = session.to_be_bytes();
    [0x00, 0x04, a, b, END, if has_failed { ERROR } else { 0x00 }]
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test's panic is its failure")]
mod tests {
    use std::net::IpAddr;

    use proptest::prelude::*;

    use super::*;
    use crate::address::Host;
    use crate::hex;

    /// Made with another program: 192.0.2.1:53, "ping" and "pong".
    const XUDP_NEW: &str = "000c0000010102003501c0000201000470696e67";
    const XUDP_NEW_WITH_ID: &str = "00140000010102003501c0000201a1a2a3a4a5a6a7a8000470696e67";
    const XUDP_ANSWER: &str = "000c0000020102003501c00002010004706f6e67";
    const XUDP_END: &str = "000400000300";

    fn name_server() -> Destination {
        Destination::from_authority("192.0.2.1:53", None).unwrap()
    }

    /// A frame with whatever metadata, and data where there is some.
    fn written(session: u16, status: u8, option: u8, more: &[u8], data: Option<&[u8]>) -> Vec<u8> {
        let length = u16::try_from(4 + more.len()).unwrap();
        let [session, length] = [session.to_be_bytes(), length.to_be_bytes()];
        let option = option | if data.is_some() { DATA } else { 0 };
        let mut frame = [&length[..], &session, &[status, option], more].concat();
        if let Some(data) = data {
            frame.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
            frame.extend(data);
        }
        frame
    }

    fn address(to: &Destination) -> Vec<u8> {
        let mut bytes = Vec::new();
        match &to.host {
            Host::Ip(ip) => vless::put_address(&mut bytes, SocketAddr::new(*ip, to.port)),
            Host::Name(name) => {
                bytes.extend(to.port.to_be_bytes());
                bytes.extend([0x02, u8::try_from(name.len()).unwrap()]);
                bytes.extend(name.as_bytes());
            }
        }
        bytes
    }

    #[test]
    fn another_programs_frames_are_read() {
        let new = |global_id| {
            Kind::New(Some(New {
                network: Network::Udp,
                to: name_server(),
                global_id,
            }))
        };
        let id = [0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8];
        for (vector, kind, data) in [
            (XUDP_NEW, new(None), Some(&b"ping"[..])),
            (XUDP_NEW_WITH_ID, new(Some(id)), Some(b"ping")),
            (XUDP_ANSWER, Kind::Keep(Toward::Address(name_server())), Some(b"pong")),
            (XUDP_END, Kind::End { has_failed: false }, None),
        ] {
            let bytes = hex(vector);
            let frame_read = Frame { session: 0, kind, data };
            assert_eq!(frame(&bytes), Parse::Done(frame_read, bytes.len()), "{vector}");
            for length in 0..bytes.len() {
                assert!(matches!(frame(&bytes[..length]), Parse::Need(n) if n > length && n <= bytes.len()));
            }
        }
    }

    #[test]
    fn answers_are_written_as_another_program_does() {
        let source = "192.0.2.1:53".parse().unwrap();
        assert_eq!([datagram(0, source, 4), b"pong".to_vec()].concat(), hex(XUDP_ANSWER));
        assert_eq!(end(0, false).to_vec(), hex(XUDP_END));
        assert_eq!(end(0x0102, true).to_vec(), hex("000401020302"));
        assert_eq!(piece(0x0102, 8_192).to_vec(), hex("0004010202012000"));
    }

    #[test]
    fn the_next_frame_cannot_be_found_behind_an_impossible_one() {
        for (bytes, refused) in [
            ("0003000001", Refused::Length),
            ("0000", Refused::Length),
            ("0201", Refused::Length),
            ("ffff", Refused::Length),
            ("000400010000", Refused::Status),
            ("000400010500", Refused::Status),
        ] {
            assert_eq!(frame(&hex(bytes)), Parse::Refuse(refused), "{bytes}");
        }
        let longest = written(1, KEEP_ALIVE, 0, &[7; 508], None);
        assert!(matches!(frame(&longest), Parse::Done(_, 514)));
    }

    #[test]
    fn a_session_needs_a_network_and_an_address_inside_its_metadata() {
        let new = |more: &str| match frame(&written(1, NEW, 0, &hex(more), Some(b"data"))) {
            Parse::Done(
                Frame {
                    kind: Kind::New(new),
                    data: Some(b"data"),
                    ..
                },
                _,
            ) => new,
            other => panic!("{other:?}"),
        };
        assert!(new("01005001c0000201").is_some());
        for more in [
            "",
            "01",
            "010050",
            "03005001c0000201",
            "01000001c0000201",
            "01005001c00002",
            "01005004c0000201",
            // A name that is longer than its metadata: what is behind that is not read on.
            "01005002ff6578616d706c65",
            "0100500200",
        ] {
            assert_eq!(new(more), None, "{more}");
        }
    }

    #[test]
    fn only_datagrams_that_bring_data_name_their_socket() {
        let new = |network: &str, id: &str, data| {
            let more = hex(&format!("{network}003501c0000201{id}"));
            match frame(&written(1, NEW, 0, &more, data)) {
                Parse::Done(
                    Frame {
                        kind: Kind::New(Some(new)),
                        ..
                    },
                    _,
                ) => new.global_id,
                other => panic!("{other:?}"),
            }
        };
        let data = Some(&b"data"[..]);
        assert_eq!(new("02", "a1a2a3a4a5a6a7a8", data).unwrap()[0], 0xa1);
        assert_eq!(
            new("02", "a1a2a3a4a5a6a7a8ffffff", data).unwrap()[7],
            0xa8,
            "and padding"
        );
        for (network, id, data) in [
            ("01", "a1a2a3a4a5a6a7a8", data),
            ("02", "a1a2a3a4a5a6a7a8", None),
            ("02", "a1a2a3a4a5a6a7", data),
            ("02", "0000000000000000", data),
            ("02", "", data),
        ] {
            assert_eq!(new(network, id, data), None, "{network} {id}");
        }
    }

    #[test]
    fn only_datagrams_have_a_destination_of_their_own() {
        let keep = |more: &str| match frame(&written(1, KEEP, 0, &hex(more), Some(b"data"))) {
            Parse::Done(
                Frame {
                    kind: Kind::Keep(toward),
                    ..
                },
                _,
            ) => toward,
            other => panic!("{other:?}"),
        };
        assert_eq!(keep("02003501c0000201"), Toward::Address(name_server()));
        assert_eq!(
            keep("02003501c0000201ffff"),
            Toward::Address(name_server()),
            "and padding"
        );
        for padding in ["", "00", "01003501c0000201", "ffff"] {
            assert_eq!(keep(padding), Toward::Session, "{padding}");
        }
        for broken in ["02", "020035", "02003501c00002", "02000001c0000201", "02003509"] {
            assert_eq!(keep(broken), Toward::Nowhere, "{broken}");
        }
    }

    fn destination() -> impl Strategy<Value = Destination> {
        let host = prop_oneof![
            any::<IpAddr>().prop_map(Host::from),
            "[a-z]{1,20}\\.[a-z]{1,10}".prop_map(Host::Name)
        ];
        (host, 1_u16..).prop_map(|(host, port)| Destination { host, port })
    }

    proptest! {
        #[test]
        fn frames_are_read_as_they_are_written_however_they_are_cut(
            session: u16,
            to in destination(),
            is_tcp: bool,
            global_id in proptest::option::of(any::<GlobalId>()),
            padding in proptest::collection::vec(any::<u8>(), 0..8),
            data in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..300)),
            behind in proptest::collection::vec(any::<u8>(), 0..8),
        ) {
            let mut more = vec![if is_tcp { TCP } else { UDP }];
            more.extend(address(&to));
            more.extend(global_id.unwrap_or_default());
            more.extend(&padding);
            let has_id = !is_tcp && data.is_some();
            let new = New {
                network: if is_tcp { Network::Tcp } else { Network::Udp },
                to: to.clone(),
                global_id: global_id.filter(|id| has_id && *id != [0; 8]),
            };
            let toward = if is_tcp { Toward::Session } else { Toward::Address(to) };
            for (status, kind) in [(NEW, Kind::New(Some(new))), (KEEP, Kind::Keep(toward))] {
                let mut bytes = written(session, status, 0, &more, data.as_deref());
                let length = bytes.len();
                for cut in 0..length {
                    let needs_more = matches!(frame(&bytes[..cut]), Parse::Need(n) if n > cut && n <= length);
                    prop_assert!(needs_more);
                }
                bytes.extend(&behind);
                prop_assert_eq!(frame(&bytes), Parse::Done(Frame { session, kind, data: data.as_deref() }, length));
            }
        }

        #[test]
        fn datagrams_from_anywhere_are_read_as_they_are_written(session: u16, ip: IpAddr, port in 1_u16.., data in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut bytes = datagram(session, SocketAddr::new(ip, port), u16::try_from(data.len()).unwrap());
            // 64 bytes of room are in front of every datagram that is received.
            prop_assert!(bytes.len() <= 64);
            bytes.extend(&data);
            let kind = Kind::Keep(Toward::Address(Destination { host: Host::from(ip), port }));
            prop_assert_eq!(frame(&bytes), Parse::Done(Frame { session, kind, data: Some(&data) }, bytes.len()));
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            if let Parse::Done(frame, used) = frame(&bytes) {
                prop_assert!(used <= bytes.len() && frame.data.is_none_or(|data| data.len() + 6 <= used));
            }
        }

        /// What is behind a frame's metadata is never taken for a part of it.
        #[test]
        fn an_address_longer_than_its_metadata_is_none(length in 0_u8.., inside in 0_usize..300, status in 1_u8..=2) {
            let inside = inside.min(usize::from(length).saturating_sub(1));
            let more = [&[UDP, 0, 80, 2, length][..], &vec![b'a'; inside]].concat();
            let bytes = [written(1, status, 0, &more, Some(&[b'a'; 300])), vec![b'a'; 600]].concat();
            let kind = if status == NEW { Kind::New(None) } else { Kind::Keep(Toward::Nowhere) };
            let is_read = matches!(frame(&bytes), Parse::Done(frame, _) if frame.kind == kind);
            prop_assert!(is_read);
        }
    }
}
