//! Sessions: browsers that are signed in, by a cookie whose token is stored as its hash.
//!
//! A session ends after [`IDLE`] without a request, [`LONGEST`] after it began, when it is revoked, when the account is
//! suspended and, but for the one that does it, when its password is changed. Whoever gains a privilege by it (signs in, gives
//! the code, confirms the password) gets a new token, so that a token planted before is worth nothing.

use std::net::IpAddr;

use secrecy::{ExposeSecret as _, SecretString};

use crate::account::{self, SignedIn};
use crate::audit_log::{self, Actor};
use crate::error::{Refusal, Result};
use crate::notices::{self, News, Subject};
use crate::passwords;
use crate::second_factor;
use crate::secrets;
use crate::shop::Shop;
use crate::sources;
use crate::store::{Row, Tx, Value};
use crate::types::{AccountId, AccountStatus, Role, SessionId, Span, UnixMillis};

/// How long a session lasts without a request.
pub const IDLE: Span = Span::hours(24);
/// How long it lasts at most.
pub const LONGEST: Span = Span::days(30);
/// How long the second factor's code is waited for.
const CODE_WAIT: Span = Span::minutes(10);
/// How long after a password was given dangerous steps need no other.
const CONFIRMED: Span = Span::minutes(10);
/// How exactly the last use is known.
const SEEN_GRAIN: Span = Span::minutes(1);
/// How much of what a browser calls itself is kept.
const AGENT_LENGTH: usize = 200;

/// Where a session comes from.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The address.
    pub source: IpAddr,
    /// What the browser calls itself.
    pub agent: String,
}

/// What a right password leads to. The token is for the cookie and nothing else.
#[derive(Debug)]
pub enum Begun {
    /// To a session.
    SignedIn(SecretString),
    /// To the question for the second factor's code.
    NeedsCode(SecretString),
}

/// A session that is open, and whose it is.
#[derive(Debug, Clone)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// Whose.
    pub account: AccountId,
    /// The owner's e-mail address.
    pub email: String,
    /// What the owner may do.
    pub role: Role,
    /// The password was right, and the second factor's code is still wanted: nobody is signed in yet.
    pub needs_code: bool,
    /// Whether the password was given a moment ago, so that dangerous steps may be taken.
    pub is_confirmed: bool,
    /// When it began.
    pub created_at: UnixMillis,
    /// When it was used last, to the minute.
    pub seen_at: UnixMillis,
    /// The address that it began from.
    pub source: String,
    /// What the browser called itself then.
    pub agent: String,
    /// Whose pages an operator looks at just now ([`crate::view_as`]).
    pub viewing: Option<Viewed>,
}

/// A customer whose pages an operator looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Viewed {
    /// Which.
    pub account: AccountId,
    /// His e-mail address.
    pub email: String,
}

/// Signs in by e-mail address and password, or, where the account has a second factor, comes as far as its question.
///
/// # Errors
/// [`Refusal::WrongLogin`], [`Refusal::LoginThrottled`], [`Refusal::AccountSuspended`].
pub async fn sign_in(shop: &Shop, email: &str, password: SecretString, origin: Origin) -> Result<Begun> {
    let who = account::check_password(shop, email, password, origin.source).await?;
    let needs_code = second_factor::is_enabled(shop, &who.account).await?;
    let token = begin(shop, &who, needs_code, &origin).await?;
    Ok(if needs_code {
        Begun::NeedsCode(token)
    } else {
        Begun::SignedIn(token)
    })
}

/// Gives the second factor's code (or a recovery code) to a session that waits for it; its new token.
///
/// # Errors
/// [`Refusal::Unauthorized`] (no such session, or it has waited too long), [`Refusal::WrongCode`], [`Refusal::LoginThrottled`].
pub async fn give_code(shop: &Shop, token: &str, code: &str, source: IpAddr) -> Result<SecretString> {
    let session = find(shop, token).await?;
    if !session.needs_code {
        return Err(Refusal::Unauthorized.into());
    }
    second_factor::check(shop, &session.account, code, source).await?;
    advance(shop, &session, true).await
}

/// Gives the password once more, before a dangerous step; the session's new token.
///
/// # Errors
/// [`Refusal::Unauthorized`], [`Refusal::WrongLogin`], [`Refusal::LoginThrottled`].
pub async fn confirm(shop: &Shop, token: &str, password: SecretString, source: IpAddr) -> Result<SecretString> {
    let session = find(shop, token).await?;
    if session.needs_code {
        return Err(Refusal::Unauthorized.into());
    }
    account::check_password(shop, &session.email, password, source).await?;
    advance(shop, &session, false).await
}

