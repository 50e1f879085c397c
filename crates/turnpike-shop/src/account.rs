//! Accounts: making them, finding them, suspending them, signing in.

use std::net::IpAddr;

use secrecy::SecretString;
use serde::Serialize;

use crate::audit_log::{self, Actor};
use crate::error::{Error, Refusal, Result};
use crate::passwords;
use crate::routes;
use crate::second_factor;
use crate::session;
use crate::shop::Shop;
use crate::store::{Row, Tx, Value};
use crate::types::{AccountId, AccountStatus, Cents, Role, Span, SubscriptionId, UnixMillis};

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
/// [`Refusal::MalformedEmail`], [`Refusal::AccountExists`], [`Refusal::UnfitPassword`].
pub async fn create(
    shop: &Shop,
    actor: impl Into<Actor>,
    email: &str,
    role: Role,
    password: Option<SecretString>,
) -> Result<Account> {
    let email = normal_email(email).ok_or_else(|| Refusal::MalformedEmail(email.to_owned()))?;
    let hash = match password {
        Some(password) => Some(passwords::hash(password).await?),
        None => None,
    };
    let (now, actor) = (shop.now(), Actor::of(actor));
    shop.store
        .transaction(move |tx| {
            let (email, hash, actor) = (email.clone(), hash.clone(), actor.clone());
            Box::pin(async move {
                let id = AccountId::random();
                let inserted = tx
                    .execute(
                        "INSERT INTO account (id, email, password_hash, role, status, version, created_at)
                         VALUES ($1, $2, $3, $4, 'active', 1, $5) ON CONFLICT (email) DO NOTHING",
                        &[
                            Value::Text(id.to_string()),
                            Value::Text(email.clone()),
                            hash.map_or(Value::NullText, Value::Text),
                            Value::Text(role.to_string()),
                            Value::Int(now.0),
                        ],
                    )
                    .await?;
                if inserted == 0 {
                    return Err(Refusal::AccountExists(email).into());
                }
                tx.execute(
                    "INSERT INTO ledger_account (id, kind, balance, postings) VALUES ($1, 'customer', 0, 0)",
                    &[Value::Text(id.to_string())],
                )
                .await?;
                let detail = serde_json::json!({ "role": role });
                audit_log::write(tx, &actor, "account.create", &email, &detail, now).await?;
                one(tx, &email, now).await
            })
        })
        .await
}

/// Gives an account another password; whoever is signed in to it no longer is.
///
/// # Errors
/// [`Refusal::UnknownAccount`], [`Refusal::UnfitPassword`].
pub async fn set_password(shop: &Shop, actor: impl Into<Actor>, email: &str, password: SecretString) -> Result<()> {
    let hash = passwords::hash(password).await?;
    let (now, actor, email) = (shop.now(), Actor::of(actor), email.to_owned());
    shop.store
        .transaction(move |tx| {
            let (actor, email, hash) = (actor.clone(), email.clone(), hash.clone());
            Box::pin(async move {
                let id = id_of(tx, &email).await?;
                session::replace_password(tx, &actor, &id, None, hash, now).await
            })
        })
        .await
}

/// The account with this e-mail address.
///
/// # Errors
/// [`Refusal::UnknownAccount`].
pub async fn by_email(shop: &Shop, email: &str) -> Result<Account> {
    let (now, email) = (shop.now(), email.to_owned());
    shop.store
        .read(move |tx| {
            let email = email.clone();
            Box::pin(async move { one(tx, &email, now).await })
        })
        .await
}

/// The account with this id.
///
/// # Errors
/// [`Refusal::UnknownAccount`].
pub async fn by_id(shop: &Shop, id: &AccountId) -> Result<Account> {
    let (now, id) = (shop.now(), id.clone());
    shop.store
        .read(move |tx| {
            let id = id.clone();
            Box::pin(async move { of_id(tx, &id, now).await })
        })
        .await
}

/// Every account, newest last.
///
/// # Errors
/// Only the database's.
pub async fn list(shop: &Shop) -> Result<Vec<Account>> {
    let now = shop.now();
    shop.store
        .read(move |tx| {
            Box::pin(async move {
                let rows = tx
                    .all(
                        "SELECT a.id, a.email, a.role, a.status, a.created_at, l.balance,
                                (SELECT COUNT(*) FROM subscription s
                                 WHERE s.account_id = a.id AND s.state = 'active' AND s.ends_at > $1) AS active_subscriptions
                         FROM account a JOIN ledger_account l ON l.id = a.id ORDER BY a.created_at, a.id",
                        &[Value::Int(now.0)],
                    )
                    .await?;
                rows.iter().map(account).collect()
            })
        })
        .await
}

