//! Installing what the tests need beyond the Rust toolchain, where that is possible.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use testbed::{clock, faulty, postgres, program, python, python_environment};

use crate::steps::{quietly, root, succeeds};

/// What the Python clients are, by name and version.
const REQUIREMENTS: &str = "crates/turnpike/tests/clients/requirements.txt";

/// Something that is not there, and why it could not be installed.
#[derive(Debug)]
pub(crate) struct Missing {
    what: &'static str,
    why: String,
}

/// A Debian package, with a look at whether what it brings is there already.
struct Package {
    name: &'static str,
    is_there: fn() -> bool,
}

const PACKAGES: [Package; 11] = [
    Package {
        name: "postgresql",
        is_there: || postgres::binaries().is_some(),
    },
    Package {
        name: "curl",
        is_there: || program("curl").is_some(),
    },
    Package {
        name: "chromium",
        is_there: || program("chromium").is_some(),
    },
    Package {
        name: "microsocks",
        is_there: || program("microsocks").is_some(),
    },
    Package {
        name: "tinyproxy",
        is_there: || program("tinyproxy").is_some(),
    },
    Package {
        name: "dante-server",
        is_there: || program("danted").is_some(),
    },
    Package {
        name: "iproute2",
        is_there: || program("ip").is_some(),
    },
    Package {
        name: "nftables",
        is_there: || program("nft").is_some(),
    },
    Package {
        name: "faketime",
        is_there: || clock::library().is_some(),
    },
    Package {
        name: "fiu-utils",
        is_there: faulty::is_there,
    },
    Package {
        name: "python3-venv",
        is_there: || interpreter().is_some(),
    },
];

/// Installs what is missing; what still is missing afterwards.
pub(crate) fn run() -> Result<Vec<Missing>> {
    let mut missing = install_packages()?;
    missing.extend(install_clients()?);
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
    let wanted = || {
        PACKAGES
            .iter()
            .filter(|package| !(package.is_there)())
            .map(|package| package.name)
    };
    if wanted().next().is_none() {
        return Ok(Vec::new());
    }
    let why = match apt_get() {
        Err(why) => why.to_owned(),
        Ok(apt_get) => {
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
            "apt-get could not install it; its output is above".to_owned()
        }
    };
    Ok(wanted().map(|what| Missing { what, why: why.clone() }).collect())
}

/// The way to call apt-get as root, or why there is none.
fn apt_get() -> Result<impl Fn() -> Command, &'static str> {
    program("apt-get").ok_or("this machine has no apt-get; install it by hand")?;
    let is_root = Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|answer| answer.stdout.trim_ascii() == b"0");
    if !is_root && !quietly(Command::new("sudo").args(["-n", "true"])) {
        return Err("installing takes root, or a sudo that asks no password");
    }
    Ok(move || {
        let mut command = Command::new(if is_root { "env" } else { "sudo" });
        if !is_root {
            command.args(["-n", "env"]);
        }
        // At run level 1 freshly installed services do not start by themselves: the tests run their own.
        command.args(["DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1", "apt-get", "-qq"]);
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
