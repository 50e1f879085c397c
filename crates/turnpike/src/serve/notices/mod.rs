//! Notices on their way: taken from the shop, sent, and what came of it told. In every process that can send.

mod call;
mod mail;
mod places;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use turnpike_shop::Shop;
use turnpike_shop::notices::{self, Outcome, Outgoing, Recipient};

use self::call::Caller;
use self::mail::Postman;
use super::retried;
use crate::config::Config;

/// Deliveries that are under way at once.
const AT_ONCE: usize = 32;

/// How long what is under way at the end may take.
const LAST_CALLS: Duration = Duration::from_secs(3);

/// The longest pause between two looks.
const ROUND: Duration = Duration::from_secs(2);

/// What sends notices.
pub(super) struct Sender {
    mail: Option<Postman>,
    caller: Option<Caller>,
    public_url: String,
}

impl Sender {
    /// The ways of this configuration; absent where it has none. `database` is where no webhook leads.
    ///
    /// # Errors
    /// A file that the configuration names cannot be used, or there are no name servers to ask.
    pub(super) fn new(config: &Config, database: &[IpAddr]) -> Result<Option<Self>> {
        let notices = &config.notices;
        if notices.smtp.is_none() && !notices.webhooks {
            return Ok(None);
        }
        Ok(Some(Self {
            mail: notices.smtp.as_ref().map(Postman::new).transpose()?,
            caller: match notices.webhooks {
                true => Some(Caller::new(config, database)?),
                false => None,
            },
            public_url: config.server.public_url.clone(),
        }))
    }

    /// Sends what is due until `stop`, and returns when what was under way then has come to its end.
    pub(super) async fn work(self, shop: Shop, stop: CancellationToken) {
        let (sender, places, under_way) = (Arc::new(self), Arc::new(Semaphore::new(AT_ONCE)), TaskTracker::new());
        let mut is_failing = false;
        loop {
            let free = i64::try_from(places.available_permits()).unwrap_or(i64::MAX);
            let pause = match notices::claim(&shop, free).await {
                Ok(taken) => {
                    is_failing = false;
                    let pause = if taken.is_empty() { ROUND } else { Duration::ZERO };
                    for outgoing in taken {
                        let place = Arc::clone(&places).try_acquire_owned().ok();
                        let (sender, shop) = (Arc::clone(&sender), shop.clone());
                        under_way.spawn(async move {
                            sender.deliver(&shop, &outgoing).await;
                            drop(place);
                        });
                    }
                    // Where there is no place left, the next one that is free is waited for.
                    match places.available_permits() {
                        0 => Duration::from_millis(50),
                        _ => pause,
                    }
                }
                Err(error) => {
                    if !std::mem::replace(&mut is_failing, true) {
                        tracing::warn!(%error, "notices cannot be sent; it is tried again");
                    }
                    ROUND
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = tokio::time::sleep(pause) => {}
            }
        }
        under_way.close();
        // What takes longer is sent again by whoever looks next.
        let _ = tokio::time::timeout(LAST_CALLS, under_way.wait()).await;
    }

    async fn deliver(&self, shop: &Shop, outgoing: &Outgoing) {
        let outcome = match (&outgoing.recipient, &self.mail, &self.caller) {
            (Recipient::Email(to), Some(mail), _) => mail.send(outgoing, to, &self.public_url).await,
            (
                Recipient::Webhook {
                    url,
                    seconds,
                    signature,
                },
                _,
                Some(caller),
            ) => caller.call(outgoing, url, *seconds, signature).await,
            // Only what this process can send is taken.
            _ => Outcome::Failed("this way is closed at present".to_owned()),
        };
        let result = match &outcome {
            Outcome::Delivered(_) => "delivered",
            Outcome::Failed(_) => "failed",
            Outcome::Refused(_) | Outcome::Gone(_) => "refused",
        };
        metrics::counter!("turnpike_notices_total", "result" => result).increment(1);
        tracing::debug!(notice = %outgoing.notice, attempt = outgoing.attempt, ?outcome, "a notice was sent");
        retried("what became of a notice", || {
            notices::finish(shop, &outgoing.delivery, outgoing.attempt, outcome.clone())
        })
        .await;
    }
}
