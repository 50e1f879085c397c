//! What a form or a query says.

use axum::body::Body;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use secrecy::SecretString;
use turnpike_shop::types::OutOfRange;

use super::texts::{texts, unfit};
use crate::error::ApiError;

/// Names and values, as they came.
#[derive(Default)]
pub(crate) struct Fields(Vec<(String, String)>);

impl Fields {
    /// Of a query.
    pub(crate) fn of_query(query: Option<&str>) -> Self {
        Self::parse(query.unwrap_or_default().as_bytes())
    }

    /// Of a form that was sent, of at most `most` bytes.
    pub(crate) async fn of_body(body: Body, most: usize) -> Result<Self, ApiError> {
        match Limited::new(body, most).collect().await {
            Ok(collected) => Ok(Self::parse(&collected.to_bytes())),
            Err(error) if error.is::<LengthLimitError>() => Err(ApiError::BodyTooLarge { most }),
            Err(_) => Err(ApiError::Field {
                field: "form".to_owned(),
                rule: texts().rule_broke_off.to_owned(),
            }),
        }
    }

    fn parse(bytes: &[u8]) -> Self {
        Self(url::form_urlencoded::parse(bytes).into_owned().collect())
    }

    /// A field's text without blanks around it; empty where it is absent.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.raw(name).trim()
    }

    /// A field's text, where there is any.
    pub(crate) fn filled(&self, name: &str) -> Option<&str> {
        Some(self.text(name)).filter(|text| !text.is_empty())
    }

    /// A number of 1 to 100, 1 where the field is empty.
    pub(crate) fn count<T: TryFrom<u64, Error = OutOfRange>>(&self, name: &str) -> Result<T, ApiError> {
        let text = self.filled(name).unwrap_or("1");
        let number = text.parse::<u64>().map_err(|_| OutOfRange).and_then(T::try_from);
        number.map_err(|wrong| ApiError::Field {
            field: name.to_owned(),
            rule: unfit(wrong),
        })
    }

    /// A password, blanks and all.
    pub(crate) fn secret(&self, name: &str) -> SecretString {
        SecretString::from(self.raw(name))
    }

    fn raw(&self, name: &str) -> &str {
        self.0
            .iter()
            .find(|(known, _)| known == name)
            .map_or("", |(_, value)| value.as_str())
    }

    /// Where to go on; only a path of ours.
    pub(crate) fn next(&self) -> String {
        let next = self.text("next");
        let is_ours = next.starts_with('/')
            && !next.starts_with("//")
            && !next.contains('\\')
            && !next.contains(char::is_control);
        if is_ours {
            next.to_owned()
        } else {
            "/overview".to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_ours_are_gone_on_to() {
        let next = |text: &str| Fields(vec![("next".to_owned(), text.to_owned())]).next();
        assert_eq!(next("/plans?country=NL"), "/plans?country=NL");
        for elsewhere in [
            "",
            "plans",
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "/a\nb",
        ] {
            assert_eq!(next(elsewhere), "/overview", "{elsewhere:?}");
        }
    }
}
