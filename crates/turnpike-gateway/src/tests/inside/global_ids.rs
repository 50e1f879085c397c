//! Sockets that the client names (XUDP's GlobalID), and that outlive the connection which brought them.

use std::time::Duration;

use super::*;

const ID: [u8; 8] = [1, 2, 3, 4, 5, 6, 7, 8];

/// The first frame of a socket with this name.
fn named_socket(session: u16, to: SocketAddr, id: [u8; 8], data: &[u8]) -> Frame {
    let mut frame = Frame::new(session, UDP, &destination(to), data);
    frame.more.extend(id);
    frame
}

#[tokio::test]
async fn another_session_takes_the_socket_over_and_the_one_before_ends() {
    let (world, (origin, to)) = (world().await, socket("127.0.0.1:0").await);
    let mut first = Client::connect(&world).await;
    first.says(named_socket(0, to, ID, b"one")).await;
    let (_, exit) = received(&origin).await;
    // On another connection, and on this one.
    let mut second = Client::connect(&world).await;
    second.says(named_socket(0, to, ID, b"two")).await;
    assert_eq!(received(&origin).await, (b"two".to_vec(), exit));
    first.hears(Frame::end(0, 0)).await;
    second.says(named_socket(7, to, ID, b"three")).await;
    assert_eq!(received(&origin).await, (b"three".to_vec(), exit));
    second.hears(Frame::end(0, 0)).await;
    origin.send_to(b"answer", exit).await.unwrap();
    second.hears(Frame::keep_to(7, &destination(to), b"answer")).await;
    // The sessions before have nothing to do with it any more.
    first.says(Frame::keep(0, b"late")).await;
    first.hears(Frame::end(0, 0)).await;
    first.says(Frame::end(0, 0)).await;
    second.says(Frame::end(0, 0)).await;
    second.is_served().await;
    drop(first);
    second.says(Frame::keep(7, b"still there")).await;
    assert_eq!(received(&origin).await, (b"still there".to_vec(), exit));
    let shared = world.gateway.shared();
    eventually(PATIENCE, "one connection and one socket are left", || {
        shared.descriptors.used() == 2 + 2 + 1
    })
    .await;
}

#[tokio::test]
async fn a_session_has_one_socket_although_its_name_says_the_same_again() {
    let (world, (origin, to)) = (world().await, socket("127.0.0.1:0").await);
    let mut client = Client::connect(&world).await;
    client.says(named_socket(1, to, ID, b"one")).await;
    let (_, exit) = received(&origin).await;
    client.says(named_socket(1, to, ID, b"two")).await;
    assert_eq!(received(&origin).await, (b"two".to_vec(), exit));
    client.says(Frame::keep(1, b"three")).await;
    assert_eq!(received(&origin).await, (b"three".to_vec(), exit));
    // No name, no common socket.
    client.says(named_socket(2, to, [0; 8], b"four")).await;
    let (_, other) = received(&origin).await;
    assert_ne!(other, exit);
    client.says(named_socket(3, to, [0; 8], b"five")).await;
    let (_, third) = received(&origin).await;
    assert!(third != other && third != exit);
}

#[tokio::test]
async fn a_socket_waits_for_a_minute_for_its_client() {
    let (world, (origin, to)) = (world().await, socket("127.0.0.1:0").await);
    let shared = world.gateway.shared();
    let mut client = Client::connect(&world).await;
    client.says(named_socket(0, to, ID, b"one")).await;
    let (_, exit) = received(&origin).await;
    for ends_session in [true, false] {
        if ends_session {
            client.says(Frame::end(0, 0)).await;
            client.is_served().await;
        } else {
            drop(client);
            eventually(PATIENCE, "it is noticed", || shared.descriptors.used() == 2 + 1).await;
        }
        // What comes meanwhile is nobody's.
        origin.send_to(b"lost", exit).await.unwrap();
        tokio::time::pause();
        tokio::time::sleep(Duration::from_secs(58)).await;
        tokio::time::resume();
        client = Client::connect(&world).await;
        client.says(named_socket(5, to, ID, b"again")).await;
        assert_eq!(received(&origin).await, (b"again".to_vec(), exit));
        origin.send_to(b"found", exit).await.unwrap();
        client.hears(Frame::keep_to(5, &destination(to), b"found")).await;
        client.says(named_socket(0, to, ID, b"as number 0")).await;
        client.hears(Frame::end(5, 0)).await;
        assert_eq!(received(&origin).await, (b"as number 0".to_vec(), exit));
    }
    drop(client);
    eventually(PATIENCE, "it is noticed", || shared.descriptors.used() == 2 + 1).await;
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(61)).await;
    tokio::time::resume();
    eventually(PATIENCE, "it is closed", || {
        (shared.descriptors.used(), shared.connections()) == (2, 0)
    })
    .await;
    let mut client = Client::connect(&world).await;
    client.says(named_socket(0, to, ID, b"anew")).await;
    let (got, other) = received(&origin).await;
    assert_eq!(got, b"anew");
    assert_ne!(other, exit);
}

/// Xray keeps one map for all its users.
#[tokio::test]
async fn the_same_name_of_two_subscriptions_is_two_sockets() {
    let (world, (origin, to)) = (world().await, socket("127.0.0.1:0").await);
    world.apply([Change::Route(route("b", PORT + 1))]).await;
    let mut one = Client::connect(&world).await;
    let mut other = Client::connect_to(&world, PORT + 1).await;
    one.says(named_socket(0, to, ID, b"of one")).await;
    let (_, exit_of_one) = received(&origin).await;
    other.says(named_socket(0, to, ID, b"of the other")).await;
    let (_, exit_of_other) = received(&origin).await;
    assert_ne!(exit_of_one, exit_of_other);
    for answer in [b"first", b"again"] {
        for (client, exit) in [(&mut one, exit_of_one), (&mut other, exit_of_other)] {
            origin.send_to(answer, exit).await.unwrap();
            client.hears(Frame::keep_to(0, &destination(to), answer)).await;
        }
    }
    // Neither when it is taken over, nor while it waits, nor when it has gone.
    drop(one);
    let shared = world.gateway.shared();
    eventually(PATIENCE, "it is noticed", || shared.descriptors.used() == 4 + 2 + 2).await;
    other.says(named_socket(1, to, ID, b"of the other")).await;
    other.hears(Frame::end(0, 0)).await;
    assert_eq!(received(&origin).await, (b"of the other".to_vec(), exit_of_other));
    origin.send_to(b"to nobody", exit_of_one).await.unwrap();
    origin.send_to(b"to two", exit_of_other).await.unwrap();
    other.hears(Frame::keep_to(1, &destination(to), b"to two")).await;
    assert_eq!(world.traffic("a"), (6, 10));
}

#[tokio::test]
async fn new_credentials_begin_with_new_sockets() {
    let (world, (origin, to)) = (world().await, socket("127.0.0.1:0").await);
    let mut client = Client::connect(&world).await;
    client.says(named_socket(0, to, ID, b"before")).await;
    let (_, exit) = received(&origin).await;
    let mut changed = route("a", PORT);
    changed.password = "another".into();
    world.apply([Change::Route(changed)]).await;
    let mut client = Client::connect(&world).await;
    client.says(named_socket(0, to, ID, b"after")).await;
    let (got, other) = received(&origin).await;
    assert_eq!(got, b"after");
    assert_ne!(other, exit);
    client.says(Frame::keep(0, b"still")).await;
    assert_eq!(received(&origin).await, (b"still".to_vec(), other));
}
