//! Pictures of the pages, for whoever works on them and for the README.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::steps::{announce, cargo};

/// The tests that look at all pages, and the variable by which they are asked for pictures.
const TESTS: [&str; 2] = ["pages", "reference"];
const VARIABLE: &str = "TURNPIKE_PICTURES";

pub(crate) fn run(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    let folder = folder.canonicalize()?;
    let mut test = cargo();
    test.args(["test", "--package", "turnpike"]).env(VARIABLE, &folder);
    for name in TESTS {
        test.args(["--test", name]);
    }
    announce(&test);
    let status = test.status().context("starting cargo")?;
    ensure!(status.success(), "the walk through the pages ended with {status}");
    println!("The pictures are in {}.", folder.display());
    Ok(())
}
