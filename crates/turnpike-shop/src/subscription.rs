//! Subscriptions as their owners see them, and the steps of their life that several verbs share.

mod kept;

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::credentials::Credentials;
use crate::error::{Error, Refusal, Result};
use crate::limits::{Limits, Usage};
use crate::notices::{self, News, Subject};
use crate::profile;
use crate::rotation;
use crate::shop::Shop;
use crate::slot;
use crate::store::{Row, Tx, Value};
use crate::types::{
    AccountId, ConnectionType, ExitId, NetworkId, RotationPolicy, SubscriptionId, SubscriptionState, UnixMillis,
};

pub(crate) use kept::Keeper;
pub use kept::{Kept, Shown};

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
    /// How TLS is spoken on its port; absent where it is not.
    #[serde(default)]
    pub tls: Option<Tls>,
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
    /// The secret part of its subscription URL; empty in an answer remembered by a version that had none.
    #[serde(default)]
    pub url_token: String,
    /// Whether its exit can rotate and nobody shares it.
    pub can_rotate: bool,
    /// What it has bought. (An answer that was remembered before there were limits has none.)
    #[serde(default)]
    pub limits: Limits,
    /// What it has used.
    #[serde(default)]
    pub usage: Usage,
    /// The newest route revision that carries it; the gateway has it when it has applied this one.
    pub revision: i64,
}

/// TLS on a port, as clients need to know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tls {
    /// The name or address that the certificate is for: what clients ask for as SNI and verify.
    pub server_name: String,
}

/// A part of an account's list.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// At most so many rows; absent: all.
    pub limit: Option<i64>,
    /// Rows after this one.
    pub after: Option<SubscriptionId>,
}

macro_rules! select_shown {
    ($tail:literal) => {
        concat!(
            "SELECT s.id, s.state, s.ends_at, s.user_note, s.rotation_policy, s.connection_type, s.port, s.gateway,
                    s.username, s.sealed_credentials, s.rotate_version, s.url_version, s.revision,
                    s.max_connections, s.max_source_addresses, s.mbit_per_second, s.traffic_bytes, s.traffic_before,
                    n.code, n.city, n.country, g.public_host, g.tls_server_name, e.can_rotate,
                    t.bytes_up, t.bytes_down
             FROM subscription s
             JOIN network n ON n.id = s.network_id
             JOIN network_exit e ON e.id = s.exit_id
             JOIN gateway g ON g.name = s.gateway
             LEFT JOIN traffic_total t ON t.subscription_id = s.id ",
            $tail
        )
    };
}

/// What an account has.
#[derive(Clone)]
pub struct Listed {
    /// Its subscriptions that hold a port: active, and ended ones within their grace period; oldest first.
    pub subscriptions: Vec<Shown>,
    /// Whether there are more.
    pub has_more: bool,
    /// The secret part of the account's own subscription URL.
    pub url_token: String,
}

/// As many rows are read on the thread that asks; more keep it for too long.
const FEW: i64 = 32;

/// A part of what an account has.
///
/// # Errors
/// [`Refusal::SubscriptionNotFound`] where the page starts after somebody else's.
pub async fn listed(shop: &Shop, account: &AccountId, page: Page) -> Result<Listed> {
    let wants_few = page.limit.is_some_and(|limit| limit <= FEW);
    let few = Page {
        limit: Some(page.limit.map_or(FEW, |limit| limit.min(FEW))),
        ..page.clone()
    };
    let listed = shop.store.glance(listing(shop, account, few)).await?;
    if wants_few || !listed.has_more {
        return Ok(listed);
    }
    shop.store.read(listing(shop, account, page)).await
}

fn listing(
    shop: &Shop,
    account: &AccountId,
    page: Page,
) -> impl for<'t> Fn(&'t mut Tx) -> BoxFuture<'t, Result<Listed>> + Send + Sync + 'static {
    let (shop, account) = (shop.clone(), account.clone());
    move |tx| {
        let (shop, account, page) = (shop.clone(), account.clone(), page.clone());
        Box::pin(async move {
            let (subscriptions, has_more) = list(&shop, tx, &account, &page).await?;
            Ok(Listed {
                subscriptions,
                has_more,
                url_token: profile::account_token_now(&shop, tx, &account).await?,
            })
        })
    }
}

