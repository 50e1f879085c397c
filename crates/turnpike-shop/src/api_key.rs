//! API keys: `rk_`, an id of 12 characters, a secret of 43, a checksum of 4. Only the secret's hash is stored.
//!
//! The checksum lets a mistyped key, and a leaked one found in public code, be told without asking a database.

use std::net::IpAddr;

use ipnet::IpNet;
use rand::RngExt as _;
use secrecy::SecretString;
use serde::Serialize;
use subtle::ConstantTimeEq as _;

use crate::account;
use crate::audit_log::{self, Actor};
use crate::error::{Error, Refusal, Result};
use crate::secrets;
use crate::shop::Shop;
use crate::sources;
use crate::store::{Row, Tx, Value};
use crate::types::{API_KEY_ID_LENGTH, AccountId, AccountStatus, ApiKeyId, Role, Span, UnixMillis};

const PREFIX: &str = "rk_";
/// 43 characters of 62 are 256 bits.
const SECRET_LENGTH: usize = 43;
const CHECKSUM_LENGTH: usize = 4;
const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// The longest name that an owner gives to a key.
const NAME_LENGTH: usize = 64;

/// How exactly a key's last use is known.
const LAST_USE_GRAIN: Span = Span::minutes(1);

/// What a new key may do.
#[derive(Debug, Clone, Default)]
pub struct NewApiKey {
    /// The owner's name for it.
    pub name: String,
    /// It may only read.
    pub read_only: bool,
    /// It may give trials.
    pub allow_trial: bool,
    /// It may run the shop, as far as it may do more than read.
    pub operator: bool,
    /// When it stops working.
    pub expires_at: Option<UnixMillis>,
    /// Addresses that it works from; empty for all.
    pub allowed_sources: Vec<IpNet>,
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
    /// It may run the shop, as far as it may do more than read.
    pub operator: bool,
    /// When it was made.
    pub created_at: UnixMillis,
    /// When it stops working.
    pub expires_at: Option<UnixMillis>,
    /// When it was revoked.
    pub revoked_at: Option<UnixMillis>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<UnixMillis>,
    /// The networks that it works from; empty for all.
    pub allowed_sources: Vec<String>,
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
    /// It may run the shop: the key has that permission, and the owner is an operator.
    pub operator: bool,
}

/// Makes a key; the whole key is returned this once.
///
/// # Errors
/// [`Refusal::UnknownAccount`], [`Refusal::NotAnOperator`].
pub async fn create(
    shop: &Shop,
    actor: impl Into<Actor>,
    email: &str,
    new: NewApiKey,
) -> Result<(ApiKey, SecretString)> {
    let id = ApiKeyId::random();
    let secret = random_secret();
    let key = SecretString::from(written(&id, &secret));
    let secret_hash = secrets::hash(secret.as_bytes()).to_vec();
    let (now, actor, email) = (shop.now(), Actor::of(actor), email.to_owned());
    let made = shop
        .store
        .transaction(move |tx| {
            let (id, secret_hash, new) = (id.clone(), secret_hash.clone(), new.clone());
            let (actor, email) = (actor.clone(), email.clone());
            Box::pin(async move {
                let (owner, role) = account::id_with_role(tx, &email).await?;
                if new.operator && role != Role::Operator {
                    return Err(Refusal::NotAnOperator(email).into());
                }
                let sources: Vec<String> = new.allowed_sources.iter().map(ToString::to_string).collect();
                tx.execute(
                    "INSERT INTO api_key (id, account_id, name, secret_hash, read_only, allow_trial, allowed_sources,
                                          created_at, expires_at, operator)
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
                    &[
                        Value::Text(id.to_string()),
                        Value::Text(owner.to_string()),
                        Value::Text(new.name.clone()),
                        Value::Bytes(secret_hash),
                        Value::Int(i64::from(new.read_only)),
                        Value::Int(i64::from(new.allow_trial)),
                        if sources.is_empty() {
                            Value::NullText
                        } else {
                            Value::Text(sources.join(","))
                        },
                        Value::Int(now.0),
                        new.expires_at.map_or(Value::NullInt, |at| Value::Int(at.0)),
                        Value::Int(i64::from(new.operator)),
                    ],
                )
                .await?;
                let detail = serde_json::json!({
                    "name": new.name, "readOnly": new.read_only, "allowTrial": new.allow_trial, "operator": new.operator,
                });
                audit_log::write(tx, &actor, "key.create", id.as_str(), &detail, now).await?;
                one(tx, &id).await
            })
        })
        .await?;
    Ok((made, key))
}

