use secrecy::SecretString;
use tokio::io::AsyncReadExt as _;

use super::*;
use crate::exit::Upstream;
use crate::resolve::name_server::Reply;

/// What a scripted proxy does next.
#[derive(Clone)]
enum Step {
    Expect(Vec<u8>),
    Say(&'static [u8]),
    /// Says nothing until the other side closes.
    Mute,
    /// Breaks the connection with a reset.
    Reset,
}

use Step::{Expect, Mute, Reset, Say};

/// A proxy that goes through the same steps with everybody.
async fn proxy(steps: Vec<Step>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(follow(stream, steps.clone()));
        }
    });
    address
}

async fn follow(mut stream: TcpStream, steps: Vec<Step>) {
    for step in steps {
        match step {
            Expect(expected) => {
                let mut read = vec![0; expected.len()];
                if stream.read_exact(&mut read).await.is_err() {
                    return;
                }
                assert_eq!(String::from_utf8_lossy(&read), String::from_utf8_lossy(&expected));
            }
            Say(bytes) => {
                let _ = stream.write_all(bytes).await;
            }
            Mute => {
                let _ = stream.read(&mut [0; 1]).await;
                return;
            }
            Reset => {
                stream.set_zero_linger().unwrap();
                return;
            }
        }
    }
    // Until the other side closes.
    while stream.read(&mut [0; 64]).await.is_ok_and(|read| read > 0) {}
}

fn upstream(address: SocketAddr, credentials: Option<(&str, &str)>) -> Upstream {
    Upstream {
        host: address.ip().to_string(),
        port: address.port(),
        credentials: credentials.map(|(name, word)| (name.to_owned(), SecretString::from(word.to_owned()))),
    }
}

fn http(address: SocketAddr, credentials: Option<(&str, &str)>) -> ExitSpec {
    spec(ExitWay::HttpUpstream(upstream(address, credentials)))
}

fn socks(address: SocketAddr, credentials: Option<(&str, &str)>) -> ExitSpec {
    spec(ExitWay::Socks5Upstream(upstream(address, credentials)))
}

fn destination() -> Destination {
    to("198.51.0.7:443".parse().unwrap())
}

const SOCKS_REQUEST: &[u8] = &[5, 1, 0, 1, 198, 51, 0, 7, 0x01, 0xBB];
const HTTP_REQUEST: &str = "CONNECT 198.51.0.7:443 HTTP/1.1\r\nHost: 198.51.0.7:443\r\n";

async fn early(dialed: crate::exit::Dialed, length: usize) -> Vec<u8> {
    let mut bytes = dialed.early.to_vec();
    let mut socket = dialed.stream.into_socket();
    while bytes.len() < length {
        assert_ne!(socket.read_buf(&mut bytes).await.unwrap(), 0);
    }
    bytes
}

#[tokio::test]
async fn an_http_proxy_gets_credentials_and_an_address() {
    let request = format!("{HTTP_REQUEST}Proxy-Authorization: Basic dXNlcjpwYXNz\r\n\r\n");
    let proxy = proxy(vec![
        Expect(request.into_bytes()),
        Say(b"HTTP/1.1 200 Connection established\r\nX: y\r\n\r\nfirst"),
        Say(b" second"),
    ])
    .await;
    let mut world = World::new();
    let exit = world.exit(http(proxy, Some(("user", "pass"))));
    assert_eq!(world.event().await.0, "up");
    let dialed = exit.dial(&destination(), Opening::Unknown).await.unwrap();
    assert_eq!(early(dialed, 12).await, b"first second");
}

#[tokio::test]
async fn a_socks_proxy_gets_credentials_and_an_address() {
    let proxy = proxy(vec![
        Expect(vec![5, 2, 0, 2]),
        Say(&[5, 2]),
        Expect(b"\x01\x04user\x04pass".to_vec()),
        Say(&[1, 0]),
        Expect(SOCKS_REQUEST.to_vec()),
        Say(b"\x05\x00\x00\x03\x04name\x12\x34first"),
    ])
    .await;
    let world = World::new();
    let exit = world.exit(socks(proxy, Some(("user", "pass"))));
    let dialed = exit.dial(&destination(), Opening::Unknown).await.unwrap();
    assert_eq!(early(dialed, 5).await, b"first");
}

