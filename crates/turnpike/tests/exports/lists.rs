//! Lists, read by the programs that people feed them to, and each line used.

use serde_json::{Value, json};
use testbed::client::{Script, curled};

use crate::world::{World, loaded};

/// What curl is told of a proxy by a line of a list.
fn arguments(format: &str, line: &str) -> Vec<String> {
    let told = |address: &str, user: &str| {
        let options = ["--proxy", address, "--proxy-user", user];
        options.map(str::to_owned).to_vec()
    };
    let parts: Vec<_> = line.split([':', '@']).collect();
    match (format, parts.as_slice()) {
        ("host:port:user:pass" | "host:port@user:pass", [host, port, user, password])
        | ("user:pass:host:port", [user, password, host, port]) => {
            told(&format!("{host}:{port}"), &format!("{user}:{password}"))
        }
        // curl takes these as they are.
        _ => ["--proxy", line].map(str::to_owned).to_vec(),
    }
}

#[test]
fn curl_uses_every_line_of_every_list() {
    let world = World::new();
    for format in [
        "host:port:user:pass",
        "user:pass@host:port",
        "user:pass:host:port",
        "host:port@user:pass",
        "http",
        "socks5",
        "socks5h",
    ] {
        let list = loaded(&world.own_url, &format!("format={format}"));
        assert_eq!(list.lines().count(), 2, "{list}");
        for (line, (_, address)) in list.lines().zip(&world.bought) {
            // What plain SOCKS5 asks for has been resolved by the client, who does not know our name.
            let urls = match format {
                "socks5" => vec![world.origin.url("/")],
                _ => vec![world.origin.url("/"), world.named_url()],
            };
            for url in urls {
                let mut told = arguments(format, line);
                told.push(url);
                let told: Vec<_> = told.iter().map(String::as_str).collect();
                assert_eq!(&curled(&told), address, "{format}: {told:?}");
            }
        }
    }
}

#[test]
fn python_requests_uses_every_url() {
    let Some(python) = Script::find("requests_client.py") else {
        return;
    };
    let world = World::new();
    for format in ["http", "socks5h"] {
        let list = loaded(&world.own_url, &format!("format={format}"));
        for (line, (_, address)) in list.lines().zip(&world.bought) {
            let url = world.named_url();
            let seen = python.json(&[line, &url]);
            assert_eq!(seen, json!([{"url": url, "status": 200, "text": address}]));
        }
    }
}

#[test]
fn python_reads_the_table_and_the_table_says_what_json_says() {
    let Some(python) = Script::find("csv_client.py") else {
        return;
    };
    let world = World::new();
    let rows = python.json(&[&format!("{}?format=csv", world.own_url)]);
    let listed: Value = serde_json::from_str(&loaded(&world.own_url, "format=json")).unwrap();
    assert_eq!(
        (rows.as_array().unwrap().len(), listed.as_array().unwrap().len()),
        (2, 2)
    );
    for (index, (bought, _)) in world.bought.iter().enumerate() {
        let (row, item) = (&rows[index], &listed[index]);
        for field in [
            "subscriptionId",
            "label",
            "networkLabel",
            "country",
            "host",
            "username",
            "password",
        ] {
            assert_eq!(row[field], item[field], "{field}");
        }
        for field in ["port", "activeUntil"] {
            assert_eq!(row[field], item[field].to_string(), "{field}");
        }
        for protocol in ["http", "socks5", "vless", "shadowsocks"] {
            assert_eq!(row[protocol], item["protocols"][protocol], "{protocol}");
        }
        assert_eq!(row["https"], "");
        assert_eq!(item["protocols"]["http"], bought.http);
        assert_eq!(item["protocols"]["vless"], bought.vless);
    }
}

#[test]
fn a_list_follows_new_credentials_and_a_renewed_url() {
    let world = World::new();
    let (bought, address) = &world.bought[0];
    let before = loaded(&bought.subscription_url, "format=http");
    let order = json!({"op": "change-credentials", "subscriptionId": bought.id});
    let _ = world.shop.order(&order).expect_status(200);
    let after = loaded(&bought.subscription_url, "format=http");
    assert_ne!(before, after);
    assert_eq!(&curled(&["--proxy", after.trim(), &world.origin.url("/")]), address);
    let order = json!({"op": "renew-subscription-url", "subscriptionId": bought.id});
    let renewed = world.shop.order(&order).expect_status(200).json();
    let status = |url: &str| curled(&["--output", "/dev/null", "--write-out", "%{http_code}", url]);
    assert_eq!(status(&bought.subscription_url), "404");
    assert_eq!(
        loaded(renewed["subscriptionUrl"].as_str().unwrap(), "format=http"),
        after
    );
    assert_eq!(status(&world.own_url), "200");
}
