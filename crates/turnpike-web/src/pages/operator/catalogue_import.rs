//! `/operator/catalogue/import`: making the shop equal to a file, the difference first.

use askama::Template;
use http::StatusCode;
use turnpike_shop::catalogue::{self, Difference, apply, apply_seen};
use turnpike_shop::{Error as ShopError, Refusal};

use super::catalogue::text;
use super::exits::{Badge, badge};
use crate::error::ApiError;
use crate::pages::desk::{Desk, Outcome, html};
use crate::pages::frame::{Frame, Place};
use crate::pages::texts::{Notice, operator_texts};
use crate::pages::trouble::refused;
use crate::pages::visitor::ConfirmedOperator;

#[derive(Template)]
#[template(path = "operator/import.html")]
struct ImportPage {
    frame: Frame,
    text: String,
    /// What would change, once that was looked at.
    difference: Option<Vec<Change>>,
    /// Which difference that is.
    seen: String,
    wrong: Option<String>,
}

struct Change {
    what: Badge,
    kind: &'static str,
    name: String,
    detail: Vec<String>,
}

impl Change {
    fn of(difference: &Difference) -> Self {
        Self {
            what: match difference.change {
                "create" => badge(operator_texts().created, "good"),
                "reactivate" => badge(operator_texts().reactivated, "good"),
                "deactivate" => badge(operator_texts().deactivated, "bad"),
                _ => badge(operator_texts().updated, "warn"),
            },
            kind: difference.kind,
            name: difference.name.clone(),
            detail: difference.detail.clone(),
        }
    }
}

/// `GET /operator/catalogue/import`
pub(crate) async fn form(_: ConfirmedOperator, desk: Desk) -> Outcome {
    shown(&desk, StatusCode::OK, None, None).await
}

async fn shown(desk: &Desk, status: StatusCode, difference: Option<&[Difference]>, wrong: Option<String>) -> Outcome {
    text(desk)?;
    let page = ImportPage {
        frame: desk.frame(Place::Catalogue, operator_texts().import).await?,
        text: desk.fields.text("text").to_owned(),
        seen: difference.map(catalogue::digest).unwrap_or_default(),
        difference: difference.map(|all| all.iter().map(Change::of).collect()),
        wrong,
    };
    Ok(html(status, &page))
}

/// `POST /operator/catalogue/import`
pub(crate) async fn act(operator: ConfirmedOperator, desk: Desk) -> Outcome {
    let reader = text(&desk)?;
    let (shop, actor) = (&desk.app.shop, operator.actor());
    let wanted = match (reader.read)("catalogue", desk.fields.text("text")) {
        Ok(catalogue) => catalogue,
        Err(mistake) => {
            let refusal = ApiError::from(ShopError::from(Refusal::Catalogue(mistake)));
            let (status, sentence) = refused(refusal, &desk)?;
            return shown(&desk, status, None, Some(sentence)).await;
        }
    };
    let seen = desk.fields.text("seen");
    if !seen.is_empty() {
        match apply_seen(shop, actor, wanted.clone(), seen).await {
            Ok(_) => return Ok(desk.done("/operator/catalogue", Notice::CatalogueApplied)),
            // Something else has changed it meanwhile: the new difference is shown.
            Err(ShopError::Refused(moved @ Refusal::CatalogueMoved)) => {
                let difference = apply(shop, actor, wanted, true).await?;
                let (status, sentence) = refused(ShopError::from(moved), &desk)?;
                return shown(&desk, status, Some(&difference), Some(sentence)).await;
            }
            Err(error) => {
                let (status, sentence) = refused(error, &desk)?;
                return shown(&desk, status, None, Some(sentence)).await;
            }
        }
    }
    match apply(shop, actor, wanted, true).await {
        Ok(difference) => shown(&desk, StatusCode::OK, Some(&difference), None).await,
        Err(error) => {
            let (status, sentence) = refused(error, &desk)?;
            shown(&desk, status, None, Some(sentence)).await
        }
    }
}
