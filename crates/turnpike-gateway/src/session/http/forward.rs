//! Requests passed on: which connection they take to their origin, and what is said where that fails.

use bytes::{Bytes, BytesMut};
use socket2::SockRef;
use tokio_util::sync::CancellationToken;
use turnpike_wire::address::Destination;
use turnpike_wire::http::Body;

use super::Session;
use super::answer::Answer;
use super::exchange::{self, Cause, Outcome};
use super::request::{Exchange, Request};
use crate::exit::{DialError, Dialed, Opening};
use crate::listener;
use crate::relay;
use crate::session::peer::{self, Peer};

/// A connection to an origin.
pub(super) struct Origin {
    pub(super) peer: Peer,
    /// Cancelled when the exit gives the connection up.
    pub(super) lease: CancellationToken,
    destination: Destination,
    /// The exit's generation when it was dialled: a rotation makes it another address's.
    generation: u64,
    /// Whether it has carried an exchange before.
    is_used: bool,
}

impl Origin {
    /// Waits until an idle connection is of no use any more.
    pub(super) async fn lost(idle: Option<&Self>) {
        match idle {
            Some(origin) => tokio::select! {
                () = origin.lease.cancelled() => {}
                () = peer::ended_or_spoke(&origin.peer.stream) => {}
            },
            None => std::future::pending().await,
        }
    }

    /// Whether an idle connection can carry a request to `destination`, as far as can be seen without sending it.
    fn serves(&self, destination: &Destination, generation: u64) -> bool {
        self.peer.stream.is_quiet()
            && self.destination == *destination
            && self.generation == generation
            && !self.lease.is_cancelled()
    }
}

impl Session {
    /// Passes one request on and its answer back.
    pub(super) async fn forward(mut self, request: &Request, exchange: &Exchange) -> Option<Self> {
        let generation = self.context.route.exit.generation();
        let mut used = self
            .kept
            .take()
            .filter(|kept| kept.serves(&exchange.destination, generation));
        loop {
            let mut origin = match used.take() {
                Some(origin) => origin,
                None => match self.dial(&exchange.destination).await {
                    Ok(origin) => origin,
                    Err(error) => {
                        self.context.dial_failed(&error);
                        return self.give_up(&Answer::from(error), request).await;
                    }
                },
            };
            match exchange::run(&self.context, &mut self.client, &mut origin, request, exchange).await {
                Outcome::Answered {
                    client_stays,
                    origin_stays,
                } => {
                    self.kept = origin_stays.then(|| Origin {
                        is_used: true,
                        ..origin
                    });
                    return if client_stays { Some(self) } else { self.close().await };
                }
                Outcome::Switched(head) => return self.become_tunnel(&head, origin),
                // The origin closed its idle connection just when the request left: it has not seen it.
                Outcome::Unanswered(Cause::Closed)
                    if origin.is_used && request.body == Body::Empty && exchange.is_idempotent() => {}
                Outcome::Unanswered(cause) => {
                    drop(origin);
                    return self.give_up(&Answer::from(cause), request).await;
                }
                Outcome::BrokenOff => return None,
            }
        }
    }

    async fn dial(&self, destination: &Destination) -> Result<Origin, DialError> {
        let exit = &self.context.route.exit;
        let generation = exit.generation();
        let Dialed { stream, early, lease } = exit.dial(destination, Opening::Ready).await?;
        // It may carry many exchanges, and long ones. Without this it works all the same.
        let _ = listener::tune(&SockRef::from(stream.socket()), self.context.config.peer_timeout);
        Ok(Origin {
            peer: Peer {
                stream,
                pending: BytesMut::from(early),
            },
            lease,
            destination: destination.clone(),
            generation,
            is_used: false,
        })
    }

    /// Answers a request that has none of its origin. Behind a body that nobody has read, the connection is over.
    async fn give_up(self, answer: &Answer, request: &Request) -> Option<Self> {
        self.say(answer, request, request.body == Body::Empty).await
    }

    /// Only a 101 makes a tunnel: what the client sent ahead goes to the origin now and not before.
    fn become_tunnel(self, head: &[u8], origin: Origin) -> Option<Self> {
        self.context.route.meter.add_down(head.len() as u64);
        let Peer { stream, pending } = self.client;
        let dialed = Dialed {
            stream: origin.peer.stream,
            early: Bytes::from(origin.peer.pending),
            lease: origin.lease,
        };
        relay::tunnel(
            &self.context,
            stream,
            pending.freeze(),
            relay::Answer::Now(head),
            dialed,
        );
        None
    }
}

impl From<Cause> for Answer {
    fn from(cause: Cause) -> Self {
        match cause {
            Cause::Closed | Cause::ClosedMidway => Self::NO_ANSWER,
            Cause::Malformed => Self::BROKEN_ANSWER,
            Cause::TooLong => Self::LONG_ANSWER,
            Cause::Unframed => Self::UNFRAMED_ANSWER,
            Cause::TimedOut => Self::LATE_ANSWER,
            Cause::RequestBody => Self::BROKEN_BODY,
        }
    }
}
