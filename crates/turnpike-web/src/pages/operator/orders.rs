//! `/operator/orders`: what was ordered, every line of the ledger that it led to, and giving its price back.

use askama::Template;
use http::StatusCode;
use turnpike_shop::account::Account;
use turnpike_shop::orders::{self, Booking, Line, Order, Place as At, Whole};
use turnpike_shop::types::{AccountId, Cents, OrderId, OrderKind, SubscriptionState, UnixMillis};
use turnpike_shop::{Error as ShopError, Refusal, account, refund};

use super::path_of;
use crate::api::wait_applied;
use crate::error::ApiError;
use crate::pages::desk::{Desk, Outcome, html};
use crate::pages::frame::{Frame, Place};
use crate::pages::sizes::bytes;
use crate::pages::statement::{signed, what};
use crate::pages::texts::{Notice, texts};
use crate::pages::trouble::{Trouble, refused};
use crate::pages::visitor::{ConfirmedOperator, Operator};
use crate::pages::when::{moment, span};

/// Rows of a page.
const ROWS: i64 = 50;

#[derive(Template)]
#[template(path = "operator/orders.html")]
struct OrdersPage {
    frame: Frame,
    rows: Vec<Row>,
    /// Whose only, where that was asked for: his id and e-mail address.
    of: Option<(String, String)>,
    /// Where the next page begins.
    next: Option<String>,
    /// Whether this is not the first page.
    is_later: bool,
}

/// An order as a list shows it.
struct Row {
    path: String,
    at: String,
    kind: &'static str,
    email: String,
    account: String,
    plan: String,
    price: String,
    is_refunded: bool,
}

impl Row {
    fn of(order: &Order) -> Self {
        Self {
            path: path(&order.id),
            at: moment(order.created_at),
            kind: kind(order.kind),
            email: order.email.clone(),
            account: path_of(&order.account),
            plan: order.plan.clone(),
            price: order.price.to_string(),
            is_refunded: order.refunded_at.is_some(),
        }
    }
}

fn path(order: &OrderId) -> String {
    format!("/operator/orders/{order}")
}

fn kind(kind: OrderKind) -> &'static str {
    match kind {
        OrderKind::Purchase => texts().purchase,
        OrderKind::Renewal => texts().renewal,
        OrderKind::Trial => texts().trial,
    }
}

/// `GET /operator/orders`
pub(crate) async fn list(_: Operator, desk: Desk) -> Outcome {
    let shop = &desk.app.shop;
    let owner: Option<Account> = match desk.fields.filled("account").map(str::parse::<AccountId>) {
        Some(Ok(id)) => match account::by_id(shop, &id).await {
            Err(ShopError::Refused(_)) => return Err(Trouble::Failed(ApiError::NoSuchPath)),
            found => Some(found?),
        },
        Some(Err(_)) => return Err(Trouble::Failed(ApiError::NoSuchPath)),
        None => None,
    };
    let after = place(desk.fields.text("after"));
    let is_later = after.is_some();
    let only = owner.as_ref().map(|account| &account.id);
    let (found, has_more) = orders::orders(shop, only, after, ROWS).await?;
    let next = found.last().filter(|_| has_more).map(|last| {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        if let Some(only) = only {
            query.append_pair("account", only.as_str());
        }
        query.append_pair("after", &format!("{}.{}", last.created_at.0, last.id));
        query.finish()
    });
    let page = OrdersPage {
        frame: desk.frame(Place::Orders, texts().orders).await?,
        rows: found.iter().map(Row::of).collect(),
        of: owner.map(|account| (account.id.to_string(), account.email)),
        next,
        is_later,
    };
    Ok(html(StatusCode::OK, &page))
}

/// What the link to the next page said; anything else begins at the beginning.
fn place(text: &str) -> Option<At> {
    let (at, id) = text.split_once('.')?;
    Some(At {
        created_at: UnixMillis(at.parse().ok()?),
        id: id.parse().ok()?,
    })
}

#[derive(Template)]
#[template(path = "operator/order.html")]
struct OrderPage {
    frame: Frame,
    row: Row,
    id: String,
    network: String,
    quantity: i64,
    repeat: i64,
    unit: String,
    coupon: String,
    discount: String,
    refunded: String,
    lines: Vec<Given>,
    bookings: Vec<Moved>,
    can_be_refunded: bool,
}

