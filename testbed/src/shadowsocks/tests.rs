//! Against vectors that were made with neither this nor the gateway.

use super::*;

const TIME: u64 = 1_700_000_000;
/// 00 to 0f, without the `==` at the end.
const PASSWORD_2022: &str = "AAECAwQFBgcICQoLDA0ODw";

fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<u32> = digits.chars().filter_map(|digit| digit.to_digit(16)).collect();
    let pairs = digits.chunks_exact(2);
    pairs
        .map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap())
        .collect()
}

#[test]
fn a_2022_stream() {
    let client = Client::new(Method::Blake3Aes128Gcm, PASSWORD_2022);
    let salt = hex("101112131415161718191a1b1c1d1e1f");
    let mut sealer = client.sealer(&salt);
    let rest = [&named("example.com", 443)[..], &[0, 3, 0, 0, 0], b"hi"].concat();
    let sealed = [sealer.header(0, TIME, rest.len()), sealer.piece(&rest)].concat();
    assert_eq!(
        [&salt[..], &sealed].concat(),
        hex(
            "101112131415161718191a1b1c1d1e1ff62b42ac395d4aead07a65d09471860919e806ee8ea58821dd5f47e19e0c3dc0253175322489f04f22537d6c3c80d573941b18deacefb3b3118147daf5726a8805"
        )
    );
    let mut answer = client.answer(&salt);
    let bytes = hex(
        "202122232425262728292a2b2c2d2e2fcfd439ccd5cb580032874d1521cc11d623310888444d4ba6dd1ab99755d549918b1e537fc57cccb8b7e0e171b68d0ab0491828c36d0a81e1389408daeb",
    );
    let text: Vec<u8> = bytes.iter().flat_map(|byte| answer.take(&[*byte])).collect();
    assert_eq!(
        (text.as_slice(), answer.time, answer.is_whole()),
        (&b"ok"[..], Some(TIME), true)
    );
}

#[test]
fn a_2022_packet() {
    let client = Client::new(Method::Blake3Aes128Gcm, PASSWORD_2022);
    let session = ClientSession {
        session: [1, 2, 3, 4, 5, 6, 7, 8],
        number: 0,
        time: TIME,
    };
    let packet = client.packet_2022(&session, &address("192.0.2.1:53".parse().unwrap()), b"ping");
    assert_eq!(
        packet,
        hex(
            "18ba69bb4661fee5a7cc9ec1a731e2780f887748f59fbaddc74035aa30f8924119108b76e478c966ef3a3e2aa6c88a5b6866622f63b6"
        )
    );
}

#[test]
fn the_older_methods() {
    let client = Client::new(Method::Chacha20Poly1305, "p_2n4m6q");
    let salt = hex("202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f");
    let request = Request {
        salt: salt.clone(),
        time: 0,
        to: named("example.com", 443),
        payload: b"hi".to_vec(),
    };
    assert_eq!(
        client.request(&request).0,
        hex(
            "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f950d54bb82a381d32300b0f34a699e8bc8951353a62eab3fca1a3780ae873e3c3dd6819fda69af919d8253da29c781043da5b7"
        )
    );
    let to = "192.0.2.1:53".parse().unwrap();
    let packet = hex(
        "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f94dcddeea051a6d50c72fb3d78a3377cb00b2b28c305adee1254d7",
    );
    assert_eq!(client.packet(&salt, &address(to), b"ping"), packet);
    assert_eq!(
        (client.open(&packet).from, client.open(&packet).data),
        (to, b"ping".to_vec())
    );
}
