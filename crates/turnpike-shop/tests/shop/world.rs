//! A small shop to test in, put together word by word: `World::on(site).network("NL-AMS").exits(2).balance(5_000).open()`.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use turnpike_shop::account;
use turnpike_shop::catalogue::{self, Catalogue, Coupon, Discount, Exit, ExitSpec, ExitWay, Network, Plan};
use turnpike_shop::credentials::Changed;
use turnpike_shop::idempotency::IdempotencyKey;
use turnpike_shop::ledger;
use turnpike_shop::limits::Limits;
use turnpike_shop::routes;
use turnpike_shop::subscription::{Page, Subscription};
use turnpike_shop::types::{
    AccountId, Cents, ConnectionType, NetworkId, NetworkType, PlanId, Quantity, RepeatCount, Role, Span, UnixMillis,
};
use turnpike_shop::upkeep;
use turnpike_shop::{Clock, Error, PurchaseOrder, Purchased, Refusal, RenewOrder, Renewed, Result, Settings, Shop};
use turnpike_shop::{TrialOrder, change_credentials, purchase, renew, subscriptions, switch_network, trial};

use crate::raw::Raw;
use crate::site::Site;

/// When every test begins.
pub(crate) const NOW: UnixMillis = UnixMillis(1_760_000_000_000);
/// The customer of every world.
pub(crate) const ANN: &str = "ann@example.com";
/// The gateway of every world.
pub(crate) const GATEWAY: &str = "gw1";
/// How long every plan runs.
pub(crate) const MONTH: Span = Span::days(30);
/// What every plan costs unless something else is said.
pub(crate) const PRICE: i64 = 1_200;

/// What a customer is answered: all but by which revisions his gateways were told, of which a later answer may name later ones.
pub(crate) fn answer(bought: &Purchased) -> Vec<u8> {
    let mut bought = bought.clone();
    for one in &mut bought.subscriptions {
        one.revision = 0;
    }
    serde_json::to_vec(&bought).unwrap()
}

/// A world being put together.
pub(crate) struct Plot<'s> {
    site: &'s Site,
    gateways: Vec<(String, RangeInclusive<u16>)>,
    networks: Vec<Network>,
    plans: Vec<Plan>,
    coupons: Vec<Coupon>,
    balance: i64,
    settings: Settings,
}

impl Plot<'_> {
    /// One more network, which what is said next is about. It sells whole exits.
    pub(crate) fn network(mut self, code: &str) -> Self {
        self.networks.push(Network {
            code: code.to_owned(),
            city: format!("City of {code}"),
            country: code.chars().take(2).collect(),
            network_type: NetworkType::Mobile,
            allow_smtp: false,
            exits: Vec::new(),
        });
        self.plans.push(plan(code, ConnectionType::Private));
        self
    }

    /// So many whole exits that can rotate.
    pub(crate) fn exits(mut self, count: usize) -> Self {
        for _ in 0..count {
            self.exit(2, 0);
        }
        self
    }

    /// So many whole exits that cannot rotate.
    pub(crate) fn fixed_exits(mut self, count: usize) -> Self {
        for _ in 0..count {
            self.exit(1, 0);
        }
        self
    }

    /// One exit that so many share.
    pub(crate) fn shared(mut self, slots: i64) -> Self {
        self.exit(2, slots);
        let code = self.last_network().code.clone();
        if !self
            .plans
            .iter()
            .any(|known| known.code == plan_code(&code, ConnectionType::Shared))
        {
            self.plans.push(plan(&code, ConnectionType::Shared));
        }
        self
    }

    /// What this network's plans cost.
    pub(crate) fn priced(mut self, cents: i64) -> Self {
        self.each_plan(|plan| plan.price = Cents(cents));
        self
    }

    /// How long a trial of this network's plans is.
    pub(crate) fn trial(mut self, span: Span) -> Self {
        self.each_plan(|plan| plan.trial = Some(span));
        self
    }

    /// What this network's plans limit.
    pub(crate) fn limits(mut self, limits: Limits) -> Self {
        self.each_plan(|plan| plan.limits = limits);
        self
    }

    /// One more gateway; exits said from here on are on it.
    pub(crate) fn gateway(mut self, name: &str, ports: RangeInclusive<u16>) -> Self {
        self.gateways.push((name.to_owned(), ports));
        self
    }

    /// The ports of the present gateway.
    pub(crate) fn ports(mut self, ports: RangeInclusive<u16>) -> Self {
        self.gateways.last_mut().unwrap().1 = ports;
        self
    }

    pub(crate) fn coupon(mut self, coupon: Coupon) -> Self {
        self.coupons.push(coupon);
        self
    }

    /// What Ann has to spend.
    pub(crate) fn balance(mut self, cents: i64) -> Self {
        self.balance = cents;
        self
    }

    pub(crate) fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    fn last_network(&mut self) -> &mut Network {
        self.networks.last_mut().expect("a network is said first")
    }

    fn each_plan(&mut self, change: impl Fn(&mut Plan)) {
        let code = self.last_network().code.clone();
        self.plans
            .iter_mut()
            .filter(|plan| plan.network == code)
            .for_each(change);
    }

    fn exit(&mut self, addresses: u8, shared_slots: i64) {
        let gateway = self.gateways.last().unwrap().0.clone();
        let network = self.last_network();
        let number = u8::try_from(network.exits.len() + 1).unwrap();
        let pool = (0..addresses).map(|last| [127, 1, number, last + 1].into()).collect();
        network.exits.push(Exit {
            name: format!("exit-{number}"),
            gateway: Some(gateway),
            spec: ExitSpec {
                way: ExitWay::Addresses(pool),
                rotate: None,
                drain_seconds: 30,
            },
            shared_slots,
        });
    }
}

