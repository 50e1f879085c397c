//! The gateway's front: what the binary tells it and what it answers.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use tokio::sync::mpsc;

use crate::WallClock;
use crate::exit::{ExitId, ExitSpec, Rotated, RotationError};
use crate::meter::{BatchId, TrafficBatch};
use crate::route::{Route, RouteId};

/// How a gateway behaves; all of it is fixed while it runs.
#[derive(Debug, Clone)]
pub struct GatewayConfig {
    /// Addresses that every subscription's port listens on.
    pub bind: Vec<IpAddr>,
    /// The public name or address in customers' URLs; told to SOCKS clients when the local one is private.
    pub public_host: String,
    /// Networks that may be dialled although they are private.
    pub allow_destinations: Vec<IpNet>,
    /// Addresses of this installation that customers never reach through a port: the database's, the API's.
    pub own_addresses: Vec<IpAddr>,
    /// A tunnel in which nothing has moved for this long is closed.
    pub idle_timeout: Duration,
    /// From the first byte to a complete request.
    pub handshake_timeout: Duration,
    /// From the accept to the first byte.
    pub first_byte_timeout: Duration,
    /// For dialling all addresses of a name together.
    pub connect_timeout: Duration,
    /// DNS servers to ask instead of the system's.
    pub dns_servers: Vec<std::net::SocketAddr>,
    /// Refuse without a word instead of by 407, `05 FF` and `00 5D`.
    pub stealth: bool,
}

/// What the gateway is told.
#[derive(Debug, Clone)]
pub enum Change {
    /// This exit is new or is different now.
    Exit(ExitSpec),
    /// No route leaves by this exit any more.
    RemoveExit(ExitId),
    /// This route is new or is different now. Its exit must have been told before.
    Route(Route),
    /// This route ends at once, with its tunnels.
    RemoveRoute(RouteId),
}

/// What came of a batch of changes.
#[derive(Debug, Default)]
pub struct Applied {
    /// Routes whose port could not be opened. They are tried again every few seconds.
    pub failed: Vec<(RouteId, PortError)>,
}

/// Why a route has no port.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PortError {
    /// Another program has it, or it may not be opened.
    #[error("port {port} cannot be opened on {address}: {reason}")]
    Bind {
        /// The address that was tried.
        address: IpAddr,
        /// The port that was tried.
        port: u16,
        /// What the system said.
        reason: String,
    },
    /// The route names an exit that was never told.
    #[error("its exit is unknown to this gateway")]
    UnknownExit,
}

/// What the gateway tells.
#[derive(Debug, Clone)]
pub enum Event {
    /// An exit works, and this is its public address where it is known.
    ExitUp {
        /// Which exit.
        exit: ExitId,
        /// Its public address.
        address: Option<IpAddr>,
    },
    /// An exit does not get out.
    ExitDown {
        /// Which exit.
        exit: ExitId,
        /// What was tried and what came of it, in a sentence for the operator.
        reason: String,
    },
}

/// What all connections of a gateway share.
pub(crate) struct Shared {
    pub(crate) buffers: crate::relay::Buffers,
}

/// A running gateway. Cheap to clone; dropping the last handle does not stop it, [`Gateway::shut_down`] does.
#[derive(Clone)]
pub struct Gateway {
    // helper G1 fills in
}

#[allow(unused_variables)]
impl Gateway {
    /// Starts with no routes and no exits. Events arrive on the receiver; it must be read.
    #[must_use]
    pub fn start(config: GatewayConfig, clock: WallClock) -> (Self, mpsc::UnboundedReceiver<Event>) {
        unimplemented!()
    }

    /// Applies changes in order. When it returns, every port that could be opened accepts connections.
    pub async fn apply(&self, changes: Vec<Change>) -> Applied {
        unimplemented!()
    }

    /// Forgets every route and exit that is not in `exits` and `routes`, and applies those: the state after a
    /// (re)connection to the shop.
    pub async fn replace_all(&self, exits: Vec<ExitSpec>, routes: Vec<Route>) -> Applied {
        unimplemented!()
    }

    /// Gives an exit a new public address. One at a time per exit.
    ///
    /// # Errors
    /// [`RotationError`]; the exit stays usable as it was.
    pub async fn rotate(&self, exit: &ExitId) -> Result<Rotated, RotationError> {
        unimplemented!()
    }

    /// The traffic that waits to be recorded, the same until it is acknowledged; absent where nothing moved.
    #[must_use]
    pub fn traffic(&self) -> Option<TrafficBatch> {
        unimplemented!()
    }

    /// The batch has been recorded: forget it.
    pub fn acknowledge(&self, batch: &BatchId) {
        unimplemented!()
    }

    /// Tunnels open now.
    #[must_use]
    pub fn tunnels_open(&self) -> u64 {
        unimplemented!()
    }

    /// Ports open now (routes being served).
    #[must_use]
    pub fn ports_open(&self) -> usize {
        unimplemented!()
    }

    /// Stops accepting, gives open tunnels `drain` to end by themselves, then cuts them.
    pub async fn shut_down(&self, drain: Duration) {
        unimplemented!()
    }
}
