//! Shadowsocks datagrams as long as they can be, and longer.

use super::datagrams::{Origin, Sender};
use super::*;

#[tokio::test]
async fn the_longest_datagrams_pass_and_longer_ones_do_no_harm() {
    let (world, origin) = (world().await, Origin::at("127.0.0.1:0").await);
    let to = address(origin.address());
    for client in clients() {
        let mut sender = Sender::new(&world, &client).await;
        // No IPv4 datagram is longer than 65,507 bytes.
        let sent = 65_507 - sender.packet(&to, b"").len();
        let content = testbed::origin::pattern(sent);
        let packet = sender.packet(&to, &content);
        assert_eq!(packet.len(), 65_507);
        sender.send(&packet).await;
        let (came, exit) = origin.receive().await;
        assert!(came == content, "{} bytes of {sent}", came.len());

        origin.0.send_to(&[1; 65_507], exit).await.unwrap();
        // An answer of 2022 names its client's session besides.
        let room = if client.method().is_2022() { sent - 8 } else { sent };
        origin.0.send_to(&content[..room], exit).await.unwrap();
        assert!(sender.receive().await.data == content[..room]);
        let (up, down) = world.traffic("a");
        // What could not be handed over is not counted.
        assert_eq!((up, down), (sent as u64, room as u64));
    }
}
