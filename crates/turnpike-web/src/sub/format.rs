//! The formats: their names, what they are as files, and who writes them.

use super::document::Document;
use super::way::Protocol;
use super::{clash, links, list, pac, qr, shadowsocks, sing_box};
use crate::error::ApiError;

/// A format that a profile is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Base64,
    Links,
    SingBox,
    SingBoxTun,
    Clash,
    Sip008,
    Outline,
    HostPortUserPass,
    UserPassAtHostPort,
    UserPassHostPort,
    HostPortAtUserPass,
    Http,
    Https,
    Socks5,
    Socks5h,
    Csv,
    Json,
    Pac,
    Qr,
}

/// What a format is as a file.
struct Kind {
    content_type: &'static str,
    extension: &'static str,
    /// Whether it is a program's whole configuration, which nobody wants to read in a browser.
    is_configuration: bool,
}

impl Format {
    pub(crate) const ALL: [Self; 19] = [
        Self::Base64,
        Self::Links,
        Self::SingBox,
        Self::SingBoxTun,
        Self::Clash,
        Self::Sip008,
        Self::Outline,
        Self::HostPortUserPass,
        Self::UserPassAtHostPort,
        Self::UserPassHostPort,
        Self::HostPortAtUserPass,
        Self::Http,
        Self::Https,
        Self::Socks5,
        Self::Socks5h,
        Self::Csv,
        Self::Json,
        Self::Pac,
        Self::Qr,
    ];

    /// Its name in `?format=`. Those of plain lists are what a line of them looks like.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Base64 => "base64",
            Self::Links => "links",
            Self::SingBox => "sing-box",
            Self::SingBoxTun => "sing-box-tun",
            Self::Clash => "clash",
            Self::Sip008 => "sip008",
            Self::Outline => "outline",
            Self::HostPortUserPass => "host:port:user:pass",
            Self::UserPassAtHostPort => "user:pass@host:port",
            Self::UserPassHostPort => "user:pass:host:port",
            Self::HostPortAtUserPass => "host:port@user:pass",
            Self::Http => "http",
            Self::Https => "https",
            Self::Socks5 => "socks5",
            Self::Socks5h => "socks5h",
            Self::Csv => "csv",
            Self::Json => "json",
            Self::Pac => "pac",
            Self::Qr => "qr",
        }
    }

    /// The format of this name.
    pub(super) fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }

    /// The refusal of a name that is none.
    pub(super) fn unknown() -> ApiError {
        ApiError::Field {
            field: "format".to_owned(),
            rule: format!("it is one of {}", Self::ALL.map(Self::name).join(", ")),
        }
    }

    fn kind(self) -> Kind {
        let (content_type, extension, is_configuration) = match self {
            Self::SingBox | Self::SingBoxTun => ("application/json", "json", true),
            Self::Clash => ("text/yaml; charset=utf-8", "yaml", true),
            // SIP008 asks for just this type.
            Self::Sip008 | Self::Outline => ("application/json; charset=utf-8", "json", true),
            Self::Csv => ("text/csv; charset=utf-8", "csv", false),
            Self::Json => ("application/json", "json", false),
            Self::Pac => ("application/x-ns-proxy-autoconfig", "pac", false),
            Self::Qr => ("image/svg+xml", "svg", false),
            Self::Base64
            | Self::Links
            | Self::HostPortUserPass
            | Self::UserPassAtHostPort
            | Self::UserPassHostPort
            | Self::HostPortAtUserPass
            | Self::Http
            | Self::Https
            | Self::Socks5
            | Self::Socks5h => ("text/plain; charset=utf-8", "txt", false),
        };
        Kind {
            content_type,
            extension,
            is_configuration,
        }
    }

    /// Its media type.
    pub(crate) fn content_type(self) -> &'static str {
        self.kind().content_type
    }

    /// How files of it end.
    pub(super) fn extension(self) -> &'static str {
        self.kind().extension
    }

    /// Whether a browser should save it rather than show it.
    pub(super) fn is_configuration(self) -> bool {
        self.kind().is_configuration
    }

    /// Writes a document in this format, by one protocol where that is asked for.
    pub(super) fn write(self, document: &Document<'_>, protocol: Option<Protocol>) -> Result<String, ApiError> {
        match self {
            Self::Base64 => links::base64(document, protocol),
            Self::Links => links::plain(document, protocol),
            Self::SingBox => sing_box::on_loopback(document, protocol),
            Self::SingBoxTun => sing_box::with_tun(document, protocol),
            Self::Clash => clash::write(document, protocol),
            Self::Sip008 => shadowsocks::sip008(document, protocol),
            Self::Outline => shadowsocks::outline(document, protocol),
            Self::HostPortUserPass => Ok(list::lines(document, |to| format!("{to}:{}:{}", to.user, to.password))),
            Self::UserPassAtHostPort => Ok(list::lines(document, |to| format!("{}:{}@{to}", to.user, to.password))),
            Self::UserPassHostPort => Ok(list::lines(document, |to| format!("{}:{}:{to}", to.user, to.password))),
            Self::HostPortAtUserPass => Ok(list::lines(document, |to| format!("{to}@{}:{}", to.user, to.password))),
            Self::Http => Ok(list::urls(document, "http")),
            Self::Https => {
                document.needs_tls("format")?;
                Ok(list::urls(document, "https"))
            }
            Self::Socks5 => Ok(list::urls(document, "socks5")),
            Self::Socks5h => Ok(list::urls(document, "socks5h")),
            Self::Csv => list::csv(document),
            Self::Json => list::json(document),
            Self::Pac => pac::write(document, protocol),
            Self::Qr => qr::write(document, protocol),
        }
    }
}

/// A failure to write what can always be written: a defect, told with what was being written.
pub(super) fn unwritable(what: &str, error: impl std::fmt::Display) -> ApiError {
    ApiError::Shop(turnpike_shop::Error::Failed(format!("writing {what}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_has_a_name_of_its_own() {
        for format in Format::ALL {
            assert_eq!(Format::find(format.name()), Some(format));
        }
        assert_eq!(Format::find("yaml"), None);
        assert_eq!(Format::find("Base64"), None);
    }
}
