//! QR codes for telephones: of the profile's own URL, or of one link.

use qrcode::bits::Bits;
use qrcode::render::svg;
use qrcode::{EcLevel, QrCode, Version};

use super::document::Document;
use super::format::unwritable;
use super::way::{self, Protocol};
use crate::error::ApiError;

/// The smallest side of the picture, in pixels.
const SIDE: u32 = 320;

/// Without a protocol the profile's own URL, which keeps up by itself; with one the link of the one port.
pub(super) fn write(document: &Document<'_>, protocol: Option<Protocol>) -> Result<String, ApiError> {
    let text = match protocol {
        None => document.own_url.clone(),
        Some(_) => {
            let ways = way::into_all(document, protocol)?;
            let [only] = ways.as_slice() else {
                return Err(ApiError::Field {
                    field: "protocol".to_owned(),
                    rule: format!(
                        "a picture shows one link, and here are {}; take the URL of one subscription, or no protocol for this \
                         URL itself",
                        ways.len()
                    ),
                });
            };
            only.link()
        }
    };
    picture(&text)
}

/// Black on white, byte mode, error correction M.
pub(super) fn picture(text: &str) -> Result<String, ApiError> {
    let code = (1..=40).find_map(|version| {
        let mut bits = Bits::new(Version::Normal(version));
        bits.push_byte_data(text.as_bytes()).ok()?;
        bits.push_terminator(EcLevel::M).ok()?;
        QrCode::with_bits(bits, EcLevel::M).ok()
    });
    // Version 40 holds 2,331 bytes, several times the longest link.
    let code = code.ok_or_else(|| unwritable("a QR code", format_args!("{} bytes do not fit", text.len())))?;
    Ok(code.render::<svg::Color<'_>>().min_dimensions(SIDE, SIDE).build())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::super::document::tests::{of_account, two, written};
    use super::*;

    #[test]
    fn a_link_is_shown_of_one_port_only() {
        let both = of_account(two());
        written(&both, |document| {
            assert!(write(document, Some(Protocol::Vless)).is_err());
            assert_eq!(
                write(document, None).unwrap(),
                picture("https://shop.example/sub/token").unwrap()
            );
        });
        let one = of_account(two().into_iter().take(1).collect());
        written(&one, |document| {
            let link = way::into_all(document, Some(Protocol::Vless)).unwrap()[0].link();
            assert_eq!(write(document, Some(Protocol::Vless)).unwrap(), picture(&link).unwrap());
        });
    }

    #[test]
    fn what_does_not_fit_is_refused_and_the_longest_that_fits_is_drawn() {
        assert!(picture(&"a".repeat(2_331)).unwrap().starts_with("<?xml"));
        assert!(picture(&"a".repeat(2_332)).is_err());
    }
}
