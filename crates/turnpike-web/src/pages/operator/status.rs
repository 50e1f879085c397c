//! `/operator/accounts/{account}/status`: suspending an account and resuming it.

use askama::Template;
use http::StatusCode;
use turnpike_shop::account::{Account, set_status};
use turnpike_shop::routes::revisions_of;
use turnpike_shop::types::AccountStatus;

use super::{named, path_of};
use crate::api::wait_applied;
use crate::error::ApiError;
use crate::pages::desk::{Desk, Outcome, html};
use crate::pages::frame::{Frame, Place};
use crate::pages::texts::{Notice, operator_texts, texts};
use crate::pages::trouble::{Trouble, refused};
use crate::pages::visitor::ConfirmedOperator;

#[derive(Template)]
#[template(path = "operator/status.html")]
struct StatusPage {
    frame: Frame,
    path: String,
    email: String,
    is_suspended: bool,
    active: i64,
    wrong: Option<String>,
}

/// `GET /operator/accounts/{account}/status`
pub(crate) async fn form(_: ConfirmedOperator, desk: Desk) -> Outcome {
    let account = named(&desk).await?;
    shown(&desk, &account, StatusCode::OK, None).await
}

async fn shown(desk: &Desk, account: &Account, status: StatusCode, wrong: Option<String>) -> Outcome {
    let is_suspended = account.status == AccountStatus::Suspended;
    let title = if is_suspended { texts().resume } else { texts().suspend };
    let page = StatusPage {
        frame: desk.frame(Place::Accounts, title).await?,
        path: path_of(&account.id),
        email: account.email.clone(),
        is_suspended,
        active: account.active_subscriptions,
        wrong,
    };
    Ok(html(status, &page))
}

/// `POST /operator/accounts/{account}/status`
pub(crate) async fn act(operator: ConfirmedOperator, desk: Desk) -> Outcome {
    let account = named(&desk).await?;
    let status: AccountStatus = desk.fields.text("status").parse().map_err(|_| {
        Trouble::Failed(ApiError::Field {
            field: "status".to_owned(),
            rule: operator_texts().rule_account_standing.to_owned(),
        })
    })?;
    match set_status(&desk.app.shop, operator.actor(), &account.email, status).await {
        Ok(_) => {
            let revisions = revisions_of(&desk.app.shop, &account.id).await?;
            let revisions = revisions
                .iter()
                .map(|(gateway, revision)| (gateway.as_str(), *revision));
            wait_applied(&desk.app, &desk.visit, revisions).await;
            let notice = match status {
                AccountStatus::Active => Notice::Resumed,
                AccountStatus::Suspended => Notice::Suspended,
            };
            Ok(desk.done(&path_of(&account.id), notice))
        }
        Err(error) => {
            let (status, sentence) = refused(error, &desk)?;
            shown(&desk, &account, status, Some(sentence)).await
        }
    }
}
