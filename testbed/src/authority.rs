//! An authority of a test's own, and certificates that it has signed.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use tempfile::TempDir;

/// An authority that nobody knows but who is told of [`Authority::root`], and what it has signed, in a folder.
#[derive(Debug)]
pub struct Authority {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// One with a name of its own.
    ///
    /// # Panics
    /// When there is no room for its files.
    #[must_use]
    #[allow(clippy::new_without_default, reason = "no two are alike")]
    pub fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("a certificate without names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // A name that nothing else has: OpenSSL goes by these.
        let name = format!("Authority {}", fastrand::u64(..));
        params.distinguished_name.push(DnType::CommonName, name);
        let own = params.self_signed(&key).expect("its own certificate");
        let folder = tempfile::tempdir().expect("a temporary directory");
        fs::write(folder.path().join("ca.pem"), own.pem()).expect("writing its certificate");
        Self {
            folder,
            issuer: Issuer::new(params, key),
        }
    }

    /// The file with its own certificate, by which clients know it.
    #[must_use]
    pub fn root(&self) -> String {
        self.path("ca.pem").display().to_string()
    }

    /// A file in its folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes `chain.pem` and `key.pem` for these names, ending with this year.
    ///
    /// # Panics
    /// When there is no room for them.
    pub fn issue(&self, names: &[&str], last_year: i32) {
        let (chain, key) = self.signed(names, last_year);
        fs::write(self.path("key.pem"), key).expect("writing the key");
        fs::write(self.path("chain.pem"), chain).expect("writing the certificate");
    }

    /// A certificate for these names, ending with this year, and its key.
    ///
    /// # Panics
    /// When a name is none.
    #[must_use]
    pub fn signed(&self, names: &[&str], last_year: i32) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(last_year, 12, 31);
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }

    /// What `[gateway.tls]` says to have the gateway use what was issued, by key.
    #[must_use]
    pub fn settings(&self) -> [(&'static str, String); 2] {
        let quoted = |path: &Path| format!("{:?}", path.to_string_lossy());
        [
            ("gateway.tls.certificate", quoted(&self.path("chain.pem"))),
            ("gateway.tls.key", quoted(&self.path("key.pem"))),
        ]
    }
}
