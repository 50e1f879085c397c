//! What stands in the way is told in one clear sentence.

use std::io::Write as _;
use std::net::TcpListener;
use std::process::Stdio;

use crate::site::{Site, meddle};

#[test]
fn looking_into_the_wrong_folder_leaves_no_shop_there() {
    let site = Site::new();
    let commands: [&[&str]; 9] = [
        &["account", "list"],
        &["account", "show", "ann@example.com"],
        &["account", "credit", "ann@example.com", "5"],
        &["account", "suspend", "ann@example.com"],
        &["account", "resume", "ann@example.com"],
        &["key", "create", "ann@example.com"],
        &["key", "list"],
        &["key", "revoke", "aaaaaaaaaaaa"],
        &["audit"],
    ];
    for command in commands {
        assert_eq!(
            site.failure(command),
            "there is no database turnpike.db in FOLDER; name the right configuration with --config, or make the shop with \
             `turnpike apply` or `turnpike serve`"
        );
    }
    assert_eq!(site.files(), [""; 0]);
}

#[test]
fn a_folder_that_is_absent_or_cannot_be_written_is_named() {
    // Not even the superuser can make a file in /proc.
    for (url, sentence) in [
        (
            "sqlite:///proc/turnpike.db",
            "the database /proc/turnpike.db cannot be opened for writing; check the rights of the file and its folder",
        ),
        (
            "sqlite:///nonexistent/folder/turnpike.db",
            "the folder of the database /nonexistent/folder/turnpike.db does not exist; make it first",
        ),
    ] {
        let site = Site::new().variable("TURNPIKE__DATABASE__URL", url);
        for command in [&["account", "create", "ann@example.com"] as &[&str], &["serve"]] {
            assert!(site.run(command).errors.contains(sentence), "{:?}", site.run(command));
        }
        assert_eq!(site.failure(&["account", "create", "ann@example.com"]), sentence);
    }
}

#[test]
fn a_database_that_is_newer_than_the_program_is_refused() {
    let site = Site::with_ann();
    meddle(
        &site.path("turnpike.db"),
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (9999, 'x', 1, x'00', 0)",
    );
    for command in [
        &["account", "list"] as &[&str],
        &["apply", "catalogue.toml"],
        &["audit"],
    ] {
        assert_eq!(
            site.failure(command),
            "the database was made by a newer version of turnpike (it has migration 9999); start that version or a later one"
        );
    }
}

#[test]
fn a_file_that_is_no_database_is_named() {
    let site = Site::new();
    site.write("turnpike.db", &"not a database ".repeat(100));
    assert_eq!(site.failure(&["audit"]), "turnpike.db is not a database of turnpike's");
}

#[test]
fn a_lost_or_exchanged_master_key_is_named() {
    let site = Site::with_ann();
    let key = std::fs::read(site.path("turnpike.key")).unwrap();
    std::fs::remove_file(site.path("turnpike.key")).unwrap();
    assert_eq!(
        site.failure(&["account", "list"]),
        "the master key turnpike.key is missing, and this database was sealed with one; restore the file from your backup"
    );
    site.write("turnpike.key", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n");
    assert_eq!(
        site.failure(&["account", "list"]),
        "the master key turnpike.key is not the one that this database was sealed with; restore the right file"
    );
    std::fs::write(site.path("turnpike.key"), key).unwrap();
    site.well(&["account", "list"]);
}

#[test]
fn a_port_that_is_taken_is_named_with_its_key() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let site = Site::new()
        .variable("TURNPIKE__SERVER__LISTEN", &address)
        .variable("TURNPIKE__SERVER__METRICS_LISTEN", "off");
    let ran = site.run(&["serve"]);
    assert_eq!(ran.code, 1);
    let last = ran.errors.lines().last().unwrap();
    assert_eq!(
        last,
        format!(
            "turnpike: server.listen: {address} cannot be listened on; stop what has it, or set server.listen to another \
             address: Address already in use (os error 98)"
        )
    );
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let site = Site::with_ann();
    let mut child = site
        .command(&["account", "list"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success());
    assert_eq!(String::from_utf8_lossy(&ended.stderr), "");
}

#[test]
fn output_that_cannot_be_written_is_a_failure() {
    let site = Site::with_ann();
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let ended = site.command(&["account", "list"]).stdout(full).output().unwrap();
    assert_eq!(ended.status.code(), Some(1));
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(
        said.starts_with("turnpike: standard output cannot be written: "),
        "{said}"
    );
    std::io::stdout().flush().unwrap();
}

#[test]
fn rules_for_a_firewall_are_printed_only_where_it_has_something_to_redirect() {
    let site = Site::new();
    assert_eq!(
        site.failure(&["firewall"]),
        "every port is listened on, so that there is nothing to redirect; set gateway.listen_mode = \"redirect\" for one socket in \
         place of 999 of them"
    );
    let site = site.variable("TURNPIKE__GATEWAY__LISTEN_MODE", "redirect");
    assert!(
        site.well(&["firewall"])
            .contains("tcp dport 12001-12999 dnat to :12000")
    );
    assert_eq!(site.files(), [""; 0]);
}
