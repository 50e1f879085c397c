//! The pages: what customers and operators see in a browser.
//!
//! They call the same verbs of the shop as the API does; no rule is written twice. Every action is a form that works without
//! JavaScript; htmx only saves loading a whole page where a part of it changes.
//!
//! | step | module |
//! | --- | --- |
//! | the request, its form, its session, other sites' forms refused | `desk`, `form`, `cookies` |
//! | who may see a page or send its form | `visitor` |
//! | what stands around a page, and every word that is said | `frame`, `texts` |
//! | what went wrong, as a page | `trouble` |
//! | style sheet and scripts | `assets` |
//! | the pages themselves | one file for each subject |
//! | the operators' pages | `operator` |

mod account;
mod assets;
mod auto_renewal;
mod chart;
mod connection_test;
mod cookies;
mod desk;
mod entry;
mod form;
mod found;
mod frame;
mod keys;
mod links;
mod notices;
mod operator;
mod overview;
mod plans;
mod profile;
mod reference;
mod renewal;
mod second_factor;
mod sizes;
mod snippets;
mod statement;
mod subscription;
mod subscriptions;
pub(crate) mod texts;
mod trouble;
mod visitor;
mod when;

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request};
use axum::response::Response;
use axum::routing::any;
use axum::{Extension, Router};

use self::desk::{action, action_on, form, large_form, page};
use crate::app::App;
use crate::error::settle;
use crate::visit::Visit;

pub(crate) use self::trouble::{plain as trouble, wants_page};

/// A catalogue as a form carries it, in bytes: thousands of exits, though a form's encoding triples what is no letter.
const LARGEST_CATALOGUE: usize = 4 * 1024 * 1024;

