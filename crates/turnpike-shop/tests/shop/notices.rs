//! Notices: written with what they tell of, taken by one, tried again, given up, and never by a way that nobody chose.

use std::collections::BTreeSet;

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value as Json;
use turnpike_shop::auto_renew::{self, Wish};
use turnpike_shop::notices::{self, Choices, KINDS, MOST_WEBHOOKS, Outcome, Outgoing, Recipient, Ways};
use turnpike_shop::session::{self, Begun, Origin};
use turnpike_shop::types::{AccountId, Cents, DeliveryState, NoticeKind, NoticeWay, Role, Span, WebhookId};
use turnpike_shop::{PurchaseOrder, Refusal, Settings, Shop, account, quote, rotation};

use crate::site::Site;
use crate::world::{GATEWAY, MONTH, PRICE, Plot, World, refusal};

on_both_engines! {
    nothing_is_written_that_nobody_chose,
    a_renewal_is_told_with_it_and_not_without_it,
    an_end_is_told_before_and_after,
    one_that_renews_itself_is_not_told_to_end,
    trouble_with_renewing_is_told_once,
    a_low_balance_is_told_when_it_becomes_low,
    whoever_signs_in_is_told,
    an_exits_holder_is_told_its_new_address,
    a_delivery_is_taken_by_one_and_by_another_when_he_ends,
    a_delivery_is_tried_for_a_day_and_then_given_up,
    a_webhook_at_which_nothing_arrives_is_given_up_and_can_be_switched_on,
    one_that_is_gone_is_given_up_at_once,
    what_was_sent_is_sent_again_as_the_same,
    a_secret_is_shown_once_and_stands_nowhere,
    a_webhook_that_goes_takes_its_deliveries_with_it,
    nobody_has_more_webhooks_than_he_may,
    old_notices_are_forgotten,
}

const ALL: Ways = Ways {
    email: true,
    webhook: true,
    plain_http: false,
};

fn open(site: &Site) -> Plot<'_> {
    let settings = Settings {
        notices: ALL,
        ..Settings::default()
    };
    World::on(site).settings(settings).network("NL-AMS").exits(2)
}

impl World<'_> {
    async fn choose(&self, wanted: &[(NoticeKind, NoticeWay)]) {
        let choices = Choices {
            wanted: wanted.to_vec(),
            low_balance: Cents(500),
        };
        notices::set_choices(&self.shop, &self.ann, choices.clone())
            .await
            .unwrap();
        let mut kept = notices::choices(&self.shop, &self.ann).await.unwrap();
        kept.wanted.sort_by_key(|(kind, way)| (kind.as_str(), way.as_str()));
        let mut said = choices;
        said.wanted.sort_by_key(|(kind, way)| (kind.as_str(), way.as_str()));
        assert_eq!(kept, said);
    }

    /// Ann's new webhook.
    async fn webhook(&self) -> WebhookId {
        let made = notices::create_webhook(&self.shop, &self.ann, "https://hooks.example.com/ann").await;
        made.unwrap().0.id
    }

    async fn take(&self) -> Vec<Outgoing> {
        notices::claim(&self.shop, 100).await.unwrap()
    }

    /// What is to be sent, all of which arrives: kind and data.
    async fn sent(&self) -> Vec<(NoticeKind, Json)> {
        let mut told = Vec::new();
        for one in self.take().await {
            finish(&self.shop, &one, Outcome::Delivered("answered 200 OK".to_owned())).await;
            let body: Json = serde_json::from_str(&one.body).unwrap();
            assert_eq!(body["type"], one.kind.as_str());
            assert!(body["timestamp"].as_str().unwrap().ends_with('Z'), "{body}");
            told.push((one.kind, body["data"].clone()));
        }
        told
    }

    async fn kinds(&self) -> Vec<NoticeKind> {
        self.sent().await.into_iter().map(|(kind, _)| kind).collect()
    }

    async fn log(&self, webhook: &WebhookId) -> Vec<notices::Delivery> {
        notices::deliveries(&self.shop, &self.ann, webhook, 100).await.unwrap()
    }

    /// A test call, taken.
    async fn test_call(&self, webhook: &WebhookId) -> Outgoing {
        notices::test_webhook(&self.shop, &self.ann, webhook).await.unwrap();
        self.take().await.remove(0)
    }
}

