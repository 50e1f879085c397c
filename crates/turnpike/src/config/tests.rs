use std::ffi::OsString;
use std::fmt::Write as _;

use super::*;

fn load(text: &str, variables: &[(&str, &str)]) -> Result<Config, Mistake> {
    let document = document::parse("turnpike.toml", text)?;
    let variables = variables
        .iter()
        .map(|(name, value)| (OsString::from(name), OsString::from(value)));
    Config::of(document, variables)
}

/// The sentence of each mistake, below what makes it.
fn sentences(mistakes: &[(&str, &[(&str, &str)])]) -> String {
    let mut all = String::new();
    for (text, variables) in mistakes {
        let mistake = load(text, variables).unwrap_err();
        for line in text.lines() {
            writeln!(all, "    {line}").unwrap();
        }
        for (name, value) in *variables {
            writeln!(all, "    {name}={value}").unwrap();
        }
        writeln!(all, "{mistake}\n").unwrap();
    }
    all
}

#[test]
fn nothing_said_gives_the_defaults() {
    let config = load("", &[]).unwrap();
    assert_eq!(format!("{config:?}"), format!("{:?}", Config::default()));
    assert_eq!(config.master_key_file(), Path::new("turnpike.key"));
    insta::assert_debug_snapshot!(config);
}

#[test]
fn every_key_is_read() {
    let config = load(
        r#"
        roles = ["gateway"]
        [server]
        listen = "[::1]:8443"
        public_url = "https://shop.example.com/"
        metrics_listen = "off"
        sign_up = true
        trusted_proxies = ["192.0.2.1", "10.0.0.0/8"]
        [database]
        url = "sqlite:///var/lib/turnpike/shop.db"
        [gateway]
        name = "ams-1"
        public_host = "[2001:db8::1]"
        bind = ["127.0.0.1"]
        ports = "20000-29999"
        allow_destinations = ["127.0.0.0/8"]
        dns_servers = ["9.9.9.9", "[2620:fe::fe]:5353"]
        idle_timeout = "1h"
        peer_timeout = "90s"
        drain_timeout = "0s"
        listen_mode = "redirect"
        redirect_port = 19999
        udp = false
        stealth = true
        [gateway.tls]
        certificate = "/etc/turnpike/chain.pem"
        key = "/etc/turnpike/key.pem"
        [limits]
        api_requests_per_second = 5
        api_burst = 6
        rotation_cooldown_seconds = 0
        grace = "1d"
        auto_renew_before = "2h"
        [secrets]
        master_key_file = "/etc/turnpike/key"
        "#,
        &[],
    )
    .unwrap();
    insta::assert_debug_snapshot!(config);
    assert_eq!(
        config.database.url.expose_secret(),
        "sqlite:///var/lib/turnpike/shop.db"
    );
}

#[test]
fn every_value_can_be_overridden_by_the_environment() {
    let config = load(
        "[server]\nlisten = \"127.0.0.1:1\"\n[gateway]\nname = \"file\"\nstealth = true\n[limits]\napi_burst = 3",
        &[
            ("TURNPIKE__ROLES", "web"),
            ("TURNPIKE__SERVER__LISTEN", "127.0.0.1:2"),
            ("TURNPIKE__SERVER__TRUSTED_PROXIES", ""),
            ("TURNPIKE__DATABASE__URL", "postgres://u:p@h/d"),
            ("TURNPIKE__GATEWAY__BIND", "127.0.0.1, ::1"),
            ("TURNPIKE__GATEWAY__ALLOW_DESTINATIONS", "[\"127.0.0.0/8\", \"::1\"]"),
            ("TURNPIKE__GATEWAY__PORTS", "5-6"),
            ("TURNPIKE__GATEWAY__STEALTH", "false"),
            ("TURNPIKE__LIMITS__API_BURST", "4"),
            ("TURNPIKE__LIMITS__GRACE", "5m"),
            ("TURNPIKE__SECRETS__MASTER_KEY_FILE", "k"),
            ("TURNPIKE_CONFIG", "not looked at here"),
            ("TURNPIKE_LOG", "debug"),
            ("OTHER", "x"),
        ],
    )
    .unwrap();
    insta::assert_debug_snapshot!(config);
    assert_eq!(config.database.url.expose_secret(), "postgres://u:p@h/d");
}

