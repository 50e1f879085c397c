//! Double entry: immutable postings, each transaction sums to zero, a balance is the sum of an account's postings.
//!
//! A customer's ledger account has the account's own id and a cached balance. The conditional update of that cache is what
//! orders a customer's spending: nobody reads a balance and writes it back.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Serialize;

use crate::account;
use crate::audit_log::{self, Actor};
use crate::auto_renew;
use crate::error::{Refusal, Result};
use crate::note::NOTE_LENGTH;
use crate::notices::{self, News, Subject};
use crate::order::Buyer;
use crate::shop::Shop;
use crate::store::{Row, Tx, Value};
use crate::types::{
    AccountId, Cents, OrderId, OrderKind, SubscriptionId, SubscriptionState, TransactionId, UnixMillis,
};

/// Money from outside: what operators credit comes from here.
const FUNDING: &str = "funding";
/// What orders pay goes here.
const REVENUE: &str = "revenue";

/// What an account can hold: no sum of two such is too large for the column.
const LARGEST: Cents = Cents(i64::MAX / 2);

/// One line of an account's statement.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// When.
    pub at: UnixMillis,
    /// What for: `credit`, `debit`, `purchase`, `renewal`, `trial`, `refund`.
    pub kind: String,
    /// Positive: the account got it.
    pub amount: Cents,
    /// The balance after it.
    pub balance: Cents,
    /// The operator's or the order's note.
    pub note: String,
}

/// Gives an account money (or takes it, where `amount` is negative) from outside; returns the new balance.
///
/// # Errors
/// [`Refusal::UnknownAccount`], [`Refusal::OverDebit`], [`Refusal::BeyondMoney`].
pub async fn adjust(shop: &Shop, actor: impl Into<Actor>, email: &str, amount: Cents, note: &str) -> Result<Cents> {
    adjust_as(shop, actor, email, amount, note, TransactionId::random()).await
}

/// As [`adjust`], with a reason, and once for each `id` however often it is asked for: a form brings its own.
///
/// # Errors
/// [`Refusal::UnfitReason`], [`Refusal::BookedAlready`], and those of [`adjust`].
pub async fn book(
    shop: &Shop,
    actor: impl Into<Actor>,
    email: &str,
    amount: Cents,
    reason: &str,
    id: TransactionId,
) -> Result<Cents> {
    adjust_as(shop, actor, email, amount, fit_reason(reason)?, id).await
}

/// A reason as it is written down.
pub(crate) fn fit_reason(text: &str) -> Result<&str> {
    let reason = text.trim();
    let is_fit = (1..=NOTE_LENGTH).contains(&reason.chars().count()) && !reason.contains(char::is_control);
    if is_fit {
        Ok(reason)
    } else {
        Err(Refusal::UnfitReason.into())
    }
}

async fn adjust_as(
    shop: &Shop,
    actor: impl Into<Actor>,
    email: &str,
    amount: Cents,
    note: &str,
    booking: TransactionId,
) -> Result<Cents> {
    let (owned, actor, email, note) = (shop.clone(), Actor::of(actor), email.to_owned(), note.to_owned());
    shop.store
        .transaction(move |tx| {
            let (now, actor, email, note) = (owned.now(), actor.clone(), email.clone(), note.clone());
            let booking = booking.clone();
            Box::pin(async move {
                let id = account::id_of(tx, &email).await?;
                let kind = if amount.0 < 0 { "debit" } else { "credit" };
                if amount > LARGEST {
                    return Err(Refusal::BeyondMoney(amount).into());
                }
                if !open(tx, &booking, kind, None, &note, now).await? {
                    return Err(Refusal::BookedAlready.into());
                }
                let Some(moved) = move_money(tx, &id, amount).await? else {
                    if amount.0 > 0 {
                        return Err(Refusal::BeyondMoney(amount).into());
                    }
                    return Err(Refusal::OverDebit {
                        balance: balance_of(tx, &id).await?,
                        account: id,
                        amount: Cents(amount.0.saturating_neg()),
                    }
                    .into());
                };
                let balance = moved.balance;
                let posting = Posting {
                    customer: &id,
                    amount,
                    moved,
                    counterpart: FUNDING,
                };
                post(tx, &booking, posting, now).await?;
                if amount.0 > 0 {
                    auto_renew::try_again(tx, &id, now).await?;
                }
                let detail = serde_json::json!({ "cents": amount.0, "note": note });
                audit_log::write(tx, &actor, &format!("account.{kind}"), &email, &detail, now).await?;
                Ok(balance)
            })
        })
        .await
}

