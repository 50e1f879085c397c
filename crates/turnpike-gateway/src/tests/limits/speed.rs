//! How fast a subscription is. Time is the test's own: it passes only when everybody waits, so a busy machine changes nothing.

use tokio::time::Instant;

use super::*;

/// A million bytes per second.
const MBIT: u32 = 8;
const SECONDS_OF_DATA: usize = 2;
const DATA: usize = SECONDS_OF_DATA * 1_000_000;

fn fast(mbit: u32) -> Limits {
    Limits {
        mbit_per_second: at_most(mbit),
        ..Limits::default()
    }
}

/// Whether something took as long as it should. What moves at once after a rest makes it shorter; timers and the handshake, longer.
fn assert_took(started: Instant, seconds: f64, what: &str) {
    let took = started.elapsed().as_secs_f64();
    assert!(
        (seconds * 0.95 - 0.05..seconds * 1.25 + 0.05).contains(&took),
        "{what} took {took} s, not {seconds}"
    );
}

/// An origin that sends so many bytes to everybody who has sent it one, and then ends.
async fn sender(count: usize) -> SocketAddr {
    let origin = Origin::listen().await;
    let address = origin.address();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = origin.accept().await;
            tokio::spawn(async move {
                let _ = stream.read(&mut [0]).await;
                let _ = stream.write_all(&vec![b'd'; count]).await;
            });
        }
    });
    address
}

/// An origin that reads everything, and then says how much it was.
async fn sink() -> SocketAddr {
    let origin = Origin::listen().await;
    let address = origin.address();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = origin.accept().await;
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                let count = tokio::io::copy(&mut read, &mut tokio::io::sink()).await.unwrap_or(0);
                let _ = write.write_all(count.to_string().as_bytes()).await;
            });
        }
    });
    address
}

async fn reads_all(mut entered: Entered) -> usize {
    let mut bytes = vec![0; 256 * 1024];
    let mut total = 0;
    loop {
        let count = entered.stream.read(&mut bytes).await.unwrap();
        if count == 0 {
            return total;
        }
        total += match &mut entered.seal {
            Some((_, opener)) => opener.take(&bytes[..count]).len(),
            None => count,
        };
    }
}

#[tokio::test(start_paused = true)]
async fn a_download_is_as_fast_as_the_plan_says_by_every_way() {
    let (world, from) = (world(fast(MBIT)).await, sender(DATA).await);
    for way in WAYS {
        let started = Instant::now();
        let got = reads_all(way.comes_in(&world, HOME, from).await).await;
        assert!((DATA..DATA + 100).contains(&got), "{way:?}: {got}");
        assert_took(started, SECONDS_OF_DATA as f64, &format!("{way:?}"));
    }
}