#[test]
fn certificates_can_be_ordered() {
    let config = load(
        r#"
        [database]
        url = "sqlite:///var/lib/turnpike/shop.db"
        [gateway]
        public_host = "proxy.example.com"
        [gateway.tls]
        acme = true
        "#,
        &[],
    )
    .unwrap();
    let Some(Tls::Acme(acme)) = &config.gateway.tls else {
        panic!("{:?}", config.gateway.tls);
    };
    insta::assert_debug_snapshot!(acme);
    assert_eq!(config.acme_folder(acme), Path::new("/var/lib/turnpike/acme"));

    let all = r#"
        [gateway]
        public_host = "proxy.example.com"
        tls.acme = true
        tls.contact = "operator@example.com"
        tls.directory = "https://acme.example/directory"
        tls.directory_roots = "/etc/ca.pem"
        tls.eab_key_id = "kid-1"
        tls.eab_key = "/etc/turnpike/eab.key"
        tls.challenge_listen = ["127.0.0.1:8402"]
        tls.cache = "/var/cache/turnpike"
    "#;
    let config = load(all, &[]).unwrap();
    let Some(Tls::Acme(acme)) = &config.gateway.tls else {
        panic!("{:?}", config.gateway.tls);
    };
    insta::assert_debug_snapshot!(acme);
    assert_eq!(config.acme_folder(acme), Path::new("/var/cache/turnpike"));
}

#[test]
fn where_a_certificate_comes_from_can_be_overridden() {
    let acme = "[gateway]\npublic_host = \"proxy.example.com\"\n[gateway.tls]\nacme = true\ncontact = \"a@b\"";
    let files = "[gateway]\npublic_host = \"proxy.example.com\"\n[gateway.tls]\ncertificate = \"c\"\nkey = \"k\"";
    let (chain, key) = ("TURNPIKE__GATEWAY__TLS__CERTIFICATE", "TURNPIKE__GATEWAY__TLS__KEY");
    let switch = "TURNPIKE__GATEWAY__TLS__ACME";
    for (text, variables, expected) in [
        (files, &[][..], "files c k"),
        (files, &[(chain, "x")], "files x k"),
        (files, &[(chain, "x"), (key, "y")], "files x y"),
        (files, &[(switch, "true")], "acme"),
        (files, &[(switch, "false")], "files c k"),
        (acme, &[], "acme"),
        (acme, &[(chain, "x"), (key, "y")], "files x y"),
        (acme, &[(switch, "false")], "nothing"),
        ("", &[(chain, "x"), (key, "y")], "files x y"),
        (
            "",
            &[(switch, "true"), ("TURNPIKE__GATEWAY__PUBLIC_HOST", "p.example")],
            "acme",
        ),
    ] {
        let found = match load(text, variables).unwrap().gateway.tls {
            None => "nothing".to_owned(),
            Some(Tls::Acme(_)) => "acme".to_owned(),
            Some(Tls::Files(files)) => format!(
                "files {} {}",
                files.certificate.path.display(),
                files.key.path.display()
            ),
        };
        assert_eq!(found, expected, "{text} {variables:?}");
    }
}

