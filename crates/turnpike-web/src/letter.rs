//! A notice as a letter: what happened, filled into the words of the language that letters are written in.

use serde::Deserialize as _;
use serde_json::Value;
use turnpike_shop::Refusal;
use turnpike_shop::notices::Outgoing;
use turnpike_shop::types::{Cents, NoticeKind};

use crate::pages::texts::{filled, letter_texts, refusal};

/// A letter.
#[derive(Debug, PartialEq, Eq)]
pub struct Letter {
    /// Its subject, in one line.
    pub subject: String,
    /// Its text.
    pub text: String,
}

impl Letter {
    /// The words of a notice; absent where nobody is written to about it.
    #[must_use]
    pub fn of(notice: &Outgoing, public_url: &str) -> Option<Self> {
        let body: Value = serde_json::from_str(&notice.body).ok()?;
        Some(Self::about(notice.kind, body.get("data")?, public_url)?.signed(public_url))
    }

    fn about(kind: NoticeKind, data: &Value, public_url: &str) -> Option<Self> {
        let t = letter_texts();
        let is_by_itself = data.get("byItself").and_then(Value::as_bool) == Some(true);
        let (subject, text) = match kind {
            NoticeKind::Ending => (t.ending_subject, t.ending),
            NoticeKind::Ended => (t.ended_subject, t.ended),
            NoticeKind::Renewed if is_by_itself => (t.renewed_subject, t.renewed_by_itself),
            NoticeKind::Renewed => (t.renewed_subject, t.renewed),
            NoticeKind::RenewalFailed => (t.renewal_failed_subject, t.renewal_failed),
            NoticeKind::LowBalance => (t.low_balance_subject, t.low_balance),
            NoticeKind::SignedIn => (t.signed_in_subject, t.signed_in),
            NoticeKind::Rotated => (t.rotated_subject, t.rotated),
            NoticeKind::Test => return None,
        };
        let values = [
            ("which", subscription(data)),
            (
                "page",
                format!("{public_url}/subscriptions/{}", one_text(data, "subscriptionId")),
            ),
            ("shop", public_url.to_owned()),
            ("end", moment(data, "endAt")),
            ("price", money(data, "priceAmountCents")),
            ("balance", money(data, "balanceCents")),
            ("limit", money(data, "lowBalanceCents")),
            ("reason", reason(data)),
            ("source", one_text(data, "source")),
            ("agent", known(data, "agent", t.unknown_browser)),
            ("address", known(data, "ip", t.unknown_address)),
            ("previous", known(data, "previousIp", t.unknown_address)),
        ];
        let values: Vec<(&str, &str)> = values.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Some(Self {
            subject: filled(subject, &values),
            text: filled(text, &values),
        })
    }

    fn signed(self, public_url: &str) -> Self {
        let signature = filled(letter_texts().signature, &[("shop", public_url)]);
        Self {
            subject: one_line(&self.subject),
            text: format!("{}\n\n-- \n{signature}\n", self.text),
        }
    }
}

/// `12001 (NL-AMS, "the scraper")`
fn subscription(data: &Value) -> String {
    let t = letter_texts();
    let port = data.get("port").and_then(Value::as_i64).unwrap_or_default().to_string();
    let (network, note) = (one_text(data, "network"), one_text(data, "userNote"));
    let which = if note.is_empty() { t.which } else { t.which_noted };
    filled(which, &[("port", &port), ("network", &network), ("note", &note)])
}

/// Why something was refused: in words of ours, or in those of an earlier version, which wrote down the sentence only.
fn reason(data: &Value) -> String {
    let why = data.get("refusal").and_then(|why| Refusal::deserialize(why).ok());
    why.map_or_else(|| one_text(data, "reason"), |why| one_line(&refusal(&why)))
}

/// A text of the notice, in one line: what a customer wrote must not look like words of ours.
fn one_text(data: &Value, name: &str) -> String {
    one_line(data.get(name).and_then(Value::as_str).unwrap_or_default())
}

fn known(data: &Value, name: &str, unknown: &str) -> String {
    let text = one_text(data, name);
    if text.is_empty() { unknown.to_owned() } else { text }
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
        .map_or_else(|_| String::new(), |at| at.strftime(letter_texts().moment).to_string())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test's broken assumption should stop it")]
mod tests {
    use serde_json::json;
    use turnpike_shop::notices::KINDS;
    use turnpike_shop::types::Cents;

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
    fn a_refusal_is_said_in_the_letters_own_words() {
        let why = Refusal::InsufficientBalance {
            balance: Cents(100),
            price: Cents(1_200),
        };
        let data = json!({ "port": 12001, "network": "NL-AMS", "endAt": 0, "reason": "for programs", "refusal": why });
        let said = Letter::about(NoticeKind::RenewalFailed, &data, "").unwrap().text;
        assert!(
            said.contains("renew itself: the balance of 1.00 does not cover"),
            "{said}"
        );
        // As an earlier version wrote it down.
        let data = json!({ "port": 12001, "network": "NL-AMS", "endAt": 0, "reason": "it was so" });
        let said = Letter::about(NoticeKind::RenewalFailed, &data, "").unwrap().text;
        assert!(said.contains("renew itself: it was so."), "{said}");
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
