//! Proxy credentials: one password for HTTP, SOCKS5 and Shadowsocks, one VLESS id; shown again, so sealed at rest.
#![allow(unused_variables)]

use crate::error::Result;
use crate::shop::Shop;
use crate::types::{AccountId, SubscriptionId};

/// A subscription's new credentials. It holds secrets: never log it.
#[derive(Clone)]
pub struct Changed {
    /// The new password.
    pub password: String,
    /// The new VLESS id.
    pub vpn: uuid::Uuid,
    /// The gateway that serves the subscription.
    pub gateway: String,
    /// The route revision that carries them.
    pub revision: i64,
}

/// Makes the password and the VLESS id anew; the user name stays. Tunnels opened with the old ones end within a second.
///
/// # Errors
/// [`crate::Refusal::SubscriptionNotFound`], [`crate::Refusal::SubscriptionEnded`].
pub async fn change_credentials(shop: &Shop, account: &AccountId, subscription: &SubscriptionId) -> Result<Changed> {
    unimplemented!("S2")
}