#[test]
fn a_mistake_in_the_file_names_file_line_and_key() {
    let sentences = sentences(&[
        ("[server]\nlisen = \"127.0.0.1:80\"", &[]),
        ("[server]\n\n# a comment\ncolour = \"red\"", &[]),
        ("[gatway]\nname = \"a\"", &[]),
        ("port = 1", &[]),
        ("[gateway]\nDrain-Timeout = \"5s\"", &[]),
        ("[server]\nlisten = 8080", &[]),
        ("[server]\nlisten = \"localhost:8080\"", &[]),
        ("[server]\npublic_url = \"shop.example.com\"", &[]),
        ("[server]\npublic_url = \"https://u:p@shop.example.com\"", &[]),
        ("[server]\nmetrics_listen = true", &[]),
        ("[server]\ntrusted_proxies = \"192.0.2.1\"", &[]),
        (
            "[server]\ntrusted_proxies = [\n  \"192.0.2.1\",\n  \"192.0.2.0/33\",\n]",
            &[],
        ),
        ("server = 1", &[]),
        ("roles = []", &[]),
        ("roles = [\"webb\"]", &[]),
        ("[gateway]\nports = \"12999-12001\"", &[]),
        ("[gateway]\nports = \"0-5\"", &[]),
        ("[gateway]\nports = 12001", &[]),
        ("[gateway]\nports = \"1-70000\"", &[]),
        ("[gateway]\nname = \"\"", &[]),
        ("[gateway]\nname = \"gw 1\"", &[]),
        ("[gateway]\npublic_host = \"proxy.example.com:80\"", &[]),
        ("[gateway]\nbind = []", &[]),
        ("[gateway]\nbind = [\"eth0\"]", &[]),
        ("[gateway]\ndns_servers = [\"dns.example\"]", &[]),
        ("[gateway]\nidle_timeout = \"30x\"", &[]),
        ("[gateway]\nidle_timeout = \"0s\"", &[]),
        ("[gateway]\nidle_timeout = 900", &[]),
        ("[gateway]\npeer_timeout = \"3s\"", &[]),
        ("[gateway]\nlisten_mode = \"one\"", &[]),
        ("[gateway]\nlisten_mode = \"redirect\"\nredirect_port = 12001", &[]),
        ("[gateway]\nudp = 1", &[]),
        ("[gateway]\nstealth = \"yes\"", &[]),
        ("[gateway.tls]", &[]),
        ("[gateway]\ntls = true", &[]),
        ("[gateway.tls]\ncertificat = \"c\"", &[]),
        ("[gateway.tls]\ncertificate = \"c\"", &[]),
        ("[gateway.tls]\nkey = \"k\"", &[]),
        ("[gateway.tls]\ncertificate = \"\"\nkey = \"k\"", &[]),
        ("[gateway.tls]\ncertificate = 5\nkey = \"k\"", &[]),
        ("[gateway.tls]\nacme = \"yes\"", &[]),
        ("[gateway.tls]\nacme = true", &[]),
        ("[gateway.tls]\nacme = true\ncertificate = \"c\"", &[]),
        (
            "[gateway.tls]\ncertificate = \"c\"\nkey = \"k\"\ncontact = \"a@b\"",
            &[],
        ),
        ("[gateway.tls]\ncontact = \"a@b\"", &[]),
        (
            "gateway.public_host = \"a.example\"\n[gateway.tls]\nacme = true\ncontact = \"nobody\"",
            &[],
        ),
        (
            "gateway.public_host = \"a.example\"\n[gateway.tls]\nacme = true\ndirectory = \"http://ca.example\"",
            &[],
        ),
        (
            "gateway.public_host = \"a.example\"\n[gateway.tls]\nacme = true\nchallenge_listen = []",
            &[],
        ),
        (
            "gateway.public_host = \"a.example\"\n[gateway.tls]\nacme = true\nchallenge_listen = [\"80\"]",
            &[],
        ),
        (
            "gateway.public_host = \"a.example\"\n[gateway.tls]\nacme = true\neab_key_id = \"kid-1\"",
            &[],
        ),
        (
            "gateway.public_host = \"a.example\"\n[gateway.tls]\nacme = true\neab_key = \"k\"",
            &[],
        ),
        (
            "gateway.public_host = \"a.example\"\n[gateway.tls]\nacme = true\neab_key_id = \"\"\neab_key = \"k\"",
            &[],
        ),
        (
            "[gateway.tls]\ncertificate = \"c\"\nkey = \"k\"\neab_key_id = \"kid-1\"",
            &[],
        ),
        ("[limits]\napi_burst = 0", &[]),
        ("[limits]\napi_burst = -4", &[]),
        ("[limits]\napi_burst = 1.5", &[]),
        ("[limits]\napi_burst = \"4\"", &[]),
        ("[limits]\napi_burst = 99999999999999999999", &[]),
        ("[limits]\ngrace = 1979-05-27", &[]),
        ("[database]\nurl = \"mysql://u:secret@h/d\"", &[]),
        ("[database]\nurl = \"postgres://u:se/cret@h:x/d\"", &[]),
        ("[database]\nurl = \"sqlite://\"", &[]),
        ("[database]\nurl = 5", &[]),
        ("[database]\nurl = \"sqlite://a\"\nurl_file = \"b\"", &[]),
        ("[database]\nurl_file = \"/nonexistent/url\"", &[]),
        ("[secrets]\nmaster_key_file = \"\"", &[]),
        ("[server]\nlisten = \"a\"\nlisten = \"b\"", &[]),
        ("[server\nlisten = \"a\"", &[]),
        ("[server]\nlisten = ", &[]),
        ("[server]\nlisten = 127.0.0.1:80", &[]),
        ("just words", &[]),
        ("[server]\n[server]", &[]),
    ]);
    insta::assert_snapshot!(sentences);
}

