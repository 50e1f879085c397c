//! Finding one's way among many subscriptions.

use crate::error::Result;
use crate::shop::Shop;
use crate::store::{Row, Value};
use crate::types::{AccountId, ConnectionType, NetworkId, NetworkType, SubscriptionId, SubscriptionState, UnixMillis};

/// What is looked for, and which part of what is found.
#[derive(Debug, Clone)]
pub struct Search {
    /// In the note, the network's code and city, the port; empty for all.
    pub text: String,
    /// Active or expired ones only.
    pub state: Option<SubscriptionState>,
    /// Those in this network only.
    pub network: Option<NetworkId>,
    /// Whole exits or slots only.
    pub connection_type: Option<ConnectionType>,
    /// Those in networks with this kind of line only.
    pub line: Option<NetworkType>,
    /// Those in networks of this country only; empty for all.
    pub country: String,
    /// Which come first.
    pub order: Order,
    /// Those behind this one.
    pub after: Option<Cursor>,
    /// At most so many.
    pub limit: i64,
}

impl Search {
    /// Looks for the first `limit` of all.
    #[must_use]
    pub fn first(order: Order, limit: i64) -> Self {
        Self {
            text: String::new(),
            state: None,
            network: None,
            connection_type: None,
            line: None,
            country: String::new(),
            order,
            after: None,
            limit,
        }
    }
}

/// Which come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Those bought last.
    Newest,
    /// Those bought first.
    Oldest,
    /// By port.
    Port,
    /// Those that end first.
    EndsFirst,
}

/// A place in a sorted list: what it is sorted by, and the id where that is alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// Start, end or port of the subscription.
    pub at: i64,
    /// The subscription.
    pub id: SubscriptionId,
}

/// A subscription that was found, without its credentials.
#[derive(Debug, Clone)]
pub struct Found {
    /// Its id.
    pub id: SubscriptionId,
    /// Its port.
    pub port: i64,
    /// Where it stands.
    pub state: SubscriptionState,
    /// Whole exit or slot.
    pub connection_type: ConnectionType,
    /// `NL-AMS`.
    pub network_code: String,
    /// `Amsterdam`.
    pub city: String,
    /// `NL`.
    pub country: String,
    /// When it was bought.
    pub started_at: UnixMillis,
    /// When it ends.
    pub ends_at: UnixMillis,
    /// The owner's note.
    pub user_note: String,
    /// Whether it renews itself.
    pub renews_itself: bool,
}

impl Found {
    /// Its place in a list of this order.
    #[must_use]
    pub fn cursor(&self, order: Order) -> Cursor {
        Cursor {
            at: match order {
                Order::Newest | Order::Oldest => self.started_at.0,
                Order::Port => self.port,
                Order::EndsFirst => self.ends_at.0,
            },
            id: self.id.clone(),
        }
    }
}

macro_rules! search {
    ($tail:literal) => {
        concat!(
            "SELECT s.id, s.port, s.state, s.connection_type, s.started_at, s.ends_at, s.user_note, s.auto_renew_plan_id,
                    n.code, n.city, n.country
             FROM subscription s JOIN network n ON n.id = s.network_id
             WHERE s.account_id = $1 AND s.state <> 'released'
               AND ($2 = '' OR ($2 = 'active' AND s.state = 'active' AND s.ends_at > $3)
                    OR ($2 = 'expired' AND (s.state <> 'active' OR s.ends_at <= $3)))
               AND ($4 = '' OR LOWER(s.user_note) LIKE $4 ESCAPE '!' OR LOWER(n.code) LIKE $4 ESCAPE '!'
                    OR LOWER(n.city) LIKE $4 ESCAPE '!' OR CAST(s.port AS TEXT) LIKE $4 ESCAPE '!')
               AND ($8 = '' OR s.network_id = $8) AND ($9 = '' OR n.network_type = $9) AND ($10 = '' OR n.country = $10)
               AND ($11 = '' OR s.connection_type = $11) ",
            $tail
        )
    };
}

