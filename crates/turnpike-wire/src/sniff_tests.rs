#![allow(clippy::unwrap_used, reason = "a test's panic is its failure")]

use proptest::prelude::*;

use super::*;
use crate::shadowsocks::Keys;
use crate::shadowsocks::tests::opening;

const ID: [u8; 16] = *b"0123456789abcdef";
const PASSWORD: &str = "aJZJWOgeoJk2DX454niuYw";

/// A port without Shadowsocks and TLS, so that rules 1, 2, 5 and 6 are alone.
const PLAIN: Known<'_> = Known {
    vless: &ID,
    shadowsocks: None,
    methods: &Method::ALL,
    tls: false,
};

fn with_all(keys: &Keys) -> Known<'_> {
    Known {
        shadowsocks: Some(keys),
        tls: true,
        ..PLAIN
    }
}

#[test]
fn what_is_not_recognised_is_guessed() {
    let random: Vec<u8> = (0..60_u8).map(|number| number.wrapping_mul(0x9d) ^ 0x80).collect();
    let text = b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3, and something more\r\n";
    let head = |version: u8, id: &[u8; 16], addons: &[u8]| {
        let length = [u8::try_from(addons.len()).unwrap()];
        [&[version][..], id, &length, addons, &[1, 0, 80, 1, 192, 0, 2, 1]].concat()
    };
    let others = *b"0123456789abcdeg";
    for (bytes, expected) in [
        (head(0, &others, b""), Guess::Vless { is_known: false }),
        (
            head(0, &others, b"\x0a\x10xtls-rprx-vision"),
            Guess::Vless { is_known: false },
        ),
        (head(1, &ID, b""), Guess::Vless { is_known: true }),
        (head(1, &others, b""), Guess::Nothing),
        (vec![5, 2, 1, 3], Guess::Socks5),
        (vec![5, 2, 1], Guess::Nothing),
        (vec![0x16, 3, 1, 2, 0, 1, 0], Guess::Tls),
        (random.clone(), Guess::Shadowsocks),
        (random[..33].to_vec(), Guess::Nothing),
        (text.to_vec(), Guess::Nothing),
        (Vec::new(), Guess::Nothing),
    ] {
        assert_eq!(guess(&bytes, &ID), expected, "{bytes:?}");
    }
}

#[test]
fn openings_are_recognised() {
    for (bytes, expected) in [
        (&b""[..], Sniffed::Wait),
        (b"G", Sniffed::Wait),
        (b"GET", Sniffed::Wait),
        (b"GET ", Sniffed::Http),
        (b"GET http://a/ HTTP/1.1\r\nX: \xff\r\n", Sniffed::Http),
        (b"CONNECT a:1 HTTP/1.1\r", Sniffed::Http),
        (b"M-SEARCH * HTTP/1.1\r\n", Sniffed::Http),
        (b"GE ", Sniffed::Unknown),
        (b"get / HTTP/1.1", Sniffed::Unknown),
        (b"GET \x00", Sniffed::Unknown),
        (b"GET a\rb", Sniffed::Unknown),
        (b"ABCDEFGHIJKLMNOPQ ", Sniffed::Unknown),
        (&[5], Sniffed::Wait),
        (&[5, 1], Sniffed::Wait),
        (&[5, 1, 0], Sniffed::Socks5),
        (&[5, 1, 2], Sniffed::Socks5),
        (&[5, 3, 0, 1, 2], Sniffed::Socks5),
        (&[5, 1, 2, 1, 4], Sniffed::Socks5),
        (&[5, 1, 2, 7], Sniffed::Unknown),
        (&[5, 1, 1], Sniffed::Unknown),
        (&[5, 0], Sniffed::Unknown),
        (&[5, 17], Sniffed::Unknown),
        (&[4], Sniffed::Wait),
        (&[4, 1, 0, 80, 1, 2, 3, 4], Sniffed::Wait),
        (&[4, 1, 0, 80, 1, 2, 3, 4, 0], Sniffed::Socks4),
        (&[4, 3], Sniffed::Unknown),
        (&[0], Sniffed::Wait),
        (b"\x000123456789abcde", Sniffed::Wait),
        (b"\x000123456789abcdef", Sniffed::Vless),
        (b"\x000123456789abcdeg", Sniffed::Unknown),
        (&[0x16, 3, 1], Sniffed::Unknown),
    ] {
        assert_eq!(sniff(bytes, &PLAIN), expected, "{bytes:?}");
    }
    let endless = [&[4, 1, 0, 80, 1, 2, 3, 4][..], &[b'a'; 600]].concat();
    assert_eq!(sniff(&endless, &PLAIN), Sniffed::Unknown);
}

