//! How TLS is spoken on the gateway's ports: with one certificate, which can be exchanged while tunnels are open.

mod certificate;

use std::fmt;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::server::{ClientHello, NoServerSessionStorage, ProducesTickets, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{Error, ServerConfig};

pub use certificate::{Certificate, CertificateError};

/// What is spoken inside by name (RFC 7301). Never h2: a proxy that speaks it is another protocol, which this is not.
const PROTOCOL: &[u8] = b"http/1.1";

/// The keys of session tickets: new ones every six hours, each good for twelve. They outlive a certificate, so that an
/// exchange of it does not cost every client a full handshake.
pub(crate) struct Tickets(Option<Arc<dyn ProducesTickets>>);

impl Tickets {
    pub(crate) fn new() -> Self {
        // Without randomness nothing else works either; sessions are then not resumed.
        Self(ring::Ticketer::new().ok())
    }
}

/// One certificate in use.
pub(crate) struct Server {
    /// For clients that offer [`PROTOCOL`], and for those that offer none.
    named: Arc<ServerConfig>,
    /// For clients that offer only others. They get no answer to that and may go on; many do not care.
    unnamed: Arc<ServerConfig>,
}

impl Server {
    /// # Errors
    /// rustls', which has none for these versions and this provider.
    pub(crate) fn new(certificate: &Certificate, tickets: &Tickets) -> Result<Self, Error> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Own(Arc::clone(&certificate.key))));
        config.session_storage = Arc::new(NoServerSessionStorage {});
        if let Some(tickets) = &tickets.0 {
            config.ticketer = Arc::clone(tickets);
        }
        let unnamed = Arc::new(config.clone());
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        Ok(Self {
            named: Arc::new(config),
            unnamed,
        })
    }

    /// The configuration for a client that says this.
    pub(crate) fn config_for(&self, hello: &ClientHello<'_>) -> Arc<ServerConfig> {
        let offers_only_others = hello
            .alpn()
            .is_some_and(|mut offered| !offered.any(|name| name == PROTOCOL));
        Arc::clone(if offers_only_others { &self.unnamed } else { &self.named })
    }
}

/// The one certificate, whatever name a client asks for: clients whose link has the address, and those that send no name, are
/// served too; who verifies sees for himself.
struct Own(Arc<CertifiedKey>);

impl ResolvesServerCert for Own {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

impl fmt::Debug for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Own")
    }
}
