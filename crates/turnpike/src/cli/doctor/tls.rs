//! The gateway's certificate: there, its key's, for the right name, and for how long.

use turnpike_gateway::Certificate;

use super::Check;
use super::machine;
use crate::certificate;
use crate::cli::open::system_clock;
use crate::config::{Acme, Config, Tls};
use crate::serve::tls::acme;

const CHECK: &str = "gateway.tls";

/// Everything that can be known of it; nothing where there is to be no TLS.
pub(super) fn check(config: &Config) -> Vec<Check> {
    match &config.gateway.tls {
        None => Vec::new(),
        Some(Tls::Files(files)) => vec![match certificate::read(files) {
            Ok(certificate) => judged(config, &certificate, "renew it"),
            Err(mistake) => Check::fail(CHECK, mistake.to_string(), "mend it; the server does not start with it"),
        }],
        Some(Tls::Acme(acme)) => {
            let listeners = acme.challenge_listen.iter();
            let mut checks: Vec<_> = listeners
                .map(|address| machine::listener("gateway.tls.challenge_listen", *address))
                .collect();
            checks.push(ordered(config, acme));
            checks
        }
    }
}

fn ordered(config: &Config, acme: &Acme) -> Check {
    let file = acme::certificate_file(&acme::folder(config, acme), &config.gateway.public_host);
    if !file.exists() {
        return Check::warn(
            CHECK,
            format!("no certificate for {} has been ordered yet", config.gateway.public_host),
            "start the server, which orders it; its log says what hinders it",
        );
    }
    match certificate::read_ordered(&file) {
        Ok(certificate) => judged(
            config,
            &certificate,
            "the server's log says why it has not been renewed",
        ),
        Err(mistake) => Check::warn(CHECK, mistake, "remove the file; the server orders another"),
    }
}

fn judged(config: &Config, certificate: &Certificate, late: &str) -> Check {
    let now = system_clock()().0;
    let (names, until) = (certificate::names(certificate), certificate::until(certificate, now));
    let host = &config.gateway.public_host;
    if !certificate.covers(host) {
        Check::fail(
            CHECK,
            format!("the certificate is for {names} and not for {host}, which customers connect to"),
            "set gateway.public_host to a name that it is for, or get another; until then links go on without TLS",
        )
    } else if certificate.starts_at() > now {
        Check::fail(
            CHECK,
            "the certificate is not valid yet",
            "set this machine's clock, or get another",
        )
    } else if certificate.ends_at() <= now {
        Check::fail(CHECK, format!("the certificate for {names} {until}"), late)
    } else if certificate::ends_soon(certificate, now) {
        Check::warn(CHECK, format!("the certificate for {names} {until}"), late)
    } else {
        Check::ok(CHECK, format!("the certificate for {names} {until}"))
    }
}
