//! What is broken off leaves nothing behind, and what rests holds nothing.

use super::*;
use crate::tests::world::{Origin, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_broken_off_at_any_point_leave_nothing_behind() {
    let (world, echo) = (world().await, Origin::echo().await);
    let clients: Vec<_> = clients().collect();
    for round in 0..2_000 {
        let client = &clients[round % clients.len()];
        let (mut bytes, mut sealer) = client.request(&request(client, echo, &[1; 300]));
        bytes.extend(sealer.chunk(&[2; 10_000]));
        let sent = bytes.len() * (round / clients.len() % 8) / 7;
        let mut stream = world.connect(PORT).await.unwrap();
        stream.write_all(&bytes[..sent]).await.unwrap();
        if sent == bytes.len() {
            // Its echo is on the way, and nobody will read it.
            stream.readable().await.unwrap();
        }
        if round % 2 == 0 {
            stream.set_zero_linger().unwrap();
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

#[tokio::test]
async fn a_tunnel_whose_client_reads_nothing_is_cut_in_time_too() {
    let (world, origin) = (world().await, Origin::listen().await);
    let mut tunnels = Vec::new();
    let mut servers = Vec::new();
    for client in clients() {
        tunnels.push(Tunnel::open(&world, &client, origin.address(), b"").await);
        let (server, _) = origin.accept().await;
        // Until nothing fits in any more.
        while tokio::time::timeout(Duration::from_millis(100), server.writable())
            .await
            .is_ok()
        {
            let _ = server.try_write(&[7; 65_536]);
        }
        servers.push(server);
    }
    assert_eq!(world.gateway.tunnels_open(), 4);
    world.apply([Change::RemoveRoute(sealed_route().id)]).await;
    let shared = world.gateway.shared();
    eventually(Duration::from_secs(2), "all are cut", || shared.connections() == 0).await;
    assert_eq!(world.gateway.tunnels_open(), 0);
}
