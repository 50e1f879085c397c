//! E-mail, as aiosmtpd takes it.

use std::fs;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use testbed::turnpike::{Builder, Turnpike};

use crate::page::{Browser, text};
use crate::receiver::Receiver;

const ANN: &str = "ann@example.com";

testbed::on_both_engines! {
    letters_go_by_starttls_after_a_login,
}

fn shop(shop: Builder, smtp: &str) -> Turnpike {
    shop.set("server.sign_up", "true")
        .set("notices.smtp", smtp)
        .network("NL-AMS")
        .pool("nl-1", &["127.0.0.11", "127.0.0.12"])
        .start()
}

fn letters_go_by_starttls_after_a_login(builder: Builder) {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    let authority = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    fs::write(file("ca.pem"), params.self_signed(&authority).unwrap().pem()).unwrap();
    let (issuer, key) = (Issuer::new(params, authority), KeyPair::generate().unwrap());
    let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    fs::write(file("chain.pem"), certificate.signed_by(&key, &issuer).unwrap().pem()).unwrap();
    fs::write(file("key.pem"), key.serialize_pem()).unwrap();
    let Some(receiver) = Receiver::start("mail_receiver.py", &[&file("chain.pem"), &file("key.pem")]) else {
        return;
    };
    fs::write(file("password"), "let me in\n").unwrap();
    let smtp = format!(
        "{{ host = \"localhost\", port = {}, roots = {:?}, user = \"shop\", password_file = {:?}, \
         from = \"My Shop <shop@example.com>\" }}",
        receiver.port,
        file("ca.pem"),
        file("password"),
    );
    let shop = shop(builder, &smtp);
    let browser = Browser::of(&shop, ANN);
    browser.choose(&["account.signed_in email"]);
    browser.sign_in_elsewhere(ANN, "Firefox");
    let letter = receiver.next();
    assert_eq!((&letter["tls"], &letter["login"]), (&json!(true), &json!("shop")));
    assert_eq!(
        (&letter["from"], &letter["to"]),
        (&json!("shop@example.com"), &json!([ANN]))
    );
    assert_eq!(text(&letter, "/subject"), "Somebody signed in to your account");
    assert!(
        text(&letter, "/text").starts_with("From 127.0.0.1, with Firefox."),
        "{letter}"
    );
    assert!(
        letter["headers"].as_array().unwrap().contains(&json!("auto-submitted")),
        "{letter}"
    );
    assert!(text(&letter, "/id").ends_with("@example.com>"), "{letter}");
}

#[test]
fn no_words_of_a_customer_become_lines_or_headers_of_a_letter() {
    let Some(receiver) = Receiver::start("mail_receiver.py", &[]) else {
        return;
    };
    let smtp = format!(
        "{{ host = \"127.0.0.1\", port = {}, tls = \"off\", from = \"shop@example.com\" }}",
        receiver.port
    );
    let shop = shop(Turnpike::with(), &smtp);
    let browser = Browser::of(&shop, ANN);
    browser.choose(&["subscription.renewed email", "exit.rotated email"]);
    let ann = shop.key(ANN, &[]);
    let plan = shop.plan("NL-AMS", "private");
    let bought = ann
        .order(&json!({"op": "purchase", "planId": plan}))
        .expect_status(200)
        .json();
    let one = bought["subscription"]["subscriptionId"].as_str().unwrap().to_owned();
    let mut headers: Option<Value> = None;
    for note in [
        "plain",
        "x\u{2028}Bcc: all@example.com",
        "=?utf-8?q?=0d=0aBcc:_all@example.com?=",
        "\"; <script>alert(1)</script>",
        "\u{202e}gnp.exe",
        ".\u{85}.",
        "ä\u{1f980}漢字",
        "%0d%0aBcc: all@example.com",
    ] {
        browser.send(&format!("/subscriptions/{one}/note"), &[("note", note)]);
        let renewal = json!({"op": "renew", "subscriptionId": one, "planId": plan});
        let _renewed = ann.order(&renewal).expect_status(200);
        let letter = receiver.next();
        assert_eq!(letter["tls"], false);
        assert!(text(&letter, "/subject").ends_with("is renewed"), "{letter}");
        assert_eq!(letter["to"], json!([ANN]), "{letter}");
        let same = headers.get_or_insert_with(|| letter["headers"].clone());
        assert_eq!(&letter["headers"], same, "{note:?}");
        let lines: Vec<&str> = text(&letter, "/text").trim_end().lines().collect();
        assert_eq!(lines.len(), 6, "{letter}");
    }
}
