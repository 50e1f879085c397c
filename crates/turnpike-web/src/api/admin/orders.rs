//! `/api/admin/orders`: what was ordered, with every line of the ledger, and refunds.

use http::Method;
use serde::{Deserialize, Serialize};
use turnpike_shop::orders::{self, Booking, Line, Order, Place};
use turnpike_shop::refund;
use turnpike_shop::types::{AccountId, OrderId, UnixMillis};
use utoipa::ToSchema;

use super::actor;
use crate::api::v1::Endpoint;
use crate::api::{Context, wire};
use crate::error::ApiError;
use crate::principal::{Operator, OperatorReader};
use crate::response::True;

/// Everybody's orders or one account's, the newest first, a page at a time.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListOrders {
    /// Of one account only.
    #[serde(default, deserialize_with = "wire::optional_id")]
    #[schema(schema_with = wire::id_schema, required = false)]
    account_id: Option<AccountId>,
    /// At most so many; 50 where nothing is said.
    #[serde(default, deserialize_with = "wire::limit")]
    #[schema(minimum = 1, maximum = 100, required = false)]
    limit: Option<i64>,
    /// The `nextCursor` of the page before.
    #[serde(default, deserialize_with = "wire::place_cursor")]
    #[schema(schema_with = wire::place_cursor_schema, required = false)]
    cursor: Option<(UnixMillis, OrderId)>,
}

/// Orders.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OrdersAnswer {
    ok: True,
    orders: Vec<OrderItem>,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = wire::place_cursor_schema, required = false)]
    next_cursor: Option<String>,
}

/// An order.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OrderItem {
    #[schema(schema_with = wire::id_schema)]
    order_id: String,
    #[schema(schema_with = wire::id_schema)]
    account_id: String,
    email: String,
    /// `purchase`, `renewal` or `trial`.
    #[schema(example = "purchase")]
    kind: String,
    /// The plan's code.
    plan: String,
    /// The plan's network then.
    #[schema(example = "NL-AMS")]
    network: String,
    repeat_count: i64,
    quantity: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    coupon_code: Option<String>,
    /// What one cost, in cents. So are the others.
    unit_price_cents: i64,
    /// What the coupon took off.
    discount_cents: i64,
    /// What was paid.
    price_amount_cents: i64,
    /// In Unix milliseconds.
    created_at: i64,
    /// When its price was given back.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    refunded_at: Option<i64>,
}

impl From<Order> for OrderItem {
    fn from(order: Order) -> Self {
        Self {
            order_id: order.id.into(),
            account_id: order.account.into(),
            email: order.email,
            kind: order.kind.to_string(),
            plan: order.plan,
            network: order.network_code,
            repeat_count: order.repeat,
            quantity: order.quantity,
            coupon_code: order.coupon,
            unit_price_cents: order.unit_price.0,
            discount_cents: order.discount.0,
            price_amount_cents: order.price.0,
            created_at: order.created_at.0,
            refunded_at: order.refunded_at.map(|at| at.0),
        }
    }
}

impl Endpoint for ListOrders {
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/api/admin/orders";
    const NAME: &'static str = "adminOrders";
    type Caller = OperatorReader;
    type Answer = OrdersAnswer;

    async fn call(self, _: OperatorReader, context: &Context<'_>) -> Result<OrdersAnswer, ApiError> {
        let after = self.cursor.map(|(created_at, id)| Place { created_at, id });
        let limit = self.limit.unwrap_or(wire::USUAL_LIMIT);
        let (found, has_more) = orders::orders(&context.app.shop, self.account_id.as_ref(), after, limit).await?;
        let last = found.last().filter(|_| has_more);
        Ok(OrdersAnswer {
            ok: True,
            next_cursor: last.map(|last| wire::place(last.created_at, last.id.as_str())),
            orders: found.into_iter().map(OrderItem::from).collect(),
        })
    }
}

/// An order with what it gave and every line of the ledger that it led to.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ShowOrder {
    #[serde(deserialize_with = "wire::id")]
    #[schema(schema_with = wire::id_schema)]
    order_id: OrderId,
}

