//! `/api/v1/webhooks` and `/api/v1/deliveries`: where notices are sent to, and what became of them.

use http::Method;
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use turnpike_shop::notices::{self, Delivery, Webhook};
use turnpike_shop::types::{DeliveryId, WebhookId};
use utoipa::ToSchema;

use super::Endpoint;
use crate::api::{Context, wire};
use crate::error::ApiError;
use crate::principal::{Buyer, Reader};
use crate::response::{Done, True};

/// Your webhooks, without their secrets, the oldest first.
#[derive(Deserialize, ToSchema)]
pub(crate) struct ListWebhooks {}

/// Webhooks.
#[derive(Serialize, ToSchema)]
pub(crate) struct WebhooksAnswer {
    ok: True,
    webhooks: Vec<WebhookItem>,
}

/// A webhook, without its secret.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WebhookItem {
    #[schema(schema_with = wire::id_schema)]
    webhook_id: String,
    #[schema(example = "https://hooks.example.com/turnpike")]
    url: String,
    /// When it was made, in Unix milliseconds. So are the others.
    created_at: i64,
    /// Since when nothing has arrived there; absent while the last did.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    failing_since: Option<i64>,
    /// When it was given up; absent while it is used.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    disabled_at: Option<i64>,
}

impl From<Webhook> for WebhookItem {
    fn from(webhook: Webhook) -> Self {
        Self {
            webhook_id: webhook.id.into(),
            url: webhook.url,
            created_at: webhook.created_at.0,
            failing_since: webhook.failing_since.map(|at| at.0),
            disabled_at: webhook.disabled_at.map(|at| at.0),
        }
    }
}

impl Endpoint for ListWebhooks {
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/api/v1/webhooks";
    const NAME: &'static str = "listWebhooks";
    type Caller = Reader;
    type Answer = WebhooksAnswer;

    async fn call(self, reader: Reader, context: &Context<'_>) -> Result<WebhooksAnswer, ApiError> {
        let found = notices::webhooks(&context.app.shop, reader.account()).await?;
        Ok(WebhooksAnswer {
            ok: True,
            webhooks: found.into_iter().map(WebhookItem::from).collect(),
        })
    }
}

/// Makes a webhook. The answer is the only one that shows its secret, which its calls are signed with (Standard Webhooks).
#[derive(Deserialize, ToSchema)]
pub(crate) struct CreateWebhook {
    /// Where it is, by `https://`.
    #[serde(deserialize_with = "wire::text")]
    #[schema(max_length = 500, example = "https://hooks.example.com/turnpike")]
    url: String,
}

/// A new webhook, this once with its secret.
#[derive(Serialize, ToSchema)]
pub(crate) struct CreateWebhookAnswer {
    ok: True,
    #[schema(example = "whsec_…")]
    secret: String,
    webhook: WebhookItem,
}

impl Endpoint for CreateWebhook {
    const METHOD: Method = Method::POST;
    const PATH: &'static str = "/api/v1/webhooks";
    const NAME: &'static str = "createWebhook";
    const ERRORS: &'static [u16] = &[409];
    type Caller = Buyer;
    type Answer = CreateWebhookAnswer;

    async fn call(self, buyer: Buyer, context: &Context<'_>) -> Result<CreateWebhookAnswer, ApiError> {
        let (webhook, secret) = notices::create_webhook(&context.app.shop, buyer.account(), &self.url).await?;
        Ok(CreateWebhookAnswer {
            ok: True,
            secret: secret.expose_secret().to_owned(),
            webhook: webhook.into(),
        })
    }
}

/// Removes a webhook with what was and is to be sent there.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeleteWebhook {
    #[serde(deserialize_with = "wire::id")]
    #[schema(schema_with = wire::id_schema)]
    webhook_id: WebhookId,
}

impl Endpoint for DeleteWebhook {
    const METHOD: Method = Method::DELETE;
    const PATH: &'static str = "/api/v1/webhooks/{webhookId}";
    const NAME: &'static str = "deleteWebhook";
    const ERRORS: &'static [u16] = &[404];
    type Caller = Buyer;
    type Answer = Done;

    async fn call(self, buyer: Buyer, context: &Context<'_>) -> Result<Done, ApiError> {
        notices::delete_webhook(&context.app.shop, buyer.account(), &self.webhook_id).await?;
        Ok(Done::default())
    }
}

/// Calls a webhook with a notice of kind `webhook.test`; its deliveries tell what came of it.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TestWebhook {
    #[serde(deserialize_with = "wire::id")]
    #[schema(schema_with = wire::id_schema)]
    webhook_id: WebhookId,
}

