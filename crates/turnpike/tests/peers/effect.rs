//! What is changed takes effect on these protocols' tunnels at once, and what goes through them is counted.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use testbed::client::{Tunnel, curl, sing_box};
use testbed::eventually;
use testbed::origin::{Origin, pattern};
use testbed::shadowsocks::{Client, Method, Request, address};
use testbed::turnpike::Subscription;

use crate::links::Vless;
use crate::recorded;
use crate::sing_box::{shadowsocks, started, vless};
use crate::socks::{Datagrams, connect};
use crate::world::{EXIT, World};
use testbed::Running;

/// Tunnels that have lost their right end within a second; another is for a machine that is busy with other tests.
const AT_ONCE: Duration = Duration::from_secs(2);

/// A tunnel to an echo, tried.
#[track_caller]
fn tunnel(client: &Running, echo: SocketAddr) -> TcpStream {
    let tunnel = connect(client.socks(), echo);
    testbed::tunnel::echoes(&tunnel, b"hello").unwrap();
    tunnel
}

/// Says what a client of before would, and gets neither a byte nor an end, as if nobody listened.
#[track_caller]
fn assert_silence(bought: &Subscription, echo: SocketAddr) {
    let vless = Vless::read(&bought.vless);
    let id: Vec<u8> = (0..32)
        .step_by(2)
        .map(|at| u8::from_str_radix(&vless.id.replace('-', "")[at..at + 2], 16).unwrap())
        .collect();
    let SocketAddr::V4(to) = echo else { panic!("{echo}") };
    let to = [&[0, 1][..], &to.port().to_be_bytes(), &[1], &to.ip().octets()].concat();
    let mut openings = vec![[&[0][..], &id, &to, b"hello"].concat()];
    for method in Method::ALL {
        let client = Client::new(method, &bought.password);
        let request = Request {
            salt: (0..method.key_length()).map(|_| fastrand::u8(..)).collect(),
            time: SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs(),
            to: address(echo),
            payload: b"hello".to_vec(),
        };
        openings.push(client.request(&request).0);
    }
    let mut streams: Vec<_> = openings
        .iter()
        .map(|opening| {
            let mut stream = TcpStream::connect(bought.port).unwrap();
            stream.write_all(opening).unwrap();
            stream
        })
        .collect();
    for stream in &mut streams {
        stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let error = stream.read(&mut [0; 16]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
    }
}

fn changed_credentials_cut_and_lock_out(outbound: fn(&Subscription) -> Value) {
    if sing_box().is_none() {
        return;
    }
    let (world, echo, datagrams) = (World::new(), Origin::echo(), Origin::udp());
    let client = started(&outbound(&world.bought)).unwrap();
    let mut before = Tunnel(tunnel(&client, echo.address()));
    let socket = Datagrams::through(&client);
    let answers = |socket: &Datagrams, limit: Duration| {
        socket.send("127.0.0.1", datagrams.address().port(), b"datagram");
        socket.receive_within(limit).is_some()
    };
    assert!(answers(&socket, Duration::from_secs(30)));

    let change = json!({"op": "change-credentials", "subscriptionId": world.bought.id});
    let _ = world.shop.order(&change).expect_status(200);

    assert!(before.closes_within(AT_ONCE).is_some(), "the tunnel is still open");
    let visits = datagrams.visits().len();
    assert!(!answers(&socket, Duration::from_millis(500)));
    assert!(!answers(&Datagrams::through(&client), Duration::from_millis(500)));
    assert_eq!(datagrams.visits().len(), visits);
    // The client takes its user's connection before it has one of its own. Nothing comes back through it.
    let mut locked_out = connect(client.socks(), echo.address());
    let _ = locked_out.write_all(b"hello");
    locked_out.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    assert!(!matches!(locked_out.read(&mut [0; 16]), Ok(1..)));
    assert_silence(&world.bought, echo.address());
    assert_eq!(echo.visits().len(), 1);

    let new = world.subscription();
    let client = started(&outbound(&new)).unwrap();
    tunnel(&client, echo.address());
    assert!(answers(&Datagrams::through(&client), Duration::from_secs(30)));
}

#[test]
fn changed_credentials_cut_vless_and_lock_its_old_id_out() {
    changed_credentials_cut_and_lock_out(|bought| vless(bought, ""));
}

#[test]
fn changed_credentials_cut_shadowsocks_and_lock_its_old_password_out() {
    changed_credentials_cut_and_lock_out(shadowsocks);
}

fn traffic_is_counted(outbound: fn(&Subscription) -> Value) {
    const POSTED: usize = 1_000_000;
    if sing_box().is_none() {
        return;
    }
    let (world, http, datagrams) = (World::new(), Origin::http(), Origin::udp());
    let client = started(&outbound(&world.bought)).unwrap();
    let body = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(body.path(), pattern(POSTED)).unwrap();
    let (proxy, data) = (
        format!("socks5h://{}", client.socks()),
        format!("@{}", body.path().display()),
    );
    let posted = curl(&[
        "--proxy",
        &proxy,
        "--include",
        "--data-binary",
        &data,
        &http.url("/echo"),
    ]);
    assert!(posted.status.success());
    let sent = http.visits()[0].said.len() + POSTED;

    let socket = Datagrams::through(&client);
    for _ in 0..3 {
        socket.send("127.0.0.1", datagrams.address().port(), &[b'x'; 500]);
        socket.receive();
    }
    let (up, down) = (sent + 3 * 500, posted.stdout.len() + 3 * (EXIT.len() + 1 + 500));
    let expected = (i64::try_from(up).unwrap(), i64::try_from(down).unwrap());
    eventually("exactly this traffic is recorded", || {
        recorded::traffic(&world.shop, &world.bought) == expected
    });
}

#[test]
fn what_goes_through_vless_is_counted() {
    traffic_is_counted(|bought| vless(bought, ""));
}

#[test]
fn what_goes_through_shadowsocks_is_counted() {
    traffic_is_counted(shadowsocks);
}
