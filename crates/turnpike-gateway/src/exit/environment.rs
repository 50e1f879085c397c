//! What all exits of a gateway share: the destination rule, the name servers and their answers, the prober, the bounds.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};

use super::{Exit, method, probe};
use crate::descriptors::Descriptors;
use crate::egress::DestinationPolicy;
use crate::gateway::{Event, GatewayConfig};
use crate::resolve::{NameServers, NameService};

/// What all exits of a gateway share.
pub(crate) struct Environment {
    pub(super) policy: Arc<DestinationPolicy>,
    pub(super) names: NameService,
    pub(super) descriptors: Descriptors,
    pub(super) bounds: Bounds,
    pub(super) events: mpsc::UnboundedSender<Event>,
    /// Exits that want to be probed; one task does that for all.
    pub(super) probes: mpsc::UnboundedSender<Weak<Exit>>,
    pub(super) http: method::HttpClient,
    /// What is the installation's own may be something else now.
    pub(super) exits_changed: Notify,
}

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// A dial over all addresses of a name together.
    pub(super) connect: Duration,
    /// An attempt that hangs this long counts as a sign that the exit is dead, while it is still waited for.
    pub(super) silence: Duration,
    /// A dial while the exit is known to be down: still tried, since it may be back.
    pub(super) connect_while_down: Duration,
    /// Between two probes of an exit that is down.
    pub(super) probe_interval: Duration,
    /// A rotation in all.
    pub(super) rotation: Duration,
    /// As [`GatewayConfig::peer_timeout`].
    pub(super) peer: Duration,
}

impl Bounds {
    pub(super) fn new(connect: Duration) -> Self {
        Self {
            connect,
            silence: Duration::from_secs(3),
            connect_while_down: Duration::from_secs(4),
            probe_interval: Duration::from_secs(3),
            rotation: Duration::from_secs(60),
            peer: Duration::from_secs(120),
        }
    }
}

impl Environment {
    /// Starts the task that probes exits; it ends with the environment.
    pub(crate) fn new(
        config: &GatewayConfig,
        policy: Arc<DestinationPolicy>,
        descriptors: Descriptors,
        events: mpsc::UnboundedSender<Event>,
    ) -> Arc<Self> {
        let name_servers = NameServers::new(&config.dns_servers);
        let bounds = Bounds {
            peer: config.peer_timeout,
            ..Bounds::new(config.connect_timeout)
        };
        Self::with(policy, name_servers, bounds, descriptors, events)
    }

    pub(super) fn with(
        policy: Arc<DestinationPolicy>,
        name_servers: NameServers,
        bounds: Bounds,
        descriptors: Descriptors,
        events: mpsc::UnboundedSender<Event>,
    ) -> Arc<Self> {
        let (probes, wanted) = mpsc::unbounded_channel();
        tokio::spawn(probe::run(wanted, bounds.probe_interval));
        Arc::new(Self {
            policy,
            names: NameService::new(name_servers, descriptors.clone()),
            descriptors,
            bounds,
            events,
            probes,
            http: method::HttpClient::default(),
            exits_changed: Notify::new(),
        })
    }
}
