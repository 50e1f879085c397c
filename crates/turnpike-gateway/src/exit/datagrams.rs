//! Datagrams through an exit: by sockets of its own, or by what its upstream proxy opens for them (RFC 1928 §7).

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use socket2::SockRef;
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use turnpike_wire::address::Destination;

use super::dialling::{AT_LIMIT, DialError, permitted, unavailable};
use super::upstream::{self, UpstreamError};
use super::{Exit, Present};
use crate::descriptors::Permit;
use crate::dial::AttemptError;
use crate::egress::Verdict;
use crate::listener;

/// For so long it is believed that an upstream carries no datagrams: nobody gives it that ability within a minute, and
/// every datagram of a customer who does not know would be a login there.
const BELIEVED: Duration = Duration::from_secs(60);

/// For so long nobody tries again after another failure.
const PAUSE: Duration = Duration::from_secs(1);

/// A socket for datagrams through an exit.
#[derive(Debug)]
pub(crate) struct UdpEgress {
    /// Not connected, one per association and family. The exit's own are bound like its TCP.
    pub(crate) socket: UdpSocket,
    /// Where it leads to an upstream proxy.
    pub(crate) upstream: Option<UpstreamAssociation>,
    /// As `Dialed::lease`.
    pub(crate) lease: CancellationToken,
    /// Room for its files.
    pub(crate) descriptors: Permit,
}

/// What an upstream proxy has opened for our datagrams.
#[derive(Debug)]
pub(crate) struct UpstreamAssociation {
    /// Where they are sent to, and where replies come from.
    pub(crate) relay: SocketAddr,
    /// It lives as long as this connection, at both ends.
    pub(super) control: TcpStream,
}

/// Why datagrams did not get out just now; it is not tried again at once.
#[derive(Debug)]
pub(super) struct UdpFailure {
    generation: u64,
    until: Instant,
    error: DialError,
}

impl UpstreamAssociation {
    /// Waits until the upstream ends it. What is said on the connection means nothing.
    pub(crate) async fn ended(&self) {
        let mut forgotten = [0; 64];
        while self.control.readable().await.is_ok() {
            match self.control.try_read(&mut forgotten) {
                Ok(1..) => tokio::task::coop::consume_budget().await,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Ok(0) | Err(_) => return,
            }
        }
    }
}

impl Exit {
    /// Whether datagrams leave by somebody else's proxy: then opening a way for them takes a moment
    /// ([`Exit::udp_by_upstream`]), and it may be refused.
    pub(crate) fn has_upstream(&self) -> bool {
        upstream::of(&self.present.load().spec.way).is_some()
    }

    /// Why datagrams cannot get out, as far as that is known without asking anybody.
    pub(crate) fn udp_refusal(&self) -> Option<DialError> {
        let present = self.present.load();
        if upstream::of(&present.spec.way).is_some_and(|proxy| !proxy.may_carry_udp()) {
            return Some(DialError::NoUdp);
        }
        let failure = self.udp_failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure
            .as_ref()
            .filter(|failure| failure.generation == present.generation && Instant::now() < failure.until)
            .map(|failure| failure.error.clone())
    }

    /// Whether a datagram may be sent to this address.
    ///
    /// # Errors
    /// [`DialError::Prohibited`].
    pub(crate) fn permit_udp(&self, to: SocketAddr) -> Result<(), DialError> {
        let allow_smtp = self.present.load().spec.allow_smtp;
        permitted(self.environment.policy.judge(to, allow_smtp))
    }

    /// Whether a datagram from this source may be handed to the customer.
    pub(crate) fn accepts_reply_from(&self, source: SocketAddr) -> bool {
        // Which port it comes from does not matter, so mail's is as good as any.
        self.environment.policy.judge(source, true) == Verdict::Allowed
    }

    /// Resolves and judges a datagram's destination; the first allowed address of a family that the exit has. An upstream
    /// gets addresses only, as for TCP, and IPv4 where there is a choice: fewer proxies know IPv6.
    pub(crate) async fn resolve_udp(self: &Arc<Self>, destination: &Destination) -> Result<SocketAddr, DialError> {
        let present = self.present.load_full();
        let mut candidates = self.candidates(&present, destination).await?;
        if upstream::of(&present.spec.way).is_some() {
            candidates.sort_by_key(SocketAddr::is_ipv6);
        }
        candidates.first().copied().ok_or(DialError::NetworkUnreachable)
    }

    /// A socket of the exit's own for datagrams to addresses of the family of `towards`.
    pub(crate) fn udp(self: &Arc<Self>, towards: IpAddr) -> Result<UdpEgress, DialError> {
        let present = self.present.load_full();
        if self.open.is_cancelled() {
            return Err(unavailable("it has been taken out of service"));
        }
        let descriptors = self.room(1)?;
        match present.choice.source.udp(towards, 0) {
            Ok(socket) => Ok(UdpEgress {
                socket,
                upstream: None,
                lease: present.lease.clone(),
                descriptors,
            }),
            Err(AttemptError::NetworkUnreachable) => Err(DialError::NetworkUnreachable),
            Err(error) => Err(self.failed_directly(&present, &[], error)),
        }
    }

    /// Has the upstream proxy open an association. A failure is remembered for a while.
    pub(crate) async fn udp_by_upstream(self: &Arc<Self>) -> Result<UdpEgress, DialError> {
        if let Some(refusal) = self.udp_refusal() {
            return Err(refusal);
        }
        let present = self.present.load_full();
        let outcome = self.associate(&present).await;
        let failure = outcome.as_ref().err().map(|error| UdpFailure {
            generation: present.generation,
            until: Instant::now() + if *error == DialError::NoUdp { BELIEVED } else { PAUSE },
            error: error.clone(),
        });
        *self.udp_failure.lock().unwrap_or_else(PoisonError::into_inner) = failure;
        outcome
    }

    async fn associate(self: &Arc<Self>, present: &Arc<Present>) -> Result<UdpEgress, DialError> {
        if self.open.is_cancelled() {
            return Err(unavailable("it has been taken out of service"));
        }
        let Some(proxy) = upstream::of(&present.spec.way) else {
            return Err(unavailable("it has changed just now"));
        };
        let descriptors = self.room(2)?;
        let opening = proxy.associate(&present.resolver, &self.environment.policy);
        let opened = tokio::time::timeout(self.patience(), opening)
            .await
            .unwrap_or_else(|_| Err(UpstreamError::BrokeOff("did not answer in time".to_owned())));
        match opened {
            Ok((socket, association)) => {
                // It rests for as long as the association lives, and would not notice that the proxy has vanished.
                let _ = listener::tune(&SockRef::from(&association.control), self.environment.bounds.peer);
                self.logged_in(present, &proxy);
                Ok(UdpEgress {
                    socket,
                    upstream: Some(association),
                    lease: present.lease.clone(),
                    descriptors,
                })
            }
            Err(UpstreamError::Destination(error)) => {
                tracing::info!(exit = %present.spec.name, "the upstream proxy carries no UDP");
                self.logged_in(present, &proxy);
                Err(error)
            }
            Err(error) => Err(self.failed_by_proxy(present, error)),
        }
    }

    /// The proxy has taken our login, which says nothing of the destinations behind it.
    fn logged_in(&self, present: &Present, proxy: &upstream::Proxy<'_>) {
        if self.health.down_cause().is_some_and(|cause| proxy.login_proves(cause)) {
            self.health_good(present.generation);
        }
    }

    fn room(&self, count: usize) -> Result<Permit, DialError> {
        let room = self.environment.descriptors.take(count);
        room.ok_or_else(|| unavailable(AT_LIMIT))
    }
}