/// Suspends (`Suspended`) or resumes (`Active`) an account: its keys answer 403 and its ports close within a second, or come back.
///
/// # Errors
/// [`Refusal::UnknownAccount`], [`Refusal::OwnAccount`].
pub async fn set_status(shop: &Shop, actor: impl Into<Actor>, email: &str, status: AccountStatus) -> Result<Account> {
    let actor = Actor::of(actor);
    if status == AccountStatus::Suspended && normal_email(email).as_ref() == Some(&actor.name) {
        return Err(Refusal::OwnAccount.into());
    }
    let (now, email) = (shop.now(), email.to_owned());
    shop.store
        .transaction(move |tx| {
            let (actor, email) = (actor.clone(), email.clone());
            Box::pin(async move {
                let id = id_of(tx, &email).await?;
                // Waits for this account's purchases that are under way: what they open must be among those closed below.
                let lock = "SELECT balance FROM ledger_account WHERE id = $1 FOR NO KEY UPDATE";
                tx.one(lock, &[Value::Text(id.to_string())]).await?;
                let changed = tx
                    .execute(
                        "UPDATE account SET status = $1, version = version + 1 WHERE id = $2 AND status <> $1",
                        &[Value::Text(status.to_string()), Value::Text(id.to_string())],
                    )
                    .await?;
                if changed > 0 {
                    let action = match status {
                        AccountStatus::Active => "account.resume",
                        AccountStatus::Suspended => "account.suspend",
                    };
                    audit_log::write(tx, &actor, action, &email, &serde_json::json!({}), now).await?;
                    let held = running(tx, &id).await?;
                    routes::publish(tx, &held).await?;
                }
                one(tx, &email, now).await
            })
        })
        .await
}

async fn running(tx: &mut Tx, account: &AccountId) -> Result<Vec<SubscriptionId>> {
    let rows = tx
        .all(
            "SELECT id FROM subscription WHERE account_id = $1 AND state = 'active' ORDER BY id FOR NO KEY UPDATE",
            &[Value::Text(account.to_string())],
        )
        .await?;
    rows.iter().map(|row| row.parsed("id")).collect()
}

/// Signs in by e-mail address and password, and by the second factor's code where the account has one. Slows down after
/// failures from one source, for one account and in all; costs the same for unknown accounts.
///
/// # Errors
/// [`Refusal::WrongLogin`], [`Refusal::LoginThrottled`], [`Refusal::AccountSuspended`], [`Refusal::CodeWanted`],
/// [`Refusal::WrongCode`].
pub async fn sign_in(
    shop: &Shop,
    email: &str,
    password: SecretString,
    code: Option<&str>,
    source: IpAddr,
) -> Result<SignedIn> {
    let who = check_password(shop, email, password, source).await?;
    if second_factor::is_enabled(shop, &who.account).await? {
        let code = code.ok_or(Refusal::CodeWanted)?;
        second_factor::check(shop, &who.account, code, source).await?;
    }
    Ok(who)
}

/// The first factor alone.
pub(crate) async fn check_password(
    shop: &Shop,
    email: &str,
    password: SecretString,
    source: IpAddr,
) -> Result<SignedIn> {
    let email = normal_email(email).unwrap_or_default();
    let source = neighbourhood(source);
    // An account by itself is no subject: a stranger who fails again and again would lock its owner out.
    let subjects = [format!("account {email} from {source}"), format!("source {source}")];
    refuse_while_locked(shop, &subjects).await?;
    let asked = email.clone();
    let found = shop
        .store
        .read(move |tx| {
            let email = Value::Text(asked.clone());
            Box::pin(async move {
                tx.optional(
                    "SELECT id, password_hash, role, status, version FROM account WHERE email = $1",
                    &[email],
                )
                .await
            })
        })
        .await?;
    let hash = found
        .as_ref()
        .map(|row| row.optional_text("password_hash"))
        .transpose()?
        .flatten();
    let is_right = passwords::verify(password, hash).await?;
    let Some(row) = found.filter(|_| is_right) else {
        note_failure(shop, subjects).await?;
        return Err(Refusal::WrongLogin.into());
    };
    forget_failures(shop, subjects).await?;
    signed_in(&row)
}

