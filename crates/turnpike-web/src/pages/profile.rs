//! A subscription URL as pages show it: to copy, to save what it holds, to make void.

use super::desk::Desk;
use crate::api::subscription::subscription_url;

/// The formats that pages offer, as `?format=` names them.
const EXPORTS: [&str; 7] = [
    "sing-box",
    "clash",
    "sip008",
    "csv",
    "json",
    "pac",
    "host:port:user:pass",
];

/// A URL from which client programs load ports.
pub(crate) struct Profile {
    pub(crate) url: String,
    pub(crate) exports: [&'static str; EXPORTS.len()],
    /// Where the form goes that makes it void.
    pub(crate) renew_path: String,
}

impl Profile {
    /// Of the secret part of a URL.
    pub(crate) fn new(desk: &Desk, token: &str, renew_path: String) -> Self {
        Self {
            url: subscription_url(&desk.app.config.public_url, token),
            exports: EXPORTS,
            renew_path,
        }
    }
}
