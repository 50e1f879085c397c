//! Steps that want the password again, and what comes after it was given.

use turnpike_shop::account;
use turnpike_shop::api_key;
use turnpike_shop::notices::Ways;
use turnpike_shop::types::Span;

use super::operator_pages::operator;
use super::pages::{Browser, location};
use super::purchase_pages::{between, bought};
use super::site::{Site, on_both_engines};
use super::world::{ALICE, PASSWORD, config};

on_both_engines! {
    what_lets_others_in_or_cuts_programs_off_wants_the_password_again,
    a_key_that_spends_wants_the_password_again_and_its_form_stays_filled,
    links_want_the_password_again_and_stay_in_their_form,
    webhooks_want_the_password_again_and_stay_in_their_form,
    what_is_taken_away_from_programs_wants_the_password_again,
    notices_of_sign_ins_are_not_silenced_without_the_password,
    addresses_without_a_password_want_it_once_more_and_stay_in_their_form,
    an_operators_steps_into_an_account_want_the_password_again,
}

const WEBHOOKS: Ways = Ways {
    email: false,
    webhook: true,
    plain_http: false,
};

/// Long after somebody gave his password.
const LATER: Span = Span::minutes(10);

/// Gives the password where a step asks for it: the page that it leads back to.
async fn confirm(browser: &mut Browser<'_>, asked: &str) -> String {
    let page = browser.get(asked).await.text();
    assert!(page.contains("name=\"again\" value=\"1\""), "{page}");
    let next = url::form_urlencoded::parse(asked.split_once('?').unwrap().1.as_bytes())
        .find(|(name, _)| name == "next")
        .unwrap()
        .1;
    let fields = [("password", PASSWORD), ("next", &next), ("again", "1")];
    let confirmed = browser.send("/confirm", &fields).await;
    let said = confirmed.headers.get_all("set-cookie").iter();
    assert!(
        said.map(|cookie| cookie.to_str().unwrap())
            .any(|cookie| cookie.starts_with("__Host-notice=confirmed")),
        "that the button is to be pressed again"
    );
    location(&confirmed).to_owned()
}

async fn what_lets_others_in_or_cuts_programs_off_wants_the_password_again(site: &Site) {
    let world = site.world().await;
    let mut browser = Browser::signed_in(&world).await;
    let path = bought(&mut browser).await;
    let (all, one) = ("/subscriptions/url".to_owned(), format!("{path}/url"));
    for (form, back) in [
        (all, "/subscriptions".to_owned()),
        (one, path.clone()),
        (format!("{path}/credentials"), path.clone()),
    ] {
        world.advance(LATER);
        let before = browser.get(&back).await.text();
        let asked = location(&browser.send(&form, &[]).await).to_owned();
        assert_eq!(
            asked,
            format!("/confirm?next={}&again=1", back.replace('/', "%2F")),
            "{form}"
        );
        assert_eq!(browser.get(&back).await.text(), before, "{form} has done nothing");
        assert_eq!(confirm(&mut browser, &asked).await, back);
        assert_eq!(location(&browser.send(&form, &[]).await), back, "{form}");
        assert_ne!(browser.get(&back).await.text(), before, "{form}");
        assert_eq!(
            location(&browser.send(&form, &[]).await),
            back,
            "a moment later it is not asked"
        );
    }
    // What endangers nothing is done without asking.
    world.advance(LATER);
    assert_eq!(
        location(&browser.send(&format!("{path}/note"), &[("note", "mine")]).await),
        path
    );
}

async fn a_key_that_spends_wants_the_password_again_and_its_form_stays_filled(site: &Site) {
    let world = site.world().await;
    let mut browser = operator(&world).await;
    let named = |name, access| {
        [
            ("name", name),
            ("access", access),
            ("days", "7"),
            ("sources", "192.0.2.1"),
        ]
    };
    let asked_anew = named("a moment ago", "full");
    assert_eq!(browser.send("/keys", &asked_anew).await.status, 200);
    world.advance(LATER);
    let reading = browser.send("/keys", &named("only reads", "read")).await;
    assert!(reading.text().contains("Your new key"), "{}", reading.text());
    let operating = [("name", "only sees"), ("access", "read"), ("operator", "1")];
    let asked = location(&browser.send("/keys", &operating).await).to_owned();
    assert!(
        asked.starts_with("/confirm?next=%2Fkeys%3F"),
        "sees the whole shop: {asked}"
    );
    let asked = location(&browser.send("/keys", &named("a + b", "full")).await).to_owned();
    assert!(asked.starts_with("/confirm?next=%2Fkeys%3F"), "{asked}");
    let listed = browser.get("/keys").await.text();
    assert!(listed.contains("only reads"), "{listed}");
    assert!(!listed.contains("only sees") && !listed.contains("a + b"), "{listed}");
    let back = confirm(&mut browser, &asked).await;
    let page = browser.get(&back).await.text();
    for filled in [
        "name=\"name\" value=\"a + b\"",
        "value=\"full\" checked",
        "name=\"days\" value=\"7\"",
        "name=\"sources\" value=\"192.0.2.1\"",
    ] {
        assert!(page.contains(filled), "{filled}: {page}");
    }
    assert!(!page.contains("name=\"operator\" value=\"1\" checked"), "{page}");
    let made = browser.send("/keys", &named("a + b", "full")).await;
    assert!(made.text().contains("Your new key"), "{}", made.text());
    // What is wrong with the form is told before anybody is asked.
    world.advance(LATER);
    assert_eq!(
        browser
            .send("/keys", &[("name", "x"), ("access", "full"), ("days", "0")])
            .await
            .status,
        400
    );
}

