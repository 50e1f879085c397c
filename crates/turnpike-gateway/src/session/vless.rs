//! VLESS sessions: a head, and then the stream as it is. There are no errors in this protocol: what cannot be served ends
//! without a byte.

use bytes::Buf as _;
use tokio::time::timeout_at;
use turnpike_wire::Parse;
use turnpike_wire::vless::{self, Request};

use super::peer::Peer;
use super::reach::Reached;
use super::{Client, Context};
use crate::exit::Opening;
use crate::refusals::Reason;
use crate::relay::Answer;

/// Serves a connection whose head has this subscription's id, until it ends or has become a tunnel.
pub(super) async fn serve(context: Context, mut client: Client) {
    let Some(request) = read_head(&context, &mut client).await else {
        return context.fall_silent(client.stream).await;
    };
    context.visitor().prove();
    if context.admit().is_err() {
        return Peer::from(client).finish().await;
    }
    let reached = match &request {
        Request::Tcp(destination) => context.reach(destination, Opening::of(&client.buffer)).await,
        Request::Udp(destination) => context.reach_datagrams(destination).await,
        Request::Mux => Ok(Reached::Mux),
    };
    match reached {
        Ok(reached) => reached.begin(&context, client, Answer::WithData(&vless::RESPONSE)),
        Err(error) => {
            context.dial_failed(&error);
            Peer::from(client).finish().await;
        }
    }
}

/// Absent where it is none, or does not come in time.
async fn read_head(context: &Context, client: &mut Client) -> Option<Request> {
    loop {
        match vless::request(&client.buffer) {
            Parse::Done(request, used) => {
                client.buffer.advance(used);
                return Some(request);
            }
            Parse::Refuse(refused) => {
                context.refused(refused.into());
                return None;
            }
            Parse::Need(_) => {}
        }
        match timeout_at(client.deadline, client.read()).await {
            Ok(Ok(1..)) => {}
            _ => {
                context.refused(Reason::CutShort);
                return None;
            }
        }
    }
}
