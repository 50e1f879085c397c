//! `/subscriptions/{subscription}`: one subscription, and all that can be done with it.

use askama::Template;
use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use turnpike_shop::profile::renew_token;
use turnpike_shop::refusals::{Refusal, refusals};
use turnpike_shop::subscription::{Subscription, see};
use turnpike_shop::types::{Health, NetworkId, NotAPolicy, RotationPolicy, SubscriptionId, SubscriptionState};
use turnpike_shop::{available_networks, change_credentials, rotation, set_note, switch_network, traffic};

use super::auto_renewal::AutoRenewal;
use super::chart::Chart;
use super::connection_test::Tested;
use super::desk::{Desk, Outcome, html};
use super::frame::{Frame, Place};
use super::plans::{Choice, kind};
use super::profile::Profile;
use super::sizes::bytes;
use super::snippets::{self, Snippet};
use super::subscriptions::ENDING;
use super::texts::{Notice, port_refusal, texts, unfit};
use super::trouble::{Trouble, refused};
use super::visitor::{Confirmed, Customer};
use super::when::{moment, span};
use crate::api::protocols::{proxy_url, shadowsocks_url, vless_url};
use crate::api::subscription::label;
use crate::api::wait_applied;
use crate::error::ApiError;
use crate::sub;

/// Addresses of the history.
const ADDRESSES: i64 = 20;
/// The protocols whose URLs clients read from a picture.
const VLESS: &str = "vless";
const SHADOWSOCKS: &str = "shadowsocks";
/// Days of the chart.
const DAYS: i64 = 14;

