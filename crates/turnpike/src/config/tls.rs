//! `[gateway.tls]`: a certificate that lies in files, or one that is fetched from an ACME directory.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use super::read::each;
use crate::document::{Mistake, Place, Table, Value};

/// Let's Encrypt's.
const DIRECTORY: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// Where a directory asks whether the name is ours (RFC 8555 §8.3): always at port 80 of it.
const CHALLENGE_LISTEN: [&str; 2] = ["0.0.0.0:80", "[::]:80"];

/// Where the certificate comes from.
#[derive(Debug, Clone)]
pub(crate) enum Tls {
    /// From files that somebody else keeps.
    Files(Box<Files>),
    /// From a directory, by ourselves.
    Acme(Box<Acme>),
}

/// Two files in PEM.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    /// The chain, the gateway's own certificate first.
    pub(crate) certificate: NamedFile,
    /// Its private key.
    pub(crate) key: NamedFile,
}

/// How to come by a certificate (RFC 8555).
#[derive(Debug, Clone)]
pub(crate) struct Acme {
    /// Whom the directory writes to.
    pub(crate) contact: Option<String>,
    /// Its URL.
    pub(crate) directory: String,
    /// What its own certificate is verified by; absent: as the system does.
    pub(crate) directory_roots: Option<PathBuf>,
    /// What binds our account there to one that somebody has with it already, where it wants that.
    pub(crate) external_account: Option<ExternalAccount>,
    /// Where its questions are answered.
    pub(crate) challenge_listen: Vec<SocketAddr>,
    /// Where the account and the certificate are kept; absent: `acme`, beside the SQLite file or in the working directory.
    pub(crate) cache: Option<PathBuf>,
}

/// An account outside of ACME (RFC 8555 §7.3.4).
#[derive(Debug, Clone)]
pub(crate) struct ExternalAccount {
    /// What the directory calls it.
    pub(crate) key_id: String,
    /// The file of its key, in base64 as the directory gives it.
    pub(crate) key: NamedFile,
}

/// A file and the key that names it, for whatever is wrong with it later.
#[derive(Clone)]
pub(crate) struct NamedFile {
    /// Where it is.
    pub(crate) path: PathBuf,
    value: Value,
}

impl NamedFile {
    fn read(value: Value) -> Result<Self, Mistake> {
        Ok(Self {
            path: file(&value)?,
            value,
        })
    }

    /// The sentence that something is wrong with it; `what` goes on behind its name.
    pub(crate) fn wrong(&self, what: impl fmt::Display) -> Mistake {
        self.value
            .wrong(&format!("names {}, which {what}", self.path.display()))
    }
}

impl fmt::Debug for NamedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.fmt(f)
    }
}

/// What is for `acme = true` alone.
const ACME_KEYS: [&str; 7] = [
    "contact",
    "directory",
    "directory_roots",
    "eab_key_id",
    "eab_key",
    "challenge_listen",
    "cache",
];

/// Reads the section. `public_host` is what a certificate is ordered for.
pub(super) fn read(gateway: &mut Table, public_host: &str) -> Result<Option<Tls>, Mistake> {
    let Some(section) = gateway.take("tls") else {
        return Ok(None);
    };
    let known: Vec<_> = ["certificate", "key", "acme"].into_iter().chain(ACME_KEYS).collect();
    let mut tls = section.table()?.with_keys(&known)?;
    let (certificate, key, acme) = (tls.take("certificate"), tls.take("key"), tls.take("acme"));
    let is_acme = acme.as_ref().map_or(Ok(false), Value::boolean)?;
    match (certificate.as_ref().or(key.as_ref()), acme) {
        (None, Some(acme)) if is_acme => order(&mut tls, &acme, public_host).map(Some),
        (Some(file), Some(acme)) if is_acme => match (is_variable(file), is_variable(&acme)) {
            // The environment is stronger than the file.
            (true, false) => files(certificate, key, &tls).map(Some),
            (false, true) => order(&mut tls, &acme, public_host).map(Some),
            _ => Err(file.wrong("stands beside gateway.tls.acme = true; give one of the two")),
        },
        (Some(_), _) => match ACME_KEYS.iter().find_map(|key| tls.take(key)) {
            Some(value) => Err(value.wrong("is for gateway.tls.acme = true, which is not set")),
            None => files(certificate, key, &tls).map(Some),
        },
        // Switched off by hand.
        (None, Some(_)) => Ok(None),
        (None, None) => Err(tls.wrong("needs certificate and key, or acme = true")),
    }
}

