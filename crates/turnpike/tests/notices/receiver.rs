//! Programs that receive notices, and tell what they got.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver as Lines, channel};
use std::time::Duration;

use serde_json::Value;
use testbed::client::Script;
use testbed::clock::Clock;

/// However busy the machine is.
const PATIENCE: Duration = Duration::from_secs(60);

/// A Python program that receives, until it is dropped.
pub(crate) struct Receiver {
    program: Child,
    input: ChildStdin,
    lines: Lines<String>,
    pub(crate) port: u16,
}

impl Receiver {
    /// Starts it; absent where this machine has no such programs, and that has been said.
    pub(crate) fn start(name: &str, arguments: &[&str]) -> Option<Self> {
        Self::started(Script::find(name)?.command(arguments))
    }

    /// One that goes by a clock: what was signed at another time than it has is not accepted.
    pub(crate) fn by_clock(name: &str, arguments: &[&str], clock: &Clock) -> Option<Self> {
        let mut command = Script::find(name)?.command(arguments);
        command.envs(clock.environment());
        Self::started(command)
    }

    fn started(mut command: Command) -> Option<Self> {
        let mut program = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (told, lines) = channel();
        let output = BufReader::new(program.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if told.send(line).is_err() {
                    return;
                }
            }
        });
        let input = program.stdin.take().unwrap();
        let port = lines
            .recv_timeout(PATIENCE)
            .expect("it tells its port")
            .parse()
            .unwrap();
        Some(Self {
            program,
            input,
            lines,
            port,
        })
    }

    pub(crate) fn tell(&mut self, line: &str) {
        writeln!(self.input, "{line}").unwrap();
    }

    /// The next thing that it got.
    pub(crate) fn next(&self) -> Value {
        let line = self.lines.recv_timeout(PATIENCE).expect("something comes");
        serde_json::from_str(&line).unwrap()
    }

    /// What it got meanwhile.
    pub(crate) fn rest(&self) -> Vec<Value> {
        self.lines
            .try_iter()
            .map(|line| serde_json::from_str(&line).unwrap())
            .collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}
