//! Who may do what: every operation by every kind of caller. Both are matched exhaustively, so that a new operation (or a new
//! kind of caller) without its row does not compile.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use serde_json::{Value, json};
use turnpike_shop::account::{self, SignedIn};
use turnpike_shop::api_key::{self, NewApiKey};
use turnpike_shop::types::{Role, Span};

use super::site::{Site, on_both_engines};
use super::world::{ALICE, World, full};
use crate::api::{Op, Verb};

on_both_engines!(every_operation_by_every_caller,);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Nobody,
    Garbage,
    Revoked,
    Expired,
    Suspended,
    UnsignedToken,
    StaleToken,
    ReadOnly,
    NoTrials,
    SignedIn,
    Full,
    /// Somebody else, asking for Alice's subscription.
    Other,
    /// An operator is a customer of his own account here, no more.
    Operator,
}

impl Who {
    const ALL: [Self; 13] = [
        Self::Nobody,
        Self::Garbage,
        Self::Revoked,
        Self::Expired,
        Self::Suspended,
        Self::UnsignedToken,
        Self::StaleToken,
        Self::ReadOnly,
        Self::NoTrials,
        Self::SignedIn,
        Self::Full,
        Self::Other,
        Self::Operator,
    ];
}

/// What an operation needs.
enum Needs {
    /// A caller.
    Reading,
    /// A caller, and the subscription to be his.
    ReadingHis,
    /// A caller who may spend.
    Buying,
    /// A caller who may spend, and the subscription to be his.
    ChangingHis,
    /// The permission for trials.
    Trials,
}

fn needs(op: Op) -> Needs {
    match op {
        Op::Plans | Op::Subscriptions => Needs::Reading,
        Op::RenewalPlans | Op::AvailableNetworks => Needs::ReadingHis,
        Op::Purchase => Needs::Buying,
        Op::Renew | Op::ChangeCredentials | Op::SetRotationPolicy | Op::SwitchNetwork => Needs::ChangingHis,
        Op::Trial => Needs::Trials,
    }
}

fn expected(op: Op, who: Who) -> (u16, &'static str) {
    const OK: (u16, &str) = (200, "");
    match (who, needs(op)) {
        (Who::Nobody | Who::Garbage | Who::Revoked | Who::Expired | Who::UnsignedToken | Who::StaleToken, _) => {
            (401, "unauthorized")
        }
        (Who::Suspended, _) => (403, "account_suspended"),
        (Who::ReadOnly, Needs::Reading | Needs::ReadingHis) => OK,
        (Who::ReadOnly, Needs::Buying | Needs::ChangingHis | Needs::Trials) => (403, "read_only_key"),
        (Who::NoTrials | Who::SignedIn, Needs::Trials) => (403, "trial_not_permitted"),
        (Who::NoTrials | Who::SignedIn | Who::Full, _) => OK,
        (Who::Other | Who::Operator, Needs::ReadingHis | Needs::ChangingHis) => (404, "subscription_not_found"),
        (Who::Other | Who::Operator, Needs::Reading | Needs::Buying | Needs::Trials) => OK,
    }
}

