//! API keys: `rk_`, an id of 12 characters, a secret of 43, a checksum. Only the secret's hash is stored.
#![allow(unused_variables)]

use std::net::IpAddr;

use secrecy::SecretString;
use serde::Serialize;

use crate::error::Result;
use crate::shop::Shop;
use crate::types::{AccountId, ApiKeyId, UnixMillis};

/// What a new key may do.
#[derive(Debug, Clone, Default)]
pub struct NewApiKey {
    /// The owner's name for it.
    pub name: String,
    /// It may only read.
    pub read_only: bool,
    /// It may give trials.
    pub allow_trial: bool,
    /// When it stops working.
    pub expires_at: Option<UnixMillis>,
    /// Addresses that it works from; empty for all.
    pub allowed_sources: Vec<ipnet::IpNet>,
}

/// A key without its secret.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiKey {
    /// Its id, by which it is revoked.
    pub id: ApiKeyId,
    /// Whose it is.
    pub account: AccountId,
    /// The owner's e-mail address.
    pub email: String,
    /// The owner's name for it.
    pub name: String,
    /// It may only read.
    pub read_only: bool,
    /// It may give trials.
    pub allow_trial: bool,
    /// When it was made.
    pub created_at: UnixMillis,
    /// When it stops working.
    pub expires_at: Option<UnixMillis>,
    /// When it was revoked.
    pub revoked_at: Option<UnixMillis>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<UnixMillis>,
}

/// Who calls with a key, and what they may do.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The owner.
    pub account: AccountId,
    /// The key.
    pub key: ApiKeyId,
    /// It may only read.
    pub read_only: bool,
    /// It may give trials.
    pub allow_trial: bool,
}

/// Makes a key; the whole key is returned this once.
///
/// # Errors
/// [`crate::Refusal::UnknownAccount`].
pub async fn create(shop: &Shop, actor: &str, email: &str, new: NewApiKey) -> Result<(ApiKey, SecretString)> {
    unimplemented!("S1")
}

/// The keys of one account, or all.
///
/// # Errors
/// [`crate::Refusal::UnknownAccount`].
pub async fn list(shop: &Shop, email: Option<&str>) -> Result<Vec<ApiKey>> {
    unimplemented!("S1")
}

/// Revokes a key: the next request with it is refused.
///
/// # Errors
/// [`crate::Refusal::UnknownApiKey`].
pub async fn revoke(shop: &Shop, actor: &str, id: &str) -> Result<ApiKey> {
    unimplemented!("S1")
}

/// Who calls with this key. Costs the same for unknown ones.
///
/// # Errors
/// [`crate::Refusal::Unauthorized`], [`crate::Refusal::AccountSuspended`], [`crate::Refusal::SourceNotAllowed`].
pub async fn authenticate(shop: &Shop, key: &str, source: IpAddr) -> Result<Caller> {
    unimplemented!("S1")
}
