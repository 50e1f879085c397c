//! One request for a page: who asks, what was sent, and how to answer.

use std::future::Future;
use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::body::Body;
use axum::extract::{RawPathParams, Request, State};
use axum::response::Response;
use axum::routing::{MethodRouter, any};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use secrecy::SecretString;
use turnpike_shop::session::{self, Origin, Session};
use turnpike_shop::types::Role;
use turnpike_shop::{Error as ShopError, Refusal, account};

use super::cookies::Jar;
use super::form::Fields;
use super::frame::{Frame, Person, Place};
use super::texts::Notice;
use super::trouble::{self, Trouble};
use super::visitor::Visitor;
use crate::app::{App, note};
use crate::error::ApiError;
use crate::json::MAX_BODY;
use crate::visit::Visit;

/// What a page may do: run our own script and style, and send forms to us. Nothing inline, nothing from elsewhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Where a browser is sent that is nowhere else at home.
const BEGINNING: &str = "/overview";

/// What a handler comes to.
pub(crate) type Outcome = Result<Response, Trouble>;

/// A request for a page.
pub(crate) struct Desk {
    pub(crate) app: Arc<App>,
    pub(crate) visit: Arc<Visit>,
    pub(crate) head: Parts,
    /// Who asks, where that is known.
    pub(crate) session: Option<Session>,
    /// The cookie's token.
    pub(crate) token: String,
    /// What the form, or the query of a GET, says.
    pub(crate) fields: Fields,
    path: Vec<(String, String)>,
    /// The page that the form stands on, as its route is written.
    stands_on: &'static str,
}

/// A page that is only looked at.
pub(crate) fn page<C, F, R>(show: F) -> MethodRouter<Arc<App>>
where
    C: Visitor,
    F: Fn(C, Desk) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Outcome> + Send + 'static,
{
    route(Offer {
        get: Some(show),
        post: None::<fn(C, Desk) -> R>,
        most: MAX_BODY,
        stands_on: BEGINNING,
    })
}

/// What only takes a form.
pub(crate) fn action<C, F, R>(act: F) -> MethodRouter<Arc<App>>
where
    C: Visitor,
    F: Fn(C, Desk) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Outcome> + Send + 'static,
{
    action_on(BEGINNING, act)
}

