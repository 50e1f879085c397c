//! `/api/admin/overview`, `/api/admin/networks` and `/api/admin/gateways`: how the shop stands.

use http::Method;
use serde::{Deserialize, Serialize};
use turnpike_shop::overview::{DownExit, Exits, Gateway, Overview, Stock, StuckRotation, gateways, overview};
use turnpike_shop::types::UnixMillis;
use utoipa::ToSchema;

use crate::api::Context;
use crate::api::v1::Endpoint;
use crate::error::ApiError;
use crate::principal::OperatorReader;
use crate::response::True;

/// How the shop stands: what it earns, what runs, and what does not work.
#[derive(Deserialize, ToSchema)]
pub(crate) struct SeeOverview {}

/// How the shop stands.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OverviewAnswer {
    ok: True,
    revenue: RevenueItem,
    /// Subscriptions that run now.
    active_subscriptions: i64,
    /// Customers' accounts.
    customers: i64,
    /// Connections that the gateways have open, as they have told last.
    tunnels: i64,
    /// What went through the gateways within 24 hours, both ways, in bytes.
    moved_bytes: i64,
    /// Rotations that failed within 24 hours.
    failed_rotations: i64,
    /// What ports have refused within 24 hours, by reason, the most frequent first, at most 20.
    refusals: Vec<RefusedItem>,
    /// Exits that do not work, those that failed last first, at most 20.
    down_exits: Vec<DownExitItem>,
    /// Rotations that are open for longer than two minutes, the oldest first, at most 20.
    stuck_rotations: Vec<StuckRotationItem>,
}

/// What orders paid, less what was given back, in cents.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RevenueItem {
    /// Within 24 hours.
    day_cents: i64,
    /// Within 7 days.
    week_cents: i64,
    /// Within 30 days.
    month_cents: i64,
}

/// How often ports have refused for one reason.
#[derive(Serialize, ToSchema)]
pub(crate) struct RefusedItem {
    /// The reason's word, as `op=refusals` tells it.
    #[schema(example = "wrong_password")]
    code: String,
    /// How often, as far as it is kept: the last 20 reasons and sources of each subscription.
    times: i64,
    /// Of how many subscriptions.
    subscriptions: i64,
}

/// An exit that does not work.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DownExitItem {
    #[schema(example = "NL-AMS")]
    network: String,
    name: String,
    /// Since when, in Unix milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    since: Option<i64>,
    /// Why, as far as that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    detail: Option<String>,
}

/// A rotation that does not end.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StuckRotationItem {
    #[schema(example = "NL-AMS")]
    network: String,
    exit: String,
    gateway: String,
    /// Since when it is open, in Unix milliseconds.
    requested_at: i64,
    /// Whether its gateway has begun with it.
    is_running: bool,
}

impl From<Overview> for OverviewAnswer {
    fn from(seen: Overview) -> Self {
        Self {
            ok: True,
            revenue: RevenueItem {
                day_cents: seen.revenue.day.0,
                week_cents: seen.revenue.week.0,
                month_cents: seen.revenue.month.0,
            },
            active_subscriptions: seen.active_subscriptions,
            customers: seen.customers,
            tunnels: seen.gateways.iter().map(|gateway| gateway.tunnels).sum(),
            moved_bytes: seen.gateways.iter().map(|gateway| gateway.moved).sum(),
            failed_rotations: seen.failed_rotations,
            refusals: seen
                .refused
                .into_iter()
                .map(|one| RefusedItem {
                    code: one.code,
                    times: one.times,
                    subscriptions: one.subscriptions,
                })
                .collect(),
            down_exits: seen.down.into_iter().map(DownExitItem::from).collect(),
            stuck_rotations: seen.stuck.into_iter().map(StuckRotationItem::from).collect(),
        }
    }
}

impl From<DownExit> for DownExitItem {
    fn from(exit: DownExit) -> Self {
        Self {
            network: exit.network_code,
            name: exit.name,
            since: exit.since.map(|at| at.0),
            detail: exit.detail,
        }
    }
}

impl From<StuckRotation> for StuckRotationItem {
    fn from(rotation: StuckRotation) -> Self {
        Self {
            network: rotation.network_code,
            exit: rotation.exit,
            gateway: rotation.gateway,
            requested_at: rotation.requested_at.0,
            is_running: rotation.is_running,
        }
    }
}

impl Endpoint for SeeOverview {
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/api/admin/overview";
    const NAME: &'static str = "adminOverview";
    type Caller = OperatorReader;
    type Answer = OverviewAnswer;

    async fn call(self, _: OperatorReader, context: &Context<'_>) -> Result<OverviewAnswer, ApiError> {
        Ok(overview(&context.app.shop).await?.into())
    }
}

