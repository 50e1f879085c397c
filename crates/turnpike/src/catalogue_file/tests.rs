use std::fmt::Write as _;

use turnpike_shop::catalogue::RotateMethod;

use super::*;

const WHOLE: &str = r#"
[[network]]
code = "NL-AMS"
city = "Amsterdam"
country = "NL"
type = "mobile"

  [[network.exit]]
  name = "nl-ams-1"
  addresses = ["127.0.0.11", "127.0.0.12", "127.0.0.13"]   # a pool: rotation moves to another address

  [[network.exit]]
  name = "nl-ams-modem-2"
  interface = "wwan1"
  rotate = { command = ["/usr/local/bin/redial", "wwan1"] }
  drain_seconds = 0

  [[network.exit]]
  name = "nl-ams-v6"
  prefix = "2001:db8:1::/48"
  gateway = "gw2"

  [[network.exit]]
  name = "nl-partner"
  upstream = "socks5://user:pass@198.51.100.7:1080"
  rotate = { http = "https://partner.example/rotate?k=secret" }

  [[network.exit]]
  name = "nl-shared-1"
  addresses = ["127.0.0.21"]
  shared_slots = 20

[[network]]
code = "DE-BER"
city = "Berlin"
country = "DE"
type = "isp"
allow_smtp = true

[[plan]]
code = "nl-private-30d"
network = "NL-AMS"
connection_type = "private"
duration = "30d"
price_cents = 1200
popular = true
trial = "1h"
max_connections = 200
max_source_addresses = 3
mbit_per_second = 100
traffic_gb = 50

[[plan]]
code = "free"
network = "DE-BER"
connection_type = "shared"
duration = "90m"
price_cents = 0

[[coupon]]
code = "MYCODE"
percent_off = 10
max_redemptions = 100
per_account = 1
valid_until = "2027-01-01T00:00:00Z"

[[coupon]]
code = "five"
cents_off = 500
valid_until = 2027-01-01T01:00:00+01:00
"#;

#[test]
fn every_key_is_read() {
    insta::assert_debug_snapshot!(parse("catalogue.toml", WHOLE).unwrap());
}

#[test]
fn an_empty_catalogue_sells_nothing() {
    let catalogue = parse("catalogue.toml", "# nothing yet\n").unwrap();
    assert!(catalogue.networks.is_empty() && catalogue.plans.is_empty() && catalogue.coupons.is_empty());
}

#[test]
fn the_same_exit_name_may_stand_in_two_networks() {
    let second = NETWORK.replace("NL-AMS", "NL-RTM");
    let catalogue = parse("catalogue.toml", &format!("{NETWORK}{EXIT}{second}{EXIT}")).unwrap();
    assert_eq!(catalogue.networks[1].exits[0].name, "a");
}

const NETWORK: &str = "[[network]]\ncode = \"NL-AMS\"\ncity = \"Amsterdam\"\ncountry = \"NL\"\ntype = \"mobile\"\n";
const EXIT: &str = "[[network.exit]]\nname = \"a\"\naddresses = [\"127.0.0.11\"]\n";
const PLAN: &str = "[[plan]]\ncode = \"p\"\nnetwork = \"NL-AMS\"\nconnection_type = \"private\"\nduration = \"30d\"\nprice_cents = 1200\n";
const COUPON: &str = "[[coupon]]\ncode = \"MYCODE\"\npercent_off = 10\n";

/// The sentence of each mistake, below the lines that are not as in a good catalogue.
fn sentences(base: &str, mistakes: &[(&str, &str)]) -> String {
    let mut all = String::new();
    for (good, bad) in mistakes {
        assert!(base.contains(good), "{good} is in the good catalogue");
        let text = base.replacen(good, bad, 1);
        let mistake = parse("catalogue.toml", &text).unwrap_err();
        for line in bad.trim().lines() {
            writeln!(all, "    {line}").unwrap();
        }
        writeln!(all, "{mistake}\n").unwrap();
    }
    parse("catalogue.toml", base).unwrap();
    all
}

