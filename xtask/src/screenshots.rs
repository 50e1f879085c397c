//! Pictures of the pages, for whoever works on them and for the README, with a table of what was found on each page.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::steps::{announce, cargo};

/// The tests that look at all pages, and the variable by which they are asked for pictures.
const TESTS: [&str; 2] = ["pages", "reference"];
const VARIABLE: &str = "TURNPIKE_PICTURES";
/// What each walk through the pages leaves beside its pictures ends so: a row for each page.
const ROWS: &str = "rows";
/// The table that is made of them.
const TABLE: &str = "pages.md";
const HEAD: &str = "| page | pictures | axe violations | console errors | HTML KiB | transferred KiB | answered in ms |\n\
                    | --- | --- | ---: | ---: | ---: | ---: | ---: |\n";

pub(crate) fn run(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    let folder = folder.canonicalize()?;
    // Those of walks that were cut off tell of pictures that are gone.
    for left in rows(&folder)? {
        fs::remove_file(left)?;
    }
    let mut test = cargo();
    test.args(["test", "--package", "turnpike"]).env(VARIABLE, &folder);
    for name in TESTS {
        test.args(["--test", name]);
    }
    announce(&test);
    let status = test.status().context("starting cargo")?;
    let pages = tell(&folder)?;
    ensure!(status.success(), "the walk through the pages ended with {status}");
    println!(
        "The pictures of {pages} pages and states are in {}, with a table of them in {TABLE}.",
        folder.display()
    );
    Ok(())
}

/// Makes one table of the rows of all walks, by page; how many it has.
fn tell(folder: &Path) -> Result<usize> {
    let mut pages = Vec::new();
    for file in rows(folder)? {
        let written = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
        pages.extend(written.lines().map(str::to_owned));
        fs::remove_file(file)?;
    }
    pages.sort();
    let table = pages.iter().fold(HEAD.to_owned(), |table, page| table + page + "\n");
    fs::write(folder.join(TABLE), table).context("writing the table of pages")?;
    Ok(pages.len())
}

fn rows(folder: &Path) -> Result<Vec<PathBuf>> {
    let files = fs::read_dir(folder).with_context(|| format!("looking into {}", folder.display()))?;
    let paths = files.map(|file| Ok(file?.path())).collect::<Result<Vec<_>>>()?;
    Ok(paths
        .into_iter()
        .filter(|path| path.extension().is_some_and(|is| is == ROWS))
        .collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test's broken assumption should stop it")]
mod tests {
    use super::*;

    #[test]
    fn the_rows_of_all_walks_become_one_table_by_page() {
        let folder = tempfile::tempdir().unwrap();
        for (name, row) in [
            ("run-7.rows", "| `plans` |\n| `keys` |\n"),
            ("many-9.rows", "| `orders` |\n"),
        ] {
            fs::write(folder.path().join(name), row).unwrap();
        }
        fs::write(folder.path().join("keys-390-light.png"), "").unwrap();
        assert_eq!(tell(folder.path()).unwrap(), 3);
        let table = fs::read_to_string(folder.path().join(TABLE)).unwrap();
        assert_eq!(table, format!("{HEAD}| `keys` |\n| `orders` |\n| `plans` |\n"));
        assert_eq!(rows(folder.path()).unwrap(), [""; 0].map(PathBuf::from));
    }
}
