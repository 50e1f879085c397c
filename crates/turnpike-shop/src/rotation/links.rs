//! A subscription's links: its own, which it always has, and named ones for others, each to be renewed or revoked without the
//! rest noticing.
//!
//! The own link's id is the subscription's, so that a list has one kind of row and [`renew_link`] one way to name any of them.

use std::net::IpAddr;

use super::link::{named_token, own_token, token_hash};
use crate::address_list::AddressList;
use crate::allowed_addresses;
use crate::error::{Error, Refusal, Result};
use crate::shop::Shop;
use crate::store::{Row, Tx, Value};
use crate::subscription::{self, Held};
use crate::types::{AccountId, LinkId, LinkKind, SubscriptionId, SubscriptionState, UnixMillis};

/// Named links of one subscription.
pub const MOST_LINKS: i64 = 20;

/// Revoked links of one subscription that are remembered, so that whoever did not get the answer may revoke again.
const REVOKED_KEPT: i64 = 20;

/// The own link's name, which no other may have.
const OWN_NAME: &str = "main";

/// A link. It holds a secret: never log it.
#[derive(Clone, PartialEq, Eq)]
pub struct Link {
    /// Its id; the own link's is the subscription's.
    pub id: LinkId,
    /// Its name; the own link's is `main`.
    pub name: String,
    /// What it does.
    pub kind: LinkKind,
    /// The secret part of its address.
    pub token: String,
    /// From where it works; empty for everywhere.
    pub allowed: AddressList,
    /// When it was made.
    pub created_at: UnixMillis,
}

/// What a new link should be.
#[derive(Debug, Clone)]
pub struct NewLink {
    /// Its name.
    pub name: LinkName,
    /// What it does.
    pub kind: LinkKind,
    /// From where it works; empty for everywhere.
    pub allowed: AddressList,
}

/// 1 to 64 printable characters, without blanks around them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkName(String);

/// No name for a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it must be a text of 1 to 64 printable characters")]
pub struct NotAName;

impl TryFrom<String> for LinkName {
    type Error = NotAName;

    fn try_from(text: String) -> Result<Self, NotAName> {
        let name = text.trim();
        let is_fit = (1..=64).contains(&name.chars().count()) && !name.contains(char::is_control);
        is_fit.then(|| Self(name.to_owned())).ok_or(NotAName)
    }
}

/// A subscription's links, its own first, then the others by age.
///
/// # Errors
/// [`Refusal::SubscriptionNotFound`].
pub async fn links(shop: &Shop, account: &AccountId, subscription: &SubscriptionId) -> Result<Vec<Link>> {
    let (owned, account, id) = (shop.clone(), account.clone(), subscription.clone());
    shop.store
        .read(move |tx| {
            let (shop, account, id) = (owned.clone(), account.clone(), id.clone());
            Box::pin(async move { list(&shop, tx, &account, &id).await })
        })
        .await
}

async fn list(shop: &Shop, tx: &mut Tx, account: &AccountId, id: &SubscriptionId) -> Result<Vec<Link>> {
    let key = Value::Text(id.to_string());
    let row = tx
        .optional(
            "SELECT started_at, rotate_version FROM subscription WHERE id = $1 AND account_id = $2",
            &[key.clone(), Value::Text(account.to_string())],
        )
        .await?
        .ok_or(Refusal::SubscriptionNotFound)?;
    let mut links = vec![own(shop, id, &row)?];
    let rows = tx
        .all(
            "SELECT id, name, kind, allowed_addresses, version, created_at FROM rotate_link
             WHERE subscription_id = $1 AND revoked_at IS NULL ORDER BY created_at, id",
            &[key],
        )
        .await?;
    for row in &rows {
        links.push(named(shop, row)?);
    }
    Ok(links)
}

fn own(shop: &Shop, subscription: &SubscriptionId, row: &Row) -> Result<Link> {
    Ok(Link {
        id: own_id(subscription)?,
        name: OWN_NAME.to_owned(),
        kind: LinkKind::Rotate,
        token: own_token(shop, subscription, row.int("rotate_version")?),
        allowed: AddressList::default(),
        created_at: UnixMillis(row.int("started_at")?),
    })
}

fn own_id(subscription: &SubscriptionId) -> Result<LinkId> {
    LinkId::try_from(subscription.to_string()).map_err(|error| Error::Failed(error.to_string()))
}

fn named(shop: &Shop, row: &Row) -> Result<Link> {
    let id: LinkId = row.parsed("id")?;
    Ok(Link {
        name: row.text("name")?,
        kind: row.parsed("kind")?,
        token: named_token(shop, &id, row.int("version")?),
        allowed: allowed_addresses::of_row(row)?,
        created_at: UnixMillis(row.int("created_at")?),
        id,
    })
}