/// The same whose form stands on the page of the route `stands_on`: whoever has to give his password first comes back to it.
pub(crate) fn action_on<C, F, R>(stands_on: &'static str, act: F) -> MethodRouter<Arc<App>>
where
    C: Visitor,
    F: Fn(C, Desk) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Outcome> + Send + 'static,
{
    route(Offer {
        get: None::<fn(C, Desk) -> R>,
        post: Some(act),
        most: MAX_BODY,
        stands_on,
    })
}

/// A page with a form that is sent to the same path.
pub(crate) fn form<C, D, F, G, R, S>(show: F, act: G) -> MethodRouter<Arc<App>>
where
    C: Visitor,
    D: Visitor,
    F: Fn(C, Desk) -> R + Clone + Send + Sync + 'static,
    G: Fn(D, Desk) -> S + Clone + Send + Sync + 'static,
    R: Future<Output = Outcome> + Send + 'static,
    S: Future<Output = Outcome> + Send + 'static,
{
    large_form(MAX_BODY, show, act)
}

/// The same, with a form that may have up to `most` bytes where an operator sends it.
pub(crate) fn large_form<C, D, F, G, R, S>(most: usize, show: F, act: G) -> MethodRouter<Arc<App>>
where
    C: Visitor,
    D: Visitor,
    F: Fn(C, Desk) -> R + Clone + Send + Sync + 'static,
    G: Fn(D, Desk) -> S + Clone + Send + Sync + 'static,
    R: Future<Output = Outcome> + Send + 'static,
    S: Future<Output = Outcome> + Send + 'static,
{
    route(Offer {
        get: Some(show),
        post: Some(act),
        most,
        stands_on: BEGINNING,
    })
}

/// What a path answers to.
#[derive(Clone)]
struct Offer<F, G> {
    get: Option<F>,
    post: Option<G>,
    /// The largest form that an operator may send here, in bytes; everybody else's has at most [`MAX_BODY`].
    most: usize,
    /// The page with the form, as its route is written.
    stands_on: &'static str,
}

fn route<C, D, F, G, R, S>(offer: Offer<F, G>) -> MethodRouter<Arc<App>>
where
    C: Visitor,
    D: Visitor,
    F: Fn(C, Desk) -> R + Clone + Send + Sync + 'static,
    G: Fn(D, Desk) -> S + Clone + Send + Sync + 'static,
    R: Future<Output = Outcome> + Send + 'static,
    S: Future<Output = Outcome> + Send + 'static,
{
    any(move |State(app), Extension(visit), path, request| serve(app, visit, path, request, offer))
}

async fn serve<C, D, F, G, R, S>(
    app: Arc<App>,
    visit: Arc<Visit>,
    path: RawPathParams,
    request: Request,
    offer: Offer<F, G>,
) -> Response
where
    C: Visitor,
    D: Visitor,
    F: Fn(C, Desk) -> R + Send + Sync,
    G: Fn(D, Desk) -> S + Send + Sync,
    R: Future<Output = Outcome> + Send,
    S: Future<Output = Outcome> + Send,
{
    let (head, body) = request.into_parts();
    let jar = Jar::new(&app.config.public_url);
    let has_notice = jar.notice(&head.headers).is_some();
    let path = path
        .iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let deadline = app.config.rotation_deadline;
    let work = async {
        let desk = Desk {
            stands_on: offer.stands_on,
            ..Desk::open(app, Arc::clone(&visit), head, path, (body, offer.most)).await?
        };
        let again = desk.again();
        let outcome = match (&desk.head.method, &offer) {
            (&Method::GET | &Method::HEAD, Offer { get: Some(show), .. }) => match C::admit(&desk) {
                Ok(visitor) => show(visitor, desk).await,
                Err(trouble) => Err(trouble),
            },
            (&Method::POST, Offer { post: Some(act), .. }) => match D::admit(&desk) {
                Ok(visitor) => act(visitor, desk).await,
                Err(trouble) => Err(trouble),
            },
            _ => Err(Trouble::Failed(ApiError::Method {
                allow: match (offer.get.is_some(), offer.post.is_some()) {
                    (true, true) => "GET, HEAD, POST",
                    (true, false) => "GET, HEAD",
                    _ => "POST",
                },
            })),
        };
        Ok(match outcome {
            Ok(answer) => answer,
            Err(trouble) => trouble::answer(trouble, &again).await,
        })
    };
    let mut answer = match tokio::time::timeout(deadline, work).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(failed)) => trouble::plain(&failed, &visit),
        Err(_) => trouble::plain(&ApiError::Overdue, &visit),
    };
    if has_notice && !answer.status().is_redirection() {
        jar.clear_notice(answer.headers_mut());
    }
    answer
}

impl Desk {
    async fn open(
        app: Arc<App>,
        visit: Arc<Visit>,
        head: Parts,
        path: Vec<(String, String)>,
        (body, most): (Body, usize),
    ) -> Result<Self, ApiError> {
        app.limit_address(&visit)?;
        let is_form = head.method == Method::POST;
        // Before the form is read and before anybody is known: another site's form is nobody's.
        if is_form && !is_from_here(&head.headers, &app.config.public_url) {
            return Err(ApiError::FromElsewhere);
        }
        let token = Jar::new(&app.config.public_url)
            .session(&head.headers)
            .unwrap_or_default();
        let session = match token.is_empty() {
            true => None,
            false => match session::find(&app.shop, &token).await {
                Ok(session) => Some(session),
                Err(ShopError::Refused(Refusal::Unauthorized)) => None,
                Err(error) => return Err(error.into()),
            },
        };
        if let Some(session) = &session {
            visit.notes().account = Some(session.account.clone());
            note(&visit, app.limits.caller.check(&format!("account {}", session.account)))?;
        }
        let is_operator = |session: &Session| session.role == Role::Operator && !session.needs_code;
        let fields = match is_form {
            true if session.as_ref().is_some_and(is_operator) => Fields::of_body(body, most).await?,
            true => Fields::of_body(body, MAX_BODY).await?,
            false => Fields::of_query(head.uri.query()),
        };
        Ok(Self {
            app,
            visit,
            head,
            session,
            token,
            fields,
            path,
            stands_on: BEGINNING,
        })
    }

