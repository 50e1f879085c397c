//! `[notices]`: by which ways customers can be told things.

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use lettre::message::Mailbox;
use secrecy::SecretString;

use super::read::{each, network};
use crate::document::{Mistake, Table, Value};

/// By which ways customers can be told things; none at the beginning.
#[derive(Debug, Clone, Default)]
pub(crate) struct Notices {
    /// The mail server; absent: no e-mail.
    pub(crate) smtp: Option<Smtp>,
    /// Whether customers can have webhooks.
    pub(crate) webhooks: bool,
    /// Where webhooks may lead although it is private, and also without TLS.
    pub(crate) allow_destinations: Vec<IpNet>,
}

/// The operator's mail server.
#[derive(Debug, Clone)]
pub(crate) struct Smtp {
    /// Its name or address.
    pub(crate) host: String,
    /// Its port.
    pub(crate) port: u16,
    /// How the way there is sealed.
    pub(crate) tls: MailTls,
    /// User name and password; absent: it asks for none.
    pub(crate) login: Option<(String, SecretString)>,
    /// Whom letters are from.
    pub(crate) from: Mailbox,
    /// What its certificate is verified by, besides what the system knows.
    pub(crate) roots: Option<PathBuf>,
}

/// How the way to the mail server is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MailTls {
    /// From the first byte (port 465).
    On,
    /// After a greeting in the clear, and nothing is sent before (port 587).
    Starttls,
    /// Not at all, to this machine only.
    Off,
}

pub(super) fn read(root: &mut Table) -> Result<Notices, Mistake> {
    let mut notices = root.section("notices", &["smtp", "webhooks", "allow_destinations"])?;
    Ok(Notices {
        smtp: match notices.take("smtp") {
            Some(section) => Some(smtp(section)?),
            None => None,
        },
        webhooks: notices.or("webhooks", false, |value| value.boolean())?,
        allow_destinations: notices.or("allow_destinations", Vec::new(), |value| {
            each(value, |value| network(&value))
        })?,
    })
}

fn smtp(section: Value) -> Result<Smtp, Mistake> {
    let keys = [
        "host",
        "port",
        "tls",
        "user",
        "password",
        "password_file",
        "from",
        "roots",
    ];
    let mut smtp = section.table()?.with_keys(&keys)?;
    let (host, from) = (smtp.need("host")?, smtp.need("from")?);
    let tls = smtp.or("tls", MailTls::Starttls, |value| {
        value.spelled("\"starttls\", \"on\" or \"off\"", |text| match text {
            "on" => Some(MailTls::On),
            "starttls" => Some(MailTls::Starttls),
            "off" => Some(MailTls::Off),
            _ => None,
        })
    })?;
    let name = host.spelled("the name or address of a mail server, without a port", |text| {
        url::Host::parse(text).ok().map(|_| text.to_owned())
    })?;
    if tls == MailTls::Off && !is_here(&name) {
        return Err(host.wrong("must be this machine (\"127.0.0.1\") where notices.smtp.tls is \"off\": elsewhere everybody on the way reads along"));
    }
    let usual_port = match tls {
        MailTls::On => 465,
        MailTls::Starttls => 587,
        MailTls::Off => 25,
    };
    Ok(Smtp {
        port: smtp.or("port", usual_port, |value| value.integer(1..=u16::MAX))?,
        login: login(&mut smtp)?,
        from: from.spelled(
            "an address like \"shop@example.com\" or \"My Shop <shop@example.com>\"",
            |text| text.parse().ok(),
        )?,
        roots: smtp.optional("roots", |value| {
            value.spelled("the path of a file", |text| {
                (!text.is_empty()).then(|| PathBuf::from(text))
            })
        })?,
        host: name,
        tls,
    })
}

fn is_here(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn login(smtp: &mut Table) -> Result<Option<(String, SecretString)>, Mistake> {
    let (user, password, file) = (smtp.take("user"), smtp.take("password"), smtp.take("password_file"));
    let Some(user) = user else {
        return match password.or(file) {
            Some(password) => Err(password.wrong("needs notices.smtp.user beside it")),
            None => Ok(None),
        };
    };
    let password = match (password, file) {
        (Some(password), None) => SecretString::from(password.secret()?.to_owned()),
        (None, Some(file)) => {
            let text = fs::read_to_string(file.text()?)
                .map_err(|error| file.wrong(&format!("names a file that cannot be read: {error}")))?;
            SecretString::from(text.trim_end_matches(['\r', '\n']).to_owned())
        }
        (Some(_), Some(file)) => return Err(file.wrong("stands beside notices.smtp.password; give one of the two")),
        (None, None) => return Err(user.wrong("needs notices.smtp.password or notices.smtp.password_file beside it")),
    };
    Ok(Some((user.text()?.to_owned(), password)))
}
