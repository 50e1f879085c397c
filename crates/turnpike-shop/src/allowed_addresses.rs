//! From where a subscription's port asks no password for HTTP and SOCKS.

use crate::address_list::AddressList;
use crate::error::{Error, Refusal, Result};
use crate::routes;
use crate::shop::Shop;
use crate::store::{Row, Tx, Value};
use crate::subscription;
use crate::types::{AccountId, SubscriptionId};

/// A list that has been set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// The list as it stands.
    pub addresses: AddressList,
    /// The gateway that serves the subscription.
    pub gateway: String,
    /// The route revision that carries the list.
    pub revision: i64,
}

/// Sets the list; an empty one asks everybody for the password. Setting what is set already changes nothing. What clients of an
/// address have opened without a password ends when the address leaves the list.
///
/// # Errors
/// [`Refusal::SubscriptionNotFound`], [`Refusal::SubscriptionEnded`].
pub async fn set_allowed_addresses(
    shop: &Shop,
    account: &AccountId,
    subscription: &SubscriptionId,
    addresses: AddressList,
) -> Result<Set> {
    let (owned, account, id) = (shop.clone(), account.clone(), subscription.clone());
    shop.store
        .transaction(move |tx| {
            let (shop, account, id, addresses) = (owned.clone(), account.clone(), id.clone(), addresses.clone());
            Box::pin(async move { set(&shop, tx, &account, &id, addresses).await })
        })
        .await
}

async fn set(
    shop: &Shop,
    tx: &mut Tx,
    account: &AccountId,
    id: &SubscriptionId,
    addresses: AddressList,
) -> Result<Set> {
    let held = subscription::lock(tx, account, id).await?;
    if !held.is_running(shop.now()) {
        return Err(Refusal::SubscriptionEnded.into());
    }
    let changed = tx
        .execute(
            "UPDATE subscription SET allowed_addresses = $1 WHERE id = $2 AND allowed_addresses <> $1",
            &[Value::Text(addresses.stored()), Value::Text(id.to_string())],
        )
        .await?;
    if changed > 0 {
        routes::publish(tx, std::slice::from_ref(id)).await?;
    }
    Ok(Set {
        addresses,
        gateway: held.gateway,
        revision: routes::revision_of(tx, id).await?,
    })
}

/// The list.
///
/// # Errors
/// [`Refusal::SubscriptionNotFound`].
pub async fn allowed_addresses(shop: &Shop, account: &AccountId, subscription: &SubscriptionId) -> Result<AddressList> {
    let asked = [Value::Text(subscription.to_string()), Value::Text(account.to_string())];
    shop.store
        .read(move |tx| {
            let asked = asked.clone();
            Box::pin(async move {
                let row = tx
                    .optional(
                        "SELECT allowed_addresses FROM subscription WHERE id = $1 AND account_id = $2",
                        &asked,
                    )
                    .await?
                    .ok_or(Refusal::SubscriptionNotFound)?;
                of_row(&row)
            })
        })
        .await
}

/// The list in a row of a subscription, or of a link.
pub(crate) fn of_row(row: &Row) -> Result<AddressList> {
    let stored = row.text("allowed_addresses")?;
    AddressList::read(&stored).ok_or_else(|| Error::Failed(format!("a list of addresses is \"{stored}\"")))
}
