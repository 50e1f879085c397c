//! SOCKS5: greeting, login, request.

use std::net::SocketAddr;

use turnpike_wire::socks5::{self, Refused, Reply, Request};

use super::{Handshake, LoggedIn, Unassociated, Unconnected, Unread};
use crate::exit::DialError;
use crate::refusals::Reason;
use crate::session::{Client, Context};

/// Serves a connection whose first bytes are SOCKS5, until it ends or has become a tunnel.
pub(in crate::session) async fn serve_socks5(context: Context, client: Client) {
    let Some(mut customer) = enter(Handshake::new(context, client)).await else {
        return;
    };
    match customer.next(socks5::request).await {
        Ok(Request::Connect(destination)) => customer.connect(&destination, answer).await,
        Ok(Request::UdpAssociate { port }) => customer.associate(port, answer_with_address).await,
        Err(Unread::Refused(refused)) => {
            let reason = match refused {
                Refused::Command => Reason::Command,
                Refused::Malformed | Refused::Address => Reason::Malformed,
            };
            customer.refuse(reason, &socks5::reply(reply_to(refused), None)).await;
        }
        Err(Unread::Gone) => {}
    }
}

/// By password where the client can, since what that opens outlives the address's permission.
async fn enter(mut handshake: Handshake) -> Option<LoggedIn> {
    match handshake.next(socks5::greeting).await {
        Ok(greeting) if greeting.offers_password => {
            handshake.answer(&socks5::CHOOSE_PASSWORD);
            return log_in(handshake).await;
        }
        Ok(greeting) if greeting.offers_nothing => {
            let mut customer = handshake.log_in(None, &socks5::NONE_ACCEPTABLE).await?;
            customer.answer(&socks5::CHOOSE_NOTHING);
            return Some(customer);
        }
        Ok(_) | Err(Unread::Refused(_)) => handshake.refuse(Reason::NoLoginOffered, &socks5::NONE_ACCEPTABLE).await,
        Err(Unread::Gone) => {}
    }
    None
}

async fn log_in(mut handshake: Handshake) -> Option<LoggedIn> {
    match handshake.next(socks5::login).await {
        Ok(login) => {
            let said = Some((&*login.username, &*login.password));
            let mut customer = handshake.log_in(said, &socks5::LOGIN_BAD).await?;
            customer.answer(&socks5::LOGIN_GOOD);
            return Some(customer);
        }
        Err(Unread::Refused(_)) => handshake.refuse(Reason::Malformed, &socks5::LOGIN_BAD).await,
        Err(Unread::Gone) => {}
    }
    None
}

/// The exit's own address is not told: behind a modem it is of no use, and nobody else's business.
fn answer(connected: Result<(), Unconnected<'_>>) -> Vec<u8> {
    let reply = match connected {
        Ok(()) => Reply::Succeeded,
        Err(Unconnected::Denied) => Reply::NotAllowed,
        Err(Unconnected::Dial(error)) => reply_of(error),
    };
    socks5::reply(reply, None)
}

/// Here the address is of use: it is where the client's datagrams go.
fn answer_with_address(bound: Result<SocketAddr, Unassociated>) -> Vec<u8> {
    match bound {
        Ok(bound) => socks5::reply(Reply::Succeeded, Some(bound)),
        Err(Unassociated::Exit(error)) => socks5::reply(reply_of(&error), None),
        Err(Unassociated::Denied | Unassociated::TooMany) => socks5::reply(Reply::NotAllowed, None),
    }
}

/// The outcomes of dials in this protocol's words.
fn reply_of(error: &DialError) -> Reply {
    match error {
        DialError::Prohibited(_) => Reply::NotAllowed,
        DialError::NoSuchName(_) | DialError::NameTimeout(_) | DialError::HostUnreachable => Reply::HostUnreachable,
        DialError::Refused => Reply::ConnectionRefused,
        DialError::NetworkUnreachable => Reply::NetworkUnreachable,
        DialError::TimedOut => Reply::TtlExpired,
        DialError::ExitUnavailable { .. } => Reply::GeneralFailure,
        DialError::NoUdp => Reply::CommandNotSupported,
    }
}

fn reply_to(refused: Refused) -> Reply {
    match refused {
        Refused::Malformed => Reply::GeneralFailure,
        Refused::Command => Reply::CommandNotSupported,
        Refused::Address => Reply::AddressTypeNotSupported,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_in_which_a_dial_fails_has_its_reply() {
        let name = || "h.example".to_owned();
        let down = DialError::ExitUnavailable {
            reason: "it is rotating".to_owned(),
            retry_after: std::time::Duration::ZERO,
        };
        for (error, code) in [
            (DialError::Prohibited("no".to_owned()), 0x02),
            (DialError::NoSuchName(name()), 0x04),
            (DialError::NameTimeout(name()), 0x04),
            (DialError::Refused, 0x05),
            (DialError::NetworkUnreachable, 0x03),
            (DialError::HostUnreachable, 0x04),
            (DialError::TimedOut, 0x06),
            (down, 0x01),
            (DialError::NoUdp, 0x07),
        ] {
            assert_eq!(
                answer(Err(Unconnected::Dial(&error))),
                [5, code, 0, 1, 0, 0, 0, 0, 0, 0],
                "{error}"
            );
        }
        assert_eq!(answer(Ok(())), [5, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    }
}
