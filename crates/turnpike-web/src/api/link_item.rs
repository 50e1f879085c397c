//! A link as its subscription's owner sees it.

use serde::Serialize;
use turnpike_shop::rotation::Link;
use turnpike_shop::types::LinkKind;
use utoipa::ToSchema;

use super::wire;

/// Everything an owner sees of a link.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LinkItem {
    /// Of the subscription's own link, which is its `rotatePath`, the subscription's id.
    #[schema(schema_with = wire::id_schema)]
    link_id: String,
    /// Of the subscription's own link `main`.
    name: String,
    /// `rotate` gives the exit a new address, `status` only tells how it stands.
    #[schema(schema_with = wire::link_kind_schema)]
    kind: &'static str,
    #[schema(example = "/r/abcd1234")]
    path: String,
    /// The same with the shop's address.
    #[schema(example = "https://your-domain.com/r/abcd1234")]
    url: String,
    /// From where it works; empty for everywhere.
    allowed_addresses: Vec<String>,
    /// When it was made, in Unix milliseconds.
    created_at: i64,
}

/// Where a link leads to, without the shop's address.
pub(crate) fn path(link: &Link) -> String {
    match link.kind {
        LinkKind::Rotate => format!("/r/{}", link.token),
        LinkKind::Status => format!("/status/{}", link.token),
    }
}

impl LinkItem {
    /// `public_url` is the shop's address, without a slash at the end.
    pub(super) fn new(link: Link, public_url: &str) -> Self {
        let path = path(&link);
        Self {
            url: format!("{public_url}{path}"),
            path,
            link_id: link.id.into(),
            name: link.name,
            kind: link.kind.as_str(),
            allowed_addresses: link.allowed.entries(),
            created_at: link.created_at.0,
        }
    }
}
