//! The operators' pages of exits, the catalogue, trials, gateways and the audit log, and looking at a customer's pages.

use http::Method;
use serde_json::json;
use turnpike_shop::exits::{self, ExitSearch};
use turnpike_shop::types::{ExitStanding, Role, Span};
use turnpike_shop::{account, audit_log, catalogue, rotation, routes};

use super::pages::{Browser, location};
use super::purchase_pages::bought;
use super::site::{Site, on_both_engines};
use super::world::{ALICE, PASSWORD, World, ask, config, full};
use crate::CatalogueText;
use crate::config::WebConfig;

on_both_engines! {
    exits_are_drained_disabled_and_opened,
    a_network_is_drained_disabled_and_opened,
    an_exit_is_rotated_and_tested_by_its_gateway,
    the_catalogue_is_there_where_this_server_can_read_one,
    what_operators_did_is_found_page_by_page,
    gateways_and_trials_are_shown,
    trials_are_shown_with_their_limits_and_what_accounts_share,
    an_operator_looks_at_a_customers_pages_and_changes_nothing,
}

const ROOT: &str = "root@example.com";
const NEW_PAGES: [&str; 7] = [
    "/operator/exits",
    "/operator/catalogue",
    "/operator/catalogue/plan",
    "/operator/trials",
    "/operator/gateways",
    "/operator/audit",
    "/operator/reference",
];

async fn operator(world: &World) -> Browser<'_> {
    world.person(ROOT, Role::Operator).await;
    let mut browser = Browser::new(world);
    let answer = browser
        .send("/sign-in", &[("email", ROOT), ("password", PASSWORD)])
        .await;
    assert_eq!(location(&answer), "/overview", "{}", answer.text());
    browser
}

/// The first exit and the path of its page.
async fn an_exit(world: &World) -> (exits::ExitView, String) {
    let search = ExitSearch {
        limit: 1,
        ..ExitSearch::default()
    };
    let exit = exits::list(&world.shop, search).await.unwrap().0.remove(0);
    let path = format!("/operator/exits/{}", exit.id);
    (exit, path)
}

async fn exits_are_drained_disabled_and_opened(site: &Site) {
    let world = site.world().await;
    let mut customer = Browser::signed_in(&world).await;
    let (_, path) = an_exit(&world).await;
    for page in NEW_PAGES.into_iter().chain([path.as_str()]) {
        assert_eq!(customer.get(page).await.status, 404, "{page}");
    }
    for form in [
        format!("{path}/standing"),
        format!("{path}/rotate"),
        format!("{path}/test"),
        "/operator/networks/DE-BER/standing".to_owned(),
    ] {
        assert_eq!(customer.send(&form, &[("to", "disabled")]).await.status, 404, "{form}");
    }
    let mut browser = operator(&world).await;
    let listed = browser.get("/operator/exits").await.text();
    assert!(listed.contains(&path), "{listed}");
    assert!(
        listed.contains("/operator/exits?q=DE-BER") && listed.contains("Berlin, DE"),
        "{listed}"
    );
    let of_network = browser.get("/operator/exits?q=DE-BER").await.text();
    assert_eq!(of_network.matches("href=\"/operator/exits/").count(), 2, "{of_network}");
    bought(&mut Browser::signed_in(&world).await).await;
    let held = browser.get("/operator/exits").await.text();
    let alice = account::by_email(&world.shop, ALICE).await.unwrap().id;
    let holder = format!("<a href=\"/operator/accounts/{alice}\"><bdi>{ALICE}</bdi></a>");
    assert_eq!(held.matches(&holder).count(), 1, "{held}");
    let nothing = browser.get("/operator/exits?q=no-such-exit").await.text();
    assert!(nothing.contains("No exit fits"), "{nothing}");
    let standing = format!("{path}/standing");
    for (to, shown, stands) in [
        ("draining", ">Draining<", ExitStanding::Draining),
        ("disabled", ">Disabled<", ExitStanding::Disabled),
        ("open", ">Open<", ExitStanding::Open),
    ] {
        let asked = browser.get(&format!("{standing}?to={to}")).await;
        assert!(asked.text().contains(&format!("value=\"{to}\"")), "{}", asked.text());
        assert_eq!(location(&browser.send(&standing, &[("to", to)]).await), path);
        assert_eq!(an_exit(&world).await.0.standing, stands);
        let page = browser.get(&path).await.text();
        assert!(page.contains(shown), "{page}");
    }
    assert_eq!(browser.send(&standing, &[("to", "gone")]).await.status, 400);
    assert_eq!(
        browser.get("/operator/exits/aaaaaaaaaaaaaaaaaaaaaaaa").await.status,
        404
    );
    world.advance(Span::minutes(10));
    let asked = browser.get(&format!("{standing}?to=disabled")).await;
    assert!(location(&asked).starts_with("/confirm?next="));
    assert!(location(&browser.send(&standing, &[("to", "disabled")]).await).starts_with("/confirm"));
    assert_eq!(an_exit(&world).await.0.standing, ExitStanding::Open);
}

