//! An account's webhooks: where they are, and the secrets that their calls are signed with (Standard Webhooks 1.0).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rand::RngExt as _;
use secrecy::SecretString;
use serde_json::json;

use super::outbox;
use crate::error::{Error, Refusal, Result};
use crate::secrets::MasterKey;
use crate::shop::Shop;
use crate::store::{Row, Tx, Value};
use crate::types::{AccountId, NoticeKind, UnixMillis, WebhookId};

/// The most that an account can have.
pub const MOST_WEBHOOKS: i64 = 5;
/// The longest address of one.
const URL_LENGTH: usize = 500;
/// Test calls of one webhook that may wait at once.
const MOST_TESTS: i64 = 5;

/// A webhook, without its secret.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// Its id.
    pub id: WebhookId,
    /// Where it is.
    pub url: String,
    /// When it was made.
    pub created_at: UnixMillis,
    /// Since when nothing has arrived there; absent while the last did.
    pub failing_since: Option<UnixMillis>,
    /// When it was given up; absent while it is used.
    pub disabled_at: Option<UnixMillis>,
}

/// An account's webhooks, the oldest first.
///
/// # Errors
/// Only the database's.
pub async fn webhooks(shop: &Shop, account: &AccountId) -> Result<Vec<Webhook>> {
    let id = Value::Text(account.to_string());
    shop.store
        .read(move |tx| {
            let id = id.clone();
            Box::pin(async move {
                let rows = tx
                    .all(
                        "SELECT id, url, created_at, failing_since, disabled_at FROM webhook
                         WHERE account_id = $1 ORDER BY created_at, id",
                        &[id],
                    )
                    .await?;
                rows.iter().map(read).collect()
            })
        })
        .await
}

/// One of an account's webhooks.
///
/// # Errors
/// [`Refusal::WebhookNotFound`].
pub async fn webhook(shop: &Shop, account: &AccountId, id: &WebhookId) -> Result<Webhook> {
    let (account, id) = (account.clone(), id.clone());
    shop.store
        .read(move |tx| {
            let (account, id) = (account.clone(), id.clone());
            Box::pin(async move { own(tx, &account, &id).await })
        })
        .await
}

async fn own(tx: &mut Tx, account: &AccountId, id: &WebhookId) -> Result<Webhook> {
    let row = tx
        .optional(
            "SELECT id, url, created_at, failing_since, disabled_at FROM webhook WHERE id = $1 AND account_id = $2",
            &[Value::Text(id.to_string()), Value::Text(account.to_string())],
        )
        .await?
        .ok_or(Refusal::WebhookNotFound)?;
    read(&row)
}

fn read(row: &Row) -> Result<Webhook> {
    Ok(Webhook {
        id: row.parsed("id")?,
        url: row.text("url")?,
        created_at: UnixMillis(row.int("created_at")?),
        failing_since: row.optional_int("failing_since")?.map(UnixMillis),
        disabled_at: row.optional_int("disabled_at")?.map(UnixMillis),
    })
}

/// Those of an account that are used. None of them goes away before the transaction ends.
pub(super) async fn in_use(tx: &mut Tx, account: &AccountId) -> Result<Vec<WebhookId>> {
    let rows = tx
        .all(
            "SELECT id FROM webhook WHERE account_id = $1 AND disabled_at IS NULL ORDER BY created_at, id FOR KEY SHARE",
            &[Value::Text(account.to_string())],
        )
        .await?;
    rows.iter().map(|row| row.parsed("id")).collect()
}

/// Makes a webhook; its secret is returned this once.
///
/// # Errors
/// [`Refusal::WebhooksOff`], [`Refusal::UnfitUrl`], [`Refusal::TooManyWebhooks`].
pub async fn create_webhook(shop: &Shop, account: &AccountId, url: &str) -> Result<(Webhook, SecretString)> {
    if !shop.settings.notices.webhook {
        return Err(Refusal::WebhooksOff.into());
    }
    let url = fit_url(url, shop.settings.notices.plain_http).ok_or(Refusal::UnfitUrl)?;
    let id = WebhookId::random();
    let secret = format!(
        "{SECRET_PREFIX}{}",
        STANDARD.encode(rand::rng().random::<[u8; SECRET_LENGTH]>())
    );
    let sealed = shop.master_key.seal(&associated(&id), secret.as_bytes())?;
    let (now, account) = (shop.now(), account.clone());
    let made = shop
        .store
        .transaction(move |tx| {
            let (id, account, url, sealed) = (id.clone(), account.clone(), url.clone(), sealed.clone());
            Box::pin(async move {
                let owner = Value::Text(account.to_string());
                // So that two at once cannot both be the last.
                let lock = "SELECT id FROM account WHERE id = $1 FOR NO KEY UPDATE";
                tx.one(lock, std::slice::from_ref(&owner)).await?;
                let count = "SELECT CAST(COUNT(*) AS BIGINT) AS webhooks FROM webhook WHERE account_id = $1";
                if tx.one(count, std::slice::from_ref(&owner)).await?.int("webhooks")? >= MOST_WEBHOOKS {
                    return Err(Refusal::TooManyWebhooks.into());
                }
                tx.execute(
                    "INSERT INTO webhook (id, account_id, url, sealed_secret, created_at) VALUES ($1, $2, $3, $4, $5)",
                    &[
                        Value::Text(id.to_string()),
                        owner,
                        Value::Text(url),
                        Value::Bytes(sealed),
                        Value::Int(now.0),
                    ],
                )
                .await?;
                own(tx, &account, &id).await
            })
        })
        .await?;
    Ok((made, SecretString::from(secret)))
}

