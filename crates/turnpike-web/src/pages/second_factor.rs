//! `/account/second-factor`: switching the second factor on and off.

use askama::Template;
use http::StatusCode;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::ExposeSecret as _;
use turnpike_shop::{Error as ShopError, second_factor};

use super::desk::{Desk, Outcome, html};
use super::frame::{Frame, Place};
use super::texts::{Notice, texts};
use super::visitor::Confirmed;
use crate::error::{self, ApiError};
use crate::sub;

#[derive(Template)]
#[template(path = "second_factor.html")]
struct SecondFactorPage {
    frame: Frame,
    /// Absent where it is on.
    offer: Option<Offer>,
    recovery_codes: i64,
    wrong: Option<String>,
}

struct Offer {
    /// The picture, an SVG of ours.
    picture: String,
    /// The secret in groups of four.
    key: String,
}

#[derive(Template)]
#[template(path = "recovery_codes.html")]
struct RecoveryCodesPage {
    frame: Frame,
    codes: Vec<String>,
}

/// `GET /account/second-factor`
pub(crate) async fn show(owner: Confirmed, desk: Desk) -> Outcome {
    shown(&owner, &desk, StatusCode::OK, None).await
}

async fn shown(owner: &Confirmed, desk: &Desk, status: StatusCode, wrong: Option<String>) -> Outcome {
    let standing = second_factor::standing(&desk.app.shop, owner.account()).await?;
    let offer = if standing.is_enabled {
        None
    } else {
        let secret = second_factor::offer(&desk.app.shop, owner.account()).await?;
        Some(offer(desk, &owner.session().email, secret.expose_secret())?)
    };
    let page = SecondFactorPage {
        frame: desk.frame(Place::Account, texts().second_factor).await?,
        offer,
        recovery_codes: standing.recovery_codes,
        wrong,
    };
    Ok(html(status, &page))
}

/// The key URI that authenticator apps read (github.com/google/google-authenticator/wiki/Key-Uri-Format).
fn offer(desk: &Desk, email: &str, secret: &str) -> Result<Offer, ApiError> {
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let bare = desk
        .app
        .config
        .public_url
        .split_once("://")
        .map_or("", |(_, host)| host);
    let issuer = encoded(bare.split(['/', ':']).next().unwrap_or(bare));
    let uri = format!(
        "otpauth://totp/{issuer}:{}?secret={secret}&issuer={issuer}",
        encoded(email)
    );
    let letters: Vec<char> = secret.chars().collect();
    let groups: Vec<String> = letters.chunks(4).map(|group| group.iter().collect()).collect();
    Ok(Offer {
        picture: sub::inline_picture(&uri)?,
        key: groups.join(" "),
    })
}

/// `POST /account/second-factor`
pub(crate) async fn enable(owner: Confirmed, desk: Desk) -> Outcome {
    let code = desk.fields.text("code");
    let session = owner.session();
    match second_factor::enable(
        &desk.app.shop,
        &session.account,
        &session.email,
        code,
        desk.visit.source,
    )
    .await
    {
        Ok(codes) => {
            let page = RecoveryCodesPage {
                frame: desk.frame(Place::Account, texts().recovery_heading).await?,
                codes: codes.iter().map(|code| code.expose_secret().to_owned()).collect(),
            };
            Ok(html(StatusCode::OK, &page))
        }
        Err(refused @ ShopError::Refused(_)) => {
            let (status, sentence) = error::told(&ApiError::Shop(refused), &desk.visit);
            shown(&owner, &desk, status, Some(sentence)).await
        }
        Err(failed) => Err(failed.into()),
    }
}

/// `POST /account/second-factor/off`
pub(crate) async fn disable(owner: Confirmed, desk: Desk) -> Outcome {
    second_factor::disable(&desk.app.shop, owner.account(), &owner.session().email).await?;
    Ok(desk.done("/account", Notice::SecondFactorOff))
}
