//! Selling new subscriptions.

use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Serialize};

use crate::attempt;
use crate::coupon;
use crate::credentials::Credentials;
use crate::error::{Error, Refusal, Result};
use crate::idempotency::{self, IdempotencyKey};
use crate::limits::{Limits, Usage};
use crate::notices;
use crate::order::{self, NewOrder, Terms};
use crate::price;
use crate::profile;
use crate::rotation;
use crate::routes;
use crate::shop::Shop;
use crate::slot::{self, Search, Slot};
use crate::store::{Together, Tx, Value};
use crate::subscription::{self, Subscription, Tls};
use crate::types::{
    AccountId, Cents, ConnectionType, OrderId, OrderKind, PlanId, Quantity, RepeatCount, RotationPolicy, Span,
    SubscriptionId, SubscriptionState, UnixMillis, random_lowercase,
};

/// What a customer wants to buy.
#[derive(Debug, Clone)]
pub struct PurchaseOrder {
    /// Which plan.
    pub plan: PlanId,
    /// Multiplies duration and price.
    pub repeat: RepeatCount,
    /// How many subscriptions.
    pub quantity: Quantity,
    /// A discount code.
    pub coupon: Option<String>,
    /// Makes sending it twice safe.
    pub idempotency: Option<IdempotencyKey>,
}

/// What was sold.
#[derive(Clone, Serialize, Deserialize)]
pub struct Purchased {
    /// The order.
    pub order: OrderId,
    /// What was paid.
    pub price: Cents,
    /// One or more.
    pub subscriptions: Vec<Subscription>,
    /// Whether this is the remembered answer to an earlier request with the same key.
    #[serde(skip)]
    pub replayed: bool,
}

impl Purchased {
    /// The same as the answer to a request that was answered before.
    pub(crate) async fn again(mut self, tx: &mut Tx) -> Result<Self> {
        routes::recall(tx, &mut self.subscriptions).await?;
        self.replayed = true;
        Ok(self)
    }
}

/// Sells `order.quantity` subscriptions of one plan, all or none. Charges the account once; the ledger's postings and the new
/// subscriptions commit together.
///
/// # Errors
/// [`crate::Refusal::UnknownPlan`], [`crate::Refusal::PlanInactive`], [`crate::Refusal::InvalidCoupon`],
/// [`crate::Refusal::InsufficientBalance`], [`crate::Refusal::SoldOut`], [`crate::Refusal::NoFreePort`],
/// [`crate::Refusal::AccountSuspended`], [`crate::Refusal::IdempotencyMismatch`], [`crate::Refusal::IdempotencyInFlight`];
/// nothing is kept of a refused order.
pub async fn purchase(shop: &Shop, buyer: &AccountId, order: PurchaseOrder) -> Result<Purchased> {
    let (owned, buyer, order) = (shop.clone(), buyer.clone(), Arc::new(order));
    let mut purchased = attempt::settled(shop, move |tx| {
        let (shop, buyer, order) = (owned.clone(), buyer.clone(), Arc::clone(&order));
        Box::pin(async move { sell(&shop, tx, &buyer, &order).await })
    })
    .await?;
    routes::tell(shop, &mut purchased.subscriptions).await;
    Ok(purchased)
}

/// What this order would cost now, by doing all of it and undoing it: whatever a purchase would be refused for, this is.
///
/// # Errors
/// As [`purchase`].
pub async fn quote(shop: &Shop, buyer: &AccountId, order: PurchaseOrder) -> Result<Cents> {
    let order = PurchaseOrder {
        idempotency: None,
        ..order
    };
    let (owned, buyer, order) = (shop.clone(), buyer.clone(), Arc::new(order));
    attempt::settled(shop, move |tx| {
        let (shop, buyer, order) = (owned.clone(), buyer.clone(), Arc::clone(&order));
        Box::pin(async move {
            tx.undo_at_end();
            Ok(sell(&shop, tx, &buyer, &order).await?.price)
        })
    })
    .await
}

/// The whole rule. The order of its locks is told in [`crate::order`].
async fn sell(shop: &Shop, tx: &mut Tx, buyer: &AccountId, order: &PurchaseOrder) -> Result<Purchased> {
    let now = shop.now();
    let key = order.idempotency.as_ref();
    if let Some(answer) = idempotency::claim(shop, tx, buyer, key, now).await? {
        return Purchased::again(answer, tx).await;
    }
    let (buyer, terms) = order::lock_buyer(tx, buyer, &order.plan).await?;
    let terms = terms.ok_or(Refusal::UnknownPlan)?.on_sale()?;
    let coupon = match &order.coupon {
        Some(code) => Some(coupon::redeem(tx, &buyer.account, code, now).await?),
        None => None,
    };
    let discount = coupon.as_ref().map(|coupon| coupon.discount);
    let price = price::of(terms.price, order.repeat, order.quantity, discount)
        .ok_or_else(|| order::beyond_money(buyer.balance))?;
    let id = NewOrder {
        kind: OrderKind::Purchase,
        buyer: &buyer,
        terms: &terms,
        repeat: order.repeat,
        quantity: order.quantity,
        unit: terms.price,
        price,
        coupon: coupon.as_ref(),
        idempotency: key,
    }
    .write(shop, tx, now)
    .await?;
    let subscriptions = Opening {
        buyer: &buyer.account,
        terms: &terms,
        order: &id,
        duration: order::times(terms.duration, order.repeat)?,
        traffic: terms.limits.traffic_of(order.repeat)?,
        quantity: order.quantity,
        now,
    }
    .run(shop, tx)
    .await?;
    let purchased = Purchased {
        order: id,
        price: price.total,
        subscriptions,
        replayed: false,
    };
    idempotency::remember(shop, tx, &buyer.account, key, &purchased).await?;
    Ok(purchased)
}