/// Opens a session for somebody who has just proved who he is.
pub(crate) async fn begin(shop: &Shop, who: &SignedIn, needs_code: bool, origin: &Origin) -> Result<SecretString> {
    let token = secrets::random_token();
    let now = Value::Int(shop.now().0);
    let values = [
        Value::Text(SessionId::random().to_string()),
        hashed(&token),
        Value::Text(who.account.to_string()),
        Value::Int(who.version),
        Value::Int(i64::from(needs_code)),
        now,
        Value::Text(origin.source.to_canonical().to_string()),
        Value::Text(printable(&origin.agent)),
    ];
    let (owned, account) = (shop.clone(), who.account.clone());
    let (from, source, agent) = (
        origin.source,
        origin.source.to_canonical().to_string(),
        printable(&origin.agent),
    );
    shop.store
        .transaction(move |tx| {
            let (shop, account, values) = (owned.clone(), account.clone(), values.clone());
            let (source, agent) = (source.clone(), agent.clone());
            Box::pin(async move {
                tx.execute(
                    "INSERT INTO session (id, token_hash, account_id, account_version, needs_code, created_at, seen_at,
                                          confirmed_at, source, agent)
                     VALUES ($1, $2, $3, $4, $5, $6, $6, $6, $7, $8)",
                    &values,
                )
                .await?;
                sources::note(tx, &account, from, shop.now()).await?;
                if !needs_code {
                    let news = News::SignedIn { source, agent };
                    notices::tell(&shop, tx, Subject::Account(&account), news).await?;
                }
                Ok(())
            })
        })
        .await?;
    Ok(token)
}

/// The session has proved more than before: it gets another token, and may take dangerous steps for a while.
async fn advance(shop: &Shop, session: &Session, is_new: bool) -> Result<SecretString> {
    let token = secrets::random_token();
    let values = [
        hashed(&token),
        Value::Int(shop.now().0),
        Value::Text(session.id.to_string()),
    ];
    let (owned, session) = (shop.clone(), session.clone());
    let changed = shop
        .store
        .transaction(move |tx| {
            let (shop, session, values) = (owned.clone(), session.clone(), values.clone());
            Box::pin(async move {
                if is_new {
                    let news = News::SignedIn {
                        source: session.source,
                        agent: session.agent,
                    };
                    notices::tell(&shop, tx, Subject::Account(&session.account), news).await?;
                }
                tx.execute(
                    "UPDATE session SET token_hash = $1, needs_code = 0, seen_at = $2, confirmed_at = $2 WHERE id = $3",
                    &values,
                )
                .await
            })
        })
        .await?;
    match changed {
        0 => Err(Refusal::Unauthorized.into()),
        _ => Ok(token),
    }
}

/// The session of a token, and notes that it is used.
///
/// # Errors
/// [`Refusal::Unauthorized`]: there is none, or it is over.
pub async fn find(shop: &Shop, token: &str) -> Result<Session> {
    let (now, hash) = (shop.now(), hashed(&SecretString::from(token)));
    let session = shop
        .store
        .read(move |tx| {
            let hash = hash.clone();
            Box::pin(async move {
                let row = tx
                    .optional(
                        "SELECT s.id, s.account_id, s.account_version, s.needs_code, s.created_at, s.seen_at, s.confirmed_at,
                                s.source, s.agent, a.email, a.role, a.status, a.version,
                                v.id AS viewed, v.email AS viewed_email
                         FROM session s JOIN account a ON a.id = s.account_id
                         LEFT JOIN account v ON v.id = s.viewed_account AND s.viewed_until > $2
                         WHERE s.token_hash = $1",
                        &[hash, Value::Int(now.0)],
                    )
                    .await?
                    .ok_or(Refusal::Unauthorized)?;
                let is_void = row.int("version")? != row.int("account_version")?
                    || row.parsed::<AccountStatus>("status")? == AccountStatus::Suspended;
                let mut session = read(&row, now)?;
                if let Some(account) = row.optional_parsed("viewed")? {
                    session.viewing = Some(Viewed {
                        account,
                        email: row.text("viewed_email")?,
                    });
                }
                if is_void || session.is_over(now) {
                    return Err(Refusal::Unauthorized.into());
                }
                Ok(session)
            })
        })
        .await?;
    if session.seen_at <= now.minus(SEEN_GRAIN) {
        note_use(shop, &session.id, now).await?;
    }
    Ok(session)
}

async fn note_use(shop: &Shop, id: &SessionId, now: UnixMillis) -> Result<()> {
    let id = Value::Text(id.to_string());
    shop.store
        .transaction(move |tx| {
            let id = id.clone();
            Box::pin(async move {
                tx.execute(
                    "UPDATE session SET seen_at = $1 WHERE id = $2",
                    &[Value::Int(now.0), id],
                )
                .await?;
                Ok(())
            })
        })
        .await
}

/// An account's open sessions, the one used last first.
///
/// # Errors
/// Only the database's.
pub async fn list(shop: &Shop, account: &AccountId) -> Result<Vec<Session>> {
    let (now, id) = (shop.now(), Value::Text(account.to_string()));
    shop.store
        .read(move |tx| {
            let id = id.clone();
            Box::pin(async move {
                let rows = tx
                    .all(
                        "SELECT s.id, s.account_id, s.needs_code, s.created_at, s.seen_at, s.confirmed_at, s.source, s.agent,
                                a.email, a.role
                         FROM session s JOIN account a ON a.id = s.account_id
                         WHERE s.account_id = $1 AND s.account_version = a.version AND s.needs_code = 0
                         ORDER BY s.seen_at DESC, s.created_at DESC, s.id",
                        &[id],
                    )
                    .await?;
                let all: Vec<Session> = rows.iter().map(|row| read(row, now)).collect::<Result<_>>()?;
                Ok(all.into_iter().filter(|session| !session.is_over(now)).collect())
            })
        })
        .await
}

