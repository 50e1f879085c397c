//! The style sheet, the scripts and the icon: embedded, named by what they hold so that browsers may keep them for ever, and
//! compressed once.

use std::io::Write as _;
use std::sync::LazyLock;

use axum::body::Body;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use sha2::{Digest as _, Sha256};

use crate::error::ApiError;

/// One file.
pub(crate) struct Asset {
    name: String,
    content_type: &'static str,
    plain: Bytes,
    gzipped: Option<Bytes>,
}

/// All of them, as templates name them.
pub(crate) struct Assets {
    style: Asset,
    htmx: Asset,
    script: Asset,
    icon: Asset,
}

static ASSETS: LazyLock<Assets> = LazyLock::new(|| Assets {
    style: Asset::of(
        "style",
        "css",
        "text/css; charset=utf-8",
        include_bytes!("../../assets/style.css"),
    ),
    htmx: Asset::of(
        "htmx",
        "js",
        "text/javascript; charset=utf-8",
        include_bytes!("../../assets/htmx-2.0.11.min.js"),
    ),
    script: Asset::of(
        "script",
        "js",
        "text/javascript; charset=utf-8",
        include_bytes!("../../assets/script.js"),
    ),
    icon: Asset::of("icon", "svg", "image/svg+xml", include_bytes!("../../assets/icon.svg")),
});

/// The embedded files.
pub(crate) fn all() -> &'static Assets {
    &ASSETS
}

impl Assets {
    pub(crate) fn style(&self) -> &str {
        &self.style.name
    }

    pub(crate) fn htmx(&self) -> &str {
        &self.htmx.name
    }

    pub(crate) fn script(&self) -> &str {
        &self.script.name
    }

    pub(crate) fn icon(&self) -> &str {
        &self.icon.name
    }

    fn find(&self, name: &str) -> Option<&Asset> {
        [&self.style, &self.htmx, &self.script, &self.icon]
            .into_iter()
            .find(|asset| asset.name == name)
    }
}

impl Asset {
    fn of(stem: &str, extension: &str, content_type: &'static str, content: &'static [u8]) -> Self {
        let hash = URL_SAFE_NO_PAD.encode(Sha256::digest(content));
        // 96 bits: two versions of one file are never alike.
        let short: String = hash.chars().take(16).collect();
        Self {
            name: format!("{stem}-{short}.{extension}"),
            content_type,
            plain: Bytes::from_static(content),
            gzipped: gzip(content),
        }
    }
}

/// Absent where it could not be done; the plain file is sent then.
fn gzip(content: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content).ok()?;
    encoder.finish().ok().map(Bytes::from)
}

/// `GET /assets/{name}`
pub(crate) fn file(name: Result<Path<String>, PathRejection>, headers: &HeaderMap) -> Result<Response, ApiError> {
    let asset = name
        .ok()
        .and_then(|Path(name)| all().find(&name))
        .ok_or(ApiError::NoSuchPath)?;
    let accepted = headers.get_all(header::ACCEPT_ENCODING).iter();
    let takes_gzip = accepted
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|coding| coding.trim().eq_ignore_ascii_case("gzip"));
    let gzipped = asset.gzipped.clone().filter(|_| takes_gzip);
    let is_gzipped = gzipped.is_some();
    let mut response = Response::new(Body::from(gzipped.unwrap_or_else(|| asset.plain.clone())));
    *response.status_mut() = StatusCode::OK;
    let fields = response.headers_mut();
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.content_type));
    fields.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    fields.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("public, max-age=31536000, immutable"),
    );
    if is_gzipped {
        fields.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Ok(response)
}
