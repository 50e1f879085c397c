//! What goes wrong behind a good beginning: the protocols inside and the chunks around them have no word for it, so it is told here.

use super::*;

/// How often each has been told, as `protocol code`.
#[derive(Default)]
struct Expected(BTreeMap<(&'static str, &'static str), u64>);

impl Expected {
    /// Once more.
    async fn hears(
        &mut self,
        world: &World,
        told: &mut Told,
        protocol: &'static str,
        code: &'static str,
    ) -> RefusalRow {
        let times = self.0.entry((protocol, code)).or_default();
        *times += 1;
        told.hears(world, protocol, code, *times).await
    }
}

/// A stream of Shadowsocks whose first chunk has come back, and what seals the chunks behind it.
async fn begun(world: &World, client: &Client, echo: SocketAddr) -> (TcpStream, testbed::shadowsocks::Sealer) {
    let request = Request {
        salt: rand::random::<[u8; 32]>()[..client.method().key_length()].to_vec(),
        time: seconds(),
        to: address(echo),
        payload: b"good".to_vec(),
    };
    let (bytes, sealer) = client.request(&request);
    let mut stream = world.connect(PORT).await.unwrap();
    stream.write_all(&bytes).await.unwrap();
    let mut answer = client.answer(&request.salt);
    let (mut text, mut room) = (Vec::new(), [0; 1_024]);
    while text.len() < 4 {
        let count = stream.read(&mut room).await.unwrap();
        assert!(count > 0, "{} bytes of the answer", text.len());
        text.extend(answer.take(&room[..count]));
    }
    assert_eq!(text, b"good");
    (stream, sealer)
}

