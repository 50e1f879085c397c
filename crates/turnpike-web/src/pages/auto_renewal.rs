//! `/subscriptions/{subscription}/auto-renew`: whether and by which plan a subscription renews itself.

use turnpike_shop::auto_renew::{self, Wish};
use turnpike_shop::types::{NoticeKind, SubscriptionId};
use turnpike_shop::{Refusal, notices, renewal_plans};

use super::desk::{Desk, Outcome};
use super::notices::open_ways;
use super::plans::Choice;
use super::subscription::settled;
use super::texts::{Notice, refusal, texts};
use super::trouble::Trouble;
use super::visitor::Customer;
use super::when::{moment, span};
use crate::error::ApiError;

/// How it stands, for the subscription's page.
pub(super) struct AutoRenewal {
    /// Off, and each plan that can renew it.
    pub(super) choices: Vec<Choice>,
    pub(super) is_on: bool,
    /// When it is tried next, and at which price as things are.
    pub(super) next: Option<(String, String)>,
    pub(super) trouble: Option<String>,
    /// Whether it is on, and nobody is told what comes of it although that could be.
    pub(super) is_untold: bool,
}

impl AutoRenewal {
    pub(super) async fn of(desk: &Desk, customer: &Customer, id: &SubscriptionId) -> Result<Self, Trouble> {
        let (shop, account) = (&desk.app.shop, customer.account());
        let stands = auto_renew::see(shop, account, id).await?;
        let mut choices = vec![Choice {
            value: String::new(),
            label: texts().auto_renew_off.to_owned(),
            is_chosen: stands.plan.is_none(),
        }];
        choices.extend(renewal_plans(shop, account, id).await?.into_iter().map(|plan| Choice {
            label: format!("{} · {}", span(plan.duration), plan.price),
            is_chosen: stands.plan.as_ref() == Some(&plan.id),
            value: plan.id.into(),
        }));
        let no_plan = (stands.plan.is_some() && stands.price.is_none()).then(|| texts().auto_renew_no_plan.to_owned());
        Ok(Self {
            choices,
            is_on: stands.plan.is_some(),
            next: stands
                .next_at
                .zip(stands.price)
                .map(|(at, price)| (moment(at), price.to_string())),
            trouble: no_plan.or(stands.trouble.map(|trouble| match trouble {
                auto_renew::Trouble::Refused(why) => refusal(&why),
                auto_renew::Trouble::Told(sentence) => sentence,
            })),
            is_untold: stands.plan.is_some() && is_untold(desk, customer).await?,
        })
    }
}

/// Whether the shop could tell the customer that something was renewed or could not be, and he has chosen neither.
async fn is_untold(desk: &Desk, customer: &Customer) -> Result<bool, Trouble> {
    let ways = open_ways(desk);
    if ways.is_empty() {
        return Ok(false);
    }
    let chosen = notices::choices(&desk.app.shop, customer.account()).await?;
    let is_told = |kind| ways.iter().any(|way| chosen.has(kind, *way));
    Ok(![NoticeKind::Renewed, NoticeKind::RenewalFailed]
        .into_iter()
        .any(is_told))
}

/// `POST /subscriptions/{subscription}/auto-renew`
pub(crate) async fn set(customer: Customer, desk: Desk) -> Outcome {
    let wish = match desk.fields.filled("plan") {
        None => Ok(Wish::Off),
        Some(plan) => match plan.parse() {
            Ok(plan) => Ok(Wish::By(Some(plan))),
            Err(_) => Err(ApiError::from(Refusal::UnknownPlan)),
        },
    };
    let notice = match &wish {
        Ok(Wish::By(_)) => Notice::AutoRenewOn,
        _ => Notice::AutoRenewOff,
    };
    let id: SubscriptionId = desk.id("subscription")?;
    let set = match wish {
        Ok(wish) => auto_renew::set(&desk.app.shop, customer.account(), &id, wish)
            .await
            .map_err(ApiError::from),
        Err(error) => Err(error),
    };
    settled(set.map(|_| ()), notice, &customer, &desk).await
}
