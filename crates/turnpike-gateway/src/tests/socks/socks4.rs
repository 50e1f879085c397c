//! SOCKS4 and SOCKS4a.

use super::*;

const GRANTED: &[u8] = &[0, 0x5a, 0, 0, 0, 0, 0, 0];
const REJECTED: &[u8] = &[0, 0x5b, 0, 0, 0, 0, 0, 0];
const WRONG_USER: &[u8] = &[0, 0x5d, 0, 0, 0, 0, 0, 0];

/// `user` is what fills the user id; a host makes it a request of 4a.
fn request4(command: u8, ip: [u8; 4], port: u16, user: &[u8], host: Option<&str>) -> Vec<u8> {
    let mut bytes = vec![4, command];
    bytes.extend(port.to_be_bytes());
    bytes.extend(ip);
    bytes.extend(user);
    bytes.push(0);
    if let Some(host) = host {
        bytes.extend(host.as_bytes());
        bytes.push(0);
    }
    bytes
}

#[tokio::test]
async fn addresses_and_names_are_connected_to_however_the_request_is_cut() {
    let names = name_server().await;
    let world = world_with(|config| config.dns_servers = vec![names.address], |_| {}).await;
    let port = Origin::echo().await.port();
    for request in [
        request4(1, [127, 0, 0, 1], port, b"user:secret", None),
        request4(1, [0, 0, 0, 9], port, b"user:secret", Some("here.example")),
        request4(1, [0, 0, 0, 1], port, b"user:secret", Some("127.0.0.1")),
    ] {
        let whole = [&request[..], b"x"].concat();
        for cut in 1..=whole.len() {
            let (first, second) = whole.split_at(cut);
            let mut client = Script::start(&world).await;
            client.says(first).await;
            tokio::task::yield_now().await;
            client.says(second).await;
            client.hears([GRANTED, b"x"].concat()).await;
        }
    }
}

#[tokio::test]
async fn failures_have_their_codes() {
    let names = name_server().await;
    let world = world_with(|config| config.dns_servers = vec![names.address], |_| {}).await;
    let origin = Origin::listen().await;
    let port = origin.address().port();
    let here = [127, 0, 0, 1];
    let (good, name) = (b"user:secret", [0, 0, 0, 1]);
    for (request, answer) in [
        (request4(1, here, port, b"user:wrong", None), WRONG_USER),
        (request4(1, here, port, b"user", None), WRONG_USER),
        (request4(1, here, port, b"", None), WRONG_USER),
        (request4(1, here, port, b"usersecret", None), WRONG_USER),
        (request4(2, here, port, good, None), REJECTED),
        (request4(1, here, 0, good, None), REJECTED),
        (request4(1, [10, 0, 0, 1], port, good, None), REJECTED),
        (request4(1, name, port, good, Some("nowhere.example")), REJECTED),
        (request4(1, name, port, good, Some("private.example")), REJECTED),
        (request4(1, name, port, good, Some(&"a".repeat(300))), REJECTED),
        (request4(1, here, port, &[b'u'; 300], None), REJECTED),
        // 0.0.0.0 is an address, not the mark of a name.
        (request4(1, [0; 4], port, good, Some("here.example")), REJECTED),
    ] {
        let mut client = Script::start(&world).await;
        client.says(request).await;
        client.hears_last(answer).await;
    }
    assert_unvisited(origin);
}
