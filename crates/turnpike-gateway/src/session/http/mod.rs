//! HTTP proxy sessions (RFC 9110, RFC 9112): tunnels by CONNECT, and requests passed on one by one.
//!
//! A connection is not logged in: every request brings its credentials. Requests are answered in their order; what a
//! client sends ahead waits. Between two requests nothing is held but the sockets. An origin's connection is used again
//! only by the client connection that opened it, so that no customer can ever see another's answer.

mod answer;
mod body;
mod exchange;
mod forward;
mod request;
#[cfg(test)]
mod tests;

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use turnpike_wire::Parse;
use turnpike_wire::address::Destination;
use turnpike_wire::http::{Body, HeadEnd};

use super::peer::{self, Peer};
use super::{Client, Context, Login};
use crate::exit::Opening;
use crate::refusals::Reason;
use crate::relay;
use answer::Answer;
use forward::Origin;
use request::{Asked, Request};

/// How long a client may think between two requests.
const IDLE_BETWEEN_REQUESTS: Duration = Duration::from_secs(60);

/// So many requests without good credentials are answered on one connection; the last answer closes it.
const LOGIN_TRIES: u32 = 3;

/// The longest body that is read and forgotten in order to keep a connection behind a 407.
const MAX_DISCARDED_BODY: u64 = 64 * 1024;

const TUNNEL_IS_OPEN: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

/// Serves a connection whose first bytes are HTTP, until it ends or has become a tunnel.
pub(crate) async fn serve(context: Context, client: Client) {
    let mut session = Session {
        context,
        deadline: Some(client.deadline),
        client: client.into(),
        kept: None,
        failed_logins: 0,
    };
    while let Some(head) = session.next_head().await {
        let next = match head {
            // On the heap: what an exchange needs is large, and a connection that rests should not be.
            Ok(head) => Box::pin(session.handle(head)).await,
            Err(refusal) => Box::pin(session.refuse(refusal)).await,
        };
        match next {
            Some(going_on) => session = going_on,
            None => return,
        }
    }
}

/// A client's connection. Steps that may end it take it and give it back where it goes on.
struct Session {
    context: Context,
    client: Peer,
    /// The origin's connection of the exchange before.
    kept: Option<Origin>,
    failed_logins: u32,
    /// When the head that is being read must be complete; absent while none has begun.
    deadline: Option<Instant>,
}

impl Session {
    /// The next request's head; absent where the client has nothing more to ask.
    async fn next_head(&mut self) -> Option<Result<Bytes, Answer>> {
        let mut end = match self.deadline {
            Some(_) => HeadEnd::first(),
            None => HeadEnd::later(),
        };
        loop {
            match end.find(&self.client.pending) {
                Parse::Done(start, end) => {
                    self.deadline = None;
                    let head = self.client.pending.split_to(end).freeze();
                    peer::release_if_empty(&mut self.client.pending);
                    return Some(Ok(head.slice(start..)));
                }
                Parse::Refuse(error) => return Some(Err(Answer::from(error))),
                Parse::Need(_) => {}
            }
            if self.client.pending.is_empty() {
                self.wait_for_a_request().await?;
                continue;
            }
            let handshake = self.context.config.handshake_timeout;
            let deadline = *self.deadline.get_or_insert_with(|| Instant::now() + handshake);
            match tokio::time::timeout_at(deadline, self.client.read_more()).await {
                Ok(Ok(1..)) => {}
                _ if self.client.pending.trim_ascii().is_empty() => return None,
                Ok(_) => {
                    self.context.refused(Reason::CutShort);
                    return None;
                }
                Err(_) => return Some(Err(Answer::TOO_SLOW)),
            }
        }
    }

