//! `/operator/catalogue`: what is sold, and all of it as a file.

use askama::Template;
use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use turnpike_shop::catalogue::{self, Coupon, Discount, Plan};
use turnpike_shop::types::UnixMillis;

use crate::config::CatalogueText;
use crate::error::ApiError;
use crate::pages::desk::{Desk, Outcome, html};
use crate::pages::frame::{Frame, Place};
use crate::pages::plans::kind;
use crate::pages::texts::operator_texts;
use crate::pages::trouble::Trouble;
use crate::pages::visitor::{ConfirmedOperator, Operator};
use crate::pages::when::{moment, span};

#[derive(Template)]
#[template(path = "operator/catalogue.html")]
struct CataloguePage {
    frame: Frame,
    plans: Vec<PlanRow>,
    coupons: Vec<CouponRow>,
    has_networks: bool,
}

struct PlanRow {
    code: String,
    /// For a link.
    query: String,
    network: String,
    kind: &'static str,
    duration: String,
    price: String,
    trial: String,
    is_popular: bool,
    running: i64,
}

struct CouponRow {
    code: String,
    /// For a link.
    query: String,
    takes_off: String,
    redeemed: String,
    until: String,
    is_over: bool,
}

/// A query with a code in it.
pub(super) fn query(code: &str) -> String {
    url::form_urlencoded::Serializer::new(String::new())
        .append_pair("code", code)
        .finish()
}

impl PlanRow {
    fn of(plan: &Plan, running: i64) -> Self {
        Self {
            query: query(&plan.code),
            code: plan.code.clone(),
            network: plan.network.clone(),
            kind: kind(plan.connection_type),
            duration: span(plan.duration),
            price: plan.price.to_string(),
            trial: plan.trial.map(span).unwrap_or_default(),
            is_popular: plan.popular,
            running,
        }
    }
}

impl CouponRow {
    fn of(coupon: &Coupon, redeemed: i64, now: UnixMillis) -> Self {
        Self {
            query: query(&coupon.code),
            code: coupon.code.clone(),
            takes_off: match coupon.discount {
                Discount::Percent(percent) => format!("{percent} {}", operator_texts().percent),
                Discount::Fixed(cents) => cents.to_string(),
            },
            redeemed: match coupon.max_redemptions {
                Some(most) => format!("{redeemed} / {most}"),
                None => redeemed.to_string(),
            },
            until: coupon
                .valid_until
                .map_or_else(|| operator_texts().for_good.to_owned(), moment),
            is_over: coupon.valid_until.is_some_and(|until| until <= now),
        }
    }
}

/// How this server reads and writes catalogues; where it does not, there is nothing here.
pub(super) fn text(desk: &Desk) -> Result<CatalogueText, Trouble> {
    desk.app.config.catalogue.ok_or(Trouble::Failed(ApiError::NoSuchPath))
}

/// A sentence about a table of the catalogue's file, with a form's labels in place of the file's keys.
pub(super) fn by_labels(sentence: &str, table: &str, labels: &[(&str, &str)]) -> String {
    let mut said = sentence.to_owned();
    for (key, label) in labels {
        let label = format!("\"{label}\"");
        // The first word of a sentence has a capital.
        for name in [format!("{table}.{key}"), format!("{}.{key}", capital(table))] {
            said = said.replace(&name, &label);
        }
        if key.contains('_') {
            said = said.replace(key, &label);
        }
    }
    said
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(letters).collect()
}

/// `GET /operator/catalogue`
pub(crate) async fn list(_: Operator, desk: Desk) -> Outcome {
    let now = desk.app.shop.now();
    let seen = catalogue::present(&desk.app.shop).await?;
    let running = |code: &str| seen.running.get(code).copied().unwrap_or(0);
    let redeemed = |code: &str| seen.redeemed.get(code).copied().unwrap_or(0);
    let page = CataloguePage {
        frame: desk.frame(Place::Catalogue, operator_texts().catalogue).await?,
        plans: seen
            .plans
            .iter()
            .map(|plan| PlanRow::of(plan, running(&plan.code)))
            .collect(),
        coupons: seen
            .coupons
            .iter()
            .map(|coupon| CouponRow::of(coupon, redeemed(&coupon.code), now))
            .collect(),
        has_networks: !seen.networks.is_empty(),
    };
    Ok(html(StatusCode::OK, &page))
}

/// `GET /operator/catalogue/file`
pub(crate) async fn file(operator: ConfirmedOperator, desk: Desk) -> Outcome {
    let text = text(&desk)?;
    let catalogue = catalogue::export(&desk.app.shop, operator.actor()).await?;
    let mut answer = Response::new(Body::from((text.write)(&catalogue)));
    let headers = answer.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/toml; charset=utf-8"),
    );
    headers.insert(
        header::CONTENT_DISPOSITION,
        HeaderValue::from_static("attachment; filename=\"catalogue.toml\""),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_speaks_of_its_own_fields() {
        let labels = [
            ("percent_off", "Per cent off"),
            ("cents_off", "Or an amount off"),
            ("code", "Code"),
        ];
        for (of_file, of_form) in [
            (
                "Coupon.percent_off must be a whole number from 1 to 100, not 101",
                "\"Per cent off\" must be a whole number from 1 to 100, not 101",
            ),
            (
                "coupon.cents_off stands beside percent_off; a coupon takes off one of the two",
                "\"Or an amount off\" stands beside \"Per cent off\"; a coupon takes off one of the two",
            ),
            ("The code of a coupon is too long", "The code of a coupon is too long"),
        ] {
            assert_eq!(by_labels(of_file, "coupon", &labels), of_form);
        }
    }
}
