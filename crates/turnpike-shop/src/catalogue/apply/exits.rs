//! A network's exits and what can be sold of them.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::{Applying, Known, Values};
use crate::catalogue::{Difference, Exit, ExitSpec, ExitWay, RotateMethod, open_spec, seal_spec, without_credentials};
use crate::error::{Refusal, Result};
use crate::slot;
use crate::store::many::{MOST, filled, placeholders, rows};
use crate::store::{Row, Tx, Value};
use crate::types::{ExitId, Health, NetworkId};

impl Applying<'_> {
    pub(super) async fn exits(
        &mut self,
        tx: &mut Tx,
        network: &str,
        wanted: &[Exit],
        network_id: &NetworkId,
        tell_all: bool,
    ) -> Result<()> {
        // The strongest lock: no sale may be under way that has read where its exit is and what it is sold as.
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
        let mut changed = Vec::new();
        for exit in wanted {
            let name = format!("{network}/{}", exit.name);
            let gateway = self.gateway_of(&name, exit)?;
            let before = known.remove(&exit.name);
            if let Some((before, _)) = &before
                && before.values.get("gateway") != Some(&gateway)
                && is_in_use(tx, &before.id).await?
            {
                return Err(Refusal::Catalogue(format!(
                    "exit {name} has subscriptions and cannot move to gateway {gateway}; give the new one another name"
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
            if differs || tell_all {
                self.changed_exits.push((gateway.clone(), id.clone()));
            }
            if differs {
                changed.push(Changed { id, gateway, exit });
            }
        }
        for changed in changed.chunks(MOST) {
            self.write_exits(tx, network_id, changed).await?;
            resize(tx, network, changed).await?;
        }
        let mut left_out = Vec::new();
        for (name, (left, _)) in known.into_iter().filter(|(_, (exit, _))| exit.is_active) {
            self.deactivates("exit", &format!("{network}/{name}"));
            left_out.push(Value::Text(left.id.to_string()));
        }
        for left_out in left_out.chunks(MOST) {
            let ids = filled(left_out.to_vec());
            tx.execute(&DEACTIVATE, &ids).await?;
            slot::offer(tx, &ids).await?;
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

    async fn write_exits(&self, tx: &mut Tx, network: &NetworkId, mut changed: &[Changed<'_>]) -> Result<()> {
        while !changed.is_empty() {
            let (count, statement) = match changed.len() {
                MOST.. => (MOST, &*WRITE_MOST),
                10.. => (10, &*WRITE_TEN),
                _ => (1, &*WRITE_ONE),
            };
            let (now, later) = changed.split_at(count);
            let mut values = Vec::with_capacity(count * COLUMNS);
            for Changed { id, gateway, exit } in now {
                values.extend([
                    Value::Text(id.to_string()),
                    Value::Text(network.to_string()),
                    Value::Text(exit.name.clone()),
                    Value::Text(gateway.clone()),
                    Value::Bytes(seal_spec(&self.shop.master_key, id, &exit.spec)?),
                    Value::Int(i64::from(exit.spec.can_rotate())),
                    Value::Int(exit.shared_slots),
                    Value::Int(1),
                    Value::Text(Health::Unknown.to_string()),
                    Value::Int(self.now.0),
                    Value::Int(0),
                ]);
            }
            tx.execute(statement, &values).await?;
            changed = later;
        }
        Ok(())
    }

    /// The gateway of an exit: the one it names, or the only one.
    fn gateway_of(&self, name: &str, exit: &Exit) -> Result<String> {
        match (&exit.gateway, self.gateways.as_slice()) {
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
}

/// Gives exits, at most [`MOST`], the slots that they should have. Sold ones beyond that stay until they are given back; a private
/// exit does not become a shared one, or the other way, under a running subscription.
async fn resize(tx: &mut Tx, network: &str, changed: &[Changed<'_>]) -> Result<()> {
    let ids = filled(
        changed
            .iter()
            .map(|changed| Value::Text(changed.id.to_string()))
            .collect(),
    );
    if let Some(row) = tx.optional(&OF_THE_OTHER_KIND, &ids).await? {
        return Err(Refusal::Catalogue(format!(
            "exit {network}/{} has {} running subscriptions and cannot change between private and shared; \
             give the new one another name",
            row.text("name")?,
            row.int("slots")?
        ))
        .into());
    }
    tx.execute(&OPEN_SLOTS, &ids).await?;
    slot::offer(tx, &ids).await
}

/// An exit that is to be written.
struct Changed<'a> {
    id: ExitId,
    gateway: String,
    exit: &'a Exit,
}

/// Of an exit's row, as far as the catalogue has them.
const COLUMNS: usize = 11;

static WRITE_MOST: LazyLock<String> = LazyLock::new(|| write(MOST));
static WRITE_TEN: LazyLock<String> = LazyLock::new(|| write(10));
static WRITE_ONE: LazyLock<String> = LazyLock::new(|| write(1));

fn write(count: usize) -> String {
    format!(
        "INSERT INTO network_exit (id, network_id, name, gateway, sealed_spec, can_rotate, shared_slots, active, health,
                                   created_at, revision)
         VALUES {}
         ON CONFLICT (network_id, name) DO UPDATE SET gateway = excluded.gateway, sealed_spec = excluded.sealed_spec,
             can_rotate = excluded.can_rotate, shared_slots = excluded.shared_slots, active = 1",
        rows(count, COLUMNS)
    )
}

static DEACTIVATE: LazyLock<String> = LazyLock::new(|| {
    format!(
        "UPDATE network_exit SET active = 0 WHERE id IN ({})",
        placeholders(1, MOST)
    )
});

/// The first exit of which something is sold as what it shall not be any more.
static OF_THE_OTHER_KIND: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT e.name, COUNT(*) AS slots FROM slot s JOIN network_exit e ON e.id = s.exit_id
         WHERE e.id IN ({}) AND s.subscription_id IS NOT NULL
             AND s.connection_type <> CASE WHEN e.shared_slots = 0 THEN 'private' ELSE 'shared' END
         GROUP BY e.name ORDER BY e.name LIMIT 1",
        placeholders(1, MOST)
    )
});

static OPEN_SLOTS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "WITH RECURSIVE wanted (exit_id, network_id, connection_type, slots, slot_no) AS
             (SELECT id, network_id, CASE WHEN shared_slots = 0 THEN 'private' ELSE 'shared' END,
                     CASE WHEN shared_slots = 0 THEN 1 ELSE shared_slots END, CAST(1 AS BIGINT)
              FROM network_exit WHERE id IN ({})
              UNION ALL
              SELECT exit_id, network_id, connection_type, slots, slot_no + 1 FROM wanted WHERE slot_no < slots)
         INSERT INTO slot (exit_id, slot_no, network_id, connection_type, sellable, freed_at)
         SELECT exit_id, slot_no, network_id, connection_type, 1, 0 FROM wanted WHERE true
         ON CONFLICT (exit_id, slot_no) DO UPDATE SET connection_type = excluded.connection_type",
        placeholders(1, MOST)
    )
});

/// Whether any subscription leaves by this exit, or may come back to it: one that has ended keeps its gateway's port, and can be
/// renewed.
async fn is_in_use(tx: &mut Tx, exit: &ExitId) -> Result<bool> {
    let holder = "SELECT id FROM subscription WHERE exit_id = $1 AND state <> 'released' LIMIT 1";
    Ok(tx.optional(holder, &[Value::Text(exit.to_string())]).await?.is_some())
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
