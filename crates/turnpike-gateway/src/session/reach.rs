//! Where a client's stream leads: out to its destination, or to what it carries inside.
//!
//! Every protocol asks here, answers in its own words, and hands the stream over.

use turnpike_wire::address::Destination;
use turnpike_wire::magic::Magic;

use super::datagrams::{self, Framing};
use super::peer::Peer;
use super::{Context, mux};
use crate::exit::{DialError, Dialed, Opening};
use crate::relay::{self, Answer};

/// What a destination has turned out to be.
pub(super) enum Reached {
    /// Somebody out there, who has answered.
    Outside(Dialed),
    /// Many streams and datagrams in one.
    Mux,
    /// Datagrams only.
    Datagrams(Framing),
    /// The same behind a request (UDP over TCP, version 2).
    DatagramsOnRequest,
}

impl Context {
    /// Dials a destination, unless its name says that the stream stays here.
    pub(super) async fn reach(&self, destination: &Destination, opening: Opening) -> Result<Reached, DialError> {
        match Magic::of(&destination.host) {
            Some(Magic::Mux) => Ok(Reached::Mux),
            Some(Magic::UdpOverTcp) => self.datagrams_may_leave().map(|()| Reached::DatagramsOnRequest),
            Some(Magic::UdpOverTcpV1) => self
                .datagrams_may_leave()
                .map(|()| Reached::Datagrams(Framing::UdpOverTcp)),
            // Asked for as a stream that one means nothing: it is a name that does not leave.
            Some(Magic::PacketAddr) | None => {
                let dialed = self.route.exit.dial(destination, opening).await?;
                Ok(Reached::Outside(dialed))
            }
        }
    }

    /// The same for a stream that was asked for as one of datagrams.
    pub(super) async fn reach_datagrams(&self, destination: &Destination) -> Result<Reached, DialError> {
        self.datagrams_may_leave()?;
        let framing = match Magic::of(&destination.host) {
            Some(Magic::PacketAddr) => Framing::PacketAddr,
            _ => Framing::towards(self, destination).await?,
        };
        Ok(Reached::Datagrams(framing))
    }

    /// As far as is known without asking an upstream proxy.
    fn datagrams_may_leave(&self) -> Result<(), DialError> {
        self.route.exit.udp_refusal().map_or(Ok(()), Err)
    }
}

impl Reached {
    /// Serves the stream in a task of its own, `answer` first: it returns at once.
    pub(super) fn begin(self, context: &Context, client: impl Into<Peer>, answer: Answer<'_>) {
        let client = client.into();
        match self {
            Self::Outside(dialed) => {
                let Peer { stream, pending } = client;
                relay::tunnel(context, stream, pending.freeze(), answer, dialed);
            }
            Self::Mux => mux::serve(context, client, answer.bytes()),
            Self::Datagrams(framing) => datagrams::serve(context, client, answer.bytes(), framing),
            Self::DatagramsOnRequest => datagrams::serve_request(context, client, answer.bytes()),
        }
    }
}
