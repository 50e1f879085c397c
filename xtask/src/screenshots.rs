//! Pictures of the pages, for whoever works on them and for the README.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::steps::{announce, cargo};

/// The test that walks through all pages, and the variable by which it is asked for pictures.
const TEST: &str = "pages";
const VARIABLE: &str = "TURNPIKE_PICTURES";

pub(crate) fn run(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    let folder = folder.canonicalize()?;
    let mut test = cargo();
    test.args(["test", "--package", "turnpike", "--test", TEST])
        .env(VARIABLE, &folder);
    announce(&test);
    let status = test.status().context("starting cargo")?;
    ensure!(status.success(), "the walk through the pages ended with {status}");
    println!("The pictures are in {}.", folder.display());
    Ok(())
}
