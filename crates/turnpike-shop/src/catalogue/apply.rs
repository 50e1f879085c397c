//! Making the shop's catalogue equal to the operator's file: the difference first, then all of it or none.

mod coupons;
mod exits;
mod plans;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Catalogue, Coupon, Difference, Network, Plan, present};
use crate::audit_log::{self, Actor};
use crate::coupon;
use crate::error::{Error, Refusal, Result};
use crate::routes;
use crate::secrets;
use crate::shop::Shop;
use crate::store::{Tx, Value};
use crate::types::{ExitId, NetworkId, UnixMillis};

/// Makes the shop's catalogue equal to this one: creates, updates, reactivates; what is no longer there is deactivated and its
/// running subscriptions keep working. Idempotent. With `dry_run` nothing is written.
///
/// # Errors
/// [`Refusal::Catalogue`] names what contradicts; nothing is applied.
pub async fn apply(
    shop: &Shop,
    actor: impl Into<Actor>,
    catalogue: Catalogue,
    dry_run: bool,
) -> Result<Vec<Difference>> {
    change(shop, actor, Wish::Whole(catalogue), dry_run, None).await
}

/// As [`apply`], where the difference is still the one that somebody has looked at: `seen` is its [`digest`].
///
/// # Errors
/// [`Refusal::CatalogueMoved`], and those of [`apply`].
pub async fn apply_seen(
    shop: &Shop,
    actor: impl Into<Actor>,
    catalogue: Catalogue,
    seen: &str,
) -> Result<Vec<Difference>> {
    change(shop, actor, Wish::Whole(catalogue), false, Some(seen.to_owned())).await
}

