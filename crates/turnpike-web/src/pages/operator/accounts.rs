//! `/operator/accounts`: everybody, found and paged.

use askama::Template;
use http::StatusCode;
use turnpike_shop::account::Account;
use turnpike_shop::account_search::{AccountSearch, Place as At, accounts};
use turnpike_shop::types::{AccountStatus, Role, UnixMillis};

use super::{path_of, role};
use crate::pages::desk::{Desk, Outcome, html};
use crate::pages::found::told;
use crate::pages::frame::{Frame, Place};
use crate::pages::texts::texts;
use crate::pages::visitor::Operator;
use crate::pages::when::moment;

/// Rows of a page.
const ROWS: i64 = 50;

#[derive(Template)]
#[template(path = "operator/accounts.html")]
struct AccountsPage {
    frame: Frame,
    /// How many rows these are, in words.
    told: String,
    rows: Vec<Line>,
    text: String,
    role: &'static str,
    status: &'static str,
    /// Where the next page begins.
    next: Option<String>,
    /// Whether this is not the first page.
    is_later: bool,
}

struct Line {
    path: String,
    email: String,
    role: &'static str,
    is_suspended: bool,
    balance: String,
    active: i64,
    made: String,
}

impl Line {
    fn of(account: &Account) -> Self {
        Self {
            path: path_of(&account.id),
            email: account.email.clone(),
            role: role(account.role),
            is_suspended: account.status == AccountStatus::Suspended,
            balance: account.balance.to_string(),
            active: account.active_subscriptions,
            made: moment(account.created_at),
        }
    }
}

/// `GET /operator/accounts`
pub(crate) async fn list(_: Operator, desk: Desk) -> Outcome {
    let fields = &desk.fields;
    let role: Option<Role> = fields.text("role").parse().ok();
    let status: Option<AccountStatus> = fields.text("status").parse().ok();
    let after = place(fields.text("after"));
    let is_later = after.is_some();
    let asked = AccountSearch {
        text: fields.text("q").to_owned(),
        role,
        status,
        after,
        limit: ROWS,
    };
    let (found, has_more) = accounts(&desk.app.shop, asked).await?;
    let (role, status) = (role.map_or("", Role::as_str), status.map_or("", AccountStatus::as_str));
    let next = found.last().filter(|_| has_more).map(|last| {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in [("q", fields.text("q")), ("role", role), ("status", status)] {
            if !value.is_empty() {
                query.append_pair(name, value);
            }
        }
        query.append_pair("after", &format!("{}.{}", last.created_at.0, last.id));
        query.finish()
    });
    let page = AccountsPage {
        told: told(found.len(), has_more || is_later),
        frame: desk.frame(Place::Accounts, texts().accounts).await?,
        rows: found.iter().map(Line::of).collect(),
        text: fields.text("q").to_owned(),
        role,
        status,
        next,
        is_later,
    };
    Ok(html(StatusCode::OK, &page))
}

/// What the link to the next page said; anything else begins at the beginning.
fn place(text: &str) -> Option<At> {
    let (at, id) = text.split_once('.')?;
    Some(At {
        created_at: UnixMillis(at.parse().ok()?),
        id: id.parse().ok()?,
    })
}
