//! Every word that the pages say. Another language is another value of [`Texts`] and, for operators' pages, of [`OperatorTexts`].
//!
//! | words | file |
//! | --- | --- |
//! | of the pages that everybody sees | `words` |
//! | of the operators' pages | `operators` |
//! | about what was just done | `done` |
//! | about what cannot be done | `refusals` |

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
mod operators;
mod refusals;
mod words;

use std::fmt::Display;

pub(crate) use done::Notice;
pub(crate) use operators::OperatorTexts;
pub(crate) use refusals::{BROKEN, on_a_page, too_fast};
pub(crate) use words::Texts;

/// The words of the language that pages are written in. Who adds another one chooses here.
pub(crate) fn texts() -> &'static Texts {
    &words::ENGLISH
}

/// The same, of the operators' pages.
pub(crate) fn operator_texts() -> &'static OperatorTexts {
    &operators::OPERATORS
}

/// A text with a value in the place of its `{}`.
pub(crate) fn with(text: &str, value: impl Display) -> String {
    text.replace("{}", &value.to_string())
}
