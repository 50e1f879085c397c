//! What can come of a verb besides success: a refusal, which is the customer's to read, or a failure, which is the operator's.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::notices::MOST_WEBHOOKS;
use crate::rotation::MOST_LINKS;
use crate::types::{AccountId, Cents, Span};

/// What a verb answers.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a verb did nothing. Nothing is kept of it in either case.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The rules say no; the sentence is for whoever asked.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The database cannot be reached or is too busy; the same call may succeed later.
    #[error("the database cannot be used just now: {0}")]
    Unavailable(String),
    /// The disk is full: nothing can be recorded until there is room.
    #[error("the database's disk is full: {0}")]
    StorageFull(String),
    /// A defect or a damaged database; logged once, answered without detail.
    #[error("{0}")]
    Failed(String),
}

/// A rule of the shop that said no, with what its sentence needs. Where one is kept ([`crate::auto_renew::Trouble`]) it is its code
/// and that data, so that its sentence is written when it is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "code", content = "data", rename_all = "snake_case")]
pub enum Refusal {
    /// The API key or token is absent, unknown, revoked or expired.
    #[error("this API key or token is not valid")]
    Unauthorized,
    /// The account has been suspended.
    #[error("this account is suspended; contact support")]
    AccountSuspended,
    /// The key may only read.
    #[error("this API key may only read; use one with full access")]
    ReadOnlyKey,
    /// The key may not give trials.
    #[error("this API key may not give trials; contact support to enable it")]
    TrialNotPermitted,
    /// Running the shop was asked for with a key that has no permission for it, or by a customer.
    #[error("this is for operators: use an operator's API key that was made with the operator permission")]
    OperatorsOnly,
    /// A key that is to run the shop, of somebody who does not.
    #[error("{0} is a customer's account; only an operator can have a key with the operator permission")]
    NotAnOperator(String),
    /// What only the account's password opens was asked for with a key.
    #[error("an API key cannot do this; send a token of /api/auth/token as Authorization: Bearer")]
    TokenWanted,
    /// The key is used from an address that it does not allow.
    #[error("this API key is not allowed from this address")]
    SourceNotAllowed,
    /// No such plan.
    #[error("no plan has this planId; list them with op=plans")]
    UnknownPlan,
    /// No such subscription, or somebody else's.
    #[error("no subscription of yours has this subscriptionId")]
    SubscriptionNotFound,
    /// No such network.
    #[error("no network has this targetNetwork; list them with op=available-networks")]
    UnknownNetwork,
    /// The coupon does not exist, is over, used up, or used up by this account.
    #[error("this coupon does not apply: {0}")]
    InvalidCoupon(CouponProblem),
    /// The balance does not cover the price.
    #[error("the balance of {balance} does not cover the price of {price}; add {missing} or more", missing = Cents(price.0 - balance.0))]
    InsufficientBalance {
        /// What the account has.
        balance: Cents,
        /// What the order costs.
        price: Cents,
    },
    /// The plan or its network is no longer sold.
    #[error("this plan is no longer sold; list the current ones with op=plans")]
    PlanInactive,
    /// Fewer free slots than asked for.
    #[error("sold out: {free} of {wanted} are free")]
    SoldOut {
        /// How many are free.
        free: i64,
        /// How many were asked for.
        wanted: i64,
    },
    /// The gateway has no free port.
    #[error("sold out: the gateway has no free port")]
    NoFreePort,
    /// This plan does not renew this subscription.
    #[error("this plan cannot renew this subscription; list those that can with op=renewal-plans")]
    NotARenewalPlan,
    /// The subscription's grace period is over, or its slot was sold to somebody else meanwhile.
    #[error("this subscription has ended, and its port or its exit is no longer kept for it; buy a new one")]
    RenewalTooLate,
    /// The subscription has ended.
    #[error("this subscription has ended; renew it first")]
    SubscriptionEnded,
    /// The target network is the present one.
    #[error("this subscription is in this network already")]
    SameNetwork,
    /// The target network is not sold at present.
    #[error("this network is not available; list those that are with op=available-networks")]
    NetworkInactive,
    /// The subscription's exit cannot rotate, or others share it.
    #[error("rotation is not available for this subscription")]
    RotationUnavailable,
    /// The exit was rotated a moment ago.
    #[error("rotated a moment ago; try again in {} s", retry_after.0.div_euclid(1000) + 1)]
    RotationCooldown {
        /// How long until it may be rotated again.
        retry_after: Span,
    },
    /// A rotation did not give a new address in time.
    #[error("the exit could not be rotated; it works on with its present address")]
    RotationFailed,
    /// The subscription has no such link.
    #[error("this subscription has no link with this linkId; list them with op=rotate-links")]
    LinkNotFound,
    /// The subscription has a link of this name that does something else.
    #[error("this subscription has another link of this name; choose another name, or revoke that link first")]
    LinkNameTaken,
    /// The subscription has as many links as it may.
    #[error("this subscription has {MOST_LINKS} links already; revoke one first")]
    TooManyLinks,
    /// The subscription's own link cannot be without a token.
    #[error("a subscription keeps its own link; renew it, and the old one works no more")]
    OwnLink,
    /// The link is used from an address that it does not allow.
    #[error("this link does not work from {0}; who made it can allow that address with a new link")]
    LinkNotAllowedFrom(IpAddr),
    /// This plan has no trial.
    #[error("this plan offers no trial")]
    NoTrialOfPlan,
    /// One trial per account and network in 30 days.
    #[error("this account has had a trial in this network within 30 days")]
    TrialUsed {
        /// How long until the next one.
        retry_after: Span,
    },
    /// The Idempotency-Key came before with another body.
    #[error("this Idempotency-Key was used with a different request; use a new one")]
    IdempotencyMismatch,
    /// The Idempotency-Key's first request is still running.
    #[error("the first request with this Idempotency-Key is still running; send it again in a moment")]
    IdempotencyInFlight,
    /// The e-mail address or password is wrong.
    #[error("the e-mail address or the password is wrong")]
    WrongLogin,
    /// Too many wrong logins.
    #[error("too many failed logins; try again in {} s", retry_after.0.div_euclid(1000) + 1)]
    LoginThrottled {
        /// How long to wait.
        retry_after: Span,
    },
    /// A note that is too long or cannot be shown.
    #[error("a note has at most 200 characters, without line breaks")]
    UnfitNote,
    /// The operator has not opened webhooks.
    #[error("this shop calls no webhooks")]
    WebhooksOff,
    /// An address that no webhook can have.
    #[error("a webhook's address begins with https:// and has at most 500 characters, without a user name or a #")]
    UnfitUrl,
    /// The account has as many webhooks as it may.
    #[error("this account has {MOST_WEBHOOKS} webhooks already; delete one first")]
    TooManyWebhooks,
    /// No such webhook, or somebody else's.
    #[error("no webhook of yours has this id")]
    WebhookNotFound,
    /// The webhook was given up.
    #[error("this webhook is switched off; switch it on first")]
    WebhookDisabled,
    /// Test calls wait already.
    #[error("test calls to this webhook wait already; look at what comes of them first")]
    TestsWaiting,
    /// No such delivery, or somebody else's.
    #[error("no delivery of yours has this id")]
    DeliveryNotFound,
    /// A limit for low balances that is no amount of money.
    #[error("a low balance is an amount like 5.00, at most 1000000.00")]
    UnfitLowBalance,
    /// A key's name that is absent, too long or cannot be shown.
    #[error("a key's name has 1 to 64 characters, without line breaks")]
    UnfitKeyName,
    /// The account has a second factor, and no code came with the password.
    #[error("this account asks for a code too; send the one that your authenticator shows")]
    CodeWanted,
    /// The second factor's code is wrong, or was used before.
    #[error("this code is wrong or was used before; wait for the next one, or give a recovery code")]
    WrongCode,
    /// The account has a second factor already.
    #[error("this account has a second factor already; switch it off first")]
    SecondFactorEnabled,
    /// The link does not make an operator.
    #[error("this link has been used, or a newer one was made; start the server anew for another")]
    NotInvited,
    /// No account with this e-mail address.
    #[error("no account has the e-mail address {0}")]
    UnknownAccount(String),
    /// The e-mail address has an account.
    #[error("{0} has an account already")]
    AccountExists(String),
    /// Not an e-mail address.
    #[error("\"{0}\" is not an e-mail address")]
    MalformedEmail(String),
    /// A password that is too short or too long.
    #[error("a password has 10 to 256 characters")]
    UnfitPassword,
    /// No such key.
    #[error("no API key has the id {0}")]
    UnknownApiKey(String),
    /// An operator who would lock himself out.
    #[error("this is your own account; another operator can suspend it")]
    OwnAccount,
    /// Money moved by hand without a reason, or with one that is too long or cannot be shown.
    #[error("say why, in 1 to 200 characters without line breaks")]
    UnfitReason,
    /// Money moved by a form that was sent before.
    #[error("this has been booked already; the statement shows it")]
    BookedAlready,
    /// A catalogue that was looked at before something else changed it.
    #[error("the difference is not the one that you have looked at any more; look at it again")]
    CatalogueMoved,
    /// An operator who looks at a customer's pages, and would change something there.
    #[error("you are looking at a customer's pages, where nothing can be changed; end that first")]
    ViewIsReadOnly,
    /// No such exit.
    #[error("no exit has this id")]
    UnknownExit,
    /// No network with this code.
    #[error("no network has the code {0}")]
    NoSuchNetwork(String),
    /// No such order.
    #[error("no order has this id")]
    UnknownOrder,
    /// An order that cost nothing.
    #[error("this order cost nothing, so there is nothing to give back")]
    NothingToRefund,
    /// An order whose price was given back before.
    #[error("this order has been refunded already")]
    RefundedAlready,
    /// A debit of more than the balance.
    #[error("the account {account} has {balance}; {amount} cannot be taken from it")]
    OverDebit {
        /// Whose.
        account: AccountId,
        /// What it has.
        balance: Cents,
        /// What was to be taken.
        amount: Cents,
    },
    /// More than an account can hold.
    #[error("{0} is more than an account can hold")]
    BeyondMoney(Cents),
    /// The catalogue contradicts itself or the database.
    #[error("{0}")]
    Catalogue(String),
}

