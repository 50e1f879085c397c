//! The shop's rules once more, in memory and without cleverness: what a verb must answer, and what must be true after it.

use std::collections::BTreeMap;

use turnpike_shop::types::{Cents, RotationPolicy, Span, SubscriptionId, SubscriptionState, UnixMillis};
use turnpike_shop::{CouponProblem, Refusal};

use crate::world::MONTH;

/// How long an ended subscription's port is held.
pub(crate) const GRACE: Span = Span::hours(72);
/// How long a trial is.
pub(crate) const TRIAL: Span = Span::hours(1);
/// How often the coupon can be used, in all and by one.
pub(crate) const COUPON_USES: usize = 10;
pub(crate) const COUPON_USES_EACH: usize = 7;

/// A network of whole exits.
pub(crate) struct Place {
    pub(crate) code: &'static str,
    pub(crate) exits: usize,
    pub(crate) price: i64,
}

/// Somebody with money.
pub(crate) struct Person {
    pub(crate) balance: i64,
    pub(crate) is_suspended: bool,
    pub(crate) coupon_uses: usize,
    /// The last trial by place.
    pub(crate) trials: BTreeMap<usize, UnixMillis>,
}

#[derive(Clone)]
pub(crate) struct Sub {
    pub(crate) id: SubscriptionId,
    pub(crate) owner: usize,
    pub(crate) place: usize,
    pub(crate) ends_at: UnixMillis,
    /// By its row: one that is over stays active until somebody sweeps it up.
    pub(crate) state: SubscriptionState,
    /// Its exit, or its last one.
    pub(crate) exit: String,
    pub(crate) port: u16,
    pub(crate) password: String,
    pub(crate) policy: RotationPolicy,
}

/// All that there is.
pub(crate) struct Model {
    pub(crate) now: UnixMillis,
    pub(crate) places: Vec<Place>,
    pub(crate) people: Vec<Person>,
    pub(crate) subs: Vec<Sub>,
}

impl Model {
    pub(crate) fn is_running(&self, sub: &Sub) -> bool {
        sub.state == SubscriptionState::Active && sub.ends_at > self.now
    }

    /// Exits that can be sold: those that are free, and those whose subscriber is over.
    fn sellable(&self, place: usize) -> usize {
        let held = self
            .subs
            .iter()
            .filter(|sub| sub.place == place && self.is_running(sub))
            .count();
        self.places[place].exits - held
    }

    fn sold_out(&self, place: usize, wanted: usize) -> Result<(), Refusal> {
        let (free, wanted) = (number(self.sellable(place)), number(wanted));
        if free < wanted {
            Err(Refusal::SoldOut { free, wanted })
        } else {
            Ok(())
        }
    }

    fn active(&self, who: usize) -> Result<(), Refusal> {
        match self.people[who].is_suspended {
            true => Err(Refusal::AccountSuspended),
            false => Ok(()),
        }
    }

    fn coupon(&self, who: usize) -> Result<(), Refusal> {
        let uses: usize = self.people.iter().map(|person| person.coupon_uses).sum();
        if uses >= COUPON_USES {
            Err(Refusal::InvalidCoupon(CouponProblem::UsedUp))
        } else if self.people[who].coupon_uses >= COUPON_USES_EACH {
            Err(Refusal::InvalidCoupon(CouponProblem::UsedByAccount))
        } else {
            Ok(())
        }
    }

    /// What an order costs: a tenth off with the coupon, the broken cent to the customer.
    fn price(&self, place: usize, count: usize, with_coupon: bool) -> i64 {
        let full = self.places[place].price * number(count);
        if with_coupon { full * 9 / 10 } else { full }
    }

    fn pay(&mut self, who: usize, price: i64) -> Result<(), Refusal> {
        let balance = self.people[who].balance;
        if balance < price {
            let (balance, price) = (Cents(balance), Cents(price));
            return Err(Refusal::InsufficientBalance { balance, price });
        }
        self.people[who].balance -= price;
        Ok(())
    }

    /// The price of a purchase, which is paid after this.
    pub(crate) fn purchase(
        &mut self,
        who: usize,
        place: usize,
        repeat: usize,
        quantity: usize,
        with_coupon: bool,
    ) -> Result<i64, Refusal> {
        self.active(who)?;
        if with_coupon {
            self.coupon(who)?;
        }
        let price = self.price(place, repeat * quantity, with_coupon);
        self.pay(who, price)?;
        if let Err(sold_out) = self.sold_out(place, quantity) {
            self.people[who].balance += price;
            return Err(sold_out);
        }
        self.people[who].coupon_uses += usize::from(with_coupon);
        Ok(price)
    }

    pub(crate) fn trial(&mut self, who: usize, place: usize) -> Result<(), Refusal> {
        self.active(who)?;
        if let Some(last) = self.people[who].trials.get(&place) {
            let retry_after = last.plus(Span::days(30)).since(self.now);
            if retry_after.0 > 0 {
                return Err(Refusal::TrialUsed { retry_after });
            }
        }
        self.sold_out(place, 1)?;
        self.people[who].trials.insert(place, self.now);
        Ok(())
    }

    fn own(&self, who: usize, sub: usize) -> Result<&Sub, Refusal> {
        let sub = &self.subs[sub];
        if sub.owner == who {
            Ok(sub)
        } else {
            Err(Refusal::SubscriptionNotFound)
        }
    }

    /// The new end of a renewal by a plan of `place`, which is paid after this.
    pub(crate) fn renew(
        &mut self,
        who: usize,
        sub: usize,
        place: usize,
        repeat: usize,
        with_coupon: bool,
    ) -> Result<UnixMillis, Refusal> {
        self.active(who)?;
        let held = self.own(who, sub)?.clone();
        if held.place != place {
            return Err(Refusal::NotARenewalPlan);
        }
        if with_coupon {
            self.coupon(who)?;
        }
        let is_exit_taken = |other: &Sub| other.exit == held.exit && other.id != held.id && self.is_running(other);
        let has_lost_its_exit = held.state != SubscriptionState::Active && self.subs.iter().any(is_exit_taken);
        if held.ends_at.plus(GRACE) <= self.now || has_lost_its_exit {
            return Err(Refusal::RenewalTooLate);
        }
        self.pay(who, self.price(place, repeat, with_coupon))?;
        self.people[who].coupon_uses += usize::from(with_coupon);
        let ends_at = held.ends_at.max(self.now).plus(Span(MONTH.0 * number(repeat)));
        self.subs[sub].ends_at = ends_at;
        self.subs[sub].state = SubscriptionState::Active;
        Ok(ends_at)
    }

    pub(crate) fn switch(&mut self, who: usize, sub: usize, place: usize) -> Result<(), Refusal> {
        let held = self.running(who, sub)?;
        if held.place == place {
            return Err(Refusal::SameNetwork);
        }
        self.sold_out(place, 1)?;
        self.subs[sub].place = place;
        Ok(())
    }

    /// A subscription of his that is paid for now.
    pub(crate) fn running(&self, who: usize, sub: usize) -> Result<&Sub, Refusal> {
        let held = self.own(who, sub)?;
        if self.is_running(held) {
            Ok(held)
        } else {
            Err(Refusal::SubscriptionEnded)
        }
    }
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap()
}
