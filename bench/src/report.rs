//! What was measured, as tables for people, as JSON for programs and as a picture.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::load::{Amounts, Arrival, Cost, Idle};

/// One contender in one round. What it does not do is absent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figures {
    /// Whether the answer comes to a client that has finished.
    pub(crate) hears_out: bool,
    pub(crate) idle: Option<Idle>,
    pub(crate) tunnels: Option<Cost>,
    pub(crate) down: Option<Cost>,
    pub(crate) up: Option<Cost>,
    pub(crate) requests: Option<Cost>,
    pub(crate) arrival: Option<Arrival>,
    pub(crate) datagrams: Option<Cost>,
}

/// A figure: its heading, where it is found, by how much it is multiplied, its decimals, and whether it has a limit.
struct Column {
    heading: &'static str,
    of: fn(&Figures) -> Option<f64>,
    decimals: usize,
    has_limit: bool,
}

const COLUMNS: [Column; 9] = [
    Column {
        heading: "down, CPU-s/GB",
        of: |figures| Some(figures.down?.cpu_seconds * 1e9),
        decimals: 3,
        has_limit: true,
    },
    Column {
        heading: "up, CPU-s/GB",
        of: |figures| Some(figures.up?.cpu_seconds * 1e9),
        decimals: 3,
        has_limit: true,
    },
    Column {
        heading: "CPU-µs/tunnel",
        of: |figures| Some(figures.tunnels?.cpu_seconds * 1e6),
        decimals: 1,
        has_limit: true,
    },
    Column {
        heading: "CPU-µs/GET",
        of: |figures| Some(figures.requests?.cpu_seconds * 1e6),
        decimals: 1,
        has_limit: true,
    },
    Column {
        heading: "CPU-µs/datagram",
        of: |figures| Some(figures.datagrams?.cpu_seconds * 1e6),
        decimals: 2,
        has_limit: false,
    },
    Column {
        heading: "µs to open at 1,000/s, p50",
        of: |figures| Some(figures.arrival?.p50.as_secs_f64() * 1e6),
        decimals: 0,
        has_limit: true,
    },
    Column {
        heading: "p99",
        of: |figures| Some(figures.arrival?.p99.as_secs_f64() * 1e6),
        decimals: 0,
        has_limit: true,
    },
    Column {
        heading: "KiB/idle tunnel",
        of: |figures| Some(figures.idle?.bytes / 1024.0),
        decimals: 1,
        has_limit: false,
    },
    Column {
        heading: "descriptors/tunnel",
        of: |figures| Some(figures.idle?.descriptors),
        decimals: 0,
        has_limit: false,
    },
];

/// Which column the picture shows.
const SHOWN: usize = 2;

/// Everybody's rounds.
#[derive(Debug)]
pub(crate) struct Report {
    amounts: Amounts,
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    name: String,
    rounds: Vec<Result<Figures, String>>,
}

