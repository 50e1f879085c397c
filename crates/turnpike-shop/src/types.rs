//! The shop's own kinds of value: ids, money, times, and the small numbers that a customer may choose.
//!
//! Each can only hold what is allowed, so nothing behind the edge checks twice.

use std::fmt;
use std::time::Duration;

use rand::RngExt as _;
use serde::{Deserialize, Serialize};

/// Length of an id, in lowercase letters and digits.
pub const ID_LENGTH: usize = 24;
/// Length of an API key's id: it is written out in the key, which is long enough as it is.
pub(crate) const API_KEY_ID_LENGTH: usize = 12;
const ID_ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";

/// `length` characters drawn evenly from lowercase letters and digits.
#[must_use]
pub fn random_lowercase(length: usize) -> String {
    let mut rng = rand::rng();
    (0..length)
        .map(|_| char::from(ID_ALPHABET[rng.random_range(0..ID_ALPHABET.len())]))
        .collect()
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident: $length:expr;)+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// A new one.
            #[must_use]
            pub fn random() -> Self {
                Self(random_lowercase($length))
            }

            /// Its characters.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = MalformedId;

            fn try_from(text: String) -> Result<Self, MalformedId> {
                let well_formed = text.len() == $length
                    && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
                if well_formed { Ok(Self(text)) } else { Err(MalformedId) }
            }
        }

        impl std::str::FromStr for $name {
            type Err = MalformedId;

            fn from_str(text: &str) -> Result<Self, MalformedId> {
                Self::try_from(text.to_owned())
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )+};
}

ids! {
    /// A customer's or an operator's account.
    AccountId: ID_LENGTH;
    /// An API key, without its secret.
    ApiKeyId: API_KEY_ID_LENGTH;
    /// A network that customers choose.
    NetworkId: ID_LENGTH;
    /// One way out to the internet.
    ExitId: ID_LENGTH;
    /// Something sold.
    PlanId: ID_LENGTH;
    /// A discount code.
    CouponId: ID_LENGTH;
    /// One purchase, renewal or trial.
    OrderId: ID_LENGTH;
    /// Something bought.
    SubscriptionId: ID_LENGTH;
    /// One wish to rotate an exit.
    RotationId: ID_LENGTH;
    /// A link that rotates a subscription's exit, or tells how it stands.
    LinkId: ID_LENGTH;
    /// A browser that is signed in.
    SessionId: ID_LENGTH;
    /// A ledger transaction.
    TransactionId: ID_LENGTH;
    /// Something that an account is told.
    NoticeId: ID_LENGTH;
    /// One way out of a notice.
    DeliveryId: ID_LENGTH;
    /// Where an account's notices are called.
    WebhookId: ID_LENGTH;
}

impl SubscriptionId {
    /// New ones for what one order opens, by position. What began in the same moment is listed by id, so that lists keep to the order
    /// in which it was opened, which is that of the order's answer.
    pub(crate) fn ascending(count: i64) -> Vec<Self> {
        let mut ids: Vec<_> = (0..count).map(|_| Self::random()).collect();
        ids.sort_unstable();
        ids
    }
}

/// Not an id: ids are lowercase letters and digits, 24 of them (an API key's 12).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an id is 24 lowercase letters and digits")]
pub struct MalformedId;

/// Money, in whole cents of the shop's one currency. Never negative except in the ledger's postings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cents(pub i64);

impl fmt::Display for Cents {
    /// `12.34`, with a leading minus where it is negative.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let cents = self.0.unsigned_abs();
        write!(f, "{sign}{}.{:02}", cents / 100, cents % 100)
    }
}

/// A moment, in milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixMillis(pub i64);

impl UnixMillis {
    /// This moment and `span` more; stops at the largest moment.
    #[must_use]
    pub fn plus(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }

    /// This moment less `span`; stops at the smallest moment.
    #[must_use]
    pub fn minus(self, span: Span) -> Self {
        Self(self.0.saturating_sub(span.0))
    }

    /// How long after `earlier` this is; negative where it is before.
    #[must_use]
    pub fn since(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

/// A length of time, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Span(pub i64);

impl Span {
    /// `count` seconds.
    #[must_use]
    pub const fn seconds(count: i64) -> Self {
        Self(count * 1_000)
    }

    /// `count` minutes.
    #[must_use]
    pub const fn minutes(count: i64) -> Self {
        Self::seconds(count * 60)
    }

    /// `count` hours.
    #[must_use]
    pub const fn hours(count: i64) -> Self {
        Self::minutes(count * 60)
    }

    /// `count` days of 24 hours.
    #[must_use]
    pub const fn days(count: i64) -> Self {
        Self::hours(count * 24)
    }

    /// The same as a [`Duration`]; zero where it is negative.
    #[must_use]
    pub fn to_duration(self) -> Duration {
        Duration::from_millis(u64::try_from(self.0).unwrap_or(0))
    }
}

impl fmt::Display for Span {
    /// In the largest unit that fits evenly, as the catalogue spells it: `30d`, `90m`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (size, unit) = [
            (Self::days(1).0, "d"),
            (Self::hours(1).0, "h"),
            (Self::minutes(1).0, "m"),
            (Self::seconds(1).0, "s"),
        ]
        .into_iter()
        .find(|(size, _)| self.0 % size == 0 && self.0 != 0)
        .unwrap_or((1, "ms"));
        write!(f, "{}{unit}", self.0 / size)
    }
}

/// How many subscriptions of one plan an order makes: 1 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Quantity(u8);

/// By how much an order multiplies a plan's duration and price: 1 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RepeatCount(u8);

/// A count outside 1 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it must be a whole number from 1 to 100")]
pub struct OutOfRange;

