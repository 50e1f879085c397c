//! TLS on a port: the handshake, and then what is inside, which is judged as if the connection had just begun.
//!
//! A handshake that fails is answered by an alert, as any server does: whoever sends a ClientHello sees that this is TLS, and
//! a client that cannot be served is to say why. Silence would look stranger.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use rustls::server::Acceptor;
use rustls::{AlertDescription, Error, ServerConfig};
use tokio::time::{Instant, timeout_at};

use super::peer::Peer;
use super::{Client, Context, first_bytes};
use crate::refusals::Reason;
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
        Ok(Err((rejected, reason))) => {
            context.refused(reason);
            if let Some(client) = rejected {
                Peer::from(client).finish().await;
            }
            return None;
        }
        Err(_) => {
            context.refused(Reason::CutShort);
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

/// Why there is no connection inside TLS; and it itself where the client has been sent an alert, for that to arrive.
type Failed = (Option<Client>, Reason);

async fn shake_hands(mut client: Client, server: &Server) -> Result<Stream, Failed> {
    let config = match read_hello(&mut client, server).await {
        Ok(config) => config,
        Err(Hello::Gone) => return Err((None, Reason::CutShort)),
        Err(Hello::Refused(alert, error)) => {
            let _ = super::peer::write(&client.stream, &alert, |_| {}).await;
            return Err((Some(client), why(&error)));
        }
    };
    let Ok(mut tls) = Tls::new(config, client.buffer.to_vec()) else {
        return Err((None, Reason::TlsFailed));
    };
    client.buffer = BytesMut::new();
    let socket = client.stream.socket();
    loop {
        match tls.handshake(socket) {
            Ok(()) => return Ok(client.stream.sealed(Seal::Tls(tls))),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                let tls = error.get_ref().and_then(|inner| inner.downcast_ref());
                return Err((Some(client), tls.map_or(Reason::TlsFailed, why)));
            }
            Err(_) => return Err((None, Reason::CutShort)),
        }
        let ready = if tls.is_sending() {
            socket.writable().await
        } else {
            socket.readable().await
        };
        if ready.is_err() {
            return Err((None, Reason::CutShort));
        }
    }
}

/// What a failed handshake means for the customer.
fn why(error: &Error) -> Reason {
    use AlertDescription as Alert;
    match error {
        Error::AlertReceived(
            Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            // A signature in the chain that does not fit.
            | Alert::DecryptError,
        ) => Reason::CertificateNotTrusted,
        Error::PeerIncompatible(_)
        | Error::AlertReceived(Alert::ProtocolVersion | Alert::HandshakeFailure | Alert::InsufficientSecurity) => {
            Reason::NoCommonTls
        }
        _ => Reason::TlsFailed,
    }
}

/// Why there is no hello.
enum Hello {
    /// The client has.
    Gone,
    /// It is none; this alert says so.
    Refused(Vec<u8>, Error),
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
            Err((error, mut alert)) => {
                let mut bytes = Vec::new();
                let _ = alert.write_all(&mut bytes);
                return Err(Hello::Refused(bytes, error));
            }
        }
        match client.read().await {
            Ok(1..) => {}
            Ok(0) | Err(_) => return Err(Hello::Gone),
        }
    }
}