fn plan_code(network: &str, connection_type: ConnectionType) -> String {
    format!("{network} {connection_type}")
}

fn plan(network: &str, connection_type: ConnectionType) -> Plan {
    Plan {
        code: plan_code(network, connection_type),
        network: network.to_owned(),
        connection_type,
        duration: MONTH,
        price: Cents(PRICE),
        popular: false,
        trial: None,
        limits: Limits::default(),
    }
}

/// A coupon without limits.
pub(crate) fn coupon(code: &str, discount: Discount) -> Coupon {
    Coupon {
        code: code.to_owned(),
        discount,
        max_redemptions: None,
        per_account: None,
        valid_until: None,
    }
}

pub(crate) fn quantity(number: u64) -> Quantity {
    number.try_into().unwrap()
}

pub(crate) fn times(number: u64) -> RepeatCount {
    number.try_into().unwrap()
}

/// A key whose request is told apart by `body`.
pub(crate) fn key(key: &str, body: u8) -> Option<IdempotencyKey> {
    Some(IdempotencyKey {
        key: key.to_owned(),
        request_hash: [body; 32],
    })
}

/// The refusal of a verb; anything else stops the test.
pub(crate) fn refusal<T>(outcome: Result<T>) -> Refusal {
    match outcome {
        Err(Error::Refused(refusal)) => refusal,
        Err(error) => panic!("it failed: {error}"),
        Ok(_) => panic!("it was not refused"),
    }
}

/// A shop in business.
pub(crate) struct World<'s> {
    pub(crate) site: &'s Site,
    pub(crate) shop: Shop,
    pub(crate) raw: Raw,
    /// What was applied; to be changed and applied again.
    pub(crate) catalogue: Catalogue,
    pub(crate) ann: AccountId,
    time: Arc<AtomicI64>,
}

