//! The operators' pages: for operators only, and what they do.

use turnpike_shop::types::{AccountStatus, Role, Span};
use turnpike_shop::{account, audit_log, orders};

use super::pages::{Browser, location};
use super::purchase_pages::{bought, hidden};
use super::site::{Site, on_both_engines};
use super::world::{ALICE, PASSWORD, World};

on_both_engines! {
    for_customers_there_is_nothing,
    money_and_suspension_want_the_password_again,
    the_shops_page_shows_how_it_stands,
    accounts_are_found,
    a_booking_is_made_once_and_its_mistakes_are_told,
    a_suspension_ends_the_session_and_is_undone,
    trials_are_allowed_key_by_key,
    an_order_is_refunded_once_and_ends_what_it_gave,
}

const ROOT: &str = "root@example.com";

pub(super) async fn operator(world: &World) -> Browser<'_> {
    world.person(ROOT, Role::Operator).await;
    let mut browser = Browser::new(world);
    let answer = browser
        .send("/sign-in", &[("email", ROOT), ("password", PASSWORD)])
        .await;
    assert_eq!(location(&answer), "/overview", "{}", answer.text());
    browser
}

/// The path of Alice's page.
async fn alice(world: &World) -> String {
    let id = account::by_email(&world.shop, ALICE).await.unwrap().id;
    format!("/operator/accounts/{id}")
}

async fn for_customers_there_is_nothing(site: &Site) {
    let world = site.world().await;
    let mut browser = Browser::signed_in(&world).await;
    let path = alice(&world).await;
    let (money, status) = (format!("{path}/money"), format!("{path}/status"));
    // Those who owe a confirmation as well: they are told nothing else.
    for minutes in [0, 30] {
        world.advance(Span::minutes(minutes));
        for page in [
            "/operator",
            "/operator/accounts",
            "/operator/orders",
            &path,
            &money,
            &status,
        ] {
            assert_eq!(browser.get(page).await.status, 404, "{page}");
        }
        let credit = [("direction", "credit"), ("amount", "1"), ("reason", "why not")];
        assert_eq!(browser.send(&money, &credit).await.status, 404);
        assert_eq!(browser.send(&status, &[("status", "active")]).await.status, 404);
    }
    assert_eq!(world.balance(ALICE).await, 50_000);
    assert!(!browser.get("/overview").await.text().contains("/operator"));
    let mut stranger = Browser::new(&world);
    assert_eq!(location(&stranger.get("/operator").await), "/sign-in?next=%2Foperator");
    let mut operator = operator(&world).await;
    assert!(operator.get("/overview").await.text().contains("href=\"/operator\""));
}

async fn money_and_suspension_want_the_password_again(site: &Site) {
    let world = site.world().await;
    let mut browser = operator(&world).await;
    let path = alice(&world).await;
    for page in [format!("{path}/money"), format!("{path}/status")] {
        assert_eq!(browser.get(&page).await.status, 200);
    }
    world.advance(Span::minutes(10));
    for page in [format!("{path}/money"), format!("{path}/status")] {
        let asked = browser.get(&page).await;
        assert_eq!(location(&asked), format!("/confirm?next={}", page.replace('/', "%2F")));
    }
    let suspended = browser
        .send(&format!("{path}/status"), &[("status", "suspended")])
        .await;
    assert!(location(&suspended).starts_with("/confirm"));
    let alice = account::by_email(&world.shop, ALICE).await.unwrap();
    assert_eq!(alice.status, AccountStatus::Active);
}

async fn the_shops_page_shows_how_it_stands(site: &Site) {
    let world = site.world().await;
    let mut browser = operator(&world).await;
    let page = browser.get("/operator").await.text();
    for shown in ["NL-AMS", "gw1", "Gateways that are behind", "Revenue, 24 hours"] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    assert!(!page.contains("Everything works"));
}

