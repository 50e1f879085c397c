//! What the shop costs: reading beside an answer of the bare web server, buying beside what the database does with one row.

mod bare;
mod books;
mod client;
mod many;
mod rotations;

use std::env;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testbed::ports::Ports;
use testbed::postgres::{Cluster, binaries};
use testbed::turnpike::{Builder, Turnpike};

use crate::load::spread;
use crate::measure::{Core, cpu_time, free, pin};
use crate::report::middle;
pub(crate) use bare::run as bare;
use client::{Connection, get, purchase};

/// Who buys at once.
const CLIENTS: usize = 32;
/// Who reads at once.
const READERS: usize = 8;
/// The most that one order gives.
const LISTED: usize = 20;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Three rounds with larger amounts
    #[arg(long)]
    full: bool,
    /// In place of all else: what the operations cost in books of 1,000,000 subscriptions beside books of 1,000
    #[arg(long)]
    many: bool,
    /// In place of all else: 10,000 exits that fall due for a rotation at once
    #[arg(long, conflicts_with = "many")]
    rotations: bool,
    /// The binary to measure
    #[arg(long)]
    turnpike: PathBuf,
    /// Where shop.md and shop.json are written, or the same of many or rotations
    #[arg(long)]
    out: PathBuf,
}

/// How much of everything.
#[derive(Debug, Clone, Copy)]
struct Amounts {
    rounds: usize,
    requests: usize,
    sqlite: u16,
    postgres: u16,
    opened: u16,
    pgbench: Duration,
}

impl Amounts {
    fn of(full: bool) -> Self {
        let (rounds, times) = if full { (3, 2) } else { (1, 1) };
        Self {
            rounds,
            requests: 8_000 * usize::from(times),
            sqlite: 1_500 * times,
            postgres: 1_500 * times,
            opened: 200 * times,
            pgbench: Duration::from_secs(3 * u64::from(times)),
        }
    }
}

/// A figure of one round beside what bounds it, in a unit.
struct Figure {
    name: &'static str,
    unit: &'static str,
    beside: &'static str,
    own: f64,
    bound: Option<f64>,
}

/// What measures one thing alone.
type Measure = fn(&mut Vec<Figure>) -> Result<()>;

pub(crate) fn run(options: &Options) -> Result<()> {
    testbed::turnpike::use_binary(options.turnpike.clone());
    let alone: Option<(&str, Measure)> = if options.many {
        Some(("many", many::measure))
    } else {
        options
            .rotations
            .then_some(("rotations", rotations::measure as Measure))
    };
    if let Some((name, measure)) = alone {
        let mut figures = Vec::new();
        measure(&mut figures)?;
        println!("\n{}", written(name, &[figures], &options.out)?);
        return Ok(());
    }
    let amounts = Amounts::of(options.full);
    let mut rounds = Vec::new();
    for round in 0..amounts.rounds {
        println!("round {} of {}", round + 1, amounts.rounds);
        let mut figures = Vec::new();
        reading(&amounts, &mut figures).context("reading")?;
        buying_on_sqlite(&amounts, &mut figures).context("buying on SQLite")?;
        if binaries().is_some_and(|folder| folder.join("pgbench").is_file()) {
            buying_on_postgres(&amounts, &mut figures).context("buying on PostgreSQL")?;
        } else {
            println!("  no PostgreSQL on this machine: not measured");
        }
        rounds.push(figures);
    }
    let text = written("shop", &rounds, &options.out)?;
    println!("\n{text}");
    Ok(())
}

/// A shop with so many ports of one exit for sale, on an address of its own.
fn shop(with: Builder, ports: u16) -> Builder {
    with.set("gateway.bind", "[\"127.0.0.77\"]")
        .set("gateway.public_host", "\"127.0.0.77\"")
        .set("gateway.ports", &format!("\"20000-{}\"", 20_000 + ports - 1))
        .set("limits.api_requests_per_second", "1000000")
        .set("limits.api_burst", "1000000")
        .network("NL-AMS")
        .shared("nl-1", "127.0.0.11", ports.into())
        .balance(1_000_000_000)
}