/// What tells one difference from another, as short text.
#[must_use]
pub fn digest(differences: &[Difference]) -> String {
    let whole = format!("{differences:?}");
    let hash = secrets::hash(whole.as_bytes());
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Creates a plan, or gives the plan of this code other values; one that was retired is sold again. All rules are those of
/// [`apply`].
///
/// # Errors
/// [`Refusal::Catalogue`].
pub async fn put_plan(shop: &Shop, actor: impl Into<Actor>, plan: Plan) -> Result<Vec<Difference>> {
    change(shop, actor, Wish::Plan(plan), false, None).await
}

/// Takes a plan out of sale; what was bought with it runs on.
///
/// # Errors
/// Only the database's.
pub async fn retire_plan(shop: &Shop, actor: impl Into<Actor>, code: &str) -> Result<Vec<Difference>> {
    change(shop, actor, Wish::NoPlan(code.to_owned()), false, None).await
}

/// As [`put_plan`], for a coupon.
///
/// # Errors
/// [`Refusal::Catalogue`].
pub async fn put_coupon(shop: &Shop, actor: impl Into<Actor>, coupon: Coupon) -> Result<Vec<Difference>> {
    change(shop, actor, Wish::Coupon(coupon), false, None).await
}

/// Ends a coupon.
///
/// # Errors
/// Only the database's.
pub async fn retire_coupon(shop: &Shop, actor: impl Into<Actor>, code: &str) -> Result<Vec<Difference>> {
    change(shop, actor, Wish::NoCoupon(code.to_owned()), false, None).await
}

/// What is wanted of the catalogue.
enum Wish {
    Whole(Catalogue),
    Plan(Plan),
    NoPlan(String),
    Coupon(Coupon),
    NoCoupon(String),
}

impl Wish {
    /// The whole catalogue, as it should be.
    async fn fulfilled(&self, shop: &Shop, tx: &mut Tx) -> Result<Catalogue> {
        if let Self::Whole(catalogue) = self {
            return Ok(catalogue.clone());
        }
        // Whoever else changes the catalogue waits, or has finished: what he did is not undone.
        tx.all("SELECT id FROM network ORDER BY code FOR NO KEY UPDATE", &[])
            .await?;
        let mut catalogue = present::read(shop, tx).await?;
        match self {
            Self::Whole(_) => {}
            Self::Plan(plan) => {
                catalogue.plans.retain(|known| known.code != plan.code);
                catalogue.plans.push(plan.clone());
            }
            Self::NoPlan(code) => catalogue.plans.retain(|known| known.code != *code),
            Self::Coupon(coupon) => {
                let code = coupon::normal(&coupon.code);
                catalogue.coupons.retain(|known| known.code != code);
                catalogue.coupons.push(coupon.clone());
            }
            Self::NoCoupon(code) => {
                let code = coupon::normal(code);
                catalogue.coupons.retain(|known| known.code != code);
            }
        }
        Ok(catalogue)
    }
}

async fn change(
    shop: &Shop,
    actor: impl Into<Actor>,
    wish: Wish,
    dry_run: bool,
    seen: Option<String>,
) -> Result<Vec<Difference>> {
    let (owned, actor, wish) = (shop.clone(), Actor::of(actor), Arc::new(wish));
    shop.store
        .transaction(move |tx| {
            let (shop, actor, wish, seen) = (owned.clone(), actor.clone(), Arc::clone(&wish), seen.clone());
            Box::pin(async move {
                let catalogue = wish.fulfilled(&shop, tx).await?;
                check(&catalogue)?;
                let mut applying = Applying {
                    shop: &shop,
                    now: shop.now(),
                    gateways: gateways(tx).await?,
                    differences: Vec::new(),
                    changed_exits: Vec::new(),
                };
                applying.run(tx, &catalogue).await?;
                let Applying {
                    now,
                    differences,
                    changed_exits,
                    ..
                } = applying;
                if dry_run {
                    // What would have happened is exactly what is told: it did happen, and is undone.
                    tx.undo_at_end();
                    return Ok(differences);
                }
                if seen.is_some_and(|seen| seen != digest(&differences)) {
                    return Err(Refusal::CatalogueMoved.into());
                }
                if !differences.is_empty() {
                    let detail = serde_json::json!(differences);
                    audit_log::write(tx, &actor, "catalogue.apply", "catalogue", &detail, now).await?;
                }
                routes::publish_exits(tx, &changed_exits).await?;
                Ok(differences)
            })
        })
        .await
}

/// Whether the catalogue contradicts itself.
fn check(catalogue: &Catalogue) -> Result<()> {
    let refuse = |sentence: String| Err(Error::from(Refusal::Catalogue(sentence)));
    let mut codes = BTreeSet::new();
    for network in &catalogue.networks {
        if !codes.insert(network.code.as_str()) {
            return refuse(format!("network {} stands twice in the catalogue", network.code));
        }
        let mut names = BTreeSet::new();
        for exit in &network.exits {
            if !names.insert(exit.name.as_str()) {
                return refuse(format!("exit {} stands twice in network {}", exit.name, network.code));
            }
        }
    }
    let mut plans = BTreeSet::new();
    for plan in &catalogue.plans {
        if !plans.insert(plan.code.as_str()) {
            return refuse(format!("plan {} stands twice in the catalogue", plan.code));
        }
        if !codes.contains(plan.network.as_str()) {
            return refuse(format!(
                "plan {} names the network {}, which the catalogue does not have",
                plan.code, plan.network
            ));
        }
    }
    let mut coupons = BTreeSet::new();
    for coupon in &catalogue.coupons {
        if !coupons.insert(coupon::normal(&coupon.code)) {
            return refuse(format!(
                "coupon {} stands twice in the catalogue (codes are compared without case)",
                coupon.code
            ));
        }
    }
    Ok(())
}

struct Applying<'a> {
    shop: &'a Shop,
    now: UnixMillis,
    /// The names of all gateways.
    gateways: Vec<String>,
    differences: Vec<Difference>,
    /// With their gateways, which must be told.
    changed_exits: Vec<(String, ExitId)>,
}

async fn gateways(tx: &mut Tx) -> Result<Vec<String>> {
    let rows = tx.all("SELECT name FROM gateway ORDER BY name", &[]).await?;
    rows.iter().map(|row| row.text("name")).collect()
}

/// What stands in the database under a code or name: its id, whether it is active, and its values for comparison.
struct Known<I> {
    id: I,
    is_active: bool,
    values: Values,
}

/// A thing's values by key, as the operator reads them. Secrets never stand here.
type Values = BTreeMap<&'static str, String>;