/// Why a coupon does not apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum CouponProblem {
    /// No such code, or it was withdrawn.
    #[error("there is no such code")]
    Unknown,
    /// Its time is over.
    #[error("its time is over")]
    Expired,
    /// All redemptions are used.
    #[error("it has been used up")]
    UsedUp,
    /// This account has had its share.
    #[error("this account has used it as often as it may")]
    UsedByAccount,
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test's broken assumption should stop it")]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_refusal_is_kept_by_names_that_do_not_change() {
        for (refusal, kept) in [
            (
                Refusal::InsufficientBalance {
                    balance: Cents(100),
                    price: Cents(1_200),
                },
                json!({ "code": "insufficient_balance", "data": { "balance": 100, "price": 1_200 } }),
            ),
            (Refusal::AccountSuspended, json!({ "code": "account_suspended" })),
            (Refusal::UnknownPlan, json!({ "code": "unknown_plan" })),
            (Refusal::PlanInactive, json!({ "code": "plan_inactive" })),
            (Refusal::NotARenewalPlan, json!({ "code": "not_a_renewal_plan" })),
            (Refusal::RenewalTooLate, json!({ "code": "renewal_too_late" })),
            (
                Refusal::InvalidCoupon(CouponProblem::UsedUp),
                json!({ "code": "invalid_coupon", "data": "used_up" }),
            ),
        ] {
            assert_eq!(serde_json::to_value(&refusal).unwrap(), kept);
            assert_eq!(serde_json::from_value::<Refusal>(kept).unwrap(), refusal);
        }
    }
}
