//! What is sold where, for how much.

use std::collections::BTreeMap;

use super::{Applying, Known, Values, flag, or_none};
use crate::catalogue::Plan;
use crate::error::{Error, Result};
use crate::limits::{GIGABYTE, Limits};
use crate::store::{Tx, Value};
use crate::types::{NetworkId, PlanId, Span};

impl Applying<'_> {
    pub(super) async fn plans(
        &mut self,
        tx: &mut Tx,
        wanted: &[Plan],
        networks: &BTreeMap<String, NetworkId>,
    ) -> Result<()> {
        let rows = tx
            .all(
                "SELECT p.id, p.code, n.code AS network, p.connection_type, p.duration_ms, p.price_cents, p.popular, p.trial_ms,
                        p.max_connections, p.max_source_addresses, p.mbit_per_second, p.traffic_bytes, p.active
                 FROM plan p JOIN network n ON n.id = p.network_id ORDER BY p.code",
                &[],
            )
            .await?;
        let mut known = BTreeMap::new();
        for row in &rows {
            let mut values = Values::from([
                ("network", row.text("network")?),
                ("connection_type", row.text("connection_type")?),
                ("duration", Span(row.int("duration_ms")?).to_string()),
                ("price_cents", row.int("price_cents")?.to_string()),
                ("popular", flag(row.int("popular")?)),
                ("trial", or_none(row.optional_int("trial_ms")?.map(Span))),
            ]);
            values.extend(spelled(&Limits::read(row)?));
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
            let mut values = Values::from([
                ("network", plan.network.clone()),
                ("connection_type", plan.connection_type.to_string()),
                ("duration", plan.duration.to_string()),
                ("price_cents", plan.price.0.to_string()),
                ("popular", flag(i64::from(plan.popular))),
                ("trial", or_none(plan.trial)),
            ]);
            values.extend(spelled(&plan.limits));
            let before: Option<Known<PlanId>> = known.remove(&plan.code);
            if self.differs("plan", &plan.code, before.as_ref(), &values) {
                let id = before.map_or_else(PlanId::random, |before| before.id);
                let [max_connections, max_source_addresses, mbit_per_second, traffic_bytes] = plan.limits.values();
                tx.execute(
                    "INSERT INTO plan (id, code, network_id, connection_type, duration_ms, price_cents, popular, trial_ms, active,
                                       created_at, max_connections, max_source_addresses, mbit_per_second, traffic_bytes)
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 1, $9, $10, $11, $12, $13)
                     ON CONFLICT (code) DO UPDATE SET network_id = excluded.network_id,
                         connection_type = excluded.connection_type, duration_ms = excluded.duration_ms,
                         price_cents = excluded.price_cents, popular = excluded.popular, trial_ms = excluded.trial_ms,
                         max_connections = excluded.max_connections, max_source_addresses = excluded.max_source_addresses,
                         mbit_per_second = excluded.mbit_per_second, traffic_bytes = excluded.traffic_bytes, active = 1",
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
                        max_connections,
                        max_source_addresses,
                        mbit_per_second,
                        traffic_bytes,
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
}

/// Limits as the catalogue's keys and as the operator reads them.
fn spelled(limits: &Limits) -> [(&'static str, String); 4] {
    [
        ("max_connections", or_none(limits.max_connections)),
        ("max_source_addresses", or_none(limits.max_source_addresses)),
        ("mbit_per_second", or_none(limits.mbit_per_second)),
        (
            "traffic_gb",
            or_none(limits.traffic_bytes.map(|bytes| bytes / GIGABYTE)),
        ),
    ]
}
