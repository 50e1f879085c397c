//! `/api/v1/…`: what the pages show and do, for programs. A path for each thing, beside the contract's one endpoint. What is below
//! `/api/admin` ([`super::admin`]) is made of the same.
//!
//! One file per subject. Each endpoint is the type that arrives (what its path names, with its query or the members of its body),
//! and says in its [`Endpoint`] implementation by which method and path it comes, who may call it and what leaves.

mod account;
mod auto_renew;
mod described;
mod keys;
mod ledger;
mod note;
mod notices;
mod price;
mod sessions;
mod traffic;
mod webhooks;

use std::future::Future;
use std::sync::{Arc, LazyLock};

use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::any;
use axum::{Extension, Router};
use futures_util::future::BoxFuture;
use http::request::Parts;
use http::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{Context, admin};
use crate::app::{App, note};
use crate::auth;
use crate::error::{ApiError, settle};
use crate::openapi::Schemas;
use crate::principal::{Caller, Principal};
use crate::visit::Visit;
use crate::{fields, json, response};

pub(super) use account::{AccountAnswer, AccountItem, BalanceAnswer};
pub(crate) use described::{WANTS_TOKEN, example, paths};
pub(super) use keys::{KeyAnswer, KeysAnswer};
pub(super) use ledger::{LedgerAnswer, page as ledger_page};

/// An endpoint: the type that implements this is its request.
pub(crate) trait Endpoint: DeserializeOwned + ToSchema + Send + 'static {
    /// By which method it comes: `GET` and `DELETE` with a query, `POST` and `PUT` with a JSON object.
    const METHOD: Method;
    /// Its path, with its parameters in braces. They are fields of the request.
    const PATH: &'static str;
    /// Its name in the log and in the description.
    const NAME: &'static str;
    /// Errors that it can have beside those that every endpoint can.
    const ERRORS: &'static [u16] = &[];
    /// It waits for an exit, so it may take as long as a link that rotates.
    const WAITS_FOR_EXIT: bool = false;
    /// Who may call it.
    type Caller: Caller;
    /// What it answers.
    type Answer: Serialize + ToSchema;

    /// Does it.
    fn call(
        self,
        caller: Self::Caller,
        context: &Context<'_>,
    ) -> impl Future<Output = Result<Self::Answer, ApiError>> + Send;
}

type Run = for<'a> fn(&'a Context<'a>, &'a Principal, Map<String, Value>) -> BoxFuture<'a, Result<Response, ApiError>>;

/// An endpoint without its type.
pub(crate) struct Route {
    method: Method,
    path: &'static str,
    name: &'static str,
    waits_for_exit: bool,
    run: Run,
    describe: fn(&mut Schemas) -> Value,
}

pub(super) fn route<E: Endpoint>() -> Route {
    Route {
        method: E::METHOD,
        path: E::PATH,
        name: E::NAME,
        waits_for_exit: E::WAITS_FOR_EXIT,
        run: boxed::<E>,
        describe: described::endpoint::<E>,
    }
}

/// All that there is at one path.
struct Place {
    path: &'static str,
    routes: Vec<Route>,
    /// The methods, for `Allow`.
    allow: String,
}

/// Every endpoint, in the order in which they are described.
static PLACES: LazyLock<Vec<Place>> = LazyLock::new(|| {
    let mut places: Vec<Place> = Vec::new();
    for route in all().into_iter().chain(admin::all()) {
        match places.iter_mut().find(|place| place.path == route.path) {
            Some(place) => {
                place.allow.push_str(", ");
                place.allow.push_str(route.method.as_str());
                place.routes.push(route);
            }
            None => places.push(Place {
                path: route.path,
                allow: route.method.to_string(),
                routes: vec![route],
            }),
        }
    }
    places
});

