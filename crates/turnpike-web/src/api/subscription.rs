//! A subscription as every answer shows it.

use serde::Serialize;
use turnpike_shop::subscription::Subscription;
use turnpike_shop::types::ConnectionType;
use utoipa::ToSchema;

use super::limits::{Limits, Usage};
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
    /// What client programs load its port from, by themselves and again and again. As secret as the credentials.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "https://shop.example/sub/sj97b2f6m1k4n8p3r5t7v9x0z…")]
    subscription_url: Option<String>,
    limits: Limits,
    usage: Usage,
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

impl SubscriptionItem {
    /// `public_url` is where customers reach this server.
    pub(super) fn of(subscription: Subscription, public_url: &str) -> Self {
        let label = label(&subscription);
        Self {
            protocols: Protocols::of(&subscription, &label),
            // An answer remembered by a version that had no such URLs is given again as it was.
            subscription_url: Some(subscription.url_token.as_str())
                .filter(|token| !token.is_empty())
                .map(|token| subscription_url(public_url, token)),
            label,
            network_label: network_label(&subscription.network_code, &subscription.city),
            usage: Usage::of(&subscription.usage, &subscription.limits),
            limits: subscription.limits.into(),
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

    /// Its JSON up to the value of `usage`, which is its last member.
    ///
    /// # Errors
    /// It has no such member, or one that cannot be written; neither is so.
    pub(super) fn until_usage(&self) -> Result<String, serde_json::Error> {
        const LAST: &str = "\"usage\":";
        let mut text = serde_json::to_string(self)?;
        let at = text.rfind(LAST).ok_or_else(|| unlike("usage"))?;
        text.truncate(at + LAST.len());
        Ok(text)
    }
}

/// The failure of writing what has another shape.
pub(super) fn unlike(member: &str) -> serde_json::Error {
    serde::ser::Error::custom(format!("{member} is not where it should be"))
}

/// `12001 - NL - Private`, by which people know a subscription.
pub(crate) fn label(subscription: &Subscription) -> String {
    let connection = match subscription.connection_type {
        ConnectionType::Private => "Private",
        ConnectionType::Shared => "Shared",
    };
    format!("{} - {} - {connection}", subscription.port, subscription.country)
}

/// The whole URL of a token.
pub(crate) fn subscription_url(public_url: &str, token: &str) -> String {
    format!("{public_url}/sub/{token}")
}

/// `NL-AMS Amsterdam`.
pub(crate) fn network_label(code: &str, city: &str) -> String {
    format!("{code} {city}")
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use serde_json::json;
    use turnpike_shop::limits;
    use turnpike_shop::types::{RotationPolicy, SubscriptionId, SubscriptionState, UnixMillis};

    use super::*;

    pub(crate) fn sample() -> Subscription {
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
            url_token: "sj97b2f6m1k4n8p3r5t7v9x0z".to_owned(),
            can_rotate: true,
            limits: limits::Limits {
                max_connections: Some(10),
                traffic_bytes: Some(1_000),
                ..limits::Limits::default()
            },
            usage: limits::Usage {
                bytes_up: 100,
                bytes_down: 50,
                before: 0,
            },
            revision: 1,
        }
    }

    #[test]
    fn it_looks_as_the_contract_shows_it() {
        assert_eq!(
            serde_json::to_value(SubscriptionItem::of(sample(), "https://shop.example")).unwrap(),
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
                "rotate": {"rotatePath": "/r/abcd1234", "available": true},
                "subscriptionUrl": "https://shop.example/sub/sj97b2f6m1k4n8p3r5t7v9x0z",
                "limits": {
                    "maxConnections": 10, "maxSourceAddresses": null, "mbitPerSecond": null, "trafficBytes": 1_000
                },
                "usage": {"trafficBytes": 150, "trafficLeftBytes": 850}
            })
        );
    }

    #[test]
    fn what_it_has_used_comes_last() {
        let text = SubscriptionItem::of(sample(), "https://shop.example")
            .until_usage()
            .unwrap();
        let whole: serde_json::Value = serde_json::from_str(&format!("{text}null}}")).unwrap();
        let mut expected = serde_json::to_value(SubscriptionItem::of(sample(), "https://shop.example")).unwrap();
        expected["usage"] = serde_json::Value::Null;
        assert_eq!(whole, expected);
    }

    #[test]
    fn an_answer_remembered_from_before_there_were_urls_has_none() {
        let mut remembered = serde_json::to_value(sample()).unwrap();
        remembered.as_object_mut().unwrap().remove("url_token");
        let remembered: Subscription = serde_json::from_value(remembered).unwrap();
        let item = serde_json::to_value(SubscriptionItem::of(remembered, "https://shop.example")).unwrap();
        assert_eq!(item.get("subscriptionUrl"), None);
    }
}