/// CPU time of the server per answer.
fn reading(amounts: &Amounts, figures: &mut Vec<Figure>) -> Result<()> {
    pin(Core::Contender)?;
    let shop = shop(Turnpike::with(), 100).start();
    pin(Core::Load)?;
    let plan = shop.plan("NL-AMS", "shared");
    let order = json!({"op": "purchase", "planId": plan, "quantity": LISTED});
    let _ = shop.order(&order).expect_status(200);
    let key = &shop.key("first@example.com", &[]).key;
    for (name, path) in [
        ("op=subscriptions, 20 of them", "/api/proxy?op=subscriptions"),
        ("op=plans", "/api/proxy?op=plans"),
    ] {
        let request = get(shop.api(), path, key);
        let body = Connection::open(shop.api())?.exchange(&request)?;
        let bare = Bare::answering(&body)?;
        let cost = |server: SocketAddr, pid: u32, requests: usize| -> Result<f64> {
            let request = get(server, path, key);
            let before = cpu_time(pid)?;
            spread(
                READERS,
                requests,
                || Connection::open(server),
                |connection| connection.exchange(&request).map(drop),
            )?;
            Ok(cpu_time(pid)?.saturating_sub(before).as_secs_f64() * 1e6 / requests as f64)
        };
        // Caches and connections to the database are made by the first ones.
        cost(shop.api(), shop.pid(), amounts.requests / 10)?;
        cost(bare.address, bare.child.id(), amounts.requests / 10)?;
        figures.push(Figure {
            name,
            unit: "CPU-µs each",
            beside: "bare axum, the same JSON",
            own: cost(shop.api(), shop.pid(), amounts.requests)?,
            bound: Some(cost(bare.address, bare.child.id(), amounts.requests)?),
        });
    }
    Ok(())
}

fn buying_on_sqlite(amounts: &Amounts, figures: &mut Vec<Figure>) -> Result<()> {
    free()?;
    let shop = shop(Turnpike::with(), amounts.sqlite + amounts.opened).start();
    let rows = books::sqlite(shop.home(), amounts.sqlite.into())?;
    let (first, last) = opened(&shop, amounts.opened)?;
    let own = bought(&shop, amounts.sqlite)?;
    shop.audit();
    figures.push(Figure {
        name: "purchases by 32 clients, SQLite",
        unit: "per second",
        beside: "rows committed one by one",
        own,
        bound: Some(rows),
    });
    for (name, own) in [
        ("a purchase's port open, median", first),
        ("a purchase's port open, p99", last),
    ] {
        figures.push(Figure {
            name,
            unit: "ms",
            beside: "",
            own: own.as_secs_f64() * 1e3,
            bound: None,
        });
    }
    Ok(())
}

fn buying_on_postgres(amounts: &Amounts, figures: &mut Vec<Figure>) -> Result<()> {
    free()?;
    let cluster = Cluster::start();
    let transactions = books::postgres(&cluster, CLIENTS, amounts.pgbench)?;
    let shop = shop(Turnpike::with().database(&cluster.database()), amounts.postgres).start();
    let own = bought(&shop, amounts.postgres)?;
    shop.audit();
    figures.push(Figure {
        name: "purchases by 32 clients, PostgreSQL",
        unit: "per second",
        beside: "pgbench -N by 32 clients",
        own,
        bound: Some(transactions),
    });
    Ok(())
}

/// Buys so many, each client with an account of its own; how many per second.
fn bought(shop: &Turnpike, count: u16) -> Result<f64> {
    let plan = shop.plan("NL-AMS", "shared");
    let customers = (0..CLIENTS).map(|number| shop.customer(&format!("customer{number}@example.com"), 1_000_000_000));
    let requests: Vec<_> = customers
        .map(|customer| purchase(shop.api(), &plan, &customer.key))
        .collect();
    let next = AtomicUsize::new(0);
    let open = || {
        let own = next.fetch_add(1, Ordering::Relaxed) % CLIENTS;
        Ok((Connection::open(shop.api())?, &requests[own]))
    };
    let start = Instant::now();
    spread(CLIENTS, count.into(), open, |(connection, request)| {
        connection.exchange(request).map(drop)
    })?;
    Ok(f64::from(count) / start.elapsed().as_secs_f64())
}