fn all() -> Vec<Route> {
    vec![
        route::<account::SeeAccount>(),
        route::<account::SeeBalance>(),
        route::<ledger::SeeLedger>(),
        route::<keys::ListKeys>(),
        route::<keys::CreateKey>(),
        route::<keys::RevokeKey>(),
        route::<sessions::ListSessions>(),
        route::<sessions::EndSession>(),
        route::<traffic::SeeTraffic>(),
        route::<price::PreviewPurchase>(),
        route::<price::PreviewRenewal>(),
        route::<note::SetNote>(),
        route::<auto_renew::SeeAutoRenew>(),
        route::<auto_renew::SetAutoRenew>(),
        route::<notices::SeeNotices>(),
        route::<notices::SetNotices>(),
        route::<webhooks::ListWebhooks>(),
        route::<webhooks::CreateWebhook>(),
        route::<webhooks::DeleteWebhook>(),
        route::<webhooks::TestWebhook>(),
        route::<webhooks::EnableWebhook>(),
        route::<webhooks::ListDeliveries>(),
        route::<webhooks::Redeliver>(),
    ]
}

/// This part of the map of paths.
pub(crate) fn routes() -> Router<Arc<App>> {
    PLACES.iter().fold(Router::new(), |router, place| {
        let serve = move |State(app): State<Arc<App>>, Extension(visit): Extension<Arc<Visit>>, request: Request| {
            serve(place, app, visit, request)
        };
        router.route(place.path, any(serve))
    })
}

async fn serve(place: &'static Place, app: Arc<App>, visit: Arc<Visit>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let mut body = json::Incoming::new(&head.headers, body);
    let route = place.routes.iter().find(|route| route.method == head.method);
    let deadline = match route.is_some_and(|route| route.waits_for_exit) {
        true => app.config.rotation_deadline,
        false => app.config.request_deadline,
    };
    let work = handle(place, route, &app, &visit, &head, &mut body);
    let outcome = app.in_time(deadline, work).await;
    body.discard().await;
    settle(outcome, &visit)
}

/// The story of a request, as at the contract's endpoint: limited, known, limited again, understood, permitted, done.
async fn handle(
    place: &'static Place,
    route: Option<&'static Route>,
    app: &App,
    visit: &Visit,
    head: &Parts,
    body: &mut json::Incoming,
) -> Result<Response, ApiError> {
    let route = route.ok_or(ApiError::Method { allow: &place.allow })?;
    app.limit_address(visit)?;
    let principal = auth::authenticate(app, visit, &head.headers).await?;
    note(visit, app.limits.caller.check(&principal.limit_key()))?;
    let mut members = match has_body(&route.method) {
        true => body.object().await?,
        false => super::query(&head.uri)?,
    };
    for (name, value) in parameters(route.path, head.uri.path()) {
        members.insert(name.to_owned(), Value::String(value.to_owned()));
    }
    visit.notes().op = Some(route.name);
    let context = Context {
        app,
        visit,
        idempotency: None,
    };
    (route.run)(&context, &principal, members).await
}

fn has_body(method: &Method) -> bool {
    *method == Method::POST || *method == Method::PUT
}

/// The parameters' names and, as they came, their values. No value of ours needs an escape, so that one that has some is none.
fn parameters<'p>(template: &'static str, path: &'p str) -> impl Iterator<Item = (&'static str, &'p str)> {
    template
        .split('/')
        .zip(path.split('/'))
        .filter_map(|(part, value)| Some((part.strip_prefix('{')?.strip_suffix('}')?, value)))
}

fn boxed<'a, E: Endpoint>(
    context: &'a Context<'a>,
    principal: &'a Principal,
    members: Map<String, Value>,
) -> BoxFuture<'a, Result<Response, ApiError>> {
    Box::pin(run::<E>(context, principal, members))
}

async fn run<E: Endpoint>(
    context: &Context<'_>,
    principal: &Principal,
    members: Map<String, Value>,
) -> Result<Response, ApiError> {
    let caller = E::Caller::admit(principal)?;
    let endpoint: E = fields::request(members)?;
    let answer = endpoint.call(caller, context).await?;
    Ok(response::json(StatusCode::OK, &answer))
}