#[tokio::test]
async fn a_socks_proxy_may_want_no_login_and_an_ipv6_destination() {
    let mut request = vec![5, 1, 0, 4];
    request.extend_from_slice(&std::net::Ipv6Addr::LOCALHOST.octets());
    request.extend_from_slice(&[0, 80]);
    let proxy = proxy(vec![
        Expect(vec![5, 1, 0]),
        Say(&[5, 0]),
        Expect(request),
        Say(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]),
    ])
    .await;
    let world = World::new();
    let exit = world.exit(socks(proxy, None));
    let dialed = exit.dial(&to("[::1]:80".parse().unwrap()), Opening::Unknown).await;
    assert!(dialed.is_ok(), "{dialed:?}");
}

#[tokio::test]
async fn what_a_socks_proxy_says_of_the_destination_is_passed_on() {
    for (reply, expected) in [
        (&[5, 3, 0, 1][..], DialError::NetworkUnreachable),
        (&[5, 4, 0, 1], DialError::HostUnreachable),
        (&[5, 5, 0, 1], DialError::Refused),
        (&[5, 6, 0, 1], DialError::TimedOut),
        (&[5, 8, 0, 1], DialError::NetworkUnreachable),
    ] {
        let proxy = proxy(vec![
            Expect(vec![5, 1, 0]),
            Say(&[5, 0]),
            Expect(SOCKS_REQUEST.to_vec()),
            Say(reply),
        ])
        .await;
        let world = World::new();
        let exit = world.exit(socks(proxy, None));
        assert_eq!(exit.dial(&destination(), Opening::Unknown).await.unwrap_err(), expected);
    }
}

#[tokio::test]
async fn what_an_http_proxy_says_of_the_destination_is_passed_on() {
    for (reply, expected) in [
        (&b"HTTP/1.1 502 Bad Gateway\r\n\r\n"[..], DialError::HostUnreachable),
        (b"HTTP/1.1 503 Squid\r\n\r\n", DialError::HostUnreachable),
        (b"HTTP/1.0 500 Unable to connect\r\n\r\n", DialError::HostUnreachable),
        (b"HTTP/1.0 504 Late\r\n\r\n", DialError::TimedOut),
        (
            b"HTTP/1.1 502 Bad Gateway\r\nProxy-Status: gw1; error=connection_refused\r\n\r\n",
            DialError::Refused,
        ),
        (
            b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\n\r\n",
            DialError::ExitUnavailable {
                reason: "its upstream proxy is busy".to_owned(),
                retry_after: Duration::from_secs(7),
            },
        ),
    ] {
        let request = format!("{HTTP_REQUEST}\r\n").into_bytes();
        let proxy = proxy(vec![Expect(request), Say(reply)]).await;
        let world = World::new();
        let exit = world.exit(http(proxy, None));
        assert_eq!(exit.dial(&destination(), Opening::Unknown).await.unwrap_err(), expected);
    }
}

#[tokio::test]
async fn a_wrong_password_takes_the_exit_down() {
    let login = |answer| {
        vec![
            Expect(vec![5, 2, 0, 2]),
            Say(&[5, 2]),
            Expect(b"\x01\x04user\x05wrong".to_vec()),
            answer,
        ]
    };
    let refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n";
    let credentials = Some(("user", "wrong"));
    for exit in [
        socks(proxy(login(Say(&[1, 1]))).await, credentials),
        socks(proxy(login(Reset)).await, credentials),
        socks(
            proxy(vec![Expect(vec![5, 2, 0, 2]), Say(&[5, 0xFF])]).await,
            credentials,
        ),
        http(proxy(vec![Say(refusal)]).await, credentials),
    ] {
        let mut world = World::new();
        let is_http = matches!(exit.way, ExitWay::HttpUpstream(_));
        let exit = world.exit(exit);
        if is_http {
            // Only a request shows what an HTTP proxy thinks of the password.
            assert_eq!(world.event().await.0, "up");
        }
        let failed = exit.dial(&destination(), Opening::Unknown).await.unwrap_err();
        let DialError::ExitUnavailable { reason, .. } = failed else {
            panic!("{failed:?}")
        };
        assert_eq!(reason, "its upstream proxy refuses the gateway");
        let (event, reason) = world.event().await;
        assert_eq!(event, "down");
        assert!(!reason.contains("wrong"), "{reason}");
        // It stays down: reaching the proxy does not prove the password.
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(world.has_no_event());
    }
}

