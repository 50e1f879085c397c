//! `/api/admin/exits`: every way out; drained, disabled, opened, rotated and tested.

use http::Method;
use serde::{Deserialize, Serialize};
use turnpike_shop::catalogue::{ExitSpec, ExitWay, RotateMethod, without_credentials};
use turnpike_shop::exits::{self, CheckState, ExitCheck, ExitSearch, ExitView, Holder, PastRotation, WholeExit};
use turnpike_shop::types::{ExitId, ExitStanding, Health};
use turnpike_shop::{Refusal, rotation};
use utoipa::ToSchema;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};

use super::actor;
use crate::api::v1::Endpoint;
use crate::api::{Context, wire};
use crate::error::ApiError;
use crate::principal::{Operator, OperatorReader};
use crate::response::True;

/// Exits, by network and name, a page at a time.
#[derive(Deserialize, ToSchema)]
pub(crate) struct FindExits {
    /// Anywhere in the network's code, the name, the gateway or the present address.
    #[serde(default, deserialize_with = "wire::search")]
    #[schema(max_length = 254, required = false)]
    search: String,
    /// Those of this health only.
    #[serde(default, deserialize_with = "wire::optional_word")]
    #[schema(schema_with = health_schema, required = false)]
    health: Option<Health>,
    /// Those of this standing only.
    #[serde(default, deserialize_with = "wire::optional_word")]
    #[schema(schema_with = standing_schema, required = false)]
    standing: Option<ExitStanding>,
    /// At most so many; 50 where nothing is said.
    #[serde(default, deserialize_with = "wire::limit")]
    #[schema(minimum = 1, maximum = 100, required = false)]
    limit: Option<i64>,
    /// The `nextCursor` of the page before.
    #[serde(default, deserialize_with = "cursor")]
    #[schema(schema_with = cursor_schema, required = false)]
    cursor: Option<(String, String)>,
}

fn health_schema() -> RefOr<Schema> {
    wire::words_schema([Health::Unknown, Health::Up, Health::Down].map(Health::as_str))
}

fn standing_schema() -> RefOr<Schema> {
    wire::words_schema([ExitStanding::Open, ExitStanding::Draining, ExitStanding::Disabled].map(ExitStanding::as_str))
}

/// A network's code and an exit's name; neither has a slash.
fn cursor<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<(String, String)>, D::Error> {
    let text = String::deserialize(deserializer)?;
    match text.split_once('/') {
        Some((code, name)) if wire::is_code(code) && wire::is_code(name) => {
            Ok(Some((code.to_owned(), name.to_owned())))
        }
        _ => Err(serde::de::Error::custom(wire::CURSOR_RULE)),
    }
}

fn cursor_schema() -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some("^[A-Za-z0-9._-]{1,64}/[A-Za-z0-9._-]{1,64}$"))
        .examples(["NL-AMS/modem-1"])
        .into()
}

/// Exits.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ExitsAnswer {
    ok: True,
    exits: Vec<ExitItem>,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = cursor_schema, required = false)]
    next_cursor: Option<String>,
}

/// An exit.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ExitItem {
    #[schema(schema_with = wire::id_schema)]
    exit_id: String,
    #[schema(example = "NL-AMS")]
    network: String,
    /// Its name in the catalogue.
    #[schema(example = "modem-1")]
    name: String,
    gateway: String,
    /// Whether it stands in the catalogue.
    is_in_catalogue: bool,
    /// `open`, `draining` or `disabled`.
    #[schema(example = "open")]
    standing: String,
    /// `up`, `down` or `unknown`.
    #[schema(example = "up")]
    health: String,
    /// Why it is down.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    detail: Option<String>,
    /// Since when its health is so, in Unix milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    health_since: Option<i64>,
    /// Its present address, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "198.51.100.7")]
    address: Option<String>,
    /// Its last rotation, in Unix milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    rotated_at: Option<i64>,
    /// Whether it can get another address.
    can_rotate: bool,
    /// Whether it is sold in slots.
    is_shared: bool,
    /// Subscriptions that have it.
    taken: i64,
    /// How many can have it.
    capacity: i64,
    /// Connections that are open through it, as its gateway has told last.
    tunnels: i64,
    /// What went through it within 24 hours, both ways, in bytes.
    moved_bytes: i64,
}

