//! The same commands on the other engine.

use testbed::postgres::{Database, binaries};

use crate::site::{CATALOGUE, Site};

#[test]
fn every_command_works_on_postgresql() {
    if binaries().is_none() {
        return testbed::skip("there is no PostgreSQL server on this machine");
    }
    let database = Database::fresh();
    let site = Site::new().variable("TURNPIKE__DATABASE__URL", database.url());
    site.write("catalogue.toml", CATALOGUE);
    assert_eq!(site.run(&["apply", "--dry-run", "catalogue.toml"]).code, 2);
    site.well(&["apply", "catalogue.toml"]);
    assert_eq!(
        site.well(&["apply", "--dry-run", "catalogue.toml"]),
        "nothing to change\n"
    );

    site.well(&["account", "create", "ann@example.com"]);
    site.well(&["account", "credit", "ann@example.com", "5000"]);
    assert_eq!(
        site.json(&["account", "show", "ann@example.com", "--json"])["balance"],
        5000
    );
    site.well(&["account", "suspend", "ann@example.com"]);
    site.well(&["account", "resume", "ann@example.com"]);
    assert_eq!(site.json(&["account", "list", "--json"])[0]["status"], "active");

    site.well(&["key", "create", "ann@example.com"]);
    let id = site.json(&["key", "list", "--json"])[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    site.well(&["key", "revoke", &id]);
    assert!(site.json(&["key", "list", "ann@example.com", "--json"])[0]["revokedAt"].is_i64());

    assert_eq!(site.json(&["audit", "--json"])["ok"], true);
    let ran = site.run(&["doctor", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&ran.output).unwrap();
    let found = report["checks"][1]["found"].as_str().unwrap();
    assert!(
        found.starts_with("PostgreSQL ") && found.ends_with(", up to date"),
        "{found}"
    );
    assert!(!ran.output.contains(database.url()), "the URL may hold a password");

    site.write("empty.toml", "");
    site.well(&["apply", "empty.toml"]);
    // Nothing of the shop lies here but the master key.
    assert_eq!(site.files(), ["catalogue.toml", "empty.toml", "turnpike.key"]);
}

#[test]
fn a_database_that_does_not_answer_is_told_without_its_password() {
    let site = Site::new().variable("TURNPIKE__DATABASE__URL", "postgres://turnpike:secret@127.0.0.1:1/shop");
    let sentence = site.failure(&["account", "list"]);
    assert!(
        sentence.starts_with("the database at 127.0.0.1:1 cannot be reached: Connection refused"),
        "{sentence}"
    );
    assert!(!sentence.contains("secret"), "{sentence}");
}
