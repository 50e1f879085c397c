//! Named checks for `/readyz`. The server adds the database itself; the binary adds what only it knows (gateway listeners).

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use serde::Serialize;
use turnpike_shop::Shop;
use utoipa::ToSchema;

type Check = Arc<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// A check that has not answered by then has failed: whoever asks has a deadline of his own.
const PATIENCE: Duration = Duration::from_secs(2);

/// The checks that decide whether this process should be sent work.
#[derive(Clone, Default)]
pub struct Readiness {
    checks: Vec<(String, Check)>,
}

impl Readiness {
    /// No checks yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a check: Ok, or a sentence that says what is wrong. It should be quick; it has failed after two seconds.
    #[must_use]
    pub fn with<F, Fut>(mut self, name: &str, check: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.checks.push((name.to_owned(), Arc::new(move || Box::pin(check()))));
        self
    }

    /// Runs all checks at once, the database's first in the list.
    pub(crate) async fn run(&self, shop: &Shop) -> Vec<Finding> {
        let database = Finding::of("database", async {
            shop.ping().await.map_err(|error| {
                tracing::warn!(%error, "the database does not answer");
                "it does not answer".to_owned()
            })
        });
        let others = self.checks.iter().map(|(name, check)| Finding::of(name, check()));
        let (database, others) = tokio::join!(database, join_all(others));
        std::iter::once(database).chain(others).collect()
    }
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Finding {
    name: String,
    ok: bool,
    /// What is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    detail: Option<String>,
}

impl Finding {
    async fn of(name: &str, check: impl Future<Output = Result<(), String>>) -> Self {
        let result = tokio::time::timeout(PATIENCE, check)
            .await
            .unwrap_or_else(|_| Err(format!("no answer within {} s", PATIENCE.as_secs())));
        Self {
            name: name.to_owned(),
            ok: result.is_ok(),
            detail: result.err(),
        }
    }

    pub(crate) fn is_passed(&self) -> bool {
        self.ok
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.detail {
            None => writeln!(f, "{}: ok", self.name),
            Some(detail) => writeln!(f, "{}: failed: {detail}", self.name),
        }
    }
}
