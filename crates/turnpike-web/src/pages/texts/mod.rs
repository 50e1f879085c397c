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

pub(crate) use done::Notice;
pub(crate) use operators::{OPERATORS, OperatorTexts};
pub(crate) use refusals::{BROKEN, on_a_page, too_fast};
pub(crate) use words::{ENGLISH, Texts};
