//! The same where ports speak TLS. What is loaded is used as it is, and each program trusts the test's authority in its own way of
//! trusting. Without that it gets nowhere: so it was TLS, and was verified.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use testbed::authority::Authority;
use testbed::client::{Script, curl, curled, mihomo, sing_box};
use testbed::{program, skip};

use crate::mihomo::{self, Working, loading};
use crate::pictures::seen;
use crate::shadowsocks::uses_the_servers;
use crate::sing_box;
use crate::world::{NAME, PROTOCOLS, World, loaded};

/// Those that go through TLS, as `?protocol=` names them.
const BY_TLS: [&str; 2] = ["vless", "https"];

#[test]
fn sing_box_leaves_by_what_it_loads() {
    let Some(program) = sing_box() else { return };
    let authority = Authority::new();
    let (world, root) = (World::with_tls(&authority), authority.root());
    let whole = loaded(&world.own_url, "format=sing-box");
    world.leaves_by(&sing_box::trusting(&program, &whole, Some(&root)), world.bought[0].1);
    world.lets_nothing_out(&sing_box::trusting(&program, &whole, None));
    let (bought, address) = &world.bought[1];
    for protocol in PROTOCOLS.into_iter().chain(BY_TLS) {
        let query = format!("format=sing-box&protocol={protocol}");
        let configuration = loaded(&bought.subscription_url, &query);
        world.leaves_by(&sing_box::trusting(&program, &configuration, Some(&root)), address);
        if BY_TLS.contains(&protocol) {
            world.lets_nothing_out(&sing_box::trusting(&program, &configuration, None));
        }
    }
    sing_box::is_valid(&program, &loaded(&world.own_url, "format=sing-box-tun"));
}

#[test]
fn mihomo_leaves_by_what_it_loads() {
    let Some(program) = mihomo() else { return };
    let authority = Authority::new();
    let (world, root) = (World::with_tls(&authority), authority.root());
    let whole = loaded(&world.own_url, "format=clash");
    mihomo::is_valid(&program, &whole);
    Working::trusting(&program, &whole, Some(&root)).leaves_by(&world, world.bought[0].1);
    let (bought, address) = &world.bought[1];
    for protocol in BY_TLS {
        let configuration = loaded(&bought.subscription_url, &format!("format=clash&protocol={protocol}"));
        mihomo::is_valid(&program, &configuration);
        Working::trusting(&program, &configuration, Some(&root)).leaves_by(&world, address);
        world.lets_nothing_out(&Working::trusting(&program, &configuration, None).client);
    }
}

#[test]
fn mihomo_loads_lists_of_links_and_leaves_by_them() {
    let Some(program) = mihomo() else { return };
    let authority = Authority::new();
    let (world, root) = (World::with_tls(&authority), authority.root());
    let (bought, address) = &world.bought[1];
    for (format, protocol) in [("base64", "vless"), ("links", "vless"), ("base64", "https")] {
        let url = format!("{}?format={format}&protocol={protocol}", bought.subscription_url);
        let working = loading(&program, &url, Some(&root));
        assert_eq!(working.provided()["proxies"].as_array().map(Vec::len), Some(1), "{url}");
        working.leaves_by(&world, address);
        // It does not verify what a list names by `https://`.
        if protocol == "vless" {
            let working = loading(&program, &url, None);
            let _ = working.provided();
            world.lets_nothing_out(&working.client);
        }
    }
}

#[test]
fn curl_and_python_requests_use_every_line_of_https() {
    let authority = Authority::new();
    let (world, root) = (World::with_tls(&authority), authority.root());
    let python = Script::find("requests_client.py").map(|python| python.variable("TURNPIKE_TEST_ROOT", &root));
    let list = loaded(&world.own_url, "format=https");
    assert_eq!(list.lines().count(), 2, "{list}");
    for (line, (_, address)) in list.lines().zip(&world.bought) {
        assert!(line.starts_with("https://"), "{line}");
        for url in [world.origin.url("/"), world.named_url()] {
            assert_eq!(&curled(&["--proxy-cacert", &root, "--proxy", line, &url]), address);
            let stranger = curl(&["--proxy", line, &url]);
            assert_eq!(stranger.status.code(), Some(60), "{stranger:?}");
        }
        let url = world.named_url();
        if let Some(python) = &python {
            let seen = python.json(&[line, &url]);
            assert_eq!(seen, json!([{"url": url, "status": 200, "text": address}]));
        }
    }
}

#[test]
fn tables_have_the_url_of_https() {
    let Some(python) = Script::find("csv_client.py") else {
        return;
    };
    let authority = Authority::new();
    let world = World::with_tls(&authority);
    let rows = python.json(&[&format!("{}?format=csv", world.own_url)]);
    let listed: Value = serde_json::from_str(&loaded(&world.own_url, "format=json")).unwrap();
    let https = loaded(&world.own_url, "format=https");
    for (index, line) in https.lines().enumerate() {
        assert_eq!(rows[index]["https"], line);
        assert_eq!(listed[index]["protocols"]["https"], line);
    }
}

#[test]
fn programs_of_shadowsocks_get_the_same_as_ever() {
    let authority = Authority::new();
    uses_the_servers(|| World::with_tls(&authority));
}

#[test]
fn zbar_reads_the_links() {
    let authority = Authority::new();
    let world = World::with_tls(&authority);
    let url = &world.bought[0].0.subscription_url;
    for protocol in BY_TLS {
        let Some(link) = seen(&loaded(url, &format!("format=qr&protocol={protocol}"))) else {
            return;
        };
        assert_eq!(
            link,
            loaded(url, &format!("format=links&protocol={protocol}")).trim_end()
        );
    }
}

#[test]
fn chromium_browses_by_the_proxy_that_pac_names() {
    let Some(python) = Script::find("chromium_pac.py") else {
        return;
    };
    if program("chromium").is_none() {
        return skip("no Chromium on this machine (Debian: chromium)");
    }
    let Some(certutil) = program("certutil") else {
        return skip("no certutil on this machine (Debian: libnss3-tools)");
    };
    let authority = Authority::new();
    let world = World::with_tls(&authority);
    // Where Chromium looks for what its user trusts.
    let home = tempfile::tempdir().unwrap();
    let trusted = home.path().join(".pki/nssdb");
    fs::create_dir_all(&trusted).unwrap();
    let database = format!("sql:{}", trusted.display());
    for arguments in [
        &["-N", "--empty-password"][..],
        &["-A", "-n", "authority", "-t", "C,,", "-i", &authority.root()],
    ] {
        let mut command = Command::new(&certutil);
        let done = command.args(["-d", &database]).args(arguments).output().unwrap();
        assert!(done.status.success(), "{done:?}");
    }
    let (bought, address) = &world.bought[1];
    let (pac, url) = (
        format!("{}?format=pac", bought.subscription_url),
        format!("http://{NAME}:{}/", world.origin.address().port()),
    );
    let arguments = [pac.as_str(), &bought.username, &bought.password, &url];
    let home = home.path().to_str().unwrap();
    let seen = python.clone().variable("HOME", home).json(&arguments);
    assert_eq!(seen, json!([{"url": url, "status": 200, "text": address}]));
    let stranger = python.command(&arguments).output().unwrap();
    let complained = String::from_utf8_lossy(&stranger.stderr);
    assert!(complained.contains("ERR_PROXY_CERTIFICATE_INVALID"), "{complained}");
}
