//! `/overview`: where signing in leads.

use askama::Template;
use http::StatusCode;

use super::desk::{Desk, Outcome, html};
use super::frame::{Frame, Place};
use super::texts::ENGLISH;
use super::visitor::Customer;

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    frame: Frame,
}

/// `GET /overview`
pub(crate) async fn show(_: Customer, desk: Desk) -> Outcome {
    let page = OverviewPage {
        frame: desk.frame(Place::Overview, ENGLISH.overview).await?,
    };
    Ok(html(StatusCode::OK, &page))
}
