//! `/plans`: what is sold, and buying it at the price that is shown.

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;
use axum::response::Response;
use http::StatusCode;
use sha2::{Digest as _, Sha256};
use turnpike_shop::catalogue::{self, PlanOnSale};
use turnpike_shop::idempotency::IdempotencyKey;
use turnpike_shop::types::{Cents, ConnectionType, NetworkType, PlanId, random_lowercase};
use turnpike_shop::{PurchaseOrder, plans, purchase, quote};

use super::desk::{Desk, Outcome, html};
use super::form::Fields;
use super::found::told;
use super::frame::{Frame, Place};
use super::sizes::bytes;
use super::texts::{Notice, texts, with};
use super::trouble::{Trouble, refused};
use super::visitor::Customer;
use super::when;
use crate::api::wait_applied;
use crate::error::ApiError;

/// Letters of what makes sending a form twice safe.
const ONCE_LENGTH: usize = 24;
/// The longest coupon code that can exist.
const COUPON_LENGTH: usize = 64;

#[derive(Template)]
#[template(path = "plans.html")]
struct PlansPage {
    frame: Frame,
    plans: Vec<Card>,
    /// How many plans these are, in words.
    told: String,
    countries: Vec<Choice>,
    types: Vec<Choice>,
    lines: Vec<Choice>,
    is_by_price: bool,
    is_filtered: bool,
}

/// One of a few values of a filter.
pub(crate) struct Choice {
    pub(crate) value: String,
    pub(crate) label: String,
    pub(crate) is_chosen: bool,
}

/// A plan as it is shown.
struct Card {
    id: String,
    place: String,
    code: String,
    country: String,
    line: &'static str,
    kind: &'static str,
    duration: String,
    price: String,
    free: i64,
    is_popular: bool,
    limits: Vec<String>,
}

impl Card {
    fn of(plan: &PlanOnSale, free: i64) -> Self {
        let t = texts();
        let limits = &plan.limits;
        let some = |number: Option<i64>, what: &str| number.map(|number| format!("{number} {what}"));
        let listed = [
            limits
                .traffic_bytes
                .map(|most| format!("{} {}", bytes(most), t.traffic_unit)),
            some(limits.mbit_per_second, t.mbit_per_second),
            some(limits.max_connections, t.connections),
            some(limits.max_source_addresses, t.client_addresses),
        ];
        Self {
            id: plan.id.to_string(),
            place: plan.network.city.clone(),
            code: plan.network.code.clone(),
            country: plan.network.country.clone(),
            line: line(plan.network.network_type),
            kind: kind(plan.connection_type),
            duration: when::span(plan.duration),
            price: plan.price.to_string(),
            free,
            is_popular: plan.popular,
            limits: listed.into_iter().flatten().collect(),
        }
    }
}

/// How a connection type is called.
pub(crate) fn kind(connection_type: ConnectionType) -> &'static str {
    match connection_type {
        ConnectionType::Private => texts().private,
        ConnectionType::Shared => texts().shared,
    }
}

/// How a network's kind of line is called.
pub(crate) fn line(network_type: NetworkType) -> &'static str {
    match network_type {
        NetworkType::Mobile => texts().line_mobile,
        NetworkType::Residential => texts().line_residential,
        NetworkType::Datacenter => texts().line_datacenter,
        NetworkType::Isp => texts().line_isp,
    }
}

