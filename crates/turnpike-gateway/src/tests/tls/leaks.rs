//! Many at once, and nothing that stays.

use super::*;
use crate::tests::world::{Origin, eventually, raise_descriptor_limit};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_tunnels_are_open_at_once_and_hold_nothing_at_rest() {
    if !raise_descriptor_limit() {
        return;
    }
    let ((world, identity), echo) = (world().await, Origin::echo().await);
    let client = identity.client(&VERSIONS, &["http/1.1"]);
    let mut tunnels = Vec::new();
    for number in 0..500_u32 {
        let mut stream = tunnel(&world, &client, echo).await;
        stream.write_all(&number.to_be_bytes()).await.unwrap();
        hears(&mut stream, &number.to_be_bytes()).await;
        tunnels.push(stream);
    }
    assert_eq!(world.gateway.tunnels_open(), 500);
    let shared = world.gateway.shared();
    eventually(PATIENCE, "nothing is held", || shared.buffers.in_use() == 0).await;
    for (number, stream) in (0_u32..).zip(&mut tunnels) {
        stream.write_all(&number.to_le_bytes()).await.unwrap();
        // A record may be left in the client when its turn is over.
        stream.flush().await.unwrap();
    }
    for (number, stream) in (0_u32..).zip(&mut tunnels) {
        hears(stream, &number.to_le_bytes()).await;
    }
    drop(tunnels);
    eventually(PATIENCE, "every connection has ended", || shared.connections() == 0).await;
    eventually(PATIENCE, "only the port's own two sockets are left", || {
        shared.descriptors.used() == 2
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_broken_off_at_any_point_leaves_nothing_behind() {
    let ((world, identity), echo) = (world().await, Origin::echo().await);
    let client = identity.client(&VERSIONS, &[]);
    for round in 0..400_u32 {
        let socket = world.connect(PORT).await.unwrap();
        if round % 2 == 0 {
            socket.set_zero_linger().unwrap();
        }
        match round % 5 {
            0 => drop(socket),
            1 => {
                let mut socket = socket;
                socket.write_all(&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01]).await.unwrap();
            }
            2 => drop(shake_hands(socket, &client).await.unwrap()),
            3 => {
                let mut stream = shake_hands(socket, &client).await.unwrap();
                stream.write_all(b"CONNECT half").await.unwrap();
            }
            _ => {
                let mut stream = shake_hands(socket, &client).await.unwrap();
                opened(&mut stream, echo).await;
                stream.write_all(&[7; 50_000]).await.unwrap();
            }
        }
    }
    let shared = world.gateway.shared();
    eventually(PATIENCE, "every connection has ended", || shared.connections() == 0).await;
    eventually(PATIENCE, "every tunnel has ended", || world.gateway.tunnels_open() == 0).await;
    eventually(PATIENCE, "only the port's own two sockets are left", || {
        shared.descriptors.used() == 2
    })
    .await;
    assert_eq!(shared.buffers.in_use(), 0);
}