#[tokio::test]
async fn a_new_password_is_given_a_chance() {
    let refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n";
    let proxy = proxy(vec![Say(refusal)]).await;
    let mut world = World::new();
    let exit = world.exit(http(proxy, Some(("user", "old"))));
    assert_eq!(world.event().await.0, "up");
    assert!(exit.dial(&destination(), Opening::Unknown).await.is_err());
    assert_eq!(world.event().await.0, "down");
    exit.update(http(proxy, Some(("user", "new"))));
    assert_eq!(world.event().await.0, "up");
}

#[tokio::test]
async fn a_proxy_that_is_not_there_takes_the_exit_down_and_is_found_when_it_is_back() {
    let address = closed_port().await;
    let mut world = World::new();
    let exit = world.exit(socks(address, None));
    let (event, reason) = world.event().await;
    assert_eq!(event, "down");
    assert!(reason.contains("refused the connection"), "{reason}");
    let failed = exit.dial(&destination(), Opening::Unknown).await.unwrap_err();
    assert!(matches!(failed, DialError::ExitUnavailable { .. }), "{failed:?}");
    let listener = TcpListener::bind(address).await.unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(follow(stream, vec![Expect(vec![5, 1, 0]), Say(&[5, 0])]));
        }
    });
    assert_eq!(world.event().await.0, "up");
}

