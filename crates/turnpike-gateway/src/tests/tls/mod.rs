//! TLS by a client of rustls' own making: handshakes of all kinds, and what goes through.

mod exchange;
mod handshake;
mod leaks;
mod slow;
mod tunnels;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion, version};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::world::{World, connect_request, route, within};
use crate::{Certificate, Change, GatewayConfig};

/// What every step comes within.
const PATIENCE: Duration = Duration::from_secs(20);

const PORT: u16 = 12_001;

/// The name that certificates here are for.
const NAME: &str = "proxy.test";

const VERSIONS: [&SupportedProtocolVersion; 2] = [&version::TLS12, &version::TLS13];

/// A certificate, and what a client needs to believe it.
struct Identity {
    certificate: Certificate,
    root: CertificateDer<'static>,
}

impl Identity {
    fn new() -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec![NAME.to_owned()]).unwrap();
        let own = params.self_signed(&key).unwrap();
        Self {
            certificate: Certificate::from_pem(own.pem().as_bytes(), key.serialize_pem().as_bytes()).unwrap(),
            root: own.der().clone(),
        }
    }

    /// A client that speaks these versions and offers these protocols.
    fn client(&self, versions: &[&'static SupportedProtocolVersion], protocols: &[&str]) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config)
    }
}

/// A gateway with one route and a certificate.
async fn world() -> (World, Identity) {
    world_with(|_| {}).await
}

async fn world_with(adjust: impl FnOnce(&mut GatewayConfig)) -> (World, Identity) {
    let world = World::start_with(adjust).await;
    world.apply([Change::Route(route("a", PORT))]).await;
    let identity = Identity::new();
    world.gateway.set_certificate(Some(&identity.certificate)).unwrap();
    (world, identity)
}

async fn shake_hands<S: AsyncRead + AsyncWrite + Unpin>(
    socket: S,
    client: &Arc<ClientConfig>,
) -> io::Result<TlsStream<S>> {
    let name = ServerName::try_from(NAME).unwrap();
    within(PATIENCE, TlsConnector::from(Arc::clone(client)).connect(name, socket)).await
}

/// A connection inside TLS on which nothing has been said yet.
async fn entered(world: &World, client: &Arc<ClientConfig>) -> TlsStream<TcpStream> {
    let socket = world.connect(PORT).await.unwrap();
    socket.set_nodelay(true).unwrap();
    shake_hands(socket, client).await.unwrap()
}

/// A tunnel to `origin`, by CONNECT inside TLS.
async fn tunnel(world: &World, client: &Arc<ClientConfig>, origin: SocketAddr) -> TlsStream<TcpStream> {
    let mut stream = entered(world, client).await;
    opened(&mut stream, origin).await;
    stream
}

async fn opened<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, origin: SocketAddr) {
    stream.write_all(&connect_request(origin, "secret")).await.unwrap();
    hears(stream, b"HTTP/1.1 200 Connection established\r\n\r\n").await;
}

/// The next bytes are exactly these.
async fn hears(stream: &mut (impl AsyncRead + Unpin), expected: &[u8]) {
    let mut heard = vec![0; expected.len()];
    within(PATIENCE, stream.read_exact(&mut heard)).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&heard), String::from_utf8_lossy(expected));
}

/// Nothing more comes but the end, which is told by close_notify (rustls reports another end as an error).
async fn hears_the_end(stream: &mut (impl AsyncRead + Unpin)) {
    assert_eq!(within(PATIENCE, stream.read(&mut [0; 64])).await.unwrap(), 0);
}

fn basic(password: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(format!("user:{password}"))
}