#[test]
fn a_mistake_in_the_environment_names_the_variable() {
    let sentences = sentences(&[
        ("", &[("TURNPIKE__SERVER__LISEN", "127.0.0.1:80")]),
        ("", &[("TURNPIKE__COLOUR", "red")]),
        ("", &[("TURNPIKE__SERVER__COLOUR", "red")]),
        ("", &[("TURNPIKE__SERVER", "127.0.0.1:80")]),
        ("", &[("TURNPIKE__SERVER__LISTEN__PORT", "80")]),
        ("", &[("TURNPIKE__", "x")]),
        (
            "[server]\nlisten = \"127.0.0.1:1\"",
            &[("TURNPIKE__SERVER__LISTEN", "8080")],
        ),
        ("", &[("TURNPIKE__LIMITS__API_BURST", "many")]),
        ("", &[("TURNPIKE__GATEWAY__STEALTH", "yes")]),
        ("", &[("TURNPIKE__GATEWAY__BIND", "[\"127.0.0.1\"")]),
        ("", &[("TURNPIKE__GATEWAY__BIND", "127.0.0.1 ::1")]),
        ("", &[("TURNPIKE__DATABASE__URL", "secret")]),
        ("", &[("TURNPIKE__GATEWAY__TLS", "true")]),
        ("", &[("TURNPIKE__GATEWAY__TLS__KEY", "k")]),
        ("", &[("TURNPIKE__GATEWAY__TLS__ACME", "yes")]),
        (
            "",
            &[
                ("TURNPIKE__GATEWAY__TLS__ACME", "true"),
                ("TURNPIKE__GATEWAY__TLS__CERTIFICATE", "c"),
            ],
        ),
        (
            "",
            &[
                ("TURNPIKE__DATABASE__URL", "sqlite://a"),
                ("TURNPIKE__DATABASE__URL_FILE", "b"),
            ],
        ),
    ]);
    insta::assert_snapshot!(sentences);
}

#[test]
fn the_database_url_can_lie_in_a_file_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("url");
    fs::write(&file, "postgres://u:p@h/d\n").unwrap();
    let file = file.to_str().unwrap();
    let from_file = load(&format!("[database]\nurl_file = \"{file}\""), &[]).unwrap();
    assert_eq!(from_file.database.url.expose_secret(), "postgres://u:p@h/d");
    // The environment is stronger than the file, whichever of the two keys it uses.
    let overridden = load(
        "[database]\nurl = \"sqlite://a\"",
        &[("TURNPIKE__DATABASE__URL_FILE", file)],
    )
    .unwrap();
    assert_eq!(overridden.database.url.expose_secret(), "postgres://u:p@h/d");
    let overridden = load(
        &format!("[database]\nurl_file = \"{file}\""),
        &[("TURNPIKE__DATABASE__URL", "sqlite://a")],
    )
    .unwrap();
    assert_eq!(overridden.database.url.expose_secret(), "sqlite://a");
}