impl Applying<'_> {
    async fn run(&mut self, tx: &mut Tx, catalogue: &Catalogue) -> Result<()> {
        let networks = self.networks(tx, &catalogue.networks).await?;
        self.plans(tx, &catalogue.plans, &networks).await?;
        self.coupons(tx, &catalogue.coupons).await
    }

    /// Tells a difference where there is one; whether there is.
    fn differs<I>(&mut self, kind: &'static str, name: &str, known: Option<&Known<I>>, wanted: &Values) -> bool {
        let (change, detail) = match known {
            None => (
                "create",
                wanted.iter().map(|(key, value)| format!("{key}: {value}")).collect(),
            ),
            Some(known) => {
                let detail: Vec<String> = wanted
                    .iter()
                    .filter(|(key, value)| known.values.get(*key) != Some(*value))
                    .map(|(key, value)| match known.values.get(key) {
                        Some(before) => format!("{key}: {before} -> {value}"),
                        None => format!("{key}: {value}"),
                    })
                    .collect();
                match (known.is_active, detail.is_empty()) {
                    (true, true) => return false,
                    (true, false) => ("update", detail),
                    (false, _) => ("reactivate", detail),
                }
            }
        };
        self.differences.push(Difference {
            change,
            kind,
            name: name.to_owned(),
            detail,
        });
        true
    }

    fn deactivates(&mut self, kind: &'static str, name: &str) {
        self.differences.push(Difference {
            change: "deactivate",
            kind,
            name: name.to_owned(),
            detail: Vec::new(),
        });
    }

    async fn networks(&mut self, tx: &mut Tx, wanted: &[Network]) -> Result<BTreeMap<String, NetworkId>> {
        let rows = tx
            .all("SELECT id, code, city, country, network_type, allow_smtp, active FROM network ORDER BY code FOR NO KEY UPDATE", &[])
            .await?;
        let mut known = BTreeMap::new();
        for row in &rows {
            let values = Values::from([
                ("city", row.text("city")?),
                ("country", row.text("country")?),
                ("type", row.text("network_type")?),
                ("allow_smtp", flag(row.int("allow_smtp")?)),
            ]);
            known.insert(
                row.text("code")?,
                Known {
                    id: row.parsed("id")?,
                    is_active: row.int("active")? == 1,
                    values,
                },
            );
        }
        let mut ids = BTreeMap::new();
        for network in wanted {
            let values = Values::from([
                ("city", network.city.clone()),
                ("country", network.country.clone()),
                ("type", network.network_type.to_string()),
                ("allow_smtp", flag(i64::from(network.allow_smtp))),
            ]);
            let before = known.remove(&network.code);
            let id = before
                .as_ref()
                .map_or_else(NetworkId::random, |before: &Known<NetworkId>| before.id.clone());
            if self.differs("network", &network.code, before.as_ref(), &values) {
                tx.execute(
                    "INSERT INTO network (id, code, city, country, network_type, allow_smtp, active, created_at)
                     VALUES ($1, $2, $3, $4, $5, $6, 1, $7)
                     ON CONFLICT (code) DO UPDATE SET city = excluded.city, country = excluded.country,
                         network_type = excluded.network_type, allow_smtp = excluded.allow_smtp, active = 1",
                    &[
                        Value::Text(id.to_string()),
                        Value::Text(network.code.clone()),
                        Value::Text(network.city.clone()),
                        Value::Text(network.country.clone()),
                        Value::Text(network.network_type.to_string()),
                        Value::Int(i64::from(network.allow_smtp)),
                        Value::Int(self.now.0),
                    ],
                )
                .await?;
            }
            let tells_exits = before.is_some_and(|before| before.values.get("allow_smtp") != values.get("allow_smtp"));
            self.exits(tx, &network.code, &network.exits, &id, tells_exits).await?;
            ids.insert(network.code.clone(), id);
        }
        for (code, left) in known.into_iter().filter(|(_, network)| network.is_active) {
            self.deactivates("network", &code);
            let id = Value::Text(left.id.to_string());
            tx.execute("UPDATE network SET active = 0 WHERE id = $1", &[id]).await?;
            self.exits(tx, &code, &[], &left.id, false).await?;
        }
        Ok(ids)
    }
}

fn flag(value: i64) -> String {
    (value == 1).to_string()
}

fn or_none(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "none".to_owned(), |value| value.to_string())
}
