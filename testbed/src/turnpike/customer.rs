//! Somebody with a key, as they use the API.

use std::net::{IpAddr, SocketAddr};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value, json};

use crate::http::{self, Answer};
use crate::netns::Namespace;

/// A customer and one of their keys.
#[derive(Debug, Clone)]
pub struct Customer {
    /// The account's e-mail address.
    pub email: String,
    /// The key.
    pub key: String,
    api: SocketAddr,
    namespace: Option<Namespace>,
}

/// What a customer reads about one subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Its id.
    pub id: String,
    /// Its port.
    pub port: SocketAddr,
    /// The user name of the port.
    pub username: String,
    /// The password of the port.
    pub password: String,
    /// The URL for HTTP proxy clients.
    pub http: String,
    /// The URL for SOCKS5 clients.
    pub socks5: String,
    /// The link for VLESS clients.
    pub vless: String,
    /// The link for Shadowsocks clients.
    pub shadowsocks: String,
    /// The path of its rotate link.
    pub rotate_path: String,
    /// What client programs load it from.
    pub subscription_url: String,
    /// When it ends, in Unix milliseconds.
    pub active_until: i64,
}

impl Customer {
    pub(super) fn new(email: String, key: String, api: SocketAddr, namespace: Option<Namespace>) -> Self {
        Self {
            email,
            key,
            api,
            namespace,
        }
    }

    /// Where the API listens.
    #[must_use]
    pub fn api(&self) -> SocketAddr {
        self.api
    }

    /// A GET operation; `query` is what follows `op=`, such as `plans` or `renewal-plans&subscriptionId=…`.
    #[must_use]
    #[track_caller]
    pub fn ask(&self, query: &str) -> Answer {
        self.request("GET", &format!("/api/proxy?op={query}"), &[], b"")
    }

    /// A POST operation.
    #[must_use]
    #[track_caller]
    pub fn order(&self, body: &Value) -> Answer {
        self.order_with(body, &[])
    }

    /// A POST operation with additional header fields.
    #[must_use]
    #[track_caller]
    pub fn order_with(&self, body: &Value, headers: &[(&str, &str)]) -> Answer {
        self.request("POST", "/api/proxy", headers, body.to_string().as_bytes())
    }

    /// Any request with the key.
    #[must_use]
    #[track_caller]
    pub fn request(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let answer = self.try_request(method, target, headers, body);
        answer.unwrap_or_else(|error| panic!("{method} {target}: {error}"))
    }

    /// Any request with the key, to a server that may be gone.
    ///
    /// # Errors
    /// When there is no whole answer.
    pub fn try_request(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> std::io::Result<Answer> {
        let mut all = vec![("x-api-key", self.key.as_str())];
        if !body.is_empty() {
            all.push(("content-type", "application/json"));
        }
        all.extend_from_slice(headers);
        let send = || http::try_request(self.api, method, target, &all, body);
        match &self.namespace {
            Some(namespace) => namespace.enter(send),
            None => send(),
        }
    }

    /// The id of the first plan of a network and a connection type.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    #[track_caller]
    pub fn plan(&self, network: &str, connection_type: &str) -> String {
        let answer = self.ask("plans").expect_status(200).json();
        let plans = answer["plans"].as_array().expect("plans");
        let fits = |plan: &&Value| plan["network"]["name"] == network && plan["connectionType"] == connection_type;
        let plan = plans
            .iter()
            .find(fits)
            .unwrap_or_else(|| panic!("no {connection_type} plan of {network}: {answer}"));
        text(&plan["id"])
    }

    /// Buys the first private plan of a network.
    #[must_use]
    #[track_caller]
    pub fn buy(&self, network: &str) -> Subscription {
        self.buy_plan(&self.plan(network, "private"))
    }

    /// Buys the first shared plan of a network.
    #[must_use]
    #[track_caller]
    pub fn buy_shared(&self, network: &str) -> Subscription {
        self.buy_plan(&self.plan(network, "shared"))
    }

    /// Buys a plan by its id.
    #[must_use]
    #[track_caller]
    pub fn buy_plan(&self, plan: &str) -> Subscription {
        let answer = self
            .order(&json!({"op": "purchase", "planId": plan}))
            .expect_status(200)
            .json();
        Subscription::from(&answer["subscription"])
    }

    /// All subscriptions.
    ///
    /// # Panics
    /// When they are refused.
    #[must_use]
    #[track_caller]
    pub fn subscriptions(&self) -> Vec<Subscription> {
        let answer = self.ask("subscriptions").expect_status(200).json();
        answer["subscriptions"]
            .as_array()
            .expect("subscriptions")
            .iter()
            .map(Subscription::from)
            .collect()
    }

    /// What client programs load all of them from.
    #[must_use]
    #[track_caller]
    pub fn subscription_url(&self) -> String {
        text(&self.ask("subscriptions").expect_status(200).json()["subscriptionUrl"])
    }

    /// One subscription as it is now.
    ///
    /// # Panics
    /// When the customer has none of this id.
    #[must_use]
    #[track_caller]
    pub fn subscription(&self, id: &str) -> Subscription {
        let found = self
            .subscriptions()
            .into_iter()
            .find(|subscription| subscription.id == id);
        found.expect("the subscription")
    }
}

impl Subscription {
    /// Reads it from an answer.
    ///
    /// # Panics
    /// When the answer lacks anything of it.
    #[must_use]
    #[track_caller]
    pub fn from(value: &Value) -> Self {
        let link = |protocol: &str| text(&value["protocols"][protocol]);
        let http = link("http");
        let address = http.rsplit_once('@').map_or(http.as_str(), |(_, address)| address);
        // Whatever else this machine knows by that name.
        let address = address.replace("localhost", "127.0.0.1");
        Self {
            id: text(&value["subscriptionId"]),
            port: address
                .parse()
                .unwrap_or_else(|_| panic!("an address and a port in {http}")),
            username: text(&value["credentials"]["username"]),
            password: text(&value["credentials"]["password"]),
            rotate_path: text(&value["rotate"]["rotatePath"]),
            subscription_url: text(&value["subscriptionUrl"]),
            active_until: value["activeUntil"]
                .as_i64()
                .unwrap_or_else(|| panic!("no end in {value}")),
            http,
            socks5: link("socks5"),
            vless: link("vless"),
            shadowsocks: link("shadowsocks"),
        }
    }

    /// `user:password`, as clients take it.
    #[must_use]
    pub fn userinfo(&self) -> String {
        format!("{}:{}", self.username, self.password)
    }

    /// The address that a request to `origin` through the HTTP proxy arrives from: what the origin answered.
    ///
    /// # Panics
    /// When the origin does not answer with an address.
    #[must_use]
    #[track_caller]
    pub fn address_at(&self, origin: &crate::origin::Origin) -> IpAddr {
        let answer = self.fetch(&origin.url("/")).expect_status(200);
        answer.body.parse().unwrap_or_else(|_| panic!("no address: {answer:?}"))
    }

    /// Fetches a URL by forwarding through the HTTP proxy.
    #[must_use]
    #[track_caller]
    pub fn fetch(&self, url: &str) -> Answer {
        http::request(self.port, "GET", url, &[("proxy-authorization", &self.basic())], b"")
    }

    /// The value of `Proxy-Authorization`.
    #[must_use]
    pub fn basic(&self) -> String {
        format!("Basic {}", BASE64_STANDARD.encode(self.userinfo()))
    }
}

#[track_caller]
fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}