/// The sum of all postings, which is zero. It reads the whole ledger.
///
/// # Errors
/// Only the database's.
pub async fn imbalance(shop: &Shop) -> Result<Cents> {
    shop.store
        .read(|tx| {
            Box::pin(async move {
                tx.take_time().await?;
                let sum = "SELECT CAST(COALESCE(SUM(amount_cents), 0) AS BIGINT) AS cents FROM posting";
                Ok(Cents(tx.one(sum, &[]).await?.int("cents")?))
            })
        })
        .await
}

/// What takes an order's price from its buyer: one ledger transaction, even where the price is zero. The values of [`TAKE`], [`OPEN`]
/// and [`POST`], which the order runs with its own.
pub(crate) struct Charge {
    /// Of [`TAKE`].
    pub(crate) take: [Value; 4],
    /// Of [`OPEN`].
    pub(crate) open: [Value; 5],
    /// Of [`POST`].
    pub(crate) post: [Value; 8],
    /// What is left to the buyer.
    pub(crate) balance: Cents,
}

/// Takes the money of a locked buyer, where it is as it was when it was locked.
pub(crate) const TAKE: &str = "UPDATE ledger_account SET balance = balance - $1, postings = postings + 1
     WHERE id = $2 AND balance = $3 AND postings = $4 AND balance >= $1";

/// Begins a ledger transaction. There is one of a kind for an order.
pub(crate) const OPEN: &str =
    "INSERT INTO ledger_transaction (id, kind, order_id, note, created_at) VALUES ($1, $2, $3, $4, $5)";

/// The same where there may be one.
static OPEN_UNLESS_THERE: LazyLock<String> = LazyLock::new(|| format!("{OPEN} ON CONFLICT DO NOTHING"));

/// Writes both its sides.
pub(crate) const POST: &str =
    "INSERT INTO posting (transaction_id, line, ledger_account_id, amount_cents, number, balance_after, created_at)
     VALUES ($1, 1, $2, $3, $4, $5, $6), ($1, 2, $7, $8, NULL, NULL, $6)";

impl Charge {
    /// # Errors
    /// [`Refusal::InsufficientBalance`].
    pub(crate) fn of(buyer: &Buyer, price: Cents, kind: OrderKind, order: &OrderId, now: UnixMillis) -> Result<Self> {
        let (balance, id) = (Cents(buyer.balance.0.saturating_sub(price.0)), TransactionId::random());
        if balance.0 < 0 {
            return Err(Refusal::InsufficientBalance {
                balance: buyer.balance,
                price,
            }
            .into());
        }
        let moved = Moved {
            balance,
            postings: buyer.postings.saturating_add(1),
        };
        let posting = Posting {
            customer: &buyer.account,
            amount: Cents(-price.0),
            moved,
            counterpart: REVENUE,
        };
        Ok(Self {
            take: [
                Value::Int(price.0),
                Value::Text(buyer.account.to_string()),
                Value::Int(buyer.balance.0),
                Value::Int(buyer.postings),
            ],
            open: transaction(&id, kind.as_str(), Some(order), "", now),
            post: posting.values(&id, now),
            balance,
        })
    }
}

/// Gives an order's price back to its buyer, by the reversing entry of its charge; the new balance.
///
/// # Errors
/// [`Refusal::RefundedAlready`], [`Refusal::BeyondMoney`].
pub(crate) async fn give_back(
    tx: &mut Tx,
    buyer: &AccountId,
    price: Cents,
    order: &OrderId,
    note: &str,
    now: UnixMillis,
) -> Result<Cents> {
    let id = TransactionId::random();
    if !open(tx, &id, "refund", Some(order), note, now).await? {
        return Err(Refusal::RefundedAlready.into());
    }
    let moved = move_money(tx, buyer, price).await?.ok_or(Refusal::BeyondMoney(price))?;
    let balance = moved.balance;
    let posting = Posting {
        customer: buyer,
        amount: price,
        moved,
        counterpart: REVENUE,
    };
    post(tx, &id, posting, now).await?;
    Ok(balance)
}

