//! The way in and out: signing in, the second factor's code, signing up, the first operator, the password once more.

use askama::Template;
use http::StatusCode;
use turnpike_shop::session::{self, Begun};
use turnpike_shop::types::Role;
use turnpike_shop::{Error as ShopError, Refusal, account, first_operator};

use super::desk::{Desk, Outcome, html, see_other};
use super::frame::{Frame, Place};
use super::texts::{Notice, texts};
use super::trouble::Trouble;
use super::visitor::{Anyone, HalfSignedIn, SignedIn};
use crate::error::{self, ApiError};
use crate::limit::Source;

/// A small page with one form in its middle.
#[derive(Template)]
#[template(path = "entry.html")]
struct EntryPage {
    frame: Frame,
    kind: Kind,
    heading: &'static str,
    lead: &'static str,
    /// Where the form is sent.
    action: String,
    button: &'static str,
    next: String,
    /// Whether a form was sent that is to be sent again.
    again: bool,
    email: String,
    wrong: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    SignIn,
    Code,
    SignUp,
    Setup,
    Confirm,
}

impl Kind {
    fn asks_email(self) -> bool {
        matches!(self, Self::SignIn | Self::SignUp | Self::Setup)
    }

    fn makes_password(self) -> bool {
        matches!(self, Self::SignUp | Self::Setup)
    }
}

/// The form of a kind, empty or with what was wrong with it.
async fn form(desk: &Desk, kind: Kind, wrong: Option<ShopError>) -> Outcome {
    let t = texts();
    let (heading, lead, button) = match kind {
        Kind::SignIn => (t.sign_in, "", t.sign_in),
        Kind::Code => (t.code_heading, t.code_lead, t.continue_),
        Kind::SignUp => (t.sign_up, t.sign_up_lead, t.sign_up),
        Kind::Setup => (t.setup_heading, t.setup_lead, t.setup_action),
        Kind::Confirm => (t.confirm_heading, t.confirm_lead, t.continue_),
    };
    let (status, wrong) = match wrong {
        None => (StatusCode::OK, None),
        Some(refused @ ShopError::Refused(_)) => {
            let (status, sentence) = error::told(&ApiError::Shop(refused), &desk.visit);
            (status, Some(sentence))
        }
        Some(failed) => return Err(failed.into()),
    };
    let page = EntryPage {
        frame: desk.frame(Place::Elsewhere, heading).await?,
        kind,
        heading,
        lead,
        action: desk.head.uri.path().to_owned(),
        button,
        next: desk.fields.next(),
        again: is_again(desk),
        email: desk.fields.text("email").to_owned(),
        wrong,
    };
    Ok(html(status, &page))
}

fn is_again(desk: &Desk) -> bool {
    desk.fields.text("again") == "1"
}

/// `GET /sign-in`
pub(crate) async fn sign_in_form(_: Anyone, desk: Desk) -> Outcome {
    match &desk.session {
        Some(session) if !session.needs_code => Ok(see_other(&desk.fields.next())),
        _ => form(&desk, Kind::SignIn, None).await,
    }
}

/// `POST /sign-in`
pub(crate) async fn sign_in(_: Anyone, desk: Desk) -> Outcome {
    let (email, password) = (desk.fields.text("email"), desk.fields.secret("password"));
    let next = desk.fields.next();
    match session::sign_in(&desk.app.shop, email, password, desk.origin()).await {
        Ok(Begun::SignedIn(token)) => {
            let mut answer = see_other(&next);
            desk.keep_session(&mut answer, &token);
            Ok(answer)
        }
        Ok(Begun::NeedsCode(token)) => {
            let next: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
            let mut answer = see_other(&format!("/sign-in/code?next={next}"));
            desk.keep_session(&mut answer, &token);
            Ok(answer)
        }
        Err(wrong) => form(&desk, Kind::SignIn, Some(wrong)).await,
    }
}