async fn finish(shop: &Shop, one: &Outgoing, outcome: Outcome) {
    notices::finish(shop, &one.delivery, one.attempt, outcome)
        .await
        .unwrap();
}

fn failed() -> Outcome {
    Outcome::Failed("answered 500 Internal Server Error".to_owned())
}

const BY_EMAIL: NoticeWay = NoticeWay::Email;

async fn nothing_is_written_that_nobody_chose(site: &Site) {
    let world = open(site).open().await;
    world.webhook().await;
    let one = world.bought("NL-AMS").await;
    world.renew(world.renewal(&one).await).await.unwrap();
    assert_eq!(world.raw.int("SELECT COUNT(*) FROM notice").await, 0);
    // Nor by a way that the operator has not opened, whatever was chosen.
    let all: Vec<_> = KINDS
        .into_iter()
        .flat_map(|kind| [(kind, NoticeWay::Email), (kind, NoticeWay::Webhook)])
        .collect();
    world.choose(&all).await;
    let closed = site.open(Settings::default(), world.clock()).await;
    turnpike_shop::renew(&closed, &world.ann, world.renewal(&one).await)
        .await
        .unwrap();
    assert_eq!(world.raw.int("SELECT COUNT(*) FROM notice").await, 0);
    assert!(notices::claim(&closed, 10).await.unwrap().is_empty());
    world.renew(world.renewal(&one).await).await.unwrap();
    assert_eq!(world.raw.int("SELECT COUNT(*) FROM delivery").await, 2);
    // A process that cannot send them leaves them to those that can.
    assert_eq!(notices::next_due(&closed).await.unwrap(), None);
    assert!(notices::claim(&closed, 10).await.unwrap().is_empty());
    assert_eq!(world.kinds().await, [NoticeKind::Renewed, NoticeKind::Renewed]);
}

async fn a_renewal_is_told_with_it_and_not_without_it(site: &Site) {
    let world = open(site).balance(2 * PRICE).open().await;
    world.choose(&[(NoticeKind::Renewed, BY_EMAIL)]).await;
    let one = world.bought("NL-AMS").await;
    let order = world.renewal(&one).await;
    turnpike_shop::quote_renewal(&world.shop, &world.ann, order.clone())
        .await
        .unwrap();
    assert!(world.sent().await.is_empty());
    world.renew(order.clone()).await.unwrap();
    refusal(world.renew(order).await);
    let told = world.sent().await;
    let [(NoticeKind::Renewed, data)] = told.as_slice() else {
        panic!("{told:?}");
    };
    assert_eq!(
        (&data["priceAmountCents"], &data["byItself"]),
        (&PRICE.into(), &false.into())
    );
    assert_eq!(data["endAt"], one.ends_at.plus(MONTH).0);
    assert_eq!((&data["port"], &data["network"]), (&one.port.into(), &"NL-AMS".into()));
}