impl From<ExitView> for ExitItem {
    fn from(exit: ExitView) -> Self {
        Self {
            exit_id: exit.id.into(),
            network: exit.network_code,
            name: exit.name,
            gateway: exit.gateway,
            is_in_catalogue: exit.is_in_catalogue,
            standing: exit.standing.to_string(),
            health: exit.health.to_string(),
            detail: exit.detail,
            health_since: exit.health_since.map(|at| at.0),
            address: exit.address.map(|address| address.to_string()),
            rotated_at: exit.rotated_at.map(|at| at.0),
            can_rotate: exit.can_rotate,
            is_shared: exit.is_shared,
            taken: exit.taken,
            capacity: exit.capacity,
            tunnels: exit.tunnels,
            moved_bytes: exit.moved,
        }
    }
}

impl Endpoint for FindExits {
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/api/admin/exits";
    const NAME: &'static str = "adminExits";
    type Caller = OperatorReader;
    type Answer = ExitsAnswer;

    async fn call(self, _: OperatorReader, context: &Context<'_>) -> Result<ExitsAnswer, ApiError> {
        let search = ExitSearch {
            text: self.search,
            health: self.health,
            standing: self.standing,
            after: self.cursor,
            limit: self.limit.unwrap_or(wire::USUAL_LIMIT),
        };
        let (found, has_more) = exits::list(&context.app.shop, search).await?;
        let last = found.last().filter(|_| has_more);
        Ok(ExitsAnswer {
            ok: True,
            next_cursor: last.map(|last| format!("{}/{}", last.network_code, last.name)),
            exits: found.into_iter().map(ExitItem::from).collect(),
        })
    }
}

/// One exit: how it leaves, who has it, its last rotations and its last test.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ShowExit {
    #[serde(deserialize_with = "wire::id")]
    #[schema(schema_with = wire::id_schema)]
    exit_id: ExitId,
}

/// An exit with what has come of it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ExitAnswer {
    ok: True,
    exit: ExitItem,
    /// How it leaves: `addresses`, `prefix`, `interface` or `upstream`.
    #[schema(example = "upstream")]
    way: String,
    /// By which; of an upstream only scheme, host and port.
    #[schema(example = "socks5://192.0.2.1:1080")]
    way_detail: String,
    /// How it gets another address: `pool`, `command`, `http`, or `nothing`.
    #[schema(example = "http")]
    rotates_by: String,
    /// How long tunnels keep their address after a rotation.
    drain_seconds: u32,
    /// Who has it, by end, at most 50.
    holders: Vec<HolderItem>,
    /// Its last rotations, newest first, at most 50.
    rotations: Vec<PastRotationItem>,
    /// Its last test.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    test: Option<TestItem>,
}

/// A subscription that has the exit, or a slot of it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HolderItem {
    #[schema(schema_with = wire::id_schema)]
    subscription_id: String,
    #[schema(schema_with = wire::id_schema)]
    account_id: String,
    email: String,
    port: i64,
    /// In Unix milliseconds.
    end_at: i64,
}

impl From<Holder> for HolderItem {
    fn from(holder: Holder) -> Self {
        Self {
            subscription_id: holder.subscription.into(),
            account_id: holder.account.into(),
            email: holder.email,
            port: holder.port,
            end_at: holder.ends_at.0,
        }
    }
}

/// A rotation that has ended, or is under way.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PastRotationItem {
    /// In Unix milliseconds.
    requested_at: i64,
    /// `request` (the customer's), `policy` or `operator`.
    #[schema(example = "policy")]
    reason: String,
    /// `queued`, `running`, `done` or `failed`.
    #[schema(example = "done")]
    state: String,
    /// How long it took; absent while it is under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    took_ms: Option<i64>,
    /// The address that it led to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    address: Option<String>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    error: Option<String>,
}

impl From<PastRotation> for PastRotationItem {
    fn from(rotation: PastRotation) -> Self {
        Self {
            requested_at: rotation.requested_at.0,
            reason: rotation.reason,
            state: rotation.state,
            took_ms: rotation.took.map(|took| took.0),
            address: rotation.address.map(|address| address.to_string()),
            error: rotation.error,
        }
    }
}

/// A test of an exit.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TestItem {
    /// `under_way`, `works`, `fails`, or `no_answer`: its gateway has not answered.
    #[schema(example = "works")]
    state: String,
    /// In Unix milliseconds.
    requested_at: i64,
    /// How long the request through the exit took.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    took_ms: Option<i64>,
    /// The address that was seen from outside.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    address: Option<String>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    detail: Option<String>,
}

