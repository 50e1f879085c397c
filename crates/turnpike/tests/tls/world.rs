//! A shop whose gateway has a certificate of an authority that only these tests know.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use serde_json::{Value, json};
use tempfile::TempDir;
use testbed::turnpike::{Builder, Turnpike};
use url::Url;

/// The exit that is bought, told by its address.
pub(crate) const EXIT: &str = "127.0.0.11";

/// An authority, and what it has signed, in a folder.
pub(crate) struct Authority {
    pub(crate) folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // A name that nothing else has: OpenSSL goes by these.
        let name = format!("Authority {}", fastrand::u64(..));
        params.distinguished_name.push(DnType::CommonName, name);
        let own = params.self_signed(&key).unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ca.pem"), own.pem()).unwrap();
        Self {
            folder,
            issuer: Issuer::new(params, key),
        }
    }

    pub(crate) fn root(&self) -> String {
        self.path("ca.pem").display().to_string()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes `chain.pem` and `key.pem` for these names, ending with this year.
    pub(crate) fn issue(&self, names: &[&str], last_year: i32) {
        let (chain, key) = self.signed(names, last_year);
        fs::write(self.path("key.pem"), key).unwrap();
        fs::write(self.path("chain.pem"), chain).unwrap();
    }

    pub(crate) fn signed(&self, names: &[&str], last_year: i32) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(last_year, 12, 31);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    /// An installation that is to use those files.
    pub(crate) fn shop(&self) -> Builder {
        let quoted = |path: &Path| format!("{:?}", path.to_str().unwrap());
        Turnpike::with()
            .set("gateway.tls.certificate", &quoted(&self.path("chain.pem")))
            .set("gateway.tls.key", &quoted(&self.path("key.pem")))
            .network("NL-AMS")
            .pool("nl-1", &[EXIT])
    }
}

/// Buys by the API alone: the host in its links may be a name that only the test knows. The port, and the URL of HTTP.
pub(crate) fn bought(shop: &Turnpike) -> (u16, String) {
    let plan = shop.plan("NL-AMS", "private");
    let order = json!({"op": "purchase", "planId": plan, "repeatCount": 1, "quantity": 1});
    let _ = shop.order(&order).expect_status(200);
    let http = protocols(shop)["http"].as_str().unwrap().to_owned();
    (Url::parse(&http).unwrap().port().unwrap(), http)
}

/// What the API says of the first subscription.
pub(crate) fn protocols(shop: &Turnpike) -> Value {
    let answer = shop.ask("subscriptions").expect_status(200).json();
    answer["subscriptions"][0]["protocols"].clone()
}

/// The value of a gauge, where it is set.
pub(crate) fn gauge(shop: &Turnpike, name: &str) -> Option<f64> {
    let text = testbed::client::curled(&[&format!("http://{}/metrics", shop.metrics())]);
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")))?;
    line.parse().ok()
}
