//! Who has tried what, for operators, and what may be abuse. From where accounts were used, [`crate::sources`] knows.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::Result;
use crate::shop::Shop;
use crate::store::{Row, Tx, Value};
use crate::trial::BETWEEN_TRIALS;
use crate::types::{AccountId, UnixMillis};

/// At most so many trials are looked at, the newest.
const MOST: i64 = 10_000;

/// A trial that was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrialUse {
    /// To whom.
    pub account: AccountId,
    /// His e-mail address.
    pub email: String,
    /// `NL-AMS`.
    pub network_code: String,
    /// When.
    pub used_at: UnixMillis,
    /// When he may try this network again.
    pub next_at: UnixMillis,
    /// Whether he has bought anything since.
    pub has_bought: bool,
    /// Other accounts with trials that browsers or API keys have used from an address that his was used from. An IPv6 address is its
    /// /64.
    pub same_source: usize,
    /// Other accounts with trials of his mail domain.
    pub same_domain: usize,
}

/// The trials of the last 30 days, newest first.
#[derive(Debug, Clone, Default)]
pub struct Trials {
    /// How many.
    pub given: usize,
    /// How many of their accounts have bought anything since.
    pub bought: usize,
    /// API keys that may give trials now.
    pub keys: i64,
    /// A part of them.
    pub uses: Vec<TrialUse>,
}

/// The trials of the last 30 days, newest first: `limit` of them after the first `skip`.
///
/// # Errors
/// Only the database's.
pub async fn trials(shop: &Shop, skip: usize, limit: usize) -> Result<Trials> {
    let now = shop.now();
    let since = Value::Int(now.minus(BETWEEN_TRIALS).0);
    shop.store
        .read(move |tx| {
            let since = since.clone();
            Box::pin(async move {
                let all = uses(tx, &since).await?;
                let sources = sources(tx, &since).await?;
                Ok(Trials {
                    given: all.len(),
                    keys: keys(tx, now).await?,
                    bought: all.iter().filter(|one| one.has_bought).count(),
                    uses: mark(&all, skip, limit, &sources),
                })
            })
        })
        .await
}

async fn keys(tx: &mut Tx, now: UnixMillis) -> Result<i64> {
    let row = tx
        .one(
            "SELECT COUNT(*) AS keys FROM api_key
             WHERE allow_trial = 1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $1)",
            &[Value::Int(now.0)],
        )
        .await?;
    row.int("keys")
}

async fn uses(tx: &mut Tx, since: &Value) -> Result<Vec<TrialUse>> {
    let rows = tx
        .all(
            "SELECT u.account_id, a.email, n.code, u.used_at,
                    (SELECT COUNT(*) FROM shop_order o WHERE o.account_id = u.account_id AND o.kind = 'purchase'
                     AND o.created_at >= u.used_at) AS bought
             FROM trial_use u JOIN account a ON a.id = u.account_id JOIN network n ON n.id = u.network_id
             WHERE u.used_at > $1 ORDER BY u.used_at DESC, a.email, n.code LIMIT $2",
            &[since.clone(), Value::Int(MOST)],
        )
        .await?;
    let read = |row: &Row| {
        let used_at = UnixMillis(row.int("used_at")?);
        Ok(TrialUse {
            account: row.parsed("account_id")?,
            email: row.text("email")?,
            network_code: row.text("code")?,
            used_at,
            next_at: used_at.plus(BETWEEN_TRIALS),
            has_bought: row.int("bought")? > 0,
            same_source: 0,
            same_domain: 0,
        })
    };
    rows.iter().map(read).collect()
}

/// From where the accounts were used, by account.
async fn sources(tx: &mut Tx, since: &Value) -> Result<BTreeMap<String, BTreeSet<String>>> {
    let rows = tx
        .all(
            "SELECT s.account_id, s.source FROM account_source s
             WHERE s.account_id IN (SELECT account_id FROM trial_use WHERE used_at > $1)",
            std::slice::from_ref(since),
        )
        .await?;
    let mut by_account: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in &rows {
        by_account
            .entry(row.text("account_id")?)
            .or_default()
            .insert(row.text("source")?);
    }
    Ok(by_account)
}

/// A part of the trials, with how many other accounts of all have something in common with each.
fn mark(all: &[TrialUse], skip: usize, limit: usize, sources: &BTreeMap<String, BTreeSet<String>>) -> Vec<TrialUse> {
    let mut of_domain: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut of_source: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for one in all {
        of_domain
            .entry(domain(&one.email))
            .or_default()
            .insert(one.account.as_str());
    }
    for (account, known) in sources {
        for source in known {
            of_source.entry(source).or_default().insert(account);
        }
    }
    let signalled = |one: &TrialUse| {
        let own = one.account.as_str();
        let others: BTreeSet<&str> = sources
            .get(own)
            .into_iter()
            .flatten()
            .filter_map(|source| of_source.get(source.as_str()))
            .flatten()
            .copied()
            .filter(|other| *other != own)
            .collect();
        TrialUse {
            same_source: others.len(),
            same_domain: of_domain
                .get(domain(&one.email))
                .map_or(0, |all| all.len().saturating_sub(1)),
            ..one.clone()
        }
    };
    all.iter().skip(skip).take(limit).map(signalled).collect()
}

fn domain(email: &str) -> &str {
    email.rsplit_once('@').map_or(email, |(_, domain)| domain)
}
