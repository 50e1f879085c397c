//! The owner's note on a subscription.

use crate::error::{Refusal, Result};
use crate::shop::Shop;
use crate::store::Value;
use crate::types::{AccountId, SubscriptionId};

/// The longest note.
pub const NOTE_LENGTH: usize = 200;

/// Sets the note; an empty one takes it away.
///
/// # Errors
/// [`Refusal::SubscriptionNotFound`], [`Refusal::UnfitNote`].
pub async fn set_note(shop: &Shop, account: &AccountId, subscription: &SubscriptionId, note: &str) -> Result<()> {
    let note = note.trim();
    if note.chars().count() > NOTE_LENGTH || note.contains(char::is_control) {
        return Err(Refusal::UnfitNote.into());
    }
    let values = [
        Value::Text(note.to_owned()),
        Value::Text(subscription.to_string()),
        Value::Text(account.to_string()),
    ];
    let changed = shop
        .store
        .transaction(move |tx| {
            let values = values.clone();
            Box::pin(async move {
                let own = "UPDATE subscription SET user_note = $1 WHERE id = $2 AND account_id = $3";
                tx.execute(own, &values).await
            })
        })
        .await?;
    match changed {
        0 => Err(Refusal::SubscriptionNotFound.into()),
        _ => Ok(()),
    }
}
