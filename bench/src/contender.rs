//! Who is measured: the bare relay, Turnpike, and what else is installed.

use std::env;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::json;
use tempfile::TempDir;
use testbed::ports::Ports;
use testbed::shadowsocks::Method;
use testbed::turnpike::Turnpike;

use crate::client::{Protocol, Way, sealed};
use crate::measure::{Core, pin};

const USERNAME: &str = "bench";
const PASSWORD: &str = "bench-secret";
const ID: &str = "6f1c2a3e-9b4d-4c5e-8f60-718293a4b5c6";
/// 16 bytes, as 2022-blake3-aes-128-gcm wants them.
const KEY: &str = "N5tp51JibWA9kIPEUoDHzw==";

/// Until a contender accepts connections.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) struct Contender {
    /// What it speaks, and who it is.
    pub(crate) name: String,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Limit,
    Turnpike(Spoken),
    Peer { program: PathBuf, speaks: Spoken, how: How },
}

/// Writes its configuration to a folder, and says with which arguments it listens on a port.
type How = fn(&Path, u16, Spoken) -> Result<Vec<String>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spoken {
    Http,
    Socks5,
    Vless,
    Shadowsocks,
    Shadowsocks2022,
}

impl Spoken {
    const ALL: [Self; 5] = [
        Self::Http,
        Self::Socks5,
        Self::Vless,
        Self::Shadowsocks,
        Self::Shadowsocks2022,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Socks5 => "socks5",
            Self::Vless => "vless",
            Self::Shadowsocks => "aes-256-gcm",
            Self::Shadowsocks2022 => "2022-aes-128",
        }
    }

    fn protocol(self, username: &str, password: &str, key: &str, id: &str) -> Protocol {
        match self {
            Self::Http => Protocol::Http {
                username: username.to_owned(),
                password: password.to_owned(),
            },
            Self::Socks5 => Protocol::Socks5 {
                username: username.to_owned(),
                password: password.to_owned(),
            },
            Self::Vless => {
                let digits = id.replace('-', "");
                let number = u128::from_str_radix(&digits, 16).unwrap_or_default();
                Protocol::Vless {
                    id: number.to_be_bytes(),
                }
            }
            Self::Shadowsocks => sealed(Method::Aes256Gcm, password),
            Self::Shadowsocks2022 => sealed(Method::Blake3Aes128Gcm, key.trim_end_matches('=')),
        }
    }
}

/// All that are here.
pub(crate) fn all(turnpike: &Path) -> Vec<Contender> {
    let mut found = vec![Contender {
        name: "limit".to_owned(),
        kind: Kind::Limit,
    }];
    let peers: [(&str, &[Spoken], How); 6] = [
        ("tinyproxy", &[Spoken::Http], tinyproxy),
        ("microsocks", &[Spoken::Socks5], microsocks),
        ("sing-box", &Spoken::ALL, sing_box),
        (
            "v2ray",
            &[Spoken::Http, Spoken::Socks5, Spoken::Vless, Spoken::Shadowsocks],
            v2ray,
        ),
        ("ssserver", &[Spoken::Shadowsocks, Spoken::Shadowsocks2022], ssserver),
        ("ss-server", &[Spoken::Shadowsocks], ss_server),
    ];
    for speaks in Spoken::ALL {
        found.push(Contender {
            name: format!("{} turnpike", speaks.name()),
            kind: Kind::Turnpike(speaks),
        });
        for (name, spoken, how) in peers {
            if spoken.contains(&speaks)
                && let Some(program) = program(name)
            {
                found.push(Contender {
                    name: format!("{} {name}", speaks.name()),
                    kind: Kind::Peer { program, speaks, how },
                });
            }
        }
    }
    testbed::turnpike::use_binary(turnpike.to_owned());
    found
}

fn program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders.map(|folder| folder.join(name)).find(|file| file.is_file())
}

impl Contender {
    pub(crate) fn is_limit(&self) -> bool {
        matches!(self.kind, Kind::Limit)
    }

    /// Starts it on its core, and waits until it accepts.
    pub(crate) fn start(&self, origin: SocketAddr) -> Result<Running> {
        pin(Core::Contender)?;
        let running = self.launch(origin);
        pin(Core::Load)?;
        running
    }

    fn launch(&self, origin: SocketAddr) -> Result<Running> {
        if let Kind::Turnpike(speaks) = self.kind {
            let shop = Turnpike::with().network("NL-AMS").pool("nl-1", &["127.0.0.11"]).start();
            let bought = shop.buy("NL-AMS");
            let id = bought
                .vless
                .strip_prefix("vless://")
                .and_then(|rest| rest.split('@').next());
            let protocol = speaks.protocol(&bought.username, &bought.password, &bought.password, id.unwrap_or(""));
            let way = Way {
                proxy: bought.port,
                protocol,
            };
            return Ok(Running::Turnpike {
                shop: Box::new(shop),
                way,
            });
        }
        let folder = tempfile::tempdir()?;
        let ports = Ports::reserve(1);
        let proxy = SocketAddr::from((Ipv4Addr::LOCALHOST, ports.nth(0)));
        let (mut command, protocol) = match &self.kind {
            Kind::Peer { program, speaks, how } => {
                let mut command = Command::new(program);
                command.args(how(folder.path(), proxy.port(), *speaks)?);
                (command, speaks.protocol(USERNAME, PASSWORD, KEY, ID))
            }
            Kind::Limit | Kind::Turnpike(_) => {
                let mut command = Command::new(env::current_exe()?);
                command.args(["limit", &proxy.to_string(), &origin.to_string()]);
                (command, Protocol::Bare)
            }
        };
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("{}", command.get_program().display()))?;
        let mut running = Running::Child {
            child,
            way: Way { proxy, protocol },
            _folder: folder,
            _ports: ports,
        };
        running.wait_until_open(proxy)?;
        Ok(running)
    }
}

