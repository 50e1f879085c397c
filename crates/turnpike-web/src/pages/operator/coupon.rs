//! `/operator/catalogue/coupon`: one coupon, made, changed and ended.

use askama::Template;
use http::StatusCode;
use turnpike_shop::catalogue::{self, Coupon, Discount};

use super::catalogue::{by_labels, text};
use super::money::cents;
use crate::catalogue_entry::CouponEntry;
use crate::error::ApiError;
use crate::pages::desk::{Desk, Outcome, html};
use crate::pages::form::Fields;
use crate::pages::frame::{Frame, Place};
use crate::pages::texts::{Notice, operator_texts};
use crate::pages::trouble::refused;
use crate::pages::visitor::ConfirmedOperator;
use crate::pages::when::field;

#[derive(Template)]
#[template(path = "operator/coupon.html")]
struct CouponPage {
    frame: Frame,
    /// The coupon is there already: it can be ended, and its code stays.
    is_known: bool,
    values: Values,
    wrong: Option<String>,
}

/// What the fields hold.
#[derive(Default)]
struct Values {
    code: String,
    percent_off: String,
    amount_off: String,
    max_redemptions: String,
    per_account: String,
    valid_until: String,
}

impl Values {
    fn of_coupon(coupon: &Coupon) -> Self {
        let number = |value: Option<i64>| value.map(|value| value.to_string()).unwrap_or_default();
        let (percent_off, amount_off) = match coupon.discount {
            Discount::Percent(percent) => (percent.to_string(), String::new()),
            Discount::Fixed(cents) => (String::new(), cents.to_string()),
        };
        Self {
            code: coupon.code.clone(),
            percent_off,
            amount_off,
            max_redemptions: number(coupon.max_redemptions),
            per_account: number(coupon.per_account),
            valid_until: coupon.valid_until.map(field).unwrap_or_default(),
        }
    }

    fn of_form(fields: &Fields) -> Self {
        let text = |name: &str| fields.text(name).to_owned();
        Self {
            code: text("code"),
            percent_off: text("percent_off"),
            amount_off: text("amount_off"),
            max_redemptions: text("max_redemptions"),
            per_account: text("per_account"),
            valid_until: text("valid_until"),
        }
    }

    /// The coupon, by the catalogue's own rules.
    fn read(&self, desk: &Desk) -> Result<Coupon, ApiError> {
        let amount = match self.amount_off.is_empty() {
            true => String::new(),
            false => cents(&self.amount_off)
                .ok_or_else(|| ApiError::Field {
                    field: "amount".to_owned(),
                    rule: operator_texts().rule_amount.to_owned(),
                })?
                .0
                .to_string(),
        };
        // A browser sends minutes, without a zone; the label says which it is.
        let until = match self.valid_until.len() {
            16 => format!("{}:00Z", self.valid_until),
            _ => self.valid_until.clone(),
        };
        let reader = text(desk).map_err(|_| ApiError::NoSuchPath)?;
        let entry = CouponEntry {
            code: &self.code,
            percent_off: &self.percent_off,
            cents_off: &amount,
            max_redemptions: &self.max_redemptions,
            per_account: &self.per_account,
            valid_until: &until,
        };
        entry.read(reader)
    }
}

/// `GET /operator/catalogue/coupon`
pub(crate) async fn form(_: ConfirmedOperator, desk: Desk) -> Outcome {
    let code = desk.fields.text("code");
    let known = catalogue::present(&desk.app.shop).await?.coupons;
    let values = match known.iter().find(|coupon| coupon.code == code) {
        Some(coupon) => Values::of_coupon(coupon),
        None => Values::default(),
    };
    shown(&desk, values, StatusCode::OK, None).await
}

async fn shown(desk: &Desk, values: Values, status: StatusCode, wrong: Option<String>) -> Outcome {
    text(desk)?;
    let known = catalogue::present(&desk.app.shop).await?.coupons;
    let is_known = known.iter().any(|coupon| coupon.code == values.code);
    let title = if is_known {
        &values.code
    } else {
        operator_texts().new_coupon
    };
    let page = CouponPage {
        frame: desk.frame(Place::Catalogue, title).await?,
        is_known,
        values,
        wrong,
    };
    Ok(html(status, &page))
}

/// `POST /operator/catalogue/coupon`
pub(crate) async fn save(operator: ConfirmedOperator, desk: Desk) -> Outcome {
    let values = Values::of_form(&desk.fields);
    let saved = match values.read(&desk) {
        Ok(coupon) => catalogue::put_coupon(&desk.app.shop, operator.actor(), coupon)
            .await
            .map_err(ApiError::from),
        Err(error) => Err(error),
    };
    match saved {
        Ok(_) => Ok(desk.done("/operator/catalogue", Notice::CouponSaved)),
        Err(error) => {
            let (status, sentence) = refused(error, &desk)?;
            let o = operator_texts();
            let labels = [
                ("code", o.code),
                ("percent_off", o.percent_off),
                ("cents_off", o.amount_off),
                ("max_redemptions", o.at_most),
                ("per_account", o.per_account),
                ("valid_until", o.until),
            ];
            let sentence = by_labels(&sentence, "coupon", &labels);
            shown(&desk, values, status, Some(sentence)).await
        }
    }
}

/// `POST /operator/catalogue/coupon/retire`
pub(crate) async fn retire(operator: ConfirmedOperator, desk: Desk) -> Outcome {
    catalogue::retire_coupon(&desk.app.shop, operator.actor(), desk.fields.text("code")).await?;
    Ok(desk.done("/operator/catalogue", Notice::CouponRetired))
}