/// An account's subscriptions, as [`listed`] does it, and whether there are more.
///
/// # Errors
/// As [`listed`].
pub async fn subscriptions(shop: &Shop, account: &AccountId, page: Page) -> Result<(Vec<Subscription>, bool)> {
    let listed = listed(shop, account, page).await?;
    let shown = listed.subscriptions.into_iter().map(Subscription::from);
    Ok((shown.collect(), listed.has_more))
}

/// As [`listed`], within a transaction.
pub(crate) async fn list(shop: &Shop, tx: &mut Tx, account: &AccountId, page: &Page) -> Result<(Vec<Shown>, bool)> {
    let (after_start, after_id) = match &page.after {
        None => (i64::MIN, String::new()),
        Some(last) => (start_of(tx, account, last).await?, last.to_string()),
    };
    let limit = page.limit.unwrap_or(i64::MAX - 1).clamp(0, i64::MAX - 1);
    let rows = tx
        .all(
            select_shown!(
                "WHERE s.account_id = $1 AND s.state <> 'released' AND (s.started_at, s.id) > ($2, $3)
                 ORDER BY s.started_at, s.id LIMIT $4"
            ),
            &[
                Value::Text(account.to_string()),
                Value::Int(after_start),
                Value::Text(after_id),
                // One more than asked for tells whether there are more.
                Value::Int(limit + 1),
            ],
        )
        .await?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = rows.len() > limit;
    let shown = rows
        .iter()
        .take(limit)
        .map(|row| shop.kept.shown(shop, row))
        .collect::<Result<_>>()?;
    Ok((shown, has_more))
}

async fn start_of(tx: &mut Tx, account: &AccountId, id: &SubscriptionId) -> Result<i64> {
    tx.optional(
        "SELECT started_at FROM subscription WHERE id = $1 AND account_id = $2",
        &[Value::Text(id.to_string()), Value::Text(account.to_string())],
    )
    .await?
    .ok_or(Refusal::SubscriptionNotFound)?
    .int("started_at")
}

/// One of an account's subscriptions that hold a port.
///
/// # Errors
/// [`Refusal::SubscriptionNotFound`].
pub async fn see(shop: &Shop, account: &AccountId, id: &SubscriptionId) -> Result<Subscription> {
    let (owned, values) = (
        shop.clone(),
        [Value::Text(id.to_string()), Value::Text(account.to_string())],
    );
    shop.store
        .read(move |tx| {
            let (shop, values) = (owned.clone(), values.clone());
            Box::pin(async move {
                let row = tx
                    .optional(
                        select_shown!("WHERE s.id = $1 AND s.account_id = $2 AND s.state <> 'released'"),
                        &values,
                    )
                    .await?
                    .ok_or(Refusal::SubscriptionNotFound)?;
                of_row(&shop, &row)
            })
        })
        .await
}

/// One subscription as its owner sees it.
pub(crate) async fn one(shop: &Shop, tx: &mut Tx, id: &SubscriptionId) -> Result<Subscription> {
    let row = tx
        .one(select_shown!("WHERE s.id = $1"), &[Value::Text(id.to_string())])
        .await?;
    of_row(shop, &row)
}

/// Whether it is over although nothing has swept it up yet.
fn is_due(shop: &Shop, row: &Row) -> Result<bool> {
    Ok(UnixMillis(row.int("ends_at")?) <= shop.now())
}