/// The keys of one account, or all.
///
/// # Errors
/// [`Refusal::UnknownAccount`].
pub async fn list(shop: &Shop, email: Option<&str>) -> Result<Vec<ApiKey>> {
    let email = email.map(str::to_owned);
    shop.store
        .read(move |tx| {
            let email = email.clone();
            Box::pin(async move {
                let owner = match email {
                    Some(email) => Value::Text(account::id_of(tx, &email).await?.to_string()),
                    None => Value::NullText,
                };
                let rows = tx
                    .all(
                        "SELECT k.id, k.account_id, a.email, k.name, k.read_only, k.allow_trial, k.created_at, k.expires_at,
                                k.revoked_at, k.last_used_at, k.allowed_sources, k.operator
                         FROM api_key k JOIN account a ON a.id = k.account_id
                         WHERE $1 IS NULL OR k.account_id = $1 ORDER BY k.created_at, k.id",
                        &[owner],
                    )
                    .await?;
                rows.iter().map(api_key).collect()
            })
        })
        .await
}

/// Revokes a key: the next request with it is refused.
///
/// # Errors
/// [`Refusal::UnknownApiKey`].
pub async fn revoke(shop: &Shop, actor: impl Into<Actor>, id: &str) -> Result<ApiKey> {
    let unknown = || Refusal::UnknownApiKey(id.to_owned());
    let id: ApiKeyId = id.parse().map_err(|_| unknown())?;
    let (now, actor) = (shop.now(), Actor::of(actor));
    shop.store
        .transaction(move |tx| {
            let (id, actor) = (id.clone(), actor.clone());
            Box::pin(async move {
                let changed = tx
                    .execute(
                        "UPDATE api_key SET revoked_at = COALESCE(revoked_at, $1) WHERE id = $2",
                        &[Value::Int(now.0), Value::Text(id.to_string())],
                    )
                    .await?;
                if changed == 0 {
                    return Err(Refusal::UnknownApiKey(id.to_string()).into());
                }
                audit_log::write(tx, &actor, "key.revoke", id.as_str(), &serde_json::json!({}), now).await?;
                one(tx, &id).await
            })
        })
        .await
}

/// Lets a key give trials, or no longer; the next request with it goes by that.
///
/// # Errors
/// [`Refusal::UnknownApiKey`].
pub async fn permit_trial(shop: &Shop, actor: impl Into<Actor>, id: &ApiKeyId, allow: bool) -> Result<ApiKey> {
    let (now, actor, id) = (shop.now(), Actor::of(actor), id.clone());
    shop.store
        .transaction(move |tx| {
            let (id, actor) = (id.clone(), actor.clone());
            Box::pin(async move {
                let changed = tx
                    .execute(
                        "UPDATE api_key SET allow_trial = $1 WHERE id = $2",
                        &[Value::Int(i64::from(allow)), Value::Text(id.to_string())],
                    )
                    .await?;
                if changed == 0 {
                    return Err(Refusal::UnknownApiKey(id.to_string()).into());
                }
                let detail = serde_json::json!({ "allowTrial": allow });
                audit_log::write(tx, &actor, "key.trial", id.as_str(), &detail, now).await?;
                one(tx, &id).await
            })
        })
        .await
}

/// Makes a key for its owner, who is signed in; the whole key is returned this once.
///
/// # Errors
/// [`Refusal::UnfitKeyName`], [`Refusal::NotAnOperator`].
pub async fn create_own(shop: &Shop, email: &str, new: NewApiKey) -> Result<(ApiKey, SecretString)> {
    let name = new.name.trim().to_owned();
    if !(1..=NAME_LENGTH).contains(&name.chars().count()) || name.contains(char::is_control) {
        return Err(Refusal::UnfitKeyName.into());
    }
    create(shop, email, email, NewApiKey { name, ..new }).await
}

