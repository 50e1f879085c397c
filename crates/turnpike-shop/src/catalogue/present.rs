//! The catalogue as it is now, in the operator's own words: what [`super::apply`] would find nothing to change by.

use std::collections::BTreeMap;

use super::{Catalogue, Coupon, Discount, Exit, Network, Plan, open_spec};
use crate::audit_log::{self, Actor};
use crate::coupon;
use crate::error::Result;
use crate::limits::Limits;
use crate::shop::Shop;
use crate::store::{Row, Tx, Value};
use crate::types::{Cents, ExitId, NetworkId, Span, UnixMillis};

/// What is sold, without the exits and what is secret of them, and what has come of it.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// The networks' codes, in their order.
    pub networks: Vec<String>,
    /// The plans that are active, by their codes.
    pub plans: Vec<Plan>,
    /// The coupons that are active, by their codes.
    pub coupons: Vec<Coupon>,
    /// How many subscriptions run that were bought or renewed last with a plan, by its code.
    pub running: BTreeMap<String, i64>,
    /// How often a coupon was redeemed, by its code.
    pub redeemed: BTreeMap<String, i64>,
}

/// What is sold now, and what has come of it, in one consistent view.
///
/// # Errors
/// Only the database's.
pub async fn present(shop: &Shop) -> Result<Seen> {
    shop.store
        .read(|tx| {
            Box::pin(async move {
                let networks = tx
                    .all("SELECT code FROM network WHERE active = 1 ORDER BY code", &[])
                    .await?;
                Ok(Seen {
                    networks: networks.iter().map(|row| row.text("code")).collect::<Result<_>>()?,
                    plans: plans(tx).await?,
                    coupons: coupons(tx).await?,
                    running: counts(
                        tx,
                        "SELECT p.code, COUNT(*) AS count FROM subscription s JOIN plan p ON p.id = s.plan_id
                         WHERE s.state = 'active' GROUP BY p.code",
                    )
                    .await?,
                    redeemed: counts(tx, "SELECT code, redeemed AS count FROM coupon WHERE redeemed > 0").await?,
                })
            })
        })
        .await
}

/// The catalogue whole, exits' credentials too, for a file; who took it is written down.
///
/// # Errors
/// Only the database's.
pub async fn export(shop: &Shop, actor: impl Into<Actor>) -> Result<Catalogue> {
    let (owned, actor) = (shop.clone(), Actor::of(actor));
    shop.store
        .transaction(move |tx| {
            let (shop, actor) = (owned.clone(), actor.clone());
            Box::pin(async move {
                let catalogue = read(&shop, tx).await?;
                let detail = serde_json::json!({});
                audit_log::write(tx, &actor, "catalogue.export", "catalogue", &detail, shop.now()).await?;
                Ok(catalogue)
            })
        })
        .await
}

async fn counts(tx: &mut Tx, sql: &'static str) -> Result<BTreeMap<String, i64>> {
    let rows = tx.all(sql, &[]).await?;
    rows.iter()
        .map(|row| Ok((row.text("code")?, row.int("count")?)))
        .collect()
}

/// All that is active.
pub(super) async fn read(shop: &Shop, tx: &mut Tx) -> Result<Catalogue> {
    let rows = tx
        .all(
            "SELECT id, code, city, country, network_type, allow_smtp FROM network WHERE active = 1 ORDER BY code",
            &[],
        )
        .await?;
    let gateways = tx
        .one("SELECT COUNT(*) AS count FROM gateway", &[])
        .await?
        .int("count")?;
    let mut networks = Vec::with_capacity(rows.len());
    for row in &rows {
        networks.push(Network {
            code: row.text("code")?,
            city: row.text("city")?,
            country: row.text("country")?,
            network_type: row.parsed("network_type")?,
            allow_smtp: row.int("allow_smtp")? == 1,
            // The only gateway need not be named.
            exits: exits(shop, tx, &row.parsed("id")?, gateways > 1).await?,
        });
    }
    Ok(Catalogue {
        networks,
        plans: plans(tx).await?,
        coupons: coupons(tx).await?,
    })
}

async fn exits(shop: &Shop, tx: &mut Tx, network: &NetworkId, names_gateway: bool) -> Result<Vec<Exit>> {
    let rows = tx
        .all(
            "SELECT id, name, gateway, sealed_spec, shared_slots FROM network_exit
             WHERE network_id = $1 AND active = 1 ORDER BY name",
            &[Value::Text(network.to_string())],
        )
        .await?;
    let read = |row: &Row| {
        let id: ExitId = row.parsed("id")?;
        Ok(Exit {
            name: row.text("name")?,
            gateway: names_gateway.then(|| row.text("gateway")).transpose()?,
            spec: open_spec(&shop.master_key, &id, &row.bytes("sealed_spec")?)?,
            shared_slots: row.int("shared_slots")?,
        })
    };
    rows.iter().map(read).collect()
}

async fn plans(tx: &mut Tx) -> Result<Vec<Plan>> {
    let rows = tx
        .all(
            "SELECT p.code, n.code AS network, p.connection_type, p.duration_ms, p.price_cents, p.popular, p.trial_ms,
                    p.max_connections, p.max_source_addresses, p.mbit_per_second, p.traffic_bytes
             FROM plan p JOIN network n ON n.id = p.network_id WHERE p.active = 1 AND n.active = 1 ORDER BY p.code",
            &[],
        )
        .await?;
    let read = |row: &Row| {
        Ok(Plan {
            code: row.text("code")?,
            network: row.text("network")?,
            connection_type: row.parsed("connection_type")?,
            duration: Span(row.int("duration_ms")?),
            price: Cents(row.int("price_cents")?),
            popular: row.int("popular")? == 1,
            trial: row.optional_int("trial_ms")?.map(Span),
            limits: Limits::read(row)?,
        })
    };
    rows.iter().map(read).collect()
}

async fn coupons(tx: &mut Tx) -> Result<Vec<Coupon>> {
    let rows = tx
        .all(
            "SELECT code, percent_off, cents_off, max_redemptions, per_account, valid_until
             FROM coupon WHERE active = 1 ORDER BY code",
            &[],
        )
        .await?;
    let read = |row: &Row| {
        let discount: Discount = coupon::discount(row)?;
        Ok(Coupon {
            code: row.text("code")?,
            discount,
            max_redemptions: row.optional_int("max_redemptions")?,
            per_account: row.optional_int("per_account")?,
            valid_until: row.optional_int("valid_until")?.map(UnixMillis),
        })
    };
    rows.iter().map(read).collect()
}
