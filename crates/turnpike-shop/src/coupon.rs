//! Redeeming coupons: one row's conditional update decides who gets the last one.

use crate::catalogue::Discount;
use crate::error::{CouponProblem, Error, Refusal, Result};
use crate::store::{Row, Tx, Value};
use crate::types::{AccountId, Cents, CouponId, UnixMillis};

/// A coupon that an order has used.
pub(crate) struct Redeemed {
    /// Which.
    pub(crate) id: CouponId,
    /// What it takes off.
    pub(crate) discount: Discount,
}

/// A code as it is stored and compared: without regard to case or to blanks around it.
pub(crate) fn normal(code: &str) -> String {
    code.trim().to_uppercase()
}

/// Uses a coupon once for this account, if it applies. Undone with the transaction.
///
/// The coupon's row stays locked until the transaction ends, so whoever wants the same one waits and then sees the truth.
pub(crate) async fn redeem(tx: &mut Tx, account: &AccountId, code: &str, now: UnixMillis) -> Result<Redeemed> {
    let code = Value::Text(normal(code));
    let Some(row) = tx
        .optional(
            "UPDATE coupon SET redeemed = redeemed + 1
             WHERE code = $1 AND active = 1
               AND (valid_until IS NULL OR valid_until > $2)
               AND (max_redemptions IS NULL OR redeemed < max_redemptions)
             RETURNING id, percent_off, cents_off, per_account",
            &[code.clone(), Value::Int(now.0)],
        )
        .await?
    else {
        return Err(Refusal::InvalidCoupon(why_not(tx, code, now).await?).into());
    };
    let id: CouponId = row.parsed("id")?;
    let share = row.optional_int("per_account")?.unwrap_or(i64::MAX);
    tx.optional(
        "INSERT INTO coupon_use (coupon_id, account_id, redeemed) VALUES ($1, $2, 1)
         ON CONFLICT (coupon_id, account_id) DO UPDATE SET redeemed = coupon_use.redeemed + 1
         WHERE coupon_use.redeemed < $3
         RETURNING redeemed",
        &[
            Value::Text(id.to_string()),
            Value::Text(account.to_string()),
            Value::Int(share),
        ],
    )
    .await?
    .ok_or(Refusal::InvalidCoupon(CouponProblem::UsedByAccount))?;
    Ok(Redeemed {
        discount: discount(&row)?,
        id,
    })
}

/// Why the update of [`redeem`] found no row.
async fn why_not(tx: &mut Tx, code: Value, now: UnixMillis) -> Result<CouponProblem> {
    let row = tx
        .optional("SELECT active, valid_until FROM coupon WHERE code = $1", &[code])
        .await?;
    let Some(row) = row else {
        return Ok(CouponProblem::Unknown);
    };
    let is_over = row.optional_int("valid_until")?.is_some_and(|until| until <= now.0);
    Ok(match row.int("active")? {
        0 => CouponProblem::Unknown,
        _ if is_over => CouponProblem::Expired,
        _ => CouponProblem::UsedUp,
    })
}

/// What a coupon's row takes off.
pub(crate) fn discount(row: &Row) -> Result<Discount> {
    match (row.optional_int("percent_off")?, row.optional_int("cents_off")?) {
        (Some(percent), None) => u8::try_from(percent)
            .map(Discount::Percent)
            .map_err(|_| Error::Failed(format!("a coupon takes off {percent} per cent"))),
        (None, Some(cents)) => Ok(Discount::Fixed(Cents(cents))),
        _ => Err(Error::Failed(
            "a coupon takes off per cents or cents, one of the two".to_owned(),
        )),
    }
}
