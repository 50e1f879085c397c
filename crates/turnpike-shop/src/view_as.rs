//! An operator who looks at a customer's pages: to see what the customer sees, and to change nothing.
//!
//! It is a state of the operator's own session, which stays his: nothing is ever done in the customer's name. It ends by itself after
//! [`LONGEST`], and both ends are written in the audit log.

use crate::audit_log;
use crate::error::{Refusal, Result};
use crate::session::Session;
use crate::shop::Shop;
use crate::store::Value;
use crate::types::{AccountId, Role, Span};

/// How long an operator looks at most.
pub const LONGEST: Span = Span::minutes(30);

/// From now on this session shows the customer's pages.
///
/// # Errors
/// [`Refusal::UnknownAccount`] (no such account, or another operator's), [`Refusal::Unauthorized`] (not an operator's session, or it
/// is over).
pub async fn begin(shop: &Shop, session: &Session, account: &AccountId) -> Result<()> {
    let (owned, session, account) = (shop.clone(), session.clone(), account.clone());
    shop.store
        .transaction(move |tx| {
            let (now, session, account) = (owned.now(), session.clone(), account.clone());
            Box::pin(async move {
                let unknown = || Refusal::UnknownAccount(account.to_string());
                let viewed = tx
                    .optional(
                        "SELECT email, role FROM account WHERE id = $1",
                        &[Value::Text(account.to_string())],
                    )
                    .await?
                    .ok_or_else(unknown)?;
                if viewed.parsed::<Role>("role")? != Role::Customer {
                    return Err(unknown().into());
                }
                let changed = tx
                    .execute(
                        "UPDATE session SET viewed_account = $1, viewed_until = $2
                         WHERE id = $3 AND account_id IN (SELECT id FROM account WHERE role = 'operator')",
                        &[
                            Value::Text(account.to_string()),
                            Value::Int(now.plus(LONGEST).0),
                            Value::Text(session.id.to_string()),
                        ],
                    )
                    .await?;
                if changed == 0 {
                    return Err(Refusal::Unauthorized.into());
                }
                let (actor, subject) = (&session.email, viewed.text("email")?);
                audit_log::write(tx, actor, "view.begin", &subject, &serde_json::json!({}), now).await
            })
        })
        .await
}

/// The session shows its owner's own pages again. Ending what has ended changes nothing.
///
/// # Errors
/// Only the database's.
pub async fn end(shop: &Shop, session: &Session) -> Result<()> {
    let (owned, session) = (shop.clone(), session.clone());
    shop.store
        .transaction(move |tx| {
            let (now, session) = (owned.now(), session.clone());
            Box::pin(async move {
                let changed = tx
                    .execute(
                        "UPDATE session SET viewed_account = NULL, viewed_until = NULL
                         WHERE id = $1 AND viewed_account IS NOT NULL",
                        &[Value::Text(session.id.to_string())],
                    )
                    .await?;
                match &session.viewing {
                    Some(viewed) if changed > 0 => {
                        let actor = &session.email;
                        audit_log::write(tx, actor, "view.end", &viewed.email, &serde_json::json!({}), now).await
                    }
                    _ => Ok(()),
                }
            })
        })
        .await
}
