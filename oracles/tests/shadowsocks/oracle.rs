//! The other library, told what a link tells.

use std::net::SocketAddr;

use proptest::prelude::*;
use proptest::string::string_regex;
use shadowsocks::config::{ServerConfig, ServerType};
use shadowsocks::context::{Context, SharedContext};
use shadowsocks::crypto::CipherKind;
use shadowsocks::relay::Address;
use turnpike_wire::address::{Destination, Host};
use turnpike_wire::shadowsocks::Method;

/// Their client's context.
pub(crate) fn context() -> SharedContext {
    Context::new_shared(ServerType::Local)
}

/// What a client is told of a subscription's port: the server, the method by its name, and the password as links write it.
pub(crate) fn configuration(method: Method, server: SocketAddr, password: &str) -> ServerConfig {
    let password = match method {
        Method::Aes128Gcm2022 => format!("{password}=="),
        _ => password.to_owned(),
    };
    let kind: CipherKind = method.name().parse().expect("they know the method by this name");
    ServerConfig::new(server, password, kind).expect("they take the password")
}

/// A password as subscriptions have it.
pub(crate) fn password() -> impl Strategy<Value = String> {
    string_regex("[A-Za-z0-9]{21}[AQgw]").unwrap()
}

/// A method.
pub(crate) fn method() -> impl Strategy<Value = Method> {
    proptest::sample::select(&Method::ALL)
}

/// Where to, as their client takes it; names of 1 to 255 bytes, in which a dot may stand anywhere.
pub(crate) fn address() -> impl Strategy<Value = Address> {
    let name = prop_oneof![
        2 => string_regex("[a-zA-Z0-9_-]{1,63}(\\.[a-zA-Z0-9_-]{1,62}){0,3}").unwrap(),
        1 => string_regex("[a-zA-Z0-9.-]{1,255}").unwrap(),
        1 => (1_usize..=255).prop_map(|length| "a.".repeat(128)[..length].to_owned()),
    ];
    prop_oneof![
        (any::<[u8; 4]>(), any::<u16>()).prop_map(|(ip, port)| Address::SocketAddress((ip, port).into())),
        (any::<[u8; 16]>(), any::<u16>()).prop_map(|(ip, port)| Address::SocketAddress((ip, port).into())),
        (name, any::<u16>())
            .prop_filter("no longer than its length byte can say", |(name, _)| name.len() <= 255)
            .prop_map(|(name, port)| Address::DomainNameAddress(name, port)),
    ]
}

/// What the gateway has to make of it; absent where it is to be refused.
pub(crate) fn expected(address: &Address) -> Option<Destination> {
    let (host, port) = match address {
        Address::SocketAddress(address) => (Host::Ip(address.ip().to_canonical()), address.port()),
        Address::DomainNameAddress(name, port) => (Host::from_field(name.as_bytes())?, *port),
    };
    (port != 0).then_some(Destination { host, port })
}
