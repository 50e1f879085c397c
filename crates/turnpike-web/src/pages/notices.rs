//! `/notices`: what the customer is told, by which ways, and what became of calls to webhooks.

use askama::Template;
use http::StatusCode;
use secrecy::ExposeSecret as _;
use turnpike_shop::notices::{self, Choices, Delivery, KINDS, Webhook};
use turnpike_shop::types::{Cents, DeliveryId, DeliveryState, NoticeKind, NoticeWay, WebhookId};
use turnpike_shop::{Error as ShopError, Refusal};

use super::desk::{Desk, Outcome, html};
use super::frame::{Frame, Place};
use super::texts::{Notice, texts};
use super::trouble::{Trouble, confirm_and_again, refused};
use super::visitor::{Confirmed, Customer};
use super::when::moment;
use crate::error::ApiError;

/// Lines of a webhook's log.
const LINES: i64 = 50;

#[derive(Template)]
#[template(path = "notices.html")]
struct NoticesPage {
    frame: Frame,
    rows: Vec<Row>,
    ways: Vec<&'static str>,
    has_webhooks: bool,
    low: String,
    webhooks: Vec<Line>,
    /// A new webhook's secret, this once.
    made: Option<String>,
    url: String,
    wrong: Option<String>,
}

/// Something to be told, with a box for each way.
struct Row {
    label: &'static str,
    boxes: Vec<Tick>,
}

struct Tick {
    name: String,
    way: &'static str,
    is_on: bool,
}

/// A webhook.
struct Line {
    id: String,
    url: String,
    state: State,
}

/// How a webhook fares.
enum State {
    Working,
    FailingSince(String),
    GivenUp,
}

impl Line {
    fn of(webhook: &Webhook) -> Self {
        Self {
            id: webhook.id.to_string(),
            url: webhook.url.clone(),
            state: match (webhook.disabled_at, webhook.failing_since) {
                (Some(_), _) => State::GivenUp,
                (None, Some(since)) => State::FailingSince(moment(since)),
                (None, None) => State::Working,
            },
        }
    }
}

/// The ways that this shop has open.
pub(super) fn open_ways(desk: &Desk) -> Vec<NoticeWay> {
    let ways = notices::ways(&desk.app.shop);
    [(NoticeWay::Email, ways.email), (NoticeWay::Webhook, ways.webhook)]
        .into_iter()
        .filter_map(|(way, is_open)| is_open.then_some(way))
        .collect()
}

fn way_label(way: NoticeWay) -> &'static str {
    match way {
        NoticeWay::Email => texts().by_email,
        NoticeWay::Webhook => texts().by_webhook,
    }
}

fn kind_label(kind: NoticeKind) -> &'static str {
    match kind {
        NoticeKind::Ending => texts().notice_ending,
        NoticeKind::Ended => texts().notice_ended,
        NoticeKind::Renewed => texts().notice_renewed,
        NoticeKind::RenewalFailed => texts().notice_renewal_failed,
        NoticeKind::LowBalance => texts().notice_low_balance,
        NoticeKind::SignedIn => texts().notice_signed_in,
        NoticeKind::Rotated => texts().notice_rotated,
        NoticeKind::Test => texts().notice_test,
    }
}

/// A box's name in the form.
fn tick(kind: NoticeKind, way: NoticeWay) -> String {
    format!("{kind} {way}")
}

/// `GET /notices`
pub(crate) async fn show(customer: Customer, desk: Desk) -> Outcome {
    shown(&customer, &desk, StatusCode::OK, None, None).await
}

async fn shown(
    customer: &Customer,
    desk: &Desk,
    status: StatusCode,
    made: Option<String>,
    wrong: Option<String>,
) -> Outcome {
    let (shop, account) = (&desk.app.shop, customer.account());
    let (saved, ways) = (notices::choices(shop, account).await?, open_ways(desk));
    let typed = desk.fields.filled("low");
    let (chosen, low) = match typed {
        Some(typed) => (ticked(saved, desk), typed.to_owned()),
        None => (saved.clone(), saved.low_balance.to_string()),
    };
    let page = NoticesPage {
        frame: desk.frame(Place::Notices, texts().notices).await?,
        rows: KINDS
            .into_iter()
            .map(|kind| Row {
                label: kind_label(kind),
                boxes: ways
                    .iter()
                    .map(|way| Tick {
                        name: tick(kind, *way),
                        way: way_label(*way),
                        is_on: chosen.has(kind, *way),
                    })
                    .collect(),
            })
            .collect(),
        has_webhooks: ways.contains(&NoticeWay::Webhook),
        ways: ways.into_iter().map(way_label).collect(),
        low,
        webhooks: notices::webhooks(shop, account).await?.iter().map(Line::of).collect(),
        url: match made {
            Some(_) => String::new(),
            None => desk.fields.text("url").to_owned(),
        },
        made,
        wrong,
    };
    Ok(html(status, &page))
}