#[tokio::test(start_paused = true)]
async fn an_upload_is_as_fast_as_the_plan_says_and_does_not_slow_a_download() {
    let (world, to, from) = (world(fast(MBIT)).await, sink().await, sender(DATA).await);
    for way in [Way::Http, Way::Shadowsocks] {
        let started = Instant::now();
        let upload = async {
            let Entered { mut stream, seal } = way.comes_in(&world, HOME, to).await;
            match seal {
                Some((mut sealer, _)) => {
                    for piece in vec![b'u'; DATA].chunks(10_000) {
                        stream.write_all(&sealer.chunk(piece)).await.unwrap();
                    }
                }
                None => stream.write_all(&vec![b'u'; DATA]).await.unwrap(),
            }
            stream.shutdown().await.unwrap();
            let mut said = Vec::new();
            stream.read_to_end(&mut said).await.unwrap();
            said
        };
        let download = async { reads_all(way.comes_in(&world, HOME, from).await).await };
        let (said, got) = tokio::join!(upload, download);
        if way == Way::Http {
            assert!(
                said.ends_with((DATA + 1).to_string().as_bytes()),
                "{}",
                String::from_utf8_lossy(&said)
            );
        }
        assert!(got >= DATA);
        assert_took(started, SECONDS_OF_DATA as f64, &format!("both ways by {way:?}"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_forwarded_request_and_its_answer_are_as_fast_as_the_plan_says() {
    let world = world(fast(MBIT)).await;
    let origin = Origin::listen().await;
    let to = origin.address();
    tokio::spawn(async move {
        let (mut server, _) = origin.accept().await;
        crate::tests::world::read_head(&mut server).await;
        server.read_exact(&mut vec![0; DATA]).await.unwrap();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {DATA}\r\n\r\n");
        server.write_all(head.as_bytes()).await.unwrap();
        server.write_all(&vec![b'd'; DATA]).await.unwrap();
        let _ = server.read(&mut [0]).await;
    });
    let started = Instant::now();
    let credentials = base64::engine::general_purpose::STANDARD.encode(format!("user:{PASSWORD}"));
    let head = format!(
        "POST http://{to}/ HTTP/1.1\r\nHost: {to}\r\nContent-Length: {DATA}\r\nProxy-Authorization: Basic {credentials}\r\n\r\n"
    );
    let mut client = world.connect(PORT).await.unwrap();
    client.write_all(head.as_bytes()).await.unwrap();
    client.write_all(&vec![b'u'; DATA]).await.unwrap();
    assert_eq!(crate::tests::world::read_head(&mut client).await, "HTTP/1.1 200 OK");
    assert_took(started, SECONDS_OF_DATA as f64, "the request");
    let started = Instant::now();
    client.read_exact(&mut vec![0; DATA]).await.unwrap();
    assert_took(started, SECONDS_OF_DATA as f64, "the answer");
}

#[tokio::test(start_paused = true)]
async fn a_fast_tunnel_is_spliced_and_no_faster_than_it_may_be() {
    const SIZE: usize = 50_000_000;
    let (world, from) = (world(fast(200)).await, sender(SIZE).await);
    let started = Instant::now();
    let got = reads_all(Way::Http.comes_in(&world, HOME, from).await).await;
    assert!(got > SIZE);
    assert_took(started, 2.0, "50 MB at 25 MB/s");
    assert!(world.gateway.shared().pipes.made() > 0, "bulk goes through a pipe");
}

#[tokio::test(start_paused = true)]
async fn tunnels_of_one_subscription_share_its_speed_fairly_and_others_have_their_own() {
    let world = world(fast(MBIT)).await;
    let neighbour = Route {
        port: 12_002,
        limits: fast(MBIT),
        ..route("b", 12_002)
    };
    world.apply([Change::Route(neighbour)]).await;
    let from = sender(100 * DATA).await;
    let mut all = Vec::new();
    for way in [Way::Http, Way::Socks5, Way::Vless, Way::Http] {
        all.push(way.comes_in(&world, HOME, from).await.stream);
    }
    let mut other = world.tunnel(12_002, from).await;
    other.write_all(b"x").await.unwrap();
    all.push(other);
    let reading: Vec<_> = all
        .into_iter()
        .map(|mut stream| {
            tokio::spawn(async move {
                let (mut total, mut bytes) = (0, vec![0; 64 * 1024]);
                let end = Instant::now() + Duration::from_secs(4);
                while let Ok(Ok(count @ 1..)) = tokio::time::timeout_at(end, stream.read(&mut bytes)).await {
                    total += count;
                }
                total
            })
        })
        .collect();
    let mut got = Vec::new();
    for reading in reading {
        got.push(reading.await.unwrap());
    }
    let alone = got.pop().unwrap();
    let together: usize = got.iter().sum();
    for (total, what) in [(together, "four together"), (alone, "one alone")] {
        assert!((3_400_000..4_400_000).contains(&total), "{what}: {total}");
    }
    for one in &got {
        assert!((together / 5..together / 3).contains(one), "{got:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn another_speed_is_in_force_on_open_tunnels() {
    let world = world(fast(MBIT)).await;
    let mut entered = Way::Http.comes_in(&world, HOME, sender(100 * DATA).await).await;
    let mut bytes = vec![0; DATA];
    for (mbit, bytes_per_second) in [(MBIT, 1_000_000), (4 * MBIT, 4_000_000), (MBIT / 2, 500_000)] {
        world.apply([Change::Route(limited(fast(mbit)))]).await;
        // What lies in sockets already has been paced.
        entered.stream.read_exact(&mut bytes).await.unwrap();
        let started = Instant::now();
        entered.stream.read_exact(&mut bytes).await.unwrap();
        assert_took(
            started,
            DATA as f64 / f64::from(bytes_per_second),
            &format!("at {mbit} Mbit/s"),
        );
    }
    world.apply([Change::Route(limited(Limits::default()))]).await;
    let started = Instant::now();
    for _ in 0..5 {
        entered.stream.read_exact(&mut bytes).await.unwrap();
    }
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "without a limit it does not wait"
    );
}

/// Datagrams that are sent at twice the speed for two seconds, and how many bytes of them arrive.
async fn arriving(world: &World) -> usize {
    let sender = Sender::at(world, HOME).await;
    let (origin, to) = receiver().await;
    let mut arrived = 0;
    let mut heard = vec![0; 2_048];
    for _ in 0..SECONDS_OF_DATA * 1_000 {
        for _ in 0..2 {
            sender.send(to, &[7; 1_000]).await;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
        while let Ok(count) = origin.try_recv(&mut heard) {
            arrived += count;
        }
    }
    arrived
}

#[tokio::test(start_paused = true)]
async fn datagrams_above_the_speed_are_dropped() {
    let world = world(fast(MBIT)).await;
    let arrived = arriving(&world).await;
    assert!((DATA * 8 / 10..DATA * 11 / 10).contains(&arrived), "{arrived}");
}

#[tokio::test(start_paused = true)]
async fn datagrams_and_tunnels_have_both_their_share() {
    let world = world(fast(MBIT)).await;
    let mut upload = Way::Http.comes_in(&world, HOME, sink().await).await.stream;
    let uploading = tokio::spawn(async move { while upload.write_all(&[b'u'; 10_000]).await.is_ok() {} });
    let arrived = arriving(&world).await;
    uploading.abort();
    let (up, _) = world.traffic("a");
    let whole = usize::try_from(up).unwrap();
    assert!((DATA * 8 / 10..DATA * 12 / 10).contains(&whole), "{whole}");
    assert!((whole / 4..whole * 3 / 4).contains(&arrived), "{arrived} of {whole}");
}
