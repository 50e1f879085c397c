//! A small world to test in: a catalogue, a few people and their keys, and a way to ask.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use tower::ServiceExt as _;
use turnpike_shop::api_key::{self, NewApiKey};
use turnpike_shop::catalogue::{self, Catalogue, Coupon, Discount, Exit, ExitSpec, ExitWay, Network, Plan};
use turnpike_shop::limits::{GIGABYTE, Limits};
use turnpike_shop::notices::Ways;
use turnpike_shop::store::Engine;
use turnpike_shop::types::{AccountStatus, Cents, ConnectionType, NetworkType, Role, Span, UnixMillis};
use turnpike_shop::{Settings, Shop, account, ledger, routes};

use super::site::Home;
use crate::app::{self, App};
use crate::source::Peer;
use crate::{Readiness, WebConfig};

pub(super) const NOW: UnixMillis = UnixMillis(1_760_000_000_000);
pub(super) const GATEWAY: &str = "gw1";
pub(super) const ALICE: &str = "alice@example.com";
pub(super) const PASSWORD: &str = "correct horse battery";

pub(super) struct World {
    pub(super) shop: Shop,
    pub(super) app: Arc<App>,
    router: Router,
    clock: Arc<AtomicI64>,
    /// Alice's key, which may do all.
    pub(super) key: String,
    /// Removed at the end.
    _home: Arc<Home>,
}

/// Limits that no test meets by accident, and no waiting for a gateway that is not there.
pub(super) fn config() -> WebConfig {
    WebConfig {
        public_url: "https://shop.example".to_owned(),
        requests_per_second: 10_000,
        burst: 10_000,
        bad_credentials_per_minute: 10_000,
        purchase_port_wait: Duration::from_millis(1),
        ..WebConfig::default()
    }
}

/// A request with a body, where the method has one, by whoever shows this key or token.
pub(super) async fn ask(world: &World, method: Method, path: &str, shown: &str, body: Value) -> Reply {
    let mut ask = world
        .ask(method.clone(), path)
        .header("authorization", &format!("Bearer {shown}"));
    if method == Method::POST || method == Method::PUT {
        ask = ask.body(&body.to_string());
    }
    ask.send().await
}

/// A short-lived token of somebody's.
pub(super) async fn token(world: &World, email: &str) -> String {
    let body = json!({"email": email, "password": PASSWORD}).to_string();
    let reply = world.ask(Method::POST, "/api/auth/token").body(&body).send().await;
    reply.json()["token"].as_str().unwrap().to_owned()
}

impl World {
    pub(super) async fn new() -> Self {
        Self::with(config()).await
    }

    pub(super) async fn with(config: WebConfig) -> Self {
        Self::at(Arc::new(Home::new(Engine::Sqlite)), config).await
    }

    pub(super) async fn at(home: Arc<Home>, config: WebConfig) -> Self {
        Self::telling(home, config, Ways::default()).await
    }

    /// One that tells its customers by these ways.
    pub(super) async fn telling(home: Arc<Home>, config: WebConfig, notices: Ways) -> Self {
        let clock = Arc::new(AtomicI64::new(NOW.0));
        let ticking = Arc::clone(&clock);
        let shop = Shop::open(
            &SecretString::from(home.url.clone()),
            home.directory.path().join("master.key"),
            Settings {
                notices,
                ..Settings::default()
            },
            Arc::new(move || UnixMillis(ticking.load(Ordering::Relaxed))),
        )
        .await
        .expect("a shop opens in an empty place");
        routes::register_gateway(&shop, GATEWAY, "proxy.example.com", 12_001..=12_040)
            .await
            .unwrap();
        catalogue::apply(&shop, "test", catalogue(), false).await.unwrap();
        let app = App::new(shop.clone(), config, Readiness::new());
        let router = app::router(&app);
        let mut world = Self {
            shop,
            app,
            router,
            clock,
            key: String::new(),
            _home: home,
        };
        world.person(ALICE, Role::Customer).await;
        world.key = world.key_of(ALICE, full()).await;
        world
    }

    /// An account with a password and 500.00.
    pub(super) async fn person(&self, email: &str, role: Role) {
        account::create(&self.shop, "test", email, role, Some(PASSWORD.to_owned().into()))
            .await
            .unwrap();
        ledger::adjust(&self.shop, "test", email, Cents(50_000), "to begin with")
            .await
            .unwrap();
    }

    pub(super) async fn key_of(&self, email: &str, new: NewApiKey) -> String {
        let (_, secret) = api_key::create(&self.shop, "test", email, new).await.unwrap();
        secret.expose_secret().to_owned()
    }

