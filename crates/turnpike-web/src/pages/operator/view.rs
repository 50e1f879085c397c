//! `/operator/accounts/{account}/view`: looking at a customer's pages, and ending that.

use turnpike_shop::{Error as ShopError, Refusal, view_as};

use super::{named, path_of};
use crate::error::ApiError;
use crate::pages::desk::{Desk, Outcome, see_other};
use crate::pages::texts::Notice;
use crate::pages::trouble::Trouble;
use crate::pages::visitor::{ConfirmedOperator, Operator};

/// `POST /operator/accounts/{account}/view`
pub(crate) async fn begin(operator: ConfirmedOperator, desk: Desk) -> Outcome {
    let account = named(&desk).await?;
    match view_as::begin(&desk.app.shop, operator.session(), &account.id).await {
        Ok(()) => Ok(see_other("/overview")),
        // Another operator: nobody looks at his pages.
        Err(ShopError::Refused(Refusal::UnknownAccount(_))) => Err(Trouble::Failed(ApiError::NoSuchPath)),
        Err(error) => Err(error.into()),
    }
}

/// `POST /operator/view/end`
pub(crate) async fn end(operator: Operator, desk: Desk) -> Outcome {
    view_as::end(&desk.app.shop, operator.session()).await?;
    let back = match &operator.session().viewing {
        Some(viewed) => path_of(&viewed.account),
        None => "/operator".to_owned(),
    };
    Ok(desk.done(&back, Notice::ViewEnded))
}
