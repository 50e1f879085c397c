//! `/subscriptions/{subscription}/test`: whether a subscription's exit gets out, told in a sentence.

use turnpike_shop::exits::{self, CheckState, ExitCheck};
use turnpike_shop::types::SubscriptionId;

use super::desk::{Desk, Outcome, see_other};
use super::subscription::shown;
use super::texts::texts;
use super::trouble::{Trouble, refused};
use super::visitor::Customer;
use super::when::moment;
use crate::app::note;
use crate::error::ApiError;

/// What the last test found, for the subscription's page.
pub(super) struct Tested {
    pub(super) at: String,
    pub(super) sentence: String,
    /// `good`, `bad`, or nothing while it is under way.
    pub(super) kind: &'static str,
}

impl Tested {
    /// Absent where nobody has tested the exit of late.
    pub(super) async fn of(desk: &Desk, customer: &Customer, id: &SubscriptionId) -> Result<Option<Self>, Trouble> {
        let check = exits::own_check(&desk.app.shop, customer.account(), id).await?;
        Ok(check.as_ref().map(Self::told))
    }

    /// Why it failed is the operator's: it may name what only he knows of.
    fn told(check: &ExitCheck) -> Self {
        let (kind, sentence) = match check.state {
            CheckState::UnderWay => ("", texts().test_under_way.to_owned()),
            CheckState::Works => ("good", works(check)),
            CheckState::Fails => ("bad", texts().test_fails.to_owned()),
            CheckState::NoAnswer => ("bad", texts().test_no_answer.to_owned()),
        };
        Self {
            at: moment(check.requested_at),
            sentence,
            kind,
        }
    }
}

fn works(check: &ExitCheck) -> String {
    let seen = match check.address {
        Some(address) => format!("{} {address}", texts().test_works_from),
        None => texts().test_works.to_owned(),
    };
    match check.took {
        Some(took) => format!("{seen}, {} {} {}.", texts().test_took, took.0, texts().milliseconds),
        None => format!("{seen}."),
    }
}

/// `POST /subscriptions/{subscription}/test`
pub(crate) async fn act(customer: Customer, desk: Desk) -> Outcome {
    let (shop, account) = (&desk.app.shop, customer.account());
    let id: SubscriptionId = desk.id("subscription")?;
    // Each holds a place of the gateway's for some seconds.
    note(&desk.visit, desk.app.limits.tests.check(&account.to_string()))?;
    let tested = async {
        let (exit, number) = exits::ask_own_check(shop, account, &id).await?;
        exits::wait_check(shop, &exit, number).await
    };
    match tested.await {
        Ok(_) => Ok(see_other(&format!("/subscriptions/{id}#test"))),
        Err(error) => {
            let (status, sentence) = refused(ApiError::from(error), &desk)?;
            shown(&customer, &desk, status, Some(sentence)).await
        }
    }
}

#[cfg(test)]
mod tests {
    use turnpike_shop::types::{Span, UnixMillis};

    use super::*;

    #[test]
    fn a_customer_is_told_in_a_sentence_and_nothing_of_the_operators() {
        let check = |state| ExitCheck {
            state,
            requested_at: UnixMillis(0),
            took: Some(Span(84)),
            address: "203.0.113.7".parse().ok(),
            detail: Some("10.0.0.1:1080 refused the password".to_owned()),
        };
        let told = |state| Tested::told(&check(state)).sentence;
        assert_eq!(
            told(CheckState::Works),
            "It works: your connections are seen from 203.0.113.7, and a request through the exit took 84 ms."
        );
        for state in [CheckState::Fails, CheckState::NoAnswer, CheckState::UnderWay] {
            assert!(
                !told(state).contains("10.0.0.1") && told(state).ends_with('.'),
                "{state:?}"
            );
        }
        let unseen = ExitCheck {
            address: None,
            took: None,
            ..check(CheckState::Works)
        };
        assert_eq!(Tested::told(&unseen).sentence, "It works: the exit gets out.");
    }
}
