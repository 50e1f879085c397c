//! The customer API: one path, an operation named by `op`.
//!
//! One file per operation. Each is the type that arrives, and says in its [`Operation`] implementation how it is sent, whether
//! it moves money, who may call it and what leaves.

pub(crate) mod admin;
pub(crate) mod allowed_addresses;
pub(crate) mod available_networks;
pub(crate) mod change_credentials;
pub(crate) mod create_rotate_link;
mod limits;
pub(crate) mod link_item;
pub(crate) mod plans;
pub(crate) mod protocols;
pub(crate) mod purchase;
pub(crate) mod refusals;
pub(crate) mod renew;
pub(crate) mod renew_rotate_link;
pub(crate) mod renew_subscription_url;
pub(crate) mod renewal_plans;
pub(crate) mod revoke_rotate_link;
pub(crate) mod rotate_links;
pub(crate) mod set_allowed_addresses;
pub(crate) mod set_rotation_policy;
pub(crate) mod subscription;
pub(crate) mod subscriptions;
pub(crate) mod switch_network;
pub(crate) mod trial;
pub(crate) mod v1;
pub(crate) mod wire;

use std::future::Future;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{Query, Request, State};
use axum::response::Response;
use http::request::Parts;
use http::{HeaderMap, Method, Uri};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use turnpike_shop::idempotency::IdempotencyKey;
use turnpike_shop::routes;
use turnpike_shop::subscription::Subscription;
use utoipa::ToSchema;

use self::subscription::SubscriptionItem;
use crate::app::{App, note};
use crate::auth;
use crate::error::{ApiError, row, settle};
use crate::principal::{Caller, Principal};
use crate::response::Answer;
use crate::visit::{Money, Visit};
use crate::{fields, json};

/// How an operation is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    /// `GET`, with its fields in the query.
    Get,
    /// `POST`, with its fields in a JSON object.
    Post,
}

/// What an operation is: the type that implements this is its request.
pub(crate) trait Operation: DeserializeOwned + ToSchema + Send {
    /// How it is sent.
    const VERB: Verb;
    /// Whether it can move money: its errors then say `charged`, and `Idempotency-Key` counts.
    const MOVES_MONEY: bool;
    /// Who may call it.
    type Caller: Caller;
    /// What it answers.
    type Answer: Answer + ToSchema;

    /// Does it.
    fn call(
        self,
        caller: Self::Caller,
        context: &Context<'_>,
    ) -> impl Future<Output = Result<Self::Answer, ApiError>> + Send;
}

/// What an operation has at hand.
pub(crate) struct Context<'a> {
    app: &'a App,
    visit: &'a Visit,
    idempotency: Option<IdempotencyKey>,
}

impl Context<'_> {
    /// A subscription as answers show it.
    fn shown(&self, subscription: Subscription) -> SubscriptionItem {
        SubscriptionItem::of(subscription, &self.app.config.public_url)
    }

    /// Waits until the gateways have what was just committed, so that a port is open before its customer reads about it.
    /// Bounded: a gateway that is away must not hold back the answer to something that has been paid.
    async fn wait_applied<'r>(&self, revisions: impl IntoIterator<Item = (&'r str, i64)>) {
        wait_applied(self.app, self.visit, revisions).await;
    }
}

/// As [`Context::wait_applied`], for the pages too.
pub(crate) async fn wait_applied<'r>(app: &App, visit: &Visit, revisions: impl IntoIterator<Item = (&'r str, i64)>) {
    let bound = app.config.purchase_port_wait;
    let deadline = tokio::time::Instant::now() + bound;
    for (gateway, revision) in newest_by_gateway(revisions) {
        let left = deadline.saturating_duration_since(tokio::time::Instant::now());
        match routes::wait_applied(&app.shop, gateway, revision, left).await {
            Ok(true) => {}
            Ok(false) => tracing::warn!(
                request_id = visit.request_id,
                gateway,
                revision,
                "answering before the gateway has applied the change"
            ),
            Err(error) => {
                // The change is committed; only the waiting failed.
                tracing::warn!(request_id = visit.request_id, %error, "could not wait for the gateway");
                return;
            }
        }
    }
}

fn newest_by_gateway<'r>(revisions: impl IntoIterator<Item = (&'r str, i64)>) -> Vec<(&'r str, i64)> {
    let mut newest: Vec<(&str, i64)> = Vec::new();
    for (gateway, revision) in revisions {
        match newest.iter_mut().find(|(name, _)| *name == gateway) {
            Some((_, known)) => *known = revision.max(*known),
            None => newest.push((gateway, revision)),
        }
    }
    newest
}

