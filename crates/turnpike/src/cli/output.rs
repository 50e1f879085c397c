//! What commands print: text for people, JSON for programs.

use std::borrow::Cow;
use std::env;
use std::io::{self, ErrorKind, IsTerminal as _, Write as _};

use anyhow::Context as _;
use jiff::Timestamp;
use serde::Serialize;
use turnpike_shop::types::UnixMillis;

/// Writes lines to standard output. A reader that has gone away (`| head`) has what it wanted.
///
/// # Errors
/// Standard output cannot be written.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    let end = if text.is_empty() || text.ends_with('\n') {
        ""
    } else {
        "\n"
    };
    match write!(out, "{text}{end}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("standard output cannot be written"),
        _ => Ok(()),
    }
}

/// Writes one JSON document to standard output.
///
/// # Errors
/// Standard output cannot be written.
pub(super) fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    print(&serde_json::to_string_pretty(value)?)
}

/// A moment as people read it, to the second, in UTC.
pub(super) fn moment(at: UnixMillis) -> String {
    Timestamp::from_millisecond(at.0.div_euclid(1_000).saturating_mul(1_000))
        .map_or_else(|_| at.0.to_string(), |at| at.to_string())
}

/// Rows below a header, in columns. Columns whose header begins with `>` stand to the right.
pub(super) fn columns(header: &[&str], rows: &[Vec<String>]) -> String {
    let titles: Vec<String> = header
        .iter()
        .map(|title| title.trim_start_matches('>').to_owned())
        .collect();
    let widths: Vec<usize> = (0..header.len())
        .map(|column| {
            let cells = rows.iter().chain([&titles]).filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in [&titles].into_iter().chain(rows) {
        let mut line = String::new();
        for ((cell, width), title) in row.iter().zip(&widths).zip(header) {
            if title.starts_with('>') {
                line.push_str(&format!("{cell:>width$}  "));
            } else {
                line.push_str(&format!("{cell:<width$}  "));
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A colour that carries a meaning.
#[derive(Debug, Clone, Copy)]
pub(super) enum Colour {
    Green,
    Yellow,
    Red,
}

/// The text in a colour, where standard output is a terminal and nobody has asked for none (<https://no-color.org>).
pub(super) fn coloured(text: &str, colour: Colour) -> Cow<'_, str> {
    let is_unwanted = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
        || env::var_os("TERM").is_some_and(|terminal| terminal == "dumb");
    if is_unwanted || !io::stdout().is_terminal() {
        return Cow::Borrowed(text);
    }
    let code = match colour {
        Colour::Green => 32,
        Colour::Yellow => 33,
        Colour::Red => 31,
    };
    Cow::Owned(format!("\u{1b}[{code}m{text}\u{1b}[0m"))
}
