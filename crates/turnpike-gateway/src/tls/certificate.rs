//! A certificate with its key: proven to belong together, and asked what it is good for.

use std::net::IpAddr;
use std::sync::Arc;

use rustls::client::verify_server_name;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// A chain of certificates and the key of its first.
#[derive(Debug, Clone)]
pub struct Certificate {
    pub(super) key: Arc<CertifiedKey>,
    names: Vec<String>,
    starts_at: i64,
    ends_at: i64,
}

/// Why something is no certificate with its key. Each sentence goes on behind the name of what was read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// The chain has none.
    #[error("holds no certificate in PEM (-----BEGIN CERTIFICATE-----)")]
    NoCertificate,
    /// The chain has something that is none.
    #[error("holds a certificate that cannot be read: {0}")]
    Certificate(String),
    /// There is no key.
    #[error("holds no private key in PEM (-----BEGIN PRIVATE KEY-----)")]
    NoKey,
    /// It is under a password.
    #[error("holds a key under a password; take that off: openssl pkey -in FILE -out FILE.open")]
    EncryptedKey,
    /// It is none that TLS can be spoken with.
    #[error("holds a key that cannot be used: {0}")]
    Key(String),
    /// It is another certificate's.
    #[error("is not the key of the first certificate of the chain; the gateway's own certificate must stand first")]
    Mismatch,
}

impl CertificateError {
    /// Whether it is about the key's file, and not about the chain's.
    #[must_use]
    pub fn is_about_key(&self) -> bool {
        !matches!(self, Self::NoCertificate | Self::Certificate(_))
    }
}

impl Certificate {
    /// Reads a chain, the gateway's own certificate first, and its key.
    ///
    /// # Errors
    /// [`CertificateError`]
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, CertificateError> {
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<_, _>>()
            .map_err(|error| CertificateError::Certificate(error.to_string()))?;
        let own = chain.first().ok_or(CertificateError::NoCertificate)?;
        let (_, read) =
            X509Certificate::from_der(own).map_err(|error| CertificateError::Certificate(error.to_string()))?;
        let validity = read.validity();
        let (starts_at, ends_at) = (milliseconds(validity.not_before), milliseconds(validity.not_after));
        let names = names(&read);
        let key =
            CertifiedKey::from_der(chain.clone(), private_key(key)?, &ring::default_provider()).map_err(|error| {
                match error {
                    rustls::Error::InconsistentKeys(_) => CertificateError::Mismatch,
                    rustls::Error::InvalidCertificate(error) => CertificateError::Certificate(format!("{error:?}")),
                    error => CertificateError::Key(error.to_string()),
                }
            })?;
        Ok(Self {
            key: Arc::new(key),
            names,
            starts_at,
            ends_at,
        })
    }

    /// From when on it is valid, in milliseconds since 1970.
    #[must_use]
    pub fn starts_at(&self) -> i64 {
        self.starts_at
    }

    /// Until when it is valid, in milliseconds since 1970.
    #[must_use]
    pub fn ends_at(&self) -> i64 {
        self.ends_at
    }

    /// The names and addresses that it is for.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether clients that connect to this name or address accept it as its certificate.
    #[must_use]
    pub fn covers(&self, host: &str) -> bool {
        let Ok(host) = ServerName::try_from(host) else {
            return false;
        };
        let own = self.key.end_entity_cert().and_then(ParsedCertificate::try_from);
        own.is_ok_and(|own| verify_server_name(&own, &host).is_ok())
    }
}

fn private_key(text: &[u8]) -> Result<PrivateKeyDer<'static>, CertificateError> {
    PrivateKeyDer::from_pem_slice(text).map_err(|error| match error {
        pem::Error::NoItemsFound if is_encrypted(text) => CertificateError::EncryptedKey,
        pem::Error::NoItemsFound => CertificateError::NoKey,
        // The older form says so in a header, which is not base64.
        _ if is_encrypted(text) => CertificateError::EncryptedKey,
        error => CertificateError::Key(error.to_string()),
    })
}

fn is_encrypted(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED")
}

/// What clients look at: subject alternative names (RFC 9525 §6.3), never the subject.
fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    let names = extension.value.general_names.iter();
    names
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            GeneralName::IPAddress(bytes) => {
                let address = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
                let address = address.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from));
                address.ok().map(|address| address.to_string())
            }
            _ => None,
        })
        .collect()
}

fn milliseconds(time: x509_parser::time::ASN1Time) -> i64 {
    time.timestamp().saturating_mul(1000)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    fn made(names: &[&str]) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let certificate = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    fn read(chain: &str, key: &str) -> Result<Certificate, CertificateError> {
        Certificate::from_pem(chain.as_bytes(), key.as_bytes())
    }

    #[test]
    fn a_certificate_says_what_it_is_for_and_until_when() {
        let key = KeyPair::generate().unwrap();
        let names = ["proxy.example.com", "*.gw.example.com", "192.0.2.7", "2001:db8::7"];
        let mut params = CertificateParams::new(names.map(str::to_owned)).unwrap();
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2027, 1, 1);
        let pem = params.self_signed(&key).unwrap().pem();
        let certificate = read(&pem, &key.serialize_pem()).unwrap();
        assert_eq!(certificate.names(), names);
        assert_eq!(certificate.starts_at(), 1_767_225_600_000);
        assert_eq!(certificate.ends_at(), 1_798_761_600_000);
        for (host, is_covered) in [
            ("proxy.example.com", true),
            ("PROXY.example.com", true),
            ("a.gw.example.com", true),
            ("192.0.2.7", true),
            ("2001:db8::7", true),
            ("gw.example.com", false),
            ("a.b.gw.example.com", false),
            ("example.com", false),
            ("192.0.2.8", false),
            ("no host", false),
            ("", false),
        ] {
            assert_eq!(certificate.covers(host), is_covered, "{host}");
        }
    }

    #[test]
    fn what_is_wrong_is_told() {
        let (chain, key) = made(&["a.example"]);
        let (other_chain, other_key) = made(&["b.example"]);
        let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
        let older = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n\
                     -----END RSA PRIVATE KEY-----\n";
        let cut = &chain[..chain.len() / 2];
        let nonsense = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let no_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        for (chain, key, expected) in [
            ("", key.as_str(), "holds no certificate in PEM"),
            (&key, &key, "holds no certificate in PEM"),
            (cut, &key, "holds a certificate that cannot be read"),
            (nonsense, &key, "holds a certificate that cannot be read"),
            (&chain, "", "holds no private key in PEM"),
            (&chain, &chain, "holds no private key in PEM"),
            (&chain, &encrypted, "holds a key under a password"),
            (&chain, older, "holds a key under a password"),
            (&chain, no_key, "holds a key that cannot be used"),
            (&chain, &other_key, "is not the key of the first certificate"),
            (&other_chain, &key, "is not the key of the first certificate"),
        ] {
            let error = read(chain, key).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}, not: {expected}");
            assert_eq!(
                error.is_about_key(),
                !expected.contains("certificate") || expected.starts_with("is not")
            );
        }
        // Both may lie in one file, and a chain's order counts.
        assert!(read(&(key.clone() + &chain), &(chain.clone() + &key)).is_ok());
        assert_eq!(
            read(&(other_chain + &chain), &key).unwrap_err(),
            CertificateError::Mismatch
        );
    }
}
