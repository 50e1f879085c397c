//! Those who guess and flood, and the customers who share an address with them.

use super::*;

const GUESSED: &str = "bwxiFRNeyZPJR5yGmFAwvQ";

/// So many of each way, all at once and left open: more than are answered, and more than are read in silence.
const WRONG: usize = 60;

/// A carrier's NAT puts a thousand homes behind one address. What some of them guess must not keep the others out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn right_credentials_enter_by_every_way_beside_any_number_of_wrong_ones_from_the_same_address() {
    let (world, echo) = (world(Limits::default()).await, Origin::echo().await);
    let mut wrong = Vec::new();
    for round in 0..3 {
        for way in WAYS {
            for _ in 0..WRONG {
                wrong.push(way.comes_in_with(&world, HOME, echo, GUESSED).await);
            }
            for right in WAYS {
                drop(right.opens(&world, HOME, echo).await);
                drop(right.opens(&world, ELSEWHERE, echo).await);
            }
        }
        assert_eq!(wrong.len(), WAYS.len() * WRONG * (round + 1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn right_datagrams_are_carried_beside_any_number_of_wrong_ones_from_the_same_address() {
    let world = world(Limits::default()).await;
    let (origin, to) = receiver().await;
    let (right, wrong) = (Sender::at(&world, HOME).await, Sender::at(&world, HOME).await);
    for round in 0..20_u8 {
        for number in 0..100_u8 {
            let garbage = [round, number].repeat(30);
            wrong.socket.send_to(&garbage, wrong.gateway).await.unwrap();
        }
        // A flood may push it out of the socket's queue, as any other datagram: it is sent again until it arrives.
        let arrives = async {
            let mut got = [0; 16];
            loop {
                right.send(to, &[round]).await;
                let received = tokio::time::timeout(Duration::from_millis(200), origin.recv(&mut got)).await;
                if matches!(received, Ok(Ok(1))) && got[0] == round {
                    return;
                }
            }
        };
        within(PATIENCE, arrives).await;
    }
    let silence = wrong.socket.try_recv(&mut [0; 1]).map_err(|error| error.kind());
    assert_eq!(silence, Err(std::io::ErrorKind::WouldBlock));
}

/// Whoever writes a victim's address into a datagram must not have anything sent there: no bytes out for any bytes in that
/// prove nothing, even where they are a customer's own that were heard on the way, or the gateway's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_datagram_of_a_stranger_has_one_sent_to_him() {
    let world = world(Limits::default()).await;
    let gateway = SocketAddr::new(world.address, PORT);
    let echo = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let to = echo.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 2_048];
        while let Ok((length, from)) = echo.recv_from(&mut buffer).await {
            let _ = echo.send_to(&buffer[..length].repeat(3), from).await;
        }
    });

    // A customer by each way, and what can be heard of them.
    let customer = UdpSocket::bind(SocketAddr::new(HOME, 0)).await.unwrap();
    let mut heard = Vec::new();
    let mut said = Vec::new();
    for method in Method::ALL {
        let client = Client::new(method, PASSWORD);
        let destination = shadowsocks::address(to);
        said.push(if method.is_2022() {
            let session = shadowsocks::ClientSession {
                session: rand::random(),
                number: 0,
                time: u64::try_from(now() / 1_000).unwrap(),
            };
            client.packet_2022(&session, &destination, b"data")
        } else {
            let salt = rand::random::<[u8; 32]>();
            client.packet(&salt[..method.key_length()], &destination, b"data")
        });
    }
    let associated = Way::Socks5.associates(&world, HOME).await;
    said.push([&[0, 0, 0][..], &shadowsocks::address(to), b"data"].concat());
    for packet in &said {
        customer.send_to(packet, gateway).await.unwrap();
        let mut answer = vec![0; 2_048];
        let length = within(PATIENCE, customer.recv(&mut answer)).await.unwrap();
        heard.push(answer[..length].to_vec());
    }

    let strangers = [HOME, ELSEWHERE].map(|address| {
        let socket = std::net::UdpSocket::bind(SocketAddr::new(address, 0)).unwrap();
        // What others send to a port that was theirs a moment ago is not heard.
        socket.connect(gateway).unwrap();
        socket.set_nonblocking(true).unwrap();
        UdpSocket::from_std(socket).unwrap()
    });
    let garbage = (0..400_usize).map(|length| {
        let mut bytes = testbed::origin::pattern(length);
        // Half of them begin as SOCKS5 datagrams do.
        if length % 2 == 0 {
            bytes.iter_mut().zip([0, 0, 0, 1]).for_each(|(byte, like)| *byte = like);
        }
        bytes
    });
    let probes: Vec<Vec<u8>> = said.iter().chain(&heard).cloned().chain(garbage).collect();
    for stranger in &strangers {
        for probe in &probes {
            stranger.send(probe).await.unwrap();
            tokio::task::yield_now().await;
        }
    }
    // Behind all of that the customer is served: what there was to say has been said. A flood may push datagrams out.
    let served = async {
        loop {
            customer.send_to(&said[4], gateway).await.unwrap();
            let answer = tokio::time::timeout(Duration::from_millis(200), customer.recv(&mut [0; 16])).await;
            if answer.is_ok() {
                return;
            }
        }
    };
    within(PATIENCE, served).await;
    for stranger in &strangers {
        let silence = stranger.try_recv(&mut [0; 1]).map_err(|error| error.kind());
        assert_eq!(silence, Err(std::io::ErrorKind::WouldBlock));
    }
    drop(associated);
}
