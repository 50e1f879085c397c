//! The header fields that clients show to their users.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue};

use super::document::Document;
use super::format::Format;

/// Hours until a client should look again. New credentials and another network are found out by then.
const UPDATE_INTERVAL: &str = "6";

/// Adds them. Those that everything has, `Cache-Control: no-store` among them, are not added here.
pub(super) fn put(headers: &mut HeaderMap, format: Format, document: &Document<'_>) {
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    headers.insert(
        HeaderName::from_static("profile-update-interval"),
        HeaderValue::from_static(UPDATE_INTERVAL),
    );
    let title = document.title();
    let texts = [
        (HeaderName::from_static("subscription-userinfo"), user_info(document)),
        (HeaderName::from_static("profile-title"), shown_title(&title)),
        (
            HeaderName::from_static("profile-web-page-url"),
            document.shop_url.to_owned(),
        ),
        (header::CONTENT_DISPOSITION, disposition(format, &title)),
    ];
    for (name, text) in texts {
        // A public URL is the one thing here that might hold something else; it is then left out.
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(name, value);
        }
    }
}

/// Bytes used and allowed, and the end in seconds. All four are there, 0 for what has no bound, since clients miss those that are
/// not.
fn user_info(document: &Document<'_>) -> String {
    let traffic = document.profile.traffic;
    // Rounded down: a client must not call alive what is not.
    let expire = document.profile.ends_at.map_or(0, |at| at.0.div_euclid(1_000));
    let total = document.profile.allowed.unwrap_or(0);
    format!(
        "upload={}; download={}; total={total}; expire={expire}",
        traffic.up, traffic.down
    )
}

/// As it is where a header field can hold it, else in base64 with that said before it.
fn shown_title(title: &str) -> String {
    if title.bytes().all(|byte| (0x20..=0x7e).contains(&byte)) {
        title.to_owned()
    } else {
        format!("base64:{}", STANDARD.encode(title))
    }
}

/// Some clients name the profile after its file.
fn disposition(format: Format, title: &str) -> String {
    let way = if format.is_configuration() {
        "attachment"
    } else {
        "inline"
    };
    let words: Vec<&str> = title
        .split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '.')
        .filter(|word| !word.is_empty())
        .collect();
    format!("{way}; filename=\"{}.{}\"", words.join("-"), format.extension())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use turnpike_shop::profile::Extent;

    use super::super::document::tests::{of_account, two, written};
    use super::*;

    #[test]
    fn clients_are_told_what_they_show() {
        let mut profile = of_account(two());
        let told = |profile: &_, format| {
            let mut headers = HeaderMap::new();
            written(profile, |document| put(&mut headers, format, document));
            move |name: &str| {
                headers
                    .get(name)
                    .map(|value| value.to_str().unwrap().to_owned())
                    .unwrap()
            }
        };
        let account = told(&profile, Format::Clash);
        assert_eq!(
            account("subscription-userinfo"),
            "upload=3; download=40; total=0; expire=1762592000"
        );
        profile.allowed = Some(5_000);
        let limited = told(&profile, Format::Clash);
        assert_eq!(
            limited("subscription-userinfo"),
            "upload=3; download=40; total=5000; expire=1762592000"
        );
        assert_eq!(account("profile-title"), "shop.example");
        assert_eq!(account("profile-web-page-url"), "https://shop.example");
        assert_eq!(
            account("content-disposition"),
            "attachment; filename=\"shop.example.yaml\""
        );
        profile.live.remove(0);
        profile.extent = Extent::Subscription(profile.live[0].id.clone());
        let one = told(&profile, Format::Links);
        let title = one("profile-title");
        let title = STANDARD.decode(title.strip_prefix("base64:").unwrap()).unwrap();
        assert!(String::from_utf8(title).unwrap().contains("ünï"));
        assert_eq!(
            one("content-disposition"),
            "inline; filename=\"shop.example-12002-NL-Private-HYPERLINK-x-n.txt\""
        );
    }
}
