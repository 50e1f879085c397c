//! What there is to tell, and its rows.

use serde_json::{Value as Json, json};

use super::webhooks;
use crate::error::{Error, Refusal, Result};
use crate::shop::Shop;
use crate::store::{Tx, Value};
use crate::types::{
    AccountId, Cents, DeliveryId, NoticeId, NoticeKind, NoticeWay, Span, SubscriptionId, UnixMillis, WebhookId,
};

/// Everything that an account can choose to be told, in the order in which it is offered.
pub const KINDS: [NoticeKind; 7] = [
    NoticeKind::Ending,
    NoticeKind::Ended,
    NoticeKind::Renewed,
    NoticeKind::RenewalFailed,
    NoticeKind::LowBalance,
    NoticeKind::SignedIn,
    NoticeKind::Rotated,
];

/// How long before the end a subscription's owner is told.
const ENDING: Span = Span::days(3);

/// When that is, of one that was bought or renewed for `duration`: not before three quarters of that are over.
pub(crate) fn ending_notice_at(ends_at: UnixMillis, duration: Span) -> UnixMillis {
    ends_at.minus(ENDING.min(Span(duration.0 / 4)))
}

/// Whom something is told.
pub(crate) enum Subject<'a> {
    /// The owner of this subscription; the notice says which it is.
    Subscription(&'a SubscriptionId),
    /// An account.
    Account(&'a AccountId),
}

/// What is told.
pub(crate) enum News<'a> {
    /// A subscription ends soon.
    Ending,
    /// A subscription has ended.
    Ended,
    /// A subscription was renewed.
    Renewed { price: Cents, by_itself: bool },
    /// A subscription could not renew itself.
    RenewalFailed { why: &'a Refusal },
    /// The balance has fallen below what the account calls low.
    LowBalance { balance: Cents, limit: Cents },
    /// Somebody has signed in.
    SignedIn { source: String, agent: String },
    /// A subscription's exit has another address.
    Rotated {
        address: Option<&'a str>,
        previous: Option<&'a str>,
    },
}

impl News<'_> {
    fn kind(&self) -> NoticeKind {
        match self {
            Self::Ending => NoticeKind::Ending,
            Self::Ended => NoticeKind::Ended,
            Self::Renewed { .. } => NoticeKind::Renewed,
            Self::RenewalFailed { .. } => NoticeKind::RenewalFailed,
            Self::LowBalance { .. } => NoticeKind::LowBalance,
            Self::SignedIn { .. } => NoticeKind::SignedIn,
            Self::Rotated { .. } => NoticeKind::Rotated,
        }
    }

    fn data(self) -> Json {
        match self {
            Self::Ending | Self::Ended => json!({}),
            Self::Renewed { price, by_itself } => json!({ "priceAmountCents": price.0, "byItself": by_itself }),
            Self::RenewalFailed { why } => json!({ "reason": why.to_string(), "refusal": why }),
            Self::LowBalance { balance, limit } => json!({ "balanceCents": balance.0, "lowBalanceCents": limit.0 }),
            Self::SignedIn { source, agent } => json!({ "source": source, "agent": agent }),
            Self::Rotated { address, previous } => json!({ "ip": address, "previousIp": previous }),
        }
    }
}

/// Writes down what is told and by which ways, if the account wants it at all. Part of the transaction of what it tells of.
pub(crate) async fn tell(shop: &Shop, tx: &mut Tx, subject: Subject<'_>, news: News<'_>) -> Result<()> {
    if !shop.settings.notices.is_any_open() {
        return Ok(());
    }
    let kind = news.kind();
    let ways = wanted(tx, &subject, kind).await?;
    let Some((account, _)) = ways.first().cloned() else {
        return Ok(());
    };
    let is_wanted = |way| ways.iter().any(|(_, wanted)| *wanted == way) && shop.settings.notices.is_open(way);
    let mut recipients = Vec::new();
    if is_wanted(NoticeWay::Email) {
        recipients.push(None);
    }
    if is_wanted(NoticeWay::Webhook) {
        recipients.extend(webhooks::in_use(tx, &account).await?.into_iter().map(Some));
    }
    if recipients.is_empty() {
        return Ok(());
    }
    let mut data = news.data();
    if let Subject::Subscription(id) = subject {
        describe(tx, id, &mut data).await?;
    }
    write(tx, &account, kind, data, &recipients, shop.now()).await
}

