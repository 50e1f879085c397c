//! Shadowsocks sessions: a request that opens, and then chunks. Nothing is ever answered to what is not served: a prober is to
//! learn neither that this is Shadowsocks nor how many bytes were looked at.

use std::sync::Arc;

use bytes::BytesMut;
use tokio::time::timeout_at;
use turnpike_wire::address::Destination;
use turnpike_wire::shadowsocks::stream::{Handshake, Opener, Sealer, Step};
use turnpike_wire::shadowsocks::{Method, Refused, Salt};

use super::peer::Peer;
use super::{Client, Context};
use crate::exit::Opening;
use crate::refusals::Reason;
use crate::relay::Answer;
use crate::sealed::Sealed;
use crate::stream::{Seal, Shadowsocks};

/// A request, and what belongs to the stream behind it.
struct Asked {
    salt: Salt,
    destination: Destination,
    opener: Opener,
    /// The first of the customer's text.
    payload: BytesMut,
    /// What has arrived beyond the request, still sealed.
    rest: Vec<u8>,
}

/// Serves a connection whose beginning has opened by `method`, until it ends or has become a tunnel.
pub(super) async fn serve(context: Context, mut client: Client, sealed: Arc<Sealed>, method: Method) {
    let Some(asked) = read_request(&context, &mut client, &sealed, method).await else {
        return context.fall_silent(client.stream).await;
    };
    context.visitor().prove();
    if context.admit().is_err() {
        return Peer::from(client).finish().await;
    }
    let reached = match context.reach(&asked.destination, Opening::of(&asked.payload)).await {
        Ok(reached) => reached,
        Err(error) => {
            context.dial_failed(&error);
            return Peer::from(client).finish().await;
        }
    };
    let sealer = sealed
        .draw(method)
        .and_then(|own| Sealer::new(&sealed.keys, method, own, asked.salt));
    let Some(sealer) = sealer else { return };
    let seal = Shadowsocks::new(context.complaints(), asked.opener, sealer, asked.rest);
    let client = Peer {
        stream: client.stream.sealed(Seal::Shadowsocks(seal)),
        pending: asked.payload,
    };
    reached.begin(&context, client, Answer::Now(&[]));
}

/// Absent where it is none of ours, or does not come in time.
async fn read_request(context: &Context, client: &mut Client, sealed: &Sealed, method: Method) -> Option<Asked> {
    let salt = Salt::of(method, &client.buffer)?;
    let mut handshake = Handshake::new(&sealed.keys, method, &salt)?;
    let mut at = method.salt_length();
    loop {
        let step = match handshake.advance(&mut client.buffer[at..]) {
            Ok(step) => step,
            Err(refused) => {
                context.refused(match refused {
                    Refused::Sealed => Reason::BrokenSeal,
                    Refused::Malformed | Refused::Address => Reason::Malformed,
                });
                return None;
            }
        };
        match step {
            Step::Used(used) => at += used,
            Step::Proven { used, time } => {
                at += used;
                let now = context.shared.clock.seconds();
                if let Err(stale) = sealed.judge(method, &salt, time, now, context.shared.started) {
                    context.refused(stale.into());
                    return None;
                }
            }
            Step::Done {
                destination,
                used,
                payload,
            } => {
                let payload = BytesMut::from(&client.buffer[at + payload.start..at + payload.end]);
                return Some(Asked {
                    salt,
                    destination,
                    opener: handshake.into_opener(),
                    payload,
                    rest: client.buffer.split_off(at + used).to_vec(),
                });
            }
            Step::Need(_) => match timeout_at(client.deadline, client.read()).await {
                Ok(Ok(1..)) => {}
                _ => {
                    context.refused(Reason::CutShort);
                    return None;
                }
            },
        }
    }
}