fn of_row(shop: &Shop, row: &Row) -> Result<Subscription> {
    let id: SubscriptionId = row.parsed("id")?;
    let credentials = Credentials::open(&shop.master_key, &id, &row.bytes("sealed_credentials")?)?;
    let connection_type = row.parsed("connection_type")?;
    let ends_at = UnixMillis(row.int("ends_at")?);
    let state = match row.parsed("state")? {
        SubscriptionState::Active if is_due(shop, row)? => SubscriptionState::Expired,
        state => state,
    };
    Ok(Subscription {
        state,
        ends_at,
        user_note: row.text("user_note")?,
        rotation_policy: policy(row)?,
        connection_type,
        network_code: row.text("code")?,
        city: row.text("city")?,
        country: row.text("country")?,
        host: row.text("public_host")?,
        port: port(row)?,
        tls: row
            .optional_text("tls_server_name")?
            .map(|server_name| Tls { server_name }),
        gateway: row.text("gateway")?,
        username: row.text("username")?,
        password: credentials.password,
        vpn: credentials.vpn,
        rotate_token: rotation::own_token(shop, &id, row.int("rotate_version")?),
        url_token: profile::token_of(shop, &id, row.int("url_version")?),
        can_rotate: row.int("can_rotate")? == 1 && connection_type == ConnectionType::Private,
        limits: Limits::read(row)?,
        usage: Usage::read(row)?,
        revision: row.int("revision")?,
        id,
    })
}

fn policy(row: &Row) -> Result<RotationPolicy> {
    let minutes = row.int("rotation_policy")?;
    u64::try_from(minutes)
        .ok()
        .and_then(|minutes| RotationPolicy::try_from(minutes).ok())
        .ok_or_else(|| Error::Failed(format!("a rotation policy of {minutes} minutes")))
}

fn port(row: &Row) -> Result<u16> {
    port_of(row.int("port")?)
}

/// A port as its row has it.
pub(crate) fn port_of(port: i64) -> Result<u16> {
    u16::try_from(port).map_err(|_| Error::Failed(format!("a port numbered {port}")))
}

/// A subscription whose row this transaction has locked.
pub(crate) struct Held {
    /// Its id.
    pub(crate) id: SubscriptionId,
    /// Its network.
    pub(crate) network: NetworkId,
    /// Whole exit or slot.
    pub(crate) connection_type: ConnectionType,
    /// Its exit, and the last one while it is expired.
    pub(crate) exit: ExitId,
    /// Its gateway.
    pub(crate) gateway: String,
    /// Its port.
    pub(crate) port: u16,
    /// Where it stands, by its row.
    pub(crate) state: SubscriptionState,
    /// When it ends.
    pub(crate) ends_at: UnixMillis,
    /// How often it rotates by itself.
    pub(crate) rotation_policy: RotationPolicy,
    /// Whether it is to renew itself.
    pub(crate) renews_itself: bool,
}

impl Held {
    /// Whether it is paid for at this moment.
    pub(crate) fn is_running(&self, now: UnixMillis) -> bool {
        self.state == SubscriptionState::Active && self.ends_at > now
    }
}

/// Locks one of an account's subscriptions until the transaction ends.
pub(crate) async fn lock(tx: &mut Tx, account: &AccountId, id: &SubscriptionId) -> Result<Held> {
    let row = tx
        .optional(
            "SELECT network_id, connection_type, exit_id, gateway, port, state, ends_at, rotation_policy,
                    auto_renew_plan_id
             FROM subscription WHERE id = $1 AND account_id = $2 FOR NO KEY UPDATE",
            &[Value::Text(id.to_string()), Value::Text(account.to_string())],
        )
        .await?
        .ok_or(Refusal::SubscriptionNotFound)?;
    Ok(Held {
        id: id.clone(),
        network: row.parsed("network_id")?,
        connection_type: row.parsed("connection_type")?,
        exit: row.parsed("exit_id")?,
        gateway: row.text("gateway")?,
        port: port(&row)?,
        state: row.parsed("state")?,
        ends_at: UnixMillis(row.int("ends_at")?),
        rotation_policy: policy(&row)?,
        renews_itself: row.optional_text("auto_renew_plan_id")?.is_some(),
    })
}