#[derive(Template)]
#[template(path = "subscription.html")]
struct SubscriptionPage {
    frame: Frame,
    id: String,
    port: u16,
    city: String,
    place: String,
    kind: &'static str,
    note: String,
    is_active: bool,
    is_ending: bool,
    ends: String,
    left: String,
    /// What programs with a field for each are given, by name.
    parts: [(&'static str, String); 4],
    ways: Vec<Way>,
    snippets: Vec<Snippet>,
    profile: Profile,
    picture: String,
    exit: Option<Exit>,
    /// Absent where nobody has tested it of late.
    tested: Option<Tested>,
    addresses: Vec<(String, String)>,
    policies: Vec<Choice>,
    networks: Vec<Choice>,
    /// Absent once it has ended.
    auto_renewal: Option<AutoRenewal>,
    limits: Vec<(&'static str, String)>,
    chart: Chart,
    refusals: Vec<Refused>,
    wrong: Option<String>,
}

/// What the port refused, once or several times.
struct Refused {
    at: String,
    source: String,
    protocol: String,
    times: i64,
    reason: String,
}

/// A URL to copy, or to read from the screen with a telephone.
struct Way {
    name: &'static str,
    url: String,
    /// The protocol's name in the path of the picture; absent where no client takes such a picture.
    picture: Option<&'static str>,
}

/// How its exit stands.
struct Exit {
    address: String,
    health: &'static str,
    /// `good`, `bad`, or nothing while it is not known.
    kind: &'static str,
    /// Whether it can be rotated at all.
    can_rotate: bool,
    is_rotating: bool,
    /// In how many seconds it may be rotated again; absent where that is now.
    wait: Option<i64>,
}

/// `GET /subscriptions/{subscription}`
pub(crate) async fn show(customer: Customer, desk: Desk) -> Outcome {
    shown(&customer, &desk, StatusCode::OK, None).await
}

fn id(desk: &Desk) -> Result<SubscriptionId, Trouble> {
    desk.id("subscription")
}

pub(super) async fn shown(customer: &Customer, desk: &Desk, status: StatusCode, wrong: Option<String>) -> Outcome {
    let (shop, account, id) = (&desk.app.shop, customer.account(), id(desk)?);
    let subscription = see(shop, account, &id).await?;
    let is_active = subscription.state == SubscriptionState::Active;
    let networks = match is_active {
        true => available_networks(shop, account, &id).await?,
        false => Vec::new(),
    };
    let left = subscription.ends_at.since(shop.now());
    let named = label(&subscription);
    let profile = Profile::new(desk, &subscription.url_token, format!("/subscriptions/{id}/url"));
    let page = SubscriptionPage {
        frame: desk.frame(Place::Subscriptions, &named).await?,
        id: id.to_string(),
        port: subscription.port,
        city: subscription.city.clone(),
        place: format!(
            "{} {}, {}",
            subscription.network_code, subscription.city, subscription.country
        ),
        kind: kind(subscription.connection_type),
        note: subscription.user_note.clone(),
        is_active,
        is_ending: is_active && left < ENDING,
        ends: moment(subscription.ends_at),
        left: span(left),
        parts: [
            (texts().server, subscription.host.clone()),
            (texts().port, subscription.port.to_string()),
            (texts().user, subscription.username.clone()),
            (texts().password, subscription.password.clone()),
        ],
        ways: ways(&subscription, &named),
        snippets: snippets::of(&subscription, &named, &desk.app.config.public_url)?,
        picture: sub::inline_picture(&profile.url)?,
        profile,
        exit: exit(desk, customer, &id).await?,
        tested: Tested::of(desk, customer, &id).await?,
        addresses: rotation::addresses(shop, account, &id, ADDRESSES)
            .await?
            .into_iter()
            .map(|(since, address)| (moment(since), address.to_string()))
            .collect(),
        policies: policies(subscription.rotation_policy),
        networks: networks
            .into_iter()
            .map(|network| Choice {
                value: network.id.to_string(),
                label: format!("{} {}, {}", network.code, network.city, network.country),
                is_chosen: false,
            })
            .collect(),
        auto_renewal: match is_active {
            true => Some(AutoRenewal::of(desk, customer, &id).await?),
            false => None,
        },
        limits: limits(&subscription),
        chart: Chart::of(&traffic::days(shop, account, Some(&id), DAYS).await?),
        refusals: refusals(shop, account, &id)
            .await?
            .into_iter()
            .map(Refused::from)
            .collect(),
        wrong,
    };
    Ok(html(status, &page))
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self {
            at: moment(refusal.last_at),
            source: refusal.source,
            protocol: refusal.protocol,
            times: refusal.times,
            reason: port_refusal(&refusal.code, refusal.reason),
        }
    }
}

fn ways(subscription: &Subscription, named: &str) -> Vec<Way> {
    let way = |name, url, picture| Way { name, url, picture };
    let mut ways = vec![
        way("HTTP", proxy_url("http", subscription), None),
        way("SOCKS5", proxy_url("socks5", subscription), None),
    ];
    if subscription.tls.is_some() {
        ways.push(way("HTTPS", proxy_url("https", subscription), None));
    }
    ways.push(way("VLESS", vless_url(subscription, named), Some(VLESS)));
    ways.push(way(
        "Shadowsocks",
        shadowsocks_url(subscription, named),
        Some(SHADOWSOCKS),
    ));
    ways
}

/// `GET /subscriptions/{subscription}/picture/{protocol}`: the URL as a QR code.
pub(crate) async fn picture(customer: Customer, desk: Desk) -> Outcome {
    let subscription = see(&desk.app.shop, customer.account(), &id(&desk)?).await?;
    let named = label(&subscription);
    let url = match desk.part("protocol") {
        VLESS => vless_url(&subscription, &named),
        SHADOWSOCKS => shadowsocks_url(&subscription, &named),
        _ => return Err(Trouble::Failed(ApiError::NoSuchPath)),
    };
    let mut answer = Response::new(Body::from(sub::picture(&url)?));
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("image/svg+xml"));
    Ok(answer)
}

async fn exit(desk: &Desk, customer: &Customer, id: &SubscriptionId) -> Result<Option<Exit>, Trouble> {
    let status = rotation::own_status(&desk.app.shop, customer.account(), id).await?;
    let now = desk.app.shop.now();
    Ok(status.exit.map(|exit| {
        let (health, kind) = match exit.health {
            Health::Up => (texts().exit_up, "good"),
            Health::Down => (texts().exit_down, "bad"),
            Health::Unknown => (texts().exit_unknown, ""),
        };
        Exit {
            address: exit
                .address
                .map_or(texts().not_known.to_owned(), |address| address.to_string()),
            health,
            kind,
            can_rotate: exit.next_allowed_at.is_some(),
            is_rotating: exit.is_rotating,
            wait: exit
                .next_allowed_at
                .filter(|at| *at > now)
                .map(|at| at.since(now).0.div_euclid(1_000) + 1),
        }
    }))
}

fn policies(present: RotationPolicy) -> Vec<Choice> {
    RotationPolicy::ALLOWED
        .into_iter()
        .map(|minutes| Choice {
            value: minutes.to_string(),
            label: match minutes {
                0 => texts().never.to_owned(),
                some => format!("{} {some} {}", texts().every, texts().minutes),
            },
            is_chosen: i64::from(minutes) == present.minutes(),
        })
        .collect()
}

fn limits(subscription: &Subscription) -> Vec<(&'static str, String)> {
    let (limits, usage) = (&subscription.limits, &subscription.usage);
    let mut shown = vec![(texts().traffic_so_far, bytes(usage.moved()))];
    if let (Some(left), Some(all)) = (usage.left(limits), limits.traffic_bytes) {
        shown.push((texts().traffic_left, format!("{} / {}", bytes(left), bytes(all))));
    }
    let some = [
        (
            texts().speed,
            limits
                .mbit_per_second
                .map(|speed| format!("{speed} {}", texts().mbit_per_second)),
        ),
        (
            texts().most_connections,
            limits.max_connections.map(|most| most.to_string()),
        ),
        (
            texts().most_addresses,
            limits.max_source_addresses.map(|most| most.to_string()),
        ),
    ];
    shown.extend(some.into_iter().filter_map(|(name, value)| Some((name, value?))));
    shown
}

/// Goes back to the subscription's page, with what was done or with what was wrong.
pub(super) async fn settled<E: Into<ApiError>>(
    outcome: Result<(), E>,
    notice: Notice,
    customer: &Customer,
    desk: &Desk,
) -> Outcome {
    match outcome {
        Ok(()) => Ok(desk.done(&format!("/subscriptions/{}", id(desk)?), notice)),
        Err(error) => {
            let (status, sentence) = refused(error, desk)?;
            shown(customer, desk, status, Some(sentence)).await
        }
    }
}

/// `POST /subscriptions/{subscription}/note`
pub(crate) async fn note(customer: Customer, desk: Desk) -> Outcome {
    let set = set_note(
        &desk.app.shop,
        customer.account(),
        &id(&desk)?,
        desk.fields.text("note"),
    )
    .await;
    settled(set, Notice::NoteSaved, &customer, &desk).await
}

/// `POST /subscriptions/{subscription}/url`
pub(crate) async fn renew_url(customer: Confirmed, desk: Desk) -> Outcome {
    let renewed = renew_token(&desk.app.shop, customer.account(), Some(&id(&desk)?)).await;
    settled(renewed.map(|_| ()), Notice::UrlRenewed, &customer, &desk).await
}

/// `POST /subscriptions/{subscription}/rotate`
pub(crate) async fn rotate(customer: Customer, desk: Desk) -> Outcome {
    let subscription = see(&desk.app.shop, customer.account(), &id(&desk)?).await?;
    let rotated = async {
        let asked = rotation::request(&desk.app.shop, &subscription.rotate_token, desk.visit.source).await?;
        rotation::wait(&desk.app.shop, &asked).await.map(|_| ())
    };
    settled(rotated.await, Notice::Rotated, &customer, &desk).await
}

/// `POST /subscriptions/{subscription}/policy`
pub(crate) async fn policy(customer: Customer, desk: Desk) -> Outcome {
    let minutes = desk.fields.text("minutes").parse::<u64>().ok();
    let policy = minutes.and_then(|minutes| RotationPolicy::try_from(minutes).ok());
    let set = match policy {
        Some(policy) => rotation::set_policy(&desk.app.shop, customer.account(), &id(&desk)?, policy)
            .await
            .map_err(ApiError::from),
        None => Err(ApiError::Field {
            field: "minutes".to_owned(),
            rule: unfit(NotAPolicy),
        }),
    };
    settled(set, Notice::PolicySet, &customer, &desk).await
}

/// `POST /subscriptions/{subscription}/network`
pub(crate) async fn network(customer: Customer, desk: Desk) -> Outcome {
    let switched = match desk.fields.text("network").parse::<NetworkId>() {
        Ok(target) => switch_network(&desk.app.shop, customer.account(), &id(&desk)?, &target)
            .await
            .map_err(ApiError::from),
        Err(_) => Err(turnpike_shop::Refusal::UnknownNetwork.into()),
    };
    if let Ok(moved) = &switched {
        wait_applied(&desk.app, &desk.visit, [(moved.gateway.as_str(), moved.revision)]).await;
    }
    settled(switched.map(|_| ()), Notice::Switched, &customer, &desk).await
}

/// `POST /subscriptions/{subscription}/credentials`
pub(crate) async fn credentials(customer: Confirmed, desk: Desk) -> Outcome {
    let changed = change_credentials(&desk.app.shop, customer.account(), &id(&desk)?).await;
    if let Ok(changed) = &changed {
        wait_applied(&desk.app, &desk.visit, [(changed.gateway.as_str(), changed.revision)]).await;
    }
    settled(changed.map(|_| ()), Notice::CredentialsChanged, &customer, &desk).await
}