/// Makes a link. One that is there already, with this name and the same otherwise, is answered as it is: whoever did not get the
/// answer may ask again.
///
/// # Errors
/// [`Refusal::SubscriptionNotFound`], [`Refusal::SubscriptionEnded`] (for good), [`Refusal::LinkNameTaken`],
/// [`Refusal::TooManyLinks`].
pub async fn create_link(
    shop: &Shop,
    account: &AccountId,
    subscription: &SubscriptionId,
    new: NewLink,
) -> Result<Link> {
    let (owned, account, id) = (shop.clone(), account.clone(), subscription.clone());
    shop.store
        .transaction(move |tx| {
            let (shop, account, id, new) = (owned.clone(), account.clone(), id.clone(), new.clone());
            Box::pin(async move {
                let held = lock(tx, &account, &id).await?;
                create(&shop, tx, &held, new).await
            })
        })
        .await
}

/// Locks a subscription whose links can still come to use. The lock orders what is done to its links.
async fn lock(tx: &mut Tx, account: &AccountId, id: &SubscriptionId) -> Result<Held> {
    let held = subscription::lock(tx, account, id).await?;
    if held.state == SubscriptionState::Released {
        return Err(Refusal::SubscriptionEnded.into());
    }
    Ok(held)
}

async fn create(shop: &Shop, tx: &mut Tx, held: &Held, new: NewLink) -> Result<Link> {
    let key = Value::Text(held.id.to_string());
    let LinkName(name) = new.name;
    let known = tx
        .optional(
            "SELECT id, name, kind, allowed_addresses, version, created_at FROM rotate_link
             WHERE subscription_id = $1 AND name = $2 AND revoked_at IS NULL",
            &[key.clone(), Value::Text(name.clone())],
        )
        .await?;
    if let Some(known) = known {
        let known = named(shop, &known)?;
        let is_same = known.kind == new.kind && known.allowed == new.allowed;
        return if is_same {
            Ok(known)
        } else {
            Err(Refusal::LinkNameTaken.into())
        };
    }
    if name == OWN_NAME {
        return Err(Refusal::LinkNameTaken.into());
    }
    let count = tx
        .one(
            "SELECT COUNT(*) AS links FROM rotate_link WHERE subscription_id = $1 AND revoked_at IS NULL",
            std::slice::from_ref(&key),
        )
        .await?;
    if count.int("links")? >= MOST_LINKS {
        return Err(Refusal::TooManyLinks.into());
    }
    let id = LinkId::random();
    let link = Link {
        token: named_token(shop, &id, 1),
        id,
        name,
        kind: new.kind,
        allowed: new.allowed,
        created_at: shop.now(),
    };
    tx.execute(
        "INSERT INTO rotate_link (id, subscription_id, name, kind, allowed_addresses, version, token_hash, created_at)
         VALUES ($1, $2, $3, $4, $5, 1, $6, $7)",
        &[
            Value::Text(link.id.to_string()),
            key,
            Value::Text(link.name.clone()),
            Value::Text(link.kind.to_string()),
            Value::Text(link.allowed.stored()),
            Value::Bytes(token_hash(&link.token)),
            Value::Int(link.created_at.0),
        ],
    )
    .await?;
    Ok(link)
}

/// Gives a link another token and voids the one that it had; no other link changes.
///
/// # Errors
/// [`Refusal::SubscriptionNotFound`], [`Refusal::SubscriptionEnded`] (for good), [`Refusal::LinkNotFound`].
pub async fn renew_link(
    shop: &Shop,
    account: &AccountId,
    subscription: &SubscriptionId,
    link: &LinkId,
) -> Result<Link> {
    let (owned, account, id, link) = (shop.clone(), account.clone(), subscription.clone(), link.clone());
    shop.store
        .transaction(move |tx| {
            let (shop, account, id, link) = (owned.clone(), account.clone(), id.clone(), link.clone());
            Box::pin(async move {
                let held = lock(tx, &account, &id).await?;
                if link == own_id(&id)? {
                    renew_own(&shop, tx, &held).await
                } else {
                    renew_named(&shop, tx, &held, &link).await
                }
            })
        })
        .await
}

async fn renew_own(shop: &Shop, tx: &mut Tx, held: &Held) -> Result<Link> {
    let key = Value::Text(held.id.to_string());
    let row = tx
        .one(
            "UPDATE subscription SET rotate_version = rotate_version + 1 WHERE id = $1
             RETURNING started_at, rotate_version",
            std::slice::from_ref(&key),
        )
        .await?;
    let link = own(shop, &held.id, &row)?;
    tx.execute(
        "UPDATE subscription SET rotate_token_hash = $1 WHERE id = $2",
        &[Value::Bytes(token_hash(&link.token)), key],
    )
    .await?;
    Ok(link)
}

