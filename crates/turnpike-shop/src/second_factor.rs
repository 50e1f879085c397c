//! The second factor: codes of six digits that change every 30 seconds (RFC 6238), and recovery codes for whoever loses the
//! program that makes them.
//!
//! The secret must be used again at each sign-in, so it is sealed like proxy credentials; recovery codes are hashed. A code is
//! accepted once: the time step of the newest one is kept, and a conditional update decides between two that give it at once.

use std::net::IpAddr;

use rand::RngExt as _;
use secrecy::{ExposeSecret as _, SecretString};
use totp_rs::{Builder, Secret, Totp};

use crate::account;
use crate::audit_log;
use crate::error::{Error, Refusal, Result};
use crate::secrets;
use crate::shop::Shop;
use crate::store::Value;
use crate::types::{AccountId, random_lowercase};

/// Bytes of a secret, as RFC 4226 §4 recommends.
const SECRET_LENGTH: usize = 20;
/// How many recovery codes there are.
const RECOVERY_CODES: usize = 10;
/// Characters of one: 62 bits, which nobody guesses one sign-in at a time.
const RECOVERY_LENGTH: usize = 12;

/// How an account's second factor stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Whether signing in asks for a code.
    pub is_enabled: bool,
    /// Recovery codes that have not been used.
    pub recovery_codes: i64,
}

/// How it stands.
///
/// # Errors
/// Only the database's.
pub async fn standing(shop: &Shop, account: &AccountId) -> Result<Standing> {
    let id = Value::Text(account.to_string());
    shop.store
        .read(move |tx| {
            let id = id.clone();
            Box::pin(async move {
                let row = tx
                    .one(
                        "SELECT (SELECT COUNT(*) FROM second_factor WHERE account_id = $1 AND enabled_at IS NOT NULL) AS factors,
                                (SELECT COUNT(*) FROM recovery_code WHERE account_id = $1) AS codes",
                        &[id],
                    )
                    .await?;
                Ok(Standing {
                    is_enabled: row.int("factors")? > 0,
                    recovery_codes: row.int("codes")?,
                })
            })
        })
        .await
}

/// Whether signing in to this account asks for a code.
pub(crate) async fn is_enabled(shop: &Shop, account: &AccountId) -> Result<bool> {
    Ok(standing(shop, account).await?.is_enabled)
}

/// The secret that the owner's program is to be given, in base32. It asks for nothing yet: [`enable`] does, once a code has
/// shown that the program has it. Asked for again before that, it is the same.
///
/// # Errors
/// [`Refusal::SecondFactorEnabled`].
pub async fn offer(shop: &Shop, account: &AccountId) -> Result<SecretString> {
    let fresh = rand::rng().random::<[u8; SECRET_LENGTH]>();
    let sealed = shop.master_key.seal(&associated(account), &fresh)?;
    let values = [Value::Text(account.to_string()), Value::Bytes(sealed)];
    let row = shop
        .store
        .transaction(move |tx| {
            let values = values.clone();
            Box::pin(async move {
                tx.execute(
                    "INSERT INTO second_factor (account_id, sealed_secret, enabled_at, last_step) VALUES ($1, $2, NULL, 0)
                     ON CONFLICT (account_id) DO NOTHING",
                    &values,
                )
                .await?;
                let [id, _] = values;
                tx.one("SELECT sealed_secret, enabled_at FROM second_factor WHERE account_id = $1", &[id])
                    .await
            })
        })
        .await?;
    if row.optional_int("enabled_at")?.is_some() {
        return Err(Refusal::SecondFactorEnabled.into());
    }
    let secret = shop
        .master_key
        .open(&associated(account), &row.bytes("sealed_secret")?)?;
    Ok(SecretString::from(Secret::from(secret.to_vec()).to_base32()))
}

/// From now on signing in asks for a code. Answers the recovery codes, this once.
///
/// # Errors
/// [`Refusal::WrongCode`], [`Refusal::LoginThrottled`], [`Refusal::SecondFactorEnabled`].
pub async fn enable(
    shop: &Shop,
    account: &AccountId,
    email: &str,
    code: &str,
    source: IpAddr,
) -> Result<Vec<SecretString>> {
    if is_enabled(shop, account).await? {
        return Err(Refusal::SecondFactorEnabled.into());
    }
    let subjects = subjects(account, source);
    account::refuse_while_locked(shop, &subjects).await?;
    let Some(step) = matching_step(shop, account, code).await? else {
        account::note_failure(shop, subjects).await?;
        return Err(Refusal::WrongCode.into());
    };
    account::forget_failures(shop, subjects).await?;
    let codes: Vec<String> = (0..RECOVERY_CODES).map(|_| random_lowercase(RECOVERY_LENGTH)).collect();
    let hashes: Vec<Value> = codes.iter().map(|code| hashed(code)).collect();
    let (now, id, email) = (shop.now(), Value::Text(account.to_string()), email.to_owned());
    shop.store
        .transaction(move |tx| {
            let (id, email, hashes) = (id.clone(), email.clone(), hashes.clone());
            Box::pin(async move {
                let changed = tx
                    .execute(
                        "UPDATE second_factor SET enabled_at = $1, last_step = $2 WHERE account_id = $3 AND enabled_at IS NULL",
                        &[Value::Int(now.0), Value::Int(step), id.clone()],
                    )
                    .await?;
                if changed == 0 {
                    return Err(Refusal::SecondFactorEnabled.into());
                }
                for hash in hashes {
                    tx.execute(
                        "INSERT INTO recovery_code (account_id, code_hash) VALUES ($1, $2)",
                        &[id.clone(), hash],
                    )
                    .await?;
                }
                audit_log::write(tx, &email, "account.second-factor.enable", &email, &serde_json::json!({}), now).await
            })
        })
        .await?;
    Ok(codes.iter().map(|code| SecretString::from(spaced(code))).collect())
}

