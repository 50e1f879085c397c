//! `/operator/catalogue/plan`: one plan, made, changed and retired.

use askama::Template;
use http::StatusCode;
use turnpike_shop::catalogue::{self, Plan};
use turnpike_shop::limits::GIGABYTE;
use turnpike_shop::types::ConnectionType;

use super::catalogue::{by_labels, text};
use super::money::cents;
use crate::catalogue_entry::PlanEntry;
use crate::error::ApiError;
use crate::pages::desk::{Desk, Outcome, html};
use crate::pages::form::Fields;
use crate::pages::frame::{Frame, Place};
use crate::pages::texts::{Notice, operator_texts};
use crate::pages::trouble::refused;
use crate::pages::visitor::ConfirmedOperator;

#[derive(Template)]
#[template(path = "operator/plan.html")]
struct PlanPage {
    frame: Frame,
    networks: Vec<String>,
    /// The plan is there already: it can be retired, and its code stays.
    is_known: bool,
    values: Values,
    wrong: Option<String>,
}

/// What the fields hold.
#[derive(Default)]
struct Values {
    code: String,
    network: String,
    is_shared: bool,
    duration: String,
    price: String,
    is_popular: bool,
    trial: String,
    max_connections: String,
    max_source_addresses: String,
    mbit_per_second: String,
    traffic_gb: String,
}

impl Values {
    fn of_plan(plan: &Plan) -> Self {
        let number = |value: Option<i64>| value.map(|value| value.to_string()).unwrap_or_default();
        Self {
            code: plan.code.clone(),
            network: plan.network.clone(),
            is_shared: plan.connection_type == ConnectionType::Shared,
            duration: plan.duration.to_string(),
            price: plan.price.to_string(),
            is_popular: plan.popular,
            trial: plan.trial.map(|trial| trial.to_string()).unwrap_or_default(),
            max_connections: number(plan.limits.max_connections),
            max_source_addresses: number(plan.limits.max_source_addresses),
            mbit_per_second: number(plan.limits.mbit_per_second),
            traffic_gb: number(plan.limits.traffic_bytes.map(|bytes| bytes / GIGABYTE)),
        }
    }

    fn of_form(fields: &Fields) -> Self {
        let text = |name: &str| fields.text(name).to_owned();
        Self {
            code: text("code"),
            network: text("network"),
            is_shared: fields.text("connection_type") == "shared",
            duration: text("duration"),
            price: text("price"),
            is_popular: fields.text("popular") == "1",
            trial: text("trial"),
            max_connections: text("max_connections"),
            max_source_addresses: text("max_source_addresses"),
            mbit_per_second: text("mbit_per_second"),
            traffic_gb: text("traffic_gb"),
        }
    }

    /// The plan, by the catalogue's own rules.
    fn read(&self, desk: &Desk) -> Result<Plan, ApiError> {
        let price = cents(&self.price).ok_or_else(|| ApiError::Field {
            field: "price".to_owned(),
            rule: operator_texts().rule_amount.to_owned(),
        })?;
        let reader = text(desk).map_err(|_| ApiError::NoSuchPath)?;
        let entry = PlanEntry {
            code: &self.code,
            network: &self.network,
            connection_type: match self.is_shared {
                true => ConnectionType::Shared,
                false => ConnectionType::Private,
            },
            duration: &self.duration,
            price,
            is_popular: self.is_popular,
            trial: &self.trial,
            max_connections: &self.max_connections,
            max_source_addresses: &self.max_source_addresses,
            mbit_per_second: &self.mbit_per_second,
            traffic_gb: &self.traffic_gb,
        };
        entry.read(reader)
    }
}

/// `GET /operator/catalogue/plan`
pub(crate) async fn form(_: ConfirmedOperator, desk: Desk) -> Outcome {
    let code = desk.fields.text("code");
    let known = catalogue::present(&desk.app.shop).await?.plans;
    let values = match known.iter().find(|plan| plan.code == code) {
        Some(plan) => Values::of_plan(plan),
        None => Values::default(),
    };
    shown(&desk, values, StatusCode::OK, None).await
}

async fn shown(desk: &Desk, values: Values, status: StatusCode, wrong: Option<String>) -> Outcome {
    text(desk)?;
    let known = catalogue::present(&desk.app.shop).await?;
    let is_known = known.plans.iter().any(|plan| plan.code == values.code);
    let title = if is_known {
        &values.code
    } else {
        operator_texts().new_plan
    };
    let page = PlanPage {
        frame: desk.frame(Place::Catalogue, title).await?,
        networks: known.networks,
        is_known,
        values,
        wrong,
    };
    Ok(html(status, &page))
}

/// `POST /operator/catalogue/plan`
pub(crate) async fn save(operator: ConfirmedOperator, desk: Desk) -> Outcome {
    let values = Values::of_form(&desk.fields);
    let saved = match values.read(&desk) {
        Ok(plan) => catalogue::put_plan(&desk.app.shop, operator.actor(), plan)
            .await
            .map_err(ApiError::from),
        Err(error) => Err(error),
    };
    match saved {
        Ok(_) => Ok(desk.done("/operator/catalogue", Notice::PlanSaved)),
        Err(error) => {
            let (status, sentence) = refused(error, &desk)?;
            let o = operator_texts();
            let labels = [
                ("code", o.code),
                ("duration", o.duration),
                ("trial", o.trial),
                ("max_connections", o.max_connections),
                ("max_source_addresses", o.max_sources),
                ("mbit_per_second", o.speed),
                ("traffic_gb", o.traffic_gb),
            ];
            let sentence = by_labels(&sentence, "plan", &labels);
            shown(&desk, values, status, Some(sentence)).await
        }
    }
}

/// `POST /operator/catalogue/plan/retire`
pub(crate) async fn retire(operator: ConfirmedOperator, desk: Desk) -> Outcome {
    catalogue::retire_plan(&desk.app.shop, operator.actor(), desk.fields.text("code")).await?;
    Ok(desk.done("/operator/catalogue", Notice::PlanRetired))
}
