//! UDP: packets there and back.

use std::net::SocketAddr;

use aes::Aes128;
use aes::cipher::{BlockCipherDecrypt as _, BlockCipherEncrypt as _, KeyInit as _};

use super::{Client, split_address};

/// A client's packet of 2022, before it is sealed.
#[derive(Debug, Clone)]
pub struct ClientSession {
    /// The client's own random bytes.
    pub session: [u8; 8],
    /// The packet's number.
    pub number: u64,
    /// The client's time in seconds since 1970.
    pub time: u64,
}

/// What a server sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// Of 2022: the server's session, the packet's number, the time, and the client's session.
    pub header: Option<([u8; 8], u64, u64, [u8; 8])>,
    /// Who sent the data.
    pub from: SocketAddr,
    /// The data.
    pub data: Vec<u8>,
}

impl Client {
    /// A packet of 2022 to an address, as [`super::address`] writes it.
    #[must_use]
    pub fn packet_2022(&self, session: &ClientSession, to: &[u8], data: &[u8]) -> Vec<u8> {
        let body = [&[0][..], &session.time.to_be_bytes(), &[0, 0], to, data].concat();
        self.packet_2022_of(session, &body)
    }

    /// A packet of 2022 with any body.
    #[must_use]
    pub fn packet_2022_of(&self, session: &ClientSession, body: &[u8]) -> Vec<u8> {
        let block = block(session);
        let sealed = self.cipher(&session.session).seal(nonce(&block), body);
        [&self.encrypted(block)[..], &sealed].concat()
    }

    /// The header of a packet of 2022, with something behind it that does not open.
    #[must_use]
    pub fn forged_2022(&self, session: &ClientSession, length: usize) -> Vec<u8> {
        [&self.encrypted(block(session))[..], &vec![0x5a; length]].concat()
    }

    /// A packet of a method from before 2022.
    #[must_use]
    pub fn packet(&self, salt: &[u8], to: &[u8], data: &[u8]) -> Vec<u8> {
        let sealed = self.cipher(salt).seal([0; 12], &[to, data].concat());
        [salt, &sealed].concat()
    }

    /// Opens what a server sent.
    ///
    /// # Panics
    /// When it is not what the specification says.
    #[must_use]
    pub fn open(&self, packet: &[u8]) -> Packet {
        if !self.method.is_2022() {
            let (salt, sealed) = packet.split_at(self.method.key_length());
            let text = self.cipher(salt).open([0; 12], sealed).expect("the server's tag fits");
            let (from, data) = split_address(&text);
            return Packet {
                header: None,
                from,
                data: data.to_vec(),
            };
        }
        let mut block = *packet.first_chunk::<16>().expect("a header");
        let mut opened = block.into();
        self.header_cipher().decrypt_block(&mut opened);
        block = opened.into();
        let (session, number) = block.split_at(8);
        let session: [u8; 8] = session.try_into().expect("eight bytes");
        let text = self.cipher(&session).open(nonce(&block), &packet[16..]);
        let text = text.expect("the server's tag fits");
        assert_eq!(text[0], 1, "a server's packet");
        let eight = |at: usize| *text[at..].first_chunk::<8>().expect("eight bytes");
        let padding = usize::from(u16::from_be_bytes([text[17], text[18]]));
        let (from, data) = split_address(&text[19 + padding..]);
        Packet {
            header: Some((
                session,
                u64::from_be_bytes(number.try_into().expect("eight bytes")),
                u64::from_be_bytes(eight(1)),
                eight(9),
            )),
            from,
            data: data.to_vec(),
        }
    }

    fn header_cipher(&self) -> Aes128 {
        Aes128::new_from_slice(&self.key).expect("a key of 16 bytes")
    }

    fn encrypted(&self, block: [u8; 16]) -> [u8; 16] {
        let mut block = block.into();
        self.header_cipher().encrypt_block(&mut block);
        block.into()
    }
}

fn block(session: &ClientSession) -> [u8; 16] {
    let mut block = [0; 16];
    block[..8].copy_from_slice(&session.session);
    block[8..].copy_from_slice(&session.number.to_be_bytes());
    block
}

/// The header's last twelve bytes.
fn nonce(block: &[u8; 16]) -> [u8; 12] {
    *block.last_chunk().expect("twelve bytes")
}
