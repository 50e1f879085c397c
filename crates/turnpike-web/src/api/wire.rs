//! The request's own small types as they are written in JSON: how to read them, and their schema.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use turnpike_shop::address_list::{self, AddressList};
use turnpike_shop::rotation::{LinkName, NotAName};
use turnpike_shop::types::{
    AccountStatus, ApiKeyId, Cents, LinkKind, Quantity, RepeatCount, Role, RotationPolicy, SubscriptionId, UnixMillis,
    UnknownWord,
};
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};

const ID_RULE: &str = "it must be 24 lowercase letters and digits";
/// The longest coupon code that can exist.
const COUPON_LENGTH: usize = 64;
/// What a cursor must be.
pub(super) const CURSOR_RULE: &str = "it must be the nextCursor of the page before";
/// The most that is moved by hand at once, in cents: a thousand million.
const MOST_MOVED: i64 = 100_000_000_000;
/// The longest page.
const MAX_LIMIT: i64 = 100;
/// A page where its length is not said.
pub(super) const USUAL_LIMIT: i64 = 50;
/// The longest text that is looked for.
const SEARCH_LENGTH: usize = 254;
/// The most days that are told at once.
const MAX_DAYS: i64 = 366;
/// The largest number of milliseconds: the year 2286, in which nobody means seconds.
const LAST_MOMENT: i64 = 9_999_999_999_999;

/// An id.
pub(crate) fn id<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<String>,
{
    let text = String::deserialize(deserializer).map_err(|_| D::Error::custom(ID_RULE))?;
    T::try_from(text).map_err(|_| D::Error::custom(ID_RULE))
}

/// An id that may be left out.
pub(crate) fn optional_id<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<String>,
{
    id(deserializer).map(Some)
}

pub(crate) fn id_schema() -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some("^[a-z0-9]{24}$"))
        .examples(["k17m3q5v7n9p1r2t4w6y8z0a"])
        .into()
}

/// As [`id_schema`], where null says as much as nothing.
pub(crate) fn optional_id_schema() -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(SchemaType::from_iter([Type::String, Type::Null]))
        .pattern(Some("^[a-z0-9]{24}$"))
        .examples(["k17m3q5v7n9p1r2t4w6y8z0a"])
        .into()
}

/// A whole number and nothing that merely looks like one: no `2.0`, no `"2"`, no `true`.
fn whole_number<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<u64>,
    T::Error: std::fmt::Display + RuleOf<T>,
{
    let number = Value::deserialize(deserializer)?.as_u64();
    number
        .ok_or_else(|| D::Error::custom(T::Error::RULE))
        .and_then(|number| T::try_from(number).map_err(D::Error::custom))
}

/// The sentence for what is not even a whole number.
trait RuleOf<T> {
    const RULE: &'static str;
}

impl RuleOf<Quantity> for turnpike_shop::types::OutOfRange {
    const RULE: &'static str = "it must be a whole number from 1 to 100";
}

impl RuleOf<RepeatCount> for turnpike_shop::types::OutOfRange {
    const RULE: &'static str = "it must be a whole number from 1 to 100";
}

impl RuleOf<RotationPolicy> for turnpike_shop::types::NotAPolicy {
    const RULE: &'static str = "it must be 0, 5, 10, 15, 30 or 60 (minutes)";
}

pub(crate) fn quantity<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Quantity, D::Error> {
    whole_number(deserializer)
}

pub(crate) fn repeat_count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<RepeatCount, D::Error> {
    whole_number(deserializer)
}

pub(crate) fn rotation_policy<'de, D: Deserializer<'de>>(deserializer: D) -> Result<RotationPolicy, D::Error> {
    whole_number(deserializer)
}

pub(crate) fn one_quantity() -> Quantity {
    Quantity::ONE
}

pub(crate) fn one_repeat() -> RepeatCount {
    RepeatCount::ONE
}

pub(crate) fn count_schema() -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(1))
        .maximum(Some(100))
        .default(Some(Value::from(1)))
        .into()
}

pub(crate) fn rotation_policy_schema() -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .enum_values(Some(RotationPolicy::ALLOWED))
        .into()
}

/// A discount code. What it is worth is the shop's to say; here it must be something that can be a code.
pub(crate) fn coupon<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let rule = || {
        D::Error::custom(format_args!(
            "it must be a text of 1 to {COUPON_LENGTH} printable characters"
        ))
    };
    let code = String::deserialize(deserializer).map_err(|_| rule())?;
    // PostgreSQL, for one, cannot even compare a text that has a NUL.
    if code.trim().is_empty() || code.chars().count() > COUPON_LENGTH || code.contains(char::is_control) {
        return Err(rule());
    }
    Ok(Some(code))
}