/// Signing in asks for no code any more; the recovery codes are void.
///
/// # Errors
/// Only the database's.
pub async fn disable(shop: &Shop, account: &AccountId, email: &str) -> Result<()> {
    let (now, id, email) = (shop.now(), Value::Text(account.to_string()), email.to_owned());
    shop.store
        .transaction(move |tx| {
            let (id, email) = (id.clone(), email.clone());
            Box::pin(async move {
                tx.execute(
                    "DELETE FROM recovery_code WHERE account_id = $1",
                    std::slice::from_ref(&id),
                )
                .await?;
                tx.execute("DELETE FROM second_factor WHERE account_id = $1", &[id])
                    .await?;
                audit_log::write(
                    tx,
                    &email,
                    "account.second-factor.disable",
                    &email,
                    &serde_json::json!({}),
                    now,
                )
                .await
            })
        })
        .await
}

/// Accepts a code or a recovery code, once. Slows down after failures; only who knows the password gets here, so no stranger
/// can lock the owner out by it.
///
/// # Errors
/// [`Refusal::WrongCode`], [`Refusal::LoginThrottled`].
pub(crate) async fn check(shop: &Shop, account: &AccountId, code: &str, source: IpAddr) -> Result<()> {
    let subjects = subjects(account, source);
    account::refuse_while_locked(shop, &subjects).await?;
    let is_right = match matching_step(shop, account, code).await? {
        Some(step) => use_step(shop, account, step).await?,
        None => use_recovery_code(shop, account, code).await?,
    };
    if is_right {
        account::forget_failures(shop, subjects).await
    } else {
        account::note_failure(shop, subjects).await?;
        Err(Refusal::WrongCode.into())
    }
}

fn subjects(account: &AccountId, source: IpAddr) -> [String; 2] {
    let neighbourhood = account::neighbourhood(source);
    [format!("code of {account}"), format!("codes from {neighbourhood}")]
}

/// The time step whose code this is, this moment or one step to either side.
async fn matching_step(shop: &Shop, account: &AccountId, code: &str) -> Result<Option<i64>> {
    let code: String = code.chars().filter(char::is_ascii_digit).collect();
    let id = Value::Text(account.to_string());
    let row = shop
        .store
        .read(move |tx| {
            let id = id.clone();
            Box::pin(async move {
                tx.optional("SELECT sealed_secret FROM second_factor WHERE account_id = $1", &[id])
                    .await
            })
        })
        .await?;
    let Some(row) = row else { return Ok(None) };
    let secret = shop
        .master_key
        .open(&associated(account), &row.bytes("sealed_secret")?)?;
    let seconds = u64::try_from(shop.now().0.div_euclid(1_000)).unwrap_or(0);
    let step = generator(secret.to_vec())?.check(&code, seconds);
    Ok(step.and_then(|step| i64::try_from(step).ok()))
}

async fn use_step(shop: &Shop, account: &AccountId, step: i64) -> Result<bool> {
    let values = [Value::Int(step), Value::Text(account.to_string())];
    changes_a_row(
        shop,
        "UPDATE second_factor SET last_step = $1 WHERE account_id = $2 AND last_step < $1",
        values,
    )
    .await
}

async fn use_recovery_code(shop: &Shop, account: &AccountId, code: &str) -> Result<bool> {
    let bare: String = code
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect();
    let values = [Value::Text(account.to_string()), hashed(&bare)];
    changes_a_row(
        shop,
        "DELETE FROM recovery_code WHERE account_id = $1 AND code_hash = $2",
        values,
    )
    .await
}

async fn changes_a_row(shop: &Shop, sql: &'static str, values: [Value; 2]) -> Result<bool> {
    let changed = shop
        .store
        .transaction(move |tx| {
            let values = values.clone();
            Box::pin(async move { tx.execute(sql, &values).await })
        })
        .await?;
    Ok(changed > 0)
}

/// SHA-1, six digits, 30 seconds: what every program for it knows.
fn generator(secret: Vec<u8>) -> Result<Totp> {
    Builder::new()
        .with_secret(secret)
        .build()
        .map_err(|error| Error::Failed(format!("the secret of a second factor: {error}")))
}

fn hashed(code: &str) -> Value {
    Value::Bytes(secrets::hash(code.as_bytes()).to_vec())
}

/// In groups of four, as people read it.
fn spaced(code: &str) -> String {
    let letters: Vec<char> = code.chars().collect();
    let groups: Vec<String> = letters.chunks(4).map(|group| group.iter().collect()).collect();
    groups.join("-")
}

fn associated(account: &AccountId) -> String {
    format!("second factor of account {account}")
}

/// The code that the owner's program shows for this secret at a moment; for tests of whoever asks for one.
///
/// # Errors
/// The text is no secret of [`offer`]'s.
pub fn code_at(secret: &SecretString, at: crate::types::UnixMillis) -> Result<String> {
    let secret = Secret::try_from_base32(secret.expose_secret())
        .map_err(|error| Error::Failed(format!("the secret of a second factor: {error}")))?;
    let seconds = u64::try_from(at.0.div_euclid(1_000)).unwrap_or(0);
    Ok(generator(secret.as_ref().to_vec())?.generate(seconds).to_string())
}
