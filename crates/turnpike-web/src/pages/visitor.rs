//! Who may see a page or send its form.
//!
//! Every handler names one of these types as its first parameter. They can only be made by [`Visitor::admit`], so a handler that
//! forgets to say who may call it does not compile, as with the API's operations.

use http::Method;
use turnpike_shop::Refusal;
use turnpike_shop::session::Session;
use turnpike_shop::types::{AccountId, Role};

use super::desk::Desk;
use super::trouble::Trouble;
use crate::error::ApiError;

/// A role in which somebody may call a handler.
pub(crate) trait Visitor: Sized + Send + 'static {
    /// The visitor in this role, or where to send him.
    fn admit(desk: &Desk) -> Result<Self, Trouble>;
}

/// Anybody, signed in or not.
pub(crate) struct Anyone;

/// Somebody who has given his password and still owes the second factor's code.
pub(crate) struct HalfSignedIn;

/// Somebody who is signed in, as himself.
pub(crate) struct SignedIn;

/// Somebody who is signed in, or whose pages an operator looks at.
pub(crate) struct Customer(Session);

/// Somebody who is signed in and gave his password a moment ago: for dangerous steps.
pub(crate) struct Confirmed(Customer);

/// Somebody who is signed in and runs the shop. For everybody else there is nothing here.
pub(crate) struct Operator(Session);

/// The same who gave his password a moment ago: for what moves money or shuts somebody out.
pub(crate) struct ConfirmedOperator(Session);

impl Visitor for Anyone {
    fn admit(_: &Desk) -> Result<Self, Trouble> {
        Ok(Self)
    }
}

impl Visitor for HalfSignedIn {
    fn admit(desk: &Desk) -> Result<Self, Trouble> {
        match &desk.session {
            Some(session) if session.needs_code => Ok(Self),
            _ => Err(Trouble::SignInFirst),
        }
    }
}

/// Whose session it is, whatever it shows just now.
fn owner(desk: &Desk) -> Result<&Session, Trouble> {
    match &desk.session {
        Some(session) if session.needs_code => Err(Trouble::CodeFirst),
        Some(session) => Ok(session),
        None => Err(Trouble::SignInFirst),
    }
}

impl Visitor for SignedIn {
    fn admit(desk: &Desk) -> Result<Self, Trouble> {
        owner(desk).map(|_| Self)
    }
}

impl Visitor for Customer {
    /// An operator who looks at a customer's pages is that customer, and may only look.
    fn admit(desk: &Desk) -> Result<Self, Trouble> {
        let session = owner(desk)?;
        let Some(viewed) = &session.viewing else {
            return Ok(Self(session.clone()));
        };
        if !matches!(desk.head.method, Method::GET | Method::HEAD) {
            return Err(Refusal::ViewIsReadOnly.into());
        }
        Ok(Self(Session {
            account: viewed.account.clone(),
            email: viewed.email.clone(),
            role: Role::Customer,
            ..session.clone()
        }))
    }
}

impl Visitor for Confirmed {
    fn admit(desk: &Desk) -> Result<Self, Trouble> {
        let session = owner(desk)?;
        if session.viewing.is_some() {
            return Err(Refusal::ViewIsReadOnly.into());
        }
        let customer = Customer(session.clone());
        customer.confirmed()?;
        Ok(Self(customer))
    }
}

impl Visitor for Operator {
    fn admit(desk: &Desk) -> Result<Self, Trouble> {
        let session = owner(desk)?;
        match session.role {
            Role::Operator => Ok(Self(session.clone())),
            Role::Customer => Err(Trouble::Failed(ApiError::NoSuchPath)),
        }
    }
}

impl Visitor for ConfirmedOperator {
    fn admit(desk: &Desk) -> Result<Self, Trouble> {
        // First: whoever has nothing to do here is not told to confirm anything.
        let Operator(session) = Operator::admit(desk)?;
        if session.is_confirmed {
            Ok(Self(session))
        } else {
            Err(Trouble::ConfirmFirst)
        }
    }
}

impl Customer {
    /// The session.
    pub(crate) fn session(&self) -> &Session {
        &self.0
    }

    /// Whose it is.
    pub(crate) fn account(&self) -> &AccountId {
        &self.0.account
    }

    /// Goes on only if he gave his password a moment ago: where what the form says decides whether the step is a dangerous one.
    pub(crate) fn confirmed(&self) -> Result<(), Trouble> {
        match self.0.is_confirmed {
            true => Ok(()),
            false => Err(Trouble::ConfirmFirst),
        }
    }
}

impl std::ops::Deref for Confirmed {
    type Target = Customer;

    fn deref(&self) -> &Customer {
        &self.0
    }
}

macro_rules! operators {
    ($($name:ident),+) => {$(
        impl $name {
            /// By what name the audit log knows him.
            pub(crate) fn actor(&self) -> &str {
                &self.0.email
            }

            /// His session.
            pub(crate) fn session(&self) -> &Session {
                &self.0
            }
        }
    )+};
}
operators!(Operator, ConfirmedOperator);
