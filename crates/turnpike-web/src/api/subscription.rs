//! A subscription as every answer shows it.

use serde::Serialize;
use turnpike_shop::subscription::Subscription;
use turnpike_shop::types::ConnectionType;
use utoipa::ToSchema;

use super::protocols::Protocols;
use super::wire;

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
        let connection = match subscription.connection_type {
            ConnectionType::Private => "Private",
            ConnectionType::Shared => "Shared",
        };
        let label = format!("{} - {} - {connection}", subscription.port, subscription.country);
        Self {
            protocols: Protocols::of(&subscription, &label),
            label,
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

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use serde_json::json;
    use turnpike_shop::types::{RotationPolicy, SubscriptionId, SubscriptionState, UnixMillis};

    use super::*;

    pub(in crate::api) fn sample() -> Subscription {
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
            tls: None,
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
                    "socks5": "socks5://u_6k8s9d:p_2n4m6q@proxy.example.com:12001",
                    "vless": "vless://00000000-0000-0000-0000-000000000000@proxy.example.com:12001?encryption=none\
                              &security=none&type=tcp&headerType=none&packetEncoding=xudp#12001%20-%20NL%20-%20Private",
                    "shadowsocks": "ss://2022-blake3-aes-128-gcm:p_2n4m6q%3D%3D@proxy.example.com:12001\
                                    #12001%20-%20NL%20-%20Private"
                },
                "rotate": {"rotatePath": "/r/abcd1234", "available": true}
            })
        );
    }
}
