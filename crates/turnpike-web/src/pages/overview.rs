//! `/overview`: the balance, what ends soon, the traffic of the last days.

use askama::Template;
use http::StatusCode;
use turnpike_shop::search::{Order, Search, search};
use turnpike_shop::types::SubscriptionState;
use turnpike_shop::{account, traffic};

use super::chart::Chart;
use super::desk::{Desk, Outcome, html};
use super::frame::{Frame, Place};
use super::subscriptions::Line;
use super::texts::texts;
use super::visitor::Customer;

/// Days of the chart.
const DAYS: i64 = 14;
/// How many that end soon are shown.
const ENDING_ROWS: i64 = 5;

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    frame: Frame,
    balance: String,
    active: i64,
    /// Whether there is not even one that has ended.
    has_none: bool,
    rows: Vec<Line>,
    chart: Chart,
}

/// `GET /overview`
pub(crate) async fn show(customer: Customer, desk: Desk) -> Outcome {
    let shop = &desk.app.shop;
    let account = account::by_email(shop, &customer.session().email).await?;
    let first = Search {
        state: Some(SubscriptionState::Active),
        ..Search::first(Order::EndsFirst, ENDING_ROWS)
    };
    let any = Search {
        state: None,
        limit: 1,
        ..first.clone()
    };
    let (found, _) = search(shop, customer.account(), first).await?;
    let has_none = found.is_empty() && search(shop, customer.account(), any).await?.0.is_empty();
    let page = OverviewPage {
        frame: desk.frame(Place::Overview, texts().overview).await?,
        balance: account.balance.to_string(),
        active: account.active_subscriptions,
        has_none,
        rows: found.iter().map(|one| Line::of(one, &desk)).collect(),
        chart: Chart::of(&traffic::days(shop, customer.account(), None, DAYS).await?),
    };
    Ok(html(StatusCode::OK, &page))
}
