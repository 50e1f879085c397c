//! Passwords: Argon2id, few at once.

use std::sync::LazyLock;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Semaphore;

use crate::error::{Error, Refusal, Result};

/// Hashing takes 19 MiB each; more at once would let strangers take the machine's memory by trying to sign in.
static AT_ONCE: Semaphore = Semaphore::const_new(2);

/// What an unknown account's password is compared with, so that it takes as long as a known one's.
static DUMMY: LazyLock<Option<String>> = LazyLock::new(|| hash_now(&SecretString::from("nobody's password")).ok());

/// The lower bound that OWASP gives for Argon2id: 19 MiB, two passes, one lane.
fn argon2() -> Argon2<'static> {
    let params = Params::new(19 * 1024, 2, 1, None).unwrap_or(Params::DEFAULT);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// The PHC string to store.
///
/// # Errors
/// [`Refusal::UnfitPassword`].
pub(crate) async fn hash(password: SecretString) -> Result<String> {
    check_form(&password)?;
    off_the_runtime(move || hash_now(&password)).await?
}

/// Whether it is neither too short nor too long.
///
/// # Errors
/// [`Refusal::UnfitPassword`].
pub(crate) fn check_form(password: &SecretString) -> Result<()> {
    match password.expose_secret().chars().count() {
        10..=256 => Ok(()),
        _ => Err(Refusal::UnfitPassword.into()),
    }
}

/// Whether this is the password behind a PHC string. Without one it takes as long and is false.
///
/// # Errors
/// [`Error::Failed`] where the stored string is no PHC string.
pub(crate) async fn verify(password: SecretString, stored: Option<String>) -> Result<bool> {
    off_the_runtime(move || {
        let is_known = stored.is_some();
        let Some(stored) = stored.or_else(|| DUMMY.clone()) else {
            return Ok(false);
        };
        let hash =
            PasswordHash::new(&stored).map_err(|error| Error::Failed(format!("a stored password hash: {error}")))?;
        let is_right = argon2()
            .verify_password(password.expose_secret().as_bytes(), &hash)
            .is_ok();
        Ok(is_right && is_known)
    })
    .await?
}

fn hash_now(password: &SecretString) -> Result<String> {
    argon2()
        .hash_password(password.expose_secret().as_bytes())
        .map(|hash| hash.to_string())
        .map_err(|error| Error::Failed(format!("hashing a password: {error}")))
}

async fn off_the_runtime<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let _turn = AT_ONCE
        .acquire()
        .await
        .map_err(|error| Error::Failed(error.to_string()))?;
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::Failed(format!("hashing a password: {error}")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test's broken assumption should stop it")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_fits() {
        let stored = hash("correct horse".into()).await.unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(verify("correct horse".into(), Some(stored.clone())).await.unwrap());
        assert!(!verify("wrong horse".into(), Some(stored)).await.unwrap());
        assert!(!verify("nobody's password".into(), None).await.unwrap());
        assert!(hash("short".into()).await.is_err());
        assert!(hash("x".repeat(257).into()).await.is_err());
    }
}
