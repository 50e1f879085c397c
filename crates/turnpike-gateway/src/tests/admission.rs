//! What strangers get.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::world::{Origin, World, connect_request, eventually, read_head, route};
use crate::Change;

#[tokio::test]
async fn unknown_bytes_get_none_back_and_the_same_end_as_silence() {
    let world = World::start_with(|config| {
        config.first_byte_timeout = Duration::from_millis(800);
        config.handshake_timeout = Duration::from_millis(200);
    })
    .await;
    world.apply([Change::Route(route("a", 12_001))]).await;
    let probes: [&[u8]; 4] = [b"", b"\x16\x03\x01\x02\x00", &[0xff; 300], b"\x00 unknown"];
    let mut ends = Vec::new();
    for probe in probes {
        let mut client = world.connect(12_001).await.unwrap();
        let start = Instant::now();
        client.write_all(probe).await.unwrap();
        ends.push(async move {
            let mut answer = Vec::new();
            client.read_to_end(&mut answer).await.unwrap();
            (answer, start.elapsed())
        });
    }
    for end in ends {
        let (answer, after) = end.await;
        assert!(answer.is_empty());
        assert!(after >= Duration::from_millis(750), "{after:?}");
    }
}

#[tokio::test]
async fn guessing_is_answered_ten_times_and_the_right_password_always() {
    let world = World::start_with(|config| config.first_byte_timeout = Duration::from_millis(300)).await;
    world.apply([Change::Route(route("a", 12_001))]).await;
    let echo = Origin::echo().await;
    for _ in 0..10 {
        let mut client = world.connect(12_001).await.unwrap();
        client.write_all(&connect_request(echo, "guess")).await.unwrap();
        assert!(read_head(&mut client).await.contains(" 407 "));
    }
    let mut client = world.connect(12_001).await.unwrap();
    client.write_all(&connect_request(echo, "guess")).await.unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    assert!(answer.is_empty(), "the eleventh gets silence");
    let _client = world.tunnel(12_001, echo).await;
}

#[tokio::test]
async fn silent_probes_are_few_per_source() {
    let world = World::start().await;
    world.apply([Change::Route(route("a", 12_001))]).await;
    let mut clients = Vec::new();
    for _ in 0..40 {
        let mut client = world.connect(12_001).await.unwrap();
        client.write_all(&[0xff; 20]).await.unwrap();
        clients.push(client);
    }
    let reset = |client: &mut tokio::net::TcpStream| {
        client
            .try_read(&mut [0; 1])
            .is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset)
    };
    let mut resets = 0;
    eventually(Duration::from_secs(2), "eight are reset", || {
        resets += clients
            .iter_mut()
            .filter_map(|client| reset(client).then_some(()))
            .count();
        resets == 8
    })
    .await;
}