async fn renew_named(shop: &Shop, tx: &mut Tx, held: &Held, link: &LinkId) -> Result<Link> {
    let key = Value::Text(link.to_string());
    let row = tx
        .optional(
            "UPDATE rotate_link SET version = version + 1
             WHERE id = $1 AND subscription_id = $2 AND revoked_at IS NULL
             RETURNING id, name, kind, allowed_addresses, version, created_at",
            &[key.clone(), Value::Text(held.id.to_string())],
        )
        .await?
        .ok_or(Refusal::LinkNotFound)?;
    let link = named(shop, &row)?;
    tx.execute(
        "UPDATE rotate_link SET token_hash = $1 WHERE id = $2",
        &[Value::Bytes(token_hash(&link.token)), key],
    )
    .await?;
    Ok(link)
}

/// Ends a link for good. Revoking one again changes nothing.
///
/// # Errors
/// [`Refusal::SubscriptionNotFound`], [`Refusal::LinkNotFound`], [`Refusal::OwnLink`].
pub async fn revoke_link(shop: &Shop, account: &AccountId, subscription: &SubscriptionId, link: &LinkId) -> Result<()> {
    let (clock, account, id, link) = (shop.clock.clone(), account.clone(), subscription.clone(), link.clone());
    shop.store
        .transaction(move |tx| {
            let (now, account, id, link) = (clock(), account.clone(), id.clone(), link.clone());
            Box::pin(async move {
                subscription::lock(tx, &account, &id).await?;
                if link == own_id(&id)? {
                    return Err(Refusal::OwnLink.into());
                }
                revoke(tx, &id, &link, now).await
            })
        })
        .await
}

async fn revoke(tx: &mut Tx, subscription: &SubscriptionId, link: &LinkId, now: UnixMillis) -> Result<()> {
    let (key, of) = (Value::Text(link.to_string()), Value::Text(subscription.to_string()));
    tx.optional(
        "UPDATE rotate_link SET revoked_at = COALESCE(revoked_at, $1), token_hash = NULL
         WHERE id = $2 AND subscription_id = $3 RETURNING id",
        &[Value::Int(now.0), key, of.clone()],
    )
    .await?
    .ok_or(Refusal::LinkNotFound)?;
    tx.execute(
        "DELETE FROM rotate_link WHERE subscription_id = $1 AND revoked_at IS NOT NULL AND id NOT IN
             (SELECT id FROM rotate_link WHERE subscription_id = $1 AND revoked_at IS NOT NULL
              ORDER BY revoked_at DESC, id LIMIT $2)",
        &[of, Value::Int(REVOKED_KEPT)],
    )
    .await?;
    Ok(())
}

/// The subscription of the named link of this kind that has the token.
pub(super) async fn with_token(tx: &mut Tx, hash: &Value, kind: LinkKind) -> Result<Option<SubscriptionId>> {
    let row = tx
        .optional(
            "SELECT subscription_id FROM rotate_link WHERE token_hash = $1 AND kind = $2",
            &[hash.clone(), Value::Text(kind.to_string())],
        )
        .await?;
    row.map(|row| row.parsed("subscription_id")).transpose()
}

/// Lets `source` use the named link that has the token.
pub(super) async fn admit(tx: &mut Tx, hash: &Value, source: IpAddr) -> Result<()> {
    let row = tx
        .optional(
            "SELECT allowed_addresses FROM rotate_link WHERE token_hash = $1",
            std::slice::from_ref(hash),
        )
        .await?
        .ok_or(Refusal::SubscriptionNotFound)?;
    let allowed = allowed_addresses::of_row(&row)?;
    if allowed.is_empty() || allowed.contains(source) {
        Ok(())
    } else {
        Err(Refusal::LinkNotAllowedFrom(source.to_canonical()).into())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test's broken assumption should stop it")]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_short_and_can_be_read() {
        assert_eq!(
            LinkName::try_from(" the van \u{e9}".to_owned()),
            Ok(LinkName("the van \u{e9}".to_owned()))
        );
        assert_eq!(LinkName::try_from("x".repeat(64)).unwrap().0.len(), 64);
        for name in [
            String::new(),
            "  ".to_owned(),
            "x".repeat(65),
            "a\nb".to_owned(),
            "a\0".to_owned(),
        ] {
            assert_eq!(LinkName::try_from(name), Err(NotAName));
        }
    }
}
