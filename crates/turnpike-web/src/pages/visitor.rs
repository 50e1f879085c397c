//! Who may see a page or send its form.
//!
//! Every handler names one of these types as its first parameter. They can only be made by [`Visitor::admit`], so a handler that
//! forgets to say who may call it does not compile, as with the API's operations.

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

/// Somebody who is signed in.
pub(crate) struct Customer(Session);

/// Somebody who is signed in and gave his password a moment ago: for dangerous steps.
pub(crate) struct Confirmed(Session);

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

impl Visitor for Customer {
    fn admit(desk: &Desk) -> Result<Self, Trouble> {
        match &desk.session {
            Some(session) if session.needs_code => Err(Trouble::CodeFirst),
            Some(session) => Ok(Self(session.clone())),
            None => Err(Trouble::SignInFirst),
        }
    }
}

impl Visitor for Confirmed {
    fn admit(desk: &Desk) -> Result<Self, Trouble> {
        let Customer(session) = Customer::admit(desk)?;
        if session.is_confirmed {
            Ok(Self(session))
        } else {
            Err(Trouble::ConfirmFirst)
        }
    }
}

impl Visitor for Operator {
    fn admit(desk: &Desk) -> Result<Self, Trouble> {
        let Customer(session) = Customer::admit(desk)?;
        match session.role {
            Role::Operator => Ok(Self(session)),
            Role::Customer => Err(Trouble::Failed(ApiError::NoSuchPath)),
        }
    }
}

impl Visitor for ConfirmedOperator {
    fn admit(desk: &Desk) -> Result<Self, Trouble> {
        // First: whoever has nothing to do here is not told to confirm anything.
        Operator::admit(desk)?;
        let Confirmed(session) = Confirmed::admit(desk)?;
        Ok(Self(session))
    }
}

macro_rules! signed_in {
    ($($name:ident),+) => {$(
        impl $name {
            /// The session.
            pub(crate) fn session(&self) -> &Session {
                &self.0
            }

            /// Whose it is.
            pub(crate) fn account(&self) -> &AccountId {
                &self.0.account
            }
        }
    )+};
}
signed_in!(Customer, Confirmed);

macro_rules! operators {
    ($($name:ident),+) => {$(
        impl $name {
            /// By what name the audit log knows him.
            pub(crate) fn actor(&self) -> &str {
                &self.0.email
            }
        }
    )+};
}
operators!(Operator, ConfirmedOperator);