/// Revokes one of an account's own keys.
///
/// # Errors
/// [`Refusal::UnknownApiKey`], also for somebody else's.
pub async fn revoke_own(shop: &Shop, email: &str, id: &ApiKeyId) -> Result<ApiKey> {
    match list(shop, Some(email)).await?.iter().any(|key| key.id == *id) {
        true => revoke(shop, email, id.as_str()).await,
        false => Err(Refusal::UnknownApiKey(id.to_string()).into()),
    }
}

/// Who calls with this key. Costs the same for unknown ones.
///
/// # Errors
/// [`Refusal::Unauthorized`], [`Refusal::AccountSuspended`], [`Refusal::SourceNotAllowed`].
pub async fn authenticate(shop: &Shop, key: &str, source: IpAddr) -> Result<Caller> {
    let (id, secret) = read(key).ok_or(Refusal::Unauthorized)?;
    let found = shop
        .store
        .look_up(
            "SELECT k.account_id, k.secret_hash, k.read_only, k.allow_trial, k.allowed_sources, k.expires_at,
                    k.revoked_at, k.last_used_at, k.operator, a.status, a.role
             FROM api_key k JOIN account a ON a.id = k.account_id WHERE k.id = $1",
            vec![Value::Text(id.to_string())],
        )
        .await?;
    let stored = match &found {
        Some(row) => row.bytes("secret_hash")?,
        None => vec![0; 32],
    };
    let is_right = bool::from(secrets::hash(secret.as_bytes()).ct_eq(stored.as_slice()));
    let row = found.filter(|_| is_right).ok_or(Refusal::Unauthorized)?;
    let now = shop.now();
    let has_expired = row.optional_int("expires_at")?.is_some_and(|at| at <= now.0);
    if has_expired || row.optional_int("revoked_at")?.is_some() {
        return Err(Refusal::Unauthorized.into());
    }
    if row.parsed::<AccountStatus>("status")? == AccountStatus::Suspended {
        return Err(Refusal::AccountSuspended.into());
    }
    if !allows(row.optional_text("allowed_sources")?.as_deref(), source)? {
        return Err(Refusal::SourceNotAllowed.into());
    }
    let last_use = row.optional_int("last_used_at")?;
    if last_use.is_none_or(|at| at <= now.minus(LAST_USE_GRAIN).0) {
        note_use(shop, &id, row.parsed("account_id")?, source, now);
    }
    Ok(Caller {
        account: row.parsed("account_id")?,
        read_only: row.int("read_only")? == 1,
        allow_trial: row.int("allow_trial")? == 1,
        operator: row.int("operator")? == 1 && row.parsed::<Role>("role")? == Role::Operator,
        key: id,
    })
}

/// Records the use and where it came from behind the request's back, once for all requests of that moment.
fn note_use(shop: &Shop, id: &ApiKeyId, owner: AccountId, source: IpAddr, now: UnixMillis) {
    if !shop.key_uses.begin(id) {
        return;
    }
    let (shop, id) = (shop.clone(), id.clone());
    tokio::spawn(async move {
        let key = Value::Text(id.to_string());
        let noted = shop
            .store
            .transaction(move |tx| {
                let (key, owner) = (key.clone(), owner.clone());
                Box::pin(async move {
                    tx.execute(
                        "UPDATE api_key SET last_used_at = $1 WHERE id = $2",
                        &[Value::Int(now.0), key],
                    )
                    .await?;
                    sources::note(tx, &owner, source, now).await
                })
            })
            .await;
        if let Err(error) = noted {
            tracing::debug!(%error, "the use of an API key was not noted");
        }
        shop.key_uses.end(&id);
    });
}