#[test]
fn tls_is_told_only_where_it_is_spoken() {
    let keys = Keys::of_password(PASSWORD).unwrap();
    let hello = [&[0x16, 3, 1, 2, 0, 1][..], &[0; 100]].concat();
    for length in 0..6 {
        assert_eq!(sniff(&hello[..length], &with_all(&keys)), Sniffed::Wait, "{length}");
    }
    assert_eq!(sniff(&hello[..6], &with_all(&keys)), Sniffed::Tls);
    assert_eq!(sniff(&hello, &with_all(&keys)), Sniffed::Tls);
    let without = Known {
        tls: false,
        ..with_all(&keys)
    };
    assert_eq!(sniff(&hello[..49], &without), Sniffed::Wait, "it may be a salt");
    assert_eq!(sniff(&hello, &without), Sniffed::Unknown);
}

#[test]
fn a_salt_may_begin_like_any_other_protocol() {
    let keys = Keys::of_password(PASSWORD).unwrap();
    for beginning in [
        &b"POST "[..],
        b"GET /",
        &[0x16, 3, 1, 2, 0, 1],
        &[5, 1, 0],
        &[4, 1, 0, 80],
        &[0],
        b"SSH-2.0-",
    ] {
        for method in Method::ALL {
            let mut salt = [0xc3; 32];
            salt[..beginning.len()].copy_from_slice(beginning);
            let bytes = opening(&keys, method, &salt);
            assert_eq!(
                sniff(&bytes, &with_all(&keys)),
                Sniffed::Shadowsocks(method),
                "{beginning:?} {method:?}"
            );
        }
    }
}

/// Such salts are rare, not impossible: the line is as printable as one of HTTP.
#[test]
fn a_salt_may_be_a_short_line_of_text() {
    let keys = Keys::of_password(PASSWORD).unwrap();
    for line in [
        &b"ABC \n"[..],
        b"ABC \r\n",
        b"GET /\n",
        b"A-B 0123456789\n",
        b"ABC 0123456789a\xff",
    ] {
        for method in Method::ALL {
            let mut salt = [0x0a; 32];
            salt[..line.len()].copy_from_slice(line);
            let bytes = opening(&keys, method, &salt);
            assert_eq!(
                sniff(&bytes, &with_all(&keys)),
                Sniffed::Shadowsocks(method),
                "{line:?}"
            );
            for length in 0..16 {
                assert_eq!(
                    sniff(&bytes[..length], &with_all(&keys)),
                    Sniffed::Wait,
                    "{line:?} {length}"
                );
            }
        }
    }
}

#[test]
fn a_short_line_is_http_when_it_is_not_shadowsocks() {
    let keys = Keys::of_password(PASSWORD).unwrap();
    for (line, expected) in [
        (&b"GET "[..], Sniffed::Wait),
        (b"GET /\r\n", Sniffed::Wait),
        (b"GET / HTTP/1.", Sniffed::Wait),
        (b"GET / HTTP/1.1", Sniffed::Http),
        (b"GET / HTTP/1.1\r", Sniffed::Http),
        (b"GET / HTTP/1.1\r\n\r\n", Sniffed::Http),
        (b"GET /HTTP/1.1\r\n\r\n", Sniffed::Wait),
        (b"GET / HTTP/x.1\r\n\r\n", Sniffed::Wait),
        (b"GET http://192.0.2.1/xx", Sniffed::Wait),
        (b"GET http://192.0.2.1/xxx", Sniffed::Http),
    ] {
        assert_eq!(
            sniff(line, &with_all(&keys)),
            expected,
            "{:?}",
            line.escape_ascii().to_string()
        );
    }
    let nothing_more = [&b"GET /\r\n"[..], &[b'\n'; 60]].concat();
    assert_eq!(sniff(&nothing_more, &with_all(&keys)), Sniffed::Http);
}