/// `POST /notices`
pub(crate) async fn save(customer: Customer, desk: Desk) -> Outcome {
    let before = notices::choices(&desk.app.shop, customer.account()).await?;
    let saved = match choices(before.clone(), &desk) {
        // Who is told of strangers that sign in is not to be silenced by one.
        Ok(choices) if hides_sign_ins(&before, &choices) && customer.confirmed().is_err() => {
            return Ok(confirm_and_again(&filled(&choices, &desk)));
        }
        Ok(choices) => notices::set_choices(&desk.app.shop, customer.account(), choices).await,
        Err(error) => Err(error),
    };
    match saved {
        Ok(()) => Ok(desk.done("/notices", Notice::NoticesSaved)),
        Err(error) => {
            let (status, sentence) = refused(error, &desk)?;
            shown(&customer, &desk, status, None, Some(sentence)).await
        }
    }
}

/// Whether a way is closed by which new sessions are told.
fn hides_sign_ins(before: &Choices, after: &Choices) -> bool {
    let tells = |choices: &Choices, way| choices.has(NoticeKind::SignedIn, way);
    [NoticeWay::Email, NoticeWay::Webhook]
        .into_iter()
        .any(|way| tells(before, way) && !tells(after, way))
}

/// The page with the form as it was sent.
fn filled(sent: &Choices, desk: &Desk) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("low", desk.fields.text("low"));
    for (kind, way) in &sent.wanted {
        query.append_pair(&tick(*kind, *way), "1");
    }
    format!("/notices?{}", query.finish())
}

/// What the form says.
fn choices(before: Choices, desk: &Desk) -> Result<Choices, ShopError> {
    let mut choices = ticked(before, desk);
    choices.low_balance = cents(desk.fields.text("low")).ok_or(Refusal::UnfitLowBalance)?;
    Ok(choices)
}

/// What is ticked, of the ways that are open; of the others, what was chosen before.
fn ticked(mut choices: Choices, desk: &Desk) -> Choices {
    let ways = open_ways(desk);
    choices.wanted.retain(|(_, way)| !ways.contains(way));
    for kind in KINDS {
        for way in &ways {
            if desk.fields.filled(&tick(kind, *way)).is_some() {
                choices.wanted.push((kind, *way));
            }
        }
    }
    choices
}