/// An order with all that came of it.
#[derive(Serialize, ToSchema)]
pub(crate) struct OrderAnswer {
    ok: True,
    order: OrderItem,
    lines: Vec<OrderLineItem>,
    /// The first first; they sum to zero.
    bookings: Vec<BookingItem>,
}

/// What an order gave to a subscription.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OrderLineItem {
    #[schema(schema_with = wire::id_schema)]
    subscription_id: String,
    port: i64,
    /// Where it stands now: `active`, `expired` or `released`.
    #[schema(example = "active")]
    state: String,
    duration_ms: i64,
    /// Absent where that is without a limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    traffic_bytes: Option<i64>,
    /// When it ends now.
    end_at: i64,
}

impl From<Line> for OrderLineItem {
    fn from(line: Line) -> Self {
        Self {
            subscription_id: line.subscription.into(),
            port: line.port,
            state: line.state.to_string(),
            duration_ms: line.duration.0,
            traffic_bytes: line.traffic_bytes,
            end_at: line.ends_at.0,
        }
    }
}

/// One posting.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BookingItem {
    #[schema(schema_with = wire::id_schema)]
    transaction_id: String,
    /// `purchase`, `renewal`, `trial` or `refund`.
    #[schema(example = "purchase")]
    kind: String,
    /// Whose money: the customer's e-mail address, or `revenue`.
    account: String,
    /// Positive: it got it.
    amount_cents: i64,
    reason: String,
    at: i64,
}

impl From<Booking> for BookingItem {
    fn from(booking: Booking) -> Self {
        Self {
            transaction_id: booking.transaction.into(),
            kind: booking.kind,
            account: booking.account,
            amount_cents: booking.amount.0,
            reason: booking.note,
            at: booking.at.0,
        }
    }
}

impl Endpoint for ShowOrder {
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/api/admin/orders/{orderId}";
    const NAME: &'static str = "adminOrder";
    const ERRORS: &'static [u16] = &[404];
    type Caller = OperatorReader;
    type Answer = OrderAnswer;

    async fn call(self, _: OperatorReader, context: &Context<'_>) -> Result<OrderAnswer, ApiError> {
        let whole = orders::whole(&context.app.shop, &self.order_id).await?;
        Ok(OrderAnswer {
            ok: True,
            order: whole.order.into(),
            lines: whole.lines.into_iter().map(OrderLineItem::from).collect(),
            bookings: whole.bookings.into_iter().map(BookingItem::from).collect(),
        })
    }
}

/// Gives an order's price back and takes back the time that it gave. Once for each order, however often it is asked for: the answer
/// is then 409 with the code `refunded_already`.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Refund {
    #[serde(deserialize_with = "wire::id")]
    #[schema(schema_with = wire::id_schema)]
    order_id: OrderId,
    #[serde(deserialize_with = "wire::text")]
    #[schema(
        min_length = 1,
        max_length = 200,
        pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$",
        example = "it did not work"
    )]
    reason: String,
}

/// What was given back.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RefundAnswer {
    ok: True,
    #[schema(schema_with = wire::id_schema)]
    account_id: String,
    /// In cents.
    amount_cents: i64,
    /// The account's balance with it.
    balance_cents: i64,
}

impl Endpoint for Refund {
    const METHOD: Method = Method::POST;
    const PATH: &'static str = "/api/admin/orders/{orderId}/refund";
    const NAME: &'static str = "adminRefund";
    const ERRORS: &'static [u16] = &[404, 409];
    type Caller = Operator;
    type Answer = RefundAnswer;

    async fn call(self, operator: Operator, context: &Context<'_>) -> Result<RefundAnswer, ApiError> {
        let (shop, actor) = (&context.app.shop, actor(&operator, context).await?);
        let refunded = refund(shop, &actor, &self.order_id, &self.reason).await?;
        let told = refunded.shortened.iter();
        context
            .wait_applied(told.map(|one| (one.gateway.as_str(), one.revision)))
            .await;
        Ok(RefundAnswer {
            ok: True,
            account_id: refunded.account.into(),
            amount_cents: refunded.amount.0,
            balance_cents: refunded.balance.0,
        })
    }
}
