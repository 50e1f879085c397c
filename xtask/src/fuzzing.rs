//! Looking for bytes that a codec takes badly, with libFuzzer.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;

use crate::steps::{announce, quietly, root, succeeds};

/// How long an input may be.
const LONGEST: u32 = 2_048;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Only these targets; absent: all
    targets: Vec<String>,
    /// How many inputs each target is given
    #[arg(long, default_value_t = 2_000_000)]
    executions: u64,
    /// Where random numbers begin
    #[arg(long, default_value_t = 1)]
    seed: u32,
    /// Keep the new inputs that reach something of their own, in the target's corpus under fuzz/corpora
    #[arg(long)]
    keep: bool,
}

/// Gives every target its inputs and prints how many there were; stops at the first that fails.
pub(crate) fn run(options: &Options) -> Result<()> {
    let known: Vec<&str> = fuzz::TARGETS.iter().map(|(name, _)| *name).collect();
    if let Some(unknown) = options.targets.iter().find(|name| !known.contains(&name.as_str())) {
        bail!("{unknown} is no target; there are {}", known.join(", "));
    }
    let engine = build()?;
    let work = root().join("target/fuzz");
    let mut figures = Vec::new();
    for name in known {
        if !options.targets.is_empty() && !options.targets.iter().any(|wanted| wanted == name) {
            continue;
        }
        let start = Instant::now();
        fuzz_one(&engine, name, &work, options)?;
        figures.push((name, start.elapsed()));
    }
    println!(
        "\n{:<18} {:>12} {:>9} {:>8}",
        "target", "executions", "findings", "seconds"
    );
    for (name, took) in figures {
        println!(
            "{name:<18} {:>12} {:>9} {:>8.1}",
            options.executions,
            0,
            took.as_secs_f64()
        );
    }
    Ok(())
}

/// The engine's program, built with LLVM's counters in it.
fn build() -> Result<PathBuf> {
    if !quietly(Command::new("cargo-fuzz").arg("--version")) {
        bail!("cargo-fuzz is not installed; install it with `cargo install cargo-fuzz`");
    }
    // The sanitizers need a nightly compiler, and code without `unsafe` has little for them to find.
    let mut command = Command::new("cargo-fuzz");
    command.args(["build", "--fuzz-dir", "fuzz/engine", "--sanitizer", "none", "any"]);
    ensure!(succeeds(command.current_dir(root()))?, "the targets do not build");
    let targets = root().join("fuzz/engine/target");
    let found = fs::read_dir(&targets)
        .with_context(|| format!("reading {}", targets.display()))?
        .filter_map(|entry| Some(entry.ok()?.path().join("release/any")))
        .find(|program| program.is_file());
    found.context("the engine was built, and is not where cargo-fuzz puts it")
}

fn fuzz_one(engine: &Path, name: &str, work: &Path, options: &Options) -> Result<()> {
    let kept = root().join("fuzz/corpora").join(name);
    let (grown, findings) = (work.join("grown").join(name), work.join("findings").join(name));
    for folder in [&kept, &grown, &findings] {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    }
    let libfuzzer = |arguments: &[String]| {
        let mut command = Command::new(engine);
        command.env("TURNPIKE_FUZZ", name).args(arguments).current_dir(work);
        command
    };
    let mut command = libfuzzer(&[
        format!("-runs={}", options.executions),
        format!("-seed={}", options.seed),
        format!("-max_len={LONGEST}"),
        format!("-artifact_prefix={}/", findings.display()),
        "-timeout=10".to_owned(),
        "-print_final_stats=1".to_owned(),
        "-verbosity=0".to_owned(),
        grown.display().to_string(),
        kept.display().to_string(),
    ]);
    announce(&command);
    let status = command.status().context("starting the engine")?;
    ensure!(
        status.success(),
        "{name} has a finding: mend what it shows, and keep the input from {} in {}",
        findings.display(),
        kept.display()
    );
    if options.keep {
        let mut command = libfuzzer(&[
            // Just those that reach code of their own: what only runs a loop once more is found again quickly enough.
            "-set_cover_merge=1".to_owned(),
            "-use_counters=0".to_owned(),
            format!("-max_len={LONGEST}"),
            "-verbosity=0".to_owned(),
            kept.display().to_string(),
            grown.display().to_string(),
        ]);
        ensure!(succeeds(&mut command)?, "the new inputs of {name} could not be kept");
    }
    Ok(())
}
