//! Profiles: what a client program loads from a subscription URL to know its user's ports, again and again.
//!
//! A subscription has a URL that tells its own port, an account one that tells the ports of all its subscriptions. Whoever has
//! the URL reads the credentials, so it is as secret as they are; renewing it voids the one before. New credentials and other
//! networks leave the URL as it is: that clients find them out by themselves is what it is for.

mod token;

use subtle::ConstantTimeEq as _;

use self::token::Owner;
use crate::error::{Refusal, Result};
use crate::shop::Shop;
use crate::store::{Row, Tx, Value};
use crate::subscription::{self, Page, Subscription};
use crate::traffic;
use crate::types::{AccountId, AccountStatus, SubscriptionId, SubscriptionState, UnixMillis};

/// What a URL's holder gets to see. It holds secrets: never log it.
#[derive(Clone)]
pub struct Profile {
    /// Whose it is.
    pub account: AccountId,
    /// Whether it is about one subscription or all of the account's.
    pub extent: Extent,
    /// Where it stands.
    pub standing: Standing,
    /// The subscriptions that can be used now, oldest first; none unless the standing is [`Standing::Live`].
    pub live: Vec<Subscription>,
    /// The earliest end of what is live, because that is when something stops working; where nothing is, the latest end of what
    /// was. Absent where there never was a subscription.
    pub ends_at: Option<UnixMillis>,
    /// Bytes from and to the customer, over all that the profile is about.
    pub traffic: traffic::Total,
    /// What `traffic` may come to: all that was ever allowed to move, of everything that it counts. Absent where one of these may
    /// move as much as it likes.
    pub allowed: Option<i64>,
}

/// What a profile is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Extent {
    /// One subscription.
    Subscription(SubscriptionId),
    /// All subscriptions of the account.
    Account,
}

/// Whether a profile can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// There is something to use.
    Live,
    /// Nothing has been bought, or all of it has ended.
    Ended,
    /// The account is suspended.
    Suspended,
}

/// The profile that the secret part of a subscription URL leads to. It is there for as long as the URL has not been renewed,
/// whatever became of the subscription: a client must be able to tell its user that it has ended.
///
/// # Errors
/// [`Refusal::SubscriptionNotFound`]: no such URL, or one that has been renewed.
pub async fn open(shop: &Shop, token: &str) -> Result<Profile> {
    let asked = token::read(token).ok_or(Refusal::SubscriptionNotFound)?;
    let (owned, token) = (shop.clone(), token.to_owned());
    shop.store
        .read(move |tx| {
            let (shop, asked, token) = (owned.clone(), asked.clone(), token.clone());
            Box::pin(async move { look(&shop, tx, &asked, &token).await })
        })
        .await
}

async fn look(shop: &Shop, tx: &mut Tx, asked: &Owner, shown: &str) -> Result<Profile> {
    let row = owner_row(tx, asked).await?.ok_or(Refusal::SubscriptionNotFound)?;
    let valid = token::of(shop, asked, row.int("url_version")?);
    if !bool::from(valid.as_bytes().ct_eq(shown.as_bytes())) {
        return Err(Refusal::SubscriptionNotFound.into());
    }
    let account: AccountId = row.parsed("account_id")?;
    let (extent, all, total) = match asked {
        Owner::Subscription(id) => {
            let one = subscription::one(shop, tx, id).await?;
            (
                Extent::Subscription(id.clone()),
                vec![one],
                traffic::total(tx, id).await?,
            )
        }
        Owner::Account(_) => {
            let (all, _) = subscription::list(shop, tx, &account, &Page::default()).await?;
            let all = all.into_iter().map(Subscription::from).collect();
            (Extent::Account, all, traffic::total_of_account(tx, &account).await?)
        }
    };
    // What has moved before there was an allowance is in the total, so it is in the bound.
    let counted = all.iter().filter(|one| one.state != SubscriptionState::Released);
    let allowances: Option<Vec<i64>> = counted
        .map(|one| Some(one.limits.traffic_bytes?.saturating_add(one.usage.before)))
        .collect();
    let allowed = allowances
        .filter(|all| !all.is_empty())
        .map(|all| all.into_iter().fold(0, i64::saturating_add));
    let is_suspended = row.parsed::<AccountStatus>("status")? == AccountStatus::Suspended;
    let latest = all.iter().map(|one| one.ends_at).max();
    let live: Vec<Subscription> = all
        .into_iter()
        .filter(|one| !is_suspended && one.state == SubscriptionState::Active)
        .collect();
    let (standing, ends_at) = match live.iter().map(|one| one.ends_at).min() {
        Some(earliest) => (Standing::Live, Some(earliest)),
        // Clients that know only dates should see that it is over.
        None if is_suspended => (Standing::Suspended, latest.map(|at| at.min(shop.now()))),
        None => (Standing::Ended, latest),
    };
    Ok(Profile {
        account,
        extent,
        standing,
        live,
        ends_at,
        traffic: total,
        allowed,
    })
}

