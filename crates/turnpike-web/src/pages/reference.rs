//! `/reference` and `/operator/reference`: what programs can ask for, with examples that carry the reader's own ids.

use askama::Template;
use http::StatusCode;
use turnpike_shop::account_search::{AccountSearch, accounts};
use turnpike_shop::catalogue::plans;
use turnpike_shop::exits::{self, ExitSearch};
use turnpike_shop::orders::orders;
use turnpike_shop::search::{Order, Search, search};
use turnpike_shop::types::Role;

use super::desk::{Desk, Outcome, html};
use super::frame::{Frame, Place};
use super::texts::{operator_texts, texts};
use super::visitor::{Customer, Operator};
use crate::reference::{Chapter, Ids, Operation, Part, Reference};

#[derive(Template)]
#[template(path = "reference.html")]
struct ReferencePage<'r> {
    frame: Frame,
    public_url: &'r str,
    lead: &'static str,
    /// The document that it is made of.
    document: &'static str,
    chapters: Vec<Shelf<'r>>,
    parts: &'r [Part],
}

struct Shelf<'r> {
    title: &'static str,
    operations: Vec<Entry<'r>>,
}

/// An operation with its examples.
struct Entry<'r> {
    about: &'r Operation,
    curl: String,
    python: String,
    javascript: String,
}

impl<'r> Shelf<'r> {
    fn of(chapter: &'r Chapter, base: &str, ids: &Ids) -> Self {
        let entry = |about: &'r Operation| Entry {
            curl: about.sample.curl(base, ids),
            python: about.sample.python(base, ids),
            javascript: about.sample.javascript(base, ids),
            about,
        };
        Self {
            title: chapter.title,
            operations: chapter.operations.iter().map(entry).collect(),
        }
    }
}

/// `GET /reference`
pub(crate) async fn show(customer: Customer, desk: Desk) -> Outcome {
    let shop = &desk.app.shop;
    let mut ids = Ids::default();
    ids.add("email", customer.session().email.clone());
    let newest = Search::first(Order::Newest, 1);
    let (found, _) = search(shop, customer.account(), newest).await?;
    let (on_sale, newest) = (plans(shop).await?, found.first());
    if let Some(one) = newest {
        ids.add("subscriptionId", one.id.to_string());
    }
    // What renews it is what it can be bought again by.
    let fits = |plan: &&turnpike_shop::catalogue::PlanOnSale| {
        newest.is_none_or(|one| plan.network.code == one.network_code && plan.connection_type == one.connection_type)
    };
    if let Some(plan) = on_sale.plans.iter().find(fits).or(on_sale.plans.first()) {
        ids.add("planId", plan.id.to_string());
    }
    let elsewhere = on_sale
        .plans
        .iter()
        .find(|plan| newest.is_none_or(|one| plan.network.code != one.network_code));
    if let Some(plan) = elsewhere {
        ids.add("targetNetwork", plan.network.id.to_string());
    }
    shown(&desk, &desk.app.reference, Place::Reference, &ids).await
}

/// `GET /operator/reference`
pub(crate) async fn operators(_: Operator, desk: Desk) -> Outcome {
    let shop = &desk.app.shop;
    let mut ids = Ids::default();
    let customers = AccountSearch {
        text: String::new(),
        role: Some(Role::Customer),
        status: None,
        after: None,
        limit: 1,
    };
    if let Some(account) = accounts(shop, customers).await?.0.first() {
        ids.add("accountId", account.id.to_string());
    }
    if let Some(order) = orders(shop, None, None, 1).await?.0.first() {
        ids.add("orderId", order.id.to_string());
    }
    let first = ExitSearch {
        limit: 1,
        ..ExitSearch::default()
    };
    if let Some(exit) = exits::list(shop, first).await?.0.first() {
        ids.add("exitId", exit.id.to_string());
        ids.add("network", exit.network_code.clone());
    }
    shown(&desk, &desk.app.operators_reference, Place::OperatorsReference, &ids).await
}

async fn shown(desk: &Desk, reference: &Reference, place: Place, ids: &Ids) -> Outcome {
    let base = desk.app.config.public_url.as_str();
    let (lead, document) = match place {
        Place::OperatorsReference => (operator_texts().reference_lead, "/api/admin/openapi.json"),
        _ => (texts().reference_lead, "/openapi.json"),
    };
    let page = ReferencePage {
        frame: desk.frame(place, texts().reference).await?,
        public_url: base,
        lead,
        document,
        chapters: reference
            .chapters
            .iter()
            .map(|chapter| Shelf::of(chapter, base, ids))
            .collect(),
        parts: &reference.parts,
    };
    Ok(html(StatusCode::OK, &page))
}