/// Every operation: those of the contract, and what has been added to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    Plans,
    Subscriptions,
    RenewalPlans,
    AvailableNetworks,
    Purchase,
    Renew,
    ChangeCredentials,
    SetRotationPolicy,
    SwitchNetwork,
    Trial,
    RotateLinks,
    CreateRotateLink,
    RenewRotateLink,
    RevokeRotateLink,
    AllowedAddresses,
    SetAllowedAddresses,
    RenewSubscriptionUrl,
    Refusals,
}

/// Evaluates an expression with `$operation` as the type of an [`Op`]. The one place where the two are joined.
macro_rules! with_operation {
    ($op:expr, $operation:ident => $body:expr) => {
        match $op {
            Op::Plans => {
                type $operation = $crate::api::plans::Plans;
                $body
            }
            Op::Subscriptions => {
                type $operation = $crate::api::subscriptions::Subscriptions;
                $body
            }
            Op::RenewalPlans => {
                type $operation = $crate::api::renewal_plans::RenewalPlans;
                $body
            }
            Op::AvailableNetworks => {
                type $operation = $crate::api::available_networks::AvailableNetworks;
                $body
            }
            Op::Purchase => {
                type $operation = $crate::api::purchase::Purchase;
                $body
            }
            Op::Renew => {
                type $operation = $crate::api::renew::Renew;
                $body
            }
            Op::ChangeCredentials => {
                type $operation = $crate::api::change_credentials::ChangeCredentials;
                $body
            }
            Op::SetRotationPolicy => {
                type $operation = $crate::api::set_rotation_policy::SetRotationPolicy;
                $body
            }
            Op::SwitchNetwork => {
                type $operation = $crate::api::switch_network::SwitchNetwork;
                $body
            }
            Op::Trial => {
                type $operation = $crate::api::trial::Trial;
                $body
            }
            Op::RotateLinks => {
                type $operation = $crate::api::rotate_links::RotateLinks;
                $body
            }
            Op::CreateRotateLink => {
                type $operation = $crate::api::create_rotate_link::CreateRotateLink;
                $body
            }
            Op::RenewRotateLink => {
                type $operation = $crate::api::renew_rotate_link::RenewRotateLink;
                $body
            }
            Op::RevokeRotateLink => {
                type $operation = $crate::api::revoke_rotate_link::RevokeRotateLink;
                $body
            }
            Op::AllowedAddresses => {
                type $operation = $crate::api::allowed_addresses::AllowedAddresses;
                $body
            }
            Op::SetAllowedAddresses => {
                type $operation = $crate::api::set_allowed_addresses::SetAllowedAddresses;
                $body
            }
            Op::RenewSubscriptionUrl => {
                type $operation = $crate::api::renew_subscription_url::RenewSubscriptionUrl;
                $body
            }
            Op::Refusals => {
                type $operation = $crate::api::refusals::Refusals;
                $body
            }
        }
    };
}
pub(crate) use with_operation;

impl Op {
    pub(crate) const ALL: [Self; 18] = [
        Self::Plans,
        Self::Subscriptions,
        Self::RenewalPlans,
        Self::AvailableNetworks,
        Self::Purchase,
        Self::Renew,
        Self::ChangeCredentials,
        Self::SetRotationPolicy,
        Self::SwitchNetwork,
        Self::Trial,
        Self::RotateLinks,
        Self::CreateRotateLink,
        Self::RenewRotateLink,
        Self::RevokeRotateLink,
        Self::AllowedAddresses,
        Self::SetAllowedAddresses,
        Self::RenewSubscriptionUrl,
        Self::Refusals,
    ];

