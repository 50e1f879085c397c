//! What the handshakes of all versions do: read a message, gather answers, refuse.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Buf as _;
use tokio::time::{Instant, timeout, timeout_at};
use turnpike_wire::Parse;
use turnpike_wire::address::Destination;

use crate::exit::{DialError, Opening};
use crate::refusals::Reason;
use crate::relay::Answer;
use crate::session::peer::Peer;
use crate::session::{Client, Context, Login};

/// A client that has not logged in.
pub(super) struct Handshake {
    context: Context,
    client: Peer,
    /// When the whole handshake must have arrived.
    deadline: Instant,
    /// Answers that are due. A client that has sent its next message already does not wait for them one by one, so
    /// they go out together, at the latest when there is something to wait for.
    answers: Vec<u8>,
}

/// Why there is no tunnel.
pub(super) enum Unconnected<'e> {
    /// The subscription's limits do not allow it.
    Denied,
    /// The dial came to nothing.
    Dial(&'e DialError),
}

/// Why there is no association.
pub(super) enum Unassociated {
    /// The subscription's limits do not allow it.
    Denied,
    /// The exit does not get out with datagrams.
    Exit(DialError),
    /// The subscription has as many as it may.
    TooMany,
}

/// Why there is no next message.
pub(super) enum Unread<R> {
    /// It is none, or it cannot be served.
    Refused(R),
    /// The client has gone, or has not sent it in time.
    Gone,
}

impl Handshake {
    pub(super) fn new(context: Context, client: Client) -> Self {
        Self {
            context,
            deadline: client.deadline,
            client: client.into(),
            answers: Vec::new(),
        }
    }

    /// The next message, as `parse` reads it. What is behind it stays for the next step.
    pub(super) async fn next<T, R>(&mut self, parse: impl Fn(&[u8]) -> Parse<T, R>) -> Result<T, Unread<R>> {
        loop {
            match parse(&self.client.pending) {
                Parse::Done(message, used) => {
                    self.client.pending.advance(used);
                    return Ok(message);
                }
                Parse::Refuse(refused) => return Err(Unread::Refused(refused)),
                Parse::Need(_) => {}
            }
            let more = async {
                self.client.write(&self.answers).await?;
                self.answers.clear();
                self.client.read_more().await
            };
            match timeout_at(self.deadline, more).await {
                Ok(Ok(1..)) => {}
                _ => {
                    self.context.refused(Reason::CutShort);
                    return Err(Unread::Gone);
                }
            }
        }
    }

    pub(super) fn answer(&mut self, answer: &[u8]) {
        self.answers.extend_from_slice(answer);
    }

    /// Judges a user name and a password, or that there are none. Absent where that does not do: then `bad` has been
    /// answered, or nothing at all.
    pub(super) async fn log_in(mut self, said: Option<(&[u8], &[u8])>, bad: &[u8]) -> Option<LoggedIn> {
        match self.context.login(said) {
            Login::Good => return Some(LoggedIn(self)),
            Login::Bad => self.end(bad).await,
            Login::Silent => self.context.fall_silent(self.client.stream).await,
        }
        None
    }

    /// Refuses what is not even a try to log in.
    pub(super) async fn refuse(self, reason: Reason, answer: &[u8]) {
        self.context.refused(reason);
        if self.context.config.stealth {
            self.context.fall_silent(self.client.stream).await;
        } else {
            self.end(answer).await;
        }
    }

    /// Says the last words and closes. What the client still sends is not looked at.
    async fn end(mut self, answer: &[u8]) {
        self.answer(answer);
        let sent = timeout(self.context.config.handshake_timeout, self.client.write(&self.answers)).await;
        if matches!(sent, Ok(Ok(()))) {
            self.client.finish().await;
        }
    }
}

/// A client that is the customer.
pub(super) struct LoggedIn(Handshake);

impl LoggedIn {
    pub(super) async fn next<T, R>(&mut self, parse: impl Fn(&[u8]) -> Parse<T, R>) -> Result<T, Unread<R>> {
        self.0.next(parse).await
    }

    pub(super) fn answer(&mut self, answer: &[u8]) {
        self.0.answer(answer);
    }

    /// Dials first and answers after, so that a client learns what became of it; then the connection is a tunnel.
    pub(super) async fn connect<A: AsRef<[u8]>>(
        mut self,
        destination: &Destination,
        answer: impl Fn(Result<(), Unconnected<'_>>) -> A,
    ) {
        if self.0.context.admit().is_err() {
            return self.0.end(answer(Err(Unconnected::Denied)).as_ref()).await;
        }
        match self
            .0
            .context
            .reach(destination, Opening::of(&self.0.client.pending))
            .await
        {
            Ok(reached) => {
                self.answer(answer(Ok(())).as_ref());
                let Handshake {
                    context,
                    client,
                    answers,
                    ..
                } = self.0;
                reached.begin(&context, client, Answer::Now(&answers));
            }
            Err(error) => {
                self.0.context.dial_failed(&error);
                self.0.end(answer(Err(Unconnected::Dial(&error))).as_ref()).await;
            }
        }
    }

    /// Opens an association for datagrams: `answer` says to which address they are to be sent, or why not. It lives as
    /// long as the connection does, on which nothing more is said.
    pub(super) async fn associate(
        self,
        declared_port: Option<u16>,
        answer: impl Fn(Result<SocketAddr, Unassociated>) -> Vec<u8>,
    ) {
        let context = &self.0.context;
        if context.admit().is_err() {
            return self.0.end(&answer(Err(Unassociated::Denied))).await;
        }
        if !context.shared.config.udp {
            context.dial_failed(&DialError::NoUdp);
            return self.0.end(&answer(Err(Unassociated::Exit(DialError::NoUdp)))).await;
        }
        let peer = context.peer.ip();
        let association = context
            .udp
            .associate(&context.shared, &context.route, context.caller(), declared_port);
        let Some(association) = association else {
            return self
                .refuse(Reason::TooManyAssociations, &answer(Err(Unassociated::TooMany)))
                .await;
        };
        if let Err(error) = association.open_way().await {
            context.dial_failed(&error);
            return self.0.end(&answer(Err(Unassociated::Exit(error)))).await;
        }
        let Ok(local) = self.0.client.stream.local_addr() else {
            return;
        };
        let local = SocketAddr::new(local.ip(), context.port);
        let bound = context.shared.bound_address.towards(peer, local).await;
        let Handshake {
            context,
            client,
            deadline,
            mut answers,
        } = self.0;
        answers.extend(answer(Ok(bound)));
        if !matches!(timeout_at(deadline, client.write(&answers)).await, Ok(Ok(()))) {
            return;
        }
        // In a task of its own, so that nothing of the handshake stays in memory.
        let Peer { stream, .. } = client;
        let shared = Arc::clone(&context.shared);
        shared.spawn(async move {
            tokio::select! {
                biased;
                () = association.ended() => {}
                () = context.closing.cancelled() => {}
                () = context.discard(&stream) => {}
            }
        });
    }

    /// Refuses a request that cannot be served.
    pub(super) async fn refuse(self, reason: Reason, answer: &[u8]) {
        self.0.context.refused(reason);
        self.0.end(answer).await;
    }
}
