//! The least that an answer of JSON can cost on the same web server: axum, one route, one value that is there already.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde::{Serialize, Serializer};
use serde_json::Value;

/// A value that is written out for each answer, and not copied before.
#[derive(Clone)]
struct Shared(Arc<Value>);

impl Serialize for Shared {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// Answers every GET with the JSON in `file`, until it is killed.
pub(crate) fn run(listen: SocketAddr, file: &Path) -> Result<()> {
    let text = fs::read(file).with_context(|| format!("{}", file.display()))?;
    let value = Shared(Arc::new(serde_json::from_slice(&text)?));
    let answer = get(async |State(value): State<Shared>| Json(value));
    let router = Router::new().fallback(answer).with_state(value);
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(async {
            let listener = tokio::net::TcpListener::bind(listen).await?;
            axum::serve(listener, router).await
        })?;
    Ok(())
}
