//! Customers who go on ordering and tunnels that go on moving bytes, whatever becomes of the database.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testbed::client::Tunnel;
use testbed::http::Answer;
use testbed::origin::Origin;
use testbed::poll;
use testbed::tunnel::echoes;
use testbed::turnpike::{Builder, Subscription, Turnpike};

/// The server gives a request 15 s at most; the rest is for a busy machine.
const BOUND: Duration = Duration::from_secs(25);

const CUSTOMERS: usize = 6;
const HOUR: i64 = 3_600_000;

/// What is sold, and an origin that says back what it is told.
pub(crate) struct World {
    pub(crate) shop: Turnpike,
    pub(crate) echo: Origin,
    /// One for each customer.
    pub(crate) bought: Vec<Subscription>,
    tunnels: Vec<Tunnel>,
    plan: String,
    /// Renewals sent so far, per customer.
    renewals: Vec<usize>,
    /// Renewals done at the first try.
    done: AtomicUsize,
}

impl World {
    /// A shop with something to sell.
    pub(crate) fn of(with: Builder) -> Self {
        let shop = with
            .network_without_plans("NL-AMS")
            .shared("nl-1", "127.0.0.11", 15)
            .plan("shared", "duration = \"1h\"\nprice_cents = 1")
            .start();
        let echo = Origin::echo();
        let plan = shop.plan("NL-AMS", "shared");
        let bought: Vec<_> = (0..CUSTOMERS).map(|_| shop.buy_plan(&plan)).collect();
        let tunnels = bought
            .iter()
            .map(|bought| Tunnel::by_connect(bought, echo.address()).unwrap());
        Self {
            tunnels: tunnels.collect(),
            renewals: vec![0; bought.len()],
            done: AtomicUsize::new(0),
            shop,
            echo,
            bought,
            plan,
        }
    }

    /// Runs `trouble` while every customer renews without a pause. Each request must be answered in time, by 200 or by what may
    /// be tried again; afterwards each is sent again until it is done.
    pub(crate) fn amid_orders(&mut self, trouble: impl FnOnce(&Self)) {
        let is_over = AtomicBool::new(false);
        let counts = std::thread::scope(|scope| {
            let customers: Vec<_> = (0..CUSTOMERS)
                .map(|number| {
                    let (world, is_over) = (&*self, &is_over);
                    scope.spawn(move || {
                        let mut count = world.renewals[number];
                        while !is_over.load(Ordering::Relaxed) {
                            let answer = world.in_time(|| world.renew(number, count));
                            assert_answered(&answer);
                            world
                                .done
                                .fetch_add(usize::from(answer.status == 200), Ordering::Relaxed);
                            count += 1;
                        }
                        count
                    })
                })
                .collect();
            let troubled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| trouble(self)));
            is_over.store(true, Ordering::Relaxed);
            let counts: Vec<usize> = customers
                .into_iter()
                .map(|customer| customer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect();
            troubled.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            counts
        });
        for (number, count) in counts.into_iter().enumerate() {
            for renewal in self.renewals[number]..count {
                let settled = poll(Duration::from_secs(30), || {
                    (self.renew(number, renewal).status == 200).then_some(())
                });
                assert!(settled.is_some(), "a renewal is not done although the database is back");
            }
            self.renewals[number] = count;
        }
    }

    /// Waits until so many more orders are done.
    #[track_caller]
    pub(crate) fn wait_for_orders(&self, count: usize) {
        let before = self.done.load(Ordering::Relaxed);
        let done = poll(Duration::from_secs(60), || {
            (self.done.load(Ordering::Relaxed) >= before + count).then_some(())
        });
        assert!(done.is_some(), "no {count} orders were done in a minute");
    }

    /// Nothing that customers bought depends on the database: their tunnels go on, and their ports take new ones.
    #[track_caller]
    pub(crate) fn assert_ports_work(&self) {
        for (bought, tunnel) in self.bought.iter().zip(&self.tunnels) {
            echoes(&tunnel.0, b"the tunnel lives").expect("a tunnel that was open before");
            let new = Tunnel::by_connect(bought, self.echo.address()).expect("a new tunnel through a known port");
            echoes(&new.0, b"the port works").expect("a new tunnel");
        }
    }

    /// The API says what is wrong, in time; health stays, readiness goes.
    #[track_caller]
    pub(crate) fn assert_unavailable(&self) {
        for answer in [
            self.in_time(|| self.shop.ask("subscriptions")),
            self.in_time(|| self.shop.order(&json!({"op": "purchase", "planId": self.plan}))),
        ] {
            let said = answer.json();
            assert_eq!(answer.status, 503, "{answer:?}");
            assert!(said["code"] == "unavailable" || said["code"] == "timeout", "{answer:?}");
            assert_eq!(said["retryable"], true);
            assert!(answer.header("retry-after").is_some(), "{answer:?}");
        }
        assert_eq!(self.in_time(|| self.shop.get("/healthz")).status, 200);
        assert_eq!(self.in_time(|| self.shop.get("/readyz")).status, 503);
    }

    /// The database is back: the shop is too, by itself and soon, and what is bought now works at once.
    #[track_caller]
    pub(crate) fn assert_back(&self) {
        let since = Instant::now();
        let back = poll(Duration::from_secs(15), || {
            self.shop.is_ready().then(|| since.elapsed())
        });
        assert!(back.is_some(), "it is not ready 15 s after the database's return");
        let fresh = self.shop.buy_plan(&self.plan);
        let tunnel = Tunnel::by_connect(&fresh, self.echo.address()).expect("a port that was bought right after");
        echoes(&tunnel.0, b"fresh").unwrap();
    }

    /// Every renewal was done once, and nothing else was charged.
    #[track_caller]
    pub(crate) fn assert_books(&self) {
        self.shop.audit();
        let renewals: usize = self.renewals.iter().sum();
        for (bought, renewals) in self.bought.iter().zip(&self.renewals) {
            let now = self.shop.subscription(&bought.id).active_until;
            assert_eq!(now, bought.active_until + i64::try_from(*renewals).unwrap() * HOUR);
        }
        let purchases = self.shop.subscriptions().len();
        assert_eq!(
            self.shop.balance(&self.shop.email),
            1_000_000 - i64::try_from(purchases + renewals).unwrap()
        );
    }

    fn renew(&self, number: usize, renewal: usize) -> Answer {
        let body = json!({"op": "renew", "planId": self.plan, "subscriptionId": self.bought[number].id});
        self.shop
            .order_with(&body, &[("idempotency-key", &format!("{number}-{renewal}"))])
    }

    #[track_caller]
    fn in_time(&self, ask: impl FnOnce() -> Answer) -> Answer {
        let since = Instant::now();
        let answer = ask();
        assert!(since.elapsed() < BOUND, "it took {:?}: {answer:?}", since.elapsed());
        answer
    }
}

/// 200, or a reason to try again that says when.
#[track_caller]
fn assert_answered(answer: &Answer) {
    if answer.status != 200 {
        let said: Value = answer.json();
        assert!(matches!(answer.status, 503 | 409), "{answer:?}");
        assert_eq!(said["retryable"], true, "{answer:?}");
        assert!(answer.header("retry-after").is_some(), "{answer:?}");
    }
}