impl<'s> World<'s> {
    pub(crate) fn on(site: &'s Site) -> Plot<'s> {
        Plot {
            site,
            gateways: vec![(GATEWAY.to_owned(), 12_001..=12_200)],
            networks: Vec::new(),
            plans: Vec::new(),
            coupons: Vec::new(),
            balance: 100_000,
            settings: Settings::default(),
        }
    }

    pub(crate) fn now(&self) -> UnixMillis {
        self.shop.now()
    }

    /// A clock that shows this world's time.
    pub(crate) fn clock(&self) -> Clock {
        clock(&self.time)
    }

    pub(crate) fn advance(&self, span: Span) {
        self.time.fetch_add(span.0, Ordering::Relaxed);
    }

    pub(crate) async fn upkeep(&self) -> Option<UnixMillis> {
        upkeep::run(&self.shop).await.unwrap()
    }

    /// Makes the catalogue equal to what the test has made of it.
    pub(crate) async fn apply(&self) {
        catalogue::apply(&self.shop, "test", self.catalogue.clone(), false)
            .await
            .unwrap();
    }

    /// Another customer.
    pub(crate) async fn person(&self, email: &str, balance: i64) -> AccountId {
        let account = account::create(&self.shop, "test", email, Role::Customer, None)
            .await
            .unwrap();
        if balance > 0 {
            ledger::adjust(&self.shop, "test", email, Cents(balance), "to begin with")
                .await
                .unwrap();
        }
        account.id
    }

    pub(crate) async fn balance(&self) -> i64 {
        account::by_email(&self.shop, ANN).await.unwrap().balance.0
    }

    /// The plan of a network's whole exits.
    pub(crate) async fn plan(&self, network: &str) -> PlanId {
        self.plan_of(network, ConnectionType::Private).await
    }

    pub(crate) async fn plan_of(&self, network: &str, connection_type: ConnectionType) -> PlanId {
        let code = plan_code(network, connection_type);
        self.id(&format!("SELECT id FROM plan WHERE code = '{code}'")).await
    }

    pub(crate) async fn network(&self, code: &str) -> NetworkId {
        self.id(&format!("SELECT id FROM network WHERE code = '{code}'")).await
    }

    async fn id<I: std::str::FromStr<Err: std::fmt::Debug>>(&self, sql: &str) -> I {
        let found = self.raw.texts(sql).await;
        found
            .first()
            .unwrap_or_else(|| panic!("nothing by {sql}"))
            .parse()
            .unwrap()
    }

    /// An order of one whole exit.
    pub(crate) async fn order(&self, network: &str) -> PurchaseOrder {
        self.order_of(network, ConnectionType::Private).await
    }

    pub(crate) async fn order_of(&self, network: &str, connection_type: ConnectionType) -> PurchaseOrder {
        PurchaseOrder {
            plan: self.plan_of(network, connection_type).await,
            repeat: RepeatCount::ONE,
            quantity: Quantity::ONE,
            coupon: None,
            idempotency: None,
        }
    }

    pub(crate) async fn buy(&self, order: PurchaseOrder) -> Result<Purchased> {
        purchase(&self.shop, &self.ann, order).await
    }

    /// Ann's new subscription of a whole exit.
    pub(crate) async fn bought(&self, network: &str) -> Subscription {
        let order = self.order(network).await;
        self.buy(order).await.unwrap().subscriptions.remove(0)
    }

    /// Ann's new share of an exit.
    pub(crate) async fn bought_shared(&self, network: &str) -> Subscription {
        let order = self.order_of(network, ConnectionType::Shared).await;
        self.buy(order).await.unwrap().subscriptions.remove(0)
    }

    pub(crate) async fn try_out(&self, network: &str) -> Result<Purchased> {
        let plan = self.plan(network).await;
        trial(
            &self.shop,
            &self.ann,
            TrialOrder {
                plan,
                idempotency: None,
                source: None,
            },
        )
        .await
    }

    /// A renewal by the plan that the subscription was bought by, where that is still in its network.
    pub(crate) async fn renewal(&self, subscription: &Subscription) -> RenewOrder {
        RenewOrder {
            subscription: subscription.id.clone(),
            plan: self
                .plan_of(&subscription.network_code, subscription.connection_type)
                .await,
            repeat: RepeatCount::ONE,
            coupon: None,
            idempotency: None,
        }
    }

    pub(crate) async fn renew(&self, order: RenewOrder) -> Result<Renewed> {
        renew(&self.shop, &self.ann, order).await
    }

    pub(crate) async fn switch(&self, subscription: &Subscription, network: &str) -> Result<Subscription> {
        let target = self.network(network).await;
        switch_network(&self.shop, &self.ann, &subscription.id, &target).await
    }

    pub(crate) async fn change_credentials(&self, subscription: &Subscription) -> Result<Changed> {
        change_credentials(&self.shop, &self.ann, &subscription.id).await
    }

    /// Ann's subscriptions.
    pub(crate) async fn list(&self) -> Vec<Subscription> {
        subscriptions(&self.shop, &self.ann, Page::default()).await.unwrap().0
    }

    /// One of Ann's subscriptions as it is now.
    pub(crate) async fn see(&self, subscription: &Subscription) -> Subscription {
        self.list()
            .await
            .into_iter()
            .find(|one| one.id == subscription.id)
            .expect("it is listed")
    }

    /// The exit that a subscription leaves by.
    pub(crate) async fn exit_of(&self, subscription: &Subscription) -> String {
        let sql = format!(
            "SELECT e.name FROM subscription s JOIN network_exit e ON e.id = s.exit_id WHERE s.id = '{}'",
            subscription.id
        );
        self.raw.texts(&sql).await.remove(0)
    }

    pub(crate) async fn slots_taken(&self) -> i64 {
        self.raw.int("SELECT COUNT(subscription_id) FROM slot").await
    }

    pub(crate) async fn ports_taken(&self) -> i64 {
        self.raw.int("SELECT COUNT(subscription_id) FROM port").await
    }

    pub(crate) async fn revision(&self) -> i64 {
        routes::revision(&self.shop, GATEWAY).await.unwrap()
    }

    /// All that the database holds, as text; what it holds as bytes, as the text that these would be.
    pub(crate) async fn everything(&self) -> String {
        let mut all = String::new();
        for table in self.raw.tables().await {
            all.push_str(&self.raw.dump(&table).await);
        }
        all
    }

    /// The refusal of a verb, of which nothing may be kept.
    pub(crate) async fn refuses<T>(&self, verb: impl Future<Output = Result<T>>) -> Refusal {
        let before = self.traces().await;
        let refusal = refusal(verb.await);
        assert_eq!(
            self.traces().await,
            before,
            "something is kept of what was refused: {refusal}"
        );
        refusal
    }

    /// What a verb leaves behind, counted.
    async fn traces(&self) -> Vec<i64> {
        let mut counts = Vec::new();
        for sql in [
            "SELECT COUNT(*) FROM shop_order",
            "SELECT COUNT(*) FROM order_line",
            "SELECT COUNT(*) FROM ledger_transaction",
            "SELECT COUNT(*) FROM posting",
            "SELECT CAST(COALESCE(SUM(balance), 0) AS BIGINT) FROM ledger_account",
            "SELECT COUNT(*) FROM subscription",
            "SELECT CAST(COALESCE(SUM(ends_at + lapsed_ms + 2 * cut_ms), 0) AS BIGINT) FROM subscription",
            "SELECT COUNT(*) FROM idempotency",
            "SELECT CAST(COALESCE(SUM(redeemed), 0) AS BIGINT) FROM coupon",
            "SELECT CAST(COALESCE(SUM(redeemed), 0) AS BIGINT) FROM coupon_use",
            "SELECT CAST(COALESCE(SUM(used_at), 0) AS BIGINT) FROM trial_use",
            "SELECT COUNT(subscription_id) FROM slot",
            "SELECT COUNT(subscription_id) FROM port",
            "SELECT COUNT(*) FROM rotation",
            "SELECT CAST(COALESCE(SUM(rotate_version), 0) AS BIGINT) FROM subscription",
            "SELECT CAST(COALESCE(SUM(version), 0) AS BIGINT) FROM rotate_link WHERE revoked_at IS NULL",
            "SELECT CAST(COALESCE(SUM(revision), 0) AS BIGINT) FROM gateway_state",
        ] {
            counts.push(self.raw.int(sql).await);
        }
        counts
    }
}

impl<'s> Plot<'s> {
    /// Opens the shop: gateways, catalogue, and Ann with her money.
    pub(crate) async fn open(self) -> World<'s> {
        let time = Arc::new(AtomicI64::new(NOW.0));
        let shop = self.site.open(self.settings, clock(&time)).await;
        for (name, ports) in self.gateways {
            let host = format!("{name}.example.com");
            routes::register_gateway(&shop, &name, &host, ports).await.unwrap();
        }
        let catalogue = Catalogue {
            networks: self.networks,
            plans: self.plans,
            coupons: self.coupons,
        };
        let mut world = World {
            site: self.site,
            raw: self.site.raw().await,
            ann: AccountId::random(),
            shop,
            catalogue,
            time,
        };
        world.apply().await;
        world.ann = world.person(ANN, self.balance).await;
        world
    }
}

fn clock(time: &Arc<AtomicI64>) -> Clock {
    let time = Arc::clone(time);
    Arc::new(move || UnixMillis(time.load(Ordering::Relaxed)))
}