/// The account of a token, if the token's version is still the account's.
///
/// # Errors
/// [`Refusal::Unauthorized`], [`Refusal::AccountSuspended`].
pub async fn check_token(shop: &Shop, account: &AccountId, version: i64) -> Result<SignedIn> {
    let id = Value::Text(account.to_string());
    let row = shop
        .store
        .read(move |tx| {
            let id = id.clone();
            Box::pin(async move {
                tx.optional("SELECT id, role, status, version FROM account WHERE id = $1", &[id])
                    .await
            })
        })
        .await?
        .ok_or(Refusal::Unauthorized)?;
    let found = signed_in(&row)?;
    if found.version == version {
        Ok(found)
    } else {
        Err(Refusal::Unauthorized.into())
    }
}

fn signed_in(row: &Row) -> Result<SignedIn> {
    match row.parsed("status")? {
        AccountStatus::Suspended => Err(Refusal::AccountSuspended.into()),
        AccountStatus::Active => Ok(SignedIn {
            account: row.parsed("id")?,
            version: row.int("version")?,
            role: row.parsed("role")?,
        }),
    }
}

/// Failures of one subject that cost nothing.
const FREE_FAILURES: i64 = 5;
/// The longest that a subject is made to wait after a failure.
const LONGEST_LOCK: Span = Span::minutes(15);
/// Failures older than this are forgotten.
const FAILURES_REMEMBERED: Span = Span::hours(24);

