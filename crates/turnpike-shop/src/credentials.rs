//! Proxy credentials: one password for HTTP, SOCKS5 and Shadowsocks, one VLESS id; shown again, so sealed at rest.

use rand::RngExt as _;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Refusal, Result};
use crate::routes;
use crate::secrets::MasterKey;
use crate::shop::Shop;
use crate::store::{Tx, Value};
use crate::subscription;
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
    let (owned, account, id) = (shop.clone(), account.clone(), subscription.clone());
    shop.store
        .transaction(move |tx| {
            let (shop, account, id) = (owned.clone(), account.clone(), id.clone());
            Box::pin(async move { change(&shop, tx, &account, &id).await })
        })
        .await
}

async fn change(shop: &Shop, tx: &mut Tx, account: &AccountId, id: &SubscriptionId) -> Result<Changed> {
    let held = subscription::lock(tx, account, id).await?;
    if !held.is_running(shop.now()) {
        return Err(Refusal::SubscriptionEnded.into());
    }
    let fresh = Credentials::random();
    tx.execute(
        "UPDATE subscription SET sealed_credentials = $1 WHERE id = $2",
        &[
            Value::Bytes(fresh.seal(&shop.master_key, id)?),
            Value::Text(id.to_string()),
        ],
    )
    .await?;
    routes::publish(tx, std::slice::from_ref(id)).await?;
    Ok(Changed {
        password: fresh.password,
        vpn: fresh.vpn,
        revision: routes::revision_of(tx, id).await?,
        gateway: held.gateway,
    })
}

/// What a subscription's protocols ask for, besides the user name. It holds secrets: never log it.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Credentials {
    /// Of HTTP, SOCKS and Shadowsocks.
    pub(crate) password: String,
    /// VLESS id.
    pub(crate) vpn: uuid::Uuid,
}

impl Credentials {
    /// New ones that nobody can guess.
    pub(crate) fn random() -> Self {
        Self {
            password: random_password(),
            vpn: uuid::Uuid::new_v4(),
        }
    }

    /// As they are stored: sealed, and bound to their subscription's row.
    pub(crate) fn seal(&self, key: &MasterKey, subscription: &SubscriptionId) -> Result<Vec<u8>> {
        let plain = serde_json::to_vec(self).map_err(|error| Error::Failed(format!("writing credentials: {error}")))?;
        key.seal(&associated(subscription), &plain)
    }

    /// The inverse of [`Credentials::seal`].
    pub(crate) fn open(key: &MasterKey, subscription: &SubscriptionId, sealed: &[u8]) -> Result<Self> {
        let plain = key.open(&associated(subscription), sealed)?;
        serde_json::from_slice(&plain)
            .map_err(|error| Error::Failed(format!("reading the credentials of {subscription}: {error}")))
    }
}

fn associated(subscription: &SubscriptionId) -> String {
    format!("credentials of subscription {subscription}")
}

/// 22 characters that, with `==` behind them, are the canonical base64 of 16 bytes: a Shadowsocks 2022 key as well as a
/// password. The last character carries only two bits, hence its short alphabet; 127 bits in all.
fn random_password() -> String {
    const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    const LAST: &[u8; 4] = b"AQgw";
    let mut rng = rand::rng();
    let mut draw = |from: &[u8]| char::from(from[rng.random_range(0..from.len())]);
    let mut password: String = (0..21).map(|_| draw(ALPHABET)).collect();
    password.push(draw(LAST));
    password
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test's broken assumption should stop it")]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    #[test]
    fn a_password_is_also_a_canonical_key_of_16_bytes() {
        for _ in 0..1_000 {
            let password = random_password();
            assert_eq!(password.len(), 22);
            assert!(password.bytes().all(|byte| byte.is_ascii_alphanumeric()));
            let key = STANDARD.decode(format!("{password}==")).unwrap();
            assert_eq!(key.len(), 16);
            assert_eq!(STANDARD.encode(key), format!("{password}=="));
        }
    }

    #[test]
    fn no_two_passwords_are_alike() {
        let drawn: std::collections::HashSet<String> = (0..10_000).map(|_| random_password()).collect();
        assert_eq!(drawn.len(), 10_000);
    }
}
