//! `/api/admin/catalogue`: all that is sold as the text that `turnpike apply` reads, and the shop made equal to such a text.

use http::Method;
use serde::{Deserialize, Serialize};
use turnpike_shop::Refusal;
use turnpike_shop::catalogue::{self, apply, apply_seen, digest};
use utoipa::ToSchema;

use super::{ChangeItem, actor};
use crate::api::v1::Endpoint;
use crate::api::{Context, wire};
use crate::config::CatalogueText;
use crate::error::ApiError;
use crate::principal::Operator;
use crate::response::True;

/// How this server reads and writes catalogues; where it does not, there is nothing here.
pub(super) fn text_of(context: &Context<'_>) -> Result<CatalogueText, ApiError> {
    context.app.config.catalogue.ok_or(ApiError::NoSuchPath)
}

/// The catalogue as the text that `turnpike apply` reads, with the exits' credentials. Taking it stands in the audit log, so it takes
/// a key that may do more than read.
#[derive(Deserialize, ToSchema)]
pub(crate) struct Export {}

/// A catalogue.
#[derive(Serialize, ToSchema)]
pub(crate) struct CatalogueAnswer {
    ok: True,
    /// TOML.
    #[schema(example = "[[network]]\ncode = \"NL-AMS\"\n")]
    text: String,
}

impl Endpoint for Export {
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/api/admin/catalogue";
    const NAME: &'static str = "adminExportCatalogue";
    const ERRORS: &'static [u16] = &[404];
    type Caller = Operator;
    type Answer = CatalogueAnswer;

    async fn call(self, operator: Operator, context: &Context<'_>) -> Result<CatalogueAnswer, ApiError> {
        let text = text_of(context)?;
        let actor = actor(&operator, context).await?;
        let catalogue = catalogue::export(&context.app.shop, &actor).await?;
        Ok(CatalogueAnswer {
            ok: True,
            text: (text.write)(&catalogue),
        })
    }
}

/// Makes the shop equal to a catalogue, the difference first. Without `seen` nothing is changed, and the answer is what would be.
/// With the `seen` of that answer it is applied, if the difference is still the same; else the answer is 409 with the code
/// `catalogue_moved`. A request holds 64 KiB; `turnpike apply` takes longer files.
#[derive(Deserialize, ToSchema)]
pub(crate) struct Import {
    /// TOML, as `turnpike apply` reads it. What it does not have is taken out of sale.
    #[serde(deserialize_with = "wire::text")]
    #[schema(example = "[[network]]\ncode = \"NL-AMS\"\ncity = \"Amsterdam\"\ncountry = \"NL\"\ntype = \"isp\"\n")]
    text: String,
    /// Which difference you have looked at.
    #[serde(default, deserialize_with = "wire::digest")]
    #[schema(
        required = false,
        pattern = "^[0-9a-f]{64}$",
        example = "0000000000000000000000000000000000000000000000000000000000000000"
    )]
    seen: Option<String>,
}

/// What changes, or would.
#[derive(Serialize, ToSchema)]
pub(crate) struct ImportAnswer {
    ok: True,
    /// Whether it was done.
    applied: bool,
    /// Which difference this is.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    seen: String,
    /// Empty where everything is so already.
    changes: Vec<ChangeItem>,
}

impl Endpoint for Import {
    const METHOD: Method = Method::PUT;
    const PATH: &'static str = "/api/admin/catalogue";
    const NAME: &'static str = "adminImportCatalogue";
    const ERRORS: &'static [u16] = &[404, 409];
    type Caller = Operator;
    type Answer = ImportAnswer;

    async fn call(self, operator: Operator, context: &Context<'_>) -> Result<ImportAnswer, ApiError> {
        let reader = text_of(context)?;
        let wanted = (reader.read)("catalogue", &self.text).map_err(Refusal::Catalogue)?;
        let (shop, actor) = (&context.app.shop, actor(&operator, context).await?);
        let is_to_apply = self.seen.is_some();
        let difference = match &self.seen {
            Some(seen) => apply_seen(shop, &actor, wanted, seen).await?,
            None => apply(shop, &actor, wanted, true).await?,
        };
        Ok(ImportAnswer {
            ok: True,
            applied: is_to_apply,
            seen: digest(&difference),
            changes: difference.into_iter().map(ChangeItem::from).collect(),
        })
    }
}
