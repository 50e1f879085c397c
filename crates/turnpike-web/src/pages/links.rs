//! `/subscriptions/{subscription}/links`: who else may rotate or look, and from where no password is asked.

use askama::Template;
use http::StatusCode;
use turnpike_shop::address_list::AddressList;
use turnpike_shop::rotation::{self, Link, LinkName, NewLink};
use turnpike_shop::subscription::see;
use turnpike_shop::types::{LinkId, LinkKind, SubscriptionId, SubscriptionState};
use turnpike_shop::{allowed_addresses, set_allowed_addresses};

use super::desk::{Desk, Outcome, html};
use super::frame::{Frame, Place};
use super::texts::{Notice, texts, unfit};
use super::trouble::{Trouble, confirm_and_again, refused};
use super::visitor::{Confirmed, Customer};
use super::when::moment;
use crate::api::link_item::path;
use crate::api::subscription::label;
use crate::api::wait_applied;
use crate::error::ApiError;

#[derive(Template)]
#[template(path = "links.html")]
struct LinksPage {
    frame: Frame,
    id: String,
    label: String,
    is_active: bool,
    links: Vec<Line>,
    name: String,
    is_status: bool,
    allowed: String,
    sources: String,
    /// What was wrong with the new link.
    wrong_link: Option<String>,
    /// What was wrong with the addresses.
    wrong_sources: Option<String>,
}

struct Line {
    id: String,
    name: String,
    kind: &'static str,
    url: String,
    allowed: String,
    made: String,
    /// The subscription's own cannot be revoked, only renewed.
    is_own: bool,
}

impl Line {
    fn of(link: &Link, desk: &Desk, own: &SubscriptionId) -> Self {
        let is_own = link.id.as_str() == own.as_str();
        Self {
            id: link.id.to_string(),
            name: match is_own {
                true => texts().own_link.to_owned(),
                false => link.name.clone(),
            },
            kind: match link.kind {
                LinkKind::Rotate => texts().rotating_link,
                LinkKind::Status => texts().status_link,
            },
            url: format!("{}{}", desk.app.config.public_url, path(link)),
            allowed: match link.allowed.is_empty() {
                true => texts().anywhere.to_owned(),
                false => link.allowed.entries().join(", "),
            },
            made: moment(link.created_at),
            is_own,
        }
    }
}

/// What was wrong with which form.
#[derive(Default)]
struct Wrong {
    link: Option<String>,
    sources: Option<String>,
}

/// `GET /subscriptions/{subscription}/links`
pub(crate) async fn show(customer: Customer, desk: Desk) -> Outcome {
    shown(&customer, &desk, StatusCode::OK, Wrong::default()).await
}

async fn shown(customer: &Customer, desk: &Desk, status: StatusCode, wrong: Wrong) -> Outcome {
    let (shop, account) = (&desk.app.shop, customer.account());
    let id: SubscriptionId = desk.id("subscription")?;
    let subscription = see(shop, account, &id).await?;
    let label = label(&subscription);
    // What was typed, where that is still to be mended or to be sent again.
    let sources = match desk.fields.filled("sources") {
        Some(typed) => typed.to_owned(),
        None if wrong.sources.is_some() => String::new(),
        None => allowed_addresses(shop, account, &id).await?.entries().join("\n"),
    };
    let page = LinksPage {
        frame: desk
            .frame(Place::Subscriptions, &format!("{}: {label}", texts().links))
            .await?,
        id: id.to_string(),
        label,
        is_active: subscription.state == SubscriptionState::Active,
        links: rotation::links(shop, account, &id)
            .await?
            .iter()
            .map(|link| Line::of(link, desk, &id))
            .collect(),
        name: desk.fields.text("name").to_owned(),
        is_status: desk.fields.text("kind") == "status",
        allowed: desk.fields.text("allowed").to_owned(),
        sources,
        wrong_link: wrong.link,
        wrong_sources: wrong.sources,
    };
    Ok(html(status, &page))
}

/// A list as people type it: by lines, commas or blanks.
fn addresses(desk: &Desk, field: &str) -> Result<AddressList, ApiError> {
    let entries: Vec<&str> = desk
        .fields
        .text(field)
        .split(|letter: char| letter == ',' || letter.is_whitespace())
        .filter(|entry| !entry.is_empty())
        .collect();
    AddressList::parse(&entries).map_err(|wrong| ApiError::Field {
        field: field.to_owned(),
        rule: unfit(wrong),
    })
}

