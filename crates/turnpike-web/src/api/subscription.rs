//! A subscription as every answer shows it.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use turnpike_shop::subscription::Subscription;
use turnpike_shop::types::ConnectionType;
use utoipa::ToSchema;

use super::wire;

/// What may stand in a URL's user name and password as it is (RFC 3986 §2.3).
const NOT_UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Everything an owner sees of a subscription.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SubscriptionItem {
    #[schema(schema_with = wire::id_schema)]
    subscription_id: String,
    #[schema(schema_with = status_schema)]
    status: &'static str,
    /// When it ends, in Unix milliseconds.
    active_until: i64,
    user_note: String,
    /// Minutes between rotations; 0 for never.
    #[schema(schema_with = wire::rotation_policy_schema)]
    rotation_policy: i64,
    /// Port, country and connection type.
    #[schema(example = "12001 - NL - Private")]
    label: String,
    #[schema(example = "NL-AMS Amsterdam")]
    network_label: String,
    credentials: Credentials,
    protocols: Protocols,
    rotate: Rotate,
}

/// What the proxy port asks for.
#[derive(Serialize, ToSchema)]
pub(crate) struct Credentials {
    username: String,
    password: String,
}

/// The subscription's port as URLs.
#[derive(Serialize, ToSchema)]
pub(crate) struct Protocols {
    http: String,
    socks5: String,
}

/// How to rotate.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Rotate {
    /// GET or POST it to rotate now.
    rotate_path: String,
    /// Whether that and a rotation policy can be used.
    available: bool,
}

fn status_schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
    // One whose port has been released is no longer shown.
    wire::words_schema(["active", "expired"])
}

impl From<Subscription> for SubscriptionItem {
    fn from(subscription: Subscription) -> Self {
        let protocols = Protocols {
            http: proxy_url("http", &subscription),
            socks5: proxy_url("socks5", &subscription),
        };
        let connection = match subscription.connection_type {
            ConnectionType::Private => "Private",
            ConnectionType::Shared => "Shared",
        };
        Self {
            label: format!("{} - {} - {connection}", subscription.port, subscription.country),
            network_label: network_label(&subscription.network_code, &subscription.city),
            subscription_id: subscription.id.into(),
            status: subscription.state.as_str(),
            active_until: subscription.ends_at.0,
            user_note: subscription.user_note,
            rotation_policy: subscription.rotation_policy.minutes(),
            credentials: Credentials {
                username: subscription.username,
                password: subscription.password,
            },
            protocols,
            rotate: Rotate {
                rotate_path: format!("/r/{}", subscription.rotate_token),
                available: subscription.can_rotate,
            },
        }
    }
}

/// `NL-AMS Amsterdam`.
pub(super) fn network_label(code: &str, city: &str) -> String {
    format!("{code} {city}")
}

fn proxy_url(scheme: &str, subscription: &Subscription) -> String {
    let username = utf8_percent_encode(&subscription.username, NOT_UNRESERVED);
    let password = utf8_percent_encode(&subscription.password, NOT_UNRESERVED);
    let host = &subscription.host;
    let is_bare_ipv6 = host.contains(':') && !host.starts_with('[');
    let (open, close) = if is_bare_ipv6 { ("[", "]") } else { ("", "") };
    format!(
        "{scheme}://{username}:{password}@{open}{host}{close}:{}",
        subscription.port
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use serde_json::json;
    use turnpike_shop::types::{RotationPolicy, SubscriptionId, SubscriptionState, UnixMillis};

    use super::*;

    fn sample() -> Subscription {
        Subscription {
            id: SubscriptionId::try_from("j97b2f6m1k4n8p3r5t7v9x0z".to_owned()).unwrap(),
            state: SubscriptionState::Active,
            ends_at: UnixMillis(1_762_592_000_000),
            user_note: "Client A".to_owned(),
            rotation_policy: RotationPolicy::try_from(10).unwrap(),
            connection_type: ConnectionType::Private,
            network_code: "NL-AMS".to_owned(),
            city: "Amsterdam".to_owned(),
            country: "NL".to_owned(),
            host: "proxy.example.com".to_owned(),
            port: 12_001,
            gateway: "gw1".to_owned(),
            username: "u_6k8s9d".to_owned(),
            password: "p_2n4m6q".to_owned(),
            vpn: uuid::Uuid::nil(),
            rotate_token: "abcd1234".to_owned(),
            can_rotate: true,
            revision: 1,
        }
    }

    #[test]
    fn it_looks_as_the_contract_shows_it() {
        assert_eq!(
            serde_json::to_value(SubscriptionItem::from(sample())).unwrap(),
            json!({
                "subscriptionId": "j97b2f6m1k4n8p3r5t7v9x0z",
                "status": "active",
                "activeUntil": 1_762_592_000_000_i64,
                "userNote": "Client A",
                "rotationPolicy": 10,
                "label": "12001 - NL - Private",
                "networkLabel": "NL-AMS Amsterdam",
                "credentials": {"username": "u_6k8s9d", "password": "p_2n4m6q"},
                "protocols": {
                    "http": "http://u_6k8s9d:p_2n4m6q@proxy.example.com:12001",
                    "socks5": "socks5://u_6k8s9d:p_2n4m6q@proxy.example.com:12001"
                },
                "rotate": {"rotatePath": "/r/abcd1234", "available": true}
            })
        );
    }

    #[test]
    fn credentials_and_hosts_are_fit_for_a_url() {
        let odd = Subscription {
            password: "a/b+c=d@e:f".to_owned(),
            host: "2001:db8::1".to_owned(),
            ..sample()
        };
        assert_eq!(
            proxy_url("http", &odd),
            "http://u_6k8s9d:a%2Fb%2Bc%3Dd%40e%3Af@[2001:db8::1]:12001"
        );
    }
}
