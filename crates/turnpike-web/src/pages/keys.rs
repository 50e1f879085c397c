//! `/keys`: API keys, shown whole once.

use askama::Template;
use http::StatusCode;
use ipnet::IpNet;
use secrecy::ExposeSecret as _;
use turnpike_shop::api_key::{self, ApiKey, NewApiKey};
use turnpike_shop::types::{ApiKeyId, Role, Span, UnixMillis};

use super::desk::{Desk, Outcome, html};
use super::frame::{Frame, Place};
use super::texts::{Notice, texts};
use super::trouble::{Trouble, confirm_and_again, refused};
use super::visitor::{Confirmed, Customer};
use super::when::moment;
use crate::error::ApiError;

/// The most networks that a key can be bound to.
const MOST_SOURCES: usize = 20;

/// What the form asks for.
const FIELDS: [&str; 5] = ["name", "access", "operator", "days", "sources"];

#[derive(Template)]
#[template(path = "keys.html")]
struct KeysPage {
    frame: Frame,
    keys: Vec<Line>,
    /// The new one, this once.
    made: Option<String>,
    public_url: String,
    /// Whether the visitor can have a key that runs the shop.
    is_operator: bool,
    name: String,
    is_full: bool,
    is_for_operating: bool,
    days: String,
    sources: String,
    wrong: Option<String>,
}

struct Line {
    id: String,
    name: String,
    can_write: bool,
    is_operators: bool,
    expires: String,
    sources: String,
    last_used: String,
    is_over: bool,
}

impl Line {
    fn of(key: &ApiKey, now: UnixMillis) -> Self {
        Self {
            id: key.id.to_string(),
            name: key.name.clone(),
            can_write: !key.read_only,
            is_operators: key.operator,
            expires: key.expires_at.map_or(texts().never.to_owned(), moment),
            sources: match key.allowed_sources.is_empty() {
                true => texts().anywhere.to_owned(),
                false => key.allowed_sources.join(", "),
            },
            last_used: key.last_used_at.map_or(texts().never.to_owned(), moment),
            is_over: key.expires_at.is_some_and(|at| at <= now),
        }
    }
}

/// `GET /keys`
pub(crate) async fn list(customer: Customer, desk: Desk) -> Outcome {
    shown(&customer, &desk, StatusCode::OK, None, None).await
}

async fn shown(
    customer: &Customer,
    desk: &Desk,
    status: StatusCode,
    made: Option<String>,
    wrong: Option<String>,
) -> Outcome {
    let keys = api_key::list(&desk.app.shop, Some(&customer.session().email)).await?;
    let now = desk.app.shop.now();
    let said = |name: &str| match made.is_some() {
        true => String::new(),
        false => desk.fields.text(name).to_owned(),
    };
    let page = KeysPage {
        frame: desk.frame(Place::Keys, texts().keys).await?,
        keys: keys
            .iter()
            .rev()
            .filter(|key| key.revoked_at.is_none())
            .map(|key| Line::of(key, now))
            .collect(),
        is_operator: customer.session().role == Role::Operator,
        public_url: desk.app.config.public_url.clone(),
        name: said("name"),
        is_full: said("access") == "full",
        is_for_operating: said("operator") == "1",
        days: said("days"),
        sources: said("sources"),
        made,
        wrong,
    };
    Ok(html(status, &page))
}

/// `POST /keys`. The answer is the page itself: nothing that leads to the key may stand in an address.
pub(crate) async fn create(customer: Customer, desk: Desk) -> Outcome {
    let made = match read(&desk) {
        // Such a key spends money and cuts programs off, for as long as it lives; an operator's sees all that runs in the shop.
        Ok(new) if (new.operator || !new.read_only) && customer.confirmed().is_err() => {
            return Ok(confirm_and_again(&filled(&desk)));
        }
        Ok(new) => api_key::create_own(&desk.app.shop, &customer.session().email, new)
            .await
            .map_err(ApiError::from),
        Err(error) => Err(error),
    };
    match made {
        Ok((_, key)) => {
            shown(
                &customer,
                &desk,
                StatusCode::OK,
                Some(key.expose_secret().to_owned()),
                None,
            )
            .await
        }
        Err(error) => {
            let (status, sentence) = refused(error, &desk)?;
            shown(&customer, &desk, status, None, Some(sentence)).await
        }
    }
}

/// The page with its form as it was sent.
fn filled(desk: &Desk) -> String {
    let query = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(FIELDS.map(|name| (name, desk.fields.text(name))))
        .finish();
    format!("/keys?{query}")
}

fn read(desk: &Desk) -> Result<NewApiKey, ApiError> {
    let wrong = |field: &str, rule: &str| ApiError::Field {
        field: field.to_owned(),
        rule: rule.to_owned(),
    };
    let days = match desk.fields.text("days") {
        "" => None,
        text => match text.parse::<i64>() {
            Ok(days @ 1..=3650) => Some(days),
            _ => return Err(wrong("days", texts().rule_days)),
        },
    };
    let sources: Option<Vec<IpNet>> = desk
        .fields
        .text("sources")
        .split([',', ' ', '\n'])
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
        .map(|entry| {
            entry
                .parse()
                .or_else(|_| entry.parse().map(|address: std::net::IpAddr| IpNet::from(address)))
                .ok()
        })
        .collect();
    let sources = sources
        .filter(|sources| sources.len() <= MOST_SOURCES)
        .ok_or_else(|| wrong("sources", texts().rule_sources))?;
    Ok(NewApiKey {
        name: desk.fields.text("name").to_owned(),
        read_only: desk.fields.text("access") != "full",
        allow_trial: false,
        operator: desk.fields.text("operator") == "1",
        expires_at: days.map(|days| desk.app.shop.now().plus(Span::days(days))),
        allowed_sources: sources,
    })
}

/// `POST /keys/{key}/revoke`
pub(crate) async fn revoke(customer: Confirmed, desk: Desk) -> Outcome {
    let id: ApiKeyId = desk.id("key")?;
    match api_key::revoke_own(&desk.app.shop, &customer.session().email, &id).await {
        Ok(_) => Ok(desk.done("/keys", Notice::KeyRevoked)),
        Err(turnpike_shop::Error::Refused(_)) => Err(Trouble::Failed(ApiError::NoSuchPath)),
        Err(failed) => Err(failed.into()),
    }
}