/// The networks: what of each is sold and free, and how its exits are.
#[derive(Deserialize, ToSchema)]
pub(crate) struct ListNetworks {}

/// Networks.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NetworksAnswer {
    ok: True,
    /// By network and connection type.
    stock: Vec<StockItem>,
    /// By network; exits that left the catalogue do not count.
    exits: Vec<ExitsItem>,
}

/// What of a network is sold and free.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StockItem {
    #[schema(example = "NL-AMS")]
    network: String,
    #[schema(example = "Amsterdam")]
    city: String,
    #[schema(example = "NL")]
    country: String,
    /// `private` or `shared`.
    #[schema(example = "private")]
    connection_type: String,
    /// Whether anything of it can be bought.
    is_sold: bool,
    /// Held by subscriptions.
    taken: i64,
    /// Can be bought now.
    free: i64,
}

impl From<Stock> for StockItem {
    fn from(stock: Stock) -> Self {
        Self {
            network: stock.network_code,
            city: stock.city,
            country: stock.country,
            connection_type: stock.connection_type.to_string(),
            is_sold: stock.is_sold,
            taken: stock.taken,
            free: stock.free,
        }
    }
}

/// How the exits of a network are.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ExitsItem {
    #[schema(example = "NL-AMS")]
    network: String,
    /// Those that work.
    up: i64,
    /// Those that do not.
    down: i64,
    /// Those that nobody has tried yet.
    unknown: i64,
}

impl From<Exits> for ExitsItem {
    fn from(exits: Exits) -> Self {
        Self {
            network: exits.network_code,
            up: exits.up,
            down: exits.down,
            unknown: exits.unknown,
        }
    }
}

impl Endpoint for ListNetworks {
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/api/admin/networks";
    const NAME: &'static str = "adminNetworks";
    type Caller = OperatorReader;
    type Answer = NetworksAnswer;

    async fn call(self, _: OperatorReader, context: &Context<'_>) -> Result<NetworksAnswer, ApiError> {
        let seen = overview(&context.app.shop).await?;
        Ok(NetworksAnswer {
            ok: True,
            stock: seen.stock.into_iter().map(StockItem::from).collect(),
            exits: seen.exits.into_iter().map(ExitsItem::from).collect(),
        })
    }
}

/// The gateways, and how far each has come.
#[derive(Deserialize, ToSchema)]
pub(crate) struct ListGateways {}

/// Gateways, by name.
#[derive(Serialize, ToSchema)]
pub(crate) struct GatewaysAnswer {
    ok: True,
    gateways: Vec<GatewayItem>,
}

/// A gateway.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GatewayItem {
    name: String,
    /// The host in customers' URLs.
    public_host: String,
    /// The program's version, where it has said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    version: Option<String>,
    first_port: i64,
    last_port: i64,
    /// How many of its ports are held.
    ports_taken: i64,
    /// Its exits in the catalogue.
    exits: i64,
    /// Connections that it has open, as it has told last.
    tunnels: i64,
    /// What went through it within 24 hours, both ways, in bytes.
    moved_bytes: i64,
    /// The newest change of its routes and exits.
    revision: i64,
    /// The newest that it has applied.
    applied_revision: i64,
    /// When it last told that it lives, in Unix milliseconds.
    seen_at: i64,
    /// Whether that is so long ago that it does not, or cannot reach the database.
    is_silent: bool,
}

impl GatewayItem {
    fn of(gateway: Gateway, now: UnixMillis) -> Self {
        Self {
            is_silent: gateway.is_silent(now),
            name: gateway.name,
            public_host: gateway.public_host,
            version: gateway.version,
            first_port: gateway.first_port,
            last_port: gateway.last_port,
            ports_taken: gateway.ports_taken,
            exits: gateway.exits,
            tunnels: gateway.tunnels,
            moved_bytes: gateway.moved,
            revision: gateway.revision,
            applied_revision: gateway.applied_revision,
            seen_at: gateway.seen_at.0,
        }
    }
}

impl Endpoint for ListGateways {
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/api/admin/gateways";
    const NAME: &'static str = "adminGateways";
    type Caller = OperatorReader;
    type Answer = GatewaysAnswer;

    async fn call(self, _: OperatorReader, context: &Context<'_>) -> Result<GatewaysAnswer, ApiError> {
        let (found, now) = (gateways(&context.app.shop).await?, context.app.shop.now());
        Ok(GatewaysAnswer {
            ok: True,
            gateways: found.into_iter().map(|gateway| GatewayItem::of(gateway, now)).collect(),
        })
    }
}