impl Report {
    pub(crate) fn new(amounts: Amounts) -> Self {
        Self {
            amounts,
            rows: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, name: &str, figures: Result<Figures, String>) {
        match self.rows.iter_mut().find(|row| row.name == name) {
            Some(row) => row.rounds.push(figures),
            None => self.rows.push(Row {
                name: name.to_owned(),
                rounds: vec![figures],
            }),
        }
    }

    /// The middle of a contender's figures.
    fn figure(row: &Row, column: &Column) -> Option<f64> {
        middle(
            row.rounds
                .iter()
                .filter_map(|round| (column.of)(round.as_ref().ok()?))
                .collect(),
        )
    }

    /// The middle of a contender's ratios to the limit, each within one round.
    fn ratio(&self, row: &Row, column: &Column) -> Option<f64> {
        let limit = self.rows.first()?;
        let ratio = |(one, limit): (&Result<Figures, String>, &Result<Figures, String>)| {
            let limit = (column.of)(limit.as_ref().ok()?).filter(|limit| *limit > 0.0)?;
            Some((column.of)(one.as_ref().ok()?)? / limit)
        };
        middle(row.rounds.iter().zip(&limit.rounds).filter_map(ratio).collect())
    }

    pub(crate) fn markdown(&self) -> String {
        let Amounts {
            rounds,
            tunnels,
            idle,
            bytes,
            requests,
            arrivals,
            datagrams,
        } = self.amounts;
        let mut text = format!(
            "{rounds} round(s); {tunnels} tunnels, {idle} idle ones, {} MB each way, {requests} GETs, \
             {arrivals} tunnels at a steady pace, {datagrams} datagrams there and back. In brackets: times the limit.\n\n",
            bytes / 1_000_000
        );
        let headings: Vec<_> = COLUMNS.iter().map(|column| column.heading).collect();
        let _ = writeln!(text, "| contender | {} |", headings.join(" | "));
        let _ = writeln!(text, "| --- |{}", " ---: |".repeat(COLUMNS.len()));
        for row in &self.rows {
            let cells = COLUMNS.iter().map(|column| {
                let Some(figure) = Self::figure(row, column) else {
                    return "–".to_owned();
                };
                let figure = format!("{figure:.*}", column.decimals);
                match self.ratio(row, column).filter(|_| column.has_limit) {
                    Some(ratio) => format!("{figure} ({ratio:.2})"),
                    None => figure,
                }
            });
            let _ = writeln!(text, "| {} | {} |", row.name, cells.collect::<Vec<_>>().join(" | "));
        }
        for row in &self.rows {
            for error in row.rounds.iter().filter_map(|round| round.as_ref().err()) {
                let _ = writeln!(text, "\n{}: {error}", row.name);
            }
            if row.rounds.iter().flatten().any(|figures| !figures.hears_out) {
                let _ = writeln!(
                    text,
                    "\n{}: loses what is still due to a client that has finished",
                    row.name
                );
            }
        }
        text
    }

    fn json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            let figures = COLUMNS.iter().map(|column| {
                let values = json!({ "value": Self::figure(row, column), "timesLimit": self.ratio(row, column) });
                (column.heading.to_owned(), values)
            });
            json!({ "contender": row.name, "figures": figures.collect::<serde_json::Map<_, _>>() })
        });
        json!({ "rounds": self.amounts.rounds, "contenders": rows.collect::<Vec<_>>() })
    }

    /// Bars: what a tunnel costs, in multiples of the limit.
    fn svg(&self) -> String {
        const BAR: usize = 22;
        const LEFT: f64 = 210.0;
        const WIDTH: f64 = 420.0;
        let column = &COLUMNS[SHOWN];
        let bars: Vec<_> = self
            .rows
            .iter()
            .filter_map(|row| Some((row.name.as_str(), self.ratio(row, column)?)))
            .collect();
        let longest = bars.iter().map(|(_, ratio)| *ratio).fold(1.0, f64::max);
        let height = 40 + BAR * bars.len();
        let mut text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 700 {height}\" font-family=\"sans-serif\" font-size=\"13\">\n\
             <rect width=\"700\" height=\"{height}\" fill=\"#fff\"/>\n\
             <text x=\"10\" y=\"20\" font-weight=\"bold\">{}, times the limit (less is better)</text>\n",
            column.heading
        );
        for (number, (name, ratio)) in bars.iter().enumerate() {
            let top = 32 + BAR * number;
            let fill = if name.contains("turnpike") {
                "#0b6e4f"
            } else {
                "#9aa5b1"
            };
            let width = ratio / longest * WIDTH;
            let _ = writeln!(
                text,
                "<text x=\"10\" y=\"{0}\">{name}</text><rect x=\"{LEFT}\" y=\"{top}\" width=\"{width:.1}\" height=\"16\" fill=\"{fill}\"/>\
                 <text x=\"{1:.1}\" y=\"{0}\">{ratio:.2}</text>",
                top + 13,
                LEFT + width + 6.0,
            );
        }
        text.push_str("</svg>\n");
        text
    }

    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder).with_context(|| format!("the folder {}", folder.display()))?;
        let json = serde_json::to_string_pretty(&self.json())? + "\n";
        for (name, text) in [
            ("bench.md", self.markdown()),
            ("bench.json", json),
            ("bench.svg", self.svg()),
        ] {
            let file = folder.join(name);
            fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
        }
        Ok(())
    }
}

/// Of an even number, between the two in the middle.
pub(crate) fn middle(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    match values.len() {
        0 => None,
        length if length % 2 == 1 => values.get(half).copied(),
        _ => Some(f64::midpoint(*values.get(half - 1)?, *values.get(half)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(tunnel: f64) -> Figures {
        let cost = Cost {
            cpu_seconds: tunnel / 1e6,
        };
        Figures {
            hears_out: true,
            idle: None,
            tunnels: Some(cost),
            down: None,
            up: None,
            requests: None,
            arrival: None,
            datagrams: None,
        }
    }

    #[test]
    fn ratios_are_taken_within_a_round_and_the_middle_one_is_told() {
        let mut report = Report::new(Amounts::of(true));
        for (limit, own) in [(10.0, 30.0), (20.0, 20.0), (10.0, 15.0)] {
            report.add("limit", Ok(figures(limit)));
            report.add("http one", Ok(figures(own)));
        }
        report.add("http two", Err("it ended at once".to_owned()));
        let text = report.markdown();
        assert!(
            text.contains("| http one | – | – | 20.0 (1.50) | – | – | – | – | – | – |"),
            "{text}"
        );
        assert!(text.contains("http two: it ended at once"), "{text}");
        assert!(report.svg().contains(">1.50</text>"));
        let row = &report.json()["contenders"][1]["figures"]["CPU-µs/tunnel"];
        assert_eq!(row["timesLimit"], 1.5);
    }
}
