//! The gateway against the crate `fast-socks5`, a client that others wrote from RFC 1928 and RFC 1929.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail by panicking")]

mod datagrams;
mod streams;

use fast_socks5::client::{Config, Socks5Stream};
use fast_socks5::util::target_addr::TargetAddr;
use fast_socks5::{AuthenticationMethod, Result, Socks5Command};
use oracles::{PASSWORD, USERNAME, World, within};
use tokio::net::TcpStream;

/// A client that shows these credentials; once it is let in, it has asked for nothing yet.
async fn greeted(world: &World, username: &str, password: &str) -> Result<Socks5Stream<TcpStream>> {
    let stream = TcpStream::connect(world.address()).await.unwrap();
    let login = AuthenticationMethod::Password {
        username: username.to_owned(),
        password: password.to_owned(),
    };
    let greeting = Socks5Stream::use_stream(stream, Some(login), Config::default());
    within("a greeting", greeting).await
}

/// A client with the subscription's credentials that has asked for this.
async fn asked(world: &World, command: Socks5Command, to: TargetAddr) -> Result<Socks5Stream<TcpStream>> {
    let mut client = greeted(world, USERNAME, PASSWORD).await?;
    within("a reply", client.request(command, to)).await?;
    Ok(client)
}

fn named(name: impl Into<String>, port: u16) -> TargetAddr {
    TargetAddr::Domain(name.into(), port)
}