/// Tells a customer whose balance this payment has brought below what he calls low.
pub(crate) async fn tell_if_low(
    shop: &Shop,
    tx: &mut Tx,
    customer: &AccountId,
    price: Cents,
    balance: Cents,
) -> Result<()> {
    if price.0 == 0 || !shop.settings.notices.is_any_open() {
        return Ok(());
    }
    let key = [Value::Text(customer.to_string())];
    let row = tx
        .one("SELECT low_balance_cents FROM account WHERE id = $1", &key)
        .await?;
    let limit = Cents(row.int("low_balance_cents")?);
    let was_low = balance.0.saturating_add(price.0) < limit.0;
    if balance < limit && !was_low {
        notices::tell(
            shop,
            tx,
            Subject::Account(customer),
            News::LowBalance { balance, limit },
        )
        .await?;
    }
    Ok(())
}

/// A customer's account after money has been moved.
struct Moved {
    balance: Cents,
    /// How many postings it has with this one.
    postings: i64,
}

/// Changes a customer's cached balance; absent where it would fall below zero or rise above [`LARGEST`].
async fn move_money(tx: &mut Tx, customer: &AccountId, amount: Cents) -> Result<Option<Moved>> {
    let row = tx
        .optional(
            "UPDATE ledger_account SET balance = balance + $1, postings = postings + 1
             WHERE id = $2 AND balance + $1 BETWEEN 0 AND $3 RETURNING balance, postings",
            &[
                Value::Int(amount.0),
                Value::Text(customer.to_string()),
                Value::Int(LARGEST.0),
            ],
        )
        .await?;
    row.map(|row| {
        Ok(Moved {
            balance: Cents(row.int("balance")?),
            postings: row.int("postings")?,
        })
    })
    .transpose()
}

async fn balance_of(tx: &mut Tx, customer: &AccountId) -> Result<Cents> {
    let row = tx
        .one(
            "SELECT balance FROM ledger_account WHERE id = $1",
            &[Value::Text(customer.to_string())],
        )
        .await?;
    row.int("balance").map(Cents)
}

/// The two sides of a transaction: the customer gets `amount`, the counterpart gives it.
struct Posting<'a> {
    customer: &'a AccountId,
    amount: Cents,
    moved: Moved,
    counterpart: &'static str,
}

/// Begins a ledger transaction; false where there is one of this id, or of this kind for this order.
async fn open(
    tx: &mut Tx,
    id: &TransactionId,
    kind: &str,
    order: Option<&OrderId>,
    note: &str,
    now: UnixMillis,
) -> Result<bool> {
    let opened = tx
        .execute(&OPEN_UNLESS_THERE, &transaction(id, kind, order, note, now))
        .await?;
    Ok(opened > 0)
}

/// The values of [`OPEN`].
fn transaction(id: &TransactionId, kind: &str, order: Option<&OrderId>, note: &str, now: UnixMillis) -> [Value; 5] {
    [
        Value::Text(id.to_string()),
        Value::Text(kind.to_owned()),
        order.map_or(Value::NullText, |order| Value::Text(order.to_string())),
        Value::Text(note.to_owned()),
        Value::Int(now.0),
    ]
}

async fn post(tx: &mut Tx, id: &TransactionId, posting: Posting<'_>, now: UnixMillis) -> Result<()> {
    tx.execute(POST, &posting.values(id, now)).await?;
    Ok(())
}

impl Posting<'_> {
    /// The values of [`POST`].
    fn values(&self, id: &TransactionId, now: UnixMillis) -> [Value; 8] {
        [
            Value::Text(id.to_string()),
            Value::Text(self.customer.to_string()),
            Value::Int(self.amount.0),
            Value::Int(self.moved.postings),
            Value::Int(self.moved.balance.0),
            Value::Int(now.0),
            Value::Text(self.counterpart.to_owned()),
            Value::Int(-self.amount.0),
        ]
    }
}

/// A line of a statement, numbered from 1 with the account's first.
#[derive(Debug, Clone)]
pub struct NumberedLine {
    /// Its number.
    pub number: i64,
    /// The line.
    pub line: Line,
    /// What it paid for, or gave the price back of; absent where an operator booked it by hand.
    pub order: Option<Ordered>,
}

/// The order that a line belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ordered {
    /// Which.
    pub id: OrderId,
    /// The plan's code.
    pub plan: String,
    /// What it gave time to, by port.
    pub subscriptions: Vec<Given>,
}