async fn an_end_is_told_before_and_after(site: &Site) {
    let world = open(site).open().await;
    world
        .choose(&[(NoticeKind::Ending, BY_EMAIL), (NoticeKind::Ended, BY_EMAIL)])
        .await;
    let one = world.bought("NL-AMS").await;
    let order = world.renewal(&one).await;
    world.renew(order).await.unwrap();
    world.advance(MONTH);
    world.upkeep().await;
    assert!(world.sent().await.is_empty(), "it was renewed");
    world.advance(Span(MONTH.0 - Span::days(3).0));
    world.upkeep().await;
    world.upkeep().await;
    assert_eq!(world.kinds().await, [NoticeKind::Ending]);
    world.advance(Span::days(3));
    world.upkeep().await;
    world.upkeep().await;
    assert_eq!(world.kinds().await, [NoticeKind::Ended]);
    // Ended by somebody else's purchase, before upkeep came.
    let two = world.bought("NL-AMS").await;
    world.advance(MONTH);
    let order = PurchaseOrder {
        quantity: crate::world::quantity(2),
        ..world.order("NL-AMS").await
    };
    let bob = world.person("bob@example.com", 100_000).await;
    quote(&world.shop, &bob, order.clone()).await.unwrap();
    assert!(world.sent().await.is_empty());
    turnpike_shop::purchase(&world.shop, &bob, order).await.unwrap();
    let told = world.sent().await;
    assert_eq!((told.len(), &told[0].1["subscriptionId"]), (1, &two.id.as_str().into()));
}

async fn one_that_renews_itself_is_not_told_to_end(site: &Site) {
    let world = open(site).open().await;
    world
        .choose(&[(NoticeKind::Ending, BY_EMAIL), (NoticeKind::Renewed, BY_EMAIL)])
        .await;
    let one = world.bought("NL-AMS").await;
    auto_renew::set(&world.shop, &world.ann, &one.id, Wish::By(None))
        .await
        .unwrap();
    world.advance(Span(MONTH.0 - Span::days(1).0));
    world.upkeep().await;
    auto_renew::run(&world.shop).await.unwrap();
    let told = world.sent().await;
    assert_eq!((told.len(), told[0].0), (1, NoticeKind::Renewed));
    assert_eq!(told[0].1["byItself"], true);
}

async fn trouble_with_renewing_is_told_once(site: &Site) {
    let world = open(site).balance(PRICE).open().await;
    world.choose(&[(NoticeKind::RenewalFailed, BY_EMAIL)]).await;
    let one = world.bought("NL-AMS").await;
    auto_renew::set(&world.shop, &world.ann, &one.id, Wish::By(None))
        .await
        .unwrap();
    world.advance(Span(MONTH.0 - Span::days(1).0));
    for _ in 0..5 {
        auto_renew::run(&world.shop).await.unwrap();
        world.advance(Span::hours(1));
    }
    let told = world.sent().await;
    assert_eq!((told.len(), told[0].0), (1, NoticeKind::RenewalFailed));
    assert!(
        told[0].1["reason"].as_str().unwrap().contains("does not cover"),
        "{told:?}"
    );
}

async fn a_low_balance_is_told_when_it_becomes_low(site: &Site) {
    let world = open(site).exits(4).balance(2 * PRICE + 400).open().await;
    world.choose(&[(NoticeKind::LowBalance, BY_EMAIL)]).await;
    world.bought("NL-AMS").await;
    assert!(world.sent().await.is_empty());
    world.bought("NL-AMS").await;
    let told = world.sent().await;
    assert_eq!(told.len(), 1);
    assert_eq!(
        (&told[0].1["balanceCents"], &told[0].1["lowBalanceCents"]),
        (&400.into(), &500.into())
    );
    let unfit = Choices {
        wanted: Vec::new(),
        low_balance: Cents(-1),
    };
    let refused = refusal(notices::set_choices(&world.shop, &world.ann, unfit).await);
    assert_eq!(refused, Refusal::UnfitLowBalance);
}

