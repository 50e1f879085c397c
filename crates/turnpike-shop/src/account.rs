//! Accounts: making them, finding them, suspending them, signing in.
#![allow(unused_variables)]

use std::net::IpAddr;

use secrecy::SecretString;
use serde::Serialize;

use crate::error::Result;
use crate::shop::Shop;
use crate::types::{AccountId, AccountStatus, Cents, Role, UnixMillis};

/// An account, as its owner and operators see it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// Its e-mail address, lower-case.
    pub email: String,
    /// What it may do.
    pub role: Role,
    /// Whether it may act.
    pub status: AccountStatus,
    /// What it can spend.
    pub balance: Cents,
    /// Subscriptions running now.
    pub active_subscriptions: i64,
    /// When it was made.
    pub created_at: UnixMillis,
}

/// Who is signed in by a token.
#[derive(Debug, Clone)]
pub struct SignedIn {
    /// The account.
    pub account: AccountId,
    /// Its version; a token that carries an older one is void.
    pub version: i64,
    /// What it may do.
    pub role: Role,
}

/// Makes an account with an empty balance. Without a password it can only be used by API keys.
///
/// # Errors
/// [`crate::Refusal::MalformedEmail`], [`crate::Refusal::AccountExists`], [`crate::Refusal::UnfitPassword`].
pub async fn create(shop: &Shop, actor: &str, email: &str, role: Role, password: Option<SecretString>) -> Result<Account> {
    unimplemented!("S1")
}

/// The account with this e-mail address.
///
/// # Errors
/// [`crate::Refusal::UnknownAccount`].
pub async fn by_email(shop: &Shop, email: &str) -> Result<Account> {
    unimplemented!("S1")
}

/// Every account, newest last.
///
/// # Errors
/// Only the database's.
pub async fn list(shop: &Shop) -> Result<Vec<Account>> {
    unimplemented!("S1")
}

/// Suspends (`Suspended`) or resumes (`Active`) an account: its keys answer 403 and its ports close within a second, or come back.
///
/// # Errors
/// [`crate::Refusal::UnknownAccount`].
pub async fn set_status(shop: &Shop, actor: &str, email: &str, status: AccountStatus) -> Result<Account> {
    unimplemented!("S1")
}

/// Checks an e-mail address and a password. Slows down after failures, per account and source; costs the same for unknown accounts.
///
/// # Errors
/// [`crate::Refusal::WrongLogin`], [`crate::Refusal::LoginThrottled`], [`crate::Refusal::AccountSuspended`].
pub async fn sign_in(shop: &Shop, email: &str, password: SecretString, source: IpAddr) -> Result<SignedIn> {
    unimplemented!("S1")
}

/// The account of a token, if the token's version is still the account's.
///
/// # Errors
/// [`crate::Refusal::Unauthorized`], [`crate::Refusal::AccountSuspended`].
pub async fn check_token(shop: &Shop, account: &AccountId, version: i64) -> Result<SignedIn> {
    unimplemented!("S1")
}