/// `5`, `5.0` or `5.00`.
fn cents(text: &str) -> Option<Cents> {
    let (whole, broken) = text.split_once('.').unwrap_or((text, ""));
    let are_digits = [whole, broken]
        .iter()
        .all(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
    if !are_digits || whole.is_empty() || broken.len() > 2 {
        return None;
    }
    let cents: i64 = format!("{broken:0<2}").parse().ok()?;
    whole
        .parse::<i64>()
        .ok()?
        .checked_mul(100)?
        .checked_add(cents)
        .map(Cents)
}

/// `POST /notices/webhooks`. The answer is the page itself: nothing that leads to the secret may stand in an address.
pub(crate) async fn create(customer: Customer, desk: Desk) -> Outcome {
    // Whoever reads there is told of the account from then on, whatever becomes of its password.
    if customer.confirmed().is_err() {
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("url", desk.fields.text("url"))
            .finish();
        return Ok(confirm_and_again(&format!("/notices?{query}")));
    }
    match notices::create_webhook(&desk.app.shop, customer.account(), desk.fields.text("url")).await {
        Ok((_, secret)) => {
            let secret = secret.expose_secret().to_owned();
            shown(&customer, &desk, StatusCode::OK, Some(secret), None).await
        }
        Err(error) => {
            let (status, sentence) = refused(error, &desk)?;
            shown(&customer, &desk, status, None, Some(sentence)).await
        }
    }
}

#[derive(Template)]
#[template(path = "webhook.html")]
struct WebhookPage {
    frame: Frame,
    webhook: Line,
    log: Vec<Entry>,
    wrong: Option<String>,
}

/// A line of the log.
struct Entry {
    id: String,
    notice: String,
    kind: &'static str,
    word: &'static str,
    at: String,
    state: &'static str,
    is_good: bool,
    is_bad: bool,
    attempts: i64,
    /// When it is tried next.
    next: Option<String>,
    detail: String,
    body: String,
}

impl Entry {
    fn of(delivery: Delivery) -> Self {
        Self {
            id: delivery.id.to_string(),
            notice: delivery.notice.to_string(),
            kind: kind_label(delivery.kind),
            word: delivery.kind.as_str(),
            at: moment(delivery.tried_at.unwrap_or(delivery.created_at)),
            state: match delivery.state {
                DeliveryState::Waiting => texts().delivery_waiting,
                DeliveryState::Delivered => texts().delivery_delivered,
                DeliveryState::Failed => texts().delivery_failed,
            },
            is_good: delivery.state == DeliveryState::Delivered,
            is_bad: delivery.state == DeliveryState::Failed,
            attempts: delivery.attempts,
            next: delivery.next_at.map(moment),
            detail: delivery.detail,
            body: delivery.body,
        }
    }
}

/// `GET /notices/webhooks/{webhook}`
pub(crate) async fn webhook(customer: Customer, desk: Desk) -> Outcome {
    let id = desk.id("webhook")?;
    shown_webhook(&customer, &desk, &id, StatusCode::OK, None).await
}

async fn shown_webhook(
    customer: &Customer,
    desk: &Desk,
    id: &WebhookId,
    status: StatusCode,
    wrong: Option<String>,
) -> Outcome {
    let (shop, account) = (&desk.app.shop, customer.account());
    let webhook = notices::webhook(shop, account, id).await?;
    let log = notices::deliveries(shop, account, id, LINES).await?;
    let page = WebhookPage {
        frame: desk.frame(Place::Notices, texts().webhook).await?,
        webhook: Line::of(&webhook),
        log: log.into_iter().map(Entry::of).collect(),
        wrong,
    };
    Ok(html(status, &page))
}

/// Goes back to the webhook's page, with what was done or with what was wrong.
async fn settled(
    outcome: Result<(), ShopError>,
    notice: Notice,
    customer: &Customer,
    desk: &Desk,
    id: &WebhookId,
) -> Outcome {
    match outcome {
        Ok(()) => Ok(desk.done(&format!("/notices/webhooks/{id}"), notice)),
        Err(error) => {
            let (status, sentence) = refused(error, desk)?;
            shown_webhook(customer, desk, id, status, Some(sentence)).await
        }
    }
}

/// `POST /notices/webhooks/{webhook}/test`
pub(crate) async fn test(customer: Customer, desk: Desk) -> Outcome {
    let id = desk.id("webhook")?;
    let tested = notices::test_webhook(&desk.app.shop, customer.account(), &id).await;
    settled(tested, Notice::TestSent, &customer, &desk, &id).await
}

/// `POST /notices/webhooks/{webhook}/enable`
pub(crate) async fn enable(customer: Customer, desk: Desk) -> Outcome {
    let id = desk.id("webhook")?;
    let enabled = notices::enable_webhook(&desk.app.shop, customer.account(), &id).await;
    settled(enabled, Notice::WebhookEnabled, &customer, &desk, &id).await
}

/// `POST /notices/webhooks/{webhook}/delete`
pub(crate) async fn delete(customer: Confirmed, desk: Desk) -> Outcome {
    let id: WebhookId = desk.id("webhook")?;
    notices::delete_webhook(&desk.app.shop, customer.account(), &id).await?;
    Ok(desk.done("/notices", Notice::WebhookDeleted))
}

/// `POST /notices/deliveries/{delivery}/redeliver`
pub(crate) async fn redeliver(customer: Customer, desk: Desk) -> Outcome {
    let id: DeliveryId = desk.id("delivery")?;
    match notices::redeliver(&desk.app.shop, customer.account(), &id).await {
        Ok(webhook) => Ok(desk.done(&format!("/notices/webhooks/{webhook}"), Notice::Redelivered)),
        Err(error @ ShopError::Refused(Refusal::WebhookDisabled | Refusal::WebhooksOff)) => {
            let (status, sentence) = refused(error, &desk)?;
            shown(&customer, &desk, status, None, Some(sentence)).await
        }
        Err(ShopError::Refused(_)) => Err(Trouble::Failed(ApiError::NoSuchPath)),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_read_as_people_write_it() {
        for (text, expected) in [
            ("5", 500),
            ("5.0", 500),
            ("5.05", 505),
            ("0", 0),
            ("1000000.00", 100_000_000),
        ] {
            assert_eq!(cents(text), Some(Cents(expected)), "{text}");
        }
        for wrong in [
            "",
            ".",
            ".5",
            "-1",
            "5.001",
            "5,00",
            "1e3",
            "five",
            "99999999999999999999",
        ] {
            assert_eq!(cents(wrong), None, "{wrong}");
        }
    }
}
