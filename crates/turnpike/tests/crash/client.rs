//! One client of the storm: it orders at random, and keeps books of what the shop has told it.

use serde_json::{Value, json};
use testbed::http::Answer;
use testbed::turnpike::{Customer, Subscription};

/// What the storm buys from, by network.
#[derive(Debug, Clone)]
pub(crate) struct Network {
    pub(crate) id: String,
    pub(crate) plan: String,
    pub(crate) price: i64,
}

/// A subscription by what was acknowledged of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) id: String,
    pub(crate) network: usize,
    pub(crate) password: String,
    pub(crate) active_until: i64,
}

/// A request as it was sent, to be sent again where nobody knows what came of it.
#[derive(Debug, Clone)]
struct Attempt {
    what: What,
    body: Value,
    key: Option<String>,
}

#[derive(Debug, Clone, Copy)]
enum What {
    Purchase { network: usize, quantity: i64 },
    Renewal { held: usize },
    Switch { held: usize, to: usize },
    Credentials { held: usize },
}

/// One client.
#[derive(Debug)]
pub(crate) struct Client {
    name: String,
    pub(crate) customer: Customer,
    networks: [Network; 2],
    pub(crate) held: Vec<Held>,
    pub(crate) spent: i64,
    pub(crate) acknowledged: u32,
    sent: u64,
    unknown: Option<Attempt>,
}

impl Client {
    pub(crate) fn new(name: String, customer: Customer, networks: [Network; 2]) -> Self {
        Self {
            name,
            customer,
            networks,
            held: Vec::new(),
            spent: 0,
            acknowledged: 0,
            sent: 0,
            unknown: None,
        }
    }

    /// Orders one thing after the other until the server is gone; the last request's outcome is then unknown.
    pub(crate) fn order_until_it_dies(&mut self) {
        while self.unknown.is_none() {
            let attempt = self.choose();
            match self.send(&attempt) {
                Ok(answer) => self.note(&attempt, &answer),
                Err(_) => self.unknown = Some(attempt),
            }
        }
    }

    /// Sends what is unknown again; twice at once where it has a key, and both must be told the same. Whether there was any.
    pub(crate) fn settle(&mut self) -> bool {
        let Some(attempt) = self.unknown.take() else {
            return false;
        };
        let send = || self.send(&attempt).expect("an answer from a running server");
        let answer = if attempt.key.is_some() {
            let (one, other) = std::thread::scope(|scope| {
                let other = scope.spawn(send);
                (send(), other.join().expect("the other one"))
            });
            if one.status == 200 {
                assert_eq!((one.status, &one.body), (other.status, &other.body));
            } else {
                assert_eq!((one.status, &one.json()["code"]), (other.status, &other.json()["code"]));
            }
            one
        } else {
            send()
        };
        self.note(&attempt, &answer);
        true
    }

    /// Whether a subscription may be one that this client does not know of yet.
    pub(crate) fn is_waiting_for_a_purchase(&self) -> bool {
        matches!(
            self.unknown,
            Some(Attempt {
                what: What::Purchase { .. },
                ..
            })
        )
    }

    fn choose(&mut self) -> Attempt {
        self.sent += 1;
        let key = format!("{}-{}", self.name, self.sent);
        let held = (!self.held.is_empty()).then(|| fastrand::usize(..self.held.len()));
        let (what, key) = match (held, fastrand::u8(..10)) {
            (Some(held), 3..=5) => (What::Renewal { held }, Some(key)),
            (Some(held), 6..=7) => {
                let to = 1 - self.held[held].network;
                (What::Switch { held, to }, None)
            }
            (Some(held), 8..=9) => (What::Credentials { held }, None),
            _ => {
                let (network, quantity) = (fastrand::usize(..2), fastrand::i64(1..=3));
                (What::Purchase { network, quantity }, Some(key))
            }
        };
        let id = |held: usize| &self.held[held].id;
        let body = match what {
            What::Purchase { network, quantity } => {
                json!({"op": "purchase", "planId": self.networks[network].plan, "quantity": quantity})
            }
            What::Renewal { held } => {
                let plan = &self.networks[self.held[held].network].plan;
                json!({"op": "renew", "subscriptionId": id(held), "planId": plan})
            }
            What::Switch { held, to } => {
                json!({"op": "switch-network", "subscriptionId": id(held), "targetNetwork": self.networks[to].id})
            }
            What::Credentials { held } => json!({"op": "change-credentials", "subscriptionId": id(held)}),
        };
        Attempt { what, body, key }
    }

    fn send(&self, attempt: &Attempt) -> std::io::Result<Answer> {
        let key = attempt.key.as_deref().map(|key| ("idempotency-key", key));
        let headers: Vec<_> = key.into_iter().collect();
        self.customer
            .try_request("POST", "/api/proxy", &headers, attempt.body.to_string().as_bytes())
    }

    /// Books what was acknowledged.
    fn note(&mut self, attempt: &Attempt, answer: &Answer) {
        let said = answer.json();
        match (answer.status, said["code"].as_str(), attempt.what) {
            (200, _, what) => self.book(what, &said),
            // The switch that nobody knew about had been made.
            (409, Some("same_network"), What::Switch { held, to }) => self.held[held].network = to,
            (409, Some("sold_out" | "network_inactive"), What::Purchase { .. } | What::Switch { .. }) => return,
            _ => panic!("{attempt:?} was answered {answer:?}"),
        }
        self.acknowledged += 1;
    }

    fn book(&mut self, what: What, said: &Value) {
        match what {
            What::Purchase { network, quantity } => {
                let sold = said["subscriptions"].as_array().expect("subscriptions").iter();
                let sold: Vec<Held> = sold
                    .map(Subscription::from)
                    .map(|sold| Held {
                        id: sold.id,
                        network,
                        password: sold.password,
                        active_until: sold.active_until,
                    })
                    .collect();
                assert_eq!(sold.len(), usize::try_from(quantity).unwrap());
                self.held.extend(sold);
                self.spent += quantity * self.networks[network].price;
            }
            What::Renewal { held } => {
                let held = &mut self.held[held];
                held.active_until = said["endAt"].as_i64().expect("an end");
                self.spent += self.networks[held.network].price;
            }
            What::Switch { held, to } => self.held[held].network = to,
            What::Credentials { held } => {
                self.held[held].password = said["password"].as_str().expect("a password").to_owned();
            }
        }
    }
}
