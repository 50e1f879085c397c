//! Which protocol is it? Asked with every beginning.

use turnpike_wire::shadowsocks::{Keys, Method};
use turnpike_wire::sniff::{Known, Sniffed, sniff};

use crate::parse::cuts;
use crate::{ID, PASSWORD, choice};

/// Past this a port reads no further.
const MOST: usize = 4096;

pub(crate) fn run(data: &[u8]) {
    let (which, data) = choice(data);
    let keys = Keys::of_password(PASSWORD).unwrap();
    let known = Known {
        vless: &ID,
        shadowsocks: (which & 1 == 0).then_some(&keys),
        methods: &Method::ALL,
        tls: which & 2 == 0,
    };
    let whole = sniff(data, &known);
    if data.len() >= MOST {
        assert_ne!(whole, Sniffed::Wait, "nothing is waited for for ever");
    }
    // Nobody seals without the key: what the fuzzer makes is never that.
    assert!(!matches!(whole, Sniffed::Shadowsocks(_)));
    if whole == Sniffed::Tls {
        assert!(known.tls);
    }
    for cut in cuts(data.len()) {
        let part = sniff(&data[..cut], &known);
        match part {
            Sniffed::Unknown => assert_eq!(whole, Sniffed::Unknown, "the first {cut} bytes are unknown"),
            Sniffed::Vless => assert_eq!(whole, Sniffed::Vless, "the first {cut} bytes"),
            _ => {}
        }
    }
}
