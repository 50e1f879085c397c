use tokio::io::AsyncReadExt as _;

use super::*;
use crate::exit::check::{CheckTarget, Checked};

/// A shop that answers `/ip` with what it is told to, `{}` being the caller's address.
async fn shop(answer: &'static str) -> CheckTarget {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, from)) = listener.accept().await {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await.unwrap());
            }
            assert!(request.starts_with(b"GET /ip HTTP/1.0\r\n"));
            let said = answer.replace("{}", &from.ip().to_string());
            stream.write_all(said.as_bytes()).await.unwrap();
        }
    });
    CheckTarget {
        authority: address.to_string(),
        path: Some("/ip".to_owned()),
    }
}

#[tokio::test]
async fn a_test_tells_the_address_that_is_seen_from_outside() {
    let world = World::new();
    let exit = world.exit(pool(&[loopback(11), loopback(12)]));
    let target = shop("HTTP/1.1 200 OK\r\n\r\n{}").await;
    let Checked { address, .. } = exit.check(&target).await.unwrap();
    assert_eq!(address, Some(loopback(11)));
    let only_connect = CheckTarget { path: None, ..target };
    assert_eq!(exit.check(&only_connect).await.unwrap().address, None);
}

#[tokio::test]
async fn a_test_that_fails_says_why() {
    let world = World::new();
    let exit = world.exit(pool(&[loopback(11)]));
    let stranger = shop("220 mail.example ESMTP\r\n").await;
    assert!(exit.check(&stranger).await.unwrap_err().contains("not this shop"));
    let nobody = CheckTarget {
        authority: closed_port().await.to_string(),
        path: None,
    };
    assert_eq!(
        exit.check(&nobody).await.unwrap_err(),
        "the destination refused the connection"
    );
    let nowhere = CheckTarget {
        authority: "no port".to_owned(),
        path: None,
    };
    assert_eq!(
        exit.check(&nowhere).await.unwrap_err(),
        "no port cannot be connected to"
    );
    let inside = CheckTarget {
        authority: "10.0.0.1:80".to_owned(),
        path: None,
    };
    assert!(exit.check(&inside).await.unwrap_err().contains("server.public_url"));
    let gone = world.exit(pool(&[NOT_HERE]));
    let target = shop("HTTP/1.1 200 OK\r\n\r\n{}").await;
    assert!(gone.check(&target).await.is_err());
}
