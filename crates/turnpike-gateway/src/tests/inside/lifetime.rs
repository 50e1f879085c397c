//! When connections with others inside end, and what is left then.

use std::time::Duration;

use tokio::time::Instant;

use super::*;
use crate::tests::world::raise_descriptor_limit;

#[tokio::test]
async fn a_cut_route_ends_everything_inside() {
    let (world, echo, datagrams) = (world().await, Origin::echo().await, echo_datagrams().await);
    let shared = world.gateway.shared();
    let mut client = Client::connect(&world).await;
    client.says(Frame::new(1, TCP, &destination(echo), b"one")).await;
    client.hears(Frame::keep(1, b"one")).await;
    let to = destination(datagrams);
    let mut named = Frame::new(2, UDP, &to, b"two");
    named.more.extend([1; 8]);
    client.says(named).await;
    client.hears(Frame::keep_to(2, &to, b"two")).await;
    world.apply([Change::RemoveRoute(route("a", PORT).id)]).await;
    let ended = within(Duration::from_secs(1), client.0.read_to_end(&mut Vec::new())).await;
    assert!(
        ended.is_err(),
        "an orderly end would make what is cut look whole: {ended:?}"
    );
    eventually(Duration::from_secs(1), "nothing is left", || shared.connections() == 0).await;
    assert_eq!((shared.descriptors.used(), shared.buffers.in_use()), (0, 0));
}

/// How long it is until the client hears something, or the end. Where nothing can happen but time, time passes at once.
async fn silence_of(client: &mut Client) -> Duration {
    tokio::time::pause();
    let start = Instant::now();
    let mut byte = [0];
    let peeked = client.0.peek(&mut byte).await;
    let elapsed = start.elapsed();
    tokio::time::resume();
    peeked.unwrap();
    elapsed
}

#[tokio::test]
async fn a_connection_with_no_session_ends_after_a_while() {
    let (world, echo) = (world().await, Origin::echo().await);
    let mut client = Client::connect(&world).await;
    client.says(Frame::new(1, TCP, &destination(echo), b"hello")).await;
    client.hears(Frame::keep(1, b"hello")).await;
    client.says(Frame::end(1, 0)).await;
    client.is_served().await;
    let silence = silence_of(&mut client).await;
    assert!((300..=330).contains(&silence.as_secs()), "{silence:?}");
    client.hears_the_end().await;
}

#[tokio::test]
async fn a_session_of_datagrams_ends_when_it_is_idle_and_then_its_connection() {
    let (world, datagrams) = (world().await, echo_datagrams().await);
    let mut client = Client::connect(&world).await;
    let to = destination(datagrams);
    client.says(Frame::new(0, UDP, &to, b"hello")).await;
    client.hears(Frame::keep_to(0, &to, b"hello")).await;
    let silence = silence_of(&mut client).await;
    assert!((300..=330).contains(&silence.as_secs()), "{silence:?}");
    client.hears(Frame::end(0, 0)).await;
    let shared = world.gateway.shared();
    eventually(PATIENCE, "its socket is closed", || shared.descriptors.used() == 4).await;
    let silence = silence_of(&mut client).await;
    assert!((270..=330).contains(&silence.as_secs()), "{silence:?}");
    client.hears_the_end().await;
}