/// The account and the ways that it has chosen.
async fn wanted(tx: &mut Tx, subject: &Subject<'_>, kind: NoticeKind) -> Result<Vec<(AccountId, NoticeWay)>> {
    let kind = Value::Text(kind.to_string());
    let rows = match subject {
        Subject::Account(account) => {
            let of_account = "SELECT account_id, way FROM notice_choice WHERE account_id = $1 AND kind = $2";
            tx.all(of_account, &[Value::Text(account.to_string()), kind]).await?
        }
        Subject::Subscription(id) => {
            let of_owner =
                "SELECT c.account_id, c.way FROM subscription s JOIN notice_choice c ON c.account_id = s.account_id
                            WHERE s.id = $1 AND c.kind = $2";
            tx.all(of_owner, &[Value::Text(id.to_string()), kind]).await?
        }
    };
    rows.iter()
        .map(|row| Ok((row.parsed("account_id")?, row.parsed("way")?)))
        .collect()
}

/// Adds which subscription it is, as its owner knows it.
async fn describe(tx: &mut Tx, id: &SubscriptionId, data: &mut Json) -> Result<()> {
    let row = tx
        .one(
            "SELECT s.port, s.ends_at, s.user_note, n.code FROM subscription s JOIN network n ON n.id = s.network_id
             WHERE s.id = $1",
            &[Value::Text(id.to_string())],
        )
        .await?;
    if let Some(data) = data.as_object_mut() {
        data.insert("subscriptionId".to_owned(), json!(id.as_str()));
        data.insert("port".to_owned(), json!(row.int("port")?));
        data.insert("network".to_owned(), json!(row.text("code")?));
        data.insert("endAt".to_owned(), json!(row.int("ends_at")?));
        data.insert("userNote".to_owned(), json!(row.text("user_note")?));
    }
    Ok(())
}

/// Writes a notice and a delivery to each recipient: a webhook, or the account's e-mail address.
pub(super) async fn write(
    tx: &mut Tx,
    account: &AccountId,
    kind: NoticeKind,
    data: Json,
    recipients: &[Option<WebhookId>],
    now: UnixMillis,
) -> Result<()> {
    let id = NoticeId::random();
    let at = jiff::Timestamp::from_millisecond(now.0)
        .map_err(|error| Error::Failed(format!("writing the time of a notice: {error}")))?;
    let body = json!({ "type": kind, "timestamp": at.to_string(), "data": data });
    tx.execute(
        "INSERT INTO notice (id, account_id, kind, body, created_at) VALUES ($1, $2, $3, $4, $5)",
        &[
            Value::Text(id.to_string()),
            Value::Text(account.to_string()),
            Value::Text(kind.to_string()),
            Value::Text(body.to_string()),
            Value::Int(now.0),
        ],
    )
    .await?;
    for webhook in recipients {
        add_delivery(tx, &id, account, webhook.as_ref(), now).await?;
    }
    Ok(())
}

/// One more way out for a notice.
pub(super) async fn add_delivery(
    tx: &mut Tx,
    notice: &NoticeId,
    account: &AccountId,
    webhook: Option<&WebhookId>,
    now: UnixMillis,
) -> Result<()> {
    tx.execute(
        "INSERT INTO delivery (id, notice_id, account_id, webhook_id, state, attempts, created_at, next_at, detail)
         VALUES ($1, $2, $3, $4, 'waiting', 0, $5, $5, '')",
        &[
            Value::Text(DeliveryId::random().to_string()),
            Value::Text(notice.to_string()),
            Value::Text(account.to_string()),
            webhook.map_or(Value::NullText, |id| Value::Text(id.to_string())),
            Value::Int(now.0),
        ],
    )
    .await?;
    Ok(())
}

/// Tells the owners of up to `limit` subscriptions that they end soon, but for those that renew themselves; how many were due.
pub(crate) async fn tell_ending(shop: &Shop, tx: &mut Tx, now: UnixMillis, limit: i64) -> Result<u64> {
    let due = tx
        .all(
            "SELECT id, ends_at, auto_renew_plan_id FROM subscription WHERE ending_notice_at <= $1
             ORDER BY ending_notice_at LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED",
            &[Value::Int(now.0), Value::Int(limit)],
        )
        .await?;
    for row in &due {
        let id: SubscriptionId = row.parsed("id")?;
        tx.execute(
            "UPDATE subscription SET ending_notice_at = NULL WHERE id = $1",
            &[Value::Text(id.to_string())],
        )
        .await?;
        if row.int("ends_at")? > now.0 && row.optional_text("auto_renew_plan_id")?.is_none() {
            tell(shop, tx, Subject::Subscription(&id), News::Ending).await?;
        }
    }
    Ok(u64::try_from(due.len()).unwrap_or(u64::MAX))
}
