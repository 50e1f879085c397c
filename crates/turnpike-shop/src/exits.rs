//! Exits as operators see and steer them, and as whoever has one may test it.
//!
//! | verb | file |
//! | --- | --- |
//! | [`list`], [`show`] | here |
//! | [`networks`], [`network`]: how each network stands | `networks` |
//! | [`set_standing`], [`set_network_standing`]: drain, disable, enable | `standing` |
//! | [`ask_check`], [`ask_own_check`], [`wait_check`] and the queue of a gateway behind them | `check` |
//!
//! Rotating by hand is [`crate::rotation::request_by_operator`].

mod check;
mod networks;
mod standing;

use std::net::IpAddr;

use crate::catalogue::{self, ExitSpec};
use crate::error::{Error, Refusal, Result};
use crate::search::pattern;
use crate::shop::Shop;
use crate::store::{Row, Tx, Value};
use crate::types::{AccountId, ExitId, ExitStanding, Health, Span, SubscriptionId, UnixMillis};

pub use check::{
    CheckState, CheckTask, ExitCheck, ask_check, ask_own_check, claim_checks, finish_check, own_check, wait_check,
};
pub use networks::{NetworkStanding, NetworkView, network, networks};
pub use standing::{Changed, ChangedNetwork, set_network_standing, set_standing};

/// How far back traffic tells an exit's load.
pub const LOAD: Span = Span::hours(24);
/// How many subscriptions, rotations and addresses of an exit are shown.
const MOST_SHOWN: i64 = 50;

/// An exit as operators see it.
#[derive(Debug, Clone)]
pub struct ExitView {
    /// Its id.
    pub id: ExitId,
    /// `NL-AMS`.
    pub network_code: String,
    /// Its name in the catalogue.
    pub name: String,
    /// Its gateway.
    pub gateway: String,
    /// Whether it stands in the catalogue.
    pub is_in_catalogue: bool,
    /// What an operator has decided about it.
    pub standing: ExitStanding,
    /// Whether it gets out.
    pub health: Health,
    /// Why not.
    pub detail: Option<String>,
    /// Since when.
    pub health_since: Option<UnixMillis>,
    /// Its present address, where that is known.
    pub address: Option<IpAddr>,
    /// Its last rotation.
    pub rotated_at: Option<UnixMillis>,
    /// Whether it can get another address.
    pub can_rotate: bool,
    /// Whether it is sold in slots.
    pub is_shared: bool,
    /// Subscriptions that have it.
    pub taken: i64,
    /// How many can have it.
    pub capacity: i64,
    /// Whose subscription of it ends first: his account and e-mail address.
    pub first_holder: Option<(AccountId, String)>,
    /// Connections that are open through it, as its gateway has told last.
    pub tunnels: i64,
    /// What went through it within [`LOAD`], both ways, in bytes.
    pub moved: i64,
}

/// Which exits are looked for, and which part of what is found.
#[derive(Debug, Clone, Default)]
pub struct ExitSearch {
    /// Anywhere in the network's code, the name, the gateway or the present address; empty for all.
    pub text: String,
    /// Those of this health only.
    pub health: Option<Health>,
    /// Those of this standing only.
    pub standing: Option<ExitStanding>,
    /// Those behind this network code and name.
    pub after: Option<(String, String)>,
    /// At most so many.
    pub limit: i64,
}

/// An exit with what has come of it.
#[derive(Debug, Clone)]
pub struct WholeExit {
    /// The exit.
    pub exit: ExitView,
    /// How it leaves and rotates. It holds secrets: show only what of it is none.
    pub spec: ExitSpec,
    /// Who has it, by end, at most 50.
    pub holders: Vec<Holder>,
    /// Its last rotations, newest first, at most 50.
    pub rotations: Vec<PastRotation>,
    /// The last test that was asked for.
    pub check: Option<ExitCheck>,
}