#[tokio::test]
async fn a_proxy_that_speaks_something_else_takes_the_exit_down() {
    for exit in [
        socks(proxy(vec![Say(b"SSH-2.0-OpenSSH_9.2\r\n")]).await, None),
        http(proxy(vec![Say(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")]).await, None),
    ] {
        let world = World::new();
        let exit = world.exit(exit);
        let failed = exit.dial(&destination(), Opening::Unknown).await.unwrap_err();
        assert!(matches!(failed, DialError::ExitUnavailable { .. }), "{failed:?}");
        assert!(exit.health.down_cause().is_some());
    }
}

#[tokio::test]
async fn a_proxy_that_breaks_off_or_falls_mute_ends_the_dial() {
    let greeting = || vec![Expect(vec![5, 1, 0]), Say(&[5, 0])];
    let then = |step| [greeting(), vec![step]].concat();
    for (exit, is_silent) in [
        (socks(proxy(then(Reset)).await, None), false),
        (socks(proxy(then(Mute)).await, None), true),
        (http(proxy(vec![Reset]).await, None), false),
        (
            http(proxy(vec![Expect(HTTP_REQUEST.as_bytes().to_vec()), Mute]).await, None),
            false,
        ),
    ] {
        let world = World::plan()
            .bounds(|bounds| bounds.connect = Duration::from_millis(400))
            .start();
        let exit = world.exit(exit);
        let failed = exit.dial(&destination(), Opening::Unknown).await.unwrap_err();
        match failed {
            DialError::TimedOut => assert!(is_silent),
            DialError::ExitUnavailable { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_proxy_that_is_mute_for_everybody_goes_down_and_a_success_brings_it_back() {
    let gate = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let is_open = Arc::clone(&gate);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = if is_open.load(std::sync::atomic::Ordering::SeqCst) {
                Say(b"HTTP/1.1 200 OK\r\n\r\n")
            } else {
                Mute
            };
            tokio::spawn(follow(
                stream,
                vec![Expect(HTTP_REQUEST.as_bytes()[..8].to_vec()), answer],
            ));
        }
    });
    let mut world = World::plan()
        .bounds(|bounds| bounds.connect = Duration::from_millis(400))
        .start();
    let exit = world.exit(http(address, None));
    assert_eq!(world.event().await.0, "up");
    for last in 1..=3 {
        let destination = to(SocketAddr::from(([198, 51, 0, last], 443)));
        assert!(exit.dial(&destination, Opening::Unknown).await.is_err());
    }
    assert_eq!(world.event().await.0, "down");
    gate.store(true, std::sync::atomic::Ordering::SeqCst);
    assert!(exit.dial(&destination(), Opening::Unknown).await.is_ok());
    assert_eq!(world.event().await.0, "up");
}

#[tokio::test]
async fn a_head_that_never_ends_is_not_read_for_ever() {
    static ENDLESS: [u8; 70_000] = [b'a'; 70_000];
    let proxy = proxy(vec![Say(b"HTTP/1.1 200 OK\r\nX: "), Say(&ENDLESS), Mute]).await;
    let world = World::new();
    let exit = world.exit(http(proxy, None));
    let failed = exit.dial(&destination(), Opening::Unknown).await.unwrap_err();
    assert!(matches!(failed, DialError::ExitUnavailable { .. }), "{failed:?}");
}

#[tokio::test]
async fn an_http_proxy_carries_no_datagrams_and_is_not_even_asked() {
    let world = World::new();
    let exit = world.exit(http(closed_port().await, None));
    assert_eq!(exit.udp_refusal(), Some(DialError::NoUdp));
    assert_eq!(exit.udp_by_upstream().await.unwrap_err(), DialError::NoUdp);
    let own = world.exit(pool(&[loopback(11)]));
    assert!(!own.has_upstream() && own.udp_refusal().is_none());
}

#[tokio::test]
async fn a_name_for_datagrams_through_a_proxy_is_its_ipv4_address_where_it_has_one() {
    let v6 = "2620:0:862::1".parse().unwrap();
    let server = NameServer::start(move |name, _| match name {
        "both.example" => Reply::Addresses(vec![v6, [198, 35, 26, 96].into()], 60),
        "six.example" => Reply::Addresses(vec![v6], 60),
        _ => Reply::NoSuchName,
    })
    .await;
    let world = World::plan().names(&server).start();
    let exit = world.exit(socks(closed_port().await, None));
    for (name, expected) in [
        ("both.example", "198.35.26.96:53"),
        ("six.example", "[2620:0:862::1]:53"),
    ] {
        let resolved = exit.resolve_udp(&to_name(name, 53)).await;
        assert_eq!(resolved, Ok(expected.parse().unwrap()));
    }
}

#[tokio::test]
async fn a_proxy_that_breaks_off_or_says_nonsense_opens_no_association() {
    let greeting = || {
        vec![
            Expect(vec![5, 1, 0]),
            Say(&[5, 0]),
            Expect(vec![5, 3, 0, 1, 0, 0, 0, 0, 0, 0]),
        ]
    };
    let then = |step| [greeting(), vec![step]].concat();
    for (steps, reason) in [
        (then(Reset), "its upstream proxy broke off"),
        (then(Mute), "its upstream proxy broke off"),
        (
            then(Say(&[5, 1, 0, 1, 0, 0, 0, 0, 0, 0])),
            "its upstream proxy broke off",
        ),
        // No port.
        (
            then(Say(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 0])),
            "its upstream proxy does not answer",
        ),
        (then(Say(&[4, 0, 0, 1])), "its upstream proxy does not answer"),
        (then(Say(&[5, 0, 0, 9])), "its upstream proxy does not answer"),
    ] {
        let world = World::plan()
            .bounds(|bounds| bounds.connect = Duration::from_millis(400))
            .start();
        let exit = world.exit(socks(proxy(steps).await, None));
        let expected = DialError::ExitUnavailable {
            reason: reason.to_owned(),
            retry_after: Duration::from_secs(3),
        };
        assert_eq!(exit.udp_by_upstream().await.unwrap_err(), expected);
        assert_eq!(exit.udp_refusal(), Some(expected), "for a moment");
    }
}

#[tokio::test]
async fn what_is_prohibited_is_prohibited_through_an_upstream_too() {
    let world = World::new();
    let exit = world.exit(socks(closed_port().await, None));
    let outcome = exit.dial(&to("10.0.0.1:80".parse().unwrap()), Opening::Unknown).await;
    assert!(matches!(outcome, Err(DialError::Prohibited(_))), "{outcome:?}");
}
