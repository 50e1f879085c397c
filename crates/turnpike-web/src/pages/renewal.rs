//! `/subscriptions/{subscription}/renew`: more time, at the price that is shown.

use askama::Template;
use http::StatusCode;
use turnpike_shop::subscription::see;
use turnpike_shop::types::{SubscriptionId, random_lowercase};
use turnpike_shop::{Refusal, RenewOrder, quote_renewal, renew, renewal_plans};

use super::desk::{Desk, Outcome, html};
use super::frame::{Frame, Place};
use super::plans::{Choice, coupon, once};
use super::texts::{Notice, texts, with};
use super::trouble::{Trouble, refused};
use super::visitor::Customer;
use super::when::{moment, span};
use crate::api::wait_applied;
use crate::error::ApiError;

#[derive(Template)]
#[template(path = "renewal.html")]
struct RenewalPage {
    frame: Frame,
    id: String,
    port: u16,
    ends: String,
    plans: Vec<Choice>,
    repeat: String,
    coupon: String,
    price: Option<(i64, String)>,
    wrong: Option<String>,
    once: String,
}

/// `GET /subscriptions/{subscription}/renew`
pub(crate) async fn form(customer: Customer, desk: Desk) -> Outcome {
    shown(&customer, &desk, StatusCode::OK, None).await
}

async fn shown(customer: &Customer, desk: &Desk, status: StatusCode, wrong: Option<String>) -> Outcome {
    let (shop, account) = (&desk.app.shop, customer.account());
    let id: SubscriptionId = desk.id("subscription")?;
    let subscription = see(shop, account, &id).await?;
    let plans = renewal_plans(shop, account, &id).await?;
    let chosen = desk.fields.filled("plan").map_or_else(
        || plans.first().map(|plan| plan.id.to_string()).unwrap_or_default(),
        str::to_owned,
    );
    let quoted = match order(desk, &id, &chosen) {
        Ok(order) => quote_renewal(shop, account, order).await.map_err(ApiError::from),
        Err(error) => Err(error),
    };
    let (price, why) = match quoted {
        Ok(price) => (Some((price.0, price.to_string())), None),
        Err(error) => (None, Some(refused(error, desk)?.1)),
    };
    let page = RenewalPage {
        frame: desk.frame(Place::Subscriptions, texts().renew).await?,
        id: id.to_string(),
        port: subscription.port,
        ends: moment(subscription.ends_at),
        plans: plans
            .iter()
            .map(|plan| Choice {
                value: plan.id.to_string(),
                label: format!("{} · {}", span(plan.duration), plan.price),
                is_chosen: plan.id.as_str() == chosen,
            })
            .collect(),
        repeat: desk.fields.filled("repeat").unwrap_or("1").to_owned(),
        coupon: desk.fields.text("coupon").to_owned(),
        price,
        wrong: wrong.or(why),
        once: random_lowercase(24),
    };
    Ok(html(status, &page))
}

fn order(desk: &Desk, id: &SubscriptionId, plan: &str) -> Result<RenewOrder, ApiError> {
    Ok(RenewOrder {
        subscription: id.clone(),
        plan: plan.parse().map_err(|_| Refusal::NotARenewalPlan)?,
        repeat: desk.fields.count("repeat")?,
        coupon: coupon(&desk.fields)?,
        idempotency: once(&desk.fields),
    })
}

/// `POST /subscriptions/{subscription}/renew`
pub(crate) async fn act(customer: Customer, desk: Desk) -> Outcome {
    match renewed(&customer, &desk).await {
        Ok(id) => Ok(desk.done(&format!("/subscriptions/{id}"), Notice::Renewed)),
        Err(Trouble::Failed(error)) => {
            let (status, sentence) = refused(error, &desk)?;
            shown(&customer, &desk, status, Some(sentence)).await
        }
        Err(other) => Err(other),
    }
}

async fn renewed(customer: &Customer, desk: &Desk) -> Result<SubscriptionId, Trouble> {
    let id: SubscriptionId = desk.id("subscription")?;
    let order = order(desk, &id, desk.fields.text("plan"))?;
    let price = quote_renewal(&desk.app.shop, customer.account(), order.clone()).await;
    if let Ok(price) = &price
        && desk.fields.text("agreed") != price.0.to_string()
    {
        return Err(Trouble::Failed(ApiError::Field {
            field: "price".to_owned(),
            rule: with(texts().rule_price_to_renew, price),
        }));
    }
    let renewed = renew(&desk.app.shop, customer.account(), order).await?;
    wait_applied(&desk.app, &desk.visit, [(renewed.gateway.as_str(), renewed.revision)]).await;
    Ok(id)
}
