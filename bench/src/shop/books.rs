//! How quickly the databases themselves make something durable on this disk.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rusqlite::Connection;
use testbed::postgres::{Cluster, binaries};

/// Rows per second that SQLite commits one by one, each on the disk before the next.
pub(crate) fn sqlite(folder: &Path, rows: usize) -> Result<f64> {
    let connection = Connection::open(folder.join("rows.db"))?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE line (id INTEGER PRIMARY KEY, text TEXT NOT NULL)",
    )?;
    let mut insert = connection.prepare("INSERT INTO line (text) VALUES (?1)")?;
    let start = Instant::now();
    for row in 0..rows {
        insert.execute([format!("the line of a ledger, number {row}")])?;
    }
    Ok(rows as f64 / start.elapsed().as_secs_f64())
}

/// Transactions per second of `pgbench -N` with so many clients.
pub(crate) fn postgres(cluster: &Cluster, clients: usize, time: Duration) -> Result<f64> {
    let database = cluster.database();
    let pgbench = binaries().context("PostgreSQL's programs")?.join("pgbench");
    let run = |arguments: &[&str]| -> Result<String> {
        let output = Command::new(&pgbench).args(arguments).arg(&database).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "pgbench: {said}");
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    run(&["--initialize", "--quiet", "--scale=10"])?;
    let (clients, seconds) = (clients.to_string(), time.as_secs().to_string());
    let said = run(&[
        "--skip-some-updates",
        "--client",
        &clients,
        "--jobs=2",
        "--time",
        &seconds,
    ])?;
    let rate = said
        .lines()
        .find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
    rate.with_context(|| format!("pgbench tells no rate: {said}"))
}
