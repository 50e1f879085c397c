//! Programs that nobody here wrote, fed by the API's own links.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv6Addr, TcpListener};

use serde_json::json;
use testbed::authority::Authority;
use testbed::client::{Script, curl, curled};
use testbed::origin::{Origin, pattern};
use testbed::turnpike::{Builder, Turnpike};
use testbed::{eventually, program, skip};
use url::Url;

use crate::world::{EXIT, certified, protocols};

/// As much in each direction of a connection.
const BULK: usize = 64 << 20;

struct World {
    authority: Authority,
    shop: Turnpike,
    https: String,
}

impl World {
    fn new() -> Self {
        let authority = Authority::new();
        authority.issue(&["127.0.0.1", "localhost"], 2090);
        Self::of(
            certified(&authority).set("gateway.public_host", "\"localhost\""),
            authority,
        )
    }

    fn of(builder: Builder, authority: Authority) -> Self {
        let shop = builder.start();
        let _ = shop.buy("NL-AMS");
        eventually("links tell of TLS", || protocols(&shop)["https"].is_string());
        Self {
            https: protocols(&shop)["https"].as_str().unwrap().to_owned(),
            authority,
            shop,
        }
    }

    /// curl by the HTTPS proxy at this URL, with these arguments.
    fn through(&self, proxy: &str, arguments: &[&str]) -> std::process::Output {
        let root = self.authority.root();
        curl(&[&["--proxy-cacert", &root, "--proxy", proxy][..], arguments].concat())
    }
}

#[track_caller]
fn carries(through: &dyn Fn(&[&str]) -> std::process::Output) {
    let origin = Origin::http();
    let bytes = pattern(BULK);
    let sent = tempfile::NamedTempFile::new().unwrap();
    fs::write(sent.path(), &bytes).unwrap();
    let data = format!("@{}", sent.path().display());
    let posted = through(&["--data-binary", &data, &origin.url("/echo")]);
    assert!(
        posted.stdout == bytes,
        "what was posted came back otherwise: {posted:.300?}"
    );
    let fetched = through(&[&origin.url(&format!("/bytes/{BULK}"))]);
    assert!(fetched.stdout == bytes, "what was fetched came otherwise");
}

#[test]
fn curl_by_an_https_proxy() {
    let world = World::new();
    let origin = Origin::http();
    for version in ["1.2", "1.3"] {
        let only = ["--proxy-tlsv1", "--tls-max", version];
        for way in [&[][..], &["--proxytunnel"]] {
            let seen = world.through(&world.https, &[&only[..], way, &[&origin.url("/")]].concat());
            assert_eq!(
                String::from_utf8_lossy(&seen.stdout),
                EXIT,
                "{version} {way:?} {seen:?}"
            );
        }
    }
    carries(&|arguments| world.through(&world.https, arguments));
    carries(&|arguments| world.through(&world.https, &[&["--proxytunnel"], arguments].concat()));

    // Without credentials, or wrong ones: asked for them, inside TLS.
    let mut nobody = Url::parse(&world.https).unwrap();
    for password in [None, Some("wrong")] {
        nobody.set_password(password).unwrap();
        if password.is_none() {
            nobody.set_username("").unwrap();
        } else {
            nobody.set_username("somebody").unwrap();
        }
        let told = ["--output", "/dev/null", "--write-out", "%{http_code}"];
        let plain = world.through(nobody.as_str(), &[&told[..], &[&origin.url("/")]].concat());
        assert_eq!(String::from_utf8_lossy(&plain.stdout), "407");
        let told = [
            "--output",
            "/dev/null",
            "--write-out",
            "%{http_connect}",
            "--proxytunnel",
        ];
        let connect = world.through(nobody.as_str(), &[&told[..], &[&origin.url("/")]].concat());
        assert_eq!(String::from_utf8_lossy(&connect.stdout), "407");
    }
    // Who does not know the authority does not go on; and the port still speaks without TLS.
    let stranger = curl(&["--proxy", &world.https, &origin.url("/")]);
    assert_eq!(stranger.status.code(), Some(60), "{stranger:?}");
    assert_eq!(
        curled(&["--proxy", &world.https.replace("https:", "http:"), &origin.url("/")]),
        EXIT
    );
    world.shop.audit();
}

/// The port is there by IPv6 alone. The certificate is for a name: curl 7.88 compares no proxy's address of IPv6 with it.
#[test]
fn curl_by_an_https_proxy_by_ipv6() {
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        return skip("no IPv6 on this machine");
    }
    let authority = Authority::new();
    authority.issue(&["localhost"], 2090);
    let builder = certified(&authority)
        .set("gateway.bind", "[\"::1\"]")
        .set("gateway.public_host", "\"localhost\"");
    let world = World::of(builder, authority);
    carries(&|arguments| world.through(&world.https, arguments));
    carries(&|arguments| world.through(&world.https, &[&["--proxytunnel"], arguments].concat()));
    world.shop.audit();
}

#[test]
fn chromium_by_an_https_proxy() {
    let Some(python) = Script::find("chromium.py") else {
        return;
    };
    if program("chromium").is_none() {
        return skip("no Chromium on this machine (Debian: chromium)");
    }
    let world = World::new();
    let origin = Origin::http();
    let url = Url::parse(&world.https).unwrap();
    let proxy = format!("https://{}:{}", url.host_str().unwrap(), url.port().unwrap());
    let seen = python.json(&[&proxy, url.username(), url.password().unwrap(), &origin.url("/")]);
    assert_eq!(seen, json!([{"url": origin.url("/"), "status": 200, "text": EXIT}]));
}

#[test]
fn socks5_inside_tls() {
    let world = World::new();
    let echo = Origin::echo();
    let url = Url::parse(&world.https).unwrap();
    let root = fs::read(world.authority.root()).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    for certificate in
        <rustls::pki_types::CertificateDer<'_> as rustls::pki_types::pem::PemObject>::pem_slice_iter(&root)
    {
        roots.add(certificate.unwrap()).unwrap();
    }
    let config = rustls::ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = rustls::pki_types::ServerName::try_from("127.0.0.1").unwrap();
    let connection = rustls::ClientConnection::new(std::sync::Arc::new(config), name).unwrap();
    let socket = std::net::TcpStream::connect(("127.0.0.1", url.port().unwrap())).unwrap();
    let mut stream = rustls::StreamOwned::new(connection, socket);
    let hears = |stream: &mut rustls::StreamOwned<_, _>, expected: &[u8]| {
        let mut heard = vec![0; expected.len()];
        stream.read_exact(&mut heard).unwrap();
        assert_eq!(heard, expected);
    };
    stream.write_all(&[5, 1, 2]).unwrap();
    hears(&mut stream, &[5, 2]);
    let (user, password) = (url.username().as_bytes(), url.password().unwrap().as_bytes());
    let length = |bytes: &[u8]| [u8::try_from(bytes.len()).unwrap()];
    let login = [&[1][..], &length(user), user, &length(password), password].concat();
    stream.write_all(&login).unwrap();
    hears(&mut stream, &[1, 0]);
    let request = [&[5, 1, 0, 1, 127, 0, 0, 1][..], &echo.address().port().to_be_bytes()].concat();
    stream.write_all(&request).unwrap();
    hears(&mut stream, &[5, 0, 0, 1]);
    stream.read_exact(&mut [0; 6]).unwrap();
    let said = pattern(100_000);
    // In pieces: the echo must have room meanwhile.
    for piece in said.chunks(10_000) {
        stream.write_all(piece).unwrap();
        hears(&mut stream, piece);
    }
}
