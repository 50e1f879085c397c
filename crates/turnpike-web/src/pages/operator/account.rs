//! `/operator/accounts/{account}`: one account, its money, its keys, its subscriptions.

use askama::Template;
use http::StatusCode;
use turnpike_shop::api_key::{self, ApiKey};
use turnpike_shop::ledger;
use turnpike_shop::search::{Order, Search, search};
use turnpike_shop::types::{AccountStatus, ApiKeyId, Role, UnixMillis};

use super::{named, path_of, role};
use crate::error::ApiError;
use crate::pages::desk::{Desk, Outcome, html};
use crate::pages::frame::{Frame, Place};
use crate::pages::statement;
use crate::pages::subscriptions;
use crate::pages::texts::{Notice, texts};
use crate::pages::trouble::Trouble;
use crate::pages::visitor::{ConfirmedOperator, Operator};
use crate::pages::when::moment;

/// Lines of the statement on one page.
const LINES: i64 = 50;
/// How many of the newest subscriptions are shown.
const SUBSCRIPTIONS: i64 = 20;

#[derive(Template)]
#[template(path = "operator/account.html")]
struct AccountPage {
    frame: Frame,
    path: String,
    id: String,
    email: String,
    role: &'static str,
    is_customer: bool,
    is_suspended: bool,
    balance: String,
    active: i64,
    made: String,
    keys: Vec<Key>,
    subscriptions: Vec<subscriptions::Line>,
    lines: Vec<statement::Line>,
    /// Where the statement goes on.
    next: Option<i64>,
    /// Whether this is not its first page.
    is_later: bool,
}

struct Key {
    id: String,
    name: String,
    can_write: bool,
    may_give_trials: bool,
    last_used: String,
    is_over: bool,
}

impl Key {
    fn of(key: &ApiKey, now: UnixMillis) -> Self {
        Self {
            id: key.id.to_string(),
            name: key.name.clone(),
            can_write: !key.read_only,
            may_give_trials: key.allow_trial,
            last_used: key.last_used_at.map_or(texts().never.to_owned(), moment),
            is_over: key.expires_at.is_some_and(|at| at <= now),
        }
    }
}

/// `GET /operator/accounts/{account}`
pub(crate) async fn show(_: Operator, desk: Desk) -> Outcome {
    let shop = &desk.app.shop;
    let account = named(&desk).await?;
    let below = desk.fields.text("below").parse().ok();
    let mut lines = ledger::lines(shop, &account.id, below, LINES + 1).await?;
    let has_more = lines.len() > usize::try_from(LINES).unwrap_or(usize::MAX);
    if has_more {
        lines.pop();
    }
    let newest = Search::first(Order::Newest, SUBSCRIPTIONS);
    let (subscriptions, _) = search(shop, &account.id, newest).await?;
    let keys = api_key::list(shop, Some(&account.email)).await?;
    let now = shop.now();
    let page = AccountPage {
        frame: desk.frame(Place::Accounts, &account.email).await?,
        path: path_of(&account.id),
        id: account.id.to_string(),
        role: role(account.role),
        is_customer: account.role == Role::Customer,
        is_suspended: account.status == AccountStatus::Suspended,
        balance: account.balance.to_string(),
        active: account.active_subscriptions,
        made: moment(account.created_at),
        email: account.email,
        keys: keys
            .iter()
            .rev()
            .filter(|key| key.revoked_at.is_none())
            .map(|key| Key::of(key, now))
            .collect(),
        subscriptions: subscriptions
            .iter()
            .map(|one| subscriptions::Line::of(one, &desk))
            .collect(),
        next: lines.last().filter(|_| has_more).map(|last| last.number),
        lines: lines.iter().map(statement::line).collect(),
        is_later: below.is_some(),
    };
    Ok(html(StatusCode::OK, &page))
}

/// `POST /operator/accounts/{account}/keys/{key}/trial`
pub(crate) async fn permit_trial(operator: ConfirmedOperator, desk: Desk) -> Outcome {
    let account = named(&desk).await?;
    let key: ApiKeyId = desk.id("key")?;
    let keys = api_key::list(&desk.app.shop, Some(&account.email)).await?;
    if !keys.iter().any(|known| known.id == key) {
        return Err(Trouble::Failed(ApiError::NoSuchPath));
    }
    let allow = desk.fields.text("allow") == "1";
    api_key::permit_trial(&desk.app.shop, operator.actor(), &key, allow).await?;
    Ok(desk.done(&path_of(&account.id), Notice::TrialPermission))
}
