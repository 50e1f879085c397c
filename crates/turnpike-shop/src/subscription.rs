//! Subscriptions as their owners see them.
#![allow(unused_variables)]

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::shop::Shop;
use crate::types::{AccountId, ConnectionType, RotationPolicy, SubscriptionId, SubscriptionState, UnixMillis};

/// Everything that an owner is shown of a subscription. It holds secrets: never log it.
#[derive(Clone, Serialize, Deserialize)]
pub struct Subscription {
    /// Its id.
    pub id: SubscriptionId,
    /// Where it stands.
    pub state: SubscriptionState,
    /// When it ends.
    pub ends_at: UnixMillis,
    /// The owner's note; empty where there is none.
    pub user_note: String,
    /// How often it rotates by itself.
    pub rotation_policy: RotationPolicy,
    /// Whole exit or slot.
    pub connection_type: ConnectionType,
    /// `NL-AMS`.
    pub network_code: String,
    /// `Amsterdam`.
    pub city: String,
    /// `NL`.
    pub country: String,
    /// The host in its URLs.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Which gateway serves it.
    pub gateway: String,
    /// User name of HTTP and SOCKS.
    pub username: String,
    /// Password of HTTP, SOCKS and Shadowsocks.
    pub password: String,
    /// VLESS id.
    pub vpn: uuid::Uuid,
    /// The secret part of its rotate link.
    pub rotate_token: String,
    /// Whether its exit can rotate and nobody shares it.
    pub can_rotate: bool,
    /// The newest route revision that carries it; the gateway has it when it has applied this one.
    pub revision: i64,
}

/// A part of an account's list.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// At most so many rows; absent: all.
    pub limit: Option<i64>,
    /// Rows after this one.
    pub after: Option<SubscriptionId>,
}

/// An account's subscriptions that hold a port (active, and ended ones within their grace period), oldest first, and
/// whether there are more.
///
/// # Errors
/// Only the database's.
pub async fn subscriptions(shop: &Shop, account: &AccountId, page: Page) -> Result<(Vec<Subscription>, bool)> {
    unimplemented!("S2")
}
