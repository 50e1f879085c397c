//! Making the shop's catalogue equal to the operator's file: the difference first, then all of it or none.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{
    Catalogue, Coupon, Difference, Discount, Exit, ExitSpec, ExitWay, Network, Plan, RotateMethod, open_spec, seal_spec,
};
use crate::audit_log;
use crate::coupon;
use crate::error::{Error, Refusal, Result};
use crate::routes;
use crate::shop::Shop;
use crate::store::{Row, Tx, Value};
use crate::types::{ConnectionType, CouponId, ExitId, NetworkId, PlanId, Span, UnixMillis};

/// Makes the shop's catalogue equal to this one: creates, updates, reactivates; what is no longer there is deactivated and its
/// running subscriptions keep working. Idempotent. With `dry_run` nothing is written.
///
/// # Errors
/// [`Refusal::Catalogue`] names what contradicts; nothing is applied.
pub async fn apply(shop: &Shop, actor: &str, catalogue: Catalogue, dry_run: bool) -> Result<Vec<Difference>> {
    check(&catalogue)?;
    let (owned, actor, catalogue) = (shop.clone(), actor.to_owned(), Arc::new(catalogue));
    shop.store
        .transaction(move |tx| {
            let (shop, actor, catalogue) = (owned.clone(), actor.clone(), Arc::clone(&catalogue));
            Box::pin(async move {
                let mut applying = Applying {
                    shop: &shop,
                    now: shop.now(),
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
    differences: Vec<Difference>,
    /// With their gateways, which must be told.
    changed_exits: Vec<(String, ExitId)>,
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
            .all("SELECT id, code, city, country, network_type, allow_smtp, active FROM network ORDER BY code FOR UPDATE", &[])
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

    async fn exits(
        &mut self,
        tx: &mut Tx,
        network: &str,
        wanted: &[Exit],
        network_id: &NetworkId,
        tell_all: bool,
    ) -> Result<()> {
        let rows = tx
            .all(
                "SELECT id, name, gateway, sealed_spec, shared_slots, active FROM network_exit
                 WHERE network_id = $1 ORDER BY id FOR UPDATE",
                &[Value::Text(network_id.to_string())],
            )
            .await?;
        let mut known = BTreeMap::new();
        for row in &rows {
            known.insert(row.text("name")?, self.known_exit(row)?);
        }
        for exit in wanted {
            let name = format!("{network}/{}", exit.name);
            let gateway = gateway_of(tx, &name, exit).await?;
            let before = known.remove(&exit.name);
            if let Some((before, _)) = &before
                && before.values.get("gateway") != Some(&gateway)
                && slots_taken(tx, &before.id).await? > 0
            {
                return Err(Refusal::Catalogue(format!(
                    "exit {name} has running subscriptions and cannot move to gateway {gateway}; give the new one another name"
                ))
                .into());
            }
            let mut values = spec_values(&exit.spec);
            values.insert("gateway", gateway.clone());
            values.insert("shared_slots", exit.shared_slots.to_string());
            let mut differs = self.differs("exit", &name, before.as_ref().map(|(known, _)| known), &values);
            // A change of credentials alone shows in no value that may be shown.
            if !differs && before.as_ref().is_some_and(|(_, spec)| *spec != exit.spec) {
                self.differences.push(Difference {
                    change: "update",
                    kind: "exit",
                    name: name.clone(),
                    detail: vec!["credentials changed".to_owned()],
                });
                differs = true;
            }
            let id = before.map_or_else(ExitId::random, |(before, _)| before.id);
            if differs {
                self.write_exit(tx, &id, network_id, exit, &gateway).await?;
                self.resize(tx, &id, network_id, &name, exit.shared_slots).await?;
            }
            if differs || tell_all {
                self.changed_exits.push((gateway, id));
            }
        }
        for (name, (left, _)) in known.into_iter().filter(|(_, (exit, _))| exit.is_active) {
            self.deactivates("exit", &format!("{network}/{name}"));
            let id = Value::Text(left.id.to_string());
            tx.execute("UPDATE network_exit SET active = 0 WHERE id = $1", &[id.clone()])
                .await?;
            tx.execute("UPDATE slot SET sellable = 0 WHERE exit_id = $1", &[id])
                .await?;
        }
        Ok(())
    }

    fn known_exit(&self, row: &Row) -> Result<(Known<ExitId>, ExitSpec)> {
        let id: ExitId = row.parsed("id")?;
        let spec = open_spec(&self.shop.master_key, &id, &row.bytes("sealed_spec")?)?;
        let mut values = spec_values(&spec);
        values.insert("gateway", row.text("gateway")?);
        values.insert("shared_slots", row.int("shared_slots")?.to_string());
        let is_active = row.int("active")? == 1;
        Ok((Known { id, is_active, values }, spec))
    }

    async fn write_exit(
        &self,
        tx: &mut Tx,
        id: &ExitId,
        network: &NetworkId,
        exit: &Exit,
        gateway: &str,
    ) -> Result<()> {
        tx.execute(
            "INSERT INTO network_exit (id, network_id, name, gateway, sealed_spec, can_rotate, shared_slots, active, health,
                                       created_at, revision)
             VALUES ($1, $2, $3, $4, $5, $6, $7, 1, 'unknown', $8, 0)
             ON CONFLICT (network_id, name) DO UPDATE SET gateway = excluded.gateway, sealed_spec = excluded.sealed_spec,
                 can_rotate = excluded.can_rotate, shared_slots = excluded.shared_slots, active = 1",
            &[
                Value::Text(id.to_string()),
                Value::Text(network.to_string()),
                Value::Text(exit.name.clone()),
                Value::Text(gateway.to_owned()),
                Value::Bytes(seal_spec(&self.shop.master_key, id, &exit.spec)?),
                Value::Int(i64::from(exit.spec.can_rotate())),
                Value::Int(exit.shared_slots),
                Value::Int(self.now.0),
            ],
        )
        .await?;
        Ok(())
    }

    /// Gives an exit the slots that it should have. Sold ones beyond that stay until they are given back; a private exit
    /// does not become a shared one, or the other way, under a running subscription.
    async fn resize(&self, tx: &mut Tx, id: &ExitId, network: &NetworkId, name: &str, shared_slots: i64) -> Result<()> {
        let (connection_type, count) = match shared_slots {
            0 => (ConnectionType::Private, 1),
            count => (ConnectionType::Shared, count),
        };
        let exit = Value::Text(id.to_string());
        let kind = Value::Text(connection_type.to_string());
        let of_the_other_kind = tx
            .one(
                "SELECT COUNT(*) AS slots FROM slot WHERE exit_id = $1 AND connection_type <> $2 AND subscription_id IS NOT NULL",
                &[exit.clone(), kind.clone()],
            )
            .await?
            .int("slots")?;
        if of_the_other_kind > 0 {
            return Err(Refusal::Catalogue(format!(
                "exit {name} has {of_the_other_kind} running subscriptions and cannot change between private and shared; \
                 give the new one another name"
            ))
            .into());
        }
        tx.execute(
            "WITH RECURSIVE numbers (slot_no) AS
                 (SELECT CAST(1 AS BIGINT) UNION ALL SELECT slot_no + 1 FROM numbers WHERE slot_no < $4)
             INSERT INTO slot (exit_id, slot_no, network_id, connection_type, sellable, freed_at)
             SELECT $1, slot_no, $2, $3, 1, 0 FROM numbers WHERE true
             ON CONFLICT (exit_id, slot_no) DO UPDATE SET connection_type = excluded.connection_type, sellable = 1",
            &[exit.clone(), Value::Text(network.to_string()), kind, Value::Int(count)],
        )
        .await?;
        tx.execute(
            "UPDATE slot SET sellable = 0 WHERE exit_id = $1 AND slot_no > $2",
            &[exit, Value::Int(count)],
        )
        .await?;
        Ok(())
    }

    async fn plans(&mut self, tx: &mut Tx, wanted: &[Plan], networks: &BTreeMap<String, NetworkId>) -> Result<()> {
        let rows = tx
            .all(
                "SELECT p.id, p.code, n.code AS network, p.connection_type, p.duration_ms, p.price_cents, p.popular, p.trial_ms,
                        p.active
                 FROM plan p JOIN network n ON n.id = p.network_id ORDER BY p.code",
                &[],
            )
            .await?;
        let mut known = BTreeMap::new();
        for row in &rows {
            let values = Values::from([
                ("network", row.text("network")?),
                ("connection_type", row.text("connection_type")?),
                ("duration", Span(row.int("duration_ms")?).to_string()),
                ("price_cents", row.int("price_cents")?.to_string()),
                ("popular", flag(row.int("popular")?)),
                ("trial", or_none(row.optional_int("trial_ms")?.map(Span))),
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
        for plan in wanted {
            let network = networks
                .get(&plan.network)
                .ok_or_else(|| Error::Failed(format!("network {} was not made", plan.network)))?;
            let values = Values::from([
                ("network", plan.network.clone()),
                ("connection_type", plan.connection_type.to_string()),
                ("duration", plan.duration.to_string()),
                ("price_cents", plan.price.0.to_string()),
                ("popular", flag(i64::from(plan.popular))),
                ("trial", or_none(plan.trial)),
            ]);
            let before: Option<Known<PlanId>> = known.remove(&plan.code);
            if self.differs("plan", &plan.code, before.as_ref(), &values) {
                let id = before.map_or_else(PlanId::random, |before| before.id);
                tx.execute(
                    "INSERT INTO plan (id, code, network_id, connection_type, duration_ms, price_cents, popular, trial_ms, active,
                                       created_at)
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 1, $9)
                     ON CONFLICT (code) DO UPDATE SET network_id = excluded.network_id,
                         connection_type = excluded.connection_type, duration_ms = excluded.duration_ms,
                         price_cents = excluded.price_cents, popular = excluded.popular, trial_ms = excluded.trial_ms, active = 1",
                    &[
                        Value::Text(id.to_string()),
                        Value::Text(plan.code.clone()),
                        Value::Text(network.to_string()),
                        Value::Text(plan.connection_type.to_string()),
                        Value::Int(plan.duration.0),
                        Value::Int(plan.price.0),
                        Value::Int(i64::from(plan.popular)),
                        plan.trial.map_or(Value::NullInt, |trial| Value::Int(trial.0)),
                        Value::Int(self.now.0),
                    ],
                )
                .await?;
            }
        }
        for (code, left) in known.into_iter().filter(|(_, plan)| plan.is_active) {
            self.deactivates("plan", &code);
            tx.execute(
                "UPDATE plan SET active = 0 WHERE id = $1",
                &[Value::Text(left.id.to_string())],
            )
            .await?;
        }
        Ok(())
    }

    async fn coupons(&mut self, tx: &mut Tx, wanted: &[Coupon]) -> Result<()> {
        let rows = tx
            .all(
                "SELECT id, code, percent_off, cents_off, max_redemptions, per_account, valid_until, active
                 FROM coupon ORDER BY code FOR UPDATE",
                &[],
            )
            .await?;
        let mut known = BTreeMap::new();
        for row in &rows {
            let values = Values::from([
                ("percent_off", or_none(row.optional_int("percent_off")?)),
                ("cents_off", or_none(row.optional_int("cents_off")?)),
                ("max_redemptions", or_none(row.optional_int("max_redemptions")?)),
                ("per_account", or_none(row.optional_int("per_account")?)),
                ("valid_until", or_none(row.optional_int("valid_until")?.map(moment))),
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
        for wanted in wanted {
            let code = coupon::normal(&wanted.code);
            let (percent, cents) = match wanted.discount {
                Discount::Percent(percent) => (Some(i64::from(percent)), None),
                Discount::Fixed(cents) => (None, Some(cents.0)),
            };
            let until = wanted.valid_until.map(|at| at.0);
            let values = Values::from([
                ("percent_off", or_none(percent)),
                ("cents_off", or_none(cents)),
                ("max_redemptions", or_none(wanted.max_redemptions)),
                ("per_account", or_none(wanted.per_account)),
                ("valid_until", or_none(until.map(moment))),
            ]);
            let before: Option<Known<CouponId>> = known.remove(&code);
            if self.differs("coupon", &code, before.as_ref(), &values) {
                let id = before.map_or_else(CouponId::random, |before| before.id);
                let or_null = |value: Option<i64>| value.map_or(Value::NullInt, Value::Int);
                tx.execute(
                    "INSERT INTO coupon (id, code, percent_off, cents_off, max_redemptions, per_account, valid_until, active,
                                         redeemed, created_at)
                     VALUES ($1, $2, $3, $4, $5, $6, $7, 1, 0, $8)
                     ON CONFLICT (code) DO UPDATE SET percent_off = excluded.percent_off, cents_off = excluded.cents_off,
                         max_redemptions = excluded.max_redemptions, per_account = excluded.per_account,
                         valid_until = excluded.valid_until, active = 1",
                    &[
                        Value::Text(id.to_string()),
                        Value::Text(code),
                        or_null(percent),
                        or_null(cents),
                        or_null(wanted.max_redemptions),
                        or_null(wanted.per_account),
                        or_null(until),
                        Value::Int(self.now.0),
                    ],
                )
                .await?;
            }
        }
        for (code, left) in known.into_iter().filter(|(_, coupon)| coupon.is_active) {
            self.deactivates("coupon", &code);
            tx.execute(
                "UPDATE coupon SET active = 0 WHERE id = $1",
                &[Value::Text(left.id.to_string())],
            )
            .await?;
        }
        Ok(())
    }
}

/// The gateway of an exit: the one it names, or the only one.
async fn gateway_of(tx: &mut Tx, name: &str, exit: &Exit) -> Result<String> {
    let rows = tx.all("SELECT name FROM gateway ORDER BY name", &[]).await?;
    let gateways: Vec<String> = rows.iter().map(|row| row.text("name")).collect::<Result<_>>()?;
    match (&exit.gateway, gateways.as_slice()) {
        (Some(wanted), known) if known.contains(wanted) => Ok(wanted.clone()),
        (Some(wanted), known) => Err(Refusal::Catalogue(format!(
            "exit {name} names the gateway {wanted}; known are {}",
            known.join(", ")
        ))
        .into()),
        (None, [only]) => Ok(only.clone()),
        (None, known) => Err(Refusal::Catalogue(format!(
            "exit {name} does not say which gateway it is on; add gateway = \"…\" ({})",
            known.join(", ")
        ))
        .into()),
    }
}

async fn slots_taken(tx: &mut Tx, exit: &ExitId) -> Result<i64> {
    tx.one(
        "SELECT COUNT(subscription_id) AS taken FROM slot WHERE exit_id = $1",
        &[Value::Text(exit.to_string())],
    )
    .await?
    .int("taken")
}

fn flag(value: i64) -> String {
    (value == 1).to_string()
}

fn or_none(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "none".to_owned(), |value| value.to_string())
}

/// As the catalogue spells it.
fn moment(at: i64) -> String {
    jiff::Timestamp::from_millisecond(at).map_or_else(|_| at.to_string(), |at| at.to_string())
}

/// What of an exit's specification an operator may be shown.
fn spec_values(spec: &ExitSpec) -> Values {
    let way = match &spec.way {
        ExitWay::Addresses(pool) => {
            let pool: Vec<String> = pool.iter().map(ToString::to_string).collect();
            format!("addresses {}", pool.join(", "))
        }
        ExitWay::Prefix(prefix) => format!("prefix {prefix}"),
        ExitWay::Interface(name) => format!("interface {name}"),
        ExitWay::Upstream(url) => format!("upstream {}", without_credentials(url)),
    };
    let rotate = match &spec.rotate {
        None => "none".to_owned(),
        // Arguments may be passwords.
        Some(RotateMethod::Command(command)) => format!("command {}", command.first().map_or("", String::as_str)),
        Some(RotateMethod::Http(url)) => format!("http {}", without_credentials(url)),
    };
    Values::from([
        ("way", way),
        ("rotate", rotate),
        ("drain_seconds", spec.drain_seconds.to_string()),
    ])
}

/// Scheme, host and port of a URL: user information, paths and queries may hold secrets.
fn without_credentials(url: &str) -> String {
    let Ok(url) = url::Url::parse(url) else {
        return "(not a URL)".to_owned();
    };
    let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
    format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or_default())
}
