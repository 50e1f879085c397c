//! TCP: a request, chunks behind it, and the answer's chunks.

use super::cipher::{Cipher, Nonces};
use super::{Client, Method};

const TAG: usize = 16;

/// What a client asks for at the start of a stream.
#[derive(Debug, Clone)]
pub struct Request {
    /// Its random beginning, of the length of the method's key.
    pub salt: Vec<u8>,
    /// Its time in seconds since 1970, which only 2022 tells.
    pub time: u64,
    /// Where to, as [`super::address`] and [`super::named`] write it.
    pub to: Vec<u8>,
    /// What goes along with it.
    pub payload: Vec<u8>,
}

/// What a client sends behind its salt.
#[derive(Debug, Clone)]
pub struct Sealer {
    cipher: Cipher,
    nonces: Nonces,
}

impl Client {
    /// The key of what is sent behind this salt.
    #[must_use]
    pub fn sealer(&self, salt: &[u8]) -> Sealer {
        Sealer {
            cipher: self.cipher(salt),
            nonces: Nonces::default(),
        }
    }

    /// A whole request, and what seals the chunks behind it.
    #[must_use]
    pub fn request(&self, request: &Request) -> (Vec<u8>, Sealer) {
        let mut sealer = self.sealer(&request.salt);
        let mut bytes = request.salt.clone();
        if self.method.is_2022() {
            // The specification wants padding where there is no payload.
            let padding = if request.payload.is_empty() { &b"pad"[..] } else { b"" };
            let rest = [&request.to, &length(padding)[..], padding, &request.payload].concat();
            bytes.extend(sealer.header(0, request.time, rest.len()));
            bytes.extend(sealer.piece(&rest));
        } else {
            bytes.extend(sealer.chunk(&[&request.to[..], &request.payload].concat()));
        }
        (bytes, sealer)
    }

    /// What opens the answer to a request that began with `salt`.
    #[must_use]
    pub fn answer(&self, salt: &[u8]) -> Answer {
        Answer {
            client: self.clone(),
            salt: salt.to_vec(),
            opener: None,
            wanted: self.method.key_length(),
            is_length: true,
            pending: Vec::new(),
            time: None,
            longest: 0,
        }
    }
}

impl Sealer {
    /// One sealed piece.
    pub fn piece(&mut self, text: &[u8]) -> Vec<u8> {
        self.cipher.seal(self.nonces.take(), text)
    }

    /// A sealed length, and the sealed text.
    pub fn chunk(&mut self, text: &[u8]) -> Vec<u8> {
        let mut bytes = self.piece(&length(text));
        bytes.extend(self.piece(text));
        bytes
    }

    /// The first header of a 2022 stream: type, time, and how much text the next piece has.
    ///
    /// # Panics
    /// When it has more than it can.
    pub fn header(&mut self, kind: u8, time: u64, length: usize) -> Vec<u8> {
        let length = u16::try_from(length).expect("at most 65,535 bytes");
        self.piece(&[&[kind][..], &time.to_be_bytes(), &length.to_be_bytes()].concat())
    }
}

/// What a server answers, as it arrives.
#[derive(Debug)]
pub struct Answer {
    client: Client,
    /// The request's.
    salt: Vec<u8>,
    opener: Option<(Cipher, Nonces)>,
    /// So many bytes make the next step.
    wanted: usize,
    is_length: bool,
    pending: Vec<u8>,
    /// What the server says the time is; only 2022 does.
    pub time: Option<u64>,
    /// The longest text that came in one piece.
    pub longest: usize,
}

impl Answer {
    /// Takes what has arrived; the text that it completes.
    ///
    /// # Panics
    /// When it is not what the specification says.
    pub fn take(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.pending.extend(bytes);
        let mut text = Vec::new();
        while self.pending.len() >= self.wanted {
            let piece: Vec<u8> = self.pending.drain(..self.wanted).collect();
            let Some((cipher, nonces)) = &mut self.opener else {
                self.begin(&piece);
                continue;
            };
            let opened = cipher.open(nonces.take(), &piece).expect("the server's tag fits");
            if self.is_length {
                self.head(&opened);
            } else {
                self.longest = self.longest.max(opened.len());
                text.extend(opened);
                self.wanted = 2 + TAG;
                self.is_length = true;
            }
        }
        text
    }

    /// Whether it ends between two pieces.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.pending.is_empty() && self.is_length
    }

    /// The server's salt.
    fn begin(&mut self, salt: &[u8]) {
        assert_ne!(salt, self.salt, "the server's salt is its own");
        self.opener = Some((self.client.cipher(salt), Nonces::default()));
        self.wanted = TAG
            + match self.client.method {
                Method::Blake3Aes128Gcm => 1 + 8 + salt.len() + 2,
                _ => 2,
            };
    }

    /// A length, or the header of 2022, which has one at its end.
    fn head(&mut self, opened: &[u8]) {
        if let [1, header @ .., _, _] = opened {
            let (time, salt) = header.split_at(8);
            assert_eq!(salt, self.salt, "the answer is to this request");
            self.time = time.try_into().ok().map(u64::from_be_bytes);
        } else {
            assert_eq!(opened.len(), 2, "a length");
        }
        let length = opened.last_chunk::<2>().expect("a length");
        self.wanted = usize::from(u16::from_be_bytes(*length)) + TAG;
        self.is_length = false;
    }
}

fn length(text: &[u8]) -> [u8; 2] {
    u16::try_from(text.len()).expect("at most 65,535 bytes").to_be_bytes()
}
