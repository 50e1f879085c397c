//! The rules of frames, whatever they carry.

use super::*;

#[tokio::test]
async fn an_impossible_frame_ends_the_connection() {
    let (world, echo) = (world().await, Origin::echo().await);
    let too_long = [&[2, 1][..], &[0; 513]].concat();
    for bytes in [
        &[0, 3, 0, 1, 1][..],
        &[0, 0],
        &too_long,
        &[0, 4, 0, 1, 0, 0],
        &[0, 4, 0, 1, 5, 0],
    ] {
        let mut client = Client::connect(&world).await;
        client.says(Frame::new(1, TCP, &destination(echo), b"hello")).await;
        client.hears(Frame::keep(1, b"hello")).await;
        client.0.write_all(bytes).await.unwrap();
        client.hears_the_end().await;
    }
    let shared = world.gateway.shared();
    eventually(PATIENCE, "nothing is left", || shared.connections() == 0).await;
}

#[tokio::test]
async fn what_is_behind_the_address_is_padding() {
    let (world, echo, datagrams) = (world().await, Origin::echo().await, echo_datagrams().await);
    let mut client = Client::connect(&world).await;
    let padded = |mut frame: Frame| {
        frame.more.extend([7; 450]);
        frame
    };
    client
        .says(padded(Frame::new(1, TCP, &destination(echo), b"one")))
        .await;
    client.hears(Frame::keep(1, b"one")).await;
    // Not the number of the network of datagrams: so the whole of it is padding.
    client.says(padded(Frame::keep(1, b"two"))).await;
    client.hears(Frame::keep(1, b"two")).await;
    let to = destination(datagrams);
    client.says(padded(Frame::new(2, UDP, &to, b""))).await;
    client.says(padded(Frame::keep_to(2, &to, b"three"))).await;
    client.hears(Frame::keep_to(2, &to, b"three")).await;
    client.says(padded(Frame::of(0, KEEP_ALIVE, Vec::new(), None))).await;
    client.says(padded(Frame::end(1, 0))).await;
    client.says(Frame::keep(1, b"four")).await;
    client.hears(Frame::end(1, 0)).await;
}

#[tokio::test]
async fn a_session_without_a_network_or_an_address_fails_alone() {
    let (world, echo) = (world().await, Origin::echo().await);
    let mut client = Client::connect(&world).await;
    client.says(Frame::new(9, TCP, &destination(echo), b"one")).await;
    client.hears(Frame::keep(9, b"one")).await;
    let no_port = destination("127.0.0.1:0".parse().unwrap());
    for (session, more) in [
        Vec::new(),
        vec![TCP],
        [&[3][..], &destination(echo)].concat(),
        [&[TCP][..], &destination(echo)[..6]].concat(),
        [&[UDP][..], &no_port].concat(),
        vec![TCP, 0, 80, 2, 200, b'a', b'b'],
    ]
    .into_iter()
    .enumerate()
    {
        let session = u16::try_from(session).unwrap();
        client
            .says(Frame::of(session, NEW, more, Some(b"data of nobody")))
            .await;
        client.hears(Frame::end(session, ERROR)).await;
    }
    client.says(Frame::keep(9, b"two")).await;
    client.hears(Frame::keep(9, b"two")).await;
}

#[tokio::test]
async fn data_for_an_unknown_session_is_discarded_and_the_client_told() {
    let (world, echo) = (world().await, Origin::echo().await);
    let mut client = Client::connect(&world).await;
    client.says(Frame::keep(5, &[0; 60_000])).await;
    client.hears(Frame::end(5, 0)).await;
    client.says(Frame::keep_to(6, &destination(echo), b"datagram")).await;
    client.hears(Frame::end(6, 0)).await;
    // Nobody needs to be told that it is over.
    client.says(Frame::end(7, 0)).await;
    client.says(Frame::end(8, ERROR)).await;
    client.says(Frame::new(1, TCP, &destination(echo), b"hello")).await;
    client.hears(Frame::keep(1, b"hello")).await;
}

#[tokio::test]
async fn a_sign_of_life_is_not_answered_and_its_data_is_nobodys() {
    let (world, echo) = (world().await, Origin::echo().await);
    let mut client = Client::connect(&world).await;
    client.says(Frame::new(1, TCP, &destination(echo), b"")).await;
    for data in [None, Some(&b"noise"[..])] {
        client.says(Frame::of(1, KEEP_ALIVE, Vec::new(), data)).await;
    }
    client.says(Frame::keep(1, b"hello")).await;
    client.hears(Frame::keep(1, b"hello")).await;
}

#[tokio::test]
async fn frames_are_read_however_they_are_cut() {
    let (world, echo, datagrams) = (world().await, Origin::echo().await, echo_datagrams().await);
    let to = destination(datagrams);
    let long = testbed::origin::pattern(5_000);
    let bytes = [
        mux_head(),
        Frame::new(1, TCP, &destination(echo), b"one").bytes(),
        Frame::of(0, KEEP_ALIVE, Vec::new(), Some(b"x")).bytes(),
        Frame::new(2, UDP, &to, b"two").bytes(),
        Frame::keep(1, &long).bytes(),
    ]
    .concat();
    for piece in [1, 2, 3, 7, 1_000, bytes.len()] {
        let mut client = Client(opened(&world, b"").await);
        for part in bytes.chunks(piece) {
            client.0.write_all(part).await.unwrap();
        }
        hears(&mut client.0, RESPONSE).await;
        let (mut stream, mut datagrams) = (Vec::new(), Vec::new());
        while stream.len() < 3 + long.len() || datagrams.is_empty() {
            let frame = client.next().await;
            assert_eq!((frame.status, frame.option), (KEEP, DATA));
            match frame.session {
                1 => stream.extend(frame.data.unwrap()),
                2 => datagrams.push(frame),
                other => panic!("session {other}"),
            }
        }
        assert!(stream == [b"one", &long[..]].concat());
        assert_eq!(datagrams, [Frame::keep_to(2, &to, b"two")]);
    }
}

#[tokio::test]
async fn a_session_that_begins_again_is_another() {
    let (world, origin) = (world().await, Origin::listen().await);
    let (socket, address) = socket("127.0.0.1:0").await;
    let mut client = Client::connect(&world).await;
    client
        .says(Frame::new(1, TCP, &destination(origin.address()), b"first"))
        .await;
    let (mut first, _) = origin.accept().await;
    hears(&mut first, b"first").await;
    client
        .says(Frame::new(1, TCP, &destination(origin.address()), b"second"))
        .await;
    let (mut second, _) = origin.accept().await;
    hears(&mut second, b"second").await;
    let broken = within(PATIENCE, first.read(&mut [0; 1])).await;
    assert_eq!(broken.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    second.write_all(b"answer").await.unwrap();
    client.hears(Frame::keep(1, b"answer")).await;
    client.says(Frame::new(1, UDP, &destination(address), b"third")).await;
    assert_eq!(received(&socket).await.0, b"third");
    client.is_served().await;
}