/// Somebody who has an exit, or a slot of it.
#[derive(Debug, Clone)]
pub struct Holder {
    /// The subscription.
    pub subscription: SubscriptionId,
    /// Its port.
    pub port: i64,
    /// Its end.
    pub ends_at: UnixMillis,
    /// Whose.
    pub account: AccountId,
    /// The owner's e-mail address.
    pub email: String,
}

/// A rotation that has ended, or is under way.
#[derive(Debug, Clone)]
pub struct PastRotation {
    /// When it was asked for.
    pub requested_at: UnixMillis,
    /// `request`, `policy`, `operator`.
    pub reason: String,
    /// `queued`, `running`, `done`, `failed`.
    pub state: String,
    /// How long it took; absent while it is under way.
    pub took: Option<Span>,
    /// The address that it led to.
    pub address: Option<IpAddr>,
    /// Why it failed.
    pub error: Option<String>,
}

macro_rules! exits {
    ($tail:literal) => {
        concat!(
            "SELECT e.id, n.code, e.name, e.gateway, e.active, e.standing, e.health, e.health_detail, e.health_since,
                    e.present_address, e.rotated_at, e.can_rotate, e.shared_slots, e.sealed_spec,
                    (SELECT COUNT(*) FROM slot t WHERE t.exit_id = e.id AND t.subscription_id IS NOT NULL) AS taken,
                    (SELECT a.id || ' ' || a.email FROM slot t JOIN subscription s ON s.id = t.subscription_id
                     JOIN account a ON a.id = s.account_id
                     WHERE t.exit_id = e.id ORDER BY s.ends_at, s.id LIMIT 1) AS first_holder,
                    COALESCE((SELECT u.tunnels FROM exit_tunnels u WHERE u.exit_id = e.id), 0) AS tunnels,
                    (SELECT CAST(COALESCE(SUM(f.bytes_up + f.bytes_down), 0) AS BIGINT)
                     FROM exit_traffic f WHERE f.exit_id = e.id AND f.hour > $1) AS moved
             FROM network_exit e JOIN network n ON n.id = e.network_id WHERE ",
            $tail
        )
    };
}

/// The exits that fit, by network and name, and whether there are more. Those that left the catalogue are told as long as
/// somebody has them.
///
/// # Errors
/// Only the database's.
pub async fn list(shop: &Shop, search: ExitSearch) -> Result<(Vec<ExitView>, bool)> {
    let (code, name) = search.after.clone().unwrap_or_default();
    let values = [
        Value::Int(shop.now().minus(LOAD).0),
        Value::Text(pattern(&search.text)),
        Value::Text(search.health.map_or("", Health::as_str).to_owned()),
        Value::Text(search.standing.map_or("", ExitStanding::as_str).to_owned()),
        Value::Text(code),
        Value::Text(name),
        // One more than asked for tells whether there are more.
        Value::Int(search.limit + 1),
    ];
    let mut found: Vec<ExitView> = shop
        .store
        .read(move |tx| {
            let values = values.clone();
            Box::pin(async move {
                let rows = tx
                    .all(
                        exits!(
                            "(e.active = 1 OR EXISTS (SELECT 1 FROM slot h WHERE h.exit_id = e.id AND h.subscription_id IS NOT NULL))
                             AND ($2 = '' OR LOWER(n.code) LIKE $2 ESCAPE '!' OR LOWER(e.name) LIKE $2 ESCAPE '!'
                                  OR LOWER(e.gateway) LIKE $2 ESCAPE '!' OR e.present_address LIKE $2 ESCAPE '!')
                             AND ($3 = '' OR e.health = $3) AND ($4 = '' OR e.standing = $4)
                             AND (n.code, e.name) > ($5, $6) ORDER BY n.code, e.name LIMIT $7"
                        ),
                        &values,
                    )
                    .await?;
                rows.iter().map(view).collect()
            })
        })
        .await?;
    let limit = usize::try_from(search.limit).unwrap_or(usize::MAX);
    let has_more = found.len() > limit;
    found.truncate(limit);
    Ok((found, has_more))
}

