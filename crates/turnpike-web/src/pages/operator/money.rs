//! `/operator/accounts/{account}/money`: giving an account money, or taking some.

use askama::Template;
use http::StatusCode;
use turnpike_shop::account::Account;
use turnpike_shop::ledger;
use turnpike_shop::types::{Cents, TransactionId};

use super::{named, path_of};
use crate::error::ApiError;
use crate::pages::desk::{Desk, Outcome, html};
use crate::pages::form::Fields;
use crate::pages::frame::{Frame, Place};
use crate::pages::texts::{Notice, operator_texts, texts};
use crate::pages::trouble::refused;
use crate::pages::visitor::ConfirmedOperator;

#[derive(Template)]
#[template(path = "operator/money.html")]
struct MoneyPage {
    frame: Frame,
    path: String,
    email: String,
    balance: String,
    is_debit: bool,
    amount: String,
    reason: String,
    wrong: Option<String>,
    /// The booking's own id: a form that is sent twice is booked once.
    once: String,
}

/// `GET /operator/accounts/{account}/money`
pub(crate) async fn form(_: ConfirmedOperator, desk: Desk) -> Outcome {
    let account = named(&desk).await?;
    shown(&desk, &account, StatusCode::OK, None).await
}

async fn shown(desk: &Desk, account: &Account, status: StatusCode, wrong: Option<String>) -> Outcome {
    let page = MoneyPage {
        frame: desk.frame(Place::Accounts, texts().move_money).await?,
        path: path_of(&account.id),
        email: account.email.clone(),
        balance: account.balance.to_string(),
        is_debit: desk.fields.text("direction") == "debit",
        amount: desk.fields.text("amount").to_owned(),
        reason: desk.fields.text("reason").to_owned(),
        wrong,
        once: TransactionId::random().to_string(),
    };
    Ok(html(status, &page))
}

/// `POST /operator/accounts/{account}/money`
pub(crate) async fn act(operator: ConfirmedOperator, desk: Desk) -> Outcome {
    let account = named(&desk).await?;
    let booked = match read(&desk.fields) {
        Ok((amount, id)) => {
            let reason = desk.fields.text("reason");
            ledger::book(&desk.app.shop, operator.actor(), &account.email, amount, reason, id)
                .await
                .map_err(ApiError::from)
        }
        Err(error) => Err(error),
    };
    match booked {
        Ok(_) => Ok(desk.done(&path_of(&account.id), Notice::Booked)),
        Err(error) => {
            let (status, sentence) = refused(error, &desk)?;
            shown(&desk, &account, status, Some(sentence)).await
        }
    }
}

fn read(fields: &Fields) -> Result<(Cents, TransactionId), ApiError> {
    let wrong = |field: &str, rule: &str| ApiError::Field {
        field: field.to_owned(),
        rule: rule.to_owned(),
    };
    let amount = cents(fields.text("amount"))
        .filter(|amount| amount.0 > 0)
        .ok_or_else(|| wrong("amount", operator_texts().rule_amount_above_zero))?;
    let amount = match fields.text("direction") {
        "credit" => amount,
        "debit" => Cents(-amount.0),
        _ => return Err(wrong("direction", operator_texts().rule_direction)),
    };
    let id = fields
        .text("once")
        .parse()
        .map_err(|_| wrong("form", operator_texts().rule_whole_form))?;
    Ok((amount, id))
}

/// `12`, `12.5` and `12.50`; nothing that could be meant otherwise.
pub(super) fn cents(text: &str) -> Option<Cents> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(part) || part.len() > 2 {
        return None;
    }
    let part: i64 = format!("{part:0<2}").parse().ok()?;
    let whole: i64 = whole.parse().ok()?;
    whole.checked_mul(100)?.checked_add(part).map(Cents)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_as_they_are_written() {
        for (text, amount) in [
            ("12", 1_200),
            ("12.5", 1_250),
            ("12.50", 1_250),
            ("0.01", 1),
            ("007", 700),
        ] {
            assert_eq!(cents(text), Some(Cents(amount)), "{text}");
        }
        for other in [
            "",
            ".",
            "1.",
            ".5",
            "1.234",
            "1,50",
            "1 000",
            "-1",
            "+1",
            "1e3",
            "٣",
            "92233720368547758.08",
            "99999999999999999999",
        ] {
            assert_eq!(cents(other), None, "{other}");
        }
    }
}
