//! `/api/admin/coupons`: made, changed and ended.

use http::Method;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use turnpike_shop::catalogue::{self, Coupon, Discount};
use turnpike_shop::types::UnixMillis;
use utoipa::ToSchema;

use super::catalogue::text_of;
use super::{ChangesAnswer, actor};
use crate::api::v1::Endpoint;
use crate::api::{Context, wire};
use crate::catalogue_entry::CouponEntry;
use crate::error::ApiError;
use crate::principal::{Operator, OperatorReader};
use crate::response::True;

/// The coupons that are not ended, by code.
#[derive(Deserialize, ToSchema)]
pub(crate) struct ListCoupons {}

/// Coupons.
#[derive(Serialize, ToSchema)]
pub(crate) struct CouponsAnswer {
    ok: True,
    coupons: Vec<CouponItem>,
}

/// A coupon.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CouponItem {
    #[schema(example = "SPRING")]
    code: String,
    /// What it takes off, in per cent; absent where that is an amount.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    percent_off: Option<u8>,
    /// The amount that it takes off, in cents.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    cents_off: Option<i64>,
    /// How often in all; absent: as often as they like. So is the other.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    max_redemptions: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    per_account: Option<i64>,
    /// In Unix milliseconds; absent: for good.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    valid_until: Option<i64>,
    /// How often it was redeemed.
    redeemed: i64,
}

impl CouponItem {
    fn of(coupon: Coupon, redeemed: i64) -> Self {
        let (percent_off, cents_off) = match coupon.discount {
            Discount::Percent(percent) => (Some(percent), None),
            Discount::Fixed(cents) => (None, Some(cents.0)),
        };
        Self {
            code: coupon.code,
            percent_off,
            cents_off,
            max_redemptions: coupon.max_redemptions,
            per_account: coupon.per_account,
            valid_until: coupon.valid_until.map(|at| at.0),
            redeemed,
        }
    }
}

impl Endpoint for ListCoupons {
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/api/admin/coupons";
    const NAME: &'static str = "adminCoupons";
    type Caller = OperatorReader;
    type Answer = CouponsAnswer;

    async fn call(self, _: OperatorReader, context: &Context<'_>) -> Result<CouponsAnswer, ApiError> {
        let seen = catalogue::present(&context.app.shop).await?;
        let redeemed = |coupon: &Coupon| seen.redeemed.get(&coupon.code).copied().unwrap_or(0);
        let coupons = seen.coupons.into_iter();
        Ok(CouponsAnswer {
            ok: True,
            coupons: coupons
                .map(|coupon| {
                    let redeemed = redeemed(&coupon);
                    CouponItem::of(coupon, redeemed)
                })
                .collect(),
        })
    }
}

/// Makes the coupon of this code, or gives it other values; `percentOff` or `centsOff` says what it takes off.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PutCoupon {
    /// 1 to 64 letters, digits, dots, dashes and underscores; customers type it in any case.
    #[serde(deserialize_with = "wire::code")]
    #[schema(pattern = "^[A-Za-z0-9._-]{1,64}$", example = "SPRING")]
    code: String,
    /// One of the two is needed.
    #[serde(default, deserialize_with = "wire::optional_count")]
    #[schema(required = false, minimum = 1, maximum = 100, example = 10)]
    percent_off: Option<i64>,
    #[serde(default, deserialize_with = "wire::optional_count")]
    #[schema(required = false, minimum = 1, maximum = 1_000_000_000)]
    cents_off: Option<i64>,
    /// How often in all; no limit where nothing is said. So is the other.
    #[serde(default, deserialize_with = "wire::optional_count")]
    #[schema(required = false, minimum = 1, maximum = 1_000_000_000)]
    max_redemptions: Option<i64>,
    #[serde(default, deserialize_with = "wire::optional_count")]
    #[schema(required = false, minimum = 1, maximum = 1_000_000_000)]
    per_account: Option<i64>,
    /// Until when, in Unix milliseconds; for good where nothing is said.
    #[serde(default, deserialize_with = "wire::moment")]
    #[schema(schema_with = wire::moment_schema, required = false)]
    valid_until: Option<UnixMillis>,
}

impl Endpoint for PutCoupon {
    const METHOD: Method = Method::PUT;
    const PATH: &'static str = "/api/admin/coupons/{code}";
    const NAME: &'static str = "adminPutCoupon";
    const ERRORS: &'static [u16] = &[404];
    type Caller = Operator;
    type Answer = ChangesAnswer;

    async fn call(self, operator: Operator, context: &Context<'_>) -> Result<ChangesAnswer, ApiError> {
        let number = |value: Option<i64>| value.map(|value| value.to_string()).unwrap_or_default();
        let until = self.valid_until.map(|at| Timestamp::from_millisecond(at.0));
        let until = until.transpose().map_err(|_| ApiError::Field {
            field: "validUntil".to_owned(),
            rule: "it is no moment".to_owned(),
        })?;
        let entry = CouponEntry {
            code: &self.code,
            percent_off: &number(self.percent_off),
            cents_off: &number(self.cents_off),
            max_redemptions: &number(self.max_redemptions),
            per_account: &number(self.per_account),
            valid_until: &until.map(|at| at.to_string()).unwrap_or_default(),
        };
        let coupon = entry.read(text_of(context)?)?;
        let actor = actor(&operator, context).await?;
        Ok(catalogue::put_coupon(&context.app.shop, &actor, coupon).await?.into())
    }
}

/// Ends a coupon. One that there is not stays so.
#[derive(Deserialize, ToSchema)]
pub(crate) struct RetireCoupon {
    #[serde(deserialize_with = "wire::code")]
    #[schema(pattern = "^[A-Za-z0-9._-]{1,64}$", example = "SPRING")]
    code: String,
}

impl Endpoint for RetireCoupon {
    const METHOD: Method = Method::DELETE;
    const PATH: &'static str = "/api/admin/coupons/{code}";
    const NAME: &'static str = "adminRetireCoupon";
    type Caller = Operator;
    type Answer = ChangesAnswer;

    async fn call(self, operator: Operator, context: &Context<'_>) -> Result<ChangesAnswer, ApiError> {
        let actor = actor(&operator, context).await?;
        let changes = catalogue::retire_coupon(&context.app.shop, &actor, &self.code).await?;
        Ok(changes.into())
    }
}
