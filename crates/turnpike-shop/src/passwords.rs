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
    let turn = AT_ONCE
        .acquire()
        .await
        .map_err(|error| Error::Failed(error.to_string()))?;
    // The turn ends with the work, which goes on when whoever asked for it has hung up.
    let worked = tokio::task::spawn_blocking(move || {
        let worked = work();
        drop(turn);
        worked
    });
    worked
        .await
        .map_err(|error| Error::Failed(format!("hashing a password: {error}")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test's broken assumption should stop it")]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, mpsc};

    use super::*;

    /// So many are at work, and so many were at most.
    #[derive(Default)]
    struct Counted {
        now: AtomicUsize,
        most: AtomicUsize,
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn two_are_worked_on_at_once_even_if_who_asked_has_hung_up() {
        let counted = Arc::new(Counted::default());
        let (begun, wait_begun) = mpsc::channel();
        let mut going_on = Vec::new();
        let asking: Vec<_> = (0..6)
            .map(|_| {
                let (counted, begun) = (Arc::clone(&counted), begun.clone());
                let (go_on, wait) = mpsc::channel::<()>();
                going_on.push(go_on);
                tokio::spawn(off_the_runtime(move || {
                    let now = counted.now.fetch_add(1, Ordering::SeqCst) + 1;
                    counted.most.fetch_max(now, Ordering::SeqCst);
                    begun.send(()).unwrap();
                    // Until told to go on, or until the test is over.
                    let _over = wait.recv();
                    counted.now.fetch_sub(1, Ordering::SeqCst);
                }))
            })
            .collect();
        tokio::task::block_in_place(|| {
            wait_begun.recv().unwrap();
            wait_begun.recv().unwrap();
        });
        // All hang up; those at work go on, and a turn ends only with its work.
        for asked in asking {
            asked.abort();
            assert!(asked.await.unwrap_err().is_cancelled());
        }
        assert_eq!(AT_ONCE.available_permits(), 0);
        drop(going_on);
        assert!(!verify("nobody's password".into(), None).await.unwrap());
        assert_eq!(counted.most.load(Ordering::SeqCst), 2);
    }

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