pub(crate) fn coupon_schema() -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(COUPON_LENGTH))
        .pattern(Some(r"^[^\u0000-\u001f\u007f-\u009f]*$"))
        .examples(["MYCODE"])
        .into()
}

/// The length of a page, out of a query: 1 to 100.
pub(crate) fn limit<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    number_of_query(deserializer, MAX_LIMIT)
}

/// How many days, out of a query: 1 to 366.
pub(super) fn days<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    number_of_query(deserializer, MAX_DAYS)
}

fn number_of_query<'de, D: Deserializer<'de>>(deserializer: D, most: i64) -> Result<Option<i64>, D::Error> {
    let text = String::deserialize(deserializer)?;
    match digits(&text) {
        Some(number) if (1..=most).contains(&number) => Ok(Some(number)),
        _ => Err(D::Error::custom(format_args!(
            "it must be a whole number from 1 to {most}"
        ))),
    }
}

/// A number in digits alone.
pub(super) fn digits(text: &str) -> Option<i64> {
    let digits_only = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits_only)
}

/// Where a page of numbered lines begins.
pub(super) fn number_cursor<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let number = digits(&text).ok_or_else(|| D::Error::custom(CURSOR_RULE))?;
    Ok(Some(number))
}

pub(super) fn number_cursor_schema() -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some("^[0-9]{1,18}$"))
        .examples(["51"])
        .into()
}

/// Where a page of a list by moments begins.
pub(super) fn place_cursor<'de, D, T>(deserializer: D) -> Result<Option<(UnixMillis, T)>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<String>,
{
    let text = String::deserialize(deserializer)?;
    let place = text
        .split_once('.')
        .and_then(|(at, id)| Some((UnixMillis(digits(at)?), T::try_from(id.to_owned()).ok()?)));
    place.map(Some).ok_or_else(|| D::Error::custom(CURSOR_RULE))
}

/// What [`place_cursor`] reads.
pub(super) fn place(at: UnixMillis, id: &str) -> String {
    format!("{}.{id}", at.0)
}

pub(super) fn place_cursor_schema() -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some("^[0-9]{1,18}\\.[a-z0-9]{24}$"))
        .examples(["1760000000000.k17m3q5v7n9p1r2t4w6y8z0a"])
        .into()
}

/// One of a few words.
pub(super) fn word<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: std::str::FromStr<Err = UnknownWord>,
{
    let value = Value::deserialize(deserializer)?;
    let read = value.as_str().unwrap_or_default().parse();
    read.map_err(|UnknownWord { allowed, .. }| {
        D::Error::custom(format_args!("it must be one of {}", allowed.join(", ")))
    })
}

/// One of a few words, which may be left out.
pub(super) fn optional_word<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: std::str::FromStr<Err = UnknownWord>,
{
    word(deserializer).map(Some)
}

pub(super) fn role_schema() -> RefOr<Schema> {
    words_schema([Role::Customer, Role::Operator].map(Role::as_str))
}

pub(super) fn status_schema() -> RefOr<Schema> {
    words_schema([AccountStatus::Active, AccountStatus::Suspended].map(AccountStatus::as_str))
}

/// Money that is moved by hand: above zero.
pub(super) fn amount<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Cents, D::Error> {
    match Value::deserialize(deserializer)?.as_i64() {
        Some(cents @ 1..=MOST_MOVED) => Ok(Cents(cents)),
        _ => Err(D::Error::custom(format_args!(
            "it must be a whole number of cents from 1 to {MOST_MOVED}"
        ))),
    }
}

pub(super) fn amount_schema() -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(1))
        .maximum(Some(MOST_MOVED))
        .examples([1_000])
        .into()
}

/// A whole number that is not below zero; how large it may be is the shop's to say.
pub(super) fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let number = Value::deserialize(deserializer)?.as_i64().filter(|number| *number >= 0);
    number.ok_or_else(|| D::Error::custom("it must be a whole number, not below zero"))
}

/// The same, which may be left out.
pub(super) fn optional_count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    count(deserializer).map(Some)
}

/// What fits on a page of this length, and where the next begins; the verb was asked for one more than fits.
pub(super) fn page<T>(mut all: Vec<T>, limit: i64, cursor: impl Fn(&T) -> String) -> (Vec<T>, Option<String>) {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = all.len() > limit;
    all.truncate(limit);
    let next = all.last().filter(|_| has_more).map(cursor);
    (all, next)
}

/// True or false and nothing that merely looks like it.
pub(super) fn boolean<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    let value = Value::deserialize(deserializer)?.as_bool();
    value.ok_or_else(|| D::Error::custom("it must be true or false"))
}

pub(super) fn yes() -> bool {
    true
}

/// A text; what it may hold is the shop's to say.
pub(super) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    String::deserialize(deserializer).map_err(|_| D::Error::custom("it must be a text"))
}

