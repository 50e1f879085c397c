//! What has been made of subscriptions' rows before, for lists that are asked for again and again.
//!
//! Opening the credentials of a row and deriving its links cost more than reading it, and rows seldom change. What was made of a row is
//! found again by all that the row holds, so it is never older than the row. Use is not part of it: that changes all the time.

use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;

use super::{Subscription, is_due, of_row};
use crate::limits::Usage;
use crate::shop::Shop;
use crate::store::Row;
use crate::written::Text;

/// At some 2.5 KiB each: 20 MiB.
const MOST: u64 = 8_192;

/// What nobody has asked for so long is forgotten.
const RESTING: Duration = Duration::from_secs(600);

/// A subscription, and room for the text that a program made of it. It holds secrets: never log it.
pub struct Kept {
    /// As it stands, but for what it has used.
    pub subscription: Subscription,
    text: Text,
}

impl Kept {
    /// The text that `write` makes of it, which must depend on nothing else but what is the same for as long as the shop is open: it is
    /// made once.
    ///
    /// # Errors
    /// Those of `write`; nothing is kept then.
    pub fn text<E>(&self, write: impl FnOnce(&Subscription) -> Result<String, E>) -> Result<&str, E> {
        self.text.made(|| write(&self.subscription))
    }
}

/// A subscription of a list.
#[derive(Clone)]
pub struct Shown {
    /// All but what it has used.
    pub kept: Arc<Kept>,
    /// What it has used.
    pub usage: Usage,
}

impl From<Shown> for Subscription {
    fn from(shown: Shown) -> Self {
        Self {
            usage: shown.usage,
            ..shown.kept.subscription.clone()
        }
    }
}

/// What is kept, by what stands in the row.
#[derive(Clone)]
pub(crate) struct Keeper(Cache<Box<[u8]>, Arc<Kept>>);

impl Default for Keeper {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(MOST).time_to_idle(RESTING).build())
    }
}

impl Keeper {
    /// What a row shows whose last two columns tell what has been used.
    pub(super) fn shown(&self, shop: &Shop, row: &Row) -> crate::error::Result<Shown> {
        let usage = Usage::read(row)?;
        let mut print = row.print(2)?;
        print.push(u8::from(is_due(shop, row)?));
        if let Some(kept) = self.0.get(print.as_slice()) {
            return Ok(Shown { kept, usage });
        }
        let kept = Arc::new(Kept {
            subscription: Subscription {
                usage: Usage::default(),
                ..of_row(shop, row)?
            },
            text: Text::default(),
        });
        self.0.insert(print.into(), Arc::clone(&kept));
        Ok(Shown { kept, usage })
    }
}
