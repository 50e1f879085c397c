//! Does what the README promises of its first command: starts the demo and pastes every command that it prints into a shell.

use std::io::{BufRead as _, BufReader};
use std::net::IpAddr;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use rustix::process::{Pid, Signal, kill_process};

use crate::steps::{announce, cargo};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Check a debug build, which is made sooner
    #[arg(long)]
    debug: bool,
}

/// The last line that the demo prints.
const END: &str = "Ctrl-C ends the demo.";

/// A line that stands between the outputs of two commands.
const SEPARATOR: &str = "----8<----";

pub(crate) fn run(options: &Options) -> Result<()> {
    let mut command = cargo();
    command
        .arg("run")
        .args((!options.debug).then_some("--release"))
        .args(["--", "demo"]);
    announce(&command);
    let mut demo = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting the demo")?;
    let checked = commands(&mut demo).and_then(|commands| check(&paste(&commands)?));
    // Also after a failure: nothing stays behind. `cargo run` has turned into the demo, so this reaches it.
    if let Some(pid) = i32::try_from(demo.id()).ok().and_then(Pid::from_raw) {
        // It may have ended already; its status says how.
        let _ = kill_process(pid, Signal::TERM);
    }
    let status = demo.wait().context("waiting for the demo")?;
    checked?;
    ensure!(status.success(), "the demo ended with {status}");
    println!("\nThe demo's commands work as printed.");
    Ok(())
}

/// The commands that the demo prints: its indented lines.
fn commands(demo: &mut Child) -> Result<Vec<String>> {
    let mut commands = Vec::new();
    for line in BufReader::new(demo.stdout.as_mut().context("the demo's output")?).lines() {
        let line = line.context("reading the demo's output")?;
        println!("{line}");
        if line == END {
            return Ok(commands);
        }
        commands.extend(
            line.strip_prefix("  ")
                .filter(|rest| !rest.starts_with(' '))
                .map(str::to_owned),
        );
    }
    bail!("the demo ended before it said {END:?}");
}

/// A command with what it printed.
struct Pasted {
    command: String,
    output: String,
}

/// Runs all of them in one shell, which stops at the first that fails.
fn paste(commands: &[String]) -> Result<Vec<Pasted>> {
    let separator = format!("\necho; echo '{SEPARATOR}'\n");
    let shell = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &commands.join(&separator)])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("starting bash")?;
    let printed = String::from_utf8_lossy(&shell.stdout);
    let outputs = printed.split(SEPARATOR).map(|output| output.trim().to_owned());
    let pasted: Vec<_> = commands
        .iter()
        .cloned()
        .zip(outputs)
        .map(|(command, output)| Pasted { command, output })
        .collect();
    for Pasted { command, output } in &pasted {
        println!("\n$ {command}\n{output}");
    }
    ensure!(
        shell.status.success(),
        "the command printed last ended with {}",
        shell.status
    );
    Ok(pasted)
}

/// What each command must show, by what it asks for.
fn check(pasted: &[Pasted]) -> Result<()> {
    let mut addresses: Vec<IpAddr> = Vec::new();
    for Pasted { command, output } in pasted {
        if command.contains("$BASE/ip") {
            addresses.push(
                output
                    .parse()
                    .with_context(|| format!("{command}: {output:?} is no address"))?,
            );
        } else if command.contains("$BASE") {
            ensure!(output.contains(r#""ok":true"#), "{command}: {output}");
        }
    }
    let [by_http, by_socks, after_rotation] = addresses[..] else {
        bail!(
            "the demo asks for its address {} times instead of by HTTP, by SOCKS5 and after a rotation",
            addresses.len()
        );
    };
    ensure!(
        by_http == by_socks,
        "HTTP came from {by_http} and SOCKS5 from {by_socks}"
    );
    ensure!(by_http != after_rotation, "the rotation changed nothing: {by_http}");
    Ok(())
}
