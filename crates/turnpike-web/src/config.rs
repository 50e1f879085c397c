//! How the web server behaves. The binary fills it from the configuration file.

use std::time::Duration;

use ipnet::IpNet;
use turnpike_shop::catalogue::Catalogue;

/// The web server's settings. `..WebConfig::default()` gives what is not set.
#[derive(Debug, Clone)]
pub struct WebConfig {
    /// Where customers reach this server, without a slash at the end. `https://` switches HSTS on.
    pub public_url: String,
    /// How a catalogue is read from text and written as text. Absent: operators cannot change it on the pages.
    pub catalogue: Option<CatalogueText>,
    /// Whether strangers may make accounts for themselves.
    pub sign_up: bool,
    /// Reverse proxies whose `X-Forwarded-For` is believed. Nobody else's is.
    pub trusted_proxies: Vec<IpNet>,
    /// Requests per second that one API key (or one signed-in account) may make in the long run. One address may make four
    /// times as many, since several customers can sit behind it.
    pub requests_per_second: u32,
    /// How many of those at once.
    pub burst: u32,
    /// Wrong keys and tokens that one address may show per minute before it gets 429 for all.
    pub bad_credentials_per_minute: u32,
    /// How long a purchase, renewal or change waits for the gateway to have applied it. It answers all the same afterwards.
    pub purchase_port_wait: Duration,
    /// How long a request may take in all, from its head to its answer; 503 past it.
    pub request_deadline: Duration,
    /// The same for rotate links, which wait for a modem. Longer than the shop's own deadline of a rotation, so that the
    /// shop's answer comes first.
    pub rotation_deadline: Duration,
    /// How long a client may take to send a request's head.
    pub head_timeout: Duration,
    /// How long a connection may stay open without a request.
    pub idle_timeout: Duration,
    /// Connections at once.
    pub max_connections: usize,
    /// Connections at once from one address (an IPv6 /64); trusted proxies are exempt.
    pub max_connections_per_address: usize,
}

/// The catalogue's text, which `turnpike apply` reads.
#[derive(Debug, Clone, Copy)]
pub struct CatalogueText {
    /// Reads a text, which mistakes call by this name. A mistake is a sentence that names the line and the key.
    pub read: fn(&str, &str) -> Result<Catalogue, String>,
    /// Writes a text that is read back to the same.
    pub write: fn(&Catalogue) -> String,
}

impl Default for WebConfig {
    fn default() -> Self {
        Self {
            public_url: "http://127.0.0.1:8080".to_owned(),
            catalogue: None,
            sign_up: false,
            trusted_proxies: Vec::new(),
            requests_per_second: 20,
            burst: 40,
            bad_credentials_per_minute: 20,
            purchase_port_wait: Duration::from_secs(2),
            request_deadline: Duration::from_secs(15),
            rotation_deadline: Duration::from_secs(75),
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            max_connections: 8_192,
            max_connections_per_address: 512,
        }
    }
}