    /// Waits for the first bytes of the next request, holding no buffer. Absent where none will come.
    async fn wait_for_a_request(&mut self) -> Option<()> {
        let idle = tokio::time::sleep(IDLE_BETWEEN_REQUESTS);
        tokio::pin!(idle);
        loop {
            let origin_is_lost = Origin::lost(self.kept.as_ref());
            tokio::select! {
                read = self.client.read_more() => return matches!(read, Ok(1..)).then_some(()),
                // A rotation or the origin itself has ended it: the next request dials anew.
                () = origin_is_lost => {}
                () = self.context.closing.cancelled() => return None,
                () = &mut idle => return None,
            }
            self.kept = None;
        }
    }

    async fn handle(mut self, head: Bytes) -> Option<Self> {
        let request = match Request::read(&head) {
            Ok(request) => request,
            Err(refusal) => return self.refuse(refusal).await,
        };
        // An exchange may last for hours; the room that its head was read into need not.
        drop(head);
        let said = request.credentials.as_ref();
        match self.context.login(said.map(|said| (said.username(), said.password()))) {
            Login::Good => {}
            Login::Bad => return self.challenge(&request).await,
            Login::Silent => return self.fall_silent().await,
        }
        if let Err(denied) = self.context.admit() {
            return self.say(&Answer::from(denied), &request, false).await;
        }
        match request.asked {
            Asked::Tunnel(ref destination) => self.connect(&request, destination).await,
            Asked::Exchange(ref exchange) => self.forward(&request, exchange).await,
        }
    }

    /// CONNECT: dials first and answers after, so that a client learns what became of it.
    async fn connect(self, request: &Request, destination: &Destination) -> Option<Self> {
        match self.context.reach(destination, Opening::of(&self.client.pending)).await {
            Ok(reached) => {
                reached.begin(&self.context, self.client, relay::Answer::Now(TUNNEL_IS_OPEN));
                None
            }
            Err(error) => {
                self.context.dial_failed(&error);
                // What the client may have sent ahead is a tunnel's data, not a request: this connection is over.
                self.say(&Answer::from(error), request, false).await
            }
        }
    }

    /// 407. Browsers and runtimes wait for it and try again on the same connection.
    async fn challenge(mut self, request: &Request) -> Option<Self> {
        self.failed_logins += 1;
        let stays = self.failed_logins < LOGIN_TRIES && request.keeps_alive && self.discard_body(request).await;
        self.say(&Answer::LOGIN_REQUIRED, request, stays).await
    }

    /// Reads a refused request's body, so that the next request begins behind it. Says whether that was possible.
    async fn discard_body(&mut self, request: &Request) -> bool {
        if request.body == Body::Empty {
            return true;
        }
        // A client that waits for 100 Continue might not send the body at all.
        if request.expects_continue {
            return false;
        }
        let discard = body::discard(&mut self.client, request.body, MAX_DISCARDED_BODY);
        let timeout = self.context.config.handshake_timeout;
        matches!(tokio::time::timeout(timeout, discard).await, Ok(true))
    }

    /// Refuses what is no request at all, and closes: what follows cannot be told from the middle of something.
    async fn refuse(self, refusal: Answer) -> Option<Self> {
        self.context.refused(refusal.as_reason());
        if self.context.config.stealth {
            return self.fall_silent().await;
        }
        self.send(refusal.bytes(false, true), false).await
    }

    /// Answers a request in the proxy's own name.
    async fn say(self, answer: &Answer, request: &Request, stays: bool) -> Option<Self> {
        let stays = stays && request.keeps_alive && !self.context.closing.is_cancelled();
        let bytes = answer.bytes(stays, !request.is_head);
        self.send(bytes, stays).await
    }

    async fn send(self, bytes: Vec<u8>, stays: bool) -> Option<Self> {
        let sent = tokio::time::timeout(self.context.config.handshake_timeout, self.client.write(&bytes)).await;
        match sent {
            Ok(Ok(())) if stays => Some(self),
            Ok(Ok(())) => self.close().await,
            _ => None,
        }
    }

    async fn close(self) -> Option<Self> {
        drop(self.kept);
        self.client.finish().await;
        None
    }

    async fn fall_silent(self) -> Option<Self> {
        drop(self.kept);
        self.context.fall_silent(self.client.stream).await;
        None
    }
}
