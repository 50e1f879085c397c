//! What is spoken inside: everything but what is sealed itself.

use super::*;
use crate::tests::world::Origin;

#[tokio::test]
async fn connect_forwarding_socks_and_vless_go_through() {
    let ((world, identity), echo) = (world().await, Origin::echo().await);
    for version in VERSIONS {
        let client = identity.client(&[version], &["http/1.1"]);
        let mut stream = tunnel(&world, &client, echo).await;
        stream.write_all(b"by CONNECT").await.unwrap();
        hears(&mut stream, b"by CONNECT").await;

        let to = [&echo.port().to_be_bytes()[..], &[1, 127, 0, 0, 1]].concat();
        let mut stream = entered(&world, &client).await;
        let head = [&[0][..], &[7; 16], &[0, 1], &to, b"by VLESS"].concat();
        stream.write_all(&head).await.unwrap();
        hears(&mut stream, b"\0\0by VLESS").await;

        let to = [&[5, 1, 0, 1, 127, 0, 0, 1][..], &echo.port().to_be_bytes()].concat();
        let mut stream = entered(&world, &client).await;
        stream.write_all(&[5, 1, 2]).await.unwrap();
        hears(&mut stream, &[5, 2]).await;
        stream.write_all(b"\x01\x04user\x06secret").await.unwrap();
        hears(&mut stream, &[1, 0]).await;
        stream.write_all(&to).await.unwrap();
        hears(&mut stream, &[5, 0, 0, 1]).await;
        within(PATIENCE, stream.read_exact(&mut [0; 6])).await.unwrap();
        stream.write_all(b"by SOCKS5").await.unwrap();
        hears(&mut stream, b"by SOCKS5").await;

        let mut stream = entered(&world, &client).await;
        let to = [
            &[4, 1][..],
            &echo.port().to_be_bytes(),
            &[127, 0, 0, 1],
            b"user:secret\0",
        ]
        .concat();
        stream.write_all(&to).await.unwrap();
        hears(&mut stream, &[0, 0x5a]).await;
        within(PATIENCE, stream.read_exact(&mut [0; 6])).await.unwrap();
        stream.write_all(b"by SOCKS4").await.unwrap();
        hears(&mut stream, b"by SOCKS4").await;
    }
    assert_eq!(world.traffic("a").0, 2 * (10 + 8 + 9 + 9), "as much as was said");
}

#[tokio::test]
async fn requests_are_forwarded_one_after_another_and_asked_for_credentials() {
    let ((world, identity), origin) = (world().await, Origin::listen().await);
    let address = origin.address();
    let server = tokio::spawn(async move {
        for number in 0..2 {
            let (mut stream, _) = origin.accept().await;
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await.unwrap());
            }
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\n{number}");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let mut stream = entered(&world, &identity.client(&VERSIONS, &["http/1.1"])).await;
    let request = |password: &str| {
        format!(
            "GET http://{address}/ HTTP/1.1\r\nHost: {address}\r\nProxy-Authorization: Basic {}\r\n\r\n",
            basic(password)
        )
    };
    stream.write_all(request("wrong").as_bytes()).await.unwrap();
    hears(&mut stream, b"HTTP/1.1 407 ").await;
    let mut rest = Vec::new();
    while !rest.ends_with(b"\r\n\r\n") {
        rest.push(within(PATIENCE, stream.read_u8()).await.unwrap());
    }
    let length = String::from_utf8(rest).unwrap();
    let length = length
        .lines()
        .find_map(|line| line.strip_prefix("Content-Length: "))
        .unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    within(PATIENCE, stream.read_exact(&mut body)).await.unwrap();
    for number in [b"0", b"1"] {
        stream.write_all(request("secret").as_bytes()).await.unwrap();
        hears(&mut stream, b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n").await;
        hears(&mut stream, number).await;
    }
    server.await.unwrap();
}

#[tokio::test]
async fn tls_and_shadowsocks_inside_tls_are_unknown() {
    let (world, identity) = world_with(|config| config.first_byte_timeout = Duration::from_secs(1)).await;
    let password = "aJZJWOgeoJk2DX454niuYw";
    let sealed = crate::Route {
        password: password.into(),
        ..route("a", PORT)
    };
    world.apply([Change::Route(sealed)]).await;
    let client = identity.client(&VERSIONS, &[]);

    let outer = entered(&world, &client).await;
    assert!(shake_hands(outer, &client).await.is_err());

    let peer = testbed::shadowsocks::Client::new(testbed::shadowsocks::Method::ALL[1], password);
    let (bytes, _) = peer.request(&testbed::shadowsocks::Request {
        salt: vec![9; peer.method().key_length()],
        time: 0,
        to: testbed::shadowsocks::address("127.0.0.1:1".parse().unwrap()),
        payload: b"hello".to_vec(),
    });
    let mut stream = entered(&world, &client).await;
    stream.write_all(&bytes).await.unwrap();
    hears_the_end(&mut stream).await;
}

#[tokio::test]
async fn bad_credentials_are_counted_as_outside() {
    let (world, identity) = world().await;
    let client = identity.client(&VERSIONS, &[]);
    let request = format!(
        "CONNECT 127.0.0.1:1 HTTP/1.1\r\nHost: 127.0.0.1:1\r\nProxy-Authorization: Basic {}\r\n\r\n",
        basic("wrong")
    );
    for _ in 0..10 {
        let mut stream = entered(&world, &client).await;
        stream.write_all(request.as_bytes()).await.unwrap();
        hears(&mut stream, b"HTTP/1.1 407 ").await;
    }
    let mut stream = entered(&world, &client).await;
    stream.write_all(request.as_bytes()).await.unwrap();
    hears_the_end(&mut stream).await;
}