#[test]
fn the_master_key_lies_beside_a_file_and_in_the_working_directory_otherwise() {
    for (url, key) in [
        ("sqlite://turnpike.db", "turnpike.key"),
        ("sqlite:///var/lib/turnpike/shop.db", "/var/lib/turnpike/turnpike.key"),
        ("postgres://u@h/d", "turnpike.key"),
    ] {
        let config = load(&format!("[database]\nurl = \"{url}\""), &[]).unwrap();
        assert_eq!(config.master_key_file(), Path::new(key), "{url}");
    }
    let config = load("[secrets]\nmaster_key_file = \"/k\"", &[]).unwrap();
    assert_eq!(config.master_key_file(), Path::new("/k"));
}

#[test]
fn the_guides_configuration_is_one_and_names_every_key() {
    let guide = include_str!("../../../../docs/operators-guide.md");
    let (_, from) = guide.split_once("```toml\n").unwrap();
    let (configuration, _) = from.split_once("```\n").unwrap();
    load(configuration, &[]).unwrap();
    // A key that is not there is told as unknown, with all known ones.
    for section in [
        "server",
        "database",
        "gateway",
        "gateway.tls",
        "limits",
        "notices",
        "notices.smtp",
        "secrets",
    ] {
        let mistake = load(&format!("[{section}]\nxxxxxxxxxx = 1"), &[])
            .unwrap_err()
            .to_string();
        let (_, known) = mistake.split_once("the keys here are ").unwrap();
        for key in known.split(", ") {
            let is_there =
                configuration.contains(&format!("{key} = ")) || configuration.contains(&format!("[{section}.{key}]"));
            assert!(is_there, "{section}.{key}");
        }
    }
}

#[test]
fn a_mail_server_is_read_and_what_is_wrong_with_it_is_told() {
    let config = load(
        r#"
        [notices]
        webhooks = true
        allow_destinations = ["10.0.0.0/8"]
        [notices.smtp]
        host = "mail.example.com"
        tls = "on"
        user = "shop"
        password = "let me in"
        from = "My Shop <shop@example.com>"
        roots = "/etc/ca.pem"
        "#,
        &[],
    )
    .unwrap();
    assert!(!format!("{config:?}").contains("let me in"));
    let notices = config.notices;
    assert!(notices.webhooks && notices.allow_destinations.len() == 1);
    let smtp = notices.smtp.unwrap();
    assert_eq!(
        (smtp.host.as_str(), smtp.port, smtp.tls),
        ("mail.example.com", 465, MailTls::On)
    );
    assert_eq!(smtp.login.unwrap().0, "shop");
    assert_eq!(smtp.from.email.to_string(), "shop@example.com");
    assert_eq!(smtp.from.name.as_deref(), Some("My Shop"));
    for (lines, why) in [
        ("from = \"shop@example.com\"", "needs the key host"),
        ("host = \"mail.example.com\"", "needs the key from"),
        (
            "host = \"a\"\nfrom = \"shop\"",
            "notices.smtp.from must be an address like",
        ),
        (
            "host = \"mail.example.com\"\nfrom = \"a@b.example\"\ntls = \"off\"",
            "everybody on the way reads along",
        ),
        (
            "host = \"a\"\nfrom = \"a@b.example\"\ntls = \"maybe\"",
            "must be \"starttls\", \"on\" or \"off\"",
        ),
        (
            "host = \"a\"\nfrom = \"a@b.example\"\nuser = \"x\"",
            "needs notices.smtp.password or",
        ),
        (
            "host = \"a\"\nfrom = \"a@b.example\"\npassword = \"x\"",
            "needs notices.smtp.user beside it",
        ),
    ] {
        let mistake = load(&format!("[notices.smtp]\n{lines}"), &[]).unwrap_err().to_string();
        assert!(mistake.contains(why), "{lines}: {mistake}");
    }
}
