//! What a refusal says on a page.

use turnpike_shop::Refusal;

/// What a failure of ours says, below its heading and above the request's id.
pub(crate) const BROKEN: &str = "try again in a moment; if it happens again, tell your provider which request it was";

/// What a rate limit says.
pub(crate) fn too_fast(seconds: u64) -> String {
    format!("too many requests; try again in {seconds} s")
}

/// What a refusal says on a page, where the sentence for programs names operations and fields that no page has.
pub(crate) fn on_a_page(refusal: &Refusal) -> Option<&'static str> {
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
