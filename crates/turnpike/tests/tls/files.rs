//! A certificate in files: exchanged under way, and told of where something is wrong with it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use testbed::authority::Authority;
use testbed::client::{curl, curled};
use testbed::eventually;
use testbed::origin::Origin;
use testbed::turnpike::Turnpike;

use crate::world::{EXIT, certified, gauge, protocols};

/// What the log says, to the test.
fn says(shop: &Turnpike, what: &str) {
    eventually(what, || shop.log().contains(what));
}

#[test]
fn other_files_are_in_force_without_a_restart_and_broken_ones_are_not() {
    let (old, new) = (Authority::new(), Authority::new());
    old.issue(&["127.0.0.1"], 2089);
    let shop = certified(&old).start();
    let bought = shop.buy("NL-AMS");
    eventually("links tell of TLS", || protocols(&shop)["https"].is_string());
    let https = protocols(&shop)["https"].as_str().unwrap().to_owned();
    assert_eq!(
        gauge(&shop, "turnpike_certificate_expiry_timestamp_seconds"),
        Some(3_786_825_600.0)
    );
    let origin = Origin::http();
    let url = origin.url("/");
    let by = |root: &str| curl(&["--proxy-cacert", root, "--proxy", &https, &url]);
    assert_eq!(by(&old.root()).stdout, EXIT.as_bytes());

    // A tunnel that is open all the while.
    let echo = Origin::echo();
    let mut tunnel = testbed::client::Tunnel::by_connect(&bought, echo.address()).unwrap();

    let (chain, key) = new.signed(&["127.0.0.1"], 2090);
    // The certificate alone: not its key.
    fs::write(old.path("chain.pem"), &chain).unwrap();
    says(&shop, "is not the key of the first certificate");
    assert!(shop.log().contains("the certificate before stays in force"));
    assert_eq!(by(&old.root()).stdout, EXIT.as_bytes());
    fs::write(old.path("key.pem"), &key).unwrap();
    says(&shop, "has been exchanged");
    eventually("the new one is shown", || by(&new.root()).stdout == EXIT.as_bytes());
    let refused = by(&old.root());
    assert_eq!(refused.status.code(), Some(60), "{refused:?}");
    assert_eq!(
        gauge(&shop, "turnpike_certificate_expiry_timestamp_seconds"),
        Some(3_818_361_600.0)
    );
    tunnel.echoes(b"still here");

    fs::remove_file(old.path("chain.pem")).unwrap();
    says(&shop, "cannot be read");
    assert_eq!(by(&new.root()).stdout, EXIT.as_bytes());
    let told = shop.log().matches("cannot be read").count();
    assert_eq!(told, 1, "once, and not every second");
}

#[test]
fn a_certificate_for_another_name_is_served_and_links_do_not_speak_of_it() {
    let authority = Authority::new();
    authority.issue(&["other.example"], 2090);
    let shop = certified(&authority).start();
    let _ = shop.buy("NL-AMS");
    says(&shop, "is for other.example and not for 127.0.0.1");
    assert!(protocols(&shop)["https"].is_null());
    assert!(protocols(&shop)["vless"].as_str().unwrap().contains("security=none"));
    authority.issue(&["127.0.0.1"], 2090);
    eventually("links tell of TLS", || protocols(&shop)["https"].is_string());
    let vless = protocols(&shop)["vless"].as_str().unwrap().to_owned();
    assert!(
        vless.contains("security=tls&sni=127.0.0.1&alpn=http%2F1.1&fp=chrome"),
        "{vless}"
    );
}

#[test]
fn one_that_has_ended_is_told_of_by_log_and_doctor() {
    let authority = Authority::new();
    authority.issue(&["127.0.0.1"], 2021);
    let shop = certified(&authority).start();
    says(&shop, "the gateway's certificate has ended");
    let doctor = shop.try_run(&["doctor"]);
    let told = String::from_utf8_lossy(&doctor.stdout);
    assert!(told.contains("the certificate for 127.0.0.1 has ended"), "{told}");
    assert_eq!(doctor.status.code(), Some(1));
    authority.issue(&["other.example"], 2090);
    let told = shop.try_run(&["doctor"]);
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains("is for other.example and not for 127.0.0.1"), "{told}");
    authority.issue(&["127.0.0.1"], 2090);
    let told = shop.try_run(&["doctor"]);
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains("the certificate for 127.0.0.1 ends in "), "{told}");
}

#[test]
fn what_cannot_be_used_keeps_the_server_from_starting_and_is_named() {
    let authority = Authority::new();
    authority.issue(&["127.0.0.1"], 2090);
    let other = authority.signed(&["127.0.0.1"], 2090).1;
    let shop = certified(&authority).prepare();
    for (file, content, expected) in [
        ("chain.pem", "nothing", "which holds no certificate in PEM"),
        ("key.pem", "nothing", "which holds no private key in PEM"),
        (
            "key.pem",
            other.as_str(),
            "which is not the key of the first certificate",
        ),
    ] {
        authority.issue(&["127.0.0.1"], 2090);
        fs::write(authority.path(file), content).unwrap();
        let served = shop.try_run(&["serve"]);
        let told = String::from_utf8_lossy(&served.stderr).into_owned();
        assert_eq!(served.status.code(), Some(1), "{told}");
        assert!(
            told.contains(expected) && told.contains("turnpike.toml, line "),
            "{told}"
        );
        assert!(told.contains(authority.path(file).to_str().unwrap()), "{told}");
    }
}

#[test]
fn without_the_section_nothing_changes_and_links_forget() {
    let authority = Authority::new();
    authority.issue(&["127.0.0.1"], 2090);
    let mut shop = certified(&authority).start();
    let bought = shop.buy("NL-AMS");
    eventually("links tell of TLS", || protocols(&shop)["https"].is_string());
    shop.stop();
    let file = shop.home().join("turnpike.toml");
    let text = fs::read_to_string(&file).unwrap();
    let without: String = text
        .lines()
        .filter(|line| !line.starts_with("tls."))
        .fold(String::new(), |mut all, line| {
            all.push_str(line);
            all.push('\n');
            all
        });
    fs::write(&file, without).unwrap();
    shop.serve();
    eventually("links forget", || protocols(&shop)["https"].is_null());
    assert_eq!(gauge(&shop, "turnpike_certificate_expiry_timestamp_seconds"), None);
    let mut stream = TcpStream::connect(bought.port).unwrap();
    stream
        .write_all(&[0x16, 0x03, 0x01, 0x00, 0x04, 0x01, 0x00, 0x00, 0x00])
        .unwrap();
    stream
        .set_read_timeout(Some(std::time::Duration::from_millis(500)))
        .unwrap();
    assert!(stream.read(&mut [0]).is_err(), "silence, and no alert");
    let origin = Origin::http();
    assert_eq!(curled(&["--proxy", &bought.http, &origin.url("/")]), EXIT);
}
