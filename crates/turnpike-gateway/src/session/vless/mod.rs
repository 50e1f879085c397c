//! VLESS sessions: a head, and then the stream as it is. There are no errors in this protocol: what cannot be served ends
//! without a byte.

mod datagrams;

use bytes::Buf as _;
use tokio::time::timeout_at;
use turnpike_wire::Parse;
use turnpike_wire::vless::{self, Request};

use super::peer::Peer;
use super::{Client, Context};
use crate::relay;

/// Serves a connection whose head has this subscription's id, until it ends or has become a tunnel.
pub(super) async fn serve(context: Context, mut client: Client) {
    let Some(request) = read_head(&context, &mut client).await else {
        return context.fall_silent(client.stream).await;
    };
    context.visitor().prove();
    match request {
        Request::Tcp(destination) => match context.route.exit.dial(&destination).await {
            Ok(dialed) => relay::tunnel(
                &context,
                client.stream,
                client.buffer.freeze(),
                &vless::RESPONSE,
                dialed,
            ),
            Err(error) => {
                context.dial_failed(&error);
                Peer::from(client).finish().await;
            }
        },
        Request::Udp(destination) => datagrams::serve(context, client, destination).await,
        Request::Mux => {
            context.refused("request");
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
            Parse::Refuse(_) => {
                context.refused("request");
                return None;
            }
            Parse::Need(_) => {}
        }
        match timeout_at(client.deadline, client.read()).await {
            Ok(Ok(1..)) => {}
            _ => return None,
        }
    }
}