/// One machine or one household: an IPv4 address or an IPv6 /64.
pub(crate) fn neighbourhood(source: IpAddr) -> String {
    match source.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

/// Refuses while any of the subjects must still wait.
pub(crate) async fn refuse_while_locked(shop: &Shop, subjects: &[String; 2]) -> Result<()> {
    match locked_for(shop, subjects).await? {
        Some(retry_after) => Err(Refusal::LoginThrottled { retry_after }.into()),
        None => Ok(()),
    }
}

/// How long any of the subjects must still wait.
async fn locked_for(shop: &Shop, subjects: &[String; 2]) -> Result<Option<Span>> {
    let (now, subjects) = (shop.now(), subjects.clone());
    shop.store
        .read(move |tx| {
            let [account, source] = subjects.clone().map(Value::Text);
            Box::pin(async move {
                let row = tx
                    .one(
                        "SELECT MAX(locked_until) AS locked_until FROM login_failure WHERE subject IN ($1, $2)",
                        &[account, source],
                    )
                    .await?;
                let until = row.optional_int("locked_until")?.map(UnixMillis);
                Ok(until.filter(|until| *until > now).map(|until| until.since(now)))
            })
        })
        .await
}

/// Counts a failure for each subject; from the sixth on each doubles the wait, from one second to a quarter of an hour.
pub(crate) async fn note_failure(shop: &Shop, subjects: [String; 2]) -> Result<()> {
    let now = shop.now();
    shop.store
        .transaction(move |tx| {
            let subjects = subjects.clone();
            Box::pin(async move {
                for subject in subjects {
                    let subject = Value::Text(subject);
                    let row = tx
                        .one(
                            "INSERT INTO login_failure (subject, failures, last_at, locked_until) VALUES ($1, 1, $2, 0)
                             ON CONFLICT (subject) DO UPDATE SET last_at = excluded.last_at,
                                 failures = CASE WHEN login_failure.last_at <= $3 THEN 1 ELSE login_failure.failures + 1 END
                             RETURNING failures",
                            &[
                                subject.clone(),
                                Value::Int(now.0),
                                Value::Int(now.minus(FAILURES_REMEMBERED).0),
                            ],
                        )
                        .await?;
                    let beyond = row.int("failures")? - FREE_FAILURES;
                    if beyond > 0 {
                        let doublings = u32::try_from(beyond - 1).unwrap_or(u32::MAX).min(20);
                        let lock = Span::seconds(1 << doublings).min(LONGEST_LOCK);
                        tx.execute(
                            "UPDATE login_failure SET locked_until = $1 WHERE subject = $2",
                            &[Value::Int(now.plus(lock).0), subject],
                        )
                        .await?;
                    }
                }
                Ok(())
            })
        })
        .await
}

pub(crate) async fn forget_failures(shop: &Shop, subjects: [String; 2]) -> Result<()> {
    shop.store
        .transaction(move |tx| {
            let [account, source] = subjects.clone().map(Value::Text);
            Box::pin(async move {
                tx.execute(
                    "DELETE FROM login_failure WHERE subject IN ($1, $2)",
                    &[account, source],
                )
                .await?;
                Ok(())
            })
        })
        .await
}

/// Forgets failures that count no more, at most `limit` subjects; how many.
pub(crate) async fn forget_old_failures(tx: &mut Tx, now: UnixMillis, limit: i64) -> Result<u64> {
    tx.execute(
        "DELETE FROM login_failure WHERE subject IN
             (SELECT subject FROM login_failure WHERE last_at <= $1 ORDER BY last_at LIMIT $2)",
        &[Value::Int(now.minus(FAILURES_REMEMBERED).0), Value::Int(limit)],
    )
    .await
}

/// Whether [`create`] would take these; it says so before anything is used up.
pub(crate) fn check_form(email: &str, password: &SecretString) -> Result<()> {
    normal_email(email).ok_or_else(|| Refusal::MalformedEmail(email.to_owned()))?;
    passwords::check_form(password)
}

/// An e-mail address as it is stored and compared: without blanks around it, in lower case. Absent where it is none.
fn normal_email(text: &str) -> Option<String> {
    let email = text.trim().to_lowercase();
    let (local, domain) = email.split_once('@')?;
    let is_fit = !local.is_empty()
        && !domain.contains('@')
        && domain.split('.').count() >= 2
        && domain.split('.').all(|label| !label.is_empty())
        && email.len() <= 254
        && !email
            .chars()
            .any(|c| c.is_whitespace() || c.is_control() || "<>()[],;:\\\"".contains(c));
    is_fit.then_some(email)
}

/// The id of the account with this e-mail address.
pub(crate) async fn id_of(tx: &mut Tx, email: &str) -> Result<AccountId> {
    Ok(id_with_role(tx, email).await?.0)
}

/// The id of the account with this e-mail address, and what it may do.
pub(crate) async fn id_with_role(tx: &mut Tx, email: &str) -> Result<(AccountId, Role)> {
    let unknown = || Error::from(Refusal::UnknownAccount(email.to_owned()));
    let normal = normal_email(email).ok_or_else(unknown)?;
    let row = tx
        .optional("SELECT id, role FROM account WHERE email = $1", &[Value::Text(normal)])
        .await?
        .ok_or_else(unknown)?;
    Ok((row.parsed("id")?, row.parsed("role")?))
}

async fn one(tx: &mut Tx, email: &str, now: UnixMillis) -> Result<Account> {
    let id = id_of(tx, email).await?;
    of_id(tx, &id, now).await
}

async fn of_id(tx: &mut Tx, id: &AccountId, now: UnixMillis) -> Result<Account> {
    let row = tx
        .optional(
            "SELECT a.id, a.email, a.role, a.status, a.created_at, l.balance,
                    (SELECT COUNT(*) FROM subscription s
                     WHERE s.account_id = a.id AND s.state = 'active' AND s.ends_at > $2) AS active_subscriptions
             FROM account a JOIN ledger_account l ON l.id = a.id WHERE a.id = $1",
            &[Value::Text(id.to_string()), Value::Int(now.0)],
        )
        .await?
        .ok_or_else(|| Refusal::UnknownAccount(id.to_string()))?;
    account(&row)
}

/// From a row of the account, its balance and the count of its running subscriptions.
pub(crate) fn account(row: &Row) -> Result<Account> {
    Ok(Account {
        id: row.parsed("id")?,
        email: row.text("email")?,
        role: row.parsed("role")?,
        status: row.parsed("status")?,
        balance: Cents(row.int("balance")?),
        active_subscriptions: row.int("active_subscriptions")?,
        created_at: UnixMillis(row.int("created_at")?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn email_addresses_are_compared_without_case_and_told_from_other_texts() {
        assert_eq!(normal_email(" Ann@Example.COM "), Some("ann@example.com".to_owned()));
        for other in [
            "",
            "ann",
            "@example.com",
            "ann@",
            "ann@example",
            "a b@example.com",
            "a@b@c.com",
            "a@b..c",
            "<a@b.c>",
        ] {
            assert_eq!(normal_email(other), None, "{other}");
        }
    }
}
