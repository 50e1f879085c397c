//! The gateway's certificate as it lies in files.

use std::fs;
use std::io;
use std::path::Path;

use turnpike_gateway::Certificate;

use crate::config::Files;
use crate::document::Mistake;

const DAY: i64 = 86_400_000;

/// Reads the files that the configuration names.
///
/// # Errors
/// A sentence that names the key, the file and what is wrong with it.
pub(crate) fn read(files: &Files) -> Result<Certificate, Mistake> {
    let unreadable = |error: io::Error| format!("cannot be read: {error}");
    let chain = fs::read(&files.certificate.path).map_err(|error| files.certificate.wrong(unreadable(error)))?;
    let key = fs::read(&files.key.path).map_err(|error| files.key.wrong(unreadable(error)))?;
    Certificate::from_pem(&chain, &key).map_err(|error| {
        let file = if error.is_about_key() {
            &files.key
        } else {
            &files.certificate
        };
        file.wrong(error)
    })
}

/// Reads one that was ordered, which lies in one file with its key.
///
/// # Errors
/// A sentence that names the file and what is wrong with it.
pub(crate) fn read_ordered(file: &Path) -> Result<Certificate, String> {
    let both = fs::read(file).map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
    Certificate::from_pem(&both, &both).map_err(|error| format!("{} {error}", file.display()))
}

/// Until when it is valid, for people: `ends in 12 days`, `has ended 3 days ago`.
pub(crate) fn until(certificate: &Certificate, now: i64) -> String {
    let left = certificate.ends_at() - now;
    match left / DAY {
        0 if left > 0 => "ends within a day".to_owned(),
        0 => "has ended within the last day".to_owned(),
        1 => "ends in 1 day".to_owned(),
        -1 => "has ended 1 day ago".to_owned(),
        days if days > 0 => format!("ends in {days} days"),
        days => format!("has ended {} days ago", -days),
    }
}

/// Whether it should be renewed soon: the last two weeks, or the last third of one that is shorter.
pub(crate) fn ends_soon(certificate: &Certificate, now: i64) -> bool {
    let whole = certificate.ends_at().saturating_sub(certificate.starts_at());
    certificate.ends_at() - now < (14 * DAY).min(whole / 3)
}

/// The names that it is for, as a list.
pub(crate) fn names(certificate: &Certificate) -> String {
    match certificate.names() {
        [] => "no name at all".to_owned(),
        names => names.join(", "),
    }
}