/// The pages' part of the map of paths.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/assets/{name}", any(asset))
        .route("/sign-in", form(entry::sign_in_form, entry::sign_in))
        .route("/sign-in/code", form(entry::code_form, entry::code))
        .route("/sign-out", action(entry::sign_out))
        .route("/sign-up", form(entry::sign_up_form, entry::sign_up))
        .route("/setup/{token}", form(entry::setup_form, entry::setup))
        .route("/confirm", form(entry::confirm_form, entry::confirm))
        .route("/overview", page(overview::show))
        .route("/plans", page(plans::list))
        .route("/plans/{plan}", form(plans::order, plans::buy))
        .route("/subscriptions", page(subscriptions::list))
        .route(
            "/subscriptions/url",
            action_on("/subscriptions", subscriptions::renew_url),
        )
        .route("/subscriptions/{subscription}", page(subscription::show))
        .route("/subscriptions/{subscription}/note", action(subscription::note))
        .route("/subscriptions/{subscription}/rotate", action(subscription::rotate))
        .route("/subscriptions/{subscription}/test", action(connection_test::act))
        .route("/subscriptions/{subscription}/auto-renew", action(auto_renewal::set))
        .route("/subscriptions/{subscription}/policy", action(subscription::policy))
        .route("/subscriptions/{subscription}/network", action(subscription::network))
        .route(
            "/subscriptions/{subscription}/credentials",
            action_on("/subscriptions/{subscription}", subscription::credentials),
        )
        .route(
            "/subscriptions/{subscription}/url",
            action_on("/subscriptions/{subscription}", subscription::renew_url),
        )
        .route(
            "/subscriptions/{subscription}/picture/{protocol}",
            page(subscription::picture),
        )
        .route("/subscriptions/{subscription}/links", form(links::show, links::create))
        .route(
            "/subscriptions/{subscription}/links/{link}/renew",
            action_on("/subscriptions/{subscription}/links", links::renew),
        )
        .route(
            "/subscriptions/{subscription}/links/{link}/revoke",
            action_on("/subscriptions/{subscription}/links", links::revoke),
        )
        .route("/subscriptions/{subscription}/sources", action(links::set_sources))
        .route("/subscriptions/{subscription}/renew", form(renewal::form, renewal::act))
        .route("/statement", page(statement::show))
        .route("/statement.csv", page(statement::file))
        .route("/keys", form(keys::list, keys::create))
        .route("/keys/{key}/revoke", action_on("/keys", keys::revoke))
        .route("/reference", page(reference::show))
        .route("/operator/reference", page(reference::operators))
        .route("/notices", form(notices::show, notices::save))
        .route("/notices/webhooks", action(notices::create))
        .route("/notices/webhooks/{webhook}", page(notices::webhook))
        .route("/notices/webhooks/{webhook}/test", action(notices::test))
        .route("/notices/webhooks/{webhook}/enable", action(notices::enable))
        .route(
            "/notices/webhooks/{webhook}/delete",
            action_on("/notices/webhooks/{webhook}", notices::delete),
        )
        .route("/notices/deliveries/{delivery}/redeliver", action(notices::redeliver))
        .route("/account", page(account::show))
        .route("/account/password", action(account::change_password))
        .route("/account/sessions/end-others", action(account::end_others))
        .route("/account/sessions/{session}/end", action(account::end))
        .route(
            "/account/second-factor",
            form(second_factor::show, second_factor::enable),
        )
        .route("/account/second-factor/off", action(second_factor::disable))
        .route("/operator", page(operator::shop))
        .route("/operator/accounts", page(operator::accounts))
        .route("/operator/accounts/{account}", page(operator::account))
        .route(
            "/operator/accounts/{account}/money",
            form(operator::money_form, operator::move_money),
        )
        .route(
            "/operator/accounts/{account}/status",
            form(operator::status_form, operator::set_status),
        )
        .route(
            "/operator/accounts/{account}/keys/{key}/trial",
            action_on("/operator/accounts/{account}", operator::permit_trial),
        )
        .route(
            "/operator/accounts/{account}/view",
            action_on("/operator/accounts/{account}", operator::view),
        )
        .route("/operator/view/end", action(operator::end_view))
        .route("/operator/orders", page(operator::orders))
        .route("/operator/orders/{order}", page(operator::order))
        .route(
            "/operator/orders/{order}/refund",
            form(operator::refund_form, operator::refund),
        )
        .route("/operator/exits", page(operator::exits))
        .route("/operator/exits/{exit}", page(operator::exit))
        .route("/operator/exits/{exit}/rotate", action(operator::rotate))
        .route("/operator/exits/{exit}/test", action(operator::test))
        .route(
            "/operator/exits/{exit}/standing",
            form(operator::standing_form, operator::set_standing),
        )
        .route("/operator/networks/{network}", page(operator::network))
        .route(
            "/operator/networks/{network}/standing",
            form(operator::network_standing_form, operator::set_network_standing),
        )
        .route("/operator/catalogue", page(operator::catalogue))
        .route("/operator/catalogue/file", page(operator::catalogue_file))
        .route(
            "/operator/catalogue/import",
            large_form(LARGEST_CATALOGUE, operator::import_form, operator::import),
        )
        .route(
            "/operator/catalogue/plan",
            form(operator::plan_form, operator::save_plan),
        )
        .route("/operator/catalogue/plan/retire", action(operator::retire_plan))
        .route(
            "/operator/catalogue/coupon",
            form(operator::coupon_form, operator::save_coupon),
        )
        .route("/operator/catalogue/coupon/retire", action(operator::retire_coupon))
        .route("/operator/trials", page(operator::trials))
        .route("/operator/gateways", page(operator::gateways))
        .route("/operator/audit", page(operator::audit))
        .route("/.well-known/change-password", page(account::well_known))
}

/// Where browsers begin.
pub(crate) fn to_overview() -> Response {
    desk::see_other("/overview")
}

async fn asset(
    Extension(visit): Extension<Arc<Visit>>,
    name: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    settle(assets::file(name, request.headers()), &visit)
}
