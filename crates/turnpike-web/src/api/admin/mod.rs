//! `/api/admin/…`: what operators see and do, for programs, by keys with the operator permission.
//!
//! The endpoints are made as those of [`super::v1`] are, and call the verbs that the operators' pages call. Who did it, by which
//! key and from where, goes with each change into the audit log.

mod accounts;
mod audit;
mod catalogue;
mod coupons;
mod exits;
mod orders;
mod overview;
mod plans;
mod subscriptions;
mod trials;

use serde::Serialize;
use turnpike_shop::account;
use turnpike_shop::audit_log::Actor;
use turnpike_shop::catalogue::Difference;
use utoipa::ToSchema;

use super::Context;
use super::v1::{Route, route};
use crate::error::ApiError;
use crate::principal::Operator;
use crate::response::True;

/// What every path of an operator's begins with.
pub(crate) const PREFIX: &str = "/api/admin/";

/// Every endpoint, in the order in which they are described.
pub(super) fn all() -> Vec<Route> {
    vec![
        route::<overview::SeeOverview>(),
        route::<overview::ListNetworks>(),
        route::<overview::ListGateways>(),
        route::<accounts::FindAccounts>(),
        route::<accounts::ShowAccount>(),
        route::<accounts::ShowLedger>(),
        route::<accounts::Book>(),
        route::<accounts::SetStatus>(),
        route::<subscriptions::ShowSubscriptions>(),
        route::<accounts::ShowKeys>(),
        route::<accounts::PermitTrial>(),
        route::<orders::ListOrders>(),
        route::<orders::ShowOrder>(),
        route::<orders::Refund>(),
        route::<exits::FindExits>(),
        route::<exits::ShowExit>(),
        route::<exits::SetStanding>(),
        route::<exits::SetNetworkStanding>(),
        route::<exits::RotateExit>(),
        route::<exits::TestExit>(),
        route::<plans::ListPlans>(),
        route::<plans::PutPlan>(),
        route::<plans::RetirePlan>(),
        route::<coupons::ListCoupons>(),
        route::<coupons::PutCoupon>(),
        route::<coupons::RetireCoupon>(),
        route::<catalogue::Export>(),
        route::<catalogue::Import>(),
        route::<trials::ListTrials>(),
        route::<audit::SeeAudit>(),
    ]
}

/// Who does it, as the audit log tells it.
async fn actor(operator: &Operator, context: &Context<'_>) -> Result<Actor, ApiError> {
    let account = account::by_id(&context.app.shop, operator.account()).await?;
    Ok(Actor {
        name: account.email,
        key: operator.key().cloned(),
        source: Some(context.visit.source),
    })
}

/// What has changed of the catalogue.
#[derive(Serialize, ToSchema)]
pub(crate) struct ChangesAnswer {
    ok: True,
    /// Empty where everything was so already.
    changes: Vec<ChangeItem>,
}

/// One thing of the catalogue that changes.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ChangeItem {
    /// `create`, `update`, `deactivate` or `reactivate`.
    #[schema(example = "update")]
    change: String,
    /// `network`, `exit`, `plan` or `coupon`.
    #[schema(example = "plan")]
    kind: String,
    /// Its code or name.
    #[schema(example = "nl-month")]
    name: String,
    /// What changes of it, without secrets.
    detail: Vec<String>,
}

impl From<Difference> for ChangeItem {
    fn from(difference: Difference) -> Self {
        Self {
            change: difference.change.to_owned(),
            kind: difference.kind.to_owned(),
            name: difference.name,
            detail: difference.detail,
        }
    }
}

impl From<Vec<Difference>> for ChangesAnswer {
    fn from(differences: Vec<Difference>) -> Self {
        Self {
            ok: True,
            changes: differences.into_iter().map(ChangeItem::from).collect(),
        }
    }
}
