//! A network's exits and what can be sold of them.

use std::collections::BTreeMap;

use super::{Applying, Known, Values};
use crate::catalogue::{Difference, Exit, ExitSpec, ExitWay, RotateMethod, open_spec, seal_spec};
use crate::error::{Refusal, Result};
use crate::store::{Row, Tx, Value};
use crate::types::{ConnectionType, ExitId, NetworkId};

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
        for exit in wanted {
            let name = format!("{network}/{}", exit.name);
            let gateway = gateway_of(tx, &name, exit).await?;
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
            tx.execute(
                "UPDATE network_exit SET active = 0 WHERE id = $1",
                std::slice::from_ref(&id),
            )
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

/// Scheme, host and port of a URL: user information, paths and queries may hold secrets.
fn without_credentials(url: &str) -> String {
    let Ok(url) = url::Url::parse(url) else {
        return "(not a URL)".to_owned();
    };
    let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
    format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or_default())
}
