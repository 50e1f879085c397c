//! Clients whose port leads to one destination through one protocol: each way that datagrams can take through a port.

use std::net::SocketAddr;

use testbed::turnpike::Subscription;

use crate::{libev, sing_box, v2ray};
use testbed::Running;

/// A client by one protocol.
pub(crate) struct Lane {
    /// Both, for a failure's words.
    pub(crate) name: &'static str,
    start: fn(SocketAddr, &Subscription) -> Option<Running>,
}

impl Lane {
    /// Starts the client with a port that leads to `to`; absent where this machine has none, and that has been said.
    pub(crate) fn to(&self, to: SocketAddr, bought: &Subscription) -> Option<Running> {
        let client = (self.start)(to, bought)?;
        client.takes_datagrams();
        Some(client)
    }
}

macro_rules! lane {
    ($name:literal, $start:expr) => {
        Lane {
            name: $name,
            start: $start,
        }
    };
}

/// sing-box.
pub(crate) const SING_BOX: &[Lane] = &[
    lane!("sing-box by SOCKS5", |to, bought| {
        sing_box::leading_to(to, &sing_box::socks(bought))
    }),
    lane!("sing-box by VLESS, a stream for each socket", |to, bought| {
        sing_box::leading_to(to, &sing_box::vless(bought, ""))
    }),
    lane!("sing-box by VLESS with XUDP", |to, bought| {
        sing_box::leading_to(to, &sing_box::vless(bought, "xudp"))
    }),
    lane!("sing-box by VLESS with packetaddr", |to, bought| {
        sing_box::leading_to(to, &sing_box::vless(bought, "packetaddr"))
    }),
    // Not in Shadowsocks 2022, where sing-box loses an answer that is too quick for it.
    lane!("sing-box by UDP over TCP 1 in aes-256-gcm", |to, bought| {
        let outbound = sing_box::older_shadowsocks(bought, "aes-256-gcm");
        sing_box::leading_to(to, &sing_box::udp_over_tcp(outbound, 1))
    }),
    lane!("sing-box by UDP over TCP 2 in aes-256-gcm", |to, bought| {
        let outbound = sing_box::older_shadowsocks(bought, "aes-256-gcm");
        sing_box::leading_to(to, &sing_box::udp_over_tcp(outbound, 2))
    }),
    lane!("sing-box by Shadowsocks 2022", |to, bought| {
        sing_box::leading_to(to, &sing_box::shadowsocks(bought))
    }),
    lane!("sing-box by chacha20-ietf-poly1305", |to, bought| {
        sing_box::leading_to(to, &sing_box::older_shadowsocks(bought, "chacha20-ietf-poly1305"))
    }),
    lane!("sing-box by aes-256-gcm", |to, bought| {
        sing_box::leading_to(to, &sing_box::older_shadowsocks(bought, "aes-256-gcm"))
    }),
    lane!("sing-box by aes-128-gcm", |to, bought| {
        sing_box::leading_to(to, &sing_box::older_shadowsocks(bought, "aes-128-gcm"))
    }),
];

/// v2ray.
pub(crate) const V2RAY: &[Lane] = &[
    lane!("v2ray by SOCKS5", |to, bought| v2ray::leading_to(
        to,
        &v2ray::socks(bought)
    )),
    lane!("v2ray by VLESS", |to, bought| v2ray::leading_to(
        to,
        &v2ray::vless(bought)
    )),
    lane!("v2ray by mux in VLESS", |to, bought| {
        v2ray::leading_to(to, &v2ray::multiplexed(v2ray::vless(bought)))
    }),
    lane!("v2ray by mux in Shadowsocks", |to, bought| {
        let outbound = v2ray::older_shadowsocks(bought, "aes-256-gcm");
        v2ray::leading_to(to, &v2ray::multiplexed(outbound))
    }),
    lane!("v2ray by chacha20-ietf-poly1305", |to, bought| {
        v2ray::leading_to(to, &v2ray::older_shadowsocks(bought, "chacha20-ietf-poly1305"))
    }),
    lane!("v2ray by aes-256-gcm", |to, bought| {
        v2ray::leading_to(to, &v2ray::older_shadowsocks(bought, "aes-256-gcm"))
    }),
    lane!("v2ray by aes-128-gcm", |to, bought| {
        v2ray::leading_to(to, &v2ray::older_shadowsocks(bought, "aes-128-gcm"))
    }),
];

/// ss-tunnel of shadowsocks-libev.
pub(crate) const SS_TUNNEL: &[Lane] = &[
    lane!("ss-tunnel by chacha20-ietf-poly1305", |to, bought| {
        libev::leading_to(to, bought, "chacha20-ietf-poly1305")
    }),
    lane!("ss-tunnel by aes-256-gcm", |to, bought| {
        libev::leading_to(to, bought, "aes-256-gcm")
    }),
    lane!("ss-tunnel by aes-128-gcm", |to, bought| {
        libev::leading_to(to, bought, "aes-128-gcm")
    }),
];
