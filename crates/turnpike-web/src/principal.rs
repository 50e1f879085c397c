//! Who asks, and as what they may ask.
//!
//! Every operation names one of the [`Caller`] types in its signature. They can only be made from a [`Principal`] by
//! [`Caller::admit`], so an operation that forgets to say who may call it does not compile, and one that says it cannot be
//! called by anybody else.

use turnpike_shop::Refusal;
use turnpike_shop::account::SignedIn;
use turnpike_shop::api_key;
use turnpike_shop::types::{AccountId, ApiKeyId, Role};

/// Somebody who has proved who they are.
#[derive(Debug, Clone)]
pub(crate) enum Principal {
    /// By an API key, which may be restricted.
    Key(api_key::Caller),
    /// By e-mail address and password, as the short-lived token says.
    Account(SignedIn),
}

impl Principal {
    pub(crate) fn account(&self) -> &AccountId {
        match self {
            Self::Key(caller) => &caller.account,
            Self::Account(signed_in) => &signed_in.account,
        }
    }

    /// What its rate limit is kept under: each key has its own, an account's tokens share one.
    pub(crate) fn limit_key(&self) -> String {
        match self {
            Self::Key(caller) => format!("key {}", caller.key),
            Self::Account(signed_in) => format!("account {}", signed_in.account),
        }
    }

    fn is_read_only(&self) -> bool {
        match self {
            Self::Key(caller) => caller.read_only,
            Self::Account(_) => false,
        }
    }

    /// The shop is run by operators: by their keys with that permission, or by their password.
    fn may_run_the_shop(&self) -> bool {
        match self {
            Self::Key(caller) => caller.operator,
            Self::Account(signed_in) => signed_in.role == Role::Operator,
        }
    }

    /// Trials are given by keys with that permission; a signed-in customer has no such key.
    fn may_give_trials(&self) -> bool {
        match self {
            Self::Key(caller) => caller.allow_trial,
            Self::Account(_) => false,
        }
    }
}

/// A role in which somebody may call an operation.
pub(crate) trait Caller: Sized + Send {
    /// No key is enough.
    const WANTS_TOKEN: bool = false;

    /// The principal in this role, or why not.
    fn admit(principal: &Principal) -> Result<Self, Refusal>;
}

macro_rules! roles {
    ($($(#[$doc:meta])* $name:ident;)+) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub(crate) struct $name {
            account: AccountId,
        }

        impl $name {
            /// Whose account is acted on.
            pub(crate) fn account(&self) -> &AccountId {
                &self.account
            }
        }
    )+};
}

roles! {
    /// May look at what is his and what is sold.
    Reader;
    /// May spend the account's balance and change its subscriptions.
    Buyer;
    /// May give trials.
    Trialist;
    /// Has shown the account's password, not a key of it: may say who else gets in.
    Owner;
}

impl Caller for Reader {
    fn admit(principal: &Principal) -> Result<Self, Refusal> {
        Ok(Self {
            account: principal.account().clone(),
        })
    }
}

impl Caller for Buyer {
    fn admit(principal: &Principal) -> Result<Self, Refusal> {
        if principal.is_read_only() {
            return Err(Refusal::ReadOnlyKey);
        }
        Ok(Self {
            account: principal.account().clone(),
        })
    }
}

impl Caller for Owner {
    const WANTS_TOKEN: bool = true;

    fn admit(principal: &Principal) -> Result<Self, Refusal> {
        match principal {
            Principal::Account(signed_in) => Ok(Self {
                account: signed_in.account.clone(),
            }),
            // A key that makes keys would outlive its own end and reach beyond its own addresses.
            Principal::Key(_) => Err(Refusal::TokenWanted),
        }
    }
}

/// May look at all of the shop.
#[derive(Debug)]
pub(crate) struct OperatorReader;

impl Caller for OperatorReader {
    fn admit(principal: &Principal) -> Result<Self, Refusal> {
        if !principal.may_run_the_shop() {
            return Err(Refusal::OperatorsOnly);
        }
        Ok(Self)
    }
}

/// May run the shop.
#[derive(Debug)]
pub(crate) struct Operator {
    account: AccountId,
    key: Option<ApiKeyId>,
}

impl Operator {
    /// Who it is.
    pub(crate) fn account(&self) -> &AccountId {
        &self.account
    }

    /// The key that was shown, where it was no token.
    pub(crate) fn key(&self) -> Option<&ApiKeyId> {
        self.key.as_ref()
    }
}

impl Caller for Operator {
    fn admit(principal: &Principal) -> Result<Self, Refusal> {
        // First: whoever has nothing to do here is not told what his key would have to be.
        OperatorReader::admit(principal)?;
        if principal.is_read_only() {
            return Err(Refusal::ReadOnlyKey);
        }
        let key = match principal {
            Principal::Key(caller) => Some(caller.key.clone()),
            Principal::Account(_) => None,
        };
        Ok(Self {
            account: principal.account().clone(),
            key,
        })
    }
}

impl Caller for Trialist {
    fn admit(principal: &Principal) -> Result<Self, Refusal> {
        let buyer = Buyer::admit(principal)?;
        if !principal.may_give_trials() {
            return Err(Refusal::TrialNotPermitted);
        }
        Ok(Self { account: buyer.account })
    }
}