async fn links_want_the_password_again_and_stay_in_their_form(site: &Site) {
    let world = site.world().await;
    let mut browser = Browser::signed_in(&world).await;
    let path = bought(&mut browser).await;
    let page = format!("{path}/links");
    let own = format!("{page}/{}/renew", path.rsplit('/').next().unwrap());
    let described = [("name", "the van"), ("kind", "status"), ("allowed", "192.0.2.7")];
    world.advance(LATER);
    let before = browser.get(&page).await.text();
    let asked = location(&browser.send(&page, &described).await).to_owned();
    assert!(asked.starts_with("/confirm?next=%2Fsubscriptions%2F"), "{asked}");
    assert!(location(&browser.send(&own, &[]).await).starts_with("/confirm?next=%2Fsubscriptions%2F"));
    assert_eq!(browser.get(&page).await.text(), before, "nothing is done");
    let back = confirm(&mut browser, &asked).await;
    let filled = browser.get(&back).await.text();
    for typed in ["value=\"the van\"", "value=\"status\" checked", "value=\"192.0.2.7\""] {
        assert!(filled.contains(typed), "{typed}: {filled}");
    }
    assert_eq!(location(&browser.send(&page, &described).await), page);
    assert_eq!(location(&browser.send(&own, &[]).await), page);
    assert!(browser.get(&page).await.text().contains("the van"));
    // What is wrong is told before anybody is asked.
    world.advance(LATER);
    assert_eq!(
        browser.send(&page, &[("name", ""), ("kind", "status")]).await.status,
        400
    );
}

async fn webhooks_want_the_password_again_and_stay_in_their_form(site: &Site) {
    let world = site.world_of(config(), WEBHOOKS).await;
    let mut browser = Browser::signed_in(&world).await;
    let url = [("url", "https://hooks.example.com/mine")];
    world.advance(LATER);
    let asked = location(&browser.send("/notices/webhooks", &url).await).to_owned();
    assert!(asked.starts_with("/confirm?next=%2Fnotices%3F"), "{asked}");
    assert!(!browser.get("/notices").await.text().contains("hooks.example.com"));
    let back = confirm(&mut browser, &asked).await;
    assert!(
        browser
            .get(&back)
            .await
            .text()
            .contains("value=\"https://hooks.example.com/mine\"")
    );
    assert!(
        browser
            .send("/notices/webhooks", &url)
            .await
            .text()
            .contains("data-copy=\"whsec_")
    );
}

async fn what_is_taken_away_from_programs_wants_the_password_again(site: &Site) {
    let world = site.world_of(config(), WEBHOOKS).await;
    let mut browser = Browser::signed_in(&world).await;
    let path = bought(&mut browser).await;
    let key = [("name", "a program"), ("access", "read"), ("days", ""), ("sources", "")];
    assert_eq!(browser.send("/keys", &key).await.status, 200);
    let link = [("name", "the van"), ("kind", "status"), ("allowed", "")];
    let links = format!("{path}/links");
    assert_eq!(location(&browser.send(&links, &link).await), links);
    let hook = [("url", "https://hooks.example.com/mine")];
    assert_eq!(browser.send("/notices/webhooks", &hook).await.status, 200);
    let listed = browser.get("/notices").await.text();
    let webhook = between(&listed, "/notices/webhooks/", "\"");
    let webhook = format!("/notices/webhooks/{webhook}");
    for (page, ends_with, back) in [
        ("/keys", "/revoke", "/keys"),
        (links.as_str(), "/revoke", links.as_str()),
        (webhook.as_str(), "/delete", "/notices"),
    ] {
        world.advance(LATER);
        let before = browser.get(page).await.text();
        let form = before
            .split("action=\"")
            .filter_map(|part| part.split('"').next())
            .find(|form| form.ends_with(ends_with))
            .unwrap()
            .to_owned();
        let asked = location(&browser.send(&form, &[]).await).to_owned();
        assert!(asked.starts_with("/confirm?next="), "{form}: {asked}");
        assert_eq!(browser.get(page).await.text(), before, "{form} has done nothing");
        assert_eq!(confirm(&mut browser, &asked).await, page, "{form}");
        assert_eq!(location(&browser.send(&form, &[]).await), back, "{form}");
    }
    let gone = browser.get("/notices").await.text();
    assert!(!gone.contains("hooks.example.com"), "{gone}");
}

