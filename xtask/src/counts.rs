//! How many instructions the codecs take, compared with what is committed.
//!
//! Time tells little on machines that do other work as well; instructions are the same each time. They are counted by callgrind, which
//! knows no newer vector instructions than AVX2, so that the same ways are taken on all machines of the last ten years.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use testbed::program;

use crate::steps::{announce, cargo, root};

/// Where the counts are committed.
const COMMITTED: &str = "crates/turnpike-wire/benches/counts.txt";

/// By how much a count may grow before it fails, in hundredths.
const TOLERATED: u64 = 10;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Write the counts down instead of comparing them: commit them with the change that explains them
    #[arg(long)]
    update: bool,
}

/// What is written down, or was counted.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    /// Which ways through the ciphers were taken.
    processor: String,
    /// Instructions of one call.
    each: BTreeMap<String, u64>,
}

/// A routine that can be counted.
struct Routine {
    name: String,
    calls: u64,
    is_of_the_processor: bool,
}

/// Counts, and compares or writes down. True when nothing has grown.
pub(crate) fn run(options: &Options) -> Result<bool> {
    let Some(valgrind) = program("valgrind") else {
        println!("skipped: instructions are counted by valgrind, which this machine does not have (Debian: valgrind)");
        return Ok(true);
    };
    let bench = Bench {
        program: built()?,
        valgrind,
    };
    let (processor, routines) = bench.list()?;
    let mut counted = Counts {
        processor,
        each: BTreeMap::new(),
    };
    for routine in &routines {
        counted.each.insert(routine.name.clone(), bench.count(routine)?);
    }
    let file = root().join(COMMITTED);
    if options.update {
        fs::write(&file, counted.to_string()).with_context(|| format!("writing {}", file.display()))?;
        println!("Written to {COMMITTED}.");
        return Ok(true);
    }
    let committed = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
    let committed = Counts::read(&committed)?;
    let comparison = compare(&committed, &counted, &routines);
    println!("{}", comparison.table);
    for complaint in &comparison.complaints {
        println!("failed: {complaint}");
    }
    Ok(comparison.complaints.is_empty())
}

/// Builds the program that is counted, and says where it is.
fn built() -> Result<PathBuf> {
    let mut build = cargo();
    build.args([
        "bench",
        "--package",
        "turnpike-wire",
        "--bench",
        "codecs",
        "--no-run",
        "--message-format",
        "json-render-diagnostics",
    ]);
    announce(&build);
    let output = build
        .stderr(std::process::Stdio::inherit())
        .output()
        .context("starting cargo")?;
    ensure!(output.status.success(), "the benchmark was not built");
    // The last of its messages with an executable is of what was asked for.
    let said = String::from_utf8_lossy(&output.stdout);
    let executable = said
        .rsplit("\"executable\":\"")
        .next()
        .and_then(|rest| rest.split('"').next());
    let path = executable.map(PathBuf::from).filter(|path| path.is_file());
    path.context("cargo did not say where the benchmark is")
}

struct Bench {
    program: PathBuf,
    valgrind: PathBuf,
}

impl Bench {
    fn list(&self) -> Result<(String, Vec<Routine>)> {
        // Under valgrind as well, since it hides some of what the processor can do.
        let mut command = Command::new(&self.valgrind);
        command.args(["--quiet", "--tool=none"]).arg(&self.program).arg("list");
        let output = command.output().context("starting valgrind")?;
        ensure!(
            output.status.success(),
            "valgrind: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let said = String::from_utf8(output.stdout).context("the list of routines")?;
        let mut lines = said.lines();
        let processor = lines.next().and_then(|line| line.strip_prefix("processor "));
        let routines = lines.map(Routine::read).collect::<Option<Vec<_>>>();
        processor
            .map(str::to_owned)
            .zip(routines)
            .with_context(|| format!("no list of routines: {said}"))
    }

    /// The instructions of one call: what a run with so many calls takes more than one without.
    fn count(&self, routine: &Routine) -> Result<u64> {
        let with = self.instructions(routine, routine.calls)?;
        let without = self.instructions(routine, 0)?;
        Ok(with.saturating_sub(without) / routine.calls.max(1))
    }

    fn instructions(&self, routine: &Routine, calls: u64) -> Result<u64> {
        let mut command = Command::new(&self.valgrind);
        command
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(&self.program)
            .args([&routine.name, &calls.to_string()]);
        let output = command.output().context("starting valgrind")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{} under valgrind: {said}", routine.name);
        let line = said.lines().find_map(|line| line.split_once("Collected : "));
        let count = line.and_then(|(_, count)| count.trim().parse().ok());
        count.with_context(|| format!("valgrind does not say what it has counted: {said}"))
    }
}

impl Routine {
    /// `NAME CALLS any` or `NAME CALLS processor`.
    fn read(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        Some(Self {
            name: words.next()?.to_owned(),
            calls: words.next()?.parse().ok()?,
            is_of_the_processor: words.next()? == "processor",
        })
    }
}

impl Counts {
    fn read(text: &str) -> Result<Self> {
        let mut counts = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            let Some((name, value)) = line.split_once(' ') else {
                bail!("{COMMITTED}: {line:?} is not a name and a count");
            };
            match name {
                "processor" => value.trim().clone_into(&mut counts.processor),
                name => {
                    let count = value.trim().parse();
                    counts
                        .each
                        .insert(name.to_owned(), count.with_context(|| format!("{COMMITTED}: {line}"))?);
                }
            }
        }
        Ok(counts)
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(
            f,
            "# Instructions of one call, counted by `cargo xtask count --update`. Ciphers depend on the processor."
        )?;
        writeln!(f, "{:<24} {}", "processor", self.processor)?;
        self.each
            .iter()
            .try_for_each(|(name, count)| writeln!(f, "{name:<24} {count:>10}"))
    }
}