    pub(super) async fn suspend(&self, email: &str) {
        account::set_status(&self.shop, "test", email, AccountStatus::Suspended)
            .await
            .unwrap();
    }

    pub(super) async fn resume(&self, email: &str) {
        account::set_status(&self.shop, "test", email, AccountStatus::Active)
            .await
            .unwrap();
    }

    pub(super) async fn balance(&self, email: &str) -> i64 {
        account::by_email(&self.shop, email).await.unwrap().balance.0
    }

    pub(super) fn advance(&self, span: Span) {
        self.clock.fetch_add(span.0, Ordering::Relaxed);
    }

    /// A request by Alice's key.
    pub(super) fn get(&self, query: &str) -> Ask<'_> {
        self.ask(Method::GET, &format!("/api/proxy?{query}"))
            .header("x-api-key", &self.key)
    }

    /// A request by Alice's key.
    pub(super) fn post(&self, body: Value) -> Ask<'_> {
        self.post_text(&body.to_string())
    }

    pub(super) fn post_text(&self, body: &str) -> Ask<'_> {
        self.ask(Method::POST, "/api/proxy")
            .header("x-api-key", &self.key)
            .body(body)
    }

    /// A request by nobody.
    pub(super) fn ask(&self, method: Method, path: &str) -> Ask<'_> {
        Ask {
            router: &self.router,
            peer: ([192, 0, 2, 1], 50_000).into(),
            request: Request::builder().method(method).uri(path).body(Body::empty()).unwrap(),
        }
    }

    /// The id of the plan of a network and a connection type.
    pub(super) async fn plan(&self, network: &str, connection: &str) -> String {
        let plans = self.get("op=plans").send().await.json();
        let found = plans["plans"]
            .as_array()
            .unwrap()
            .iter()
            .find(|plan| plan["network"]["name"] == network && plan["connectionType"] == connection);
        found.unwrap()["id"].as_str().unwrap().to_owned()
    }

    /// Alice's new subscription in NL-AMS, alone on its exit.
    pub(super) async fn subscription(&self) -> Value {
        let plan = self.plan("NL-AMS", "private").await;
        let bought = self.post(json!({"op": "purchase", "planId": plan})).send().await;
        assert_eq!(bought.status, StatusCode::OK, "{}", bought.text());
        bought.json()["subscription"].clone()
    }

    /// A new link of Alice's subscription.
    pub(super) async fn link(&self, subscription: &str, mut wish: Value) -> Value {
        wish["op"] = json!("create-rotate-link");
        wish["subscriptionId"] = json!(subscription);
        let made = self.post(wish).send().await;
        assert_eq!(made.status, StatusCode::OK, "{}", made.text());
        made.json()["link"].clone()
    }

    /// Where the subscription could be switched to.
    pub(super) async fn other_network(&self, subscription: &str) -> String {
        let networks = self
            .get(&format!("op=available-networks&subscriptionId={subscription}"))
            .send()
            .await
            .json();
        networks["networks"][0]["id"].as_str().unwrap().to_owned()
    }
}

pub(super) fn full() -> NewApiKey {
    NewApiKey {
        name: "full".to_owned(),
        allow_trial: true,
        ..NewApiKey::default()
    }
}

/// A request being put together.
pub(super) struct Ask<'a> {
    router: &'a Router,
    peer: SocketAddr,
    request: Request<Body>,
}

impl Ask<'_> {
    /// Sets a header field; replaces what was there.
    pub(super) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.request.headers_mut().insert(name, value.parse().unwrap());
        self
    }

    pub(super) fn without(mut self, name: &'static str) -> Self {
        self.request.headers_mut().remove(name);
        self
    }

    pub(super) fn body(mut self, body: &str) -> Self {
        *self.request.body_mut() = Body::from(body.to_owned());
        self
    }

    pub(super) fn stream(mut self, body: Body) -> Self {
        *self.request.body_mut() = body;
        self
    }

    pub(super) fn from(mut self, address: &str) -> Self {
        self.peer = SocketAddr::new(address.parse().unwrap(), 50_000);
        self
    }

    /// Sends it. Whatever the answer is, `/openapi.json` must have said that it could come.
    pub(super) async fn send(mut self) -> Reply {
        self.request.extensions_mut().insert(Peer(self.peer));
        let (method, path) = (self.request.method().clone(), self.request.uri().path().to_owned());
        let response = self.router.clone().oneshot(self.request).await.unwrap();
        let (head, body) = response.into_parts();
        let reply = Reply {
            status: head.status,
            headers: head.headers,
            body: body.collect().await.unwrap().to_bytes().to_vec(),
        };
        assert_documented(&method, &path, &reply);
        reply
    }
}

