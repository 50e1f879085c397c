//! Every word that the pages and the letters say. Another language is another value of [`Language`], which [`language`] chooses.
//!
//! | words | file |
//! | --- | --- |
//! | of the pages that everybody sees | `words` |
//! | of the operators' pages | `operators` |
//! | of notices by e-mail | `letters` |
//! | about what was just done | `done` |
//! | about what cannot be done | `refusals` |
//!
//! What says no (the shop, a gateway, a field's rule) comes here as a type or a code with its data, never as a sentence: a language
//! says it in its own words. English takes the sentence that the type brings, so that none is written twice
//! ([decision 40](../../../../../docs/decisions/0040-one-table-for-each-language.md)).

macro_rules! texts {
    ($kind:ident, $english:ident: $($name:ident = $text:literal;)+) => {
        /// The words of one language.
        pub(crate) struct $kind {
            $(pub(crate) $name: &'static str,)+
        }

        /// English.
        pub(crate) const $english: $kind = $kind { $($name: $text,)+ };
    };
}

mod done;
mod letters;
mod operators;
mod refusals;
mod words;

use std::fmt::Display;

use turnpike_shop::Refusal;

pub(crate) use done::Notice;
pub(crate) use letters::LetterTexts;
pub(crate) use operators::OperatorTexts;
pub(crate) use refusals::Unfit;
pub(crate) use words::Texts;

use crate::error::ApiError;

/// A language: what it calls things, and how it says why not.
pub(crate) struct Language {
    words: &'static Texts,
    operators: &'static OperatorTexts,
    letters: &'static LetterTexts,
    /// Why a request for a page came to nothing.
    trouble: fn(&ApiError) -> String,
    /// A rule of the shop that said no, to whoever has no page of it before him.
    refusal: fn(&Refusal) -> String,
    /// Why a field's text is none of its values.
    unfit: fn(&Unfit) -> String,
    /// Why a port has refused somebody: by the code, and the sentence that the gateway has written beside it.
    port_refusal: fn(&str, String) -> String,
}

const ENGLISH: Language = Language {
    words: &words::ENGLISH,
    operators: &operators::OPERATORS,
    letters: &letters::LETTERS,
    trouble: refusals::trouble,
    refusal: Refusal::to_string,
    unfit: Unfit::to_string,
    port_refusal: |_, told| told,
};

/// The language that pages and letters are written in. Who adds another one chooses here.
fn language() -> &'static Language {
    &ENGLISH
}

/// The words of everybody's pages.
pub(crate) fn texts() -> &'static Texts {
    language().words
}

/// The same, of the operators' pages.
pub(crate) fn operator_texts() -> &'static OperatorTexts {
    language().operators
}

/// The same, of letters.
pub(crate) fn letter_texts() -> &'static LetterTexts {
    language().letters
}

/// Why a request for a page came to nothing.
pub(crate) fn trouble(error: &ApiError) -> String {
    (language().trouble)(error)
}

/// What the shop refused, outside of a page.
pub(crate) fn refusal(refusal: &Refusal) -> String {
    (language().refusal)(refusal)
}

/// Why a field's text is none of its values.
pub(crate) fn unfit(why: impl Into<Unfit>) -> String {
    (language().unfit)(&why.into())
}

/// Why a port has refused somebody.
pub(crate) fn port_refusal(code: &str, told: String) -> String {
    (language().port_refusal)(code, told)
}

/// A text with a value in the place of its `{}`.
pub(crate) fn with(text: &str, value: impl Display) -> String {
    text.replace("{}", &value.to_string())
}

/// A text with values in the places of their names: `{port}`. What stands in a value is never taken for a place.
pub(crate) fn filled(text: &str, values: &[(&str, &str)]) -> String {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, place)) = rest.split_once('{') {
        filled.push_str(before);
        let known = place
            .split_once('}')
            .and_then(|(name, after)| Some((values.iter().find(|(known, _)| *known == name)?.1, after)));
        match known {
            Some((value, after)) => {
                filled.push_str(value);
                rest = after;
            }
            None => {
                filled.push('{');
                rest = place;
            }
        }
    }
    filled.push_str(rest);
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_never_taken_for_a_place() {
        let values = [("a", "{b}"), ("b", "2")];
        assert_eq!(filled("{a} {b} {c} {", &values), "{b} 2 {c} {");
        assert_eq!(filled("", &values), "");
    }
}