/// `GET /plans`
pub(crate) async fn list(_: Customer, desk: Desk) -> Outcome {
    let on_sale = plans(&desk.app.shop).await?;
    let all = &on_sale.plans;
    let free = catalogue::free(&desk.app.shop).await?;
    let free_of = |plan: &PlanOnSale| {
        let found = free.iter().find(|(network, connection_type, _)| {
            *network == plan.network.id && *connection_type == plan.connection_type
        });
        found.map_or(0, |(_, _, free)| *free)
    };
    let [country, connection_type, of_line] = ["country", "type", "line"].map(|name| desk.fields.text(name));
    let fits = |plan: &&PlanOnSale| {
        let is = |wanted: &str, own: &str| wanted.is_empty() || wanted == own;
        is(country, &plan.network.country)
            && is(connection_type, plan.connection_type.as_str())
            && is(of_line, plan.network.network_type.as_str())
    };
    let mut shown: Vec<&PlanOnSale> = all.iter().filter(fits).collect();
    let is_by_price = desk.fields.text("order") == "price";
    if is_by_price {
        shown.sort_by_key(|plan| plan.price);
    }
    let countries: BTreeSet<&str> = all.iter().map(|plan| plan.network.country.as_str()).collect();
    let lines: BTreeMap<&str, NetworkType> = all
        .iter()
        .map(|plan| (plan.network.network_type.as_str(), plan.network.network_type))
        .collect();
    let choice = |value: &str, label: &str, chosen: &str| Choice {
        value: value.to_owned(),
        label: label.to_owned(),
        is_chosen: value == chosen,
    };
    let page = PlansPage {
        frame: desk.frame(Place::Plans, texts().plans).await?,
        told: told(shown.len(), false),
        plans: shown.iter().map(|plan| Card::of(plan, free_of(plan))).collect(),
        countries: countries.into_iter().map(|code| choice(code, code, country)).collect(),
        types: [ConnectionType::Private, ConnectionType::Shared]
            .map(|one| choice(one.as_str(), kind(one), connection_type))
            .into(),
        lines: lines
            .into_iter()
            .map(|(word, one)| choice(word, line(one), of_line))
            .collect(),
        is_by_price,
        is_filtered: ![country, connection_type, of_line]
            .iter()
            .all(|wanted| wanted.is_empty()),
    };
    Ok(html(StatusCode::OK, &page))
}

#[derive(Template)]
#[template(path = "order.html")]
struct OrderPage {
    frame: Frame,
    plan: Card,
    quantity: String,
    repeat: String,
    coupon: String,
    /// What it costs, where it can be bought.
    price: Option<Shown>,
    /// Why it cannot.
    wrong: Option<String>,
    once: String,
}

/// A price as it is shown.
struct Shown {
    /// In cents, for the form to say what was agreed to.
    cents: i64,
    total: String,
    /// Before the coupon, where one takes something off.
    full: Option<String>,
}

/// `GET /plans/{plan}`
pub(crate) async fn order(customer: Customer, desk: Desk) -> Outcome {
    let plan = wanted(&desk).await?;
    shown(&customer, &desk, &plan, StatusCode::OK, None).await
}

async fn wanted(desk: &Desk) -> Result<PlanOnSale, Trouble> {
    let id: PlanId = desk.id("plan")?;
    let on_sale = plans(&desk.app.shop).await?;
    let found = on_sale.plans.iter().find(|plan| plan.id == id);
    found.cloned().ok_or(Trouble::Failed(ApiError::NoSuchPath))
}

