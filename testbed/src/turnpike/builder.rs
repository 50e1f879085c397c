//! Writing a configuration and a catalogue, and starting the binary on them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::sync::OnceLock;

use super::Turnpike;
use crate::authority::Authority;
use crate::clock::Clock;
use crate::netns::Namespace;
use crate::ports::Ports;
use crate::postgres::Database;

/// Ports of the API and of the metrics stand before those that are sold.
const OWN_PORTS: u16 = 2;

/// An installation that is being described.
#[derive(Debug)]
pub struct Builder {
    /// Values as TOML writes them, by section and key.
    settings: BTreeMap<String, BTreeMap<String, String>>,
    catalogue: String,
    plans: String,
    network: String,
    pools: u8,
    balance: i64,
    sold_ports: u16,
    on_postgres: bool,
    namespace: Option<Namespace>,
    environment: Vec<(String, String)>,
    descriptors: Option<u32>,
    is_new: bool,
}

impl Builder {
    pub(super) fn new() -> Self {
        let builder = Self {
            settings: BTreeMap::new(),
            catalogue: String::new(),
            plans: String::new(),
            network: String::new(),
            pools: 0,
            balance: 1_000_000,
            sold_ports: 18,
            on_postgres: false,
            namespace: None,
            environment: Vec::new(),
            descriptors: None,
            is_new: false,
        };
        builder
            .set("gateway.bind", "[\"127.0.0.1\"]")
            .set("gateway.public_host", "\"127.0.0.1\"")
            // Origins of tests are on this machine.
            .set("gateway.allow_destinations", "[\"127.0.0.0/8\"]")
            .set("gateway.drain_timeout", "\"0s\"")
            .set("limits.api_requests_per_second", "10000")
            .set("limits.api_burst", "10000")
            .set("limits.rotation_cooldown_seconds", "0")
    }

    /// Sets a key of the configuration, such as `gateway.idle_timeout`, to a value as TOML writes it.
    ///
    /// # Panics
    /// When the key has no section.
    #[must_use]
    pub fn set(mut self, key: &str, value: &str) -> Self {
        let (section, key) = key.split_once('.').expect("a key like section.key");
        self.settings
            .entry(section.to_owned())
            .or_default()
            .insert(key.to_owned(), value.to_owned());
        self
    }

    /// Gives the gateway what this authority has issued.
    #[must_use]
    pub fn certified(self, authority: &Authority) -> Self {
        let settings = authority.settings().into_iter();
        settings.fold(self, |builder, (key, value)| builder.set(key, &value))
    }

    /// Sets a variable of the binary's environment.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Makes the binary go by a clock that the test sets.
    #[must_use]
    pub fn clock(mut self, clock: &Clock) -> Self {
        self.environment.extend(clock.environment());
        self
    }

    /// Keeps everything in a fresh PostgreSQL database instead of a file.
    #[must_use]
    pub fn postgres(mut self) -> Self {
        self.on_postgres = true;
        self
    }

    /// Keeps everything in the database at this address.
    #[must_use]
    pub fn database(self, url: &str) -> Self {
        self.set("database.url", &format!("{url:?}"))
    }

    /// How many files the binary may have open at once.
    #[must_use]
    pub fn descriptors(mut self, limit: u32) -> Self {
        self.descriptors = Some(limit);
        self
    }

    /// Runs the binary inside a network namespace.
    #[must_use]
    pub fn inside(mut self, namespace: &Namespace) -> Self {
        self.namespace = Some(namespace.clone());
        self
    }

    /// How many ports are for sale; 18 unless told otherwise.
    #[must_use]
    pub fn ports(mut self, count: u16) -> Self {
        self.sold_ports = count;
        self
    }

    /// The first customer's balance; 10,000.00 unless told otherwise.
    #[must_use]
    pub fn balance(mut self, cents: i64) -> Self {
        self.balance = cents;
        self
    }

    /// Adds a mobile network such as `NL-AMS`; exits that follow belong to it. It sells one plan of each connection type: 30
    /// days for 12.00 alone and for 3.00 shared, each with a trial of an hour.
    #[must_use]
    pub fn network(self, code: &str) -> Self {
        let network = self.network_without_plans(code);
        network
            .plan("private", "duration = \"30d\"\nprice_cents = 1200\ntrial = \"1h\"")
            .plan("shared", "duration = \"30d\"\nprice_cents = 300\ntrial = \"1h\"")
    }

    /// Adds a network that sells only what [`Builder::plan`] adds.
    ///
    /// # Panics
    /// When the code is not like `NL-AMS`.
    #[must_use]
    pub fn network_without_plans(mut self, code: &str) -> Self {
        let (country, city) = code.split_once('-').expect("a code like NL-AMS");
        code.clone_into(&mut self.network);
        let written = write!(
            self.catalogue,
            "\n[[network]]\ncode = \"{code}\"\ncity = \"{city}\"\ncountry = \"{country}\"\ntype = \"mobile\"\n"
        );
        written.expect("writing to memory");
        self
    }

    /// Adds an exit of the latest network; `settings` are its lines in the catalogue.
    #[must_use]
    pub fn exit(mut self, name: &str, settings: &str) -> Self {
        let written = write!(self.catalogue, "\n[[network.exit]]\nname = \"{name}\"\n{settings}\n");
        written.expect("writing to memory");
        self
    }