    /// The same request, for a page about what became of it.
    fn again(&self) -> Self {
        Self {
            app: Arc::clone(&self.app),
            visit: Arc::clone(&self.visit),
            head: self.head.clone(),
            session: self.session.clone(),
            token: self.token.clone(),
            fields: Fields::default(),
            path: self.path.clone(),
            stands_on: self.stands_on,
        }
    }

    /// A part of the path, as the route names it.
    pub(crate) fn part(&self, name: &str) -> &str {
        self.path
            .iter()
            .find(|(known, _)| known == name)
            .map_or("", |(_, value)| value.as_str())
    }

    /// A part of the path that is an id; anything else leads nowhere.
    pub(crate) fn id<T: std::str::FromStr>(&self, name: &str) -> Result<T, Trouble> {
        self.part(name)
            .parse()
            .map_err(|_| Trouble::Failed(ApiError::NoSuchPath))
    }

    /// The path of the page that the form stands on.
    pub(crate) fn page_of_form(&self) -> String {
        let filled = |page: String, (name, value): &(String, String)| page.replace(&format!("{{{name}}}"), value);
        self.path.iter().fold(self.stands_on.to_owned(), filled)
    }

    /// Where the visitor's browser is, for its session.
    pub(crate) fn origin(&self) -> Origin {
        let agent = self
            .head
            .headers
            .get(header::USER_AGENT)
            .and_then(|agent| agent.to_str().ok());
        Origin {
            source: self.visit.source,
            agent: agent.unwrap_or_default().to_owned(),
        }
    }

    fn jar(&self) -> Jar {
        Jar::new(&self.app.config.public_url)
    }

    /// What stands around a page.
    pub(crate) async fn frame(&self, place: Place, title: &str) -> Result<Frame, Trouble> {
        let person = match &self.session {
            Some(session) if !session.needs_code => {
                let shown = session
                    .viewing
                    .as_ref()
                    .map_or(&session.account, |viewed| &viewed.account);
                let account = account::by_id(&self.app.shop, shown).await?;
                Some(Person::of(&account, session))
            }
            _ => None,
        };
        let notice = self.jar().notice(&self.head.headers);
        Ok(Frame::new(self, place, title, person, notice))
    }

    /// To another page, which says what was done.
    pub(crate) fn done(&self, path: &str, notice: Notice) -> Response {
        let mut answer = see_other(path);
        self.jar().set_notice(answer.headers_mut(), notice);
        answer
    }

    /// Gives the browser its session's token.
    pub(crate) fn keep_session(&self, answer: &mut Response, token: &SecretString) {
        self.jar().set_session(answer.headers_mut(), token);
    }

    /// Takes it away.
    pub(crate) fn drop_session(&self, answer: &mut Response) {
        self.jar().clear_session(answer.headers_mut());
    }
}

/// Whether a form comes from a page of ours: the browser says so itself, else its `Origin` is us.
fn is_from_here(headers: &HeaderMap, public_url: &str) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = text("sec-fetch-site") {
        return matches!(site, "same-origin" | "none");
    }
    let Some(origin) = text("origin") else { return false };
    let is_host = origin
        .split_once("://")
        .zip(text("host"))
        .is_some_and(|((_, authority), host)| authority.eq_ignore_ascii_case(host));
    is_host || origin.eq_ignore_ascii_case(public_url)
}

/// A page.
pub(crate) fn html(status: StatusCode, template: &impl Template) -> Response {
    let (status, body) = match template.render() {
        Ok(body) => (status, body),
        Err(error) => {
            // Writing to memory cannot fail; a template that refuses to is a defect.
            tracing::error!(%error, "a page could not be written");
            (StatusCode::INTERNAL_SERVER_ERROR, String::new())
        }
    };
    let mut answer = Response::new(Body::from(body));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::VARY, HeaderValue::from_static("hx-request"));
    answer
}

/// To another page, by GET.
pub(crate) fn see_other(path: &str) -> Response {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::SEE_OTHER;
    // Paths of ours are ASCII; one that is not leads to the beginning.
    let location = HeaderValue::from_str(path).unwrap_or(HeaderValue::from_static(BEGINNING));
    answer.headers_mut().insert(header::LOCATION, location);
    answer
}