/// Ends one of an account's sessions; one that is over already stays over.
///
/// # Errors
/// Only the database's.
pub async fn revoke(shop: &Shop, account: &AccountId, id: &SessionId) -> Result<()> {
    let values = [Value::Text(id.to_string()), Value::Text(account.to_string())];
    shop.store
        .transaction(move |tx| {
            let values = values.clone();
            Box::pin(async move {
                tx.execute("DELETE FROM session WHERE id = $1 AND account_id = $2", &values)
                    .await?;
                Ok(())
            })
        })
        .await
}

/// Ends an account's sessions but this one; how many.
///
/// # Errors
/// Only the database's.
pub async fn revoke_others(shop: &Shop, account: &AccountId, kept: &SessionId) -> Result<u64> {
    let values = [Value::Text(kept.to_string()), Value::Text(account.to_string())];
    shop.store
        .transaction(move |tx| {
            let values = values.clone();
            Box::pin(async move {
                tx.execute("DELETE FROM session WHERE id <> $1 AND account_id = $2", &values)
                    .await
            })
        })
        .await
}

/// Gives the owner of a session another password: all other sessions and all tokens end.
///
/// # Errors
/// [`Refusal::UnfitPassword`], [`Refusal::WrongLogin`] (the current password), [`Refusal::LoginThrottled`].
pub async fn change_password(
    shop: &Shop,
    session: &Session,
    current: SecretString,
    new: SecretString,
    source: IpAddr,
) -> Result<()> {
    passwords::check_form(&new)?;
    account::check_password(shop, &session.email, current, source).await?;
    let hash = passwords::hash(new).await?;
    let (now, session) = (shop.now(), session.clone());
    shop.store
        .transaction(move |tx| {
            let (session, hash) = (session.clone(), hash.clone());
            Box::pin(
                async move { replace_password(tx, &session.email, &session.account, Some(&session), hash, now).await },
            )
        })
        .await
}

/// The new hash, and the end of all sessions but one.
pub(crate) async fn replace_password(
    tx: &mut Tx,
    actor: impl Into<Actor>,
    account: &AccountId,
    kept: Option<&Session>,
    hash: String,
    now: UnixMillis,
) -> Result<()> {
    let owner = Value::Text(account.to_string());
    let row = tx
        .one(
            "UPDATE account SET password_hash = $1, version = version + 1 WHERE id = $2 RETURNING version, email",
            &[Value::Text(hash), owner.clone()],
        )
        .await?;
    let kept = kept.map_or(String::new(), |session| session.id.to_string());
    tx.execute(
        "DELETE FROM session WHERE account_id = $1 AND id <> $2",
        &[owner, Value::Text(kept.clone())],
    )
    .await?;
    tx.execute(
        "UPDATE session SET account_version = $1 WHERE id = $2",
        &[Value::Int(row.int("version")?), Value::Text(kept)],
    )
    .await?;
    audit_log::write(
        tx,
        actor,
        "account.password",
        &row.text("email")?,
        &serde_json::json!({}),
        now,
    )
    .await
}

/// Forgets sessions that are over, at most `limit`; how many.
pub(crate) async fn forget(tx: &mut Tx, now: UnixMillis, limit: i64) -> Result<u64> {
    tx.execute(
        "DELETE FROM session WHERE id IN (SELECT id FROM session WHERE seen_at <= $1 ORDER BY seen_at LIMIT $2)",
        &[Value::Int(now.minus(IDLE).0), Value::Int(limit)],
    )
    .await
}

impl Session {
    fn is_over(&self, now: UnixMillis) -> bool {
        let is_idle = self.seen_at <= now.minus(IDLE);
        let has_waited = self.needs_code && self.created_at <= now.minus(CODE_WAIT);
        is_idle || has_waited || self.created_at <= now.minus(LONGEST)
    }
}

fn read(row: &Row, now: UnixMillis) -> Result<Session> {
    Ok(Session {
        id: row.parsed("id")?,
        account: row.parsed("account_id")?,
        email: row.text("email")?,
        role: row.parsed("role")?,
        needs_code: row.int("needs_code")? == 1,
        is_confirmed: row.int("confirmed_at")? > now.minus(CONFIRMED).0,
        created_at: UnixMillis(row.int("created_at")?),
        seen_at: UnixMillis(row.int("seen_at")?),
        source: row.text("source")?,
        agent: row.text("agent")?,
        viewing: None,
    })
}

/// 256 bits that nobody can guess.
fn hashed(token: &SecretString) -> Value {
    Value::Bytes(secrets::hash(token.expose_secret().as_bytes()).to_vec())
}

/// Without what PostgreSQL cannot store, and not longer than anybody reads.
fn printable(agent: &str) -> String {
    agent.chars().filter(|c| !c.is_control()).take(AGENT_LENGTH).collect()
}