/// What is looked for; it may be left out.
pub(super) fn search<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    match text.chars().count() <= SEARCH_LENGTH {
        true => Ok(text),
        false => Err(D::Error::custom(format_args!(
            "it must have at most {SEARCH_LENGTH} characters"
        ))),
    }
}

/// A plan's or coupon's code.
pub(super) fn code<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let rule = || D::Error::custom("it must be 1 to 64 letters, digits, dots, dashes and underscores");
    let text = String::deserialize(deserializer).map_err(|_| rule())?;
    is_code(&text).then_some(text).ok_or_else(rule)
}

/// Whether a text can be a code, or a name, of a catalogue.
pub(super) fn is_code(text: &str) -> bool {
    let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    (1..=64).contains(&text.len()) && text.bytes().all(is_fit)
}

/// A length of time as a catalogue writes it. How long it may be is the shop's to say.
pub(super) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let rule = || D::Error::custom("it must be a whole number and s, m, h or d, such as 30d");
    let text = String::deserialize(deserializer).map_err(|_| rule())?;
    let number = text.strip_suffix(['s', 'm', 'h', 'd']).unwrap_or_default();
    let is_fit = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    is_fit.then_some(text).ok_or_else(rule)
}

/// Which difference was looked at.
pub(super) fn digest<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let rule = || D::Error::custom("it must be the seen of the answer that you have looked at");
    let text = String::deserialize(deserializer).map_err(|_| rule())?;
    let is_fit = text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    is_fit.then_some(Some(text)).ok_or_else(rule)
}

/// A moment.
pub(super) fn moment<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<UnixMillis>, D::Error> {
    match Value::deserialize(deserializer)?.as_i64() {
        Some(millis @ 0..=LAST_MOMENT) => Ok(Some(UnixMillis(millis))),
        _ => Err(D::Error::custom("it must be a whole number of milliseconds since 1970")),
    }
}

pub(super) fn moment_schema() -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(0))
        .maximum(Some(LAST_MOMENT))
        .examples([1_900_000_000_000_i64])
        .into()
}

/// An API key's id.
pub(super) fn key_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ApiKeyId, D::Error> {
    let rule = || D::Error::custom("it must be 12 lowercase letters and digits");
    let text = String::deserialize(deserializer).map_err(|_| rule())?;
    ApiKeyId::try_from(text).map_err(|_| rule())
}

pub(super) fn key_id_schema() -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some("^[a-z0-9]{12}$"))
        .examples(["k17m3q5v7n9p"])
        .into()
}

/// Where a page begins: what the page before gave as `nextCursor`.
pub(crate) fn cursor<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SubscriptionId>, D::Error> {
    let text = String::deserialize(deserializer)?;
    SubscriptionId::try_from(text)
        .map(Some)
        .map_err(|_| D::Error::custom(CURSOR_RULE))
}

/// A link's name.
pub(crate) fn link_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<LinkName, D::Error> {
    let text = String::deserialize(deserializer).map_err(|_| D::Error::custom(NotAName))?;
    LinkName::try_from(text).map_err(D::Error::custom)
}

pub(crate) fn link_name_schema() -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(64))
        .pattern(Some(r"^[^\u0000-\u001f\u007f-\u009f]*$"))
        .examples(["the van's driver"])
        .into()
}

/// What a link does.
pub(crate) fn link_kind<'de, D: Deserializer<'de>>(deserializer: D) -> Result<LinkKind, D::Error> {
    LinkKind::deserialize(deserializer).map_err(|_| D::Error::custom("it must be rotate or status"))
}

pub(crate) fn rotating_link() -> LinkKind {
    LinkKind::Rotate
}

pub(crate) fn link_kind_schema() -> RefOr<Schema> {
    words_schema([LinkKind::Rotate, LinkKind::Status].map(LinkKind::as_str))
}

/// A list of addresses and networks.
pub(crate) fn address_list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<AddressList, D::Error> {
    let rule = "it must be a list of addresses and networks, such as [\"192.0.2.7\", \"198.51.100.0/24\"]";
    let entries = Vec::<String>::deserialize(deserializer).map_err(|_| D::Error::custom(rule))?;
    AddressList::parse(&entries).map_err(D::Error::custom)
}

/// A list of addresses and networks that may be left out.
pub(super) fn optional_address_list<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<AddressList>, D::Error> {
    address_list(deserializer).map(Some)
}

pub(crate) fn address_list_schema() -> RefOr<Schema> {
    ArrayBuilder::new()
        .items(
            ObjectBuilder::new()
                .schema_type(Type::String)
                .examples(["198.51.100.0/24"]),
        )
        .max_items(Some(address_list::MOST))
        .into()
}

/// The schema of one of a few words.
pub(crate) fn words_schema<const N: usize>(words: [&'static str; N]) -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(words))
        .into()
}