/// An address that can be called, as it is written down. Whether it may be is judged when it is called, on what its name stands
/// for then.
fn fit_url(text: &str, plain_http: bool) -> Option<String> {
    let url = url::Url::parse(text.trim()).ok()?;
    let is_fit = (url.scheme() == "https" || plain_http && url.scheme() == "http")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.fragment().is_none()
        && url.as_str().len() <= URL_LENGTH;
    is_fit.then(|| url.to_string())
}

/// Removes a webhook with what was and is to be sent there.
///
/// # Errors
/// [`Refusal::WebhookNotFound`].
pub async fn delete_webhook(shop: &Shop, account: &AccountId, id: &WebhookId) -> Result<()> {
    let (account, id) = (account.clone(), id.clone());
    shop.store
        .transaction(move |tx| {
            let (account, id) = (account.clone(), id.clone());
            Box::pin(async move {
                own(tx, &account, &id).await?;
                let key = [Value::Text(id.to_string())];
                // First of all: whoever adds a delivery to it has ended by then, and nobody does from here on.
                tx.optional("SELECT id FROM webhook WHERE id = $1 FOR UPDATE", &key)
                    .await?;
                tx.execute("DELETE FROM delivery WHERE webhook_id = $1", &key).await?;
                tx.execute("DELETE FROM webhook WHERE id = $1", &key).await?;
                Ok(())
            })
        })
        .await
}

/// Uses a webhook again that was given up.
///
/// # Errors
/// [`Refusal::WebhookNotFound`].
pub async fn enable_webhook(shop: &Shop, account: &AccountId, id: &WebhookId) -> Result<()> {
    let (account, id) = (account.clone(), id.clone());
    shop.store
        .transaction(move |tx| {
            let (account, id) = (account.clone(), id.clone());
            Box::pin(async move {
                own(tx, &account, &id).await?;
                tx.execute(
                    "UPDATE webhook SET disabled_at = NULL, failing_since = NULL WHERE id = $1",
                    &[Value::Text(id.to_string())],
                )
                .await?;
                Ok(())
            })
        })
        .await
}

/// Sends a notice of kind `webhook.test` to one webhook.
///
/// # Errors
/// [`Refusal::WebhookNotFound`], [`Refusal::WebhooksOff`], [`Refusal::TestsWaiting`].
pub async fn test_webhook(shop: &Shop, account: &AccountId, id: &WebhookId) -> Result<()> {
    if !shop.settings.notices.webhook {
        return Err(Refusal::WebhooksOff.into());
    }
    let (now, account, id) = (shop.now(), account.clone(), id.clone());
    shop.store
        .transaction(move |tx| {
            let (account, id) = (account.clone(), id.clone());
            Box::pin(async move {
                own(tx, &account, &id).await?;
                let waiting = tx
                    .one(
                        "SELECT CAST(COUNT(*) AS BIGINT) AS tests FROM delivery d JOIN notice n ON n.id = d.notice_id
                         WHERE d.webhook_id = $1 AND d.state = 'waiting' AND n.kind = 'webhook.test'",
                        &[Value::Text(id.to_string())],
                    )
                    .await?;
                if waiting.int("tests")? >= MOST_TESTS {
                    return Err(Refusal::TestsWaiting.into());
                }
                let data = json!({ "webhookId": id.as_str() });
                outbox::write(tx, &account, NoticeKind::Test, data, &[Some(id)], now).await
            })
        })
        .await
}

const SECRET_PREFIX: &str = "whsec_";
/// Of the most that the specification allows, so that it is as long as the hash.
const SECRET_LENGTH: usize = 32;

/// What a sealed secret is bound to.
fn associated(id: &WebhookId) -> String {
    format!("secret of webhook {id}")
}

/// The `webhook-signature` of a call (Standard Webhooks 1.0, "Signature scheme"): `v1,` and the base64 of HMAC-SHA-256 of id,
/// timestamp (Unix seconds) and body, with dots between them.
pub(super) fn signature(
    key: &MasterKey,
    webhook: &WebhookId,
    sealed: &[u8],
    id: &str,
    seconds: i64,
    body: &str,
) -> Result<String> {
    let plain = key.open(&associated(webhook), sealed)?;
    let unreadable = || Error::Failed(format!("the secret of webhook {webhook} cannot be read"));
    let text = std::str::from_utf8(&plain).map_err(|_| unreadable())?;
    let text = text.strip_prefix(SECRET_PREFIX).ok_or_else(unreadable)?;
    let secret = STANDARD.decode(text).map_err(|_| unreadable())?;
    let secret: [u8; SECRET_LENGTH] = secret.try_into().map_err(|_| unreadable())?;
    let signed = crate::secrets::keyed_hash(&secret, format!("{id}.{seconds}.{body}").as_bytes());
    Ok(format!("v1,{}", STANDARD.encode(signed)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_called_is_an_address() {
        assert_eq!(
            fit_url(" https://hooks.example.com/a?b=c ", false).as_deref(),
            Some("https://hooks.example.com/a?b=c")
        );
        assert!(fit_url("http://127.0.0.1:9/x", true).is_some());
        for unfit in [
            "",
            "hooks.example.com",
            "http://hooks.example.com/",
            "ftp://hooks.example.com/",
            "javascript:alert(1)",
            "https://user@hooks.example.com/",
            "https://user:secret@hooks.example.com/",
            "https://hooks.example.com/#part",
            "https://",
            "file:///etc/passwd",
        ] {
            assert_eq!(fit_url(unfit, false), None, "{unfit}");
        }
        assert_eq!(
            fit_url(&format!("https://a.example/{}", "x".repeat(URL_LENGTH)), false),
            None
        );
    }
}