#[test]
fn a_mistake_about_a_network_names_file_line_and_key() {
    let sentences = sentences(
        NETWORK,
        &[
            ("[[network]]", "[[networks]]"),
            ("[[network]]", "[network]"),
            ("[[network]]", "network = 1\n[network2]"),
            ("country", "land = \"x\"\ncountry"),
            ("code = \"NL-AMS\"\n", ""),
            ("\"NL-AMS\"", "\"NL AMS\""),
            ("\"NL-AMS\"", "\"\""),
            ("\"NL-AMS\"", "5"),
            ("\"Amsterdam\"", "\" \""),
            ("\"NL\"", "\"nl\""),
            ("\"NL\"", "\"UK\""),
            ("\"NL\"", "\"Netherlands\""),
            ("\"mobile\"", "\"4g\""),
            ("type = \"mobile\"", "type = \"mobile\"\nallow_smtp = \"yes\""),
            ("type = \"mobile\"", "type = \"mobile\"\nexit = \"a\""),
            ("[[network]]", &format!("{NETWORK}\n[[network]]")),
            ("type = \"mobile\"", "type = \"mobile"),
        ],
    );
    insta::assert_snapshot!(sentences);
}

#[test]
fn a_mistake_about_an_exit_names_file_line_and_key() {
    let addresses = "addresses = [\"127.0.0.11\"]";
    let sentences = sentences(
        &format!("{NETWORK}{EXIT}"),
        &[
            (addresses, ""),
            (addresses, "adresses = [\"127.0.0.11\"]"),
            (addresses, "addresses = [\"127.0.0.11\"]\nprefix = \"2001:db8::/48\""),
            (addresses, "addresses = []"),
            (addresses, "addresses = \"127.0.0.11\""),
            (addresses, "addresses = [\"127.0.0.300\"]"),
            (addresses, "addresses = [\"0.0.0.0\"]"),
            (addresses, "addresses = [\"127.0.0.11\", \"127.0.0.11\"]"),
            (addresses, "addresses = [\n  \"127.0.0.11\",\n  5,\n]"),
            (addresses, "prefix = \"2001:db8::1/48\""),
            (addresses, "prefix = \"2001:db8::1/128\""),
            (addresses, "prefix = \"10.0.0.0/8\""),
            (addresses, "interface = \"\""),
            (addresses, "interface = \"a-very-long-device-name\""),
            (addresses, "upstream = \"https://user:secret@host:1\""),
            (addresses, "upstream = \"user:secret@host:1080\""),
            (addresses, "upstream = \"socks5://user:secret@host:99999\""),
            (
                addresses,
                "interface = \"wwan0\"\nrotate = { modemmanager = \"/org/freedesktop/ModemManager1/Modem/0\" }",
            ),
            (
                addresses,
                "interface = \"wwan0\"\nrotate = \"http://192.168.8.1/?password=secret\"",
            ),
            (
                addresses,
                "interface = \"wwan0\"\nrotate = { http = \"http://h/\", command = [\"a\"] }",
            ),
            (addresses, "interface = \"wwan0\"\nrotate = {}"),
            (addresses, "interface = \"wwan0\"\nrotate = { htp = \"http://h/\" }"),
            (addresses, "interface = \"wwan0\"\nrotate = { command = [] }"),
            (
                addresses,
                "interface = \"wwan0\"\nrotate = { command = \"redial secret\" }",
            ),
            (
                addresses,
                "interface = \"wwan0\"\nrotate = { http = \"ftp://h/?secret\" }",
            ),
            ("name", "shared_slots = 0\nname"),
            ("name", "shared_slots = \"many\"\nname"),
            ("name", "drain_seconds = -1\nname"),
            ("name", "drain_seconds = \"30s\"\nname"),
            ("name", "gateway = \"gw 1\"\nname"),
            ("name = \"a\"\n", ""),
            ("[[network.exit]]", &format!("{EXIT}\n[[network.exit]]")),
        ],
    );
    insta::assert_snapshot!(sentences);
}