async fn a_network_is_drained_disabled_and_opened(site: &Site) {
    let world = site.world().await;
    let mut browser = operator(&world).await;
    let listed = browser.get("/operator/exits").await.text();
    let path = "/operator/networks/DE-BER";
    assert!(listed.contains(&format!("href=\"{path}\"")), "{listed}");
    let standing = format!("{path}/standing");
    let stands = async || {
        let now = exits::network(&world.shop, "DE-BER").await.unwrap();
        [now.open, now.draining, now.disabled]
    };
    let count = stands().await[0];
    for (to, expected) in [
        ("draining", [0, count, 0]),
        ("disabled", [0, 0, count]),
        ("open", [count, 0, 0]),
    ] {
        assert!(browser.get(path).await.text().contains(&format!("standing?to={to}\"")));
        let asked = browser.get(&format!("{standing}?to={to}")).await;
        assert!(asked.text().contains(&format!("value=\"{to}\"")), "{}", asked.text());
        assert_eq!(location(&browser.send(&standing, &[("to", to)]).await), path);
        assert_eq!(stands().await, expected);
    }
    assert_eq!(browser.send(&standing, &[("to", "gone")]).await.status, 400);
    assert_eq!(browser.get("/operator/networks/no-such").await.status, 404);
    let nowhere = browser
        .send("/operator/networks/no-such/standing", &[("to", "open")])
        .await;
    assert_eq!(nowhere.status, 404);
    world.advance(Span::minutes(10));
    assert!(location(&browser.send(&standing, &[("to", "disabled")]).await).starts_with("/confirm"));
    assert_eq!(stands().await, [count, 0, 0]);
}

