//! Installing what the tests need beyond the Rust toolchain, where that is possible.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use testbed::{clock, faulty, node_modules, postgres, program, python, python_environment, shadowsocks_rust};

use crate::steps::{cargo, quietly, root, succeeds};

/// What the Python clients are, by name and version.
const REQUIREMENTS: &str = "crates/turnpike/tests/clients/requirements.txt";

/// The version of shadowsocks-rust that the tests have been run with.
const SHADOWSOCKS_RUST: &str = "1.25.0";

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Build the client of shadowsocks-rust, too, under `target/`; it takes some minutes, so it is not done unasked
    #[arg(long)]
    shadowsocks_rust: bool,
}

/// The same of those that run on Node.
const NODE_REQUIREMENTS: &str = "crates/turnpike/tests/clients/package.json";

/// Something that is not there, and why it could not be installed.
#[derive(Debug)]
pub(crate) struct Missing {
    what: &'static str,
    why: String,
}

/// A Debian package, with a look at whether what it brings is there already.
struct Package {
    name: &'static str,
    /// What it would start with the machine from now on, with a configuration that nobody here wants.
    service: Option<&'static str>,
    is_there: fn() -> bool,
}

const PACKAGES: [Package; 21] = [
    Package {
        name: "postgresql",
        service: None,
        is_there: || postgres::binaries().is_some(),
    },
    Package {
        name: "curl",
        service: None,
        is_there: || program("curl").is_some(),
    },
    Package {
        name: "chromium",
        service: None,
        is_there: || program("chromium").is_some(),
    },
    Package {
        name: "libnss3-tools",
        service: None,
        is_there: || program("certutil").is_some(),
    },
    Package {
        name: "npm",
        service: None,
        is_there: || program("node").is_some() && program("npm").is_some(),
    },
    Package {
        name: "microsocks",
        service: None,
        is_there: || program("microsocks").is_some(),
    },
    Package {
        name: "tinyproxy",
        service: Some("tinyproxy"),
        is_there: || program("tinyproxy").is_some(),
    },
    Package {
        name: "dante-server",
        service: Some("danted"),
        is_there: || program("danted").is_some(),
    },
    Package {
        name: "v2ray",
        service: Some("v2ray"),
        is_there: || program("v2ray").is_some(),
    },
    Package {
        name: "shadowsocks-libev",
        service: Some("shadowsocks-libev"),
        is_there: || program("ss-local").is_some() && program("ss-tunnel").is_some(),
    },
    Package {
        name: "unbound",
        service: Some("unbound"),
        is_there: || program("unbound").is_some(),
    },
    Package {
        name: "bind9-dnsutils",
        service: None,
        is_there: || program("dig").is_some(),
    },
    Package {
        name: "librsvg2-bin",
        service: None,
        is_there: || program("rsvg-convert").is_some(),
    },
    Package {
        name: "zbar-tools",
        service: None,
        is_there: || program("zbarimg").is_some(),
    },
    Package {
        name: "pebble",
        service: None,
        is_there: || program("pebble").is_some(),
    },
    Package {
        name: "iproute2",
        service: None,
        is_there: || program("ip").is_some(),
    },
    Package {
        name: "nftables",
        service: None,
        is_there: || program("nft").is_some(),
    },
    Package {
        name: "faketime",
        service: None,
        is_there: || clock::library().is_some(),
    },
    Package {
        name: "fiu-utils",
        service: None,
        is_there: faulty::is_there,
    },
    Package {
        name: "valgrind",
        service: None,
        is_there: || program("valgrind").is_some(),
    },
    Package {
        name: "python3-venv",
        service: None,
        is_there: || interpreter().is_some(),
    },
];

/// Installs what is missing and what was asked for, and tells what still is missing.
pub(crate) fn requested(options: &Options) -> Result<()> {
    let missing = run()?;
    if options.shadowsocks_rust {
        build_shadowsocks_rust()?;
    }
    report(&missing);
    Ok(())
}

/// Installs what is missing; what still is missing afterwards.
pub(crate) fn run() -> Result<Vec<Missing>> {
    let mut missing = install_packages()?;
    missing.extend(install_clients()?);
    missing.extend(install_node_clients()?);
    Ok(missing)
}

/// Tells what is missing.
pub(crate) fn report(missing: &[Missing]) {
    if missing.is_empty() {
        println!("\nEverything that the tests need is there.");
    }
    for Missing { what, why } in missing {
        println!("not installed: {what}: {why}");
    }
}

