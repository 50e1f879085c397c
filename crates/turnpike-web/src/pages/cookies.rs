//! The two cookies: the session's token, and what the next page is to say.

use http::{HeaderMap, HeaderValue, header};
use secrecy::{ExposeSecret as _, SecretString};

use super::texts::Notice;

/// As long as a session may last; the shop ends it earlier where it has to.
const SESSION_SECONDS: i64 = turnpike_shop::session::LONGEST.0 / 1_000;
const NOTICE_SECONDS: i64 = 60;

/// How cookies are set. Behind https they are bound to this host and to TLS.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Jar {
    is_secure: bool,
}

impl Jar {
    pub(crate) fn new(public_url: &str) -> Self {
        Self {
            is_secure: public_url.starts_with("https://"),
        }
    }

    fn session_name(self) -> &'static str {
        if self.is_secure { "__Host-session" } else { "session" }
    }

    fn notice_name(self) -> &'static str {
        if self.is_secure { "__Host-notice" } else { "notice" }
    }

    /// The session's token that a request carries.
    pub(crate) fn session(self, headers: &HeaderMap) -> Option<String> {
        find(headers, self.session_name())
    }

    /// What this page is to say.
    pub(crate) fn notice(self, headers: &HeaderMap) -> Option<Notice> {
        find(headers, self.notice_name()).and_then(|word| Notice::find(&word))
    }

    pub(crate) fn set_session(self, headers: &mut HeaderMap, token: &SecretString) {
        self.set(headers, self.session_name(), token.expose_secret(), SESSION_SECONDS);
    }

    pub(crate) fn clear_session(self, headers: &mut HeaderMap) {
        self.set(headers, self.session_name(), "", 0);
    }

    pub(crate) fn set_notice(self, headers: &mut HeaderMap, notice: Notice) {
        self.set(headers, self.notice_name(), notice.word(), NOTICE_SECONDS);
    }

    pub(crate) fn clear_notice(self, headers: &mut HeaderMap) {
        self.set(headers, self.notice_name(), "", 0);
    }

    fn set(self, headers: &mut HeaderMap, name: &str, value: &str, seconds: i64) {
        let secure = if self.is_secure { "; Secure" } else { "" };
        let cookie = format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
        if let Ok(mut value) = HeaderValue::from_str(&cookie) {
            value.set_sensitive(true);
            headers.append(header::SET_COOKIE, value);
        }
    }
}

fn find(headers: &HeaderMap, name: &str) -> Option<String> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(known, value)| *known == name && !value.is_empty())
        .map(|(_, value)| value.to_owned())
}
