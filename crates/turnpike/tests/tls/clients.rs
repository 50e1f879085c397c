//! Programs that nobody here wrote, fed by the API's own links.

use std::collections::HashMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::process::Command;

use serde_json::{Value, json};
use testbed::authority::Authority;
use testbed::client::{Script, curl, curled, sing_box};
use testbed::origin::{Origin, pattern};
use testbed::turnpike::Turnpike;
use testbed::{eventually, program, skip};
use url::Url;

use crate::world::{EXIT, certified, protocols};
use testbed::Running;

/// As much in each direction of a connection.
const BULK: usize = 64 << 20;

struct World {
    authority: Authority,
    shop: Turnpike,
    https: String,
    vless: String,
}

impl World {
    fn new() -> Self {
        let authority = Authority::new();
        authority.issue(&["127.0.0.1", "localhost"], 2090);
        // A name: v2ray verifies nothing else.
        let host = "\"localhost\"";
        let shop = certified(&authority).set("gateway.public_host", host).start();
        let _ = shop.buy("NL-AMS");
        eventually("links tell of TLS", || protocols(&shop)["https"].is_string());
        let told = protocols(&shop);
        let text = |name: &str| told[name].as_str().unwrap().to_owned();
        Self {
            https: text("https"),
            vless: text("vless"),
            authority,
            shop,
        }
    }

    /// curl by the HTTPS proxy at this URL, with these arguments.
    fn through(&self, proxy: &str, arguments: &[&str]) -> std::process::Output {
        let root = self.authority.root();
        curl(&[&["--proxy-cacert", &root, "--proxy", proxy][..], arguments].concat())
    }

    /// 64 MiB both ways through a SOCKS5 port of a client's.
    #[track_caller]
    fn carries(&self, client: &Running) {
        let origin = Origin::http();
        let proxy = format!("socks5h://{}", client.socks());
        assert_eq!(curled(&["--proxy", &proxy, &origin.url("/")]), EXIT);
        carries(&|arguments| curl(&[&["--proxy", &proxy][..], arguments].concat()));
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

/// A `vless://` link whose server wants TLS.
struct Link {
    id: String,
    host: String,
    port: u16,
    server_name: String,
    protocol: String,
}

fn link(text: &str) -> Link {
    let url = Url::parse(text).unwrap();
    let mut settings: HashMap<_, _> = url.query_pairs().into_owned().collect();
    for (name, only) in [("encryption", "none"), ("security", "tls"), ("type", "tcp")] {
        assert_eq!(settings.remove(name).as_deref(), Some(only), "{name} in {text}");
    }
    assert_eq!(settings.remove("flow"), None);
    Link {
        id: url.username().to_owned(),
        host: url.host_str().unwrap().to_owned(),
        port: url.port().unwrap(),
        server_name: settings.remove("sni").unwrap(),
        protocol: settings.remove("alpn").unwrap(),
    }
}

#[test]
fn sing_box_by_vless_inside_tls() {
    let Some(program) = sing_box() else { return };
    let world = World::new();
    let link = link(&world.vless);
    let outbound = json!({
        "type": "vless", "server": link.host, "server_port": link.port, "uuid": link.id, "packet_encoding": "xudp",
        "tls": {
            "enabled": true, "server_name": link.server_name, "alpn": [link.protocol],
            "certificate_path": world.authority.root(),
        },
    });
    world.carries(&sing_box_by(program, &outbound));
}

#[test]
fn sing_box_by_an_https_proxy() {
    let Some(program) = sing_box() else { return };
    let world = World::new();
    let url = Url::parse(&world.https).unwrap();
    let outbound = json!({
        "type": "http", "server": url.host_str().unwrap(), "server_port": url.port().unwrap(),
        "username": url.username(), "password": url.password().unwrap(),
        "tls": {"enabled": true, "server_name": url.host_str().unwrap(), "certificate_path": world.authority.root()},
    });
    world.carries(&sing_box_by(program, &outbound));
}

fn sing_box_by(program: std::path::PathBuf, outbound: &Value) -> Running {
    Running::start(|home, port| {
        let inbound = json!({"type": "mixed", "listen": "127.0.0.1", "listen_port": port});
        let configuration = json!({"log": {"level": "warn"}, "inbounds": [inbound], "outbounds": [outbound]});
        let file = home.join("sing-box.json");
        fs::write(&file, configuration.to_string()).unwrap();
        let mut command = Command::new(program);
        command.arg("run").arg("--config").arg(file);
        command
    })
}

#[test]
fn v2ray_by_vless_inside_tls() {
    let Some(program) = program("v2ray") else {
        return skip("no v2ray on this machine (Debian: v2ray)");
    };
    let world = World::new();
    let link = link(&world.vless);
    let root = fs::read_to_string(world.authority.root()).unwrap();
    let lines: Vec<_> = root.lines().collect();
    let outbound = json!({
        "protocol": "vless",
        "settings": {"vnext": [{
            "address": link.host, "port": link.port, "users": [{"id": link.id, "encryption": "none"}],
        }]},
        "streamSettings": {"network": "tcp", "security": "tls", "tlsSettings": {
            "serverName": link.server_name, "alpn": [link.protocol], "disableSystemRoot": true,
            "certificates": [{"usage": "verify", "certificate": lines}],
        }},
    });
    let client = Running::start(|home, port| {
        let inbound = json!({
            "protocol": "socks", "listen": "127.0.0.1", "port": port, "settings": {"auth": "noauth"},
        });
        let configuration = json!({
            "log": {"loglevel": "warning"}, "inbounds": [inbound], "outbounds": [outbound],
        });
        let file = home.join("v2ray.json");
        fs::write(&file, configuration.to_string()).unwrap();
        let mut command = Command::new(program);
        command.arg("-config").arg(file);
        command
    });
    world.carries(&client);
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
