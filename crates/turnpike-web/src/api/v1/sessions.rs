//! `/api/v1/sessions`: browsers that are signed in.

use http::Method;
use serde::{Deserialize, Serialize};
use turnpike_shop::session::{self, Session};
use turnpike_shop::types::SessionId;
use utoipa::ToSchema;

use super::Endpoint;
use crate::api::{Context, wire};
use crate::error::ApiError;
use crate::principal::{Owner, Reader};
use crate::response::{Done, True};

/// Browsers that are signed in to your account, the one used last first.
#[derive(Deserialize, ToSchema)]
pub(crate) struct ListSessions {}

/// Sessions.
#[derive(Serialize, ToSchema)]
pub(crate) struct SessionsAnswer {
    ok: True,
    sessions: Vec<SessionItem>,
}

/// A browser that is signed in.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SessionItem {
    #[schema(schema_with = wire::id_schema)]
    session_id: String,
    /// When it began, in Unix milliseconds.
    created_at: i64,
    /// When it was used last, to the minute.
    seen_at: i64,
    /// The address that it began from.
    #[schema(example = "203.0.113.7")]
    source: String,
    /// What the browser calls itself.
    agent: String,
}

impl From<Session> for SessionItem {
    fn from(session: Session) -> Self {
        Self {
            session_id: session.id.into(),
            created_at: session.created_at.0,
            seen_at: session.seen_at.0,
            source: session.source,
            agent: session.agent,
        }
    }
}

impl Endpoint for ListSessions {
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/api/v1/sessions";
    const NAME: &'static str = "listSessions";
    type Caller = Reader;
    type Answer = SessionsAnswer;

    async fn call(self, reader: Reader, context: &Context<'_>) -> Result<SessionsAnswer, ApiError> {
        let sessions = session::list(&context.app.shop, reader.account()).await?;
        Ok(SessionsAnswer {
            ok: True,
            sessions: sessions.into_iter().map(SessionItem::from).collect(),
        })
    }
}

/// Signs a browser out; one that is signed out already stays so. It takes a token of `/api/auth/token`.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EndSession {
    #[serde(deserialize_with = "wire::id")]
    #[schema(schema_with = wire::id_schema)]
    session_id: SessionId,
}

impl Endpoint for EndSession {
    const METHOD: Method = Method::DELETE;
    const PATH: &'static str = "/api/v1/sessions/{sessionId}";
    const NAME: &'static str = "endSession";
    type Caller = Owner;
    type Answer = Done;

    async fn call(self, owner: Owner, context: &Context<'_>) -> Result<Done, ApiError> {
        session::revoke(&context.app.shop, owner.account(), &self.session_id).await?;
        Ok(Done::default())
    }
}
