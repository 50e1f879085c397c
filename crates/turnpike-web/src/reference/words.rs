//! Descriptions as they are shown: words, and what is between backticks as code.

/// A piece of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) text: String,
    pub(crate) is_code: bool,
}

/// A text in pieces, without those that hold nothing.
pub(crate) fn words(text: &str) -> Vec<Word> {
    text.split('`')
        .enumerate()
        .filter(|(_, text)| !text.is_empty())
        .map(|(place, text)| Word {
            text: text.to_owned(),
            is_code: place % 2 == 1,
        })
        .collect()
}
