//! What operators did, for good.

use std::net::IpAddr;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicI64, Ordering};

use serde::Serialize;

use crate::error::{Error, Result};
use crate::search::pattern;
use crate::shop::Shop;
use crate::store::many::{MOST, filled, rows};
use crate::store::{Row, Tx, Value};
use crate::types::{ApiKeyId, ID_LENGTH, UnixMillis, random_lowercase};

/// Who does something that the log tells of, and by what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// `cli:<system user>` or an account's e-mail address.
    pub name: String,
    /// The API key that it was asked with.
    pub key: Option<ApiKeyId>,
    /// The address that a program asked from; absent for the pages and the command line.
    pub source: Option<IpAddr>,
}

impl Actor {
    /// Whoever a verb was given: a name is enough.
    pub(crate) fn of(actor: impl Into<Self>) -> Self {
        actor.into()
    }
}

impl From<&str> for Actor {
    fn from(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            key: None,
            source: None,
        }
    }
}

impl From<&String> for Actor {
    fn from(name: &String) -> Self {
        name.as_str().into()
    }
}

impl From<&Self> for Actor {
    fn from(actor: &Self) -> Self {
        actor.clone()
    }
}

/// One action of an operator.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// When.
    pub at: UnixMillis,
    /// Who: `cli:<system user>` or an operator's e-mail address.
    pub actor: String,
    /// What: `account.create`, `catalogue.apply`, …
    pub action: String,
    /// On what.
    pub subject: String,
    /// JSON, without secrets.
    pub detail: String,
    /// The API key that it was asked with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<ApiKeyId>,
    /// The address that a program asked from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Where it stands in the log.
    #[serde(skip)]
    pub place: Place,
}

/// How many entries this process has written.
static WRITTEN: AtomicI64 = AtomicI64::new(1);

/// Writes an entry in the transaction of what it tells of.
pub(crate) async fn write(
    tx: &mut Tx,
    actor: impl Into<Actor>,
    action: &str,
    subject: &str,
    detail: &serde_json::Value,
    now: UnixMillis,
) -> Result<()> {
    let values = values(&actor.into(), action, subject, detail, now);
    tx.execute(&WRITE_ONE, &values).await?;
    Ok(())
}

/// As [`write`], one entry for each of what `action` was done to, with its detail.
pub(crate) async fn write_all(
    tx: &mut Tx,
    actor: &Actor,
    action: &str,
    done: &[(String, serde_json::Value)],
    now: UnixMillis,
) -> Result<()> {
    for part in done.chunks(MOST) {
        let entries = part
            .iter()
            .map(|(subject, detail)| values(actor, action, subject, detail, now));
        // The last one stands for those that are missing, and is written once.
        let entries: Vec<_> = filled(entries.collect()).concat();
        let written = tx.execute(&WRITE_MOST, &entries).await?;
        if usize::try_from(written) != Ok(part.len()) {
            let due = part.len();
            return Err(Error::Failed(format!(
                "{written} of {due} entries of the audit log were written"
            )));
        }
    }
    Ok(())
}

const COLUMNS: usize = 9;

static WRITE_ONE: LazyLock<String> = LazyLock::new(|| insert(1));

static WRITE_MOST: LazyLock<String> = LazyLock::new(|| format!("{} ON CONFLICT (id) DO NOTHING", insert(MOST)));

fn insert(count: usize) -> String {
    format!(
        "INSERT INTO audit_log (id, at, actor, action, subject, detail, number, api_key, source) VALUES {}",
        rows(count, COLUMNS)
    )
}

/// The values of a new entry.
fn values(actor: &Actor, action: &str, subject: &str, detail: &serde_json::Value, now: UnixMillis) -> [Value; COLUMNS] {
    let optional = |text: Option<String>| text.map_or(Value::NullText, Value::Text);
    [
        Value::Text(random_lowercase(ID_LENGTH)),
        Value::Int(now.0),
        Value::Text(actor.name.clone()),
        Value::Text(action.to_owned()),
        Value::Text(subject.to_owned()),
        Value::Text(detail.to_string()),
        // What this process writes in one millisecond keeps its order.
        Value::Int(WRITTEN.fetch_add(1, Ordering::Relaxed)),
        optional(actor.key.clone().map(String::from)),
        optional(actor.source.map(|source| source.to_string())),
    ]
}

/// The newest entries, at most `limit`.
///
/// # Errors
/// Only the database's.
pub async fn newest(shop: &Shop, limit: i64) -> Result<Vec<Entry>> {
    let search = Search {
        limit,
        ..Search::default()
    };
    Ok(entries(shop, search).await?.0)
}

/// Which entries are looked for, and which part of what is found.
#[derive(Debug, Clone, Default)]
pub struct Search {
    /// Anywhere in who did it, by which key, what he did and on what; empty for all.
    pub text: String,
    /// Those whose action begins so: `account.`, `exit.standing`; empty for all.
    pub action: String,
    /// Those behind this one.
    pub after: Option<Place>,
    /// At most so many.
    pub limit: i64,
}

/// A place in the log, which has the newest entries first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// When it was written.
    pub at: UnixMillis,
    /// Its number among those of that moment.
    pub number: i64,
    /// Its id.
    pub id: String,
}

/// The entries that fit, newest first, and whether there are more.
///
/// # Errors
/// Only the database's.
pub async fn entries(shop: &Shop, search: Search) -> Result<(Vec<Entry>, bool)> {
    let after = search.after.unwrap_or(Place {
        at: UnixMillis(i64::MAX),
        number: 0,
        id: String::new(),
    });
    let action = match search.action.replace('\0', "") {
        all if all.is_empty() => all,
        // Its own `%` and `_` are just letters.
        start => format!("{}%", start.replace('!', "!!").replace('%', "!%").replace('_', "!_")),
    };
    let values = [
        Value::Int(after.at.0),
        Value::Int(after.number),
        Value::Text(after.id.replace('\0', "")),
        Value::Text(pattern(&search.text)),
        Value::Text(action),
        // One more than asked for tells whether there are more.
        Value::Int(search.limit.saturating_add(1)),
    ];
    let mut found: Vec<Entry> = shop
        .store
        .read(move |tx| {
            let values = values.clone();
            Box::pin(async move {
                let rows = tx
                    .all(
                        "SELECT id, at, number, actor, action, subject, detail, api_key, source FROM audit_log
                         WHERE (at, number, id) < ($1, $2, $3)
                           AND ($4 = '' OR LOWER(actor) LIKE $4 ESCAPE '!' OR LOWER(action) LIKE $4 ESCAPE '!'
                                OR LOWER(subject) LIKE $4 ESCAPE '!' OR api_key LIKE $4 ESCAPE '!')
                           AND ($5 = '' OR action LIKE $5 ESCAPE '!')
                         ORDER BY at DESC, number DESC, id DESC LIMIT $6",
                        &values,
                    )
                    .await?;
                rows.iter().map(entry).collect()
            })
        })
        .await?;
    let limit = usize::try_from(search.limit).unwrap_or(usize::MAX);
    let has_more = found.len() > limit;
    found.truncate(limit);
    Ok((found, has_more))
}

fn entry(row: &Row) -> Result<Entry> {
    let at = UnixMillis(row.int("at")?);
    Ok(Entry {
        at,
        actor: row.text("actor")?,
        action: row.text("action")?,
        subject: row.text("subject")?,
        detail: row.text("detail")?,
        key: row.optional_parsed("api_key")?,
        source: row.optional_text("source")?,
        place: Place {
            at,
            number: row.int("number")?,
            id: row.text("id")?,
        },
    })
}