/// An exit with what has come of it, in one consistent view.
///
/// # Errors
/// [`Refusal::UnknownExit`].
pub async fn show(shop: &Shop, exit: &ExitId) -> Result<WholeExit> {
    let (owned, exit) = (shop.clone(), exit.clone());
    shop.store
        .read(move |tx| {
            let (shop, exit) = (owned.clone(), exit.clone());
            Box::pin(async move {
                let now = shop.now();
                let key = Value::Text(exit.to_string());
                let row = tx
                    .optional(exits!("e.id = $2"), &[Value::Int(now.minus(LOAD).0), key.clone()])
                    .await?
                    .ok_or(Refusal::UnknownExit)?;
                Ok(WholeExit {
                    exit: view(&row)?,
                    spec: catalogue::open_spec(&shop.master_key, &exit, &row.bytes("sealed_spec")?)?,
                    holders: holders(tx, &key).await?,
                    rotations: rotations(tx, &key).await?,
                    check: check::of(tx, &exit, now).await?,
                })
            })
        })
        .await
}

async fn holders(tx: &mut Tx, exit: &Value) -> Result<Vec<Holder>> {
    let rows = tx
        .all(
            "SELECT s.id, s.port, s.ends_at, s.account_id, a.email
             FROM slot t JOIN subscription s ON s.id = t.subscription_id JOIN account a ON a.id = s.account_id
             WHERE t.exit_id = $1 ORDER BY s.ends_at, s.id LIMIT $2",
            &[exit.clone(), Value::Int(MOST_SHOWN)],
        )
        .await?;
    let read = |row: &Row| {
        Ok(Holder {
            subscription: row.parsed("id")?,
            port: row.int("port")?,
            ends_at: UnixMillis(row.int("ends_at")?),
            account: row.parsed("account_id")?,
            email: row.text("email")?,
        })
    };
    rows.iter().map(read).collect()
}

async fn rotations(tx: &mut Tx, exit: &Value) -> Result<Vec<PastRotation>> {
    let rows = tx
        .all(
            "SELECT requested_at, reason, state, finished_at, address, error FROM rotation
             WHERE exit_id = $1 ORDER BY requested_at DESC, id LIMIT $2",
            &[exit.clone(), Value::Int(MOST_SHOWN)],
        )
        .await?;
    let read = |row: &Row| {
        let requested_at = UnixMillis(row.int("requested_at")?);
        Ok(PastRotation {
            requested_at,
            reason: row.text("reason")?,
            state: row.text("state")?,
            took: row
                .optional_int("finished_at")?
                .map(|at| UnixMillis(at).since(requested_at)),
            address: row.optional_parsed("address")?,
            error: row.optional_text("error")?,
        })
    };
    rows.iter().map(read).collect::<std::result::Result<_, Error>>()
}

fn view(row: &Row) -> Result<ExitView> {
    let shared_slots = row.int("shared_slots")?;
    Ok(ExitView {
        id: row.parsed("id")?,
        network_code: row.text("code")?,
        name: row.text("name")?,
        gateway: row.text("gateway")?,
        is_in_catalogue: row.int("active")? == 1,
        standing: row.parsed("standing")?,
        health: row.parsed("health")?,
        detail: row.optional_text("health_detail")?,
        health_since: row.optional_int("health_since")?.map(UnixMillis),
        address: row.optional_parsed("present_address")?,
        rotated_at: row.optional_int("rotated_at")?.map(UnixMillis),
        can_rotate: row.int("can_rotate")? == 1,
        is_shared: shared_slots > 0,
        taken: row.int("taken")?,
        capacity: shared_slots.max(1),
        first_holder: row.optional_text("first_holder")?.and_then(|holder| {
            // No id has a blank.
            let (account, email) = holder.split_once(' ')?;
            Some((account.parse().ok()?, email.to_owned()))
        }),
        tunnels: row.int("tunnels")?,
        moved: row.int("moved")?,
    })
}