async fn whoever_signs_in_is_told(site: &Site) {
    let world = open(site).open().await;
    let password = || SecretString::from("correct horse battery");
    let carl = account::create(
        &world.shop,
        "test",
        "carl@example.com",
        Role::Customer,
        Some(password()),
    )
    .await
    .unwrap();
    let choices = Choices {
        wanted: vec![(NoticeKind::SignedIn, BY_EMAIL)],
        low_balance: Cents(0),
    };
    notices::set_choices(&world.shop, &carl.id, choices).await.unwrap();
    let origin = || Origin {
        source: [192, 0, 2, 7].into(),
        agent: "Fire\u{0}fox\r\nX".to_owned(),
    };
    let wrong = SecretString::from("not the password");
    refusal(session::sign_in(&world.shop, "carl@example.com", wrong, origin()).await);
    assert!(world.sent().await.is_empty());
    let begun = session::sign_in(&world.shop, "carl@example.com", password(), origin())
        .await
        .unwrap();
    assert!(matches!(begun, Begun::SignedIn(_)));
    let told = world.sent().await;
    assert_eq!(told.len(), 1);
    assert_eq!(
        (&told[0].1["source"], &told[0].1["agent"]),
        (&"192.0.2.7".into(), &"FirefoxX".into())
    );
}

async fn an_exits_holder_is_told_its_new_address(site: &Site) {
    let world = open(site).open().await;
    world.choose(&[(NoticeKind::Rotated, BY_EMAIL)]).await;
    let one = world.bought("NL-AMS").await;
    for (address, count) in [([127, 1, 0, 1], 1), ([127, 1, 0, 1], 0), ([127, 1, 0, 2], 1)] {
        rotation::request(&world.shop, &one.rotate_token, [192, 0, 2, 1].into())
            .await
            .unwrap();
        let task = rotation::claim(&world.shop, GATEWAY, 1).await.unwrap().remove(0);
        let outcome = Ok((Some(address.into()), None));
        rotation::finish(&world.shop, &task.id, outcome.clone()).await.unwrap();
        rotation::finish(&world.shop, &task.id, outcome).await.unwrap();
        let told = world.sent().await;
        assert_eq!(told.len(), count, "{address:?}");
        world.advance(Span::minutes(1));
    }
}

async fn a_delivery_is_taken_by_one_and_by_another_when_he_ends(site: &Site) {
    let world = open(site).open().await;
    let webhook = world.webhook().await;
    for _ in 0..5 {
        notices::test_webhook(&world.shop, &world.ann, &webhook).await.unwrap();
    }
    let refused = refusal(notices::test_webhook(&world.shop, &world.ann, &webhook).await);
    assert_eq!(refused, Refusal::TestsWaiting);
    let settings = Settings {
        notices: ALL,
        ..Settings::default()
    };
    let other = site.open(settings, world.clock()).await;
    let takers = [&world.shop, &other].into_iter().cycle().take(8);
    let takers: Vec<_> = takers
        .map(|shop| {
            let shop = shop.clone();
            tokio::spawn(async move { notices::claim(&shop, 2).await.unwrap() })
        })
        .collect();
    let mut taken = Vec::new();
    for taker in takers {
        taken.extend(taker.await.unwrap());
    }
    let apart: BTreeSet<_> = taken.iter().map(|one| one.delivery.clone()).collect();
    assert_eq!((taken.len(), apart.len()), (5, 5));
    assert!(world.take().await.is_empty());
    world.advance(Span::minutes(2));
    let again = world.take().await;
    assert_eq!(again.len(), 5);
    assert!(again.iter().all(|one| one.attempt == 2));
    // Whoever took them first is too late to tell.
    for one in &taken {
        finish(&world.shop, one, failed()).await;
    }
    for one in &again {
        finish(
            &world.shop,
            one,
            Outcome::Delivered("answered 204 No Content".to_owned()),
        )
        .await;
        finish(&world.shop, one, failed()).await;
    }
    let log = world.log(&webhook).await;
    assert!(
        log.iter()
            .all(|line| line.state == DeliveryState::Delivered && line.attempts == 2),
        "{log:?}"
    );
    assert_eq!(notices::next_due(&world.shop).await.unwrap(), None);
}