    /// Its name in `op`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plans => "plans",
            Self::Subscriptions => "subscriptions",
            Self::RenewalPlans => "renewal-plans",
            Self::AvailableNetworks => "available-networks",
            Self::Purchase => "purchase",
            Self::Renew => "renew",
            Self::ChangeCredentials => "change-credentials",
            Self::SetRotationPolicy => "set-rotation-policy",
            Self::SwitchNetwork => "switch-network",
            Self::Trial => "trial",
            Self::RotateLinks => "rotate-links",
            Self::CreateRotateLink => "create-rotate-link",
            Self::RenewRotateLink => "renew-rotate-link",
            Self::RevokeRotateLink => "revoke-rotate-link",
            Self::AllowedAddresses => "allowed-addresses",
            Self::SetAllowedAddresses => "set-allowed-addresses",
            Self::RenewSubscriptionUrl => "renew-subscription-url",
            Self::Refusals => "refusals",
        }
    }

    /// How it is sent.
    pub(crate) fn verb(self) -> Verb {
        with_operation!(self, O => O::VERB)
    }

    fn moves_money(self) -> bool {
        with_operation!(self, O => O::MOVES_MONEY)
    }

    /// The operation that `op` names among those sent by `verb`.
    fn find(verb: Verb, op: Option<&Value>) -> Result<Self, ApiError> {
        let sent_so = Self::ALL.into_iter().filter(|known| known.verb() == verb);
        let found = op
            .and_then(Value::as_str)
            .and_then(|name| sent_so.clone().find(|known| known.name() == name));
        found.ok_or_else(|| {
            let names: Vec<_> = sent_so.map(Self::name).collect();
            let method = match verb {
                Verb::Get => "GET",
                Verb::Post => "POST",
            };
            ApiError::Operation(format!("by {method}, op is one of {}", names.join(", ")))
        })
    }
}

/// `/api/proxy`
pub(crate) async fn proxy(
    State(app): State<Arc<App>>,
    Extension(visit): Extension<Arc<Visit>>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    let mut body = json::Incoming::new(&head.headers, body);
    let work = handle(&app, &visit, &head, &mut body);
    let outcome = app.in_time(app.config.request_deadline, work).await;
    body.discard().await;
    settle(outcome, &visit)
}

/// The story of a request: limited, known, limited again, understood, permitted, done.
async fn handle(app: &App, visit: &Visit, head: &Parts, body: &mut json::Incoming) -> Result<Response, ApiError> {
    let verb = match head.method {
        Method::GET => Verb::Get,
        Method::POST => Verb::Post,
        _ => return Err(ApiError::Method { allow: "GET, POST" }),
    };
    if verb == Verb::Post {
        visit.notes().money = Money::NotYet;
    }
    app.limit_address(visit)?;
    let principal = auth::authenticate(app, visit, &head.headers).await?;
    note(visit, app.limits.caller.check(&principal.limit_key()))?;
    let members = match verb {
        Verb::Get => query(&head.uri)?,
        Verb::Post => body.object().await?,
    };
    let op = Op::find(verb, members.get("op"))?;
    {
        let mut notes = visit.notes();
        notes.op = Some(op.name());
        notes.money = if op.moves_money() { Money::Moves } else { Money::Never };
    }
    with_operation!(op, O => run::<O>(op, app, visit, &head.headers, &principal, members).await)
}

async fn run<O: Operation>(
    op: Op,
    app: &App,
    visit: &Visit,
    headers: &HeaderMap,
    principal: &Principal,
    members: Map<String, Value>,
) -> Result<Response, ApiError> {
    let caller = O::Caller::admit(principal)?;
    let idempotency = if O::MOVES_MONEY {
        idempotency_key(op, headers, &members)?
    } else {
        None
    };
    let operation: O = fields::request(members)?;
    let context = Context {
        app,
        visit,
        idempotency,
    };
    let answer = operation.call(caller, &context).await;
    if op == Op::Purchase {
        let result = match &answer {
            Ok(_) => "ok",
            Err(error) => row(error).code,
        };
        metrics::counter!("turnpike_purchase_total", "result" => result).increment(1);
    }
    Ok(answer?.into_response())
}

/// The parameters of a query as members of an object.
fn query(uri: &Uri) -> Result<Map<String, Value>, ApiError> {
    let unreadable = |_| ApiError::Operation("the query cannot be read".to_owned());
    let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri).map_err(unreadable)?;
    let mut members = Map::new();
    for (field, value) in pairs {
        if members.contains_key(&field) {
            return Err(ApiError::Field {
                field,
                rule: "it is given twice".to_owned(),
            });
        }
        members.insert(field, Value::String(value));
    }
    Ok(members)
}

fn idempotency_key(
    op: Op,
    headers: &HeaderMap,
    members: &Map<String, Value>,
) -> Result<Option<IdempotencyKey>, ApiError> {
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let key = value
        .to_str()
        .ok()
        .filter(|key| (1..=255).contains(&key.len()) && key.bytes().all(|byte| (0x20..=0x7e).contains(&byte)));
    match (key, values.next()) {
        (Some(key), None) => Ok(Some(IdempotencyKey {
            key: key.to_owned(),
            request_hash: json::hash(op.name(), members),
        })),
        _ => Err(ApiError::IdempotencyKey),
    }
}