/// It comes to its end, orderly or not.
async fn ends(mut stream: TcpStream) {
    let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await;
    assert!(ended.is_ok(), "it goes on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chunks_that_are_none_behind_a_good_request_are_told() {
    let (world, mut told, echo) = (world(false).await, Told::default(), Origin::echo().await);
    let mut expected = Expected::default();
    for method in Method::ALL {
        let client = Client::new(method, PASSWORD);
        // In its length, in its text, in its last byte.
        for at in [0, 20, 117] {
            let (mut stream, mut sealer) = begun(&world, &client, echo).await;
            let mut chunk = sealer.chunk(&[7; 100]);
            chunk[at] ^= 1;
            stream.write_all(&chunk).await.unwrap();
            let row = expected.hears(&world, &mut told, "shadowsocks", "broken_chunk").await;
            assert!(row.reason.starts_with("the connection began well"), "{}", row.reason);
            ends(stream).await;
        }
        for length in [1, 17, 18, 19, 117] {
            let (mut stream, mut sealer) = begun(&world, &client, echo).await;
            stream.write_all(&sealer.chunk(&[7; 100])[..length]).await.unwrap();
            stream.shutdown().await.unwrap();
            expected.hears(&world, &mut told, "shadowsocks", "cut_off").await;
            ends(stream).await;
        }
        let (mut stream, mut sealer) = begun(&world, &client, echo).await;
        let long = sealer.piece(&0x4000_u16.to_be_bytes());
        stream.write_all(&long).await.unwrap();
        if method.is_2022() {
            // It may be as long as that, and is only not there.
            stream.shutdown().await.unwrap();
            expected.hears(&world, &mut told, "shadowsocks", "cut_off").await;
        } else {
            expected.hears(&world, &mut told, "shadowsocks", "long_chunk").await;
        }
        ends(stream).await;
    }
    // Whoever ends a stream between two chunks, and whoever breaks it off, has done nothing wrong.
    let before = told.0.clone();
    let client = Client::new(Method::Blake3Aes128Gcm, PASSWORD);
    let (mut stream, mut sealer) = begun(&world, &client, echo).await;
    stream.write_all(&sealer.chunk(b"whole")).await.unwrap();
    stream.shutdown().await.unwrap();
    ends(stream).await;
    let (stream, _) = begun(&world, &client, echo).await;
    stream.set_zero_linger().unwrap();
    drop(stream);
    let shared = world.gateway.shared();
    eventually(PATIENCE, "nothing is left", || shared.connections() == 0).await;
    told.listen(&world);
    assert_eq!(told.0, before);
}

fn vless_head(command: u8, name: &str) -> Vec<u8> {
    let id = own_route().uuid;
    let length = u8::try_from(name.len()).unwrap();
    let to = [&[0, 9, 2, length][..], name.as_bytes()].concat();
    [&[0][..], &id, &[0, command], if command == 3 { &[] } else { &to }].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_are_none_inside_a_stream_are_told() {
    let (world, mut told) = (world(false).await, Told::default());
    let mut expected = Expected::default();
    let mux = || vless_head(3, "");
    let packetaddr = || vless_head(2, "sp.packet-addr.v2fly.arpa");
    let one = || vless_head(2, "127.0.0.1");
    let over_tcp = || vless_head(1, "sp.udp-over-tcp.arpa");
    for (head, bytes, code) in [
        (mux(), &[0, 3, 0, 1, 1][..], "mux_frame"),
        (mux(), &[2, 1], "mux_frame"),
        (mux(), &[0, 4, 0, 1, 5, 0], "mux_frame"),
        // A session without an address fails alone.
        (mux(), &[0, 4, 0, 1, 1, 0], "mux_frame"),
        (mux(), &[0, 4, 0, 1, 2], "cut_off"),
        (packetaddr(), &[0, 9, 1, 127], "cut_off"),
        (one(), &[0, 9, 1], "cut_off"),
        // No address has this type.
        (over_tcp(), &[9, 127, 0, 0, 1, 0, 53, 0, 1, 7], "datagram_frame"),
        (over_tcp(), &[0, 127, 0, 0, 1, 0, 53, 0, 2, 7], "cut_off"),
    ] {
        let mut stream = world.connect(PORT).await.unwrap();
        stream.write_all(&[&head, bytes].concat()).await.unwrap();
        stream.shutdown().await.unwrap();
        expected.hears(&world, &mut told, "vless", code).await;
        ends(stream).await;
    }
    let shared = world.gateway.shared();
    eventually(PATIENCE, "nothing is left", || shared.connections() == 0).await;
}

#[tokio::test]
async fn datagrams_that_are_none_although_their_sender_has_the_key_are_told_and_not_answered() {
    let (world, mut told) = (world(false).await, Told::default());
    let mut expected = Expected::default();
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect((world.address, PORT)).await.unwrap();
    let origin = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let (to, no_address) = (address(origin.local_addr().unwrap()), [9; 7]);
    let client = Client::new(Method::Blake3Aes128Gcm, PASSWORD);
    let session = |session, number| ClientSession {
        session: [session; 8],
        number,
        time: seconds(),
    };
    socket
        .send(&client.packet_2022(&session(1, 0), &to, b"good"))
        .await
        .unwrap();
    origin.recv(&mut [0; 64]).await.unwrap();
    let mut changed = client.packet_2022(&session(1, 1), &to, b"changed");
    *changed.last_mut().unwrap() ^= 1;
    let older = Client::new(Method::Aes128Gcm, PASSWORD).packet(&[7; 16], &no_address, b"data");
    for (packet, code) in [
        (changed, "broken_datagram"),
        (client.packet_2022(&session(1, 2), &no_address, b"known"), "malformed"),
        (client.packet_2022(&session(2, 0), &no_address, b"new"), "malformed"),
        (older, "malformed"),
    ] {
        socket.send(&packet).await.unwrap();
        expected.hears(&world, &mut told, "shadowsocks", code).await;
    }
    // The number of what did not open is not used up.
    let again = client.packet_2022(&session(1, 1), &to, b"again");
    socket.send(&again).await.unwrap();
    let mut heard = [0; 64];
    let length = origin.recv(&mut heard).await.unwrap();
    assert_eq!(&heard[..length], b"again");
    assert!(socket.try_recv(&mut [0; 1]).is_err(), "nothing was answered");
}