/// Buys one by one and connects to each port as soon as it is told: from the request's first byte until the port accepts, in the
/// middle and of the slowest in a hundred.
fn opened(shop: &Turnpike, count: u16) -> Result<(Duration, Duration)> {
    let request = purchase(
        shop.api(),
        &shop.plan("NL-AMS", "shared"),
        &shop.key("first@example.com", &[]).key,
    );
    let mut connection = Connection::open(shop.api())?;
    let mut took = Vec::new();
    for _ in 0..count {
        let start = Instant::now();
        let answer: Value = serde_json::from_slice(&connection.exchange(&request)?)?;
        let url = answer["subscription"]["protocols"]["http"]
            .as_str()
            .context("the URL")?;
        let (_, port) = url.rsplit_once('@').context("its port")?;
        TcpStream::connect(port).with_context(|| format!("connecting to {port}"))?;
        took.push(start.elapsed());
    }
    took.sort_unstable();
    let at = |hundredths: usize| {
        took.get(took.len() * hundredths / 100)
            .copied()
            .context("none was bought")
    };
    Ok((at(50)?, at(99)?))
}

/// The bare web server in a process of its own, killed when dropped.
struct Bare {
    address: SocketAddr,
    child: Child,
    _ports: Ports,
}

impl Bare {
    fn answering(body: &[u8]) -> Result<Self> {
        let file = tempfile::NamedTempFile::new()?;
        fs::write(file.path(), body)?;
        let ports = Ports::reserve(1);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, ports.nth(0)));
        pin(Core::Contender)?;
        let started = Command::new(env::current_exe()?)
            .args(["bare", &address.to_string()])
            .arg(file.path())
            .spawn();
        pin(Core::Load)?;
        let bare = Self {
            address,
            child: started?,
            _ports: ports,
        };
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(address).is_err() {
            ensure!(Instant::now() < deadline, "the bare web server does not listen");
            thread::sleep(Duration::from_millis(10));
        }
        Ok(bare)
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Writes the middle of all rounds as a table and as JSON; the table.
fn written(name: &str, rounds: &[Vec<Figure>], folder: &Path) -> Result<String> {
    let mut text = "| figure | Turnpike | beside | times |\n| --- | ---: | ---: | ---: |\n".to_owned();
    let mut rows = Vec::new();
    for (index, figure) in rounds.first().context("no round")?.iter().enumerate() {
        let of = |value: fn(&Figure) -> Option<f64>| {
            middle(rounds.iter().filter_map(|round| value(round.get(index)?)).collect())
        };
        let own = of(|figure| Some(figure.own));
        let bound = of(|figure| figure.bound);
        let times = of(|figure| Some(figure.own / figure.bound?));
        let shown = |value: Option<f64>, decimals: usize| {
            value.map_or_else(|| "–".to_owned(), |value| format!("{value:.decimals$}"))
        };
        let beside = bound.map_or_else(
            || "–".to_owned(),
            |_| format!("{} ({})", shown(bound, 1), figure.beside),
        );
        text += &format!(
            "| {}, {} | {} | {beside} | {} |\n",
            figure.name,
            figure.unit,
            shown(own, 1),
            shown(times, 2)
        );
        rows.push(json!({
            "figure": figure.name, "unit": figure.unit, "value": own, "beside": figure.beside, "bound": bound, "times": times,
        }));
    }
    fs::create_dir_all(folder).with_context(|| format!("the folder {}", folder.display()))?;
    let json = serde_json::to_string_pretty(&json!({"rounds": rounds.len(), "figures": rows}))? + "\n";
    for (ending, content) in [("md", &text), ("json", &json)] {
        let file = folder.join(format!("{name}.{ending}"));
        fs::write(&file, content).with_context(|| format!("writing {}", file.display()))?;
    }
    Ok(text)
}