fn assert_documented(method: &Method, path: &str, reply: &Reply) {
    static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
        let (mut all, operators) = (
            crate::openapi("https://shop.example"),
            crate::admin_openapi("https://shop.example"),
        );
        let paths = operators["paths"].as_object().unwrap().clone();
        all["paths"].as_object_mut().unwrap().extend(paths);
        all
    });
    let is_template = |template: &str| {
        let mut parts = template.split('/').zip(path.split('/'));
        template.split('/').count() == path.split('/').count()
            && parts.all(|(part, value)| part == value || part.starts_with('{') && !value.is_empty())
    };
    let mut templates = DOCUMENT["paths"].as_object().unwrap().keys();
    let Some(template) = templates.find(|template| is_template(template)) else {
        return;
    };
    let responses = &DOCUMENT["paths"][template][method.as_str().to_lowercase()]["responses"];
    // Other paths and methods are not part of what is described.
    if responses.is_null() {
        return;
    }
    let content = &responses[reply.status.as_str()]["content"];
    let content_type = reply.header("content-type").unwrap().split(';').next().unwrap();
    assert!(
        !content[content_type].is_null(),
        "{method} {path} does not document {} as {content_type}: {}",
        reply.status,
        reply.text()
    );
}

/// An answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Reply {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Status and code of an error, whose shape is checked as well.
    pub(super) fn error(&self) -> (u16, String) {
        let body = self.json();
        assert_eq!(body["ok"], false, "{body}");
        assert!(
            body["error"].as_str().is_some_and(|sentence| !sentence.is_empty()),
            "{body}"
        );
        assert!(body["retryable"].is_boolean(), "{body}");
        assert_eq!(body["requestId"].as_str(), self.header("x-request-id"), "{body}");
        let retry_after = body.get("retryAfterSeconds").map(ToString::to_string);
        assert_eq!(retry_after.as_deref(), self.header("retry-after"), "{body}");
        (self.status.as_u16(), body["code"].as_str().unwrap().to_owned())
    }
}

fn exit(name: &str, last_bytes: std::ops::Range<u8>, shared_slots: i64) -> Exit {
    Exit {
        name: name.to_owned(),
        gateway: None,
        spec: ExitSpec {
            way: ExitWay::Addresses(last_bytes.map(|last| [127, 0, 0, last].into()).collect()),
            rotate: None,
            drain_seconds: 30,
        },
        shared_slots,
    }
}

fn network(code: &str, city: &str, country: &str, exits: Vec<Exit>) -> Network {
    Network {
        code: code.to_owned(),
        city: city.to_owned(),
        country: country.to_owned(),
        network_type: NetworkType::Mobile,
        allow_smtp: false,
        exits,
    }
}

fn plan(code: &str, network: &str, connection_type: ConnectionType, cents: i64, trial: Option<Span>) -> Plan {
    Plan {
        code: code.to_owned(),
        network: network.to_owned(),
        connection_type,
        duration: Span::days(30),
        price: Cents(cents),
        popular: code == "nl-private-30d",
        trial,
        limits: match code {
            "nl-shared-30d" => Limits {
                max_connections: Some(100),
                max_source_addresses: Some(2),
                mbit_per_second: Some(50),
                traffic_bytes: Some(10 * GIGABYTE),
            },
            _ => Limits::default(),
        },
    }
}

/// NL-AMS: three exits alone and one shared; DE-BER: two alone.
pub(super) fn catalogue() -> Catalogue {
    Catalogue {
        networks: vec![
            network(
                "NL-AMS",
                "Amsterdam",
                "NL",
                vec![
                    exit("nl-1", 11..14, 0),
                    exit("nl-2", 14..17, 0),
                    exit("nl-3", 17..20, 0),
                    exit("nl-shared", 21..23, 5),
                ],
            ),
            network(
                "DE-BER",
                "Berlin",
                "DE",
                vec![exit("de-1", 31..34, 0), exit("de-2", 34..37, 0)],
            ),
        ],
        plans: vec![
            plan(
                "nl-private-30d",
                "NL-AMS",
                ConnectionType::Private,
                1_200,
                Some(Span::hours(1)),
            ),
            plan("nl-shared-30d", "NL-AMS", ConnectionType::Shared, 300, None),
            plan("de-private-30d", "DE-BER", ConnectionType::Private, 1_500, None),
        ],
        coupons: vec![Coupon {
            code: "MYCODE".to_owned(),
            discount: Discount::Percent(10),
            max_redemptions: Some(100),
            per_account: Some(5),
            valid_until: None,
        }],
    }
}
