//! Random programs of a hundred verbs, each answered as the model says, with audited books all along.
//!
//! `TURNPIKE_TEST_SEED` runs one program again; `TURNPIKE_TEST_PROGRAMS` runs more of them.

use fastrand::Rng;
use turnpike_shop::audit::audit;
use turnpike_shop::catalogue::{Coupon, Discount};
use turnpike_shop::subscription::{Page, Subscription};
use turnpike_shop::types::{
    AccountId, AccountStatus, Cents, NetworkId, PlanId, RotationPolicy, Span, SubscriptionState,
};
use turnpike_shop::{Error, PurchaseOrder, Purchased, Refusal, RenewOrder, Result, Settings, TrialOrder};
use turnpike_shop::{
    account, available_networks, change_credentials, ledger, purchase, renew, rotation, subscriptions, switch_network,
    trial,
};

use crate::model::{COUPON_USES, COUPON_USES_EACH, GRACE, Model, Person, Place, Sub, TRIAL};
use crate::site::Site;
use crate::world::{ANN, MONTH, NOW, World, answer, coupon, key, quantity, times};

on_both_engines! { programs_1, programs_2, programs_3, programs_4 }

async fn programs_1(site: &Site) {
    run_some(site).await;
}

async fn programs_2(site: &Site) {
    run_some(site).await;
}

async fn programs_3(site: &Site) {
    run_some(site).await;
}

async fn programs_4(site: &Site) {
    run_some(site).await;
}

const STEPS: usize = 100;
const BOB: &str = "bob@example.com";

/// A quarter of all programs, so that they run side by side.
async fn run_some(site: &Site) {
    let number = |name| {
        std::env::var(name)
            .ok()
            .map(|text| text.parse::<u64>().expect("it is a number"))
    };
    let programs = number("TURNPIKE_TEST_PROGRAMS").unwrap_or(24) / 4;
    let seeds: Vec<u64> = match number("TURNPIKE_TEST_SEED") {
        Some(seed) => vec![seed],
        None => (0..programs.max(1)).map(|_| fastrand::u64(..)).collect(),
    };
    for seed in seeds {
        eprintln!("TURNPIKE_TEST_SEED={seed}");
        // In a database of its own.
        Site::run(site.engine, async |site| Program::start(site, seed).await.run().await).await;
    }
}

struct Program<'s> {
    rng: Rng,
    world: World<'s>,
    accounts: [AccountId; 2],
    plans: Vec<PlanId>,
    networks: Vec<NetworkId>,
    model: Model,
    /// Purchases with a key, and what they were answered.
    sent: Vec<Sent>,
}

#[derive(Clone)]
struct Sent {
    who: usize,
    place: usize,
    order: PurchaseOrder,
    at: turnpike_shop::types::UnixMillis,
    answer: Vec<u8>,
}

impl<'s> Program<'s> {
    async fn start(site: &'s Site, seed: u64) -> Self {
        let places = [("NL-AMS", 3, 1_200), ("DE-BER", 2, 999), ("FR-PAR", 4, 1)];
        let limited = Coupon {
            max_redemptions: i64::try_from(COUPON_USES).ok(),
            per_account: i64::try_from(COUPON_USES_EACH).ok(),
            ..coupon("TENTH", Discount::Percent(10))
        };
        let mut plot = World::on(site).coupon(limited).balance(10_000);
        for (code, exits, price) in places {
            plot = plot.network(code).exits(exits).priced(price).trial(TRIAL);
        }
        let world = plot.open().await;
        let bob = world.person(BOB, 10_000).await;
        let (mut plans, mut networks) = (Vec::new(), Vec::new());
        for (code, ..) in places {
            plans.push(world.plan(code).await);
            networks.push(world.network(code).await);
        }
        let person = || Person {
            balance: 10_000,
            is_suspended: false,
            coupon_uses: 0,
            trials: Default::default(),
        };
        Self {
            rng: Rng::with_seed(seed),
            accounts: [world.ann.clone(), bob],
            world,
            plans,
            networks,
            model: Model {
                now: NOW,
                places: places.map(|(code, exits, price)| Place { code, exits, price }).into(),
                people: vec![person(), person()],
                subs: Vec::new(),
            },
            sent: Vec::new(),
        }
    }

