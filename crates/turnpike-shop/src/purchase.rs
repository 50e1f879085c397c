//! Selling new subscriptions.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::attempt;
use crate::coupon;
use crate::credentials::Credentials;
use crate::error::Result;
use crate::idempotency::{self, IdempotencyKey};
use crate::limits::Limits;
use crate::notices;
use crate::order::{self, NewOrder, Terms};
use crate::price;
use crate::rotation;
use crate::routes;
use crate::shop::Shop;
use crate::slot::{self, Search, Slot};
use crate::store::{Tx, Value};
use crate::subscription::{self, Subscription};
use crate::types::{
    AccountId, Cents, OrderId, OrderKind, PlanId, Quantity, RepeatCount, Span, SubscriptionId, UnixMillis,
    random_lowercase,
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
    attempt::settled(shop, move |tx| {
        let (shop, buyer, order) = (owned.clone(), buyer.clone(), Arc::clone(&order));
        Box::pin(async move { sell(&shop, tx, &buyer, &order).await })
    })
    .await
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
        return Ok(Purchased {
            replayed: true,
            ..answer
        });
    }
    let balance = order::lock_buyer(tx, buyer).await?;
    let terms = Terms::on_sale(tx, &order.plan).await?;
    let coupon = match &order.coupon {
        Some(code) => Some(coupon::redeem(tx, buyer, code, now).await?),
        None => None,
    };
    let discount = coupon.as_ref().map(|coupon| coupon.discount);
    let price =
        price::of(terms.price, order.repeat, order.quantity, discount).ok_or_else(|| order::beyond_money(balance))?;
    let id = NewOrder {
        kind: OrderKind::Purchase,
        buyer,
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
        buyer,
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
    idempotency::remember(shop, tx, buyer, key, &purchased).await?;
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
    /// Opens all of them and tells their gateways, or refuses all.
    pub(crate) async fn run(&self, shop: &Shop, tx: &mut Tx) -> Result<Vec<Subscription>> {
        let search = Search {
            network: &self.terms.network,
            connection_type: self.terms.connection_type,
            home: None,
        };
        let wanted = self.quantity.value();
        let mut changed = Vec::new();
        for (taken, id) in (0..wanted).zip(SubscriptionId::ascending(wanted)) {
            let found = slot::take(shop, tx, search, taken, wanted, self.now).await?;
            changed.extend(found.ended);
            self.open(shop, tx, &id, &found.slot).await?;
            changed.push(id);
        }
        routes::publish(tx, &changed).await?;
        subscription::of_order(shop, tx, self.order).await
    }

    /// Opens one on a locked slot.
    async fn open(&self, shop: &Shop, tx: &mut Tx, id: &SubscriptionId, slot: &Slot) -> Result<()> {
        let port = slot::free_port(tx, &slot.gateway, None).await?;
        let link = rotation::own_token(shop, id, FIRST_LINK);
        let bought = Limits {
            traffic_bytes: self.traffic,
            ..self.terms.limits
        };
        let [max_connections, max_source_addresses, mbit_per_second, traffic_bytes] = bought.values();
        tx.execute(
            "INSERT INTO subscription (id, account_id, plan_id, network_id, connection_type, exit_id, gateway, port, username,
                                       sealed_credentials, rotate_version, rotate_token_hash, rotation_policy, user_note,
                                       state, started_at, ends_at, lapsed_ms, revision, max_connections,
                                       max_source_addresses, mbit_per_second, traffic_bytes, ending_notice_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 0, '', 'active', $13, $14, 0, 0, $15, $16, $17, $18,
                     $19)",
            &[
                Value::Text(id.to_string()),
                Value::Text(self.buyer.to_string()),
                Value::Text(self.terms.plan.to_string()),
                Value::Text(self.terms.network.to_string()),
                Value::Text(self.terms.connection_type.to_string()),
                Value::Text(slot.exit.to_string()),
                Value::Text(slot.gateway.clone()),
                Value::Int(port),
                Value::Text(format!("u_{}", random_lowercase(USER_NAME_LENGTH))),
                Value::Bytes(Credentials::random().seal(&shop.master_key, id)?),
                Value::Int(FIRST_LINK),
                Value::Bytes(rotation::token_hash(&link)),
                Value::Int(self.now.0),
                Value::Int(self.now.plus(self.duration).0),
                max_connections,
                max_source_addresses,
                mbit_per_second,
                traffic_bytes,
                Value::Int(notices::ending_notice_at(self.now.plus(self.duration), self.duration).0),
            ],
        )
        .await?;
        slot::give(tx, slot, id).await?;
        slot::give_port(tx, &slot.gateway, port, id).await?;
        order::add_line(tx, self.order, id, self.duration, self.traffic).await
    }
}

/// Characters of a user name behind its `u_`: 62 bits, so that two of a gateway are never alike.
const USER_NAME_LENGTH: usize = 12;

/// The version of a new subscription's rotate link.
const FIRST_LINK: i64 = 1;
