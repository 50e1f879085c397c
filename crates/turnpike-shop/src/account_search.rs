//! Finding accounts among many, for operators.

use crate::account::{self, Account};
use crate::error::Result;
use crate::search::pattern;
use crate::shop::Shop;
use crate::store::Value;
use crate::types::{AccountId, AccountStatus, Role, UnixMillis};

/// What is looked for, and which part of what is found.
#[derive(Debug, Clone)]
pub struct AccountSearch {
    /// Anywhere in the e-mail address, or the whole id; empty for all.
    pub text: String,
    /// Those of this role only.
    pub role: Option<Role>,
    /// Those of this status only.
    pub status: Option<AccountStatus>,
    /// Those behind this one.
    pub after: Option<Place>,
    /// At most so many.
    pub limit: i64,
}

/// A place in the list, which has the newest accounts first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// When the account was made.
    pub created_at: UnixMillis,
    /// The account.
    pub id: AccountId,
}

/// The accounts that fit, newest first, and whether there are more.
///
/// # Errors
/// Only the database's.
pub async fn accounts(shop: &Shop, search: AccountSearch) -> Result<(Vec<Account>, bool)> {
    let (at, id) = search.after.as_ref().map_or((i64::MAX, String::new()), |place| {
        (place.created_at.0, place.id.to_string())
    });
    let values = [
        Value::Text(pattern(&search.text)),
        Value::Text(search.text.trim().replace('\0', "")),
        Value::Text(search.role.map_or("", Role::as_str).to_owned()),
        Value::Text(search.status.map_or("", AccountStatus::as_str).to_owned()),
        Value::Int(at),
        Value::Text(id),
        // One more than asked for tells whether there are more.
        Value::Int(search.limit + 1),
        Value::Int(shop.now().0),
    ];
    let mut found: Vec<Account> = shop
        .store
        .read(move |tx| {
            let values = values.clone();
            Box::pin(async move {
                let rows = tx
                    .all(
                        "SELECT a.id, a.email, a.role, a.status, a.created_at, l.balance,
                                (SELECT COUNT(*) FROM subscription s
                                 WHERE s.account_id = a.id AND s.state = 'active' AND s.ends_at > $8) AS active_subscriptions
                         FROM account a JOIN ledger_account l ON l.id = a.id
                         WHERE ($1 = '' OR a.email LIKE $1 ESCAPE '!' OR a.id = $2)
                           AND ($3 = '' OR a.role = $3) AND ($4 = '' OR a.status = $4)
                           AND (a.created_at, a.id) < ($5, $6) ORDER BY a.created_at DESC, a.id DESC LIMIT $7",
                        &values,
                    )
                    .await?;
                rows.iter().map(account::account).collect()
            })
        })
        .await?;
    let limit = usize::try_from(search.limit).unwrap_or(usize::MAX);
    let has_more = found.len() > limit;
    found.truncate(limit);
    Ok((found, has_more))
}