/// Ends up to `limit` subscriptions whose time is over: slot freed, port held, no more rotations by themselves. Their policy
/// is kept for a renewal. Those that others have locked are left to them.
pub(crate) async fn end_due(shop: &Shop, tx: &mut Tx, now: UnixMillis, limit: i64) -> Result<Vec<SubscriptionId>> {
    let due = tx
        .all(
            // That it is not released is said too: SQLite takes a partial index only where its own condition stands in the query.
            "SELECT id FROM subscription WHERE state = 'active' AND state <> 'released' AND ends_at <= $1
             ORDER BY ends_at LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED",
            &[Value::Int(now.0), Value::Int(limit)],
        )
        .await?;
    end_all(shop, tx, &due, now).await
}

/// As [`end_due`], but only those whose end makes room for a sale: what a sale does before it says "sold out".
pub(crate) async fn end_due_in(
    shop: &Shop,
    tx: &mut Tx,
    search: slot::Search<'_>,
    now: UnixMillis,
    limit: i64,
) -> Result<Vec<SubscriptionId>> {
    let due = tx
        .all(
            // The slot can be sold again, and its gateway has a port to go with it: the port of the one that ends stays his.
            "SELECT s.id FROM subscription s
             JOIN slot t ON t.subscription_id = s.id
             WHERE s.state = 'active' AND s.state <> 'released' AND s.ends_at <= $1 AND s.network_id = $2
               AND s.connection_type = $3 AND t.sellable = 1
               AND (s.gateway = $4 OR EXISTS
                    (SELECT 1 FROM port p WHERE p.gateway = s.gateway AND p.subscription_id IS NULL AND p.in_range = 1))
             ORDER BY s.ends_at, s.id LIMIT $5 FOR NO KEY UPDATE OF s SKIP LOCKED",
            &[
                Value::Int(now.0),
                Value::Text(search.network.to_string()),
                Value::Text(search.connection_type.to_string()),
                Value::Text(search.home.unwrap_or_default().to_owned()),
                Value::Int(limit),
            ],
        )
        .await?;
    end_all(shop, tx, &due, now).await
}

/// As [`end_due`], but only those that leave by this exit.
pub(crate) async fn end_due_of(
    shop: &Shop,
    tx: &mut Tx,
    exit: &ExitId,
    now: UnixMillis,
) -> Result<Vec<SubscriptionId>> {
    let due = tx
        .all(
            "SELECT id FROM subscription WHERE state = 'active' AND ends_at <= $1 AND exit_id = $2
             ORDER BY ends_at FOR NO KEY UPDATE SKIP LOCKED",
            &[Value::Int(now.0), Value::Text(exit.to_string())],
        )
        .await?;
    end_all(shop, tx, &due, now).await
}

/// Whether any that leaves by this exit is over and has not been ended.
pub(crate) async fn is_any_due_of(tx: &mut Tx, exit: &ExitId, now: UnixMillis) -> Result<bool> {
    let due = tx
        .optional(
            "SELECT id FROM subscription WHERE state = 'active' AND ends_at <= $1 AND exit_id = $2 LIMIT 1",
            &[Value::Int(now.0), Value::Text(exit.to_string())],
        )
        .await?;
    Ok(due.is_some())
}

async fn end_all(shop: &Shop, tx: &mut Tx, due: &[Row], now: UnixMillis) -> Result<Vec<SubscriptionId>> {
    let mut ended = Vec::with_capacity(due.len());
    for row in due {
        let id: SubscriptionId = row.parsed("id")?;
        end(shop, tx, &id, now).await?;
        ended.push(id);
    }
    Ok(ended)
}

/// Ends a locked subscription whose time is over.
pub(crate) async fn end(shop: &Shop, tx: &mut Tx, id: &SubscriptionId, now: UnixMillis) -> Result<()> {
    tx.execute(
        "UPDATE subscription SET state = 'expired', next_rotation_at = NULL, auto_renew_at = NULL, ending_notice_at = NULL
         WHERE id = $1",
        &[Value::Text(id.to_string())],
    )
    .await?;
    slot::free(tx, id, now).await?;
    notices::tell(shop, tx, Subject::Subscription(id), News::Ended).await
}