/// A contender that runs; it is ended when this is dropped.
pub(crate) enum Running {
    Turnpike {
        shop: Box<Turnpike>,
        way: Way,
    },
    Child {
        child: Child,
        way: Way,
        _folder: TempDir,
        _ports: Ports,
    },
}

impl Running {
    pub(crate) fn way(&self) -> &Way {
        match self {
            Self::Turnpike { way, .. } | Self::Child { way, .. } => way,
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        match self {
            Self::Turnpike { shop, .. } => shop.pid(),
            Self::Child { child, .. } => child.id(),
        }
    }

    fn wait_until_open(&mut self, proxy: SocketAddr) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(proxy).is_err() {
            if let Self::Child { child, .. } = self
                && let Some(status) = child.try_wait()?
            {
                bail!("it ended at once, with {status}");
            }
            if Instant::now() > deadline {
                bail!("{proxy} was not open within {PATIENCE:?}");
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Self::Child { child, .. } = self {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn written(folder: &Path, text: &str) -> Result<String> {
    let file = folder.join("configuration.json");
    fs::write(&file, text)?;
    Ok(file.display().to_string())
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn tinyproxy(folder: &Path, port: u16, _: Spoken) -> Result<Vec<String>> {
    let text = format!(
        "Port {port}\nListen 127.0.0.1\nTimeout 600\nMaxClients 12000\nBasicAuth {USERNAME} {PASSWORD}\nLogLevel Critical\n"
    );
    Ok(vec!["-d".to_owned(), "-c".to_owned(), written(folder, &text)?])
}

fn microsocks(_: &Path, port: u16, _: Spoken) -> Result<Vec<String>> {
    Ok(words(&format!("-i 127.0.0.1 -p {port} -u {USERNAME} -P {PASSWORD}")))
}

fn sing_box(folder: &Path, port: u16, speaks: Spoken) -> Result<Vec<String>> {
    let users = json!([{ "username": USERNAME, "password": PASSWORD }]);
    let mut inbound = match speaks {
        Spoken::Http => json!({ "type": "http", "users": users }),
        Spoken::Socks5 => json!({ "type": "socks", "users": users }),
        Spoken::Vless => json!({ "type": "vless", "users": [{ "uuid": ID }] }),
        Spoken::Shadowsocks => json!({ "type": "shadowsocks", "method": "aes-256-gcm", "password": PASSWORD }),
        Spoken::Shadowsocks2022 => {
            json!({ "type": "shadowsocks", "method": "2022-blake3-aes-128-gcm", "password": KEY })
        }
    };
    inbound["listen"] = "127.0.0.1".into();
    inbound["listen_port"] = port.into();
    let text = json!({ "log": { "disabled": true }, "inbounds": [inbound], "outbounds": [{ "type": "direct" }] });
    Ok(vec![
        "run".to_owned(),
        "-c".to_owned(),
        written(folder, &text.to_string())?,
    ])
}

fn v2ray(folder: &Path, port: u16, speaks: Spoken) -> Result<Vec<String>> {
    let accounts = json!([{ "user": USERNAME, "pass": PASSWORD }]);
    let (protocol, settings) = match speaks {
        Spoken::Http => ("http", json!({ "accounts": accounts })),
        Spoken::Socks5 => (
            "socks",
            json!({ "auth": "password", "accounts": accounts, "udp": true, "ip": "127.0.0.1" }),
        ),
        Spoken::Vless => ("vless", json!({ "decryption": "none", "clients": [{ "id": ID }] })),
        Spoken::Shadowsocks | Spoken::Shadowsocks2022 => (
            "shadowsocks",
            json!({ "method": "aes-256-gcm", "password": PASSWORD, "network": "tcp,udp" }),
        ),
    };
    let text = json!({
        "log": { "loglevel": "none" },
        "inbounds": [{ "listen": "127.0.0.1", "port": port, "protocol": protocol, "settings": settings }],
        "outbounds": [{ "protocol": "freedom" }],
    });
    Ok(vec!["-config".to_owned(), written(folder, &text.to_string())?])
}

fn ssserver(_: &Path, port: u16, speaks: Spoken) -> Result<Vec<String>> {
    let (method, key) = match speaks {
        Spoken::Shadowsocks2022 => ("2022-blake3-aes-128-gcm", KEY),
        _ => ("aes-256-gcm", PASSWORD),
    };
    Ok(words(&format!(
        "-s 127.0.0.1:{port} -m {method} -k {key} -U --tcp-no-delay"
    )))
}

fn ss_server(_: &Path, port: u16, _: Spoken) -> Result<Vec<String>> {
    Ok(words(&format!(
        "-s 127.0.0.1 -p {port} -m aes-256-gcm -k {PASSWORD} -t 600 -n 16384 -u --no-delay"
    )))
}
