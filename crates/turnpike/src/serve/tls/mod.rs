//! The gateway's certificate: read or ordered at start, exchanged while everything goes on, and told to the shop, whose links
//! speak of it.

pub(crate) mod acme;
mod files;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use turnpike_gateway::{Certificate, Gateway};
use turnpike_shop::{Shop, routes};

use crate::certificate;
use crate::config::{Config, Tls};

/// How often is looked whether something is to be done: an exchange of files is in force after two of these.
const TICK: Duration = Duration::from_secs(1);

/// How often is reminded of a certificate that ends soon, in milliseconds.
const REMINDER: i64 = 86_400_000;

/// Where the certificate comes from, proven at start: what is wrong with it is told before anything else begins.
pub(super) enum Source {
    /// No TLS.
    Nothing,
    Files(Box<files::Watched>),
    Acme(Box<acme::Orders>),
}

impl Source {
    /// # Errors
    /// A sentence that names the key and what is wrong.
    pub(super) fn open(config: &Config) -> Result<Self> {
        Ok(match &config.gateway.tls {
            None => Self::Nothing,
            Some(Tls::Files(files)) => Self::Files(Box::new(files::Watched::open(files)?)),
            Some(Tls::Acme(acme)) => Self::Acme(Box::new(acme::Orders::open(config, acme)?)),
        })
    }

    /// Where a directory's questions are answered, and with what.
    pub(super) fn take_listeners(&mut self) -> Vec<(TcpListener, acme::Answers)> {
        match self {
            Self::Acme(orders) => orders.take_listeners(),
            Self::Nothing | Self::Files(_) => Vec::new(),
        }
    }
}

/// Keeps the gateway's certificate, and the shop's knowledge of it, until `stop`.
pub(super) struct Keeper {
    shop: Shop,
    gateway: Gateway,
    name: String,
    public_host: String,
    present: Option<Arc<Certificate>>,
    /// What links are to say, and what the shop has been told.
    server_name: Option<String>,
    told: Option<Option<String>>,
    is_failing: bool,
    reminded_at: Option<i64>,
}

impl Keeper {
    pub(super) fn new(shop: Shop, gateway: Gateway, config: &Config) -> Self {
        ::metrics::describe_gauge!(
            "turnpike_certificate_expiry_timestamp_seconds",
            "When the gateway's certificate ends, in seconds since 1970."
        );
        Self {
            shop,
            gateway,
            name: config.gateway.name.clone(),
            public_host: config.gateway.public_host.clone(),
            present: None,
            server_name: None,
            told: None,
            is_failing: false,
            reminded_at: None,
        }
    }

    /// Puts what the source has in force, and goes on with it. What is there already is in force when this returns.
    pub(super) fn start(
        mut self,
        source: Source,
        stop: CancellationToken,
    ) -> impl Future<Output = ()> + Send + 'static {
        let present = match &source {
            Source::Nothing => None,
            Source::Files(watched) => Some(watched.certificate()),
            Source::Acme(orders) => orders.kept(),
        };
        if let Some(certificate) = present {
            self.serve(certificate);
        }
        async move {
            let keeping = async {
                match source {
                    Source::Nothing => {
                        while !self.tell().await {
                            tokio::time::sleep(TICK).await;
                        }
                    }
                    Source::Files(watched) => watched.keep(&mut self).await,
                    Source::Acme(orders) => orders.keep(&mut self).await,
                }
            };
            stop.run_until_cancelled(keeping).await;
        }
    }

    /// Puts a certificate in force.
    fn serve(&mut self, certificate: Certificate) {
        if let Err(error) = self.gateway.set_certificate(Some(&certificate)) {
            tracing::error!(%error, "the certificate cannot be served; the one before stays");
            return;
        }
        #[allow(clippy::cast_precision_loss, reason = "a gauge is a float")]
        ::metrics::gauge!("turnpike_certificate_expiry_timestamp_seconds").set(certificate.ends_at() as f64 / 1_000.0);
        let is_covered = certificate.covers(&self.public_host);
        if !is_covered {
            tracing::error!(
                "the gateway's certificate is for {} and not for {}, which customers connect to: clients would refuse it, and \
                 links go on without TLS; set gateway.public_host to a name that it is for, or get another",
                certificate::names(&certificate),
                self.public_host
            );
        }
        self.server_name = is_covered.then(|| self.public_host.clone());
        self.present = Some(Arc::new(certificate));
        self.reminded_at = None;
        self.remind();
    }

    /// Says once a day that the certificate ends soon.
    fn remind(&mut self) {
        let now = self.shop.now().0;
        let Some(present) = &self.present else { return };
        if !certificate::ends_soon(present, now) && present.starts_at() <= now
            || self.reminded_at.is_some_and(|at| now - at < REMINDER)
        {
            return;
        }
        self.reminded_at = Some(now);
        if present.starts_at() > now {
            tracing::error!(
                "the gateway's certificate is not valid yet: clients refuse it; is this machine's clock right?"
            );
        } else if present.ends_at() <= now {
            tracing::error!(
                "the gateway's certificate {}: clients refuse it",
                certificate::until(present, now)
            );
        } else {
            tracing::warn!("the gateway's certificate {}", certificate::until(present, now));
        }
    }

    /// Lets the shop know what links are to say; whether it does.
    async fn tell(&mut self) -> bool {
        self.remind();
        if self.told.as_ref() == Some(&self.server_name) {
            return true;
        }
        match routes::set_gateway_tls(&self.shop, &self.name, self.server_name.as_deref()).await {
            Ok(()) => {
                self.told = Some(self.server_name.clone());
                self.is_failing = false;
                true
            }
            Err(error) => {
                if !std::mem::replace(&mut self.is_failing, true) {
                    tracing::warn!(%error, "links cannot be told of the gateway's certificate; it is tried again");
                }
                false
            }
        }
    }
}