/// The subscriptions of an order that is paid.
pub(crate) struct Opening<'a> {
    /// Whose.
    pub(crate) buyer: &'a AccountId,
    /// Of which plan.
    pub(crate) terms: &'a Terms,
    /// For which order.
    pub(crate) order: &'a OrderId,
    /// How long each lasts.
    pub(crate) duration: Span,
    /// How many bytes each may move; absent: any number.
    pub(crate) traffic: Option<i64>,
    /// How many.
    pub(crate) quantity: Quantity,
    /// From when.
    pub(crate) now: UnixMillis,
}

impl Opening<'_> {
    /// Opens all of them, or refuses all. Whoever commits it has to [`routes::tell`] of them.
    pub(crate) async fn run(&self, shop: &Shop, tx: &mut Tx) -> Result<Vec<Subscription>> {
        let search = Search {
            network: &self.terms.network,
            connection_type: self.terms.connection_type,
            home: None,
        };
        let wanted = self.quantity.value();
        let (mut ended, mut opened) = (Vec::new(), Vec::new());
        for (taken, id) in (0..wanted).zip(SubscriptionId::ascending(wanted)) {
            let found = slot::take(shop, tx, search, taken, wanted, self.now).await?;
            ended.extend(found.ended);
            opened.push(self.open(shop, tx, id, found.slot).await?);
        }
        let new = opened.iter().map(|one| (&one.id, one.gateway.as_str()));
        let revisions = routes::publish_with(tx, &ended, new).await?;
        for one in &mut opened {
            one.revision = revisions.get(&one.gateway).copied().unwrap_or_default();
        }
        Ok(opened)
    }

    /// Opens one on a locked slot; its gateway has not been told yet.
    async fn open(&self, shop: &Shop, tx: &mut Tx, id: SubscriptionId, slot: Slot) -> Result<Subscription> {
        let port = slot::free_port(tx, &slot.gateway, None).await?;
        let link = rotation::own_token(shop, &id, FIRST_LINK);
        let limits = Limits {
            traffic_bytes: self.traffic,
            ..self.terms.limits
        };
        let credentials = Credentials::random();
        let username = format!("u_{}", random_lowercase(USER_NAME_LENGTH));
        let ends_at = self.now.plus(self.duration);
        let [max_connections, max_source_addresses, mbit_per_second, traffic_bytes] = limits.values();
        let row = [
            Value::Text(id.to_string()),
            Value::Text(self.buyer.to_string()),
            Value::Text(self.terms.plan.to_string()),
            Value::Text(self.terms.network.to_string()),
            Value::Text(self.terms.connection_type.to_string()),
            Value::Text(slot.exit.to_string()),
            Value::Text(slot.gateway.clone()),
            Value::Int(port),
            Value::Text(username.clone()),
            Value::Bytes(credentials.seal(&shop.master_key, &id)?),
            Value::Int(FIRST_LINK),
            Value::Bytes(rotation::token_hash(&link)),
            Value::Int(self.now.0),
            Value::Int(ends_at.0),
            max_connections,
            max_source_addresses,
            mbit_per_second,
            traffic_bytes,
            Value::Int(notices::ending_notice_at(ends_at, self.duration).0),
        ];
        let (slot_row, port_row) = (slot.given_to(&id), slot::port_given(&slot.gateway, port, &id));
        let line = order::line(self.order, &id, self.duration, self.traffic);
        let changed = tx.together(&OPEN, &[&row, &slot_row, &port_row, &line]).await?;
        if changed != [1, 1, 1, 1] {
            return Err(Error::Failed(format!(
                "opening {id} changed {changed:?} rows, not one each"
            )));
        }
        Ok(Subscription {
            state: SubscriptionState::Active,
            ends_at,
            user_note: String::new(),
            rotation_policy: RotationPolicy::OFF,
            connection_type: self.terms.connection_type,
            network_code: self.terms.network_code.clone(),
            city: self.terms.city.clone(),
            country: self.terms.country.clone(),
            host: slot.host,
            port: subscription::port_of(port)?,
            tls: slot.tls_server_name.map(|server_name| Tls { server_name }),
            gateway: slot.gateway,
            username,
            password: credentials.password,
            vpn: credentials.vpn,
            rotate_token: link,
            url_token: profile::token_of(shop, &id, profile::FIRST_TOKEN),
            can_rotate: slot.exit_can_rotate && self.terms.connection_type == ConnectionType::Private,
            limits,
            usage: Usage::default(),
            revision: 0,
            id,
        })
    }
}

/// A new subscription with what it takes.
static OPEN: LazyLock<Together> = LazyLock::new(|| {
    Together::of(&[
        "INSERT INTO subscription (id, account_id, plan_id, network_id, connection_type, exit_id, gateway, port, username,
                                   sealed_credentials, rotate_version, rotate_token_hash, rotation_policy, user_note,
                                   state, started_at, ends_at, lapsed_ms, revision, max_connections,
                                   max_source_addresses, mbit_per_second, traffic_bytes, ending_notice_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 0, '', 'active', $13, $14, 0, 0, $15, $16, $17, $18,
                 $19)",
        slot::GIVE,
        slot::GIVE_PORT,
        order::ADD_LINE,
    ])
});

/// Characters of a user name behind its `u_`: 62 bits, so that two of a gateway are never alike.
const USER_NAME_LENGTH: usize = 12;

/// The version of a new subscription's rotate link.
const FIRST_LINK: i64 = 1;