impl From<ExitCheck> for TestItem {
    fn from(check: ExitCheck) -> Self {
        let state = match check.state {
            CheckState::UnderWay => "under_way",
            CheckState::Works => "works",
            CheckState::Fails => "fails",
            CheckState::NoAnswer => "no_answer",
        };
        Self {
            state: state.to_owned(),
            requested_at: check.requested_at.0,
            took_ms: check.took.map(|took| took.0),
            address: check.address.map(|address| address.to_string()),
            detail: check.detail,
        }
    }
}

/// How an exit leaves, without credentials.
fn way(spec: &ExitSpec) -> (&'static str, String) {
    match &spec.way {
        ExitWay::Addresses(pool) => {
            let pool: Vec<String> = pool.iter().map(ToString::to_string).collect();
            ("addresses", pool.join(", "))
        }
        ExitWay::Prefix(prefix) => ("prefix", prefix.to_string()),
        ExitWay::Interface(device) => ("interface", device.clone()),
        ExitWay::Upstream(url) => ("upstream", without_credentials(url)),
    }
}

fn rotates_by(spec: &ExitSpec) -> &'static str {
    match &spec.rotate {
        Some(RotateMethod::Command(_)) => "command",
        Some(RotateMethod::Http(_)) => "http",
        None if spec.can_rotate() => "pool",
        None => "nothing",
    }
}

impl From<WholeExit> for ExitAnswer {
    fn from(whole: WholeExit) -> Self {
        let (way, way_detail) = way(&whole.spec);
        Self {
            ok: True,
            way: way.to_owned(),
            way_detail,
            rotates_by: rotates_by(&whole.spec).to_owned(),
            drain_seconds: whole.spec.drain_seconds,
            exit: whole.exit.into(),
            holders: whole.holders.into_iter().map(HolderItem::from).collect(),
            rotations: whole.rotations.into_iter().map(PastRotationItem::from).collect(),
            test: whole.check.map(TestItem::from),
        }
    }
}

impl Endpoint for ShowExit {
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/api/admin/exits/{exitId}";
    const NAME: &'static str = "adminExit";
    const ERRORS: &'static [u16] = &[404];
    type Caller = OperatorReader;
    type Answer = ExitAnswer;

    async fn call(self, _: OperatorReader, context: &Context<'_>) -> Result<ExitAnswer, ApiError> {
        Ok(exits::show(&context.app.shop, &self.exit_id).await?.into())
    }
}

/// Opens, drains or disables an exit. Draining: it is not sold any more, and whoever has it keeps it. Disabled: the ports of whoever
/// has it close within a second.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SetStanding {
    #[serde(deserialize_with = "wire::id")]
    #[schema(schema_with = wire::id_schema)]
    exit_id: ExitId,
    #[serde(deserialize_with = "wire::word")]
    #[schema(schema_with = standing_schema)]
    standing: ExitStanding,
}

impl Endpoint for SetStanding {
    const METHOD: Method = Method::PUT;
    const PATH: &'static str = "/api/admin/exits/{exitId}/standing";
    const NAME: &'static str = "adminSetStanding";
    const ERRORS: &'static [u16] = &[404];
    type Caller = Operator;
    type Answer = ExitAnswer;

    async fn call(self, operator: Operator, context: &Context<'_>) -> Result<ExitAnswer, ApiError> {
        let (shop, actor) = (&context.app.shop, actor(&operator, context).await?);
        let changed = exits::set_standing(shop, &actor, &self.exit_id, self.standing).await?;
        context
            .wait_applied([(changed.gateway.as_str(), changed.revision)])
            .await;
        Ok(exits::show(shop, &self.exit_id).await?.into())
    }
}

/// Opens, drains or disables all exits of a network, at once or not at all, as `adminSetStanding` does one.
#[derive(Deserialize, ToSchema)]
pub(crate) struct SetNetworkStanding {
    /// The network's code.
    #[serde(deserialize_with = "wire::code")]
    #[schema(pattern = "^[A-Za-z0-9._-]{1,64}$", example = "NL-AMS")]
    network: String,
    #[serde(deserialize_with = "wire::word")]
    #[schema(schema_with = standing_schema)]
    standing: ExitStanding,
}

