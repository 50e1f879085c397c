//! Clients that say what is right and take their time for it, a byte now and then, at every stage of every protocol.

use testbed::shadowsocks::{Client, Method, Request, address};

use super::*;
use crate::Route;
use crate::tests::world::{Origin, eventually, now};

const PASSWORD: &str = "aJZJWOgeoJk2DX454niuYw";

/// Between two bytes. No stage below has less than a hundred of them to come.
const PAUSE: Duration = Duration::from_millis(10);

/// A stage: what is said at once, and what comes slowly behind it.
type Stage = (&'static str, Vec<u8>, Vec<u8>);

/// Whole requests for `to`, each of which would be served if it came in time.
fn stages(to: SocketAddr) -> Vec<Stage> {
    let head = String::from_utf8(connect_request(to, PASSWORD)).unwrap();
    let head = head.replace("\r\n\r\n", &format!("\r\nX-Long: {}\r\n\r\n", "x".repeat(200)));
    let SocketAddr::V4(v4) = to else { panic!("{to}") };
    let (ip, port) = (v4.ip().octets(), to.port().to_be_bytes());
    let userinfo = format!("user:{PASSWORD}");
    let login = [&[1, 4][..], b"user", &[22], PASSWORD.as_bytes()].concat();
    let request = [&[5, 1, 0, 1][..], &ip, &port].concat();
    let addons = [&[0x1a, 200][..], &[7; 200]].concat();
    let vless = |command: u8, to: &[u8]| {
        let addons_length = u8::try_from(addons.len()).unwrap();
        [
            &[0][..],
            &route("a", PORT).uuid,
            &[addons_length],
            &addons,
            &[command],
            to,
        ]
        .concat()
    };
    let vless_to = vless(1, &[&port[..], &[1], &ip].concat());
    let name = b"sp.v2.udp-over-tcp.arpa";
    let inside = vless(1, &[&[0, 9, 2, u8::try_from(name.len()).unwrap()][..], name].concat());
    let long_name = [&[1, 3, 200][..], &[b'a'; 200], &[0, 53]].concat();
    let slowly = |bytes: &[u8], at: usize| (bytes[..at].to_vec(), bytes[at..].to_vec());
    let mut stages = Vec::new();
    let mut stage = |what, (at_once, slowly)| stages.push((what, at_once, slowly));
    stage("HTTP from the first byte on", slowly(head.as_bytes(), 1));
    stage("an HTTP field", slowly(head.as_bytes(), head.len() - 150));
    let greeting = [&[5, 16][..], &[2; 16]].concat();
    let long_login = [&[1, 255][..], &[b'u'; 255], &[22], PASSWORD.as_bytes()].concat();
    stage(
        "SOCKS5's login",
        ([&greeting[..], &long_login[..1]].concat(), long_login[1..].to_vec()),
    );
    let by_name = [&[5, 1, 0, 3, 200][..], &[b'a'; 200], &port].concat();
    stage("SOCKS5's request", ([&greeting[..], &login].concat(), by_name));
    let all = [&greeting[..], &login, &request, &[0; 60]].concat();
    stage("SOCKS5 as a whole", slowly(&all, 1));
    let socks4 = [
        &[4, 1][..],
        &port,
        &[0, 0, 0, 1],
        userinfo.as_bytes(),
        &[0],
        &[b'a'; 200],
        &[0],
    ]
    .concat();
    stage("SOCKS4a", slowly(&socks4, 9));
    stage("VLESS from the first byte on", slowly(&vless_to, 1));
    stage("VLESS behind its id", slowly(&vless_to, 18));
    stage("what a stream inside asks for", (inside, long_name));
    stages
}

/// The same for what is not spoken inside TLS.
fn sealed_stages(to: SocketAddr) -> Vec<Stage> {
    let mut stages = Vec::new();
    for method in Method::ALL {
        let request = Request {
            salt: rand::random::<[u8; 32]>()[..method.key_length()].to_vec(),
            time: u64::try_from(now() / 1_000).unwrap(),
            to: address(to),
            payload: vec![7; 300],
        };
        let (bytes, _) = Client::new(method, PASSWORD).request(&request);
        for at in [1, method.key_length(), bytes.len() - 150] {
            stages.push(("Shadowsocks", bytes[..at].to_vec(), bytes[at..].to_vec()));
        }
    }
    stages
}

/// Says it, and waits for the end, whichever it is.
async fn say(mut stream: impl AsyncRead + AsyncWrite + Unpin, at_once: Vec<u8>, slowly: Vec<u8>) {
    stream.write_all(&at_once).await.unwrap();
    stream.flush().await.unwrap();
    for byte in slowly {
        tokio::time::sleep(PAUSE).await;
        if stream.write_all(&[byte]).await.is_err() || stream.flush().await.is_err() {
            break;
        }
    }
    let _ = stream.read_to_end(&mut Vec::new()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_takes_his_time_is_let_go_at_every_stage_and_reaches_nobody() {
    let (world, identity) = world_with(|config| {
        config.handshake_timeout = Duration::from_millis(300);
        config.first_byte_timeout = Duration::from_secs(2);
    })
    .await;
    let sealed = Route {
        password: PASSWORD.into(),
        ..route("a", PORT)
    };
    world.apply([Change::Route(sealed)]).await;
    let (origin, tls) = (Origin::listen().await, identity.client(&VERSIONS, &["http/1.1"]));
    let to = origin.address();
    let mut clients = tokio::task::JoinSet::new();
    let mut names = std::collections::HashMap::new();
    for (what, at_once, slowly) in [stages(to), sealed_stages(to)].concat() {
        let stream = world.connect(PORT).await.unwrap();
        names.insert(clients.spawn(say(stream, at_once, slowly)).id(), what);
    }
    for (what, at_once, slowly) in stages(to) {
        let stream = entered(&world, &tls).await;
        names.insert(clients.spawn(say(stream, at_once, slowly)).id(), what);
    }
    // The handshake itself.
    let mut hello = Vec::new();
    let name = ServerName::try_from(NAME).unwrap();
    let mut client = rustls::ClientConnection::new(tls, name).unwrap();
    client.write_tls(&mut hello).unwrap();
    let stream = world.connect(PORT).await.unwrap();
    names.insert(clients.spawn(say(stream, vec![hello.remove(0)], hello)).id(), "TLS");
    let ended = tokio::time::timeout(PATIENCE, async {
        while let Some(ended) = clients.join_next_with_id().await {
            names.remove(&ended.unwrap().0);
        }
    });
    assert!(ended.await.is_ok(), "still there: {:?}", names.values());
    eventually(PATIENCE, "nothing is left", || {
        world.gateway.shared().connections() == 0
    })
    .await;
    let origin = origin.into_std();
    assert_eq!(
        origin.accept().map_err(|error| error.kind()).unwrap_err(),
        std::io::ErrorKind::WouldBlock,
        "the origin was reached"
    );
}
