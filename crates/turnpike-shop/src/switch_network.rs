//! Moving a subscription to another network.

use crate::attempt;
use crate::error::{Refusal, Result};
use crate::rotation;
use crate::routes;
use crate::shop::Shop;
use crate::slot::{self, Search, Slot};
use crate::store::{Tx, Value};
use crate::subscription::{self, Held, Subscription};
use crate::types::{AccountId, NetworkId, SubscriptionId, UnixMillis};

/// Takes a free slot of the same connection type in an active target network and frees the old one; port, credentials
/// and end time stay (the port number changes only where another gateway has it taken). An exit of the present gateway is
/// preferred. The rotation policy stays too, unless the new exit cannot rotate.
///
/// # Errors
/// [`crate::Refusal::SubscriptionNotFound`], [`crate::Refusal::UnknownNetwork`], [`crate::Refusal::SubscriptionEnded`],
/// [`crate::Refusal::SameNetwork`], [`crate::Refusal::NetworkInactive`], [`crate::Refusal::SoldOut`],
/// [`crate::Refusal::NoFreePort`].
pub async fn switch_network(
    shop: &Shop,
    account: &AccountId,
    subscription: &SubscriptionId,
    target: &NetworkId,
) -> Result<Subscription> {
    let (owned, account, id, target) = (shop.clone(), account.clone(), subscription.clone(), target.clone());
    attempt::settled(shop, move |tx| {
        let (shop, account, id, target) = (owned.clone(), account.clone(), id.clone(), target.clone());
        Box::pin(async move { switch(&shop, tx, &account, &id, &target).await })
    })
    .await
}

/// The whole rule. The order of its locks is told in [`crate::order`].
async fn switch(
    shop: &Shop,
    tx: &mut Tx,
    account: &AccountId,
    id: &SubscriptionId,
    target: &NetworkId,
) -> Result<Subscription> {
    let now = shop.now();
    let held = subscription::lock(tx, account, id).await?;
    let network = tx
        .optional(
            "SELECT active FROM network WHERE id = $1",
            &[Value::Text(target.to_string())],
        )
        .await?
        .ok_or(Refusal::UnknownNetwork)?;
    if !held.is_running(now) {
        return Err(Refusal::SubscriptionEnded.into());
    }
    if held.network == *target {
        return Err(Refusal::SameNetwork.into());
    }
    if network.int("active")? == 0 {
        return Err(Refusal::NetworkInactive.into());
    }
    let search = Search {
        network: target,
        connection_type: held.connection_type,
        home: Some(&held.gateway),
    };
    let found = slot::take(shop, tx, search, 0, 1, now).await?;
    slot::free(tx, id, now).await?;
    slot::give(tx, &found.slot, id).await?;
    let port = move_port(tx, &held, &found.slot, now).await?;
    tx.execute(
        "UPDATE subscription SET network_id = $1, exit_id = $2, gateway = $3, port = $4, held_since = $6 WHERE id = $5",
        &[
            Value::Text(target.to_string()),
            Value::Text(found.slot.exit.to_string()),
            Value::Text(found.slot.gateway.clone()),
            Value::Int(port),
            Value::Text(id.to_string()),
            Value::Int(now.0),
        ],
    )
    .await?;
    rotation::resume(tx, &held, found.slot.exit_can_rotate, now).await?;
    let mut changed = found.ended;
    changed.push(id.clone());
    routes::publish(tx, &changed).await?;
    subscription::one(shop, tx, id).await
}

/// The port at the new exit's gateway: the present one at the same gateway, the same number at another where it is free
/// there, else any.
async fn move_port(tx: &mut Tx, held: &Held, slot: &Slot, now: UnixMillis) -> Result<i64> {
    let present = i64::from(held.port);
    if slot.gateway == held.gateway {
        return Ok(present);
    }
    let port = slot::free_port(tx, &slot.gateway, Some(present)).await?;
    slot::release_port(tx, &held.id, now).await?;
    slot::give_port(tx, &slot.gateway, port, &held.id).await?;
    Ok(port)
}