/// How a network's exits stand, those that have left the catalogue included.
#[derive(Serialize, ToSchema)]
pub(crate) struct NetworkStandingAnswer {
    ok: True,
    #[schema(example = "NL-AMS")]
    network: String,
    /// How many exits stood otherwise before.
    changed: usize,
    /// Exits that are open now.
    open: i64,
    /// Exits that drain now.
    draining: i64,
    /// Exits that are disabled now.
    disabled: i64,
}

impl Endpoint for SetNetworkStanding {
    const METHOD: Method = Method::PUT;
    const PATH: &'static str = "/api/admin/networks/{network}/standing";
    const NAME: &'static str = "adminSetNetworkStanding";
    const ERRORS: &'static [u16] = &[404];
    type Caller = Operator;
    type Answer = NetworkStandingAnswer;

    async fn call(self, operator: Operator, context: &Context<'_>) -> Result<NetworkStandingAnswer, ApiError> {
        let (shop, actor) = (&context.app.shop, actor(&operator, context).await?);
        let changed = exits::set_network_standing(shop, &actor, &self.network, self.standing).await?;
        let told = changed.gateways.iter();
        context
            .wait_applied(told.map(|one| (one.gateway.as_str(), one.revision)))
            .await;
        let now = exits::network(shop, &self.network).await?;
        Ok(NetworkStandingAnswer {
            ok: True,
            network: now.code,
            changed: changed.exits,
            open: now.open,
            draining: now.draining,
            disabled: now.disabled,
        })
    }
}

/// Gives an exit a new address now, and answers when it has it.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RotateExit {
    #[serde(deserialize_with = "wire::id")]
    #[schema(schema_with = wire::id_schema)]
    exit_id: ExitId,
}

/// What a rotation came to.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RotatedAnswer {
    ok: True,
    /// The address now, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "198.51.100.7")]
    address: Option<String>,
    /// The address before, where it was known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    previous_address: Option<String>,
    took_ms: i64,
    /// When it may be rotated again, in Unix milliseconds.
    next_allowed_at: i64,
}

impl Endpoint for RotateExit {
    const METHOD: Method = Method::POST;
    const PATH: &'static str = "/api/admin/exits/{exitId}/rotate";
    const NAME: &'static str = "adminRotateExit";
    const ERRORS: &'static [u16] = &[404, 409, 502];
    const WAITS_FOR_EXIT: bool = true;
    type Caller = Operator;
    type Answer = RotatedAnswer;

    async fn call(self, operator: Operator, context: &Context<'_>) -> Result<RotatedAnswer, ApiError> {
        let (shop, actor) = (&context.app.shop, actor(&operator, context).await?);
        let queued = rotation::request_by_operator(shop, &actor, &self.exit_id).await?;
        let outcome = rotation::wait(shop, &queued).await?;
        Ok(RotatedAnswer {
            ok: True,
            address: outcome.address.map(|address| address.to_string()),
            previous_address: outcome.previous.map(|address| address.to_string()),
            took_ms: outcome.took.0,
            next_allowed_at: outcome.next_allowed_at.0,
        })
    }
}

/// Tests an exit now by a request through it, and answers when its gateway has told what came of it.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TestExit {
    #[serde(deserialize_with = "wire::id")]
    #[schema(schema_with = wire::id_schema)]
    exit_id: ExitId,
}

/// What a test came to.
#[derive(Serialize, ToSchema)]
pub(crate) struct TestAnswer {
    ok: True,
    test: TestItem,
}

impl Endpoint for TestExit {
    const METHOD: Method = Method::POST;
    const PATH: &'static str = "/api/admin/exits/{exitId}/test";
    const NAME: &'static str = "adminTestExit";
    const ERRORS: &'static [u16] = &[404];
    const WAITS_FOR_EXIT: bool = true;
    type Caller = Operator;
    type Answer = TestAnswer;

    async fn call(self, operator: Operator, context: &Context<'_>) -> Result<TestAnswer, ApiError> {
        let (shop, actor) = (&context.app.shop, actor(&operator, context).await?);
        let number = exits::ask_check(shop, &actor, &self.exit_id).await?;
        let check = exits::wait_check(shop, &self.exit_id, number).await?;
        let check = check.ok_or(Refusal::UnknownExit)?;
        Ok(TestAnswer {
            ok: True,
            test: check.into(),
        })
    }
}