/// An account's subscriptions that hold a port and fit, and whether there are more.
///
/// # Errors
/// Only the database's.
pub async fn search(shop: &Shop, account: &AccountId, search: Search) -> Result<(Vec<Found>, bool)> {
    let now = shop.now();
    let first = match search.order {
        Order::Newest => i64::MAX,
        Order::Oldest | Order::Port | Order::EndsFirst => i64::MIN,
    };
    let (at, id) = search
        .after
        .as_ref()
        .map_or((first, String::new()), |cursor| (cursor.at, cursor.id.to_string()));
    let values = [
        Value::Text(account.to_string()),
        Value::Text(search.state.map_or("", SubscriptionState::as_str).to_owned()),
        Value::Int(now.0),
        Value::Text(pattern(&search.text)),
        Value::Int(at),
        Value::Text(id),
        // One more than asked for tells whether there are more.
        Value::Int(search.limit + 1),
        Value::Text(search.network.map_or(String::new(), |network| network.to_string())),
        Value::Text(search.line.map_or("", NetworkType::as_str).to_owned()),
        Value::Text(search.country),
        Value::Text(search.connection_type.map_or("", ConnectionType::as_str).to_owned()),
    ];
    let sql = match search.order {
        Order::Newest => search!("AND (s.started_at, s.id) < ($5, $6) ORDER BY s.started_at DESC, s.id DESC LIMIT $7"),
        Order::Oldest => search!("AND (s.started_at, s.id) > ($5, $6) ORDER BY s.started_at, s.id LIMIT $7"),
        Order::Port => search!("AND (s.port, s.id) > ($5, $6) ORDER BY s.port, s.id LIMIT $7"),
        Order::EndsFirst => search!("AND (s.ends_at, s.id) > ($5, $6) ORDER BY s.ends_at, s.id LIMIT $7"),
    };
    let mut found: Vec<Found> = shop
        .store
        .read(move |tx| {
            let values = values.clone();
            Box::pin(async move {
                let rows = tx.all(sql, &values).await?;
                rows.iter().map(|row| read(row, now)).collect()
            })
        })
        .await?;
    let limit = usize::try_from(search.limit).unwrap_or(usize::MAX);
    let has_more = found.len() > limit;
    found.truncate(limit);
    Ok((found, has_more))
}

/// A network that an account has subscriptions in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldNetwork {
    /// Its id.
    pub id: NetworkId,
    /// `NL-AMS`.
    pub code: String,
    /// `Amsterdam`.
    pub city: String,
    /// `NL`.
    pub country: String,
    /// What kind of line its exits have.
    pub network_type: NetworkType,
}

/// The networks of the account's subscriptions that hold a port, by code.
///
/// # Errors
/// Only the database's.
pub async fn held_networks(shop: &Shop, account: &AccountId) -> Result<Vec<HeldNetwork>> {
    let account = [Value::Text(account.to_string())];
    shop.store
        .read(move |tx| {
            let account = account.clone();
            Box::pin(async move {
                let rows = tx
                    .all(
                        "SELECT n.id, n.code, n.city, n.country, n.network_type FROM network n
                         WHERE n.id IN (SELECT s.network_id FROM subscription s
                                        WHERE s.account_id = $1 AND s.state <> 'released')
                         ORDER BY n.code, n.id",
                        &account,
                    )
                    .await?;
                rows.iter()
                    .map(|row| {
                        Ok(HeldNetwork {
                            id: row.parsed("id")?,
                            code: row.text("code")?,
                            city: row.text("city")?,
                            country: row.text("country")?,
                            network_type: row.parsed("network_type")?,
                        })
                    })
                    .collect()
            })
        })
        .await
}

/// The text anywhere, without regard to case; its own `%` and `_` are just letters.
pub(crate) fn pattern(text: &str) -> String {
    let text: String = text
        .trim()
        .to_lowercase()
        .chars()
        .filter(|c| !c.is_control())
        .take(100)
        .collect();
    if text.is_empty() {
        return text;
    }
    let escaped = text.replace('!', "!!").replace('%', "!%").replace('_', "!_");
    format!("%{escaped}%")
}

fn read(row: &Row, now: UnixMillis) -> Result<Found> {
    let ends_at = UnixMillis(row.int("ends_at")?);
    let state = match row.parsed("state")? {
        SubscriptionState::Active if ends_at <= now => SubscriptionState::Expired,
        state => state,
    };
    Ok(Found {
        id: row.parsed("id")?,
        port: row.int("port")?,
        state,
        connection_type: row.parsed("connection_type")?,
        network_code: row.text("code")?,
        city: row.text("city")?,
        country: row.text("country")?,
        started_at: UnixMillis(row.int("started_at")?),
        ends_at,
        user_note: row.text("user_note")?,
        renews_itself: row.optional_text("auto_renew_plan_id")?.is_some(),
    })
}
