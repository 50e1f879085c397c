//! A request's head, read and judged: what the session needs of it, and nothing that borrows its bytes.

use turnpike_wire::address::Destination;
use turnpike_wire::http::{
    Body, Credentials, Fields, RequestHead, Target, Version, basic_credentials, request_body, request_for_origin,
};

use super::answer::Answer;

pub(super) struct Request {
    pub(super) version: Version,
    pub(super) is_head: bool,
    pub(super) keeps_alive: bool,
    pub(super) expects_continue: bool,
    pub(super) credentials: Option<Credentials>,
    pub(super) body: Body,
    pub(super) asked: Asked,
}

pub(super) enum Asked {
    Tunnel(Destination),
    Exchange(Exchange),
}

/// One request for an origin.
pub(super) struct Exchange {
    pub(super) destination: Destination,
    pub(super) method: Box<str>,
    /// Whether it asks to become a WebSocket.
    pub(super) upgrade: bool,
    /// The head as the origin will see it.
    pub(super) head: Vec<u8>,
}

impl Request {
    /// Reads a whole head. Refused is what cannot be told apart from an attack or cannot be asked of this proxy.
    pub(super) fn read(raw: &[u8]) -> Result<Self, Answer> {
        let head = RequestHead::parse(raw)?;
        let (body, asked) = match Target::parse(&head)? {
            // A length on CONNECT means nothing (RFC 9110 §9.3.6): all that follows is the tunnel's.
            Target::Tunnel(destination) => (Body::Empty, Asked::Tunnel(destination)),
            Target::Forward(target) => {
                let body = match request_body(&head)? {
                    Body::Length(0) => Body::Empty,
                    body => body,
                };
                let upgrade = body == Body::Empty && head.upgrades_to_websocket();
                let onward = request_for_origin(&head, &target, upgrade);
                let method = head.method.into();
                let exchange = Exchange {
                    destination: target.destination,
                    method,
                    upgrade,
                    head: onward,
                };
                (body, Asked::Exchange(exchange))
            }
        };
        Ok(Self {
            version: head.version,
            is_head: head.method == "HEAD",
            keeps_alive: head.keeps_alive(),
            expects_continue: head.expects_continue(),
            credentials: credentials(&head.fields),
            body,
            asked,
        })
    }
}

impl Exchange {
    /// Whether sending it twice does what sending it once does (RFC 9110 §9.2.2).
    pub(super) fn is_idempotent(&self) -> bool {
        matches!(&*self.method, "GET" | "HEAD" | "OPTIONS" | "PUT" | "DELETE")
    }
}

/// Two fields of credentials are none: which of them would count?
fn credentials(fields: &Fields<'_>) -> Option<Credentials> {
    let mut values = fields.values("proxy-authorization");
    match (values.next(), values.next()) {
        (Some(value), None) => basic_credentials(value),
        _ => None,
    }
}