fn install_packages() -> Result<Vec<Missing>> {
    let absent = || PACKAGES.iter().filter(|package| !(package.is_there)());
    let wanted = || absent().map(|package| package.name);
    if wanted().next().is_none() {
        return Ok(Vec::new());
    }
    let why = match as_root() {
        Err(why) => why.to_owned(),
        Ok(as_root) => {
            let apt_get = || as_root(&["apt-get", "-qq"]);
            let services: Vec<_> = absent().filter_map(|package| package.service).collect();
            succeeds(apt_get().arg("update"))?;
            // One by one where all at once fails: a package that this release lacks must not keep the others out.
            let install = |names: &[&str]| {
                succeeds(
                    apt_get()
                        .args(["install", "--yes", "--no-install-recommends"])
                        .args(names),
                )
            };
            let names: Vec<_> = wanted().collect();
            if !install(&names)? {
                for name in names {
                    install(&[name])?;
                }
            }
            for service in services {
                quietly(as_root(&["systemctl", "disable"]).arg(service));
            }
            "apt-get could not install it; its output is above".to_owned()
        }
    };
    Ok(wanted().map(|what| Missing { what, why: why.clone() }).collect())
}

/// The way to run a program as root that installs something, or why there is none.
fn as_root() -> Result<impl Fn(&[&str]) -> Command, &'static str> {
    program("apt-get").ok_or("this machine has no apt-get; install it by hand")?;
    let is_root = Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|answer| answer.stdout.trim_ascii() == b"0");
    if !is_root && !quietly(Command::new("sudo").args(["-n", "true"])) {
        return Err("installing takes root, or a sudo that asks no password");
    }
    Ok(move |words: &[&str]| {
        let mut command = Command::new(if is_root { "env" } else { "sudo" });
        if !is_root {
            command.args(["-n", "env"]);
        }
        // Freshly installed services do not start by themselves: the tests run their own. Scripts of System V know the run level,
        // those of systemd that it is not to be talked to.
        command.args(["DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1", "SYSTEMD_OFFLINE=1"]);
        command.args(words);
        command
    })
}

/// An interpreter that can make virtual environments. Debian's own lacks that without `python3-venv`.
fn interpreter() -> Option<PathBuf> {
    let found = [program("python3"), Some(PathBuf::from("/usr/bin/python3"))]
        .into_iter()
        .flatten();
    found
        .into_iter()
        .find(|python| quietly(Command::new(python).args(["-c", "import ensurepip, venv"])))
}

/// Installs the clients that run on Node.
fn install_node_clients() -> Result<Option<Missing>> {
    let missing = |why: &str| {
        Ok(Some(Missing {
            what: "the clients that run on Node",
            why: why.to_owned(),
        }))
    };
    let Some(npm) = program("npm") else {
        return missing("there is no npm");
    };
    let modules = node_modules();
    let folder = modules.parent().context("the folder of the clients that run on Node")?;
    std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    let list = folder.join("package.json");
    std::fs::copy(root().join(NODE_REQUIREMENTS), &list).with_context(|| format!("writing {}", list.display()))?;
    let mut install = Command::new(npm);
    install
        .current_dir(folder)
        .args(["install", "--silent", "--no-audit", "--no-fund", "--no-package-lock"]);
    if !succeeds(&mut install)? {
        return missing("npm could not install them; its output is above");
    }
    Ok(None)
}

/// Fills the virtual environment of the Python clients.
fn install_clients() -> Result<Option<Missing>> {
    let missing = |why: &str| {
        Ok(Some(Missing {
            what: "the Python clients",
            why: why.to_owned(),
        }))
    };
    let Some(interpreter) = interpreter() else {
        return missing("no Python that can make virtual environments (Debian: python3-venv)");
    };
    let environment = python_environment();
    if python().is_none() && !succeeds(Command::new(interpreter).args(["-m", "venv"]).arg(&environment))? {
        return missing("the virtual environment could not be made");
    }
    let mut pip = Command::new(environment.join("bin/python"));
    pip.args([
        "-m",
        "pip",
        "--disable-pip-version-check",
        "install",
        "--quiet",
        "--requirement",
    ])
    .arg(root().join(REQUIREMENTS));
    if !succeeds(&mut pip)? {
        return missing("pip could not install them; its output is above");
    }
    Ok(None)
}

/// Builds `sslocal` with no more than what the tests use.
fn build_shadowsocks_rust() -> Result<()> {
    let mut install = cargo();
    install
        .args(["install", "shadowsocks-rust", "--locked", "--version", SHADOWSOCKS_RUST])
        .args(["--bin", "sslocal", "--no-default-features"])
        .args(["--features", "local,multi-threaded,aead-cipher,aead-cipher-2022"])
        .arg("--root")
        .arg(shadowsocks_rust());
    ensure!(
        succeeds(&mut install)?,
        "shadowsocks-rust could not be built; cargo's words on it are above"
    );
    Ok(())
}
