//! What of the internet is this installation itself: the destination rule refuses it to customers.
//!
//! That is more than a configuration could say. Interfaces come and go with modems; every address below an exit's
//! prefix leads to this machine, and so to its SSH; an upstream proxy may know us by our address and ask no password;
//! behind NAT our own ports answer at an address that no interface has. So it is looked at again every few seconds,
//! and whenever an exit has changed.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future;
use if_addrs::Interface;

use super::{Environment, Exit, ExitWay, Source, device};
use crate::dial::Families;
use crate::egress::Installation;
use crate::resolve::Resolver;

/// How often it is looked at without a cause.
const INTERVAL: Duration = Duration::from_secs(5);

/// The looking, and what names have stood for.
pub(crate) struct Survey {
    environment: Arc<Environment>,
    resolver: Arc<Resolver>,
    public_host: String,
    own_hosts: Vec<String>,
    /// What the names stand for that are in the place of an address. It is kept while the name servers give no answer.
    named: HashMap<String, Vec<IpAddr>>,
}

/// What is found, with what the names in it stand for.
struct Finding<'a> {
    installation: Installation,
    named: &'a HashMap<String, Vec<IpAddr>>,
    /// The names that have come up.
    names: HashSet<String>,
}

impl Survey {
    /// `public_host` is the name or address by which customers know this gateway, `own_hosts` are of the installation's network.
    pub(crate) fn new(environment: Arc<Environment>, public_host: String, own_hosts: Vec<String>) -> Self {
        let resolver = Resolver::new(Source::Unbound, environment.names.clone());
        Self {
            environment,
            resolver,
            public_host,
            own_hosts,
            named: HashMap::new(),
        }
    }

    /// Looks at the machine and these exits, and tells the destination rule.
    pub(crate) async fn take(&mut self, exits: &[Arc<Exit>]) {
        let names = self.tell(exits);
        self.named.retain(|name, _| names.contains(name));
        let (by_system, by_name_servers) = tokio::join!(ask_system(&self.own_hosts), self.ask(names));
        if self.learn(by_system.chain(by_name_servers)) {
            self.tell(exits);
        }
    }

    /// Waits until it is time to look again.
    pub(crate) async fn due(&self) {
        let changed = self.environment.exits_changed.notified();
        let _ = tokio::time::timeout(INTERVAL, changed).await;
    }

    /// Tells the rule what is known without asking anybody; gives back the names to be asked for.
    fn tell(&self, exits: &[Arc<Exit>]) -> HashSet<String> {
        let interfaces = device::interfaces();
        let mut found = Finding {
            installation: Installation::default(),
            named: &self.named,
            names: HashSet::new(),
        };
        for interface in &interfaces {
            found.installation.add(interface.ip());
        }
        for address in found.host(&self.public_host) {
            found.installation.add(address);
        }
        for host in &self.own_hosts {
            for address in found.host(host) {
                found.installation.add_machine_beside(address);
            }
        }
        for exit in exits {
            exit.claim(&interfaces, &mut found);
        }
        self.environment.policy.learn(found.installation);
        found.names
    }

    /// Asks the name servers what names stand for. Answers are cached, as customers' are.
    async fn ask(&self, names: HashSet<String>) -> impl Iterator<Item = Answer> + use<> {
        let names = names.into_iter().filter(|name| !self.own_hosts.contains(name));
        let questions = names.map(async |name| {
            let addresses = self.resolver.addresses(&name, Families { v4: true, v6: true }).await;
            Some((name, addresses.ok()?))
        });
        future::join_all(questions).await.into_iter().flatten()
    }

    /// Whether that is news.
    fn learn(&mut self, answers: impl Iterator<Item = Answer>) -> bool {
        let mut has_news = false;
        for (name, mut addresses) in answers {
            addresses.sort_unstable();
            let before = self.named.insert(name, addresses.clone());
            has_news |= before != Some(addresses);
        }
        has_news
    }
}

/// A name, and what it stands for.
type Answer = (String, Vec<IpAddr>);

/// Asks the system what names stand for: it may have them from a file, and whoever connects to them by these names asks it too.
async fn ask_system(names: &[String]) -> impl Iterator<Item = Answer> + use<> {
    let questions = names.iter().map(async |name| {
        let asking = tokio::net::lookup_host((name.as_str(), 0));
        let found = tokio::time::timeout(INTERVAL, asking).await.ok()?.ok()?;
        Some((name.clone(), found.map(|address| address.ip()).collect()))
    });
    future::join_all(questions).await.into_iter().flatten()
}

impl Exit {
    /// Notes what is ours by this exit.
    fn claim(&self, interfaces: &[Interface], found: &mut Finding<'_>) {
        match &self.present.load().spec.way {
            ExitWay::Pool(pool) => {
                for address in pool {
                    found.installation.add(*address);
                }
                found.add_networks(interfaces, |interface| pool.contains(&interface.ip()));
            }
            ExitWay::Prefix(prefix) => found.installation.add_range(*prefix),
            ExitWay::Interface(device) => found.add_networks(interfaces, |interface| interface.name == *device),
            ExitWay::HttpUpstream(upstream) | ExitWay::Socks5Upstream(upstream) => {
                for address in found.host(&upstream.host) {
                    found.installation.add_upstream(address);
                }
            }
        }
    }
}

impl Finding<'_> {
    /// The addresses of a host that is written as an address or a name, as far as they are known.
    fn host(&mut self, host: &str) -> Vec<IpAddr> {
        if let Ok(address) = host.trim_start_matches('[').trim_end_matches(']').parse() {
            return vec![address];
        }
        self.names.insert(host.to_owned());
        self.named.get(host).cloned().unwrap_or_default()
    }

    fn add_networks(&mut self, interfaces: &[Interface], is_meant: impl Fn(&Interface) -> bool) {
        for interface in interfaces.iter().filter(|interface| is_meant(interface)) {
            if let Some(network) = device::network(interface) {
                self.installation.add_network_of_device(network);
            }
        }
    }
}