async fn notices_of_sign_ins_are_not_silenced_without_the_password(site: &Site) {
    let world = site.world_of(config(), WEBHOOKS).await;
    let mut browser = Browser::signed_in(&world).await;
    let (sign_ins, ends) = (("account.signed_in webhook", "1"), ("subscription.ended webhook", "1"));
    let page = browser.get("/notices").await.text();
    for (name, _) in [sign_ins, ends] {
        assert!(page.contains(&format!("name=\"{name}\"")), "{name}: {page}");
    }
    world.advance(LATER);
    let low = ("low", "5.00");
    assert_eq!(
        location(&browser.send("/notices", &[low, sign_ins]).await),
        "/notices",
        "to be told more"
    );
    assert_eq!(
        location(&browser.send("/notices", &[low, sign_ins, ends]).await),
        "/notices"
    );
    let without = [("low", "7.50"), ends];
    let asked = location(&browser.send("/notices", &without).await).to_owned();
    assert!(asked.starts_with("/confirm?next=%2Fnotices%3F"), "{asked}");
    let is_ticked = |page: &str, name: &str| {
        let tag = page.split('<').find(|tag| tag.contains(&format!("name=\"{name}\"")));
        tag.unwrap().contains("checked")
    };
    let kept = browser.get("/notices").await.text();
    assert!(is_ticked(&kept, sign_ins.0), "nothing is done: {kept}");
    let back = confirm(&mut browser, &asked).await;
    let filled = browser.get(&back).await.text();
    assert!(
        !is_ticked(&filled, sign_ins.0) && is_ticked(&filled, ends.0),
        "{filled}"
    );
    assert!(filled.contains("value=\"7.50\""), "{filled}");
    assert_eq!(location(&browser.send("/notices", &without).await), "/notices");
    assert!(!is_ticked(&browser.get("/notices").await.text(), sign_ins.0));
}

async fn addresses_without_a_password_want_it_once_more_and_stay_in_their_form(site: &Site) {
    let world = site.world().await;
    let mut browser = Browser::signed_in(&world).await;
    let path = bought(&mut browser).await;
    let (form, page) = (format!("{path}/sources"), format!("{path}/links"));
    let named = [("sources", "203.0.113.9\n198.51.100.64/26")];
    world.advance(LATER);
    let asked = location(&browser.send(&form, &named).await).to_owned();
    assert!(asked.starts_with("/confirm?next=%2Fsubscriptions%2F"), "{asked}");
    assert!(!browser.get(&page).await.text().contains("203.0.113.9"));
    let back = confirm(&mut browser, &asked).await;
    let filled = browser.get(&back).await.text();
    assert!(filled.contains("203.0.113.9\n198.51.100.64/26</textarea>"), "{filled}");
    assert_eq!(location(&browser.send(&form, &named).await), page);
    assert!(browser.get(&page).await.text().contains("198.51.100.64/26"));
    world.advance(LATER);
    // What is wrong is told before anybody is asked, and to close the door is never dangerous.
    assert_eq!(browser.send(&form, &[("sources", "nowhere")]).await.status, 400);
    assert_eq!(location(&browser.send(&form, &[("sources", "")]).await), page);
    assert!(!browser.get(&page).await.text().contains("203.0.113.9"));
}

async fn an_operators_steps_into_an_account_want_the_password_again(site: &Site) {
    let world = site.world().await;
    let mut browser = operator(&world).await;
    let alice = account::by_email(&world.shop, ALICE).await.unwrap().id;
    let path = format!("/operator/accounts/{alice}");
    let allows = async || {
        let keys = api_key::list(&world.shop, Some(ALICE)).await.unwrap();
        (keys[0].id.to_string(), keys[0].allow_trial)
    };
    let (key, before) = allows().await;
    let (view, trial) = (format!("{path}/view"), format!("{path}/keys/{key}/trial"));
    let wish = [("allow", if before { "0" } else { "1" })];
    world.advance(LATER);
    let back = format!("/confirm?next={}&again=1", path.replace('/', "%2F"));
    assert_eq!(location(&browser.send(&trial, &wish).await), back);
    assert_eq!(allows().await.1, before);
    assert_eq!(location(&browser.send(&view, &[]).await), back);
    let own = browser.get("/overview").await.text();
    assert!(!own.contains("You look at the pages of"), "{own}");
    assert_eq!(confirm(&mut browser, &back).await, path);
    assert_eq!(location(&browser.send(&trial, &wish).await), path);
    assert_eq!(allows().await.1, !before);
    assert_eq!(location(&browser.send(&view, &[]).await), "/overview");
    world.advance(LATER);
    // Ending it is never dangerous.
    assert_eq!(location(&browser.send("/operator/view/end", &[]).await), path);
}
