//! Notices: what an account is told of, by e-mail and by signed calls to its webhooks.
//!
//! | what | module |
//! | --- | --- |
//! | what there is to tell, and its rows, written in the transaction of what it tells of | `outbox` |
//! | which notices an account gets by which way | `choices` |
//! | endpoints of an account, their secrets | `webhooks` |
//! | who takes a delivery, what came of it, when it is tried again | `deliveries` |
//!
//! Nothing here opens a socket: a sender takes deliveries with [`claim`], sends them, and tells what came of it with [`finish`].
//! Each is sent at least once; a webhook knows one that comes again by its `webhook-id`, a mail program by its `Message-ID`.

mod choices;
mod deliveries;
mod outbox;
mod webhooks;

pub use choices::{Choices, choices, set_choices};
pub use deliveries::{Delivery, Outcome, Outgoing, Recipient, claim, deliveries, finish, next_due, redeliver};
pub use outbox::KINDS;
pub use webhooks::{
    MOST_WEBHOOKS, Webhook, create_webhook, delete_webhook, enable_webhook, test_webhook, webhook, webhooks,
};

pub(crate) use deliveries::forget;
pub(crate) use outbox::{News, Subject, ending_notice_at, tell, tell_ending};

/// Which ways the operator has opened. None, and nothing is written at all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ways {
    /// There is a mail server.
    pub email: bool,
    /// Webhooks are called.
    pub webhook: bool,
    /// Also by `http://`, to destinations that the operator has named.
    pub plain_http: bool,
}

/// The ways that are open.
#[must_use]
pub fn ways(shop: &crate::Shop) -> Ways {
    shop.settings.notices
}

impl Ways {
    fn is_open(self, way: crate::types::NoticeWay) -> bool {
        match way {
            crate::types::NoticeWay::Email => self.email,
            crate::types::NoticeWay::Webhook => self.webhook,
        }
    }

    pub(crate) fn is_any_open(self) -> bool {
        self.email || self.webhook
    }
}