/// What an order gave to a subscription.
struct Given {
    port: i64,
    duration: String,
    traffic: String,
    ends: String,
    is_active: bool,
}

impl Given {
    fn of(line: &Line, now: UnixMillis) -> Self {
        Self {
            port: line.port,
            duration: span(line.duration),
            traffic: line.traffic_bytes.map(bytes).unwrap_or_default(),
            ends: moment(line.ends_at),
            is_active: line.state == SubscriptionState::Active && line.ends_at > now,
        }
    }
}

/// A posting.
struct Moved {
    at: String,
    what: &'static str,
    account: String,
    amount: String,
    is_credit: bool,
    note: String,
}

impl Moved {
    fn of(booking: &Booking) -> Self {
        let Cents(cents) = booking.amount;
        Self {
            at: moment(booking.at),
            what: what(&booking.kind),
            account: booking.account.clone(),
            amount: signed(cents, &booking.amount.to_string()),
            is_credit: cents > 0,
            note: booking.note.clone(),
        }
    }
}

/// The order that the path names; an unknown one leads nowhere.
async fn named(desk: &Desk) -> Result<Whole, Trouble> {
    let id: OrderId = desk.id("order")?;
    orders::whole(&desk.app.shop, &id).await.map_err(|error| match error {
        ShopError::Refused(Refusal::UnknownOrder) => Trouble::Failed(ApiError::NoSuchPath),
        other => other.into(),
    })
}

/// `GET /operator/orders/{order}`
pub(crate) async fn show(_: Operator, desk: Desk) -> Outcome {
    let Whole { order, lines, bookings } = named(&desk).await?;
    let now = desk.app.shop.now();
    let page = OrderPage {
        frame: desk.frame(Place::Orders, texts().one_order).await?,
        row: Row::of(&order),
        id: order.id.to_string(),
        network: order.network_code,
        quantity: order.quantity,
        repeat: order.repeat,
        unit: order.unit_price.to_string(),
        coupon: order.coupon.unwrap_or_default(),
        discount: order.discount.to_string(),
        refunded: order.refunded_at.map(moment).unwrap_or_default(),
        lines: lines.iter().map(|line| Given::of(line, now)).collect(),
        bookings: bookings.iter().map(Moved::of).collect(),
        can_be_refunded: order.refunded_at.is_none() && order.price > Cents(0),
    };
    Ok(html(StatusCode::OK, &page))
}

#[derive(Template)]
#[template(path = "operator/refund.html")]
struct RefundPage {
    frame: Frame,
    row: Row,
    reason: String,
    lines: Vec<Given>,
    wrong: Option<String>,
}

/// `GET /operator/orders/{order}/refund`
pub(crate) async fn refund_form(_: ConfirmedOperator, desk: Desk) -> Outcome {
    let seen = named(&desk).await?;
    shown(&desk, &seen, StatusCode::OK, None).await
}

async fn shown(desk: &Desk, seen: &Whole, status: StatusCode, wrong: Option<String>) -> Outcome {
    let now = desk.app.shop.now();
    let page = RefundPage {
        frame: desk.frame(Place::Orders, texts().give_back).await?,
        row: Row::of(&seen.order),
        reason: desk.fields.text("reason").to_owned(),
        lines: seen.lines.iter().map(|line| Given::of(line, now)).collect(),
        wrong,
    };
    Ok(html(status, &page))
}

/// `POST /operator/orders/{order}/refund`
pub(crate) async fn act(operator: ConfirmedOperator, desk: Desk) -> Outcome {
    let seen = named(&desk).await?;
    let (id, reason) = (&seen.order.id, desk.fields.text("reason"));
    match refund(&desk.app.shop, operator.actor(), id, reason).await {
        Ok(refunded) => {
            let revisions = refunded
                .shortened
                .iter()
                .map(|one| (one.gateway.as_str(), one.revision));
            wait_applied(&desk.app, &desk.visit, revisions).await;
            Ok(desk.done(&path(id), Notice::Refunded))
        }
        Err(error) => {
            let (status, sentence) = refused(error, &desk)?;
            shown(&desk, &seen, status, Some(sentence)).await
        }
    }
}
