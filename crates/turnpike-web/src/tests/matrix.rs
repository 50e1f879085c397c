//! Who may do what: every operation by every kind of caller. Both are matched exhaustively, so that a new operation (or a new
//! kind of caller) without its row does not compile.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use turnpike_shop::api_key::{self, NewApiKey};
use turnpike_shop::types::{Role, Span};

use super::world::{ALICE, World, full};
use crate::api::{Op, Verb};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Nobody,
    Garbage,
    Revoked,
    Expired,
    Suspended,
    /// A key that is shown from an address that it does not allow.
    Foreign,
    UnsignedToken,
    /// A token whose quarter of an hour is over.
    OldToken,
    /// A token from before the account was suspended and resumed.
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
    const ALL: [Self; 15] = [
        Self::Nobody,
        Self::Garbage,
        Self::Revoked,
        Self::Expired,
        Self::Suspended,
        Self::Foreign,
        Self::UnsignedToken,
        Self::OldToken,
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
        Op::RenewalPlans | Op::AvailableNetworks | Op::RotateLinks | Op::AllowedAddresses | Op::Refusals => {
            Needs::ReadingHis
        }
        Op::Purchase => Needs::Buying,
        Op::Renew | Op::ChangeCredentials | Op::SetRotationPolicy | Op::SwitchNetwork | Op::RenewSubscriptionUrl => {
            Needs::ChangingHis
        }
        Op::CreateRotateLink | Op::RenewRotateLink | Op::RevokeRotateLink | Op::SetAllowedAddresses => {
            Needs::ChangingHis
        }
        Op::Trial => Needs::Trials,
    }
}

fn expected(op: Op, who: Who) -> (u16, &'static str) {
    const OK: (u16, &str) = (200, "");
    match (who, needs(op)) {
        (Who::Nobody | Who::Garbage | Who::Revoked | Who::Expired, _)
        | (Who::UnsignedToken | Who::OldToken | Who::StaleToken, _) => (401, "unauthorized"),
        (Who::Suspended, _) => (403, "account_suspended"),
        (Who::Foreign, _) => (403, "source_not_allowed"),
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
    let key = |key: String| Some(("x-api-key", key));
    let bearer = |token: String| Some(("authorization", format!("Bearer {token}")));
    match who {
        Who::Nobody => None,
        Who::Garbage => key("rk_garbage".to_owned()),
        Who::Full => key(world.key.clone()),
        Who::Revoked => {
            let (made, secret) = api_key::create(shop, "test", ALICE, full()).await.unwrap();
            api_key::revoke(shop, "test", made.id.as_str()).await.unwrap();
            key(secret.expose_secret().to_owned())
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
            let token = signed_in(world).await;
            let header = URL_SAFE_NO_PAD.encode(json!({"alg": "none", "typ": "at+jwt"}).to_string());
            bearer(format!("{header}.{}.", token.split('.').nth(1).unwrap()))
        }
        Who::OldToken => {
            let token = signed_in(world).await;
            world.advance(Span::minutes(15));
            bearer(token)
        }
        Who::StaleToken => {
            let token = signed_in(world).await;
            world.suspend(ALICE).await;
            world.resume(ALICE).await;
            bearer(token)
        }
        Who::Foreign => key(world
            .key_of(
                ALICE,
                NewApiKey {
                    allowed_sources: vec!["198.51.100.0/24".parse().unwrap()],
                    ..full()
                },
            )
            .await),
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
        Who::SignedIn => bearer(signed_in(world).await),
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

/// Alice's token.
async fn signed_in(world: &World) -> String {
    let body = json!({"email": ALICE, "password": super::world::PASSWORD}).to_string();
    let reply = world.ask(Method::POST, "/api/auth/token").body(&body).send().await;
    reply.json()["token"].as_str().unwrap().to_owned()
}

/// Alice's ids that the requests need.
struct Ids {
    plan: String,
    subscription: String,
    network: String,
    link: String,
}

fn request(op: Op, ids: &Ids) -> Value {
    let Ids {
        plan,
        subscription,
        network,
        link,
    } = ids;
    match op {
        Op::Plans | Op::Subscriptions => json!({"op": op.name()}),
        Op::RenewalPlans
        | Op::AvailableNetworks
        | Op::ChangeCredentials
        | Op::RotateLinks
        | Op::AllowedAddresses
        | Op::Refusals
        | Op::RenewSubscriptionUrl => {
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
        Op::SetAllowedAddresses => {
            json!({"op": op.name(), "subscriptionId": subscription, "addresses": ["192.0.2.0/24"]})
        }
        Op::CreateRotateLink => json!({"op": op.name(), "subscriptionId": subscription, "name": "one more"}),
        Op::RenewRotateLink | Op::RevokeRotateLink => {
            json!({"op": op.name(), "subscriptionId": subscription, "linkId": link})
        }
    }
}

/// On one engine, since every caller needs a world of his own; keys and tokens are read from both in other tests.
#[tokio::test]
async fn every_operation_by_every_caller() {
    for who in Who::ALL {
        let world = World::new().await;
        let subscription = world.subscription().await["subscriptionId"]
            .as_str()
            .unwrap()
            .to_owned();
        let ids = Ids {
            plan: world.plan("NL-AMS", "private").await,
            network: world.other_network(&subscription).await,
            link: world.link(&subscription, json!({"name": "the van"})).await["linkId"]
                .as_str()
                .unwrap()
                .to_owned(),
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
