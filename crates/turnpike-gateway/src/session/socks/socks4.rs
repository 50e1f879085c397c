//! SOCKS4 and 4a: one request, which brings the credentials with it.

use turnpike_wire::socks4::{self, GRANTED, REJECTED, Refused, WRONG_USER};

use super::{Handshake, Unconnected, Unread};
use crate::refusals::Reason;
use crate::session::{Client, Context};

/// Serves a connection whose first bytes are SOCKS4, until it ends or has become a tunnel.
pub(in crate::session) async fn serve_socks4(context: Context, client: Client) {
    let mut handshake = Handshake::new(context, client);
    let request = match handshake.next(socks4::request).await {
        Ok(request) => request,
        Err(Unread::Refused(refused)) => {
            let reason = match refused {
                Refused::Command => Reason::Command,
                Refused::Malformed => Reason::Malformed,
            };
            return handshake.refuse(reason, &REJECTED).await;
        }
        Err(Unread::Gone) => return,
    };
    if let Some(customer) = handshake.log_in(request.credentials(), &WRONG_USER).await {
        customer.connect(&request.destination, answer).await;
    }
}

/// There is one word for everything that goes wrong.
fn answer(connected: Result<(), Unconnected<'_>>) -> [u8; 8] {
    match connected {
        Ok(()) => GRANTED,
        Err(_) => REJECTED,
    }
}
