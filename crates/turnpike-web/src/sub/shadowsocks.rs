//! What Shadowsocks programs load: SIP008's list of servers, and Outline's key, which is one server.

use serde::Serialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use turnpike_shop::types::SubscriptionId;

use super::document::Document;
use super::format::unwritable;
use super::way::{self, AEAD_METHOD, Protocol};
use crate::api::protocols::bare_host;
use crate::error::ApiError;

/// SIP008, version 1.
#[derive(Serialize)]
struct Servers<'a> {
    version: u8,
    servers: Vec<Server<'a>>,
    /// Both directions.
    bytes_used: i64,
}

#[derive(Serialize)]
struct Server<'a> {
    id: uuid::Uuid,
    remarks: &'a str,
    server: &'a str,
    server_port: u16,
    password: &'a str,
    method: &'static str,
}

/// By the 2022 method, or by the one before it where that is asked for.
pub(super) fn sip008(document: &Document<'_>, protocol: Option<Protocol>) -> Result<String, ApiError> {
    let protocol = match protocol {
        None | Some(Protocol::Shadowsocks) => Protocol::Shadowsocks,
        Some(Protocol::ShadowsocksAead) => Protocol::ShadowsocksAead,
        Some(_) => return Err(Protocol::refused(&[Protocol::Shadowsocks, Protocol::ShadowsocksAead])),
    };
    let ways = way::into_all(document, Some(protocol))?;
    let keys: Vec<_> = ways.iter().filter_map(way::Way::shadowsocks).collect();
    let servers = ways.iter().zip(&keys).map(|(way, (method, password))| Server {
        id: server_id(&way.subscription.id),
        remarks: &way.name,
        server: bare_host(way.subscription),
        server_port: way.subscription.port,
        password,
        method,
    });
    let list = Servers {
        version: 1,
        servers: servers.collect(),
        bytes_used: document
            .profile
            .traffic
            .up
            .saturating_add(document.profile.traffic.down),
    };
    serde_json::to_string_pretty(&list).map_err(|error| unwritable("a SIP008 document", error))
}

/// An id that clients know the server by: of the form that they want, the same each time, and no secret.
fn server_id(subscription: &SubscriptionId) -> uuid::Uuid {
    let hash = Sha256::digest(subscription.as_str());
    uuid::Builder::from_custom_bytes(std::array::from_fn(|index| hash[index])).into_uuid()
}

/// A dynamic access key: the first server, by the one method that Outline's clients and every port have in common; or the
/// sentence that they show.
pub(super) fn outline(document: &Document<'_>, protocol: Option<Protocol>) -> Result<String, ApiError> {
    if protocol.is_some_and(|asked| asked != Protocol::ShadowsocksAead) {
        return Err(Protocol::refused(&[Protocol::ShadowsocksAead]));
    }
    let key = match (document.ports.first(), document.notice()) {
        (Some(port), _) => json!({
            "server": bare_host(port.subscription), "server_port": port.subscription.port,
            "password": port.subscription.password, "method": AEAD_METHOD,
        }),
        (None, notice) => json!({"error": {"message": notice, "details": document.shop_url}}),
    };
    serde_json::to_string_pretty(&key).map_err(|error| unwritable("an access key", error))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use serde_json::Value;

    use super::super::document::tests::{of_account, two, written};
    use super::*;

    fn parsed(text: Result<String, ApiError>) -> Value {
        serde_json::from_str(&text.unwrap()).unwrap()
    }

    #[test]
    fn servers_are_listed_by_the_method_that_is_asked_for() {
        let profile = of_account(two());
        let list = written(&profile, |document| parsed(sip008(document, None)));
        assert_eq!(list["version"], 1);
        assert_eq!(list["bytes_used"], 43);
        assert_eq!(
            list["servers"][0],
            json!({
                "id": "d97eadf0-1088-85fa-9c77-7b9dee671a78", "remarks": "12001 - NL - Private", "server": "proxy.example.com",
                "server_port": 12_001, "password": "p_2n4m6q==", "method": "2022-blake3-aes-128-gcm",
            })
        );
        assert_eq!(list["servers"][1]["server"], "2001:db8::1");
        let older = written(&profile, |document| {
            parsed(sip008(document, Some(Protocol::ShadowsocksAead)))
        });
        assert_eq!(
            (&older["servers"][0]["method"], &older["servers"][0]["password"]),
            (&json!("chacha20-ietf-poly1305"), &json!("p_2n4m6q"))
        );
        written(&profile, |document| {
            assert!(sip008(document, Some(Protocol::Vless)).is_err());
        });
        let none = written(&of_account(Vec::new()), |document| parsed(sip008(document, None)));
        assert_eq!(none["servers"], json!([]));
    }

    #[test]
    fn outline_gets_one_server_or_a_sentence() {
        let key = written(&of_account(two()), |document| parsed(outline(document, None)));
        assert_eq!(
            key,
            json!({
                "server": "proxy.example.com", "server_port": 12_001, "password": "p_2n4m6q",
                "method": "chacha20-ietf-poly1305",
            })
        );
        let over = written(&of_account(Vec::new()), |document| parsed(outline(document, None)));
        assert_eq!(over["error"]["message"], "Ended: renew at shop.example");
        written(&of_account(two()), |document| {
            assert!(outline(document, Some(Protocol::Shadowsocks)).is_err());
        });
    }
}
