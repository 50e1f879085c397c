//! Where the configuration comes from. What may stand in it is told by the unit tests of `config`.

use crate::site::Site;

/// The database that a command looked for.
fn database_of(site: &Site, arguments: &[&str]) -> String {
    let sentence = site.failure(arguments);
    let (_, rest) = sentence.split_once("there is no database ").unwrap();
    rest.split_once(" in ").unwrap().0.to_owned()
}

#[test]
fn flags_are_stronger_than_the_environment_which_is_stronger_than_the_file() {
    let site = Site::new();
    assert_eq!(database_of(&site, &["audit"]), "turnpike.db");

    site.write("turnpike.toml", "[database]\nurl = \"sqlite://usual.db\"\n");
    assert_eq!(database_of(&site, &["audit"]), "usual.db");

    let site = site.variable("TURNPIKE_CONFIG", "named.toml");
    site.write("named.toml", "[database]\nurl = \"sqlite://named.db\"\n");
    assert_eq!(database_of(&site, &["audit"]), "named.db");

    site.write("flag.toml", "[database]\nurl = \"sqlite://flag.db\"\n");
    assert_eq!(database_of(&site, &["--config", "flag.toml", "audit"]), "flag.db");
    assert_eq!(
        database_of(&site, &["account", "list", "--config", "flag.toml"]),
        "flag.db"
    );

    let site = site.variable("TURNPIKE__DATABASE__URL", "sqlite://variable.db");
    assert_eq!(database_of(&site, &["audit", "--config", "flag.toml"]), "variable.db");
}

#[test]
fn a_mistake_stops_every_command_with_its_sentence() {
    let site = Site::new();
    site.write(
        "turnpike.toml",
        "[server]\nlisten = \"127.0.0.1:0\"\n\n[gateway]\nprots = \"1-2\"\n",
    );
    site.write("catalogue.toml", "");
    let commands: [&[&str]; 7] = [
        &["serve"],
        &["apply", "catalogue.toml"],
        &["account", "list"],
        &["account", "create", "ann@example.com"],
        &["key", "list"],
        &["audit"],
        &["key", "create", "ann@example.com", "--json"],
    ];
    for command in commands {
        assert_eq!(
            site.failure(command),
            "turnpike.toml, line 5: gateway.prots is not a known key; did you mean ports?"
        );
    }
    assert_eq!(site.files(), ["catalogue.toml", "turnpike.toml"]);
}

#[test]
fn an_unknown_variable_is_a_mistake() {
    let site = Site::new().variable("TURNPIKE__GATEWAY__PROTS", "1-2");
    assert_eq!(
        site.failure(&["audit"]),
        "TURNPIKE__GATEWAY__PROTS (in the environment) names no key of the configuration; did you mean \
         TURNPIKE__GATEWAY__PORTS?"
    );
}

#[test]
fn a_named_file_must_be_there() {
    let site = Site::new();
    assert_eq!(
        site.failure(&["audit", "--config", "absent.toml"]),
        "the configuration absent.toml cannot be read: No such file or directory (os error 2)"
    );
}