/// What the caller shows, as a header field.
async fn credential(world: &World, who: Who) -> Option<(&'static str, String)> {
    let shop = &world.shop;
    let alice = account::by_email(shop, ALICE).await.unwrap();
    let key = |key: String| Some(("x-api-key", key));
    let bearer = |token: String| Some(("authorization", format!("Bearer {token}")));
    let signed_in = |version: i64| SignedIn {
        account: alice.id.clone(),
        version,
        role: Role::Customer,
    };
    match who {
        Who::Nobody => None,
        Who::Garbage => key("rk_garbage".to_owned()),
        Who::Full => key(world.key.clone()),
        Who::Revoked => {
            let (made, _) = api_key::create(shop, "test", ALICE, full()).await.unwrap();
            let secret = world.key_of(ALICE, full()).await;
            for known in api_key::list(shop, Some(ALICE)).await.unwrap() {
                // All but the one that the fixture buys with.
                if known.created_at == made.created_at && known.revoked_at.is_none() {
                    api_key::revoke(shop, "test", known.id.as_str()).await.unwrap();
                }
            }
            key(secret)
        }
        Who::Expired => {
            let ends = world.shop.now().plus(Span::seconds(1));
            let secret = world
                .key_of(
                    ALICE,
                    NewApiKey {
                        expires_at: Some(ends),
                        ..full()
                    },
                )
                .await;
            world.advance(Span::seconds(2));
            key(secret)
        }
        Who::Suspended => {
            world.suspend(ALICE).await;
            key(world.key.clone())
        }
        Who::UnsignedToken => {
            let now = world.shop.now().0 / 1_000;
            let claims = json!({"iss": "turnpike", "aud": "turnpike-api", "sub": alice.id, "iat": now, "exp": now + 900, "ver": 0});
            let header = json!({"alg": "none", "typ": "at+jwt"});
            let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
            bearer(format!("{}.{}.", part(header), part(claims)))
        }
        Who::StaleToken => bearer(world.app.tokens.issue(&signed_in(-1), world.shop.now()).unwrap().0),
        Who::ReadOnly => key(world
            .key_of(
                ALICE,
                NewApiKey {
                    read_only: true,
                    ..full()
                },
            )
            .await),
        Who::NoTrials => key(world
            .key_of(
                ALICE,
                NewApiKey {
                    allow_trial: false,
                    ..full()
                },
            )
            .await),
        Who::SignedIn => {
            let body = json!({"email": ALICE, "password": super::world::PASSWORD}).to_string();
            let reply = world.ask(Method::POST, "/api/auth/token").body(&body).send().await;
            bearer(reply.json()["token"].as_str().unwrap().to_owned())
        }
        Who::Other => {
            world.person("bob@example.com", Role::Customer).await;
            key(world.key_of("bob@example.com", full()).await)
        }
        Who::Operator => {
            world.person("olga@example.com", Role::Operator).await;
            key(world.key_of("olga@example.com", full()).await)
        }
    }
}

/// Alice's ids that the requests need.
struct Ids {
    plan: String,
    subscription: String,
    network: String,
}

fn request(op: Op, ids: &Ids) -> Value {
    let Ids {
        plan,
        subscription,
        network,
    } = ids;
    match op {
        Op::Plans | Op::Subscriptions => json!({"op": op.name()}),
        Op::RenewalPlans | Op::AvailableNetworks | Op::ChangeCredentials => {
            json!({"op": op.name(), "subscriptionId": subscription})
        }
        Op::Purchase | Op::Trial => json!({"op": op.name(), "planId": plan}),
        Op::Renew => json!({"op": op.name(), "subscriptionId": subscription, "planId": plan}),
        Op::SetRotationPolicy => {
            json!({"op": op.name(), "subscriptionId": subscription, "rotationPolicy": 5})
        }
        Op::SwitchNetwork => {
            json!({"op": op.name(), "subscriptionId": subscription, "targetNetwork": network})
        }
    }
}

async fn every_operation_by_every_caller(site: &Site) {
    for who in Who::ALL {
        let world = site.world().await;
        let subscription = world.subscription().await["subscriptionId"]
            .as_str()
            .unwrap()
            .to_owned();
        let ids = Ids {
            plan: world.plan("NL-AMS", "private").await,
            network: world.other_network(&subscription).await,
            subscription,
        };
        let shown = credential(&world, who).await;
        for op in Op::ALL {
            let wanted = request(op, &ids);
            let mut ask = match op.verb() {
                Verb::Get => {
                    let pairs: Vec<String> = wanted
                        .as_object()
                        .unwrap()
                        .iter()
                        .map(|(name, value)| format!("{name}={}", value.as_str().unwrap()))
                        .collect();
                    world.ask(Method::GET, &format!("/api/proxy?{}", pairs.join("&")))
                }
                Verb::Post => world.ask(Method::POST, "/api/proxy").body(&wanted.to_string()),
            };
            if let Some((name, value)) = &shown {
                ask = ask.header(name, value);
            }
            let reply = ask.send().await;
            let got = if reply.status.is_success() {
                (reply.status.as_u16(), String::new())
            } else {
                reply.error()
            };
            let (status, code) = expected(op, who);
            assert_eq!(
                (got.0, got.1.as_str()),
                (status, code),
                "{op:?} by {who:?}: {}",
                reply.text()
            );
        }
    }
}