fn back(desk: &Desk, notice: Notice) -> Result<axum::response::Response, Trouble> {
    let id: SubscriptionId = desk.id("subscription")?;
    Ok(desk.done(&format!("/subscriptions/{id}/links"), notice))
}

/// `POST /subscriptions/{subscription}/links`
pub(crate) async fn create(customer: Customer, desk: Desk) -> Outcome {
    let id: SubscriptionId = desk.id("subscription")?;
    let made = match read(&desk) {
        // Whoever has the link needs no password, and keeps it when the account's is changed.
        Ok(_) if customer.confirmed().is_err() => return Ok(confirm_and_again(&filled_link(&desk, &id))),
        Ok(new) => rotation::create_link(&desk.app.shop, customer.account(), &id, new)
            .await
            .map_err(ApiError::from),
        Err(error) => Err(error),
    };
    match made {
        Ok(_) => back(&desk, Notice::LinkMade),
        Err(error) => wrong_link(&customer, &desk, error).await,
    }
}

fn read(desk: &Desk) -> Result<NewLink, ApiError> {
    let name = LinkName::try_from(desk.fields.text("name").to_owned()).map_err(|wrong| ApiError::Field {
        field: "name".to_owned(),
        rule: unfit(wrong),
    })?;
    Ok(NewLink {
        name,
        kind: match desk.fields.text("kind") {
            "status" => LinkKind::Status,
            _ => LinkKind::Rotate,
        },
        allowed: addresses(desk, "allowed")?,
    })
}

async fn wrong_link(customer: &Customer, desk: &Desk, error: impl Into<ApiError>) -> Outcome {
    let (status, sentence) = refused(error, desk)?;
    let wrong = Wrong {
        link: Some(sentence),
        ..Wrong::default()
    };
    shown(customer, desk, status, wrong).await
}

/// `POST /subscriptions/{subscription}/links/{link}/renew`
pub(crate) async fn renew(customer: Confirmed, desk: Desk) -> Outcome {
    let (id, link): (SubscriptionId, LinkId) = (desk.id("subscription")?, desk.id("link")?);
    match rotation::renew_link(&desk.app.shop, customer.account(), &id, &link).await {
        Ok(_) => back(&desk, Notice::LinkRenewed),
        Err(error) => wrong_link(&customer, &desk, error).await,
    }
}

/// `POST /subscriptions/{subscription}/links/{link}/revoke`
pub(crate) async fn revoke(customer: Confirmed, desk: Desk) -> Outcome {
    let (id, link): (SubscriptionId, LinkId) = (desk.id("subscription")?, desk.id("link")?);
    match rotation::revoke_link(&desk.app.shop, customer.account(), &id, &link).await {
        Ok(()) => back(&desk, Notice::LinkRevoked),
        Err(error) => wrong_link(&customer, &desk, error).await,
    }
}

/// The page with the new link as it was described.
fn filled_link(desk: &Desk, id: &SubscriptionId) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for name in ["name", "kind", "allowed"] {
        query.append_pair(name, desk.fields.text(name));
    }
    format!("/subscriptions/{id}/links?{}", query.finish())
}

/// The page with the addresses as they were sent.
fn filled(desk: &Desk, id: &SubscriptionId) -> String {
    let query = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("sources", desk.fields.text("sources"))
        .finish();
    format!("/subscriptions/{id}/links?{query}")
}

/// `POST /subscriptions/{subscription}/sources`
pub(crate) async fn set_sources(customer: Customer, desk: Desk) -> Outcome {
    let id: SubscriptionId = desk.id("subscription")?;
    let set = match addresses(&desk, "sources") {
        // Whoever is at one of these addresses needs no password.
        Ok(list) if !list.is_empty() && customer.confirmed().is_err() => {
            return Ok(confirm_and_again(&filled(&desk, &id)));
        }
        Ok(list) => set_allowed_addresses(&desk.app.shop, customer.account(), &id, list)
            .await
            .map_err(ApiError::from),
        Err(error) => Err(error),
    };
    match set {
        Ok(set) => {
            wait_applied(&desk.app, &desk.visit, [(set.gateway.as_str(), set.revision)]).await;
            back(&desk, Notice::SourcesSet)
        }
        Err(error) => {
            let (status, sentence) = refused(error, &desk)?;
            let wrong = Wrong {
                sources: Some(sentence),
                ..Wrong::default()
            };
            shown(&customer, &desk, status, wrong).await
        }
    }
}