/// A subscription that an order gave time to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// Which.
    pub id: SubscriptionId,
    /// The port that it has, or had last.
    pub port: i64,
    /// Whether it still holds that port.
    pub is_held: bool,
}

/// A part of an account's own statement: the newest lines below a number (absent: of all), at most `limit`.
///
/// # Errors
/// Only the database's.
pub async fn lines(shop: &Shop, account: &AccountId, below: Option<i64>, limit: i64) -> Result<Vec<NumberedLine>> {
    let account = Value::Text(account.to_string());
    let values = [account, Value::Int(below.unwrap_or(i64::MAX)), Value::Int(limit)];
    shop.store
        .read(move |tx| {
            let values = values.clone();
            Box::pin(async move {
                let rows = tx
                    .all(
                        "SELECT p.number, p.created_at, t.kind, p.amount_cents, p.balance_after, t.note, t.order_id,
                                plan.code AS plan
                         FROM posting p JOIN ledger_transaction t ON t.id = p.transaction_id
                         LEFT JOIN shop_order o ON o.id = t.order_id LEFT JOIN plan ON plan.id = o.plan_id
                         WHERE p.ledger_account_id = $1 AND p.number < $2 ORDER BY p.number DESC LIMIT $3",
                        &values,
                    )
                    .await?;
                let mut lines = rows.iter().map(numbered).collect::<Result<Vec<_>>>()?;
                let (Some(newest), Some(oldest)) = (lines.first(), lines.last()) else {
                    return Ok(lines);
                };
                let [account, ..] = values;
                let part = [account, Value::Int(oldest.number), Value::Int(newest.number)];
                let mut given = given(tx, &part).await?;
                for line in &mut lines {
                    if let Some(order) = &mut line.order {
                        order.subscriptions = given.remove(&line.number).unwrap_or_default();
                    }
                }
                Ok(lines)
            })
        })
        .await
}

/// What the orders of a part of a statement gave time to, by the line's number.
async fn given(tx: &mut Tx, part: &[Value; 3]) -> Result<BTreeMap<i64, Vec<Given>>> {
    let rows = tx
        .all(
            "SELECT p.number, s.id, s.port, s.state
             FROM posting p JOIN ledger_transaction t ON t.id = p.transaction_id
             JOIN order_line l ON l.order_id = t.order_id JOIN subscription s ON s.id = l.subscription_id
             WHERE p.ledger_account_id = $1 AND p.number BETWEEN $2 AND $3 ORDER BY p.number, s.port, s.id",
            part,
        )
        .await?;
    let mut found: BTreeMap<i64, Vec<Given>> = BTreeMap::new();
    for row in &rows {
        found.entry(row.int("number")?).or_default().push(Given {
            id: row.parsed("id")?,
            port: row.int("port")?,
            is_held: row.parsed::<SubscriptionState>("state")? != SubscriptionState::Released,
        });
    }
    Ok(found)
}

fn numbered(row: &Row) -> Result<NumberedLine> {
    let order = row.optional_parsed("order_id")?.zip(row.optional_text("plan")?);
    Ok(NumberedLine {
        number: row.int("number")?,
        line: line(row)?,
        order: order.map(|(id, plan)| Ordered {
            id,
            plan,
            subscriptions: Vec::new(),
        }),
    })
}

fn line(row: &Row) -> Result<Line> {
    Ok(Line {
        at: UnixMillis(row.int("created_at")?),
        kind: row.text("kind")?,
        amount: Cents(row.int("amount_cents")?),
        balance: Cents(row.int("balance_after")?),
        note: row.text("note")?,
    })
}

/// An account's statement, newest first, at most `limit` lines.
///
/// # Errors
/// [`Refusal::UnknownAccount`].
pub async fn statement(shop: &Shop, email: &str, limit: i64) -> Result<Vec<Line>> {
    let email = email.to_owned();
    shop.store
        .read(move |tx| {
            let email = email.clone();
            Box::pin(async move {
                let id = account::id_of(tx, &email).await?;
                let rows = tx
                    .all(
                        "SELECT p.created_at, t.kind, p.amount_cents, p.balance_after, t.note
                         FROM posting p JOIN ledger_transaction t ON t.id = p.transaction_id
                         WHERE p.ledger_account_id = $1 ORDER BY p.number DESC LIMIT $2",
                        &[Value::Text(id.to_string()), Value::Int(limit)],
                    )
                    .await?;
                rows.iter().map(line).collect()
            })
        })
        .await
}