#[tokio::test]
async fn a_gateway_that_stops_waits_for_streams_and_for_nothing_else() {
    for carries_streams in [false, true] {
        let (world, echo, datagrams) = (world().await, Origin::echo().await, echo_datagrams().await);
        let mut client = Client::connect(&world).await;
        let to = destination(datagrams);
        client.says(Frame::new(2, UDP, &to, b"two")).await;
        client.hears(Frame::keep_to(2, &to, b"two")).await;
        if carries_streams {
            client.says(Frame::new(1, TCP, &destination(echo), b"one")).await;
            client.hears(Frame::keep(1, b"one")).await;
        }
        let gateway = world.gateway.clone();
        let stopped = tokio::spawn(async move { gateway.shut_down(60 * PATIENCE).await });
        if carries_streams {
            let draining = &world.gateway.shared().draining;
            eventually(PATIENCE, "it is told to stop", || draining.is_cancelled()).await;
            client.says(Frame::new(3, TCP, &destination(echo), b"three")).await;
            client.hears(Frame::end(3, ERROR)).await;
            client.says(Frame::keep(1, b"still")).await;
            client.hears(Frame::keep(1, b"still")).await;
            client.says(Frame::end(1, 0)).await;
        }
        client.hears_the_end().await;
        within(PATIENCE, stopped).await.unwrap();
    }
}

#[tokio::test]
async fn what_rests_holds_nothing() {
    let (world, echo, datagrams) = (world().await, Origin::echo().await, echo_datagrams().await);
    let mut client = Client::connect(&world).await;
    let content = testbed::origin::pattern(50_000);
    let to = destination(datagrams);
    for session in 1..=20 {
        client
            .says(Frame::new(session, TCP, &destination(echo), &content))
            .await;
        assert!(client.hears_stream(session, content.len()).await == content);
    }
    client.says(Frame::new(21, UDP, &to, &content[..8_000])).await;
    client.hears(Frame::keep_to(21, &to, &content[..8_000])).await;
    let shared = world.gateway.shared();
    eventually(PATIENCE, "all buffers are given back", || shared.buffers.in_use() == 0).await;
    assert_eq!(world.gateway.tunnels_open(), 20);
}

/// Xray leaked here twice (#5100, #5110).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_sessions_dropped_midway_leave_nothing_behind() {
    if !raise_descriptor_limit() {
        return;
    }
    let (world, echo, datagrams) = (world().await, Origin::echo().await, echo_datagrams().await);
    let nobody = Origin::listen().await.address();
    let (world, shared) = (&world, world.gateway.shared());
    let round = async |number: usize| {
        let mut client = Client::connect(world).await;
        for session in 1..=100_u16 {
            let frame = match session % 5 {
                0 => Frame::new(session, TCP, &destination(nobody), b"nobody"),
                1 => Frame::new(session, TCP, &named("here.example", echo.port()), &[1; 3_000]),
                2 => Frame::new(session, UDP, &destination(datagrams), &[2; 1_000]),
                3 => {
                    let mut frame = Frame::new(session, UDP, &named("here.example", datagrams.port()), b"x");
                    frame.more.extend([session.to_be_bytes(); 4].concat());
                    frame
                }
                _ => Frame::new(session, TCP, &destination(echo), b""),
            };
            client.says(frame).await;
            if session % 7 == 0 {
                client
                    .says(Frame::end(session, if session % 2 == 0 { ERROR } else { 0 }))
                    .await;
            }
        }
        match number % 4 {
            0 => {}
            1 => client.0.set_zero_linger().unwrap(),
            // In the middle of a frame.
            2 => client.0.write_all(&[0, 4, 0, 1, KEEP, DATA, 9, 9, 1]).await.unwrap(),
            _ => drop(within(PATIENCE, client.0.read(&mut [0; 5_000])).await),
        }
    };
    for number in 0..100 {
        round(number).await;
    }
    eventually(PATIENCE, "every tunnel has ended", || world.gateway.tunnels_open() == 0).await;
    // The twenty sockets that have a name are kept for a while, each with who keeps it and who listens.
    eventually(PATIENCE, "nothing else is left", || {
        (shared.connections(), shared.descriptors.used()) == (2 * 20, 20 + 2)
    })
    .await;
    world.apply([Change::RemoveRoute(route("a", PORT).id)]).await;
    eventually(PATIENCE, "every task has ended", || shared.connections() == 0).await;
    eventually(PATIENCE, "every file is closed", || shared.descriptors.used() == 0).await;
    assert_eq!(shared.buffers.in_use(), 0);
}
