//! Webhooks: one signed call for each notice (Standard Webhooks 1.0), to where the destination rule allows, without following
//! anybody elsewhere.

use std::error::Error as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use reqwest::{Client, Response, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use turnpike_shop::notices::{Outcome, Outgoing};

use super::places::{Judging, Places};
use crate::config::Config;

/// For all of one call.
const PATIENCE: Duration = Duration::from_secs(10);
/// Until the connection is there.
const CONNECT: Duration = Duration::from_secs(5);
/// What is read of an answer at most.
const MOST_ANSWER: usize = 64 * 1024;

/// What calls webhooks.
pub(super) struct Caller {
    places: Arc<Places>,
    sealed: Client,
    plain: Client,
}

impl Caller {
    pub(super) fn new(config: &Config, database: &[IpAddr]) -> Result<Self> {
        // What listens here is nobody's webhook, nor is the database.
        // It fails where somebody has installed one already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let own: Vec<IpAddr> = database.iter().copied().chain([config.server.listen.ip()]).collect();
        let opened = config.notices.allow_destinations.clone();
        let places = Arc::new(Places::new(opened, own, &config.gateway.dns_servers)?);
        Ok(Self {
            sealed: client(&places, true)?,
            plain: client(&places, false)?,
            places,
        })
    }

    pub(super) async fn call(&self, notice: &Outgoing, url: &str, seconds: i64, signature: &SecretString) -> Outcome {
        let Ok(url) = url.parse::<url::Url>() else {
            return Outcome::Refused("its address cannot be read".to_owned());
        };
        if let Err(why) = self.places.judge(&url) {
            return Outcome::Failed(why.to_string());
        }
        let client = match url.scheme() {
            "https" => &self.sealed,
            _ => &self.plain,
        };
        let sent = client
            .post(url)
            .header("content-type", "application/json")
            .header("webhook-id", notice.notice.as_str())
            .header("webhook-timestamp", seconds)
            .header("webhook-signature", signature.expose_secret())
            .body(notice.body.clone())
            .send()
            .await;
        match sent {
            Ok(answer) => judged(answer).await,
            Err(error) => Outcome::Failed(sentence(&error)),
        }
    }
}

fn client(places: &Arc<Places>, is_sealed: bool) -> Result<Client> {
    let judging = Judging {
        places: Arc::clone(places),
        is_sealed,
    };
    Client::builder()
        .user_agent(concat!("turnpike/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        // Each call dials anew, so that each is judged anew.
        .pool_max_idle_per_host(0)
        .connect_timeout(CONNECT)
        .timeout(PATIENCE)
        .dns_resolver(Arc::new(judging))
        .build()
        .context("making an HTTP client for webhooks")
}

/// By the status: the answer's body is read so that its sender is not cut off, but only so far, and thrown away.
async fn judged(mut answer: Response) -> Outcome {
    let status = answer.status();
    let mut left = MOST_ANSWER;
    while let Ok(Some(chunk)) = answer.chunk().await {
        match left.checked_sub(chunk.len()) {
            Some(less) => left = less,
            None => break,
        }
    }
    let said = format!("answered {status}");
    match status {
        _ if status.is_success() => Outcome::Delivered(said),
        StatusCode::GONE => Outcome::Gone(said),
        _ if status.is_redirection() => Outcome::Failed(format!("{said}: redirects are not followed")),
        _ => Outcome::Failed(said),
    }
}

/// The innermost reason, which is the one that says something.
fn sentence(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("no answer within {} s", PATIENCE.as_secs());
    }
    let mut reason: &dyn std::error::Error = error;
    while let Some(source) = reason.source() {
        reason = source;
    }
    match error.source() {
        Some(_) => reason.to_string(),
        None => "it could not be called".to_owned(),
    }
}
