//! `/account`: the password, the second factor, the browsers that are signed in.

use askama::Template;
use http::StatusCode;
use turnpike_shop::session::{self, Session};
use turnpike_shop::{Error as ShopError, second_factor};

use super::desk::{Desk, Outcome, html, see_other};
use super::frame::{Frame, Place};
use super::texts::{Notice, texts};
use super::visitor::{Anyone, Customer};
use super::when::moment;
use crate::error::{self, ApiError};

#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage {
    frame: Frame,
    second_factor: second_factor::Standing,
    sessions: Vec<Browser>,
    has_others: bool,
    wrong: Option<String>,
}

struct Browser {
    id: String,
    agent: String,
    source: String,
    since: String,
    last_used: String,
    is_this: bool,
}

/// `GET /account`
pub(crate) async fn show(customer: Customer, desk: Desk) -> Outcome {
    shown(&customer, &desk, StatusCode::OK, None).await
}

async fn shown(customer: &Customer, desk: &Desk, status: StatusCode, wrong: Option<String>) -> Outcome {
    let sessions = session::list(&desk.app.shop, customer.account()).await?;
    let page = AccountPage {
        frame: desk.frame(Place::Account, texts().account).await?,
        second_factor: second_factor::standing(&desk.app.shop, customer.account()).await?,
        has_others: sessions.len() > 1,
        sessions: sessions
            .iter()
            .map(|session| Browser::of(session, customer.session()))
            .collect(),
        wrong,
    };
    Ok(html(status, &page))
}

impl Browser {
    fn of(session: &Session, present: &Session) -> Self {
        Self {
            id: session.id.to_string(),
            agent: short_agent(&session.agent),
            source: session.source.clone(),
            since: moment(session.created_at),
            last_used: moment(session.seen_at),
            is_this: session.id == present.id,
        }
    }
}

/// `Firefox on Linux`, as far as that can be told; what programs call themselves is long and says little.
fn short_agent(agent: &str) -> String {
    let known = |words: &[(&'static str, &'static str)]| {
        words
            .iter()
            .find(|(mark, _)| agent.contains(mark))
            .map(|(_, name)| *name)
    };
    // The order matters: most browsers also name those that they resemble.
    let browser = known(&[
        ("Edg/", "Edge"),
        ("OPR/", "Opera"),
        ("Firefox/", "Firefox"),
        ("Chrome/", "Chrome"),
        ("Safari/", "Safari"),
        ("curl/", "curl"),
    ]);
    let system = known(&[
        ("Android", "Android"),
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Windows", "Windows"),
        ("Mac OS X", "macOS"),
        ("Linux", "Linux"),
    ]);
    match (browser, system) {
        (Some(browser), Some(system)) => format!("{browser}, {system}"),
        (Some(only), None) | (None, Some(only)) => only.to_owned(),
        (None, None) => texts().unknown_browser.to_owned(),
    }
}

/// `POST /account/password`
pub(crate) async fn change_password(customer: Customer, desk: Desk) -> Outcome {
    let (current, new) = (desk.fields.secret("current"), desk.fields.secret("password"));
    match session::change_password(&desk.app.shop, customer.session(), current, new, desk.visit.source).await {
        Ok(()) => Ok(desk.done("/account", Notice::PasswordChanged)),
        Err(refused @ ShopError::Refused(_)) => {
            let (status, sentence) = error::told(&ApiError::Shop(refused), &desk.visit);
            shown(&customer, &desk, status, Some(sentence)).await
        }
        Err(failed) => Err(failed.into()),
    }
}

/// `POST /account/sessions/{session}/end`
pub(crate) async fn end(customer: Customer, desk: Desk) -> Outcome {
    let id = desk.id("session")?;
    session::revoke(&desk.app.shop, customer.account(), &id).await?;
    Ok(desk.done("/account", Notice::SessionEnded))
}

/// `POST /account/sessions/end-others`
pub(crate) async fn end_others(customer: Customer, desk: Desk) -> Outcome {
    session::revoke_others(&desk.app.shop, customer.account(), &customer.session().id).await?;
    Ok(desk.done("/account", Notice::OthersEnded))
}

/// `GET /.well-known/change-password`, by which password managers find the form.
pub(crate) async fn well_known(_: Anyone, _: Desk) -> Outcome {
    Ok(see_other("/account"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_are_named_in_two_words() {
        for (agent, short) in [
            (
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
                "Chrome, Linux",
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; rv:140.0) Gecko/20100101 Firefox/140.0",
                "Firefox, Windows",
            ),
            ("curl/8.1", "curl"),
            ("<script>", "Unknown browser"),
        ] {
            assert_eq!(short_agent(agent), short);
        }
    }
}
