//! The words of notices by e-mail. Short, and each says what happened and what can be done.

use serde_json::Value;
use turnpike_shop::notices::Outgoing;
use turnpike_shop::types::{Cents, NoticeKind};

/// A letter.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Letter {
    pub(super) subject: String,
    pub(super) text: String,
}

impl Letter {
    /// The words of a notice; absent where nobody is written to about it.
    pub(super) fn of(notice: &Outgoing, public_url: &str) -> Option<Self> {
        let body: Value = serde_json::from_str(&notice.body).ok()?;
        Some(Self::about(notice.kind, body.get("data")?, public_url)?.signed(public_url))
    }

    fn about(kind: NoticeKind, data: &Value, public_url: &str) -> Option<Self> {
        let which = subscription(data);
        let page = format!("{public_url}/subscriptions/{}", text(data, "subscriptionId"));
        let (subject, text) = match kind {
            NoticeKind::Ending => (
                format!("{which} ends soon"),
                format!(
                    "{which} ends on {}. Renew it here, or let it renew itself:\n\n{page}",
                    moment(data, "endAt")
                ),
            ),
            NoticeKind::Ended => (
                format!("{which} has ended"),
                format!(
                    "{which} has ended. Its port is kept for a while: renew it here, and it works again.\n\n{page}"
                ),
            ),
            NoticeKind::Renewed => (
                format!("{which} is renewed"),
                format!(
                    "{which} was renewed{} for {} and runs until {}.\n\n{page}",
                    if data.get("byItself").and_then(Value::as_bool) == Some(true) {
                        " by itself"
                    } else {
                        ""
                    },
                    money(data, "priceAmountCents"),
                    moment(data, "endAt"),
                ),
            ),
            NoticeKind::RenewalFailed => (
                format!("{which} could not renew itself"),
                format!(
                    "{which} ends on {} and could not renew itself: {}.\n\nIt is tried again until then. Its page:\n\n{page}",
                    moment(data, "endAt"),
                    text(data, "reason"),
                ),
            ),
            NoticeKind::LowBalance => (
                "Your balance is low".to_owned(),
                format!(
                    "Your balance is {}, less than {}.\n\n{public_url}/statement",
                    money(data, "balanceCents"),
                    money(data, "lowBalanceCents"),
                ),
            ),
            NoticeKind::SignedIn => (
                "Somebody signed in to your account".to_owned(),
                format!(
                    "From {}, with {}.\n\nIf that was not you, change your password at once; it signs all others out:\n\n{public_url}/account",
                    text(data, "source"),
                    Some(text(data, "agent"))
                        .filter(|agent| !agent.is_empty())
                        .unwrap_or("an unknown browser".to_owned()),
                ),
            ),
            NoticeKind::Rotated => (
                format!("{which} has another address"),
                format!(
                    "{which} leaves by {} now; before, it was {}.\n\n{page}",
                    known(data, "ip"),
                    known(data, "previousIp"),
                ),
            ),
            NoticeKind::Test => return None,
        };
        Some(Self { subject, text })
    }

    fn signed(self, public_url: &str) -> Self {
        Self {
            subject: one_line(&self.subject),
            text: format!(
                "{}\n\n-- \nYou chose to be told this: {public_url}/notices\n",
                self.text
            ),
        }
    }
}

/// `12001 (NL-AMS, "the scraper")`
fn subscription(data: &Value) -> String {
    let port = data.get("port").and_then(Value::as_i64).unwrap_or_default();
    let (network, note) = (text(data, "network"), text(data, "userNote"));
    match note.is_empty() {
        true => format!("{port} ({network})"),
        false => format!("{port} ({network}, \"{note}\")"),
    }
}

/// A text of the notice, in one line: what a customer wrote must not look like words of ours.
fn text(data: &Value, name: &str) -> String {
    one_line(data.get(name).and_then(Value::as_str).unwrap_or_default())
}

fn known(data: &Value, name: &str) -> String {
    let text = text(data, name);
    if text.is_empty() {
        "an address that is not known".to_owned()
    } else {
        text
    }
}

/// Without what would begin a line, or an encoded word (RFC 2047 §2) in a header.
fn one_line(text: &str) -> String {
    let text: String = text
        .chars()
        .filter(|c| !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}'))
        .collect();
    text.replace("=?", "= ?")
}

fn money(data: &Value, name: &str) -> String {
    Cents(data.get(name).and_then(Value::as_i64).unwrap_or_default()).to_string()
}

/// `2026-12-24 18:00 UTC`
fn moment(data: &Value, name: &str) -> String {
    let millis = data.get(name).and_then(Value::as_i64).unwrap_or_default();
    jiff::Timestamp::from_millisecond(millis)
        .map_or_else(|_| String::new(), |at| at.strftime("%Y-%m-%d %H:%M UTC").to_string())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test's broken assumption should stop it")]
mod tests {
    use serde_json::json;
    use turnpike_shop::notices::KINDS;

    use super::*;

    #[test]
    fn a_letter_says_which_and_until_when() {
        let data = json!({ "port": 12001, "network": "NL-AMS", "userNote": "the \"van\"", "subscriptionId": "abc",
            "endAt": 1_760_000_000_000_i64, "priceAmountCents": 1200, "byItself": true });
        let letter = Letter::about(NoticeKind::Renewed, &data, "https://shop.example").unwrap();
        assert_eq!(letter.subject, "12001 (NL-AMS, \"the \"van\"\") is renewed");
        assert_eq!(
            letter.text,
            "12001 (NL-AMS, \"the \"van\"\") was renewed by itself for 12.00 and runs until 2025-10-09 08:53 UTC.\n\n\
             https://shop.example/subscriptions/abc"
        );
    }

    #[test]
    fn no_notice_is_without_words_and_no_note_makes_lines_of_its_own() {
        let hostile = "x\r\nBcc: all@example.com\r\n\r\nPay here\u{2028}now";
        let data = json!({ "userNote": hostile, "network": hostile, "agent": hostile, "source": hostile,
            "reason": hostile, "ip": hostile });
        for kind in KINDS {
            let letter = Letter::about(kind, &data, "https://shop.example")
                .unwrap()
                .signed("https://shop.example");
            assert!(
                !letter.subject.is_empty() && !letter.subject.contains(char::is_control),
                "{letter:?}"
            );
            assert!(
                !letter.text.contains("\nBcc") && !letter.text.contains("\nPay"),
                "{letter:?}"
            );
        }
    }
}