async fn a_delivery_is_tried_for_a_day_and_then_given_up(site: &Site) {
    let world = open(site).open().await;
    let webhook = world.webhook().await;
    let began = world.now();
    let first = world.test_call(&webhook).await;
    finish(&world.shop, &first, failed()).await;
    let mut attempts = 1;
    while let Some(next) = notices::next_due(&world.shop).await.unwrap() {
        world.advance(next.since(world.now()));
        let again = world.take().await.remove(0);
        attempts += 1;
        assert_eq!((again.attempt, &again.notice), (attempts, &first.notice));
        finish(&world.shop, &again, failed()).await;
    }
    assert_eq!(attempts, 10);
    assert!(
        world.now().since(began) > Span::hours(20),
        "{}",
        world.now().since(began)
    );
    let log = world.log(&webhook).await;
    assert_eq!((log[0].state, log[0].attempts), (DeliveryState::Failed, 10));
    assert_eq!(log[0].detail, "answered 500 Internal Server Error");
    let seen = notices::webhook(&world.shop, &world.ann, &webhook).await.unwrap();
    assert_eq!((seen.failing_since, seen.disabled_at), (Some(began), None));
}

async fn a_webhook_at_which_nothing_arrives_is_given_up_and_can_be_switched_on(site: &Site) {
    let world = open(site).open().await;
    world.choose(&[(NoticeKind::Renewed, NoticeWay::Webhook)]).await;
    let webhook = world.webhook().await;
    let call = world.test_call(&webhook).await;
    finish(&world.shop, &call, failed()).await;
    world.advance(Span::days(5));
    notices::test_webhook(&world.shop, &world.ann, &webhook).await.unwrap();
    let calls = world.take().await;
    assert_eq!(calls.len(), 2);
    finish(&world.shop, &calls[1], failed()).await;
    let seen = notices::webhook(&world.shop, &world.ann, &webhook).await.unwrap();
    assert_eq!(seen.disabled_at, Some(world.now()));
    assert!(
        world
            .log(&webhook)
            .await
            .iter()
            .all(|line| line.state == DeliveryState::Failed)
    );
    let one = world.bought("NL-AMS").await;
    world.renew(world.renewal(&one).await).await.unwrap();
    assert!(world.take().await.is_empty());
    let old = world.log(&webhook).await[0].id.clone();
    let refused = refusal(notices::redeliver(&world.shop, &world.ann, &old).await);
    assert_eq!(refused, Refusal::WebhookDisabled);
    notices::enable_webhook(&world.shop, &world.ann, &webhook)
        .await
        .unwrap();
    world.renew(world.renewal(&one).await).await.unwrap();
    assert_eq!(world.kinds().await, [NoticeKind::Renewed]);
}

async fn one_that_is_gone_is_given_up_at_once(site: &Site) {
    let world = open(site).open().await;
    let webhook = world.webhook().await;
    let call = world.test_call(&webhook).await;
    finish(&world.shop, &call, Outcome::Gone("answered 410 Gone".to_owned())).await;
    let seen = notices::webhook(&world.shop, &world.ann, &webhook).await.unwrap();
    assert!(seen.disabled_at.is_some());
}

async fn what_was_sent_is_sent_again_as_the_same(site: &Site) {
    let world = open(site).open().await;
    let webhook = world.webhook().await;
    let call = world.test_call(&webhook).await;
    finish(&world.shop, &call, Outcome::Delivered(String::new())).await;
    let sent = world.log(&webhook).await[0].id.clone();
    let bob = world.person("bob@example.com", 0).await;
    let refused = refusal(notices::redeliver(&world.shop, &bob, &sent).await);
    assert_eq!(refused, Refusal::DeliveryNotFound);
    assert_eq!(
        notices::redeliver(&world.shop, &world.ann, &sent).await.unwrap(),
        webhook
    );
    let again = world.take().await.remove(0);
    assert_eq!((&again.notice, &again.body), (&call.notice, &call.body));
    // One that still waits is not doubled, but tried at once.
    finish(&world.shop, &again, failed()).await;
    notices::redeliver(&world.shop, &world.ann, &again.delivery)
        .await
        .unwrap();
    let once_more = world.take().await;
    assert_eq!((once_more.len(), &once_more[0].delivery), (1, &again.delivery));
}