async fn an_exit_is_rotated_and_tested_by_its_gateway(site: &Site) {
    let world = site.world().await;
    let mut browser = operator(&world).await;
    let (exit, path) = an_exit(&world).await;
    let gateway = async |world: &World| {
        // Until there is something to do.
        loop {
            let rotations = rotation::claim(&world.shop, &exit.gateway, 9).await.unwrap();
            let checks = exits::claim_checks(&world.shop, &exit.gateway).await.unwrap();
            for task in &rotations {
                let address = Some("198.51.100.77".parse().unwrap());
                rotation::finish(&world.shop, &task.id, Ok((address, None)))
                    .await
                    .unwrap();
            }
            for task in &checks {
                let why = "<b>no</b> carrier".to_owned();
                exits::finish_check(&world.shop, task, Err(why)).await.unwrap();
            }
            if !rotations.is_empty() || !checks.is_empty() {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    let rotate = format!("{path}/rotate");
    if exit.can_rotate {
        let (answer, ()) = tokio::join!(browser.send(&rotate, &[]), gateway(&world));
        assert_eq!(location(&answer), path);
        let page = browser.get(&path).await.text();
        assert!(page.contains("198.51.100.77") && page.contains("Operator"), "{page}");
    }
    let again = browser.send(&rotate, &[]).await;
    assert!(again.status.is_client_error(), "{}", again.text());
    let test = format!("{path}/test");
    let (answer, ()) = tokio::join!(browser.send(&test, &[]), gateway(&world));
    assert_eq!(location(&answer), format!("{path}#test-heading"));
    let page = browser.get(&path).await.text();
    assert!(page.contains("&#60;b&#62;no&#60;/b&#62; carrier"), "{page}");
}

async fn the_catalogue_is_there_where_this_server_can_read_one(site: &Site) {
    let world = site
        .world_with(WebConfig {
            // What reads and writes files is the program's; here a text is one word.
            catalogue: Some(CatalogueText {
                read: |name, text| match text {
                    "nothing" => Ok(catalogue::Catalogue::default()),
                    _ => Err(format!("{name}, line 1: \"<b>\" is not a known key")),
                },
                write: |catalogue| format!("{} plans", catalogue.plans.len()),
            }),
            ..config()
        })
        .await;
    let mut browser = operator(&world).await;
    let page = browser.get("/operator/catalogue").await.text();
    let plans = catalogue::present(&world.shop).await.unwrap().plans;
    assert!(plans.iter().all(|plan| page.contains(&plan.code)), "{page}");
    let file = browser.get("/operator/catalogue/file").await;
    assert_eq!(file.text(), format!("{} plans", plans.len()));
    let import = "/operator/catalogue/import";
    let wrong = browser.send(import, &[("text", "<script>")]).await;
    assert_eq!(wrong.status, 400);
    assert!(
        wrong.text().contains("line 1") && !wrong.text().contains("<b>") && !wrong.text().contains("<script>"),
        "{}",
        wrong.text()
    );
    let looked = browser.send(import, &[("text", "nothing")]).await.text();
    assert!(
        looked.contains("Deactivated") && looked.contains("Apply it"),
        "{looked}"
    );
    assert!(!catalogue::present(&world.shop).await.unwrap().plans.is_empty());
    let seen = looked
        .split("name=\"seen\" value=\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    let form = [("text", "nothing"), ("seen", seen)];
    assert_eq!(location(&browser.send(import, &form).await), "/operator/catalogue");
    assert!(catalogue::present(&world.shop).await.unwrap().plans.is_empty());
    let again = browser.send(import, &form).await;
    assert_eq!(again.status, 409);
    assert!(again.text().contains("nothing to change"), "{}", again.text());
    let long = |kib: usize| "x".repeat(kib * 1_024);
    let read = browser.send(import, &[("text", &long(4_000))]).await;
    assert!(read.status == 400 && read.text().contains("line 1"), "{}", read.status);
    for (path, kib, most) in [(import, 4_096, "4096 KiB"), ("/operator/catalogue/plan", 64, "64 KiB")] {
        let refused = browser.send(path, &[("text", &long(kib))]).await;
        assert!(
            refused.status == 413 && refused.text().contains(most),
            "{path}: {}",
            refused.text()
        );
    }
    let mut stranger = Browser::new(&world);
    assert_eq!(stranger.send(import, &[("text", &long(64))]).await.status, 413);
    world.advance(Span::minutes(10));
    for page in [import, "/operator/catalogue/file", "/operator/catalogue/plan"] {
        assert!(location(&browser.get(page).await).starts_with("/confirm"), "{page}");
    }
    // Another server, which has not been told how.
    let world = site.world().await;
    let mut browser = operator(&world).await;
    for page in [import, "/operator/catalogue/file", "/operator/catalogue/plan"] {
        assert_eq!(browser.get(page).await.status, 404, "{page}");
    }
}

async fn what_operators_did_is_found_page_by_page(site: &Site) {
    let world = site.world().await;
    let mut browser = operator(&world).await;
    for number in 0..60 {
        let email = format!("p{number}@example.com");
        account::create(&world.shop, "cli:<b>", &email, Role::Customer, None)
            .await
            .unwrap();
    }
    let first = browser.get("/operator/audit?q=cli&action=account.").await.text();
    assert!(
        first.contains("p59@example.com") && first.contains("cli:&#60;b&#62;"),
        "{first}"
    );
    let next = first
        .split("/operator/audit?q=cli&#38;action=account.&#38;after=")
        .nth(1);
    let after = next.expect("a next page").split('"').next().unwrap();
    let second = browser
        .get(&format!("/operator/audit?q=cli&action=account.&after={after}"))
        .await
        .text();
    assert!(
        second.contains("p0@example.com") && !second.contains("p59@example.com"),
        "{second}"
    );
    let nothing = browser.get("/operator/audit?q=nobody-at-all").await.text();
    assert!(nothing.contains("Nothing fits"), "{nothing}");
}

async fn gateways_and_trials_are_shown(site: &Site) {
    let world = site.world().await;
    let mut browser = operator(&world).await;
    let page = browser.get("/operator/gateways").await.text();
    assert!(page.contains("gw1") && page.contains("12001–12040"), "{page}");
    let (exit, _) = an_exit(&world).await;
    let load = routes::Load {
        tunnels: 42,
        by_exit: vec![(exit.id, 17)],
    };
    routes::alive(&world.shop, "gw1", "9.8.7", load).await.unwrap();
    let page = browser.get("/operator/gateways").await.text();
    assert!(
        page.contains("9.8.7") && page.contains("42") && page.contains("Alive"),
        "{page}"
    );
    let page = browser.get("/operator/exits").await.text();
    assert!(page.contains("data-label=\"Tunnels\">17<"), "of its network: {page}");
    world.advance(Span::minutes(1));
    assert!(browser.get("/operator/gateways").await.text().contains("Silent"));
    assert!(browser.get("/operator").await.text().contains("no sign of life"));
    let page = browser.get("/operator/trials").await.text();
    assert!(page.contains("Nobody has tried anything"), "{page}");
}

async fn trials_are_shown_with_their_limits_and_what_accounts_share(site: &Site) {
    let world = site.world().await;
    let mut browser = operator(&world).await;
    let page = browser.get("/operator/trials").await.text();
    for shown in [
        "one trial of each network in 30 days",
        "/operator/catalogue/plan?code=nl-private-30d",
        "1 hour",
    ] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    assert!(!page.contains("code=nl-shared-30d"), "that one offers none");
    // Two who have never used a browser, from one address.
    let plan = world.plan("NL-AMS", "private").await;
    for who in ["one@a.example", "two@b.example"] {
        world.person(who, Role::Customer).await;
        let key = world.key_of(who, full()).await;
        let tried = ask(
            &world,
            Method::POST,
            "/api/proxy",
            &key,
            json!({"op": "trial", "planId": plan}),
        )
        .await;
        assert_eq!(tried.status, 200, "{}", tried.text());
    }
    let page = browser.get("/operator/trials").await.text();
    assert_eq!(page.matches("1 with an address in common").count(), 2, "{page}");
}

async fn an_operator_looks_at_a_customers_pages_and_changes_nothing(site: &Site) {
    let world = site.world().await;
    let mut customer = Browser::signed_in(&world).await;
    let subscription = bought(&mut customer).await;
    let alices = account::by_email(&world.shop, ALICE).await.unwrap().id;
    let (path, own) = (format!("/operator/accounts/{alices}"), account::by_email);
    let view = format!("{path}/view");
    assert_eq!(customer.send(&view, &[]).await.status, 404);
    let mut browser = operator(&world).await;
    assert_eq!(browser.get(&subscription).await.status, 404);
    let root = own(&world.shop, ROOT).await.unwrap().id;
    let himself = format!("/operator/accounts/{root}/view");
    assert_eq!(browser.send(&himself, &[]).await.status, 404);
    assert_eq!(location(&browser.send(&view, &[]).await), "/overview");
    for page in [
        "/overview",
        "/subscriptions",
        "/statement",
        "/keys",
        "/plans",
        &subscription,
    ] {
        let shown = browser.get(page).await;
        assert_eq!(shown.status, 200, "{page}");
        assert!(
            shown.text().contains("You look at the pages of") && shown.text().contains(ALICE),
            "{page}: {}",
            shown.text()
        );
    }
    let note = format!("{subscription}/note");
    let forms: [(&str, &[(&str, &str)]); 4] = [
        (&note, &[("note", "mine")]),
        ("/keys", &[("name", "mine")]),
        ("/account/sessions/end-others", &[]),
        ("/account/second-factor/off", &[]),
    ];
    for (form, fields) in forms {
        let refused = browser.send(form, fields).await;
        assert_eq!(refused.status, 403, "{form}");
    }
    assert_eq!(browser.get("/account/second-factor").await.status, 403);
    // His own desk stays his, and wants his own password.
    assert_eq!(browser.get(&path).await.status, 200);
    let confirmed = browser.send("/confirm", &[("password", PASSWORD)]).await;
    assert!(confirmed.status.is_redirection(), "{}", confirmed.text());
    let ended = browser.send("/operator/view/end", &[]).await;
    assert_eq!(location(&ended), path);
    assert!(
        !browser
            .get("/overview")
            .await
            .text()
            .contains("You look at the pages of")
    );
    assert_eq!(browser.get(&subscription).await.status, 404);
    let search = audit_log::Search {
        action: "view.".to_owned(),
        limit: 9,
        ..audit_log::Search::default()
    };
    let (log, _) = audit_log::entries(&world.shop, search).await.unwrap();
    let log: Vec<_> = log
        .iter()
        .map(|entry| (entry.action.as_str(), entry.actor.as_str(), entry.subject.as_str()))
        .collect();
    assert_eq!(log, [("view.end", ROOT, ALICE), ("view.begin", ROOT, ALICE)]);
}