/// Well-formed openings of the protocols that are not sealed.
fn open_protocol() -> impl Strategy<Value = (Vec<u8>, Sniffed)> {
    let http = (
        "[A-Z]{3,9} (http://)?[a-z.]{1,20}(:[0-9]{1,4})?/? HTTP/1[.]1\r\n",
        any::<Vec<u8>>(),
    );
    let http = http.prop_map(|(line, rest)| ([line.as_bytes(), &rest].concat(), Sniffed::Http));
    let vless = proptest::collection::vec(any::<u8>(), 0..80)
        .prop_map(|rest| ([&[0][..], &ID, &rest].concat(), Sniffed::Vless));
    let login = ("[ -~]{1,20}", "[ -~]{1,20}");
    let socks5 = (proptest::bool::ANY, login).prop_map(|(goes_on, (username, password))| {
        let mut bytes = vec![5, 2, 0, 2];
        if goes_on {
            bytes.extend([1, u8::try_from(username.len()).unwrap()]);
            bytes.extend(username.bytes());
            bytes.push(u8::try_from(password.len()).unwrap());
            bytes.extend(password.bytes());
            bytes.extend([5, 1, 0, 1, 192, 0, 2, 1, 0, 80]);
        }
        (bytes, Sniffed::Socks5)
    });
    let socks4 = (any::<[u8; 6]>(), login).prop_map(|(address, (username, password))| {
        let user = format!("{username}:{password}");
        ([&[4, 1][..], &address, user.as_bytes(), &[0]].concat(), Sniffed::Socks4)
    });
    let tls = (
        0_u8..5,
        any::<[u8; 2]>(),
        proptest::collection::vec(any::<u8>(), 0..300),
    )
        .prop_map(|(version, length, rest)| ([&[0x16, 3, version][..], &length, &[1], &rest].concat(), Sniffed::Tls));
    prop_oneof![http, vless, socks5, socks4, tls]
}

proptest! {
    /// Whoever asks early and waits learns the same as whoever asks late: nothing is unknown that more bytes would make known.
    #[test]
    fn more_bytes_never_make_the_unknown_known(
        bytes in proptest::collection::vec(prop_oneof![any::<u8>(), Just(5_u8), Just(4), Just(1), Just(b'G'), Just(b' ')], 0..64),
        at in any::<prop::sample::Index>(),
    ) {
        let (head, _) = bytes.split_at(at.index(bytes.len() + 1));
        if sniff(head, &PLAIN) == Sniffed::Unknown {
            prop_assert_eq!(sniff(&bytes, &PLAIN), Sniffed::Unknown);
        }
    }

    #[test]
    fn every_method_is_told_by_its_opening_byte_by_byte(salt in any::<[u8; 32]>(), index in 0_usize..4) {
        let keys = Keys::of_password(PASSWORD).unwrap();
        let method = Method::ALL[index];
        let bytes = opening(&keys, method, &salt);
        let known = with_all(&keys);
        prop_assert_eq!(sniff(&bytes, &known), Sniffed::Shadowsocks(method));
        // Below the shortest opening only what random bytes are as good as never may be taken for something else.
        for length in 0..method.shortest_opening() {
            prop_assert_eq!(sniff(&bytes[..length], &known), Sniffed::Wait, "{}", length);
        }
        prop_assert_eq!(sniff(&bytes[..method.shortest_opening()], &known), Sniffed::Shadowsocks(method));
    }

    #[test]
    fn open_protocols_are_told_whole_and_byte_by_byte((bytes, expected) in open_protocol()) {
        let keys = Keys::of_password(PASSWORD).unwrap();
        let known = with_all(&keys);
        prop_assert_eq!(sniff(&bytes, &known), expected);
        let first = (0..=bytes.len()).map(|length| sniff(&bytes[..length], &known)).find(|so_far| *so_far != Sniffed::Wait);
        prop_assert_eq!(first, Some(expected));
    }

    #[test]
    fn another_subscriptions_opening_is_unknown(salt in any::<[u8; 32]>(), index in 0_usize..4) {
        let keys = Keys::of_password(PASSWORD).unwrap();
        let others = Keys::of_password("bwxiFRNeyZPJR5yGmFAwvQ").unwrap();
        let bytes = opening(&others, Method::ALL[index], &salt);
        let judged = sniff(&bytes, &with_all(&keys));
        prop_assert!(!matches!(judged, Sniffed::Shadowsocks(_) | Sniffed::Vless), "{:?}", judged);
    }
}
