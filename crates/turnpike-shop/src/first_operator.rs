//! The first operator: whoever holds the link that `serve` prints while the shop has no account at all.

use secrecy::{ExposeSecret as _, SecretString};

use crate::account::{self, Account};
use crate::error::{Refusal, Result};
use crate::secrets;
use crate::shop::Shop;
use crate::store::{Tx, Value};
use crate::types::Role;

const ROW: &str = "first_operator_link";

/// A fresh token for the link, which voids those before it; absent once there is an account.
///
/// # Errors
/// Only the database's.
pub async fn invite(shop: &Shop) -> Result<Option<SecretString>> {
    let token = secrets::random_token();
    let hash = hashed(token.expose_secret());
    let is_invited = shop
        .store
        .transaction(move |tx| {
            let hash = hash.clone();
            Box::pin(async move {
                if has_accounts(tx).await? {
                    return Ok(false);
                }
                tx.execute(
                    "INSERT INTO meta (name, value) VALUES ($1, $2)
                     ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                    &[Value::Text(ROW.to_owned()), Value::Bytes(hash)],
                )
                .await?;
                Ok(true)
            })
        })
        .await?;
    Ok(is_invited.then_some(token))
}

/// Whether the link with this token still makes an operator.
///
/// # Errors
/// [`Refusal::NotInvited`].
pub async fn check(shop: &Shop, token: &str) -> Result<()> {
    let hash = hashed(token);
    shop.store
        .read(move |tx| {
            let hash = hash.clone();
            Box::pin(async move {
                let known = tx
                    .optional(
                        "SELECT name FROM meta WHERE name = $1 AND value = $2",
                        &[Value::Text(ROW.to_owned()), Value::Bytes(hash)],
                    )
                    .await?;
                match known {
                    Some(_) if !has_accounts(tx).await? => Ok(()),
                    _ => Err(Refusal::NotInvited.into()),
                }
            })
        })
        .await
}

/// Makes the first operator by the link's token, which works once.
///
/// # Errors
/// [`Refusal::NotInvited`], [`Refusal::MalformedEmail`], [`Refusal::UnfitPassword`].
pub async fn make(shop: &Shop, token: &str, email: &str, password: SecretString) -> Result<Account> {
    check(shop, token).await?;
    account::check_form(email, &password)?;
    // The row decides between two that come at once; a wrong form does not use it up.
    let hash = hashed(token);
    let used = shop
        .store
        .transaction(move |tx| {
            let hash = hash.clone();
            Box::pin(async move {
                tx.execute(
                    "DELETE FROM meta WHERE name = $1 AND value = $2",
                    &[Value::Text(ROW.to_owned()), Value::Bytes(hash)],
                )
                .await
            })
        })
        .await?;
    if used == 0 {
        return Err(Refusal::NotInvited.into());
    }
    account::create(shop, "first start", email, Role::Operator, Some(password)).await
}

async fn has_accounts(tx: &mut Tx) -> Result<bool> {
    Ok(tx.optional("SELECT id FROM account LIMIT 1", &[]).await?.is_some())
}

fn hashed(token: &str) -> Vec<u8> {
    secrets::hash(token.as_bytes()).to_vec()
}