impl Endpoint for TestWebhook {
    const METHOD: Method = Method::POST;
    const PATH: &'static str = "/api/v1/webhooks/{webhookId}/test";
    const NAME: &'static str = "testWebhook";
    const ERRORS: &'static [u16] = &[404, 409];
    type Caller = Buyer;
    type Answer = Done;

    async fn call(self, buyer: Buyer, context: &Context<'_>) -> Result<Done, ApiError> {
        notices::test_webhook(&context.app.shop, buyer.account(), &self.webhook_id).await?;
        Ok(Done::default())
    }
}

/// Uses a webhook again that was given up.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EnableWebhook {
    #[serde(deserialize_with = "wire::id")]
    #[schema(schema_with = wire::id_schema)]
    webhook_id: WebhookId,
}

impl Endpoint for EnableWebhook {
    const METHOD: Method = Method::POST;
    const PATH: &'static str = "/api/v1/webhooks/{webhookId}/enable";
    const NAME: &'static str = "enableWebhook";
    const ERRORS: &'static [u16] = &[404];
    type Caller = Buyer;
    type Answer = Done;

    async fn call(self, buyer: Buyer, context: &Context<'_>) -> Result<Done, ApiError> {
        notices::enable_webhook(&context.app.shop, buyer.account(), &self.webhook_id).await?;
        Ok(Done::default())
    }
}

/// What was and is to be sent to a webhook within 14 days, the newest first.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListDeliveries {
    #[serde(deserialize_with = "wire::id")]
    #[schema(schema_with = wire::id_schema)]
    webhook_id: WebhookId,
    /// At most so many; 50 where nothing is said.
    #[serde(default, deserialize_with = "wire::limit")]
    #[schema(minimum = 1, maximum = 100, required = false)]
    limit: Option<i64>,
}

/// Deliveries.
#[derive(Serialize, ToSchema)]
pub(crate) struct DeliveriesAnswer {
    ok: True,
    deliveries: Vec<DeliveryItem>,
}

/// What became of a notice at a webhook.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeliveryItem {
    #[schema(schema_with = wire::id_schema)]
    delivery_id: String,
    /// Of which notice: the call's `webhook-id`, the same however often it is tried.
    #[schema(schema_with = wire::id_schema)]
    notice_id: String,
    /// What it is about.
    #[schema(example = "subscription.ending")]
    kind: String,
    /// `waiting`, `delivered` or `failed`.
    #[schema(example = "delivered")]
    state: String,
    /// How often it was tried.
    attempts: i64,
    /// When it was written down, in Unix milliseconds. So are the others.
    created_at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    tried_at: Option<i64>,
    /// When it is tried next.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_at: Option<i64>,
    /// What came of the last try; empty before the first.
    detail: String,
    /// What is sent: JSON as text.
    body: String,
}

impl From<Delivery> for DeliveryItem {
    fn from(delivery: Delivery) -> Self {
        Self {
            delivery_id: delivery.id.into(),
            notice_id: delivery.notice.into(),
            kind: delivery.kind.to_string(),
            state: delivery.state.to_string(),
            attempts: delivery.attempts,
            created_at: delivery.created_at.0,
            tried_at: delivery.tried_at.map(|at| at.0),
            next_at: delivery.next_at.map(|at| at.0),
            detail: delivery.detail,
            body: delivery.body,
        }
    }
}

impl Endpoint for ListDeliveries {
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/api/v1/webhooks/{webhookId}/deliveries";
    const NAME: &'static str = "listDeliveries";
    const ERRORS: &'static [u16] = &[404];
    type Caller = Reader;
    type Answer = DeliveriesAnswer;

    async fn call(self, reader: Reader, context: &Context<'_>) -> Result<DeliveriesAnswer, ApiError> {
        let limit = self.limit.unwrap_or(wire::USUAL_LIMIT);
        let found = notices::deliveries(&context.app.shop, reader.account(), &self.webhook_id, limit).await?;
        Ok(DeliveriesAnswer {
            ok: True,
            deliveries: found.into_iter().map(DeliveryItem::from).collect(),
        })
    }
}

/// Sends a notice to its webhook once more, with the same `webhook-id`. One that still waits is tried at once.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Redeliver {
    #[serde(deserialize_with = "wire::id")]
    #[schema(schema_with = wire::id_schema)]
    delivery_id: DeliveryId,
}

impl Endpoint for Redeliver {
    const METHOD: Method = Method::POST;
    const PATH: &'static str = "/api/v1/deliveries/{deliveryId}/redeliver";
    const NAME: &'static str = "redeliver";
    const ERRORS: &'static [u16] = &[404, 409];
    type Caller = Buyer;
    type Answer = Done;

    async fn call(self, buyer: Buyer, context: &Context<'_>) -> Result<Done, ApiError> {
        notices::redeliver(&context.app.shop, buyer.account(), &self.delivery_id).await?;
        Ok(Done::default())
    }
}
