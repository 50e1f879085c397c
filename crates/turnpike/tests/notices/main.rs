//! Notices: signed calls that the Standard Webhooks library accepts, e-mail that a mail server takes, and where neither leads.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod ends;
mod mail;
mod page;
mod receiver;
mod webhooks;
