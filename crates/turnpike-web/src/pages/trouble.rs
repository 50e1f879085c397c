//! Why a page was not shown, as a page or as a way on.

use askama::Template;
use axum::response::Response;
use http::{HeaderMap, StatusCode, header};
use turnpike_shop::{Error as ShopError, Refusal};

use super::desk::{Desk, html, see_other};
use super::frame::{Frame, Place};
use super::texts::texts;
use crate::error::{self, ApiError};
use crate::visit::Visit;

/// Why a handler did not answer by itself.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// Nobody is signed in.
    SignInFirst,
    /// The second factor's code is missing.
    CodeFirst,
    /// The password was not given lately.
    ConfirmFirst,
    /// Anything else, by the table of all errors.
    Failed(ApiError),
}

impl From<ApiError> for Trouble {
    fn from(error: ApiError) -> Self {
        Self::Failed(error)
    }
}

impl From<ShopError> for Trouble {
    fn from(error: ShopError) -> Self {
        match error {
            // The session has ended since the request came.
            ShopError::Refused(Refusal::Unauthorized) => Self::SignInFirst,
            other => Self::Failed(ApiError::Shop(other)),
        }
    }
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Self {
        ShopError::Refused(refusal).into()
    }
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    frame: Frame,
    heading: &'static str,
    sentence: String,
    request_id: String,
}

/// A refusal as the form says it again; a failure is a page of its own.
pub(crate) fn refused(error: impl Into<ApiError>, desk: &Desk) -> Result<(StatusCode, String), Trouble> {
    let error: ApiError = error.into();
    match &error {
        ApiError::Shop(ShopError::Refused(Refusal::Unauthorized)) => Err(Trouble::SignInFirst),
        ApiError::Shop(ShopError::Refused(_)) | ApiError::Field { .. } => Ok(error::told(&error, &desk.visit)),
        _ => Err(Trouble::Failed(error)),
    }
}

/// The answer to a request that met trouble.
pub(crate) async fn answer(trouble: Trouble, desk: &Desk) -> Response {
    let next = || {
        let asked = match desk.head.method {
            http::Method::GET => desk.head.uri.path_and_query().map_or("/overview", |path| path.as_str()),
            // A form cannot be sent again by a redirection.
            _ => "/overview",
        };
        url::form_urlencoded::byte_serialize(asked.as_bytes()).collect::<String>()
    };
    match trouble {
        Trouble::SignInFirst => see_other(&format!("/sign-in?next={}", next())),
        Trouble::CodeFirst => see_other(&format!("/sign-in/code?next={}", next())),
        Trouble::ConfirmFirst if desk.head.method != http::Method::POST => {
            see_other(&format!("/confirm?next={}", next()))
        }
        Trouble::ConfirmFirst => confirm_and_again(&desk.page_of_form()),
        Trouble::Failed(failed) => {
            let (status, sentence) = error::told(&failed, &desk.visit);
            let frame = desk
                .frame(Place::Elsewhere, "")
                .await
                .unwrap_or_else(|_| Frame::bare(desk));
            page(status, frame, sentence, &desk.visit)
        }
    }
}

/// To giving the password, and from there to the page with the form that was sent: the form is to be sent again.
pub(crate) fn confirm_and_again(page: &str) -> Response {
    let query = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("next", page)
        .append_pair("again", "1")
        .finish();
    see_other(&format!("/confirm?{query}"))
}

/// The answer where not even a desk could be set up: nothing is known of the visitor.
pub(crate) fn plain(failed: &ApiError, visit: &Visit) -> Response {
    let (status, sentence) = error::told(failed, visit);
    page(status, Frame::stranger(), sentence, visit)
}

fn page(status: StatusCode, mut frame: Frame, sentence: String, visit: &Visit) -> Response {
    let heading = match status.as_u16() {
        404 => texts().not_found,
        403 => texts().forbidden,
        429 => texts().too_many,
        503 => texts().unavailable,
        code if code >= 500 => texts().broken,
        _ => texts().refused,
    };
    frame.title = heading.to_owned();
    html(
        status,
        &ErrorPage {
            frame,
            heading,
            sentence,
            request_id: visit.request_id.clone(),
        },
    )
}

/// Whether whoever asks is a person with a browser.
pub(crate) fn wants_page(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.contains("text/html"))
}