/// Whether a stored list of networks has this address; no list has all.
fn allows(list: Option<&str>, source: IpAddr) -> Result<bool> {
    let Some(list) = list else { return Ok(true) };
    let source = source.to_canonical();
    for network in list.split(',') {
        let network: IpNet = network
            .parse()
            .map_err(|_| Error::Failed("an API key's allowed sources hold something else".to_owned()))?;
        if network.contains(&source) {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn one(tx: &mut Tx, id: &ApiKeyId) -> Result<ApiKey> {
    let row = tx
        .one(
            "SELECT k.id, k.account_id, a.email, k.name, k.read_only, k.allow_trial, k.created_at, k.expires_at,
                    k.revoked_at, k.last_used_at, k.allowed_sources, k.operator
             FROM api_key k JOIN account a ON a.id = k.account_id WHERE k.id = $1",
            &[Value::Text(id.to_string())],
        )
        .await?;
    api_key(&row)
}

fn api_key(row: &Row) -> Result<ApiKey> {
    Ok(ApiKey {
        id: row.parsed("id")?,
        account: row.parsed("account_id")?,
        email: row.text("email")?,
        name: row.text("name")?,
        read_only: row.int("read_only")? == 1,
        allow_trial: row.int("allow_trial")? == 1,
        operator: row.int("operator")? == 1,
        created_at: UnixMillis(row.int("created_at")?),
        expires_at: row.optional_int("expires_at")?.map(UnixMillis),
        revoked_at: row.optional_int("revoked_at")?.map(UnixMillis),
        last_used_at: row.optional_int("last_used_at")?.map(UnixMillis),
        allowed_sources: row
            .optional_text("allowed_sources")?
            .map(|list| list.split(',').map(str::to_owned).collect())
            .unwrap_or_default(),
    })
}

fn random_secret() -> String {
    let mut rng = rand::rng();
    (0..SECRET_LENGTH)
        .map(|_| char::from(ALPHABET[rng.random_range(0..ALPHABET.len())]))
        .collect()
}

fn written(id: &ApiKeyId, secret: &str) -> String {
    let body = format!("{PREFIX}{id}{secret}");
    let checksum = checksum(&body);
    format!("{body}{checksum}")
}

/// The parts of a well-formed key.
fn read(key: &str) -> Option<(ApiKeyId, &str)> {
    let body_length = PREFIX.len() + API_KEY_ID_LENGTH + SECRET_LENGTH;
    if key.len() != body_length + CHECKSUM_LENGTH || !key.is_ascii() {
        return None;
    }
    let (body, given) = key.split_at_checked(body_length)?;
    if checksum(body) != given {
        return None;
    }
    let (id, secret) = body.strip_prefix(PREFIX)?.split_at_checked(API_KEY_ID_LENGTH)?;
    Some((id.parse().ok()?, secret))
}

fn checksum(body: &str) -> String {
    let hash = secrets::hash(body.as_bytes());
    hash.iter()
        .take(CHECKSUM_LENGTH)
        .map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()]))
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test's broken assumption should stop it")]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_as_it_was_written_and_no_typing_error_does() {
        let id = ApiKeyId::random();
        let secret = random_secret();
        let key = written(&id, &secret);
        assert_eq!(read(&key), Some((id, secret.as_str())));
        for at in 0..key.len() {
            let mut typed = key.clone().into_bytes();
            typed[at] = if typed[at] == b'x' { b'y' } else { b'x' };
            assert_eq!(read(std::str::from_utf8(&typed).unwrap()), None, "character {at}");
        }
        for other in [
            "",
            "rk_",
            "rk_ä",
            &key[1..],
            &format!("{key}a"),
            "rk_your_long_lived_api_key",
        ] {
            assert_eq!(read(other), None);
        }
    }

    #[test]
    fn a_list_of_sources_is_kept_to() {
        let at = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(allows(None, at("192.0.2.1")).unwrap());
        assert!(allows(Some("192.0.2.0/24,2001:db8::/32"), at("192.0.2.1")).unwrap());
        assert!(allows(Some("192.0.2.0/24"), at("::ffff:192.0.2.1")).unwrap());
        assert!(!allows(Some("192.0.2.0/24"), at("198.51.100.1")).unwrap());
        assert!(allows(Some("garbage"), at("198.51.100.1")).is_err());
    }
}
