//! What a subscription's page says to paste works as it stands there: in a shell, in Python, in Node, in sing-box.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use testbed::client::{curled, sing_box};
use testbed::turnpike::Turnpike;
use testbed::{Running, node_modules, program, python};

use crate::{EMAIL, account, browser};

/// Where the exit of the subscription leaves.
const ADDRESS: &str = "127.0.6.1";

#[test]
fn what_a_page_says_to_paste_works_as_it_stands_there() {
    let Some(mut walk) = browser("snippets.mjs") else {
        return;
    };
    let shop = Turnpike::with().network("NL-AMS").pool("nl-1", &[ADDRESS]).start();
    let password = account(&shop, EMAIL, &[]);
    shop.run(&["account", "credit", EMAIL, "1200"]);
    let bought = shop.key(EMAIL, &[]).buy("NL-AMS");
    let looked = walk
        .env("SHOP", shop.url("").trim_end_matches('/'))
        .env("EMAIL", EMAIL)
        .env("PASSWORD", password)
        .env("SUBSCRIPTION", &bought.id)
        .output()
        .expect("starting node");
    let said = String::from_utf8_lossy(&looked.stdout);
    let snippets: BTreeMap<String, String> = serde_json::from_str(&said)
        .unwrap_or_else(|error| panic!("{error}: {said}{}", String::from_utf8_lossy(&looked.stderr)));
    for (name, snippet) in &snippets {
        let seen = match name.as_str() {
            "curl" => printed(run("bash", &["-euc", snippet])),
            "Python requests" => match python() {
                Some(python) => printed(run(python, &["-c", snippet])),
                None => continue,
            },
            "Playwright" => printed(run(
                "node",
                &["--input-type=module", "-e", &with_a_page(snippet, &shop)],
            )),
            "sing-box" => match sing_box() {
                Some(program) => vec![through(&program, snippet, &shop)],
                None => continue,
            },
            // Its own tests run it.
            "Clash, mihomo" => continue,
            other => panic!("nobody tries {other}"),
        };
        assert!(!seen.is_empty(), "{name} says nothing");
        assert!(seen.iter().all(|line| line == ADDRESS), "{name}:\n{snippet}\n{seen:?}");
    }
    assert_eq!(snippets.len(), 5, "{snippets:?}");
}

fn run(program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    for variable in ["http_proxy", "https_proxy", "all_proxy", "no_proxy"] {
        command.env_remove(variable).env_remove(variable.to_uppercase());
    }
    command.output().expect("starting what was pasted")
}

/// The lines that it printed.
#[track_caller]
fn printed(output: Output) -> Vec<String> {
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{complained}");
    // curl prints what comes, and the answers are lines without an end.
    said.replace(ADDRESS, &format!("{ADDRESS}\n"))
        .split_whitespace()
        .map(ToOwned::to_owned)
        .collect()
}

/// The browser that a snippet starts, on a page; it is told only which Chromium this machine has.
fn with_a_page(snippet: &str, shop: &Turnpike) -> String {
    let playwright = node_modules().join("playwright-core/index.js");
    let chromium = program("chromium").expect("it is there");
    format!(
        "import {{ createRequire }} from \"node:module\";\n\
         const playwright = createRequire(import.meta.url)({playwright:?});\n\
         const chromium = {{ launch: (how) => playwright.chromium.launch({{ ...how, executablePath: {chromium:?}, args: [\"--no-sandbox\"] }}) }};\n\
         {snippet}\n\
         const page = await browser.newPage();\n\
         await page.goto(\"{}\");\n\
         console.log(await page.locator(\"body\").textContent());\n\
         await browser.close();\n",
        shop.url("/ip")
    )
}

/// What curl gets through sing-box, whose one way out is the snippet.
fn through(program: &Path, snippet: &str, shop: &Turnpike) -> String {
    let outbound: Value = serde_json::from_str(snippet).expect("it is JSON");
    let client = Running::start(|home, port| {
        let configuration = json!({
            "inbounds": [{"type": "mixed", "listen": "127.0.0.1", "listen_port": port}],
            "outbounds": [outbound],
        });
        let file = home.join("sing-box.json");
        fs::write(&file, configuration.to_string()).expect("writing the configuration");
        let mut command = Command::new(program);
        command.arg("run").arg("--config").arg(file);
        command
    });
    curled(&["--proxy", &format!("http://{}", client.socks()), &shop.url("/ip")])
}