/// The order with its price now. `wrong` is what became of an attempt to buy.
async fn shown(
    customer: &Customer,
    desk: &Desk,
    plan: &PlanOnSale,
    status: StatusCode,
    wrong: Option<String>,
) -> Outcome {
    let quoted = match read(&desk.fields, &plan.id) {
        Ok(order) => {
            let full = plan
                .price
                .0
                .saturating_mul(order.repeat.value() * order.quantity.value());
            match quote(&desk.app.shop, customer.account(), order).await {
                Ok(total) => Ok(Shown {
                    cents: total.0,
                    total: total.to_string(),
                    full: (total.0 != full).then(|| Cents(full).to_string()),
                }),
                Err(error) => Err(refused(error, desk)?.1),
            }
        }
        Err(error) => Err(refused(error, desk)?.1),
    };
    let (price, why) = match quoted {
        Ok(price) => (Some(price), None),
        Err(why) => (None, Some(why)),
    };
    let free = catalogue::free(&desk.app.shop).await?;
    let free = free
        .iter()
        .find(|(network, connection_type, _)| *network == plan.network.id && *connection_type == plan.connection_type);
    let or_one = |name: &str| desk.fields.filled(name).unwrap_or("1").to_owned();
    let page = OrderPage {
        frame: desk
            .frame(
                Place::Plans,
                &format!("{} {}", plan.network.city, kind(plan.connection_type)),
            )
            .await?,
        plan: Card::of(plan, free.map_or(0, |(_, _, free)| *free)),
        quantity: or_one("quantity"),
        repeat: or_one("repeat"),
        coupon: desk.fields.text("coupon").to_owned(),
        price,
        wrong: wrong.or(why),
        once: random_lowercase(ONCE_LENGTH),
    };
    Ok(html(status, &page))
}

/// What the form asks for.
fn read(fields: &Fields, plan: &PlanId) -> Result<PurchaseOrder, ApiError> {
    Ok(PurchaseOrder {
        plan: plan.clone(),
        repeat: fields.count("repeat")?,
        quantity: fields.count("quantity")?,
        coupon: coupon(fields)?,
        idempotency: once(fields),
    })
}

/// The code that the form names.
pub(crate) fn coupon(fields: &Fields) -> Result<Option<String>, ApiError> {
    match fields.filled("coupon") {
        // PostgreSQL cannot even compare a text that has a NUL.
        Some(code) if code.chars().count() > COUPON_LENGTH || code.contains(char::is_control) => Err(ApiError::Field {
            field: "coupon".to_owned(),
            rule: with(texts().rule_coupon, COUPON_LENGTH),
        }),
        code => Ok(code.map(str::to_owned)),
    }
}

/// A form that is sent twice is done once.
pub(crate) fn once(fields: &Fields) -> Option<IdempotencyKey> {
    let key = fields.filled("once")?;
    let is_ours = key.len() == ONCE_LENGTH && key.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_ours.then(|| {
        let said = ["quantity", "repeat", "coupon", "plan"]
            .map(|name| fields.text(name))
            .join("\n");
        IdempotencyKey {
            key: format!("page {key}"),
            request_hash: Sha256::digest(said.as_bytes()).into(),
        }
    })
}

/// `POST /plans/{plan}`: buys, if the price is still the one that was shown.
pub(crate) async fn buy(customer: Customer, desk: Desk) -> Outcome {
    let plan = wanted(&desk).await?;
    match bought(&customer, &desk, &plan).await {
        Ok(answer) => Ok(answer),
        Err(error) => {
            let (status, sentence) = refused(error, &desk)?;
            shown(&customer, &desk, &plan, status, Some(sentence)).await
        }
    }
}

async fn bought(customer: &Customer, desk: &Desk, plan: &PlanOnSale) -> Result<Response, ApiError> {
    let order = read(&desk.fields, &plan.id)?;
    let price = quote(&desk.app.shop, customer.account(), order.clone()).await;
    // One that was bought by the same form a moment ago may no longer be for sale; its answer is remembered all the same.
    if let Ok(price) = &price
        && desk.fields.text("agreed") != price.0.to_string()
    {
        return Err(ApiError::Field {
            field: "price".to_owned(),
            rule: with(texts().rule_price_to_buy, price),
        });
    }
    let bought = purchase(&desk.app.shop, customer.account(), order).await?;
    let revisions = bought
        .subscriptions
        .iter()
        .map(|one| (one.gateway.as_str(), one.revision));
    wait_applied(&desk.app, &desk.visit, revisions).await;
    Ok(match bought.subscriptions.as_slice() {
        [only] => desk.done(&format!("/subscriptions/{}", only.id), Notice::Bought),
        _ => desk.done("/subscriptions", Notice::Bought),
    })
}
