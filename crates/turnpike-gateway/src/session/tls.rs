//! TLS on a port: the handshake, and then what is inside, which is judged as if the connection had just begun.
//!
//! A handshake that fails is answered by an alert, as any server does: whoever sends a ClientHello sees that this is TLS, and
//! a client that cannot be served is to say why. Silence would look stranger.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use rustls::ServerConfig;
use rustls::server::Acceptor;
use tokio::time::{Instant, timeout_at};

use super::peer::Peer;
use super::{Client, Context, first_bytes};
use crate::stream::{Seal, Stream, Tls};
use crate::tls::Server;

/// The longest hello that is waited for. Those of browsers have two KiB.
const LONGEST_HELLO: usize = 24 * 1024;

/// Between a handshake and the first byte inside at least so long: browsers open connections to a proxy before they need them.
const PARKED: Duration = Duration::from_secs(10);

/// What is inside, and its first bytes. Absent where the handshake or they do not come; then the connection has ended.
pub(super) async fn enter(context: &Context, client: Client) -> Option<Client> {
    let server = context.shared.tls.load_full()?;
    let stream = match timeout_at(client.deadline, Box::pin(shake_hands(client, &server))).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(rejected)) => {
            context.refused("tls");
            if let Some(stream) = rejected {
                Peer::from(stream).finish().await;
            }
            return None;
        }
        Err(_) => {
            context.refused("tls");
            return None;
        }
    };
    let until = (context.accepted + context.config.first_byte_timeout).max(Instant::now() + PARKED);
    let buffer = tokio::select! {
        biased;
        () = context.closing.cancelled() => return None,
        buffer = timeout_at(until, first_bytes(&stream)) => buffer.ok()??,
    };
    Some(Client {
        stream,
        buffer,
        deadline: Instant::now() + context.config.handshake_timeout,
    })
}

/// The connection inside TLS. Where the client has been sent an alert, the error holds the connection for it to arrive.
async fn shake_hands(mut client: Client, server: &Server) -> Result<Stream, Option<Client>> {
    let config = match read_hello(&mut client, server).await {
        Ok(config) => config,
        Err(Hello::Gone) => return Err(None),
        Err(Hello::Refused(alert)) => {
            let _ = super::peer::write(&client.stream, &alert, |_| {}).await;
            return Err(Some(client));
        }
    };
    let Ok(mut tls) = Tls::new(config, client.buffer.to_vec()) else {
        return Err(None);
    };
    client.buffer = BytesMut::new();
    let socket = client.stream.socket();
    loop {
        match tls.handshake(socket) {
            Ok(()) => return Ok(client.stream.sealed(Seal::Tls(tls))),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(Some(client)),
            Err(_) => return Err(None),
        }
        let ready = if tls.is_sending() {
            socket.writable().await
        } else {
            socket.readable().await
        };
        if ready.is_err() {
            return Err(None);
        }
    }
}

/// Why there is no hello.
enum Hello {
    /// The client has.
    Gone,
    /// It is none; this alert says so.
    Refused(Vec<u8>),
}

/// Reads the whole hello, which stays in the buffer, and finds how to answer it.
async fn read_hello(client: &mut Client, server: &Server) -> Result<Arc<ServerConfig>, Hello> {
    let mut acceptor = Acceptor::default();
    let mut shown = 0;
    loop {
        let mut news = client.buffer.get(shown..).unwrap_or_default();
        while !news.is_empty() {
            match acceptor.read_tls(&mut news) {
                Ok(1..) => {}
                Ok(0) | Err(_) => return Err(Hello::Gone),
            }
        }
        shown = client.buffer.len();
        match acceptor.accept() {
            Ok(Some(accepted)) => return Ok(server.config_for(&accepted.client_hello())),
            Ok(None) if shown < LONGEST_HELLO => {}
            Ok(None) => return Err(Hello::Gone),
            Err((_, mut alert)) => {
                let mut bytes = Vec::new();
                let _ = alert.write_all(&mut bytes);
                return Err(Hello::Refused(bytes));
            }
        }
        match client.read().await {
            Ok(1..) => {}
            Ok(0) | Err(_) => return Err(Hello::Gone),
        }
    }
}
