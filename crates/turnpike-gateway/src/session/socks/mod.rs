//! SOCKS sessions: SOCKS5 with a password (RFC 1928, RFC 1929), SOCKS4 and SOCKS4a. From the addresses that a subscription
//! allows, without one.
//!
//! Each step of a handshake is a function from one state to the next, and only a login makes a [`LoggedIn`]: there is
//! no way to a dial around it (sing-box went on after `05 FF`, CVE-2023-43644).

mod handshake;
mod socks4;
mod socks5;

use handshake::{Handshake, LoggedIn, Unassociated, Unconnected, Unread};
pub(super) use socks4::serve_socks4;
pub(super) use socks5::serve_socks5;