macro_rules! counts {
    ($($name:ident),+) => {$(
        impl $name {
            /// The usual one.
            pub const ONE: Self = Self(1);

            /// The number itself.
            #[must_use]
            pub fn value(self) -> i64 {
                i64::from(self.0)
            }
        }

        impl TryFrom<u64> for $name {
            type Error = OutOfRange;

            fn try_from(number: u64) -> Result<Self, OutOfRange> {
                match u8::try_from(number) {
                    Ok(count @ 1..=100) => Ok(Self(count)),
                    _ => Err(OutOfRange),
                }
            }
        }
    )+};
}
counts!(Quantity, RepeatCount);

/// How often an exit rotates by itself: never, or every 5, 10, 15, 30 or 60 minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RotationPolicy(u8);

impl RotationPolicy {
    /// Never by itself.
    pub const OFF: Self = Self(0);
    /// Every value that is allowed, in minutes.
    pub const ALLOWED: [u8; 6] = [0, 5, 10, 15, 30, 60];

    /// The interval in minutes, 0 for never.
    #[must_use]
    pub fn minutes(self) -> i64 {
        i64::from(self.0)
    }

    /// The interval, absent for never.
    #[must_use]
    pub fn interval(self) -> Option<Span> {
        (self.0 > 0).then(|| Span::minutes(self.minutes()))
    }
}

impl TryFrom<u64> for RotationPolicy {
    type Error = NotAPolicy;

    fn try_from(minutes: u64) -> Result<Self, NotAPolicy> {
        Self::ALLOWED
            .into_iter()
            .find(|allowed| u64::from(*allowed) == minutes)
            .map(Self)
            .ok_or(NotAPolicy)
    }
}

/// Minutes that are not one of the allowed intervals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it must be 0, 5, 10, 15, 30 or 60 (minutes)")]
pub struct NotAPolicy;

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? })+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$vdoc])* #[serde(rename = $word)] $variant),+
        }

        impl $name {
            /// Its word, as the store, the catalogue and the API spell it.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl std::str::FromStr for $name {
            type Err = UnknownWord;

            fn from_str(word: &str) -> Result<Self, UnknownWord> {
                match word {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(UnknownWord { word: word.to_owned(), allowed: &[$($word),+] }),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    )+};
}

/// A word where one of a few was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{word}\" is not one of {}", allowed.join(", "))]
pub struct UnknownWord {
    /// What was given.
    pub word: String,
    /// What would have been understood.
    pub allowed: &'static [&'static str],
}

words! {
    /// What an account is told.
    NoticeKind {
        /// A subscription ends soon.
        Ending = "subscription.ending",
        /// A subscription has ended.
        Ended = "subscription.ended",
        /// A subscription was renewed.
        Renewed = "subscription.renewed",
        /// A subscription could not renew itself.
        RenewalFailed = "subscription.renewal_failed",
        /// The balance has fallen below what the account calls low.
        LowBalance = "balance.low",
        /// Somebody has signed in.
        SignedIn = "account.signed_in",
        /// A subscription's exit has another address.
        Rotated = "exit.rotated",
        /// A webhook is tried out.
        Test = "webhook.test",
    }
    /// By which way an account is told something.
    NoticeWay {
        /// By e-mail.
        Email = "email",
        /// By a signed call to its webhooks.
        Webhook = "webhook",
    }
    /// How a delivery stands.
    DeliveryState {
        /// It is tried, or tried again.
        Waiting = "waiting",
        /// It has arrived.
        Delivered = "delivered",
        /// It was given up.
        Failed = "failed",
    }
    /// Whether a subscription has its exit to itself.
    ConnectionType {
        /// The whole exit.
        Private = "private",
        /// One slot of an exit kept for sharing.
        Shared = "shared",
    }

    /// What kind of line a network's exits have.
    NetworkType {
        /// 4G and 5G modems.
        Mobile = "mobile",
        /// Home lines.
        Residential = "residential",
        /// Servers.
        Datacenter = "datacenter",
        /// Addresses registered to an internet provider.
        Isp = "isp",
    }

    /// What an account may do.
    Role {
        /// Buys and uses.
        Customer = "customer",
        /// Runs the shop.
        Operator = "operator",
    }

    /// Whether an account may act.
    AccountStatus {
        /// It may.
        Active = "active",
        /// An operator has stopped it; its ports are closed.
        Suspended = "suspended",
    }

    /// Where a subscription stands.
    SubscriptionState {
        /// Paid for and running.
        Active = "active",
        /// Ended; its port is held until the grace period is over.
        Expired = "expired",
        /// Ended for good.
        Released = "released",
    }

    /// Whether an exit gets out.
    Health {
        /// Not tried yet.
        Unknown = "unknown",
        /// It does.
        Up = "up",
        /// It does not.
        Down = "down",
    }

    /// What an operator has decided about an exit.
    ExitStanding {
        /// It is sold and served.
        Open = "open",
        /// It is not sold any more; whoever has it keeps it.
        Draining = "draining",
        /// It serves nobody.
        Disabled = "disabled",
    }

    /// What a link does.
    LinkKind {
        /// It gives the exit a new address.
        Rotate = "rotate",
        /// It tells how the exit stands, and changes nothing.
        Status = "status",
    }

    /// What an order was for.
    OrderKind {
        /// New subscriptions.
        Purchase = "purchase",
        /// More time for one.
        Renewal = "renewal",
        /// A free, short one.
        Trial = "trial",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_written_in_its_largest_even_unit() {
        for (span, text) in [
            (Span::days(30), "30d"),
            (Span::hours(36), "36h"),
            (Span::minutes(90), "90m"),
            (Span::seconds(61), "61s"),
            (Span(1_500), "1500ms"),
            (Span(0), "0ms"),
        ] {
            assert_eq!(span.to_string(), text);
        }
    }
}
