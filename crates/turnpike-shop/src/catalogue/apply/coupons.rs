//! Discounts.

use std::collections::BTreeMap;

use super::{Applying, Known, Values, or_none};
use crate::catalogue::{Coupon, Discount};
use crate::coupon;
use crate::error::{Refusal, Result};
use crate::store::{Tx, Value};
use crate::types::CouponId;

impl Applying<'_> {
    pub(super) async fn coupons(&mut self, tx: &mut Tx, wanted: &[Coupon]) -> Result<()> {
        let rows = tx
            .all(
                "SELECT id, code, percent_off, cents_off, max_redemptions, per_account, valid_until, active
                 FROM coupon ORDER BY code FOR NO KEY UPDATE",
                &[],
            )
            .await?;
        let mut known = BTreeMap::new();
        for row in &rows {
            let values = Values::from([
                ("percent_off", or_none(row.optional_int("percent_off")?)),
                ("cents_off", or_none(row.optional_int("cents_off")?)),
                ("max_redemptions", or_none(row.optional_int("max_redemptions")?)),
                ("per_account", or_none(row.optional_int("per_account")?)),
                ("valid_until", or_none(row.optional_int("valid_until")?.map(moment))),
            ]);
            known.insert(
                row.text("code")?,
                Known {
                    id: row.parsed("id")?,
                    is_active: row.int("active")? == 1,
                    values,
                },
            );
        }
        let uses = uses(tx).await?;
        for wanted in wanted {
            let code = coupon::normal(&wanted.code);
            if let Some(uses) = uses.get(&code) {
                uses.must_be_within(wanted)?;
            }
            let (percent, cents) = match wanted.discount {
                Discount::Percent(percent) => (Some(i64::from(percent)), None),
                Discount::Fixed(cents) => (None, Some(cents.0)),
            };
            let until = wanted.valid_until.map(|at| at.0);
            let values = Values::from([
                ("percent_off", or_none(percent)),
                ("cents_off", or_none(cents)),
                ("max_redemptions", or_none(wanted.max_redemptions)),
                ("per_account", or_none(wanted.per_account)),
                ("valid_until", or_none(until.map(moment))),
            ]);
            let before: Option<Known<CouponId>> = known.remove(&code);
            if self.differs("coupon", &code, before.as_ref(), &values) {
                let id = before.map_or_else(CouponId::random, |before| before.id);
                let or_null = |value: Option<i64>| value.map_or(Value::NullInt, Value::Int);
                tx.execute(
                    "INSERT INTO coupon (id, code, percent_off, cents_off, max_redemptions, per_account, valid_until, active,
                                         redeemed, created_at)
                     VALUES ($1, $2, $3, $4, $5, $6, $7, 1, 0, $8)
                     ON CONFLICT (code) DO UPDATE SET percent_off = excluded.percent_off, cents_off = excluded.cents_off,
                         max_redemptions = excluded.max_redemptions, per_account = excluded.per_account,
                         valid_until = excluded.valid_until, active = 1",
                    &[
                        Value::Text(id.to_string()),
                        Value::Text(code),
                        or_null(percent),
                        or_null(cents),
                        or_null(wanted.max_redemptions),
                        or_null(wanted.per_account),
                        or_null(until),
                        Value::Int(self.now.0),
                    ],
                )
                .await?;
            }
        }
        for (code, left) in known.into_iter().filter(|(_, coupon)| coupon.is_active) {
            self.deactivates("coupon", &code);
            tx.execute(
                "UPDATE coupon SET active = 0 WHERE id = $1",
                &[Value::Text(left.id.to_string())],
            )
            .await?;
        }
        Ok(())
    }
}

/// How often a coupon has been redeemed.
struct Uses {
    in_all: i64,
    /// By the account that did so most often.
    by_one: i64,
}

impl Uses {
    /// A limit below what has happened could not be kept, and the audit would find it broken for ever.
    fn must_be_within(&self, wanted: &Coupon) -> Result<()> {
        let code = &wanted.code;
        let (limit, had, whose) = match (wanted.max_redemptions, wanted.per_account) {
            (Some(limit), _) if limit < self.in_all => ("max_redemptions", self.in_all, ""),
            (_, Some(limit)) if limit < self.by_one => ("per_account", self.by_one, " by one account"),
            _ => return Ok(()),
        };
        Err(Refusal::Catalogue(format!(
            "coupon {code} has been redeemed {had} times{whose}, so its {limit} cannot be less; \
             take it out of the catalogue to end it"
        ))
        .into())
    }
}

/// The coupons that have been redeemed, by code; their rows are locked.
async fn uses(tx: &mut Tx) -> Result<BTreeMap<String, Uses>> {
    let rows = tx
        .all(
            "SELECT c.code, c.redeemed, CAST(COALESCE(MAX(u.redeemed), 0) AS BIGINT) AS by_one
             FROM coupon c LEFT JOIN coupon_use u ON u.coupon_id = c.id
             WHERE c.redeemed > 0 GROUP BY c.code, c.redeemed",
            &[],
        )
        .await?;
    rows.iter()
        .map(|row| {
            let uses = Uses {
                in_all: row.int("redeemed")?,
                by_one: row.int("by_one")?,
            };
            Ok((row.text("code")?, uses))
        })
        .collect()
}

/// As the catalogue spells it.
fn moment(at: i64) -> String {
    jiff::Timestamp::from_millisecond(at).map_or_else(|_| at.to_string(), |at| at.to_string())
}