#[test]
fn a_mistake_about_a_plan_names_file_line_and_key() {
    let sentences = sentences(
        &format!("{NETWORK}{PLAN}"),
        &[
            ("duration", "populer = true\nduration"),
            ("\"30d\"", "\"30x\""),
            ("\"30d\"", "30"),
            ("\"30d\"", "\"30s\""),
            ("\"30d\"", "\"3651d\""),
            ("1200", "-1"),
            ("1200", "12.00"),
            ("1200", "\"1200\""),
            ("1200", "1000000001"),
            ("network = \"NL-AMS\"", "network = \"NL-AMX\""),
            ("network = \"NL-AMS\"", "network = \"Moon\""),
            ("\"private\"", "\"dedicated\""),
            ("price_cents", "popular = 1\nprice_cents"),
            ("price_cents", "trial = \"1w\"\nprice_cents"),
            ("price_cents = 1200\n", ""),
            ("price_cents", "max_connections = 0\nprice_cents"),
            ("price_cents", "max_source_addresses = 10001\nprice_cents"),
            ("price_cents", "mbit_per_second = \"fast\"\nprice_cents"),
            ("price_cents", "traffic_gb = 0.5\nprice_cents"),
            ("price_cents", "trafic_gb = 5\nprice_cents"),
            ("[[plan]]", &format!("{PLAN}\n[[plan]]")),
        ],
    );
    insta::assert_snapshot!(sentences);
}

#[test]
fn a_mistake_about_a_coupon_names_file_line_and_key() {
    let sentences = sentences(
        COUPON,
        &[
            ("percent_off = 10", ""),
            ("percent_off = 10", "percent_off = 10\ncents_off = 500"),
            ("percent_off = 10", "percent_off = 0"),
            ("percent_off = 10", "percent_off = 101"),
            ("percent_off = 10", "cents_off = 0"),
            ("percent_off", "max_redemptions = 0\npercent_off"),
            ("percent_off", "per_account = \"one\"\npercent_off"),
            ("percent_off", "valid_until = \"2027-01-01\"\npercent_off"),
            ("percent_off", "valid_until = 2027-01-01T00:00:00\npercent_off"),
            ("percent_off", "valid_until = 5\npercent_off"),
            ("percent_off", "code2 = 5\npercent_off"),
            ("[[coupon]]", "[[coupon]]\ncode = \"MyCode\"\ncents_off = 5\n[[coupon]]"),
        ],
    );
    insta::assert_snapshot!(sentences);
}

#[test]
fn no_sentence_shows_a_secret() {
    for way in [
        "upstream = \"https://user:secret@host:1\"",
        "upstream = [\"socks5://user:secret@host:1\"]",
        "interface = \"a\"\nrotate = { command = \"redial secret\" }",
        "interface = \"a\"\nrotate = { command = [\"redial\", { secret = 1 }] }",
        "interface = \"a\"\nrotate = { http = \"ftp://h/?secret\" }",
        "interface = \"a\"\nrotate = \"http://h/?secret\"",
    ] {
        let text = format!("{NETWORK}[[network.exit]]\nname = \"a\"\n{way}");
        let mistake = parse("catalogue.toml", &text).unwrap_err().to_string();
        assert!(!mistake.contains("secret"), "{mistake}");
    }
}

#[test]
fn the_guides_catalogue_is_one() {
    let guide = include_str!("../../../../docs/operators-guide.md");
    let blocks: Vec<&str> = guide.split("```toml\n").skip(1).collect();
    let (catalogue, _) = blocks[1].split_once("```\n").unwrap();
    let catalogue = parse("catalogue.toml", catalogue).unwrap();
    assert!(!catalogue.networks.is_empty() && !catalogue.plans.is_empty() && !catalogue.coupons.is_empty());
}

#[test]
fn what_is_written_is_read_back_to_the_same() {
    let mut catalogue = parse("catalogue.toml", WHOLE).unwrap();
    let again = parse("catalogue.toml", &text(&catalogue)).unwrap();
    assert_eq!(format!("{again:?}"), format!("{catalogue:?}"));
    // Whatever a name of a place or a secret holds.
    for odd in [
        "\"",
        "\\",
        "'''",
        "a\u{7f}b",
        "a\u{1}b",
        "Zürich 東京 \u{202e}",
        "# no comment",
        "]]",
    ] {
        catalogue.networks[0].city = format!("x{odd}y");
        let words = vec![odd.to_owned(), format!("{odd}\n")];
        catalogue.networks[0].exits[0].spec.rotate = Some(RotateMethod::Command(words));
        let again = parse("catalogue.toml", &text(&catalogue)).unwrap();
        assert_eq!(format!("{again:?}"), format!("{catalogue:?}"), "{odd}");
    }
    assert_eq!(text(&Catalogue::default()), "");
}
