//! What a page says when something cannot be done, in English.

use turnpike_shop::address_list::NotAList;
use turnpike_shop::rotation::NotAName;
use turnpike_shop::types::{NotAPolicy, OutOfRange};
use turnpike_shop::{Error as ShopError, Refusal};

use crate::error::{self, ApiError};

/// Why a field's text is none of its values.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unfit {
    /// A list of addresses.
    #[error(transparent)]
    Addresses(#[from] NotAList),
    /// The name of a link.
    #[error(transparent)]
    LinkName(#[from] NotAName),
    /// How often an exit rotates.
    #[error(transparent)]
    Policy(#[from] NotAPolicy),
    /// How many of something.
    #[error(transparent)]
    Count(#[from] OutOfRange),
}

/// Why a request for a page came to nothing: as programs are told it, without the words that the contract has put before some, and
/// without those that only programs know.
pub(super) fn trouble(error: &ApiError) -> String {
    match error {
        ApiError::Shop(ShopError::Refused(refusal)) => {
            on_a_page(refusal).map_or_else(|| refusal.to_string(), ToOwned::to_owned)
        }
        // Its heading says what happened, and its last line which request it was.
        ApiError::Shop(ShopError::Failed(_)) | ApiError::Panicked => BROKEN.to_owned(),
        ApiError::Limited(exceeded) => too_fast(exceeded.standing.reset),
        other => error::sentence(other),
    }
}

/// What a failure of ours says, below its heading and above the request's id.
const BROKEN: &str = "try again in a moment; if it happens again, tell your provider which request it was";

/// What a rate limit says.
fn too_fast(seconds: u64) -> String {
    format!("too many requests; try again in {seconds} s")
}

/// What a refusal says on a page, where the sentence for programs names operations and fields that no page has.
fn on_a_page(refusal: &Refusal) -> Option<&'static str> {
    Some(match refusal {
        Refusal::UnknownPlan => "this plan is not sold; choose another one",
        Refusal::SubscriptionNotFound => "you have no such subscription",
        Refusal::UnknownNetwork | Refusal::NetworkInactive => "this network is not available; choose another one",
        Refusal::PlanInactive => "this plan is no longer sold; choose another one",
        Refusal::NotARenewalPlan => "this plan cannot renew this subscription; choose another one",
        Refusal::LinkNotFound => "this link is no longer there",
        Refusal::IdempotencyMismatch => "this form was sent before with something else in it; load the page anew",
        Refusal::IdempotencyInFlight => "this is being done already; look again in a moment",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use turnpike_shop::types::Cents;

    use super::*;

    #[test]
    fn pages_speak_of_pages() {
        let fields = ["op=", "Id", "targetNetwork", "Idempotency"];
        for refusal in [
            Refusal::UnknownPlan,
            Refusal::SubscriptionNotFound,
            Refusal::UnknownNetwork,
            Refusal::NetworkInactive,
            Refusal::PlanInactive,
            Refusal::NotARenewalPlan,
            Refusal::LinkNotFound,
            Refusal::IdempotencyMismatch,
            Refusal::IdempotencyInFlight,
        ] {
            let said = on_a_page(&refusal).unwrap_or_default();
            assert!(
                !said.is_empty() && !fields.iter().any(|word| said.contains(word)),
                "{said}"
            );
        }
        assert_eq!(on_a_page(&Refusal::BeyondMoney(Cents(1))), None);
    }
}