/// `GET /sign-in/code`
pub(crate) async fn code_form(_: HalfSignedIn, desk: Desk) -> Outcome {
    form(&desk, Kind::Code, None).await
}

/// `POST /sign-in/code`
pub(crate) async fn code(_: HalfSignedIn, desk: Desk) -> Outcome {
    let code = desk.fields.text("code");
    match session::give_code(&desk.app.shop, &desk.token, code, desk.visit.source).await {
        Ok(token) => {
            let mut answer = see_other(&desk.fields.next());
            desk.keep_session(&mut answer, &token);
            Ok(answer)
        }
        Err(ShopError::Refused(Refusal::Unauthorized)) => Err(Trouble::SignInFirst),
        Err(wrong) => form(&desk, Kind::Code, Some(wrong)).await,
    }
}

/// `POST /sign-out`
pub(crate) async fn sign_out(_: Anyone, desk: Desk) -> Outcome {
    if let Some(session) = &desk.session {
        session::revoke(&desk.app.shop, &session.account, &session.id).await?;
    }
    let mut answer = desk.done("/sign-in", Notice::SignedOut);
    desk.drop_session(&mut answer);
    Ok(answer)
}

/// `GET /sign-up`
pub(crate) async fn sign_up_form(_: Anyone, desk: Desk) -> Outcome {
    is_open(&desk)?;
    form(&desk, Kind::SignUp, None).await
}

/// `POST /sign-up`
pub(crate) async fn sign_up(_: Anyone, desk: Desk) -> Outcome {
    is_open(&desk)?;
    let source = Source::from(desk.visit.source);
    desk.app.limits.sign_ups.check(source).map_err(ApiError::Limited)?;
    desk.app.limits.sign_ups.note(source);
    let (email, password) = (desk.fields.text("email"), desk.fields.secret("password"));
    match account::create(&desk.app.shop, "sign-up", email, Role::Customer, Some(password)).await {
        Ok(_) => sign_in(Anyone, desk).await,
        Err(wrong) => form(&desk, Kind::SignUp, Some(wrong)).await,
    }
}

fn is_open(desk: &Desk) -> Result<(), Trouble> {
    match desk.app.config.sign_up {
        true => Ok(()),
        false => Err(ApiError::NoSuchPath.into()),
    }
}

/// `GET /setup/{token}`
pub(crate) async fn setup_form(_: Anyone, desk: Desk) -> Outcome {
    first_operator::check(&desk.app.shop, desk.part("token")).await?;
    form(&desk, Kind::Setup, None).await
}

/// `POST /setup/{token}`
pub(crate) async fn setup(_: Anyone, desk: Desk) -> Outcome {
    let (email, password) = (desk.fields.text("email"), desk.fields.secret("password"));
    match first_operator::make(&desk.app.shop, desk.part("token"), email, password).await {
        Ok(_) => sign_in(Anyone, desk).await,
        Err(ShopError::Refused(refusal @ Refusal::NotInvited)) => Err(refusal.into()),
        Err(wrong) => form(&desk, Kind::Setup, Some(wrong)).await,
    }
}

/// `GET /confirm`
pub(crate) async fn confirm_form(_: SignedIn, desk: Desk) -> Outcome {
    form(&desk, Kind::Confirm, None).await
}

/// `POST /confirm`
pub(crate) async fn confirm(_: SignedIn, desk: Desk) -> Outcome {
    let password = desk.fields.secret("password");
    match session::confirm(&desk.app.shop, &desk.token, password, desk.visit.source).await {
        Ok(token) => {
            let mut answer = match is_again(&desk) {
                true => desk.done(&desk.fields.next(), Notice::Confirmed),
                false => see_other(&desk.fields.next()),
            };
            desk.keep_session(&mut answer, &token);
            Ok(answer)
        }
        Err(ShopError::Refused(Refusal::Unauthorized)) => Err(Trouble::SignInFirst),
        Err(wrong) => form(&desk, Kind::Confirm, Some(wrong)).await,
    }
}
