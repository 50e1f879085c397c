//! `turnpike apply`.

use serde_json::json;

use crate::site::{CATALOGUE, Site};

#[test]
fn a_catalogue_is_applied_once_and_a_second_time_changes_nothing() {
    let site = Site::new();
    site.write("catalogue.toml", CATALOGUE);
    insta::assert_snapshot!(site.well(&["apply", "catalogue.toml"]));
    assert_eq!(site.well(&["apply", "catalogue.toml"]), "nothing to change\n");
    assert_eq!(
        site.json(&["apply", "catalogue.toml", "--json"]),
        json!({ "dryRun": false, "differences": [] })
    );
}

#[test]
fn a_dry_run_tells_what_pends_and_writes_nothing() {
    let site = Site::new();
    site.write("catalogue.toml", CATALOGUE);
    let pending = site.run(&["apply", "--dry-run", "catalogue.toml"]);
    assert_eq!((pending.code, pending.errors.as_str()), (2, ""));
    assert_eq!(site.files(), ["catalogue.toml"]);

    let applied = site.well(&["apply", "catalogue.toml"]);
    let tidied = |text: &str| text.replace("changes pending", "changes applied");
    assert_eq!(tidied(&pending.output), applied);
    assert_eq!(
        site.well(&["apply", "--dry-run", "catalogue.toml"]),
        "nothing to change\n"
    );

    site.write("catalogue.toml", &CATALOGUE.replace("1200", "1300"));
    for _ in 0..2 {
        let pending = site.run(&["apply", "--dry-run", "--json", "catalogue.toml"]);
        assert_eq!(pending.code, 2);
        let pending: serde_json::Value = serde_json::from_str(&pending.output).unwrap();
        assert_eq!(
            pending,
            json!({
                "dryRun": true,
                "differences": [
                    { "change": "update", "kind": "plan", "name": "nl-30d", "detail": ["price_cents: 1200 -> 1300"] }
                ]
            })
        );
    }
}

#[test]
fn what_leaves_the_catalogue_is_deactivated_and_comes_back_with_it() {
    let site = Site::with_ann();
    site.write("empty.toml", "");
    insta::assert_snapshot!(site.well(&["apply", "empty.toml"]), @r"
    - deactivate network NL-AMS
    - deactivate exit NL-AMS/partner
    - deactivate exit NL-AMS/pool
    - deactivate plan nl-30d
    - deactivate coupon MYCODE
    5 changes applied
    ");
    assert_eq!(site.well(&["apply", "empty.toml"]), "nothing to change\n");
    insta::assert_snapshot!(site.well(&["apply", "catalogue.toml"]), @r"
    + reactivate network NL-AMS
    + reactivate exit NL-AMS/pool
    + reactivate exit NL-AMS/partner
    + reactivate plan nl-30d
    + reactivate coupon MYCODE
    5 changes applied
    ");
    site.well(&["audit"]);
}

#[test]
fn a_difference_is_told_in_the_catalogues_words() {
    let site = Site::with_ann();
    let changed = CATALOGUE
        .replace("\"30d\"", "\"36h\"\ntrial = \"90m\"")
        .replace("percent_off = 10", "cents_off = 5\nvalid_until = 2027-01-01T00:00:00Z")
        .replace("\"127.0.0.12\"]", "\"127.0.0.13\"]\n  drain_seconds = 0");
    site.write("catalogue.toml", &changed);
    insta::assert_snapshot!(site.well(&["apply", "catalogue.toml"]), @r"
    ~ update exit NL-AMS/pool
        drain_seconds: 30 -> 0
        way: addresses 127.0.0.11, 127.0.0.12 -> addresses 127.0.0.11, 127.0.0.13
    ~ update plan nl-30d
        duration: 30d -> 36h
        trial: none -> 90m
    ~ update coupon MYCODE
        cents_off: none -> 5
        percent_off: 10 -> none
        valid_until: none -> 2027-01-01T00:00:00Z
    3 changes applied
    ");
}

#[test]
fn a_changed_secret_is_told_without_it() {
    let site = Site::with_ann();
    site.write("catalogue.toml", &CATALOGUE.replace("user:secret@", "user:hidden@"));
    insta::assert_snapshot!(site.well(&["apply", "catalogue.toml"]), @r"
    ~ update exit NL-AMS/partner
        credentials changed
    1 change applied
    ");
}

#[test]
fn a_mistake_names_file_line_and_key_and_nothing_is_applied() {
    let site = Site::with_ann();
    let mistaken = CATALOGUE
        .replace("1200", "1300")
        .replace("percent_off = 10", "percent_off = 110");
    site.write("mistaken.toml", &mistaken);
    for arguments in [
        &["apply", "mistaken.toml"] as &[&str],
        &["apply", "--dry-run", "mistaken.toml"],
        &["apply", "--json", "mistaken.toml"],
    ] {
        assert_eq!(
            site.failure(arguments),
            "mistaken.toml, line 24: coupon.percent_off must be a whole number from 1 to 100, not 110"
        );
    }
    assert_eq!(
        site.well(&["apply", "--dry-run", "catalogue.toml"]),
        "nothing to change\n"
    );
}

#[test]
fn an_exit_of_an_unknown_gateway_is_refused_and_nothing_is_applied() {
    let site = Site::new();
    let unknown = CATALOGUE.replace("name = \"pool\"", "name = \"pool\"\n  gateway = \"gw9\"");
    site.write("catalogue.toml", &unknown);
    assert_eq!(
        site.failure(&["apply", "catalogue.toml"]),
        "exit NL-AMS/pool names the gateway gw9; known are gw1"
    );
    site.write("empty.toml", "");
    assert_eq!(site.well(&["apply", "empty.toml"]), "nothing to change\n");
}

#[test]
fn a_catalogue_that_is_not_there_is_named() {
    let site = Site::new();
    assert_eq!(
        site.failure(&["apply", "absent.toml"]),
        "the catalogue absent.toml cannot be read: No such file or directory (os error 2)"
    );
    assert_eq!(site.files(), [""; 0]);
}