    async fn run(mut self) {
        for step in 0..STEPS {
            let verb = self.step().await;
            eprintln!("{step}: {verb}");
            self.compare().await;
            if step % 10 == 9 {
                let findings = audit(&self.world.shop).await.unwrap();
                let broken: Vec<_> = findings.iter().filter(|finding| !finding.broken.is_empty()).collect();
                assert!(broken.is_empty(), "{broken:?}");
            }
        }
    }

    /// One verb, chosen at random and checked against the model; its name.
    async fn step(&mut self) -> &'static str {
        let who = self.rng.usize(..2);
        let place = self.rng.usize(..3);
        let sub = (!self.model.subs.is_empty()).then(|| self.rng.usize(..self.model.subs.len()));
        match (self.rng.u8(..100), sub) {
            (0..18, _) => self.buy(who, place).await,
            (18..24, _) => self.send_again().await,
            (24..30, _) => self.try_out(who, place).await,
            (30..48, Some(sub)) => self.renew(who, sub, place).await,
            (48..60, Some(sub)) => self.switch(who, sub, place).await,
            (60..64, Some(sub)) => self.change_credentials(who, sub).await,
            (64..68, Some(sub)) => self.set_policy(who, sub).await,
            (68..73, _) => self.credit(who).await,
            (73..79, _) => self.suspend_or_resume(who).await,
            (79..86, _) => {
                self.world.upkeep().await;
                "upkeep"
            }
            (86..88, _) => self.restart().await,
            _ => {
                let spans = [Span::minutes(30), Span::hours(20), Span::days(3), Span::days(11)];
                let which = self.rng.usize(..spans.len());
                self.advance(spans[which])
            }
        }
    }

    async fn buy(&mut self, who: usize, place: usize) -> &'static str {
        let (repeat, count) = (self.rng.u64(1..=2), self.rng.u64(1..=3));
        let order = PurchaseOrder {
            plan: self.plans[place].clone(),
            repeat: times(repeat),
            quantity: quantity(count),
            coupon: self.rng.bool().then(|| "tenth".to_owned()),
            idempotency: if self.rng.bool() {
                key(&format!("{}", self.rng.u64(..)), 1)
            } else {
                None
            },
        };
        self.send(who, place, order).await;
        "purchase"
    }

    async fn send(&mut self, who: usize, place: usize, order: PurchaseOrder) {
        let (repeat, count) = (small(order.repeat.value()), small(order.quantity.value()));
        let expected = self.model.purchase(who, place, repeat, count, order.coupon.is_some());
        let outcome = purchase(&self.world.shop, &self.accounts[who], order.clone()).await;
        let ends_at = self.model.now.plus(Span(MONTH.0 * order.repeat.value()));
        let bought = agree(outcome, expected.map(Cents), |bought: &Purchased| bought.price);
        let Some(bought) = bought else { return };
        assert!(!bought.replayed);
        assert_eq!(bought.subscriptions.len(), count);
        if order.idempotency.is_some() {
            self.sent.push(Sent {
                who,
                place,
                order,
                at: self.model.now,
                answer: answer(&bought),
            });
        }
        for one in bought.subscriptions {
            assert_eq!(one.ends_at, ends_at);
            self.adopt(who, place, one).await;
        }
    }

    /// A new subscription, whose exit and port are the shop's to choose.
    async fn adopt(&mut self, who: usize, place: usize, one: Subscription) {
        assert_eq!(one.network_code, self.model.places[place].code);
        self.model.subs.push(Sub {
            exit: self.exit_of(&one).await,
            id: one.id,
            owner: who,
            place,
            ends_at: one.ends_at,
            state: SubscriptionState::Active,
            port: one.port,
            password: one.password,
            policy: RotationPolicy::OFF,
        });
    }

    async fn exit_of(&self, one: &Subscription) -> String {
        let sql = format!("SELECT exit_id FROM subscription WHERE id = '{}'", one.id);
        self.world.raw.texts(&sql).await.remove(0)
    }

    async fn send_again(&mut self) -> &'static str {
        if self.sent.is_empty() {
            return "nothing to send again";
        }
        let index = self.rng.usize(..self.sent.len());
        let sent = self.sent[index].clone();
        if sent.at.plus(Span::hours(72)) <= self.model.now {
            // Forgotten: it is a purchase like any other.
            self.sent.remove(index);
            self.send(sent.who, sent.place, sent.order).await;
            return "purchase by a forgotten key";
        }
        let again = purchase(&self.world.shop, &self.accounts[sent.who], sent.order)
            .await
            .unwrap();
        assert!(again.replayed);
        assert_eq!(answer(&again), sent.answer);
        "purchase sent again"
    }

    async fn try_out(&mut self, who: usize, place: usize) -> &'static str {
        let order = TrialOrder {
            plan: self.plans[place].clone(),
            idempotency: None,
            source: None,
        };
        let expected = self.model.trial(who, place);
        let outcome = trial(&self.world.shop, &self.accounts[who], order).await;
        if let Some(mut given) = agree(outcome, expected, |_| ()) {
            let one = given.subscriptions.remove(0);
            assert_eq!(one.ends_at, self.model.now.plus(TRIAL));
            self.adopt(who, place, one).await;
        }
        "trial"
    }

    async fn renew(&mut self, who: usize, sub: usize, place: usize) -> &'static str {
        // Mostly what makes sense: its owner, a plan of its network.
        let sensible = self.rng.u8(..10) > 0;
        let held = &self.model.subs[sub];
        let (who, place) = if sensible {
            (held.owner, held.place)
        } else {
            (who, place)
        };
        let repeat = self.rng.u64(1..=2);
        let order = RenewOrder {
            subscription: held.id.clone(),
            plan: self.plans[place].clone(),
            repeat: times(repeat),
            coupon: (self.rng.u8(..4) == 0).then(|| "TENTH".to_owned()),
            idempotency: None,
        };
        let with_coupon = order.coupon.is_some();
        let expected = self
            .model
            .renew(who, sub, place, small(order.repeat.value()), with_coupon);
        let outcome = renew(&self.world.shop, &self.accounts[who], order).await;
        agree(outcome, expected, |renewed| renewed.ends_at);
        "renew"
    }

    async fn switch(&mut self, who: usize, sub: usize, place: usize) -> &'static str {
        let held = self.model.subs[sub].clone();
        let who = if self.rng.u8(..10) > 0 { held.owner } else { who };
        // What is listed is what works.
        let listed = available_networks(&self.world.shop, &self.accounts[who], &held.id).await;
        let listed = listed.is_ok_and(|networks| networks.iter().any(|network| network.id == self.networks[place]));
        let expected = self.model.switch(who, sub, place);
        assert_eq!(listed, expected.is_ok());
        let (shop, target) = (&self.world.shop, &self.networks[place]);
        let outcome = switch_network(shop, &self.accounts[who], &held.id, target).await;
        if let Some(moved) = agree(outcome, expected, |_| ()) {
            assert_eq!((moved.port, moved.ends_at), (held.port, held.ends_at));
            self.model.subs[sub].exit = self.exit_of(&moved).await;
        }
        "switch_network"
    }

    async fn change_credentials(&mut self, who: usize, sub: usize) -> &'static str {
        let expected = self.model.running(who, sub).map(|_| ());
        let id = &self.model.subs[sub].id;
        let outcome = change_credentials(&self.world.shop, &self.accounts[who], id).await;
        if let Some(changed) = agree(outcome, expected, |_| ()) {
            assert_ne!(changed.password, self.model.subs[sub].password);
            self.model.subs[sub].password = changed.password;
        }
        "change_credentials"
    }

    async fn set_policy(&mut self, who: usize, sub: usize) -> &'static str {
        let policy = RotationPolicy::try_from(u64::from(RotationPolicy::ALLOWED[self.rng.usize(..6)])).unwrap();
        let expected = self.model.running(who, sub).map(|_| ());
        let id = &self.model.subs[sub].id;
        let outcome = rotation::set_policy(&self.world.shop, &self.accounts[who], id, policy).await;
        if agree(outcome, expected, |_| ()).is_some() {
            self.model.subs[sub].policy = policy;
        }
        "set_policy"
    }

    async fn credit(&mut self, who: usize) -> &'static str {
        let cents = self.rng.i64(-2_000..6_000);
        let outcome = ledger::adjust(&self.world.shop, "test", [ANN, BOB][who], Cents(cents), "").await;
        let person = &mut self.model.people[who];
        match outcome {
            Ok(balance) => {
                person.balance += cents;
                assert_eq!(balance, Cents(person.balance));
            }
            Err(Error::Refused(Refusal::OverDebit { .. })) => assert!(person.balance + cents < 0),
            Err(error) => panic!("{error}"),
        }
        "credit or debit"
    }

    async fn suspend_or_resume(&mut self, who: usize) -> &'static str {
        // Nobody for long: suspended people do little else worth testing.
        let who = self
            .model
            .people
            .iter()
            .position(|person| person.is_suspended)
            .unwrap_or(who);
        let person = &mut self.model.people[who];
        person.is_suspended = !person.is_suspended && self.rng.bool();
        let status = if person.is_suspended {
            AccountStatus::Suspended
        } else {
            AccountStatus::Active
        };
        account::set_status(&self.world.shop, "test", [ANN, BOB][who], status)
            .await
            .unwrap();
        "suspend or resume"
    }

    /// As after a crash: whoever had the shop open is gone without a word.
    async fn restart(&mut self) -> &'static str {
        self.world.shop = self.world.site.open(Settings::default(), self.world.clock()).await;
        "restart"
    }

    fn advance(&mut self, span: Span) -> &'static str {
        self.world.advance(span);
        self.model.now = self.model.now.plus(span);
        "time passes"
    }

    /// Everything that can be seen is as the model has it.
    async fn compare(&mut self) {
        for (person, email) in self.model.people.iter().zip([ANN, BOB]) {
            let seen = account::by_email(&self.world.shop, email).await.unwrap();
            assert_eq!(seen.balance, Cents(person.balance), "{email}");
        }
        self.adopt_states().await;
        for (who, account) in self.accounts.iter().enumerate() {
            let (seen, _) = subscriptions(&self.world.shop, account, Page::default()).await.unwrap();
            let known = |sub: &&Sub| sub.owner == who && sub.state != SubscriptionState::Released;
            assert_eq!(seen.len(), self.model.subs.iter().filter(known).count());
            for one in seen {
                let sub = self
                    .model
                    .subs
                    .iter()
                    .find(|sub| sub.id == one.id)
                    .expect("it was bought");
                let is_active = one.state == SubscriptionState::Active;
                assert_eq!(is_active, self.model.is_running(sub));
                assert_eq!(one.network_code, self.model.places[sub.place].code);
                assert_eq!((one.ends_at, one.port), (sub.ends_at, sub.port));
                assert_eq!((one.password, one.rotation_policy), (sub.password.clone(), sub.policy));
            }
        }
    }

    /// When one that is over is swept up is the shop's business, within bounds: never before its time, and not its port before the
    /// grace period is over.
    async fn adopt_states(&mut self) {
        for sub in &mut self.model.subs {
            let sql = format!("SELECT state FROM subscription WHERE id = '{}'", sub.id);
            let state: SubscriptionState = self.world.raw.texts(&sql).await.remove(0).parse().unwrap();
            match (sub.state, state) {
                (before, after) if before == after => {}
                (SubscriptionState::Active, SubscriptionState::Expired) => assert!(sub.ends_at <= self.model.now),
                (_, SubscriptionState::Released) => assert!(sub.ends_at.plus(GRACE) <= self.model.now),
                (before, after) => panic!("{before} became {after}"),
            }
            sub.state = state;
        }
        let mut held: Vec<(&str, &str)> = Vec::new();
        for sub in self
            .model
            .subs
            .iter()
            .filter(|sub| sub.state == SubscriptionState::Active)
        {
            held.push((&sub.exit, sub.id.as_str()));
        }
        held.sort_unstable();
        let sql =
            "SELECT exit_id || ' ' || subscription_id FROM slot WHERE subscription_id IS NOT NULL ORDER BY exit_id";
        let slots = self.world.raw.texts(sql).await;
        let held: Vec<String> = held.iter().map(|(exit, sub)| format!("{exit} {sub}")).collect();
        assert_eq!(held, slots);
    }
}

/// The answer, where both have one; both must be the same refusal otherwise.
fn agree<T, S: PartialEq + std::fmt::Debug>(
    outcome: Result<T>,
    expected: Result<S, Refusal>,
    summary: impl Fn(&T) -> S,
) -> Option<T> {
    match (outcome, expected) {
        (Ok(answer), Ok(expected)) => {
            assert_eq!(summary(&answer), expected);
            Some(answer)
        }
        (Err(Error::Refused(refusal)), Err(expected)) => {
            assert_eq!(refusal, expected);
            eprintln!("refused: {refusal}");
            None
        }
        (Err(Error::Refused(refusal)), Ok(_)) => panic!("the shop refuses: {refusal}"),
        (Err(error), _) => panic!("the shop fails: {error}"),
        (Ok(_), Err(expected)) => panic!("the shop does what the model refuses: {expected}"),
    }
}

fn small(count: i64) -> usize {
    usize::try_from(count).unwrap()
}