async fn a_secret_is_shown_once_and_stands_nowhere(site: &Site) {
    let world = open(site).open().await;
    let (_, secret) = notices::create_webhook(&world.shop, &world.ann, "https://hooks.example.com/")
        .await
        .unwrap();
    let secret = secret.expose_secret();
    assert!(secret.starts_with("whsec_") && secret.len() == 50, "{}", secret.len());
    let everything = world.everything().await;
    assert!(!everything.contains(secret) && !everything.contains(&secret[6..]));
    for (url, refused) in [
        ("http://hooks.example.com/", Refusal::UnfitUrl),
        ("hooks", Refusal::UnfitUrl),
    ] {
        let made = notices::create_webhook(&world.shop, &world.ann, url).await;
        assert_eq!(refusal(made.map(|_| ())), refused, "{url}");
    }
    let closed = site.open(Settings::default(), world.clock()).await;
    let made = notices::create_webhook(&closed, &world.ann, "https://hooks.example.com/").await;
    assert_eq!(refusal(made.map(|_| ())), Refusal::WebhooksOff);
}

async fn a_webhook_that_goes_takes_its_deliveries_with_it(site: &Site) {
    let world = open(site).open().await;
    let (gone, kept) = (world.webhook().await, world.webhook().await);
    world.choose(&[(NoticeKind::Renewed, NoticeWay::Webhook)]).await;
    let one = world.bought("NL-AMS").await;
    world.renew(world.renewal(&one).await).await.unwrap();
    let bob = world.person("bob@example.com", 0).await;
    let refused = refusal(notices::delete_webhook(&world.shop, &bob, &gone).await);
    assert_eq!(refused, Refusal::WebhookNotFound);
    let taken = world.take().await;
    notices::delete_webhook(&world.shop, &world.ann, &gone).await.unwrap();
    for call in &taken {
        finish(&world.shop, call, failed()).await;
    }
    assert_eq!(world.log(&kept).await.len(), 1);
    assert_eq!(
        refusal(notices::deliveries(&world.shop, &world.ann, &gone, 1).await),
        Refusal::WebhookNotFound
    );
    assert_eq!(world.raw.int("SELECT COUNT(*) FROM delivery").await, 1);
}

async fn nobody_has_more_webhooks_than_he_may(site: &Site) {
    let world = open(site).open().await;
    let makers: Vec<_> = (0..2 * MOST_WEBHOOKS)
        .map(|_| {
            let (shop, ann): (Shop, AccountId) = (world.shop.clone(), world.ann.clone());
            tokio::spawn(async move {
                notices::create_webhook(&shop, &ann, "https://hooks.example.com/")
                    .await
                    .is_ok()
            })
        })
        .collect();
    let mut made = 0;
    for maker in makers {
        made += i64::from(maker.await.unwrap());
    }
    assert_eq!(made, MOST_WEBHOOKS);
    assert_eq!(notices::webhooks(&world.shop, &world.ann).await.unwrap().len(), 5);
}

async fn old_notices_are_forgotten(site: &Site) {
    let world = open(site).open().await;
    let webhook = world.webhook().await;
    let call = world.test_call(&webhook).await;
    assert!(matches!(call.recipient, Recipient::Webhook { .. }));
    finish(&world.shop, &call, failed()).await;
    world.advance(Span::days(14));
    world.upkeep().await;
    assert_eq!(world.raw.int("SELECT COUNT(*) FROM notice").await, 0);
    assert_eq!(world.raw.int("SELECT COUNT(*) FROM delivery").await, 0);
    finish(&world.shop, &call, failed()).await;
}