    /// Adds an exit with these addresses, the first one in use. Its tunnels end at once when it rotates.
    #[must_use]
    pub fn pool(self, name: &str, addresses: &[&str]) -> Self {
        self.exit(name, &format!("addresses = {addresses:?}\ndrain_seconds = 0"))
    }

    /// Adds so many exits with two addresses each, which no other exit of the catalogue has.
    #[must_use]
    pub fn pools(mut self, count: u8) -> Self {
        for _ in 0..count {
            self.pools += 1;
            let (name, number) = (format!("pool-{}", self.pools), self.pools);
            self = self.pool(&name, &[&format!("127.0.1.{number}"), &format!("127.0.2.{number}")]);
        }
        self
    }

    /// Adds an exit whose one address is shared by so many subscriptions.
    #[must_use]
    pub fn shared(self, name: &str, address: &str, slots: u32) -> Self {
        self.exit(name, &format!("addresses = [\"{address}\"]\nshared_slots = {slots}"))
    }

    /// Adds a plan of the latest network; `settings` are its duration, its price and whatever else it has.
    #[must_use]
    pub fn plan(mut self, connection_type: &str, settings: &str) -> Self {
        let number = self.plans.matches("[[plan]]").count();
        let written = write!(
            self.plans,
            "\n[[plan]]\ncode = \"plan-{number}\"\nnetwork = \"{}\"\nconnection_type = \"{connection_type}\"\n{settings}\n",
            self.network
        );
        written.expect("writing to memory");
        self
    }

    /// Adds a coupon; `settings` are its lines in the catalogue but for the code.
    #[must_use]
    pub fn coupon(mut self, code: &str, settings: &str) -> Self {
        let written = write!(self.plans, "\n[[coupon]]\ncode = \"{code}\"\n{settings}\n");
        written.expect("writing to memory");
        self
    }

    /// Leaves the database as a first start finds it: without a catalogue and without an account, so that nobody is its first
    /// customer.
    #[must_use]
    pub fn new_shop(mut self) -> Self {
        self.is_new = true;
        self
    }

    /// Writes the files and prepares the database, and does not serve yet.
    ///
    /// # Panics
    /// When anything of it fails.
    #[must_use]
    #[track_caller]
    pub fn prepare(mut self) -> Turnpike {
        let home = tempfile::Builder::new()
            .prefix("turnpike-test-")
            .tempdir()
            .expect("a temporary directory");
        let ports = Ports::reserve(OWN_PORTS + self.sold_ports);
        let database = self.on_postgres.then(Database::fresh);
        let url = match &database {
            Some(database) => database.url().to_owned(),
            None => format!("sqlite://{}", home.path().join("turnpike.db").display()),
        };
        let (api, sold) = (ports.nth(0), ports.from(OWN_PORTS));
        self = self
            .or("server.listen", &format!("127.0.0.1:{api}"))
            .or("server.public_url", &format!("http://127.0.0.1:{api}"))
            .or("server.metrics_listen", &format!("127.0.0.1:{}", ports.nth(1)))
            .or("database.url", &url)
            .or("gateway.ports", &format!("{}-{}", sold.start(), sold.end()))
            .or(
                "secrets.master_key_file",
                &home.path().join("turnpike.key").to_string_lossy(),
            );
        fs::write(home.path().join("turnpike.toml"), self.configuration()).expect("writing the configuration");
        let turnpike = Turnpike {
            home,
            ports,
            namespace: self.namespace,
            database,
            environment: self.environment,
            descriptors: self.descriptors,
            server: None,
            customer: OnceLock::new(),
            is_left_unproved: false,
        };
        match self.is_new {
            true => turnpike,
            false => turnpike.stocked(&format!("{}{}", self.catalogue, self.plans), self.balance),
        }
    }

    /// Starts serving, with a catalogue, and one customer who has a balance and a key that may have trials.
    ///
    /// # Panics
    /// When anything of it fails.
    #[must_use]
    #[track_caller]
    pub fn start(self) -> Turnpike {
        let mut turnpike = self.prepare();
        turnpike.serve();
        turnpike
    }

    fn or(self, key: &str, text: &str) -> Self {
        let (section, name) = key.split_once('.').expect("a key like section.key");
        let is_set = self
            .settings
            .get(section)
            .is_some_and(|section| section.contains_key(name));
        if is_set {
            self
        } else {
            self.set(key, &format!("{text:?}"))
        }
    }

    fn configuration(&self) -> String {
        let mut text = String::new();
        for (section, keys) in &self.settings {
            writeln!(text, "[{section}]").expect("writing to memory");
            for (key, value) in keys {
                writeln!(text, "{key} = {value}").expect("writing to memory");
            }
        }
        text
    }
}

impl Turnpike {
    #[track_caller]
    fn stocked(self, catalogue: &str, balance: i64) -> Self {
        const FIRST: &str = "first@example.com";
        self.apply(catalogue);
        self.run(&["account", "create", FIRST]);
        if balance > 0 {
            self.run(&["account", "credit", FIRST, &balance.to_string()]);
        }
        let customer = self.key(FIRST, &["--allow-trial"]);
        self.customer.set(customer).expect("the only first customer");
        self
    }
}
