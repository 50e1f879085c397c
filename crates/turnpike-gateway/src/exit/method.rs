//! The operator's ways to give an exit another address: a program, or an HTTP call.
//!
//! Both may say which address it is: the program on the first line of its output, the call in its body, as the bare
//! address. Neither is bounded here as a whole, a rotation is; where that gives up, the program is killed.

use std::net::IpAddr;
use std::process::Stdio;
use std::sync::OnceLock;
use std::time::Duration;

use futures_util::future;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;

use super::{RotateMethod, RotationError, device};

/// For one HTTP call.
const HTTP_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest body of an answer.
const MAX_BODY: usize = 64 * 1024;

/// How much of a program's output is kept; the rest is read and dropped, so that it does not block.
const MAX_OUTPUT: usize = 4 * 1024;

/// How long output is waited for once the program has ended: something that it left running may hold the pipe.
const OUTPUT_GRACE: Duration = Duration::from_millis(250);

/// How much of a program's complaint is shown.
const MAX_COMPLAINT: usize = 200;

/// The client of all rotations by HTTP, made at the first.
#[derive(Debug, Default)]
pub(super) struct HttpClient(OnceLock<reqwest::Client>);

/// Runs the method; gives back the new public address where it was told.
pub(super) async fn run(
    method: &RotateMethod,
    exit: &str,
    device: Option<&str>,
    http: &HttpClient,
) -> Result<Option<IpAddr>, RotationError> {
    match method {
        RotateMethod::Command(command) => run_command(command, exit).await,
        RotateMethod::Http(url) => call(url, device, http).await,
    }
}

/// Runs a program without a shell, in a process group of its own.
async fn run_command(command: &[String], exit: &str) -> Result<Option<IpAddr>, RotationError> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(failed("the rotation's command names no program"));
    };
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    // Our own configuration may hold secrets.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TURNPIKE_") {
            command.env_remove(name);
        }
    }
    command.env("TURNPIKE_EXIT", exit);
    let mut child = command
        .spawn()
        .map_err(|error| failed(format!("{program} cannot be run: {error}")))?;
    let mut group = Group::of(child.id());
    let output = future::join(start_of(child.stdout.take()), start_of(child.stderr.take()));
    tokio::pin!(output);
    let mut read = None;
    let status = loop {
        tokio::select! {
            status = child.wait() => break status,
            pair = &mut output, if read.is_none() => read = Some(pair),
        }
    };
    group.has_ended();
    let status = status.map_err(|error| failed(format!("{program} was lost: {error}")))?;
    let (output, complaint) = match read {
        Some(pair) => pair,
        None => tokio::time::timeout(OUTPUT_GRACE, output).await.unwrap_or_default(),
    };
    if !status.success() {
        let complaint = first_line(&complaint);
        let separator = if complaint.is_empty() { "" } else { ": " };
        return Err(failed(format!("{program} failed ({status}){separator}{complaint}")));
    }
    Ok(first_line(&output).trim().parse().ok())
}

/// Kills a program and what it started, unless it has ended by itself.
struct Group(Option<Pid>);

impl Group {
    fn of(leader: Option<u32>) -> Self {
        Self(leader.and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)))
    }

    fn has_ended(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}

/// Reads all of a pipe and keeps its start.
async fn start_of(pipe: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut start = Vec::new();
    let Some(mut pipe) = pipe else {
        return start;
    };
    let mut chunk = [0_u8; 1_024];
    while let Ok(length) = pipe.read(&mut chunk).await {
        let Some(bytes) = chunk.get(..length).filter(|bytes| !bytes.is_empty()) else {
            break;
        };
        let room = MAX_OUTPUT.saturating_sub(start.len());
        start.extend(bytes.iter().take(room));
    }
    start
}

fn first_line(output: &[u8]) -> String {
    String::from_utf8_lossy(output)
        .lines()
        .next()
        .unwrap_or_default()
        .chars()
        .filter(|character| !character.is_control())
        .take(MAX_COMPLAINT)
        .collect()
}

/// GETs an address of the operator's: no redirects, ten seconds, 64 KiB. It may hold a key, so it is in no error.
async fn call(url: &str, device: Option<&str>, http: &HttpClient) -> Result<Option<IpAddr>, RotationError> {
    let client = match device.filter(|device| is_behind(url, device)) {
        Some(device) => build(Some(device))?,
        None => match http.0.get() {
            Some(client) => client.clone(),
            None => {
                let client = build(None)?;
                http.0.get_or_init(|| client).clone()
            }
        },
    };
    let could_not = |error: reqwest::Error| {
        let error = error.without_url();
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        failed(format!(
            "the rotation address cannot be called: {}",
            cause.unwrap_or_else(|| error.to_string())
        ))
    };
    let mut answer = client.get(url).send().await.map_err(could_not)?;
    if !answer.status().is_success() {
        return Err(failed(format!("the rotation address answered {}", answer.status())));
    }
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(could_not)? {
        if body.len() + chunk.len() > MAX_BODY {
            return Err(failed("the rotation address answered more than 64 KiB"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(String::from_utf8_lossy(&body).trim().parse().ok())
}

/// Whether the URL's host is on the network directly behind the device. A machine with several modems of one make has
/// the same 192.168.8.1 behind each: only the device tells which is meant.
fn is_behind(url: &str, device: &str) -> bool {
    let host = match url::Url::parse(url).ok().as_ref().and_then(url::Url::host) {
        Some(url::Host::Ipv4(address)) => IpAddr::V4(address),
        Some(url::Host::Ipv6(address)) => IpAddr::V6(address),
        Some(url::Host::Domain(_)) | None => return false,
    };
    device::addresses(device)
        .iter()
        .any(|own| own.network.is_some_and(|network| network.contains(&host)))
}

fn build(device: Option<&str>) -> Result<reqwest::Client, RotationError> {
    // It fails where somebody has installed one already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(HTTP_TIMEOUT)
        .pool_max_idle_per_host(0)
        .no_proxy();
    if let Some(device) = device {
        builder = builder.interface(device);
    }
    builder
        .build()
        .map_err(|error| failed(format!("no HTTP client can be made: {error}")))
}

fn failed(reason: impl Into<String>) -> RotationError {
    RotationError::Failed(reason.into())
}
