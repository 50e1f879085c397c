//! What happens when a subscription's traffic is used up.

use super::*;

const USED_UP: &str = "The traffic of this subscription is used up: renew it or buy more.";

fn may_move(bytes: u64) -> Limits {
    Limits {
        traffic: Some(bytes),
        ..Limits::default()
    }
}

async fn assert_used_up(world: &World, to: SocketAddr) {
    assert_refused(world, HOME, to, "402 Payment Required", "http_request_denied", USED_UP).await;
}

#[tokio::test]
async fn everything_ends_when_it_is_used_up_and_goes_on_with_a_renewal() {
    let world = world(may_move(1_000)).await;
    let neighbour = route("b", 12_002);
    world.apply([Change::Route(neighbour)]).await;
    let echo = Origin::echo().await;
    let mut undisturbed = world.tunnel(12_002, echo).await;
    let mut open = Vec::new();
    for way in WAYS {
        open.push(way.opens(&world, HOME, echo).await);
    }
    let (origin, to) = receiver().await;
    let datagrams = Sender::at(&world, HOME).await;
    datagrams.send(to, b"hello").await;
    within(PATIENCE, origin.recv(&mut [0; 8])).await.unwrap();

    // Both directions count: five echoes of one byte, five bytes of a datagram, and this.
    open[0].stream.write_all(&[b'y'; 493]).await.unwrap();
    for entered in &mut open {
        let ends = async {
            let mut bytes = vec![0; 1_024];
            while matches!(entered.stream.read(&mut bytes).await, Ok(1..)) {}
        };
        within(PATIENCE, ends).await;
    }
    assert_used_up(&world, echo).await;
    datagrams.send(to, b"refused").await;
    undisturbed.write_all(b"z").await.unwrap();
    assert_eq!(undisturbed.read_u8().await.unwrap(), b'z');

    world.apply([Change::Route(limited(may_move(2_000)))]).await;
    for way in WAYS {
        way.opens(&world, HOME, echo).await;
    }
    let later = Sender::at(&world, HOME).await;
    later.send(to, b"later").await;
    let mut heard = [0; 8];
    let count = within(PATIENCE, origin.recv(&mut heard)).await.unwrap();
    assert_eq!(&heard[..count], b"later", "what was sent meanwhile is gone");
}

#[tokio::test]
async fn what_was_recorded_before_counts_and_what_is_recorded_late_is_not_counted_twice() {
    let world = World::start().await;
    let told = |limit, moved| {
        Change::Route(Route {
            moved,
            ..limited(may_move(limit))
        })
    };
    let echo = Origin::echo().await;
    world.apply([told(1_000, 1_000)]).await;
    assert_used_up(&world, echo).await;
    // One byte each way.
    world.apply([told(1_002, 1_000)]).await;
    drop(Way::Socks5.opens(&world, HOME, echo).await);
    assert_used_up(&world, echo).await;
    // The same limit is told again, with a record that lags behind, or with the whole.
    for moved in [0, 1_000, 1_001, 1_002] {
        world.apply([told(1_002, moved)]).await;
        assert_used_up(&world, echo).await;
    }
    world.apply([told(1_010, 1_002)]).await;
    drop(Way::Socks5.opens(&world, HOME, echo).await);
    // Another gateway has counted the rest.
    world.apply([told(1_010, 1_010)]).await;
    assert_used_up(&world, echo).await;
}

#[tokio::test]
async fn a_route_that_was_taken_away_and_comes_back_has_used_what_it_has_used() {
    let world = world(may_move(1_000)).await;
    let echo = Origin::echo().await;
    let mut entered = Way::Http.opens(&world, HOME, echo).await;
    entered.stream.write_all(b"12345678").await.unwrap();
    let mut echoed = [0; 8];
    within(PATIENCE, entered.stream.read_exact(&mut echoed)).await.unwrap();
    // Offered, and not acknowledged: nothing of it has been recorded.
    assert!(world.gateway.traffic().is_some());
    let id = limited(Limits::default()).id;
    world.apply([Change::RemoveRoute(id)]).await;
    world.apply([Change::Route(limited(may_move(18)))]).await;
    assert_used_up(&world, echo).await;
}

#[tokio::test]
async fn an_end_that_is_lifted_ends_nothing() {
    let world = world(may_move(1_000)).await;
    let echo = Origin::echo().await;
    let mut entered = Way::Http.opens(&world, HOME, echo).await;
    world.apply([Change::Route(limited(Limits::default()))]).await;
    entered.stream.write_all(&[b'y'; 2_000]).await.unwrap();
    let mut echoed = vec![0; 2_000];
    within(PATIENCE, entered.stream.read_exact(&mut echoed)).await.unwrap();
    Way::Vless.opens(&world, HOME, echo).await;
    entered.stream.write_all(b"x").await.unwrap();
    assert_eq!(entered.answer().await, b"x");
}
