//! `/sub/{token}`: a subscription URL, from which client programs load their user's ports in the format that they read.
//!
//! | step | module |
//! | --- | --- |
//! | which format: asked for, or the one of the program that asks | `format`, `agent` |
//! | the ports under names that nobody mixes up, and the ways into each | `document`, `way` |
//! | the formats | `links`, `sing_box`, `clash`, `shadowsocks`, `list`, `pac`, `qr` |
//! | the header fields that clients show | `fields` |
//! | what `/openapi.json` says of all this | `description` |

mod agent;
mod clash;
mod description;
mod document;
mod fields;
pub(crate) mod format;
mod links;
mod list;
mod pac;
mod qr;
mod shadowsocks;
mod sing_box;
pub(crate) mod way;

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Query, Request, State};
use axum::response::Response;
use http::request::Parts;
use http::{Method, Uri, header};
use turnpike_shop::subscription::Subscription;
use turnpike_shop::{Error as ShopError, Refusal};

pub(crate) use self::description::described;
use self::document::Document;
use self::format::Format;
use self::way::{Protocol, Way};
use crate::app::{App, note};
use crate::error::{ApiError, settle};
use crate::limit::Source;
use crate::visit::Visit;

/// `GET` or `HEAD` `/sub/{token}`
pub(crate) async fn profile(
    State(app): State<Arc<App>>,
    Extension(visit): Extension<Arc<Visit>>,
    token: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let (head, _) = request.into_parts();
    let work = handle(&app, &visit, token.ok(), &head);
    let outcome = app.in_time(app.config.request_deadline, work).await;
    settle(outcome, &visit)
}

async fn handle(app: &App, visit: &Visit, token: Option<Path<String>>, head: &Parts) -> Result<Response, ApiError> {
    if head.method != Method::GET && head.method != Method::HEAD {
        return Err(ApiError::Method { allow: "GET, HEAD" });
    }
    note(visit, app.limits.profile.check(&Source::from(visit.source)))?;
    let Some(Path(token)) = token else {
        return Err(ApiError::UnknownSubscriptionUrl);
    };
    let profile = turnpike_shop::profile::open(&app.shop, &token).await.map_err(of_url)?;
    visit.notes().account = Some(profile.account.clone());
    note(visit, app.limits.profile_url.check(&token))?;
    let Wanted { format, protocol } = Wanted::read(&head.uri)?;
    let format = format.unwrap_or_else(|| agent::format(head.headers.get(header::USER_AGENT)));
    let document = Document::new(&profile, &app.config.public_url, &token);
    let body = format.write(&document, protocol)?;
    let mut response = Response::new(Body::from(body));
    fields::put(response.headers_mut(), format, &document);
    Ok(response)
}

/// A text as a QR code: an SVG file.
pub(crate) fn picture(text: &str) -> Result<String, ApiError> {
    qr::picture(text)
}

/// A subscription as one of sing-box's `outbounds`, for who has a configuration of his own.
pub(crate) fn sing_box_outbound(subscription: &Subscription, name: &str) -> Result<String, ApiError> {
    sing_box::alone(&Way::best(subscription, name))
}

/// A subscription as mihomo's `proxies`, likewise.
pub(crate) fn clash_proxy(subscription: &Subscription, name: &str) -> Result<String, ApiError> {
    clash::alone(&Way::best(subscription, name))
}

/// A text as a QR code that can stand in a page.
pub(crate) fn inline_picture(text: &str) -> Result<String, ApiError> {
    let picture = qr::picture(text)?;
    // A page is no XML document.
    Ok(picture
        .find("<svg")
        .and_then(|at| picture.get(at..))
        .unwrap_or_default()
        .to_owned())
}

/// A text for people, as it can stand in a spreadsheet.
pub(crate) fn spreadsheet_safe(text: &str) -> String {
    list::no_formula(text)
}

/// A URL has no subscriptionId that could be wrong.
fn of_url(error: ShopError) -> ApiError {
    match error {
        ShopError::Refused(Refusal::SubscriptionNotFound) => ApiError::UnknownSubscriptionUrl,
        other => ApiError::Shop(other),
    }
}

/// What the query asks for. Clients add parameters of their own, so what is not known is passed over.
#[derive(Default)]
struct Wanted {
    format: Option<Format>,
    protocol: Option<Protocol>,
}

impl Wanted {
    fn read(uri: &Uri) -> Result<Self, ApiError> {
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri).map_err(|_| Format::unknown())?;
        let value = |name: &str| {
            pairs
                .iter()
                .find(|(known, _)| known == name)
                .map(|(_, value)| value.as_str())
        };
        Ok(Self {
            format: value("format")
                .map(|name| Format::find(name).ok_or_else(Format::unknown))
                .transpose()?,
            protocol: value("protocol")
                .map(|name| Protocol::find(name).ok_or_else(Protocol::unknown))
                .transpose()?,
        })
    }
}