async fn owner_row(tx: &mut Tx, owner: &Owner) -> Result<Option<Row>> {
    match owner {
        Owner::Subscription(id) => {
            tx.optional(
                "SELECT s.account_id, s.url_version, a.status
                 FROM subscription s JOIN account a ON a.id = s.account_id WHERE s.id = $1",
                &[Value::Text(id.to_string())],
            )
            .await
        }
        Owner::Account(id) => {
            tx.optional(
                "SELECT id AS account_id, url_version, status FROM account WHERE id = $1",
                &[Value::Text(id.to_string())],
            )
            .await
        }
    }
}

/// The version of a new subscription's URL.
pub(crate) const FIRST_TOKEN: i64 = 1;

/// The secret part of a subscription's URL, by the version in its row.
pub(crate) fn token_of(shop: &Shop, subscription: &SubscriptionId, version: i64) -> String {
    token::of(shop, &Owner::Subscription(subscription.clone()), version)
}

/// The secret part of the account's own URL.
///
/// # Errors
/// [`Refusal::Unauthorized`] where there is no such account.
pub async fn account_token(shop: &Shop, account: &AccountId) -> Result<String> {
    let (owned, account) = (shop.clone(), account.clone());
    shop.store
        .glance(move |tx| {
            let (shop, account) = (owned.clone(), account.clone());
            Box::pin(async move { account_token_now(&shop, tx, &account).await })
        })
        .await
}

/// As [`account_token`], within a transaction.
pub(crate) async fn account_token_now(shop: &Shop, tx: &mut Tx, account: &AccountId) -> Result<String> {
    let owner = Owner::Account(account.clone());
    let row = owner_row(tx, &owner).await?.ok_or(Refusal::Unauthorized)?;
    Ok(token::of(shop, &owner, row.int("url_version")?))
}

/// Voids a URL and makes the next one: of one of the account's subscriptions, whether that has ended or not, or the account's own.
/// The secret part of the new one.
///
/// # Errors
/// [`Refusal::SubscriptionNotFound`].
pub async fn renew_token(shop: &Shop, account: &AccountId, subscription: Option<&SubscriptionId>) -> Result<String> {
    let owner = match subscription {
        Some(id) => Owner::Subscription(id.clone()),
        None => Owner::Account(account.clone()),
    };
    let (asked, account) = (owner.clone(), account.clone());
    let version = shop
        .store
        .transaction(move |tx| {
            let (owner, account) = (asked.clone(), account.clone());
            Box::pin(async move { advance(tx, &owner, &account).await })
        })
        .await?;
    Ok(token::of(shop, &owner, version))
}

async fn advance(tx: &mut Tx, owner: &Owner, account: &AccountId) -> Result<i64> {
    let account = Value::Text(account.to_string());
    let renewed = match owner {
        Owner::Subscription(id) => {
            tx.optional(
                "UPDATE subscription SET url_version = url_version + 1 WHERE id = $1 AND account_id = $2 RETURNING url_version",
                &[Value::Text(id.to_string()), account],
            )
            .await?
        }
        Owner::Account(_) => {
            let sql = "UPDATE account SET url_version = url_version + 1 WHERE id = $1 RETURNING url_version";
            tx.optional(sql, &[account]).await?
        }
    };
    renewed.ok_or(Refusal::SubscriptionNotFound)?.int("url_version")
}