async fn accounts_are_found(site: &Site) {
    let world = site.world().await;
    let mut browser = operator(&world).await;
    let page = browser.get("/operator/accounts").await.text();
    assert!(page.contains(ALICE) && page.contains(ROOT));
    let page = browser
        .get("/operator/accounts?q=ALICE&role=customer&status=active")
        .await
        .text();
    assert!(
        page.contains(&alice(&world).await) && page.matches("<th role=\"rowheader\" scope=\"row\">").count() == 1,
        "{page}"
    );
    for nothing in ["?q=alice&role=operator", "?status=suspended", "?q=%25"] {
        let page = browser.get(&format!("/operator/accounts{nothing}")).await;
        assert!(page.text().contains("No account fits"), "{nothing}: {}", page.text());
    }
    for number in 0..60 {
        account::create(
            &world.shop,
            "test",
            &format!("p{number}@example.com"),
            Role::Customer,
            None,
        )
        .await
        .unwrap();
    }
    let first = browser.get("/operator/accounts?role=customer").await.text();
    let next = first.split("/operator/accounts?role=customer&#38;after=").nth(1);
    let after = next.expect("a next page").split('"').next().unwrap();
    let second = browser
        .get(&format!("/operator/accounts?role=customer&after={after}"))
        .await
        .text();
    let rows = |page: &str| page.matches("<th role=\"rowheader\" scope=\"row\">").count();
    assert_eq!((rows(&first), rows(&second)), (50, 11));
    for nobody in ["/operator/accounts/x", "/operator/accounts/aaaaaaaaaaaaaaaaaaaaaaaa"] {
        assert_eq!(browser.get(nobody).await.status, 404);
    }
}

async fn a_booking_is_made_once_and_its_mistakes_are_told(site: &Site) {
    let world = site.world().await;
    let mut browser = operator(&world).await;
    let path = alice(&world).await;
    let form = format!("{path}/money");
    let page = browser.get(&form).await.text();
    let once = hidden(&page, "once").to_owned();
    // The audit log is sorted by time.
    world.advance(Span(1));
    for (direction, amount, reason, said) in [
        ("credit", "0", "x", "it is an amount above zero"),
        ("credit", "-5", "x", "it is an amount above zero"),
        ("credit", "1.234", "x", "it is an amount above zero"),
        ("", "5", "x", "choose credit or debit"),
        ("credit", "5", " ", "Say why"),
        ("debit", "500.01", "<b>too much</b>", "cannot be taken"),
    ] {
        let fields = [
            ("direction", direction),
            ("amount", amount),
            ("reason", reason),
            ("once", &once),
        ];
        let refused = browser.send(&form, &fields).await;
        assert!(refused.status.is_client_error(), "{amount} {reason}");
        assert!(refused.text().contains(said), "{said}: {}", refused.text());
        assert!(!refused.text().contains("<b>"));
    }
    assert_eq!(world.balance(ALICE).await, 50_000);
    let fields = [
        ("direction", "debit"),
        ("amount", "12.5"),
        ("reason", "for a book"),
        ("once", &once),
    ];
    assert_eq!(location(&browser.send(&form, &fields).await), path);
    let again = browser.send(&form, &fields).await;
    assert_eq!((again.status.as_u16(), world.balance(ALICE).await), (409, 48_750));
    let shown = browser.get(&path).await.text();
    assert!(
        shown.contains("for a book") && shown.contains("487.50") && shown.contains("-12.50"),
        "{shown}"
    );
    let newest = audit_log::newest(&world.shop, 1).await.unwrap().remove(0);
    assert_eq!((newest.actor.as_str(), newest.action.as_str()), (ROOT, "account.debit"));
}

async fn a_suspension_ends_the_session_and_is_undone(site: &Site) {
    let world = site.world().await;
    let mut customer = Browser::signed_in(&world).await;
    let mut browser = operator(&world).await;
    let form = format!("{}/status", alice(&world).await);
    assert_eq!(browser.send(&form, &[("status", "x")]).await.status, 400);
    location(&browser.send(&form, &[("status", "suspended")]).await);
    assert!(location(&customer.get("/overview").await).starts_with("/sign-in"));
    assert!(
        browser
            .get(&form)
            .await
            .text()
            .contains("name=\"status\" value=\"active\"")
    );
    location(&browser.send(&form, &[("status", "active")]).await);
    Browser::signed_in(&world).await;
    let own = account::by_email(&world.shop, ROOT).await.unwrap().id;
    let refused = browser
        .send(&format!("/operator/accounts/{own}/status"), &[("status", "suspended")])
        .await;
    assert_eq!(refused.status, 409);
    assert!(refused.text().contains("your own account"), "{}", refused.text());
}

