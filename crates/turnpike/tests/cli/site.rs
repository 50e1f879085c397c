//! An operator's folder, and the program run in it.

use std::env;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// What the operator of these tests sells.
pub(crate) const CATALOGUE: &str = r#"[[network]]
code = "NL-AMS"
city = "Amsterdam"
country = "NL"
type = "mobile"

  [[network.exit]]
  name = "pool"
  addresses = ["127.0.0.11", "127.0.0.12"]

  [[network.exit]]
  name = "partner"
  upstream = "socks5://user:secret@127.0.0.1:9"

[[plan]]
code = "nl-30d"
network = "NL-AMS"
connection_type = "private"
duration = "30d"
price_cents = 1200

[[coupon]]
code = "MYCODE"
percent_off = 10
"#;

/// A folder that goes with the test.
pub(crate) struct Site {
    folder: tempfile::TempDir,
    variables: Vec<(String, String)>,
}

impl Site {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            variables: Vec::new(),
        }
    }

    /// One where the catalogue has been applied and Ann has an account.
    pub(crate) fn with_ann() -> Self {
        let site = Self::new();
        site.write("catalogue.toml", CATALOGUE);
        site.well(&["apply", "catalogue.toml"]);
        site.well(&["account", "create", "ann@example.com"]);
        site
    }

    /// The same with an environment variable.
    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// The names of the files that lie there.
    pub(crate) fn files(&self) -> Vec<String> {
        let mut files: Vec<String> = fs::read_dir(self.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        files
    }

    /// The program, about to be run here.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_turnpike"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        for (name, _) in env::vars_os() {
            if name.to_string_lossy().starts_with("TURNPIKE") {
                command.env_remove(name);
            }
        }
        // Its width would decide where help is wrapped.
        command.env_remove("COLUMNS");
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(&self.command(arguments).output().unwrap())
    }

    /// Runs it with something on its standard input.
    pub(crate) fn run_with_input(&self, arguments: &[&str], input: &str) -> Ran {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        Ran::of(&child.wait_with_output().unwrap())
    }

    /// Runs it; it must say nothing on standard error and exit with 0. What it printed.
    pub(crate) fn well(&self, arguments: &[&str]) -> String {
        let ran = self.run(arguments);
        assert_eq!((ran.code, ran.errors.as_str()), (0, ""), "{arguments:?}");
        ran.output
    }

    /// Runs it; it must exit with 0 and print one JSON document.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.well(arguments)).unwrap()
    }

    /// Runs it; it must print nothing and exit with 1. Its sentence, without the folder's name.
    pub(crate) fn failure(&self, arguments: &[&str]) -> String {
        let ran = self.run(arguments);
        assert_eq!(
            (ran.code, ran.output.as_str()),
            (1, ""),
            "{arguments:?}: {}",
            ran.errors
        );
        let line = ran.errors.strip_suffix('\n').unwrap();
        let sentence = line.strip_prefix("turnpike: ").unwrap();
        assert!(!sentence.contains('\n'), "one sentence: {sentence}");
        self.without_folder(sentence)
    }

    pub(crate) fn without_folder(&self, text: &str) -> String {
        text.replace(self.folder.path().to_str().unwrap(), "FOLDER")
    }
}

/// How a run of the program ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) output: String,
    pub(crate) errors: String,
}

impl Ran {
    fn of(output: &Output) -> Self {
        Self {
            code: output.status.code().unwrap(),
            output: String::from_utf8(output.stdout.clone()).unwrap(),
            errors: String::from_utf8(output.stderr.clone()).unwrap(),
        }
    }
}

/// Runs one statement on the database of a folder, as nobody but a test should.
pub(crate) fn meddle(database: &Path, sql: &'static str) {
    use turnpike_shop::store::Store;
    let url = format!("sqlite://{}", database.display());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async move {
        let store = Store::open(&url).await.unwrap();
        store
            .transaction(move |tx| Box::pin(async move { tx.execute(sql, &[]).await }))
            .await
            .unwrap();
        store.close().await;
    });
}
