//! The API reference: looked at in a real browser, and its examples run as they stand there, by curl, Python and Node.
#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may panic, and shows what it did"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde::Deserialize;
use serde_json::Value;
use testbed::turnpike::{Builder, Turnpike};
use testbed::{node_modules, program, python, skip};

const EMAIL: &str = "ann@example.com";
const OPERATOR: &str = "root@example.com";

/// Where pictures of the pages are put, where anybody wants them: `cargo xtask screenshots`.
const PICTURES: &str = "TURNPIKE_PICTURES";

/// What carries ids that exist, so that it works as it stands, in each language and however often.
const WORKS: [&str; 27] = [
    "op-plans",
    "op-subscriptions",
    "op-renewal-plans",
    "op-available-networks",
    "op-purchase",
    "op-renew",
    "op-change-credentials",
    "op-set-rotation-policy",
    "op-rotate-links",
    "op-create-rotate-link",
    "op-allowed-addresses",
    "op-set-allowed-addresses",
    "op-refusals",
    "token",
    "account",
    "balance",
    "ledger",
    "listKeys",
    "createKey",
    "listSessions",
    "traffic",
    "previewPurchase",
    "previewRenewal",
    "setNote",
    "notices",
    "setNotices",
    "listWebhooks",
];

/// The same for operators.
const OPERATORS_WORKS: [&str; 15] = [
    "adminOverview",
    "adminNetworks",
    "adminGateways",
    "adminAccounts",
    "adminAccount",
    "adminLedger",
    "adminBook",
    "adminSetStatus",
    "adminKeys",
    "adminOrders",
    "adminOrder",
    "adminExits",
    "adminExit",
    "adminSetStanding",
    "adminPutPlan",
];

/// What came of looking.
#[derive(Deserialize)]
struct Seen {
    size: usize,
    failures: Vec<String>,
    /// By operation and language.
    examples: BTreeMap<String, BTreeMap<String, String>>,
}

#[test]
fn the_reference_is_fit_to_read_and_its_examples_work() {
    let Some((node, chromium)) = program("node").zip(program("chromium")) else {
        return skip("no node or no chromium: cargo xtask setup installs them");
    };
    let Some(python) = python() else {
        return skip("no Python: cargo xtask setup installs it");
    };
    if !node_modules().join("playwright-core").is_dir() {
        return skip("no Playwright: cargo xtask setup installs it");
    }
    let shop = world().start();
    let password = |made: String| {
        let made: Value = serde_json::from_str(&made).expect("the account as JSON");
        made["password"].as_str().expect("a password was made up").to_owned()
    };
    let customers = password(shop.run(&["account", "create", EMAIL, "--json"]));
    let operators = password(shop.run(&["account", "create", OPERATOR, "--admin", "--json"]));
    shop.run(&["account", "credit", EMAIL, "300000", "--note", "bank transfer"]);
    let (ann, root) = (shop.key(EMAIL, &["--allow-trial"]), shop.key(OPERATOR, &["--operator"]));
    let _ = ann.buy("NL-AMS");

    for (page, email, password, key, works) in [
        ("/reference", EMAIL, &customers, &ann.key, &WORKS[..]),
        (
            "/operator/reference",
            OPERATOR,
            &operators,
            &root.key,
            &OPERATORS_WORKS[..],
        ),
    ] {
        let looked = Command::new(&node)
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/reference.mjs"))
            .env("NODE_MODULES", node_modules())
            .env("SHOP", shop.url("").trim_end_matches('/'))
            .env("EMAIL", email)
            .env("PASSWORD", password)
            .env("PAGE", page)
            .env("CHROMIUM", &chromium)
            .env("PICTURES", std::env::var_os(PICTURES).unwrap_or_default())
            .output()
            .expect("starting node");
        let said = String::from_utf8_lossy(&looked.stdout);
        let seen: Seen = serde_json::from_str(&said)
            .unwrap_or_else(|error| panic!("{error}: {said}{}", String::from_utf8_lossy(&looked.stderr)));
        assert!(seen.failures.is_empty(), "{page}: {:#?}", seen.failures);
        println!("{page}: {} bytes, {} operations", seen.size, seen.examples.len());
        let runner = Runner {
            shop: &shop,
            node: &node,
            python: &python,
            key,
            password,
            token: token(&shop, email, password),
        };
        // Elsewhere, nothing on the page fits the subscription any more: that comes last.
        let (moving, staying): (Vec<_>, Vec<_>) = seen.examples.iter().partition(|(id, _)| *id == "op-switch-network");
        for (id, by_language) in staying.into_iter().chain(moving) {
            for (language, example) in by_language {
                runner.check(id, language, example, works.contains(&id.as_str()));
            }
        }
        for id in works {
            assert!(seen.examples.contains_key(*id), "there is no {id}");
        }
    }
    shop.audit();
}

fn world() -> Builder {
    Turnpike::with()
        .set("notices.webhooks", "true")
        .network("NL-AMS")
        .pools(9)
        .network("DE-BER")
        .pools(9)
}

fn token(shop: &Turnpike, email: &str, password: &str) -> String {
    let body = serde_json::json!({"email": email, "password": password}).to_string();
    let answer = shop.request("POST", "/api/auth/token", &[], body.as_bytes());
    answer.json()["token"].as_str().expect("a token").to_owned()
}

struct Runner<'a> {
    shop: &'a Turnpike,
    node: &'a Path,
    python: &'a Path,
    key: &'a str,
    password: &'a str,
    token: String,
}

impl Runner<'_> {
    /// What is shown works; or, where it holds an id that nobody has, is understood all the same.
    fn check(&self, id: &str, language: &str, example: &str, must_work: bool) {
        assert!(!example.contains(self.key), "{id}: a key is shown");
        // Somebody who reads it puts his password there.
        let example = example.replace("your password", self.password);
        if !must_work && language != "curl" {
            return;
        }
        let ran = self.run(language, &example);
        let (said, complained) = (
            String::from_utf8_lossy(&ran.stdout),
            String::from_utf8_lossy(&ran.stderr),
        );
        assert!(
            ran.status.success(),
            "{id} in {language}:\n{example}\n{said}{complained}"
        );
        let is_well = match language {
            "curl" => {
                let answer: Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{id}: {error}: {said}"));
                let code = answer["code"].as_str().unwrap_or_default();
                let is_misunderstood = [
                    "invalid_json",
                    "invalid_field",
                    "unknown_op",
                    "unauthorized",
                    "not_found",
                ];
                answer["ok"] == true || !must_work && !is_misunderstood.contains(&code)
            }
            "python" => said.contains("'ok': True"),
            _ => said.contains("ok: true") || said.contains("ok: \u{1b}"),
        };
        assert!(is_well, "{id} in {language}:\n{example}\n{said}{complained}");
    }

    fn run(&self, language: &str, example: &str) -> Output {
        let mut command = match language {
            "curl" => {
                let mut shell = Command::new("bash");
                shell.args(["-euc", example]);
                shell
            }
            "python" => {
                let mut python = Command::new(self.python);
                python.args(["-c", example]);
                python
            }
            _ => {
                let mut node = Command::new(self.node);
                node.args(["--input-type=module", "-e", example]);
                node
            }
        };
        command
            .current_dir(self.shop.home())
            .env("API_KEY", self.key)
            .env("TOKEN", &self.token)
            .env("NO_PROXY", "*")
            .env("no_proxy", "*")
            .stdin(Stdio::null());
        command.output().expect("starting an example")
    }
}
