//! Shadowsocks by UDP through an upstream proxy. There are no errors in this protocol: what cannot go is dropped, and the
//! client's session stays.

use super::datagrams::{Origin, Sender};
use super::*;
use crate::tests::upstream::{LEAVES_FROM, Manners, Proxy};
use crate::tests::world::eventually;

async fn world_by(proxy: &Proxy) -> World {
    let world = world().await;
    world.apply([Change::Exit(proxy.exit())]).await;
    world
}

#[tokio::test]
async fn every_method_goes_by_the_upstream_and_what_comes_first_waits_for_it() {
    let proxy = Proxy::start(Manners {
        takes: Duration::from_millis(300),
        ..Manners::default()
    })
    .await;
    let world = world_by(&proxy).await;
    let (origin, echo) = (Origin::at("127.0.0.1:0").await, Origin::echo().await);
    for client in clients() {
        let mut sender = Sender::new(&world, &client).await;
        for number in 0..8 {
            let packet = sender.packet(&address(origin.address()), &[number]);
            sender.send(&packet).await;
        }
        for number in 0..8 {
            let (data, from) = origin.receive().await;
            assert_eq!((&data[..], from.ip()), (&[number][..], LEAVES_FROM.into()));
        }
        for length in [0, 1, 1_472, 65_400] {
            sender.echoes(echo, &testbed::origin::pattern(length)).await;
        }
    }
    assert_eq!(proxy.asked(), 4, "one for each client");
}

#[tokio::test]
async fn a_session_outlives_its_upstreams_association_and_is_safe_from_replays() {
    let proxy = Proxy::start(Manners::default()).await;
    let world = world_by(&proxy).await;
    let (origin, echo) = (Origin::at("127.0.0.1:0").await, Origin::echo().await);
    for client in clients() {
        let mut sender = Sender::new(&world, &client).await;
        let recorded = sender.packet(&address(origin.address()), b"recorded");
        sender.send(&recorded).await;
        assert_eq!(origin.receive().await.0, b"recorded");
        sender.echoes(echo, b"before").await;
        proxy.end_all();
        eventually(PATIENCE, "it has ended", || proxy.open() == 0).await;
        if client.method().is_2022() {
            sender.send(&recorded).await;
        }
        let again = async {
            loop {
                let packet = sender.packet(&address(origin.address()), b"again");
                sender.send(&packet).await;
                if let Ok((data, _)) = tokio::time::timeout(Duration::from_millis(100), origin.receive()).await {
                    return data;
                }
            }
        };
        assert_eq!(within(PATIENCE, again).await, b"again");
        sender.echoes(echo, b"after").await;
        assert!(origin.so_far().iter().all(|data| data == b"again"));
    }
}

#[tokio::test]
async fn what_an_upstream_does_not_carry_is_dropped_and_not_asked_for_again_and_again() {
    let proxy = Proxy::start(Manners {
        reply: 7,
        ..Manners::default()
    })
    .await;
    let world = world_by(&proxy).await;
    let origin = Origin::at("127.0.0.1:0").await;
    let mut senders = Vec::new();
    for client in clients() {
        senders.push(Sender::new(&world, &client).await);
    }
    for _ in 0..20 {
        for (number, sender) in senders.iter_mut().enumerate() {
            let packet = sender.packet(&address(origin.address()), b"lost");
            sender.send(&packet).await;
            if proxy.asked() == 0 {
                let answered = || proxy.asked() == 1 && world.gateway.shared().connections() == number + 1;
                eventually(PATIENCE, "it is asked, and has answered", answered).await;
            }
        }
    }
    eventually(PATIENCE, "no task is left but the sessions'", || {
        world.gateway.shared().connections() == senders.len()
    })
    .await;
    assert_eq!((proxy.asked(), world.traffic("a")), (1, (0, 0)));
    senders.iter().for_each(Sender::assert_silent);
    assert_eq!(origin.so_far(), Vec::<Vec<u8>>::new());
}