struct Comparison {
    table: String,
    complaints: Vec<String>,
}

fn compare(committed: &Counts, counted: &Counts, routines: &[Routine]) -> Comparison {
    let mut table = format!("{:<24} {:>10} {:>10}\n", "instructions", "committed", "now");
    let mut complaints = Vec::new();
    let same_processor = committed.processor == counted.processor;
    for routine in routines {
        let name = &routine.name;
        let now = counted.each.get(name).copied().unwrap_or_default();
        let Some(&before) = committed.each.get(name) else {
            complaints.push(format!(
                "{name} has no committed count: run `cargo xtask count --update`"
            ));
            continue;
        };
        let _ = write!(table, "{name:<24} {before:>10} {now:>10}");
        let note = if routine.is_of_the_processor && !same_processor {
            "  not compared: the counts are of another processor"
        } else if now.saturating_mul(100) > before.saturating_mul(100 + TOLERATED) {
            complaints.push(format!(
                "{name} takes {now} instructions and took {before}, more than {TOLERATED} % less: mend it, or say why in the change \
                 and run `cargo xtask count --update`"
            ));
            "  more"
        } else if now.saturating_mul(100) < before.saturating_mul(100 - TOLERATED) {
            "  less: `cargo xtask count --update` keeps it so"
        } else {
            ""
        };
        table.push_str(note);
        table.push('\n');
    }
    let gone = committed.each.keys().filter(|name| !counted.each.contains_key(*name));
    complaints.extend(
        gone.map(|name| format!("{name} is committed and not counted any more: run `cargo xtask count --update`")),
    );
    Comparison { table, complaints }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail by panicking")]
mod tests {
    use super::*;

    fn counts(processor: &str, each: &[(&str, u64)]) -> Counts {
        Counts {
            processor: processor.to_owned(),
            each: each.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect(),
        }
    }

    fn routines() -> Vec<Routine> {
        ["parse 10 any", "seal 10 processor"]
            .map(|line| Routine::read(line).unwrap())
            .into()
    }

    fn complaints(before: &Counts, now: &Counts) -> usize {
        compare(before, now, &routines()).complaints.len()
    }

    #[test]
    fn what_is_written_is_read() {
        let written = counts("x86_64+aes", &[("parse", 1_000), ("seal", 20)]);
        assert_eq!(Counts::read(&written.to_string()).unwrap(), written);
        assert!(Counts::read("parse").is_err() && Counts::read("parse many").is_err());
    }

    #[test]
    fn growth_by_more_than_a_tenth_fails_and_less_does_not() {
        let before = counts("a", &[("parse", 1_000), ("seal", 1_000)]);
        assert_eq!(complaints(&before, &counts("a", &[("parse", 1_100), ("seal", 500)])), 0);
        assert_eq!(
            complaints(&before, &counts("a", &[("parse", 1_101), ("seal", 1_101)])),
            2
        );
    }

    #[test]
    fn ciphers_are_compared_on_the_same_processor_only() {
        let before = counts("a", &[("parse", 1_000), ("seal", 1_000)]);
        assert_eq!(
            complaints(&before, &counts("b", &[("parse", 1_000), ("seal", 9_000)])),
            0
        );
        assert_eq!(
            complaints(&before, &counts("b", &[("parse", 2_000), ("seal", 9_000)])),
            1
        );
    }

    #[test]
    fn a_routine_without_its_count_fails_and_a_count_without_its_routine() {
        let before = counts("a", &[("gone", 1), ("parse", 1_000)]);
        let now = counts("a", &[("parse", 1_000), ("seal", 1_000)]);
        assert_eq!(complaints(&before, &now), 2);
    }
}
