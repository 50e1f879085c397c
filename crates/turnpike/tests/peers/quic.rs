//! QUIC through a port, by quinn at both ends: it notices every datagram that is lost, late, cut or from somebody else.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use quinn::rustls::RootCertStore;
use quinn::rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use quinn::{ClientConfig, Endpoint, ServerConfig};
use testbed::origin::pattern;
use tokio::runtime::Runtime;

use crate::lanes::{Lane, SING_BOX, SS_TUNNEL, V2RAY};
use crate::world::{EXIT, World};

/// As much each way.
const BULK: usize = 2 * 1024 * 1024;

/// Nothing takes longer, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(90);

/// A server that sends back each stream and says whom it sees.
struct Server {
    endpoint: Endpoint,
    certificate: CertificateDer<'static>,
}

impl Server {
    fn start() -> Self {
        let own = rcgen::generate_simple_self_signed(["origin.example".to_owned()]).unwrap();
        let certificate = CertificateDer::from(own.cert);
        let key = PrivatePkcs8KeyDer::from(own.signing_key.serialize_der());
        let config = ServerConfig::with_single_cert(vec![certificate.clone()], key.into()).unwrap();
        let endpoint = Endpoint::server(config, (Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let listening = endpoint.clone();
        tokio::spawn(async move {
            while let Some(incoming) = listening.accept().await {
                tokio::spawn(async move {
                    let connection = incoming.await.unwrap();
                    let seen = connection.remote_address().ip().to_string();
                    while let Ok((mut to_client, mut from_client)) = connection.accept_bi().await {
                        let bytes = from_client.read_to_end(BULK).await.unwrap();
                        to_client.write_all(seen.as_bytes()).await.unwrap();
                        to_client.write_all(&bytes).await.unwrap();
                        to_client.finish().unwrap();
                    }
                });
            }
        });
        Self { endpoint, certificate }
    }

    fn address(&self) -> SocketAddr {
        self.endpoint.local_addr().unwrap()
    }

    /// A client that trusts this server.
    fn client(&self) -> Endpoint {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let mut client = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        client.set_default_client_config(ClientConfig::with_root_certificates(Arc::new(roots)).unwrap());
        client
    }
}

/// Sends on a stream; what comes back.
async fn exchanged(connection: &quinn::Connection, bytes: &[u8]) -> Vec<u8> {
    let (mut to_server, mut from_server) = connection.open_bi().await.unwrap();
    to_server.write_all(bytes).await.unwrap();
    to_server.finish().unwrap();
    from_server.read_to_end(BULK + 100).await.unwrap()
}

fn streams_pass_by(lanes: &[Lane]) {
    streams_pass_by_in(&World::new(), lanes);
}

/// The same where the way out is another.
pub(crate) fn streams_pass_by_in(world: &World, lanes: &[Lane]) {
    let runtime = Runtime::new().unwrap();
    let server = runtime.block_on(async { Server::start() });
    let bytes = pattern(BULK);
    let expected = [EXIT.as_bytes(), &bytes].concat();
    for lane in lanes {
        let Some(peer) = lane.to(server.address(), &world.bought) else {
            return;
        };
        let passing = async {
            let client = server.client();
            // Several connections, each from a socket of its own, at the same time.
            let connecting = client.connect(peer.port(), "origin.example").unwrap();
            let other = server.client();
            let other_connecting = other.connect(peer.port(), "origin.example").unwrap();
            let (one, two) = (connecting.await.unwrap(), other_connecting.await.unwrap());
            let (from_one, from_two) = tokio::join!(exchanged(&one, &bytes), exchanged(&two, &bytes));
            assert!(from_one == expected && from_two == expected, "{}", lane.name);
        };
        let passed = runtime.block_on(async { tokio::time::timeout(PATIENCE, passing).await });
        assert!(passed.is_ok(), "{} takes too long", lane.name);
    }
}

#[test]
fn streams_pass_by_every_protocol_of_sing_box() {
    streams_pass_by(SING_BOX);
}

#[test]
fn streams_pass_by_every_protocol_of_v2ray() {
    streams_pass_by(V2RAY);
}

#[test]
fn streams_pass_by_every_method_of_ss_tunnel() {
    streams_pass_by(SS_TUNNEL);
}
