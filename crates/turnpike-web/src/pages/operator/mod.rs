//! `/operator`: the pages of those who run the shop. Customers find nothing here.

mod account;
mod accounts;
mod audit;
mod catalogue;
mod catalogue_import;
mod coupon;
mod exit;
mod exits;
mod gateways;
mod money;
mod network;
mod orders;
mod plan;
mod shop;
mod status;
mod trials;
mod view;

use turnpike_shop::account::{Account, by_id};
use turnpike_shop::types::{AccountId, Role};
use turnpike_shop::{Error as ShopError, Refusal};

pub(super) use self::account::{permit_trial, show as account};
pub(super) use self::accounts::list as accounts;
pub(super) use self::audit::list as audit;
pub(super) use self::catalogue::{file as catalogue_file, list as catalogue};
pub(super) use self::catalogue_import::{act as import, form as import_form};
pub(super) use self::coupon::{form as coupon_form, retire as retire_coupon, save as save_coupon};
pub(super) use self::exit::{rotate, set_standing, show as exit, standing_form, test};
pub(super) use self::exits::list as exits;
pub(super) use self::gateways::list as gateways;
pub(super) use self::money::{act as move_money, form as money_form};
pub(super) use self::network::{
    set_standing as set_network_standing, show as network, standing_form as network_standing_form,
};
pub(super) use self::orders::{act as refund, list as orders, refund_form, show as order};
pub(super) use self::plan::{form as plan_form, retire as retire_plan, save as save_plan};
pub(super) use self::shop::show as shop;
pub(super) use self::status::{act as set_status, form as status_form};
pub(super) use self::trials::list as trials;
pub(super) use self::view::{begin as view, end as end_view};
use super::desk::Desk;
use super::texts::texts;
use super::trouble::Trouble;
use crate::error::ApiError;

/// The account that the path names; an unknown one leads nowhere.
async fn named(desk: &Desk) -> Result<Account, Trouble> {
    let id: AccountId = desk.id("account")?;
    by_id(&desk.app.shop, &id).await.map_err(|error| match error {
        ShopError::Refused(Refusal::UnknownAccount(_)) => Trouble::Failed(ApiError::NoSuchPath),
        other => other.into(),
    })
}

fn path_of(account: &AccountId) -> String {
    format!("/operator/accounts/{account}")
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Customer => texts().customer,
        Role::Operator => texts().operator,
    }
}
