//! Clients that order all at once, a server that is killed under them, and what must be true whenever it is back.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use testbed::origin::Origin;
use testbed::turnpike::{Builder, Customer, Subscription, Turnpike};

use crate::client::{Client, Held, Network};

const CLIENTS_PER_ACCOUNT: usize = 3;
const CREDITED: i64 = 100_000_000;

/// Kills between two proofs of the books.
const AUDIT_EVERY: u32 = 10;

pub(crate) struct Storm {
    shop: Turnpike,
    clients: Vec<Client>,
    accounts: Vec<Customer>,
}

impl Storm {
    /// Two accounts with three clients each, who go shopping in `NL-AMS` and `DE-BER`.
    pub(crate) fn over(shop: Builder) -> Self {
        let shop = shop.start();
        let accounts = vec![
            shop.customer("ann@example.com", CREDITED),
            shop.customer("bob@example.com", CREDITED),
        ];
        let networks = networks(&shop);
        let clients = (0..accounts.len() * CLIENTS_PER_ACCOUNT).map(|number| {
            let customer = accounts[number % accounts.len()].clone();
            Client::new(format!("client-{number}"), customer, networks.clone())
        });
        Self {
            clients: clients.collect(),
            shop,
            accounts,
        }
    }

    pub(crate) fn survives(mut self, kills: u32) {
        let mut unknown = 0;
        for kill in 1..=kills {
            self.rage();
            self.shop.serve();
            let is_to_be_proven = kill % AUDIT_EVERY == 0;
            if is_to_be_proven {
                self.shop.audit();
                self.assert_nothing_is_lost();
            }
            unknown += self
                .clients
                .iter_mut()
                .filter_map(|client| client.settle().then_some(()))
                .count();
            if is_to_be_proven {
                self.assert_all_is_as_told();
            }
        }
        let acknowledged: u32 = self.clients.iter().map(|client| client.acknowledged).sum();
        assert!(
            acknowledged > kills && unknown > 0,
            "the kills came before or after the storm: {acknowledged} acknowledged, {unknown} of unknown outcome"
        );
        self.assert_every_port_works();
    }

    /// Everybody orders until the server is killed, at a moment of the first 30 ms.
    fn rage(&mut self) {
        std::thread::scope(|scope| {
            for client in &mut self.clients {
                scope.spawn(|| client.order_until_it_dies());
            }
            std::thread::sleep(Duration::from_micros(fastrand::u64(0..30_000)));
            self.shop.kill();
        });
    }

    /// Whatever was acknowledged is there; whatever else is there belongs to a purchase of unknown outcome.
    fn assert_nothing_is_lost(&self) {
        for account in &self.accounts {
            let mut listed = listed(account);
            for held in self.held_by(account) {
                assert!(
                    listed.remove(&held.id).is_some(),
                    "{held:?} was acknowledged and is gone"
                );
            }
            let is_explained = self.clients_of(account).any(Client::is_waiting_for_a_purchase);
            assert!(listed.is_empty() || is_explained, "nobody ordered {listed:?}");
        }
    }

    /// Every outcome is known now: the shop's books are the clients' books.
    fn assert_all_is_as_told(&self) {
        for account in &self.accounts {
            let mut listed = listed(account);
            for held in self.held_by(account) {
                let shown = listed.remove(&held.id);
                let shown = shown.unwrap_or_else(|| panic!("{held:?} was acknowledged and is gone"));
                assert_eq!(
                    (&shown.password, shown.active_until),
                    (&held.password, held.active_until)
                );
            }
            assert!(listed.is_empty(), "nobody ordered {listed:?}");
            let spent: i64 = self.clients_of(account).map(|client| client.spent).sum();
            assert_eq!(self.shop.balance(&account.email), CREDITED - spent);
        }
    }

    /// Every port takes its credentials, and leaves by the network that its owner was told.
    fn assert_every_port_works(&self) {
        let origin = Origin::http();
        let exits: [IpAddr; 2] = ["127.0.1.1".parse().unwrap(), "127.0.2.1".parse().unwrap()];
        for account in &self.accounts {
            let listed = listed(account);
            for held in self.held_by(account) {
                assert_eq!(listed[&held.id].address_at(&origin), exits[held.network], "{held:?}");
            }
        }
    }

    fn clients_of(&self, account: &Customer) -> impl Iterator<Item = &Client> {
        self.clients
            .iter()
            .filter(|client| client.customer.email == account.email)
    }

    fn held_by(&self, account: &Customer) -> impl Iterator<Item = &Held> {
        self.clients_of(account).flat_map(|client| &client.held)
    }
}

fn listed(account: &Customer) -> HashMap<String, Subscription> {
    let listed = account.subscriptions().into_iter();
    listed
        .map(|subscription| (subscription.id.clone(), subscription))
        .collect()
}

/// What the two networks are called in orders, found out as a customer would: from the list of where one may switch to.
fn networks(shop: &Turnpike) -> [Network; 2] {
    const NAMES: [&str; 2] = ["NL-AMS", "DE-BER"];
    let id = |name: &str, other: &str| {
        let bought = shop.buy_shared(other);
        let targets = shop.ask(&format!("available-networks&subscriptionId={}", bought.id));
        let targets = targets.expect_status(200).json();
        let mut targets = targets["networks"].as_array().expect("networks").iter();
        let target = targets.find(|target| target["networkLabel"].as_str().unwrap().starts_with(name));
        target.expect("the other network")["id"].as_str().unwrap().to_owned()
    };
    [0, 1].map(|number| Network {
        id: id(NAMES[number], NAMES[1 - number]),
        plan: shop.plan(NAMES[number], "shared"),
        price: 300,
    })
}