async fn trials_are_allowed_key_by_key(site: &Site) {
    let world = site.world().await;
    let mut browser = operator(&world).await;
    let path = alice(&world).await;
    let keys = turnpike_shop::api_key::list(&world.shop, Some(ALICE)).await.unwrap();
    let (key, before) = (keys[0].id.clone(), keys[0].allow_trial);
    let form = format!("{path}/keys/{key}/trial");
    let wanted = if before { "0" } else { "1" };
    assert_eq!(location(&browser.send(&form, &[("allow", wanted)]).await), path);
    let keys = turnpike_shop::api_key::list(&world.shop, Some(ALICE)).await.unwrap();
    assert_eq!(keys[0].allow_trial, !before);
    // Another account's page does not lead to it.
    let own = account::by_email(&world.shop, ROOT).await.unwrap().id;
    let elsewhere = format!("/operator/accounts/{own}/keys/{key}/trial");
    assert_eq!(browser.send(&elsewhere, &[("allow", "1")]).await.status, 404);
}

async fn an_order_is_refunded_once_and_ends_what_it_gave(site: &Site) {
    let world = site.world().await;
    let mut customer = Browser::signed_in(&world).await;
    let subscription = bought(&mut customer).await;
    assert_eq!(world.balance(ALICE).await, 48_800);
    let mut browser = operator(&world).await;
    let order = orders::orders(&world.shop, None, None, 1).await.unwrap().0.remove(0).id;
    let path = format!("/operator/orders/{order}");
    let listed = browser.get("/operator/orders").await.text();
    assert!(listed.contains(&path) && listed.contains(ALICE), "{listed}");
    let shown = browser.get(&path).await.text();
    assert!(
        shown.contains("revenue") && shown.contains("+12.00") && shown.contains("-12.00"),
        "{shown}"
    );
    let form = format!("{path}/refund");
    assert_eq!(customer.get(&path).await.status, 404);
    assert_eq!(customer.send(&form, &[("reason", "mine")]).await.status, 404);
    let unfit = browser.send(&form, &[("reason", "")]).await;
    assert_eq!(unfit.status, 400);
    assert!(unfit.text().contains("Say why"), "{}", unfit.text());
    assert_eq!(
        location(&browser.send(&form, &[("reason", "a change of mind")]).await),
        path
    );
    let again = browser.send(&form, &[("reason", "a change of mind")]).await;
    assert_eq!((again.status.as_u16(), world.balance(ALICE).await), (409, 50_000));
    let shown = browser.get(&path).await.text();
    assert!(shown.contains("a change of mind") && !shown.contains(&form), "{shown}");
    assert!(
        customer
            .get(&subscription)
            .await
            .text()
            .contains("This subscription has ended")
    );
    world.advance(Span::minutes(10));
    let asked = browser.get(&form).await;
    assert_eq!(location(&asked), format!("/confirm?next={}", form.replace('/', "%2F")));
    let alices = account::by_email(&world.shop, ALICE).await.unwrap().id;
    let own = browser.get(&format!("/operator/orders?account={alices}")).await;
    assert!(own.text().contains("Orders of") && own.text().contains(&path));
    for nobody in ["account=x", "account=aaaaaaaaaaaaaaaaaaaaaaaa"] {
        assert_eq!(
            browser.get(&format!("/operator/orders?{nobody}")).await.status,
            404,
            "{nobody}"
        );
    }
    for nothing in ["/operator/orders/x", "/operator/orders/aaaaaaaaaaaaaaaaaaaaaaaa"] {
        assert_eq!(browser.get(nothing).await.status, 404, "{nothing}");
    }
}
