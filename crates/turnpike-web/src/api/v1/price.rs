//! `/api/v1/price` and `/api/v1/subscriptions/{subscriptionId}/renewal-price`: what an order would cost now.

use http::Method;
use serde::{Deserialize, Serialize};
use turnpike_shop::types::{Cents, PlanId, Quantity, RepeatCount, SubscriptionId};
use turnpike_shop::{PurchaseOrder, RenewOrder, quote, quote_renewal};
use utoipa::ToSchema;

use super::Endpoint;
use crate::api::{Context, wire};
use crate::error::ApiError;
use crate::principal::Reader;
use crate::response::True;

/// What a purchase would cost now; it is refused for whatever the purchase would be. Nothing is kept of it.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PreviewPurchase {
    #[serde(deserialize_with = "wire::id")]
    #[schema(schema_with = wire::id_schema)]
    plan_id: PlanId,
    /// A discount code.
    #[serde(default, deserialize_with = "wire::coupon")]
    #[schema(schema_with = wire::coupon_schema, required = false)]
    coupon_code: Option<String>,
    /// Multiplies the duration and the price.
    #[serde(default = "wire::one_repeat", deserialize_with = "wire::repeat_count")]
    #[schema(schema_with = wire::count_schema, required = false)]
    repeat_count: RepeatCount,
    /// How many subscriptions.
    #[serde(default = "wire::one_quantity", deserialize_with = "wire::quantity")]
    #[schema(schema_with = wire::count_schema, required = false)]
    quantity: Quantity,
}

/// A price.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PriceAnswer {
    ok: True,
    /// In cents, with the coupon.
    price_amount_cents: i64,
}

impl From<Cents> for PriceAnswer {
    fn from(price: Cents) -> Self {
        Self {
            ok: True,
            price_amount_cents: price.0,
        }
    }
}

impl Endpoint for PreviewPurchase {
    const METHOD: Method = Method::POST;
    const PATH: &'static str = "/api/v1/price";
    const NAME: &'static str = "previewPurchase";
    const ERRORS: &'static [u16] = &[402, 409];
    type Caller = Reader;
    type Answer = PriceAnswer;

    async fn call(self, reader: Reader, context: &Context<'_>) -> Result<PriceAnswer, ApiError> {
        let order = PurchaseOrder {
            plan: self.plan_id,
            repeat: self.repeat_count,
            quantity: self.quantity,
            coupon: self.coupon_code,
            idempotency: None,
        };
        Ok(quote(&context.app.shop, reader.account(), order).await?.into())
    }
}

/// What a renewal would cost now; it is refused for whatever the renewal would be. Nothing is kept of it.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PreviewRenewal {
    #[serde(deserialize_with = "wire::id")]
    #[schema(schema_with = wire::id_schema)]
    subscription_id: SubscriptionId,
    #[serde(deserialize_with = "wire::id")]
    #[schema(schema_with = wire::id_schema)]
    plan_id: PlanId,
    /// A discount code.
    #[serde(default, deserialize_with = "wire::coupon")]
    #[schema(schema_with = wire::coupon_schema, required = false)]
    coupon_code: Option<String>,
    /// Multiplies the duration and the price.
    #[serde(default = "wire::one_repeat", deserialize_with = "wire::repeat_count")]
    #[schema(schema_with = wire::count_schema, required = false)]
    repeat_count: RepeatCount,
}

impl Endpoint for PreviewRenewal {
    const METHOD: Method = Method::POST;
    const PATH: &'static str = "/api/v1/subscriptions/{subscriptionId}/renewal-price";
    const NAME: &'static str = "previewRenewal";
    const ERRORS: &'static [u16] = &[402, 404, 409];
    type Caller = Reader;
    type Answer = PriceAnswer;

    async fn call(self, reader: Reader, context: &Context<'_>) -> Result<PriceAnswer, ApiError> {
        let order = RenewOrder {
            subscription: self.subscription_id,
            plan: self.plan_id,
            repeat: self.repeat_count,
            coupon: self.coupon_code,
            idempotency: None,
        };
        Ok(quote_renewal(&context.app.shop, reader.account(), order).await?.into())
    }
}