fn is_variable(value: &Value) -> bool {
    matches!(value.place(), Place::Variable(_))
}

fn files(certificate: Option<Value>, key: Option<Value>, tls: &Table) -> Result<Tls, Mistake> {
    match (certificate, key) {
        (Some(certificate), Some(key)) => Ok(Tls::Files(Box::new(Files {
            certificate: NamedFile::read(certificate)?,
            key: NamedFile::read(key)?,
        }))),
        (Some(certificate), None) => {
            Err(certificate.wrong("needs gateway.tls.key beside it, the file of its private key"))
        }
        (None, Some(key)) => Err(key.wrong("needs gateway.tls.certificate beside it, the file of its certificate")),
        (None, None) => Err(tls.wrong("needs certificate and key")),
    }
}

fn order(tls: &mut Table, acme: &Value, public_host: &str) -> Result<Tls, Mistake> {
    if public_host.parse::<IpAddr>().is_ok() {
        return Err(acme.wrong(&format!(
            "needs gateway.public_host to be a name, which the certificate is ordered for, and not {public_host}"
        )));
    }
    let usual = || CHALLENGE_LISTEN.into_iter().filter_map(|address| address.parse().ok());
    Ok(Tls::Acme(Box::new(Acme {
        contact: tls.optional("contact", |value| {
            value.spelled("an e-mail address like \"operator@example.com\"", |text| {
                let is_fit = text.contains('@') && !text.contains(char::is_whitespace);
                is_fit.then(|| text.to_owned())
            })
        })?,
        directory: tls.or("directory", DIRECTORY.to_owned(), |value| {
            value.spelled(&format!("the URL of an ACME directory like \"{DIRECTORY}\""), |text| {
                let url = url::Url::parse(text).ok()?;
                (url.scheme() == "https" && url.has_host()).then(|| text.to_owned())
            })
        })?,
        directory_roots: tls.optional("directory_roots", |value| file(&value))?,
        external_account: external_account(tls)?,
        challenge_listen: tls.or("challenge_listen", usual().collect(), |value| {
            let addresses = each(value.clone(), |value| {
                value.parsed("an address and a port like \"0.0.0.0:80\"")
            })?;
            if addresses.is_empty() {
                return Err(value.wrong("must name at least one address, like [\"127.0.0.1:8402\"]"));
            }
            Ok(addresses)
        })?,
        cache: tls.optional("cache", |value| file(&value))?,
    })))
}

fn external_account(tls: &mut Table) -> Result<Option<ExternalAccount>, Mistake> {
    match (tls.take("eab_key_id"), tls.take("eab_key")) {
        (None, None) => Ok(None),
        (Some(id), Some(key)) => Ok(Some(ExternalAccount {
            key_id: id.spelled("the id that the directory gave its key", |text| {
                (!text.is_empty()).then(|| text.to_owned())
            })?,
            key: NamedFile::read(key)?,
        })),
        (Some(id), None) => Err(id.wrong("needs gateway.tls.eab_key beside it, the file of the key with this id")),
        (None, Some(key)) => {
            Err(key.wrong("needs gateway.tls.eab_key_id beside it, what the directory calls this key"))
        }
    }
}

fn file(value: &Value) -> Result<PathBuf, Mistake> {
    value.spelled("the path of a file", |text| {
        (!text.is_empty()).then(|| PathBuf::from(text))
    })
}
