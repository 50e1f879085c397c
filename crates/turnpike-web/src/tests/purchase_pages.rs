//! The pages on which customers buy, renew and change what they have.

use http::Method;
use turnpike_shop::notices::Ways;
use turnpike_shop::types::{Cents, NetworkType, Role, Span};
use turnpike_shop::{account, catalogue, ledger};

use super::pages::{Browser, location};
use super::site::{Site, on_both_engines};
use super::world::{ALICE, PASSWORD, catalogue as usual, config};

on_both_engines! {
    nobody_pays_a_price_that_he_has_not_seen,
    a_form_that_is_sent_twice_buys_once,
    a_renewal_costs_what_was_shown,
    a_subscription_is_told_to_renew_itself_on_its_page,
    who_is_not_told_of_renewals_is_led_to_the_notices,
    subscriptions_are_found_by_country_and_line_and_counted,
    other_peoples_subscriptions_are_not_there,
    what_is_wrong_is_told_on_the_page_that_was_sent,
    a_key_is_shown_once_and_is_no_more_than_was_asked_for,
    a_subscription_url_and_its_links_are_made_void,
    pictures_are_of_the_urls_that_clients_read,
    the_statement_is_a_file_that_no_spreadsheet_runs,
    a_long_statement_is_sent_whole,
    plans_stay_in_the_order_that_was_asked_for,
    who_has_none_running_is_not_told_that_there_are_none,
    whatever_a_program_is_given_can_be_copied,
    plans_are_found_by_what_they_are,
}

/// The value of a hidden field.
pub(super) fn hidden<'p>(page: &'p str, name: &str) -> &'p str {
    let start = format!("name=\"{name}\" value=\"");
    let at = page.find(&start).unwrap_or_else(|| panic!("no {name} in {page}")) + start.len();
    page[at..].split('"').next().unwrap()
}

/// A page of a subscription that was just bought.
pub(super) async fn bought(browser: &mut Browser<'_>) -> String {
    let path = format!("/plans/{}", browser.world.plan("NL-AMS", "private").await);
    let page = browser.get(&path).await.text();
    let fields = [("agreed", hidden(&page, "agreed")), ("once", hidden(&page, "once"))];
    location(&browser.send(&path, &fields).await).to_owned()
}

async fn nobody_pays_a_price_that_he_has_not_seen(site: &Site) {
    let world = site.world().await;
    let mut browser = Browser::signed_in(&world).await;
    let path = format!("/plans/{}", world.plan("NL-AMS", "private").await);
    let page = browser.get(&format!("{path}?quantity=2&coupon=mycode")).await.text();
    assert_eq!(hidden(&page, "agreed"), "2160");
    assert!(page.contains("instead of 24.00"), "{page}");
    for (agreed, quantity) in [("1200", "2"), ("", "1"), ("2160", "1")] {
        let refused = browser.send(&path, &[("agreed", agreed), ("quantity", quantity)]).await;
        assert_eq!(refused.status, 400, "{agreed} {quantity}");
        assert!(refused.text().contains("look at it again, then buy"));
    }
    assert_eq!(world.balance(ALICE).await, 50_000);
    let right = browser
        .send(&path, &[("agreed", "2160"), ("quantity", "2"), ("coupon", "MYCODE")])
        .await;
    assert_eq!(location(&right), "/subscriptions");
    assert_eq!(world.balance(ALICE).await, 50_000 - 2_160);
    let sold_out = browser.send(&path, &[("agreed", "2400"), ("quantity", "2")]).await;
    assert_eq!(sold_out.status, 409);
    assert!(
        sold_out.text().contains("Sold out: 1 of 2 are free"),
        "{}",
        sold_out.text()
    );
    for wrong in ["0", "101", "1.5", "x"] {
        let refused = browser.send(&path, &[("agreed", "1200"), ("quantity", wrong)]).await;
        assert_eq!(refused.status, 400, "{wrong}");
    }
    assert_eq!(browser.get("/plans/aaaaaaaaaaaaaaaaaaaaaaaa").await.status, 404);
    assert_eq!(browser.get("/plans/x").await.status, 404);
}

async fn a_form_that_is_sent_twice_buys_once(site: &Site) {
    let world = site.world().await;
    let mut browser = Browser::signed_in(&world).await;
    let path = format!("/plans/{}", world.plan("NL-AMS", "private").await);
    let page = browser.get(&path).await.text();
    let fields = [("agreed", "1200"), ("once", hidden(&page, "once"))];
    let first = browser.send(&path, &fields).await;
    let second = browser.send(&path, &fields).await;
    assert_eq!(location(&first), location(&second));
    assert_eq!(world.balance(ALICE).await, 50_000 - 1_200);
}

async fn a_renewal_costs_what_was_shown(site: &Site) {
    let world = site.world().await;
    let mut browser = Browser::signed_in(&world).await;
    let path = format!("{}/renew", bought(&mut browser).await);
    let plan = world.plan("NL-AMS", "private").await;
    let page = browser.get(&format!("{path}?repeat=3")).await.text();
    assert_eq!(hidden(&page, "agreed"), "3600");
    let fields = |agreed: &'static str| {
        [
            ("plan", plan.clone()),
            ("repeat", "3".to_owned()),
            ("agreed", agreed.to_owned()),
        ]
    };
    for (agreed, status) in [("1200", 400), ("3600", 303)] {
        let fields = fields(agreed);
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(browser.send(&path, &fields).await.status, status, "{agreed}");
    }
    assert_eq!(world.balance(ALICE).await, 50_000 - 4_800);
    let foreign = world.plan("DE-BER", "private").await;
    let refused = browser.send(&path, &[("plan", &foreign), ("agreed", "1500")]).await;
    assert_eq!(refused.status, 409);
    assert_eq!(browser.send(&path, &[("plan", "x"), ("agreed", "1")]).await.status, 409);
}

async fn a_subscription_is_told_to_renew_itself_on_its_page(site: &Site) {
    let world = site.world().await;
    let mut browser = Browser::signed_in(&world).await;
    let path = bought(&mut browser).await;
    let (auto, plan) = (format!("{path}/auto-renew"), world.plan("NL-AMS", "private").await);
    let page = browser.get(&path).await.text();
    assert!(
        page.contains("No, let it end") && !page.contains("Renews itself"),
        "{page}"
    );
    assert_eq!(location(&browser.send(&auto, &[("plan", &plan)]).await), path);
    let page = browser.get(&path).await.text();
    assert!(page.contains(&format!("<option value=\"{plan}\" selected>")), "{page}");
    assert!(page.contains("Renews itself") && page.contains("for 12.00"), "{page}");
    assert!(browser.get("/subscriptions").await.text().contains("Renews itself"));
    for (wrong, status) in [("x", 400), ("aaaaaaaaaaaaaaaaaaaaaaaa", 400)] {
        assert_eq!(browser.send(&auto, &[("plan", wrong)]).await.status, status, "{wrong}");
    }
    assert_eq!(location(&browser.send(&auto, &[("plan", "")]).await), path);
    assert!(!browser.get(&path).await.text().contains("Renews itself"));
}

async fn who_is_not_told_of_renewals_is_led_to_the_notices(site: &Site) {
    let ways = Ways {
        email: true,
        ..Ways::default()
    };
    let world = site.world_of(config(), ways).await;
    let mut browser = Browser::signed_in(&world).await;
    let path = bought(&mut browser).await;
    let (auto, plan) = (format!("{path}/auto-renew"), world.plan("NL-AMS", "private").await);
    let hint = "You are not told whether that works. <a href=\"/notices\">";
    assert!(!browser.get(&path).await.text().contains(hint));
    browser.send(&auto, &[("plan", &plan)]).await;
    assert!(browser.get(&path).await.text().contains(hint));
    let chosen = [("low", "5.00"), ("subscription.renewal_failed email", "on")];
    assert_eq!(location(&browser.send("/notices", &chosen).await), "/notices");
    assert!(!browser.get(&path).await.text().contains(hint));
    // Where nobody could be told, nobody is sent there.
    let silent = site.world().await;
    let mut browser = Browser::signed_in(&silent).await;
    let path = bought(&mut browser).await;
    let plan = silent.plan("NL-AMS", "private").await;
    browser.send(&format!("{path}/auto-renew"), &[("plan", &plan)]).await;
    let page = browser.get(&path).await.text();
    assert!(page.contains("Renews itself") && !page.contains(hint), "{page}");
}

async fn subscriptions_are_found_by_country_and_line_and_counted(site: &Site) {
    let world = site.world().await;
    let mut browser = Browser::signed_in(&world).await;
    let told = |page: &str| between(page, "id=\"told\" role=\"status\">", "<").to_owned();
    assert_eq!(told(&browser.get("/subscriptions").await.text()), "");
    let dutch = bought(&mut browser).await;
    let german = world.plan("DE-BER", "private").await;
    let order = serde_json::json!({ "op": "purchase", "planId": german });
    let german = world.post(order).send().await.json()["subscription"]["subscriptionId"].to_string();
    let german = german.trim_matches('"');
    for (query, found) in [
        ("", "2 found."),
        ("?country=DE", "1 found."),
        ("?country=FR", "Nothing fits"),
        ("?line=isp", "Nothing fits"),
        ("?type=shared", "Nothing fits"),
        ("?type=private", "2 found."),
        ("?type=private&country=DE", "1 found."),
        ("?country=DE&order=port", "1 found."),
        ("?order=oldest", "2 found."),
        ("?order=x&line=x&network=x&state=x&type=x", "2 found."),
    ] {
        let page = browser.get(&format!("/subscriptions{query}")).await.text();
        assert_eq!(told(&page), found, "{query}");
        assert_eq!(
            page.contains(&format!("href=\"{dutch}\"")),
            found == "2 found.",
            "{query}"
        );
        assert_eq!(page.contains(german), found != "Nothing fits", "{query}");
    }
}

async fn other_peoples_subscriptions_are_not_there(site: &Site) {
    let world = site.world().await;
    let path = bought(&mut Browser::signed_in(&world).await).await;
    world.person("bob@example.com", Role::Customer).await;
    let mut bob = Browser::new(&world);
    bob.send("/sign-in", &[("email", "bob@example.com"), ("password", PASSWORD)])
        .await;
    for path in [
        path.clone(),
        format!("{path}/renew"),
        format!("{path}/links"),
        format!("{path}/picture/vless"),
    ] {
        assert_eq!(bob.get(&path).await.status, 404, "{path}");
    }
    let own_link = format!("links/{}", path.rsplit('/').next().unwrap());
    for act in [
        "note",
        "rotate",
        "policy",
        "network",
        "credentials",
        "renew",
        "url",
        "links",
        "sources",
        &format!("{own_link}/renew"),
        &format!("{own_link}/revoke"),
    ] {
        let fields = [
            ("note", "mine"),
            ("name", "mine"),
            ("minutes", "0"),
            ("network", "aaaaaaaaaaaaaaaaaaaaaaaa"),
            ("plan", "x"),
        ];
        assert_eq!(bob.send(&format!("{path}/{act}"), &fields).await.status, 404, "{act}");
    }
    assert!(!bob.get("/subscriptions").await.text().contains(&path));
}

async fn what_is_wrong_is_told_on_the_page_that_was_sent(site: &Site) {
    let world = site.world().await;
    let mut browser = Browser::signed_in(&world).await;
    let path = bought(&mut browser).await;
    for (act, field, value, status) in [
        ("note", "note", "a\nb", 400),
        ("policy", "minutes", "7", 400),
        ("policy", "minutes", "", 400),
        ("network", "network", "x", 400),
    ] {
        let answer = browser.send(&format!("{path}/{act}"), &[(field, value)]).await;
        assert_eq!(answer.status, status, "{act} {value:?}");
        assert!(
            answer.text().contains("class=\"wrong\"") && answer.text().contains("data-copy"),
            "{act}"
        );
    }
    assert_eq!(
        location(&browser.send(&format!("{path}/note"), &[("note", "<b>bold</b>")]).await),
        path
    );
    let page = browser.get("/subscriptions").await.text();
    assert!(!page.contains("<b>bold") && page.contains("&#60;b&#62;bold"), "{page}");
}

/// The text between two others.
pub(super) fn between<'p>(page: &'p str, start: &str, end: &str) -> &'p str {
    let (_, rest) = page.split_once(start).unwrap_or_else(|| panic!("no {start} in {page}"));
    rest.split_once(end).unwrap().0
}

async fn a_subscription_url_and_its_links_are_made_void(site: &Site) {
    let world = site.world().await;
    let mut browser = Browser::signed_in(&world).await;
    let path = bought(&mut browser).await;
    for (shown, form) in [
        (path.clone(), format!("{path}/url")),
        ("/subscriptions".to_owned(), "/subscriptions/url".to_owned()),
    ] {
        let url_on = |page: &str| between(page, "/sub/", "<").to_owned();
        let before = url_on(&browser.get(&shown).await.text());
        assert_eq!(browser.get(&format!("/sub/{before}")).await.status, 200);
        assert_eq!(location(&browser.send(&form, &[]).await), shown);
        let after = url_on(&browser.get(&shown).await.text());
        assert_eq!(browser.get(&format!("/sub/{before}")).await.status, 404);
        assert_eq!(browser.get(&format!("/sub/{after}")).await.status, 200);
    }
    let links = format!("{path}/links");
    for (field, value) in [("allowed", "x"), ("name", ""), ("name", "main")] {
        let fields = [("name", "Monday"), ("kind", "status"), (field, value)];
        let fields = if field == "name" { &fields[1..] } else { &fields[..] };
        let refused = browser.send(&links, fields).await;
        assert!(refused.status.is_client_error(), "{field} {value}");
        assert!(refused.text().contains("class=\"wrong\""), "{field} {value}");
    }
    let made = browser.send(&links, &[("name", "Monday"), ("kind", "status")]).await;
    assert_eq!(location(&made), links);
    let page = browser.get(&links).await.text();
    let status = format!("/status/{}", between(&page, "/status/", "<"));
    assert_eq!(browser.get(&status).await.status, 200);
    let own = between(&page, &format!("{links}/"), "/renew").to_owned();
    assert_eq!(path, format!("/subscriptions/{own}"));
    assert_eq!(browser.send(&format!("{links}/{own}/revoke"), &[]).await.status, 409);
    let rotate = between(&page, "/r/", "<").to_owned();
    assert_eq!(
        location(&browser.send(&format!("{links}/{own}/renew"), &[]).await),
        links
    );
    assert!(!browser.get(&links).await.text().contains(&rotate));
    assert_eq!(browser.get(&status).await.status, 200);
    let wrong = browser
        .send(&format!("{path}/sources"), &[("sources", "192.0.2.1 x")])
        .await;
    assert_eq!(wrong.status, 400);
    assert!(wrong.text().contains("192.0.2.1 x</textarea>"), "{}", wrong.text());
    let list = [("sources", "192.0.2.1, 2001:db8::7/48")];
    assert_eq!(location(&browser.send(&format!("{path}/sources"), &list).await), links);
    assert!(
        browser
            .get(&links)
            .await
            .text()
            .contains("192.0.2.1\n2001:db8::/48</textarea>")
    );
}

async fn pictures_are_of_the_urls_that_clients_read(site: &Site) {
    let world = site.world().await;
    let mut browser = Browser::signed_in(&world).await;
    let path = bought(&mut browser).await;
    for protocol in ["vless", "shadowsocks"] {
        let picture = browser.get(&format!("{path}/picture/{protocol}")).await;
        assert_eq!(picture.status, 200);
        assert_eq!(picture.headers["content-type"], "image/svg+xml");
        assert_eq!(picture.headers["cache-control"], "no-store");
        assert!(picture.text().contains("<svg"));
    }
    assert_eq!(browser.get(&format!("{path}/picture/http")).await.status, 404);
}

async fn a_key_is_shown_once_and_is_no_more_than_was_asked_for(site: &Site) {
    let world = site.world().await;
    let mut browser = Browser::signed_in(&world).await;
    for (name, value) in [("name", ""), ("days", "0"), ("days", "x"), ("sources", "everywhere")] {
        let fields = [("name", "good"), (name, value)];
        let fields = if name == "name" { &fields[1..] } else { &fields[..] };
        assert_eq!(browser.send("/keys", fields).await.status, 400, "{name} {value}");
    }
    let made = browser
        .send(
            "/keys",
            &[
                ("name", "Scraper"),
                ("access", "read"),
                ("days", "1"),
                ("sources", "192.0.2.1"),
            ],
        )
        .await
        .text();
    let at = made.find("rk_").unwrap();
    let key: String = made[at..]
        .chars()
        .take_while(char::is_ascii_alphanumeric)
        .collect::<String>();
    let key = if key == "rk" {
        made[at..].chars().take(62).collect()
    } else {
        key
    };
    assert!(!browser.get("/keys").await.text().contains(&key));
    let ask = |query: &str| {
        world
            .ask(Method::GET, &format!("/api/proxy?{query}"))
            .header("x-api-key", &key)
    };
    assert_eq!(ask("op=plans").send().await.status, 200);
    assert_eq!(
        ask("op=plans").from("192.0.2.2").send().await.error().1,
        "source_not_allowed"
    );
    let order = world.ask(Method::POST, "/api/proxy").header("x-api-key", &key);
    let order = order
        .body(r#"{"op":"purchase","planId":"aaaaaaaaaaaaaaaaaaaaaaaa"}"#)
        .send()
        .await;
    assert_eq!(order.error().1, "read_only_key");
    world.advance(Span::days(1));
    assert_eq!(ask("op=plans").send().await.status, 401);
    let mut browser = Browser::signed_in(&world).await;
    let page = browser.get("/keys").await.text();
    let revoke = page
        .split("action=\"")
        .find_map(|part| part.split('"').next().filter(|path| path.ends_with("/revoke")));
    assert_eq!(location(&browser.send(revoke.unwrap(), &[]).await), "/keys");
    assert_eq!(browser.send("/keys/aaaaaaaaaaaa/revoke", &[]).await.status, 404);
}

async fn the_statement_is_a_file_that_no_spreadsheet_runs(site: &Site) {
    let world = site.world().await;
    ledger::adjust(&world.shop, "test", ALICE, Cents(5), "=1+1")
        .await
        .unwrap();
    let mut browser = Browser::signed_in(&world).await;
    let path = bought(&mut browser).await;
    let alice = account::by_email(&world.shop, ALICE).await.unwrap().id;
    let line = ledger::lines(&world.shop, &alice, None, 1).await.unwrap().remove(0);
    let order = line.order.unwrap();
    let port = order.subscriptions[0].port;
    let file = browser.get("/statement.csv").await;
    assert_eq!(file.header("content-type"), Some("text/csv; charset=utf-8"));
    assert_eq!(
        file.text(),
        format!(
            "number,time,kind,amount,balance,note,order,plan,ports\n\
             3,2025-10-09T08:53:20Z,purchase,-12.00,488.05,,{},nl-private-30d,{port}\n\
             2,2025-10-09T08:53:20Z,credit,0.05,500.05,'=1+1,,,\n\
             1,2025-10-09T08:53:20Z,credit,500.00,500.00,to begin with,,,\n",
            order.id
        )
    );
    let page = browser.get("/statement").await.text();
    let link = format!("<a href=\"{}\">Port {port}</a>", path.split('?').next().unwrap());
    assert!(page.contains(&link) && page.contains(order.id.as_str()), "{page}");
    let page = browser.get("/statement?below=2").await.text();
    assert!(page.contains("to begin with") && !page.contains("=1+1"));
}

async fn a_long_statement_is_sent_whole(site: &Site) {
    let world = site.world().await;
    let count = 1_100;
    for cents in 1..=count {
        ledger::adjust(&world.shop, "test", ALICE, Cents(cents), "")
            .await
            .unwrap();
    }
    let file = Browser::signed_in(&world).await.get("/statement.csv").await.text();
    let numbers: Vec<i64> = file
        .lines()
        .skip(1)
        .map(|line| line.split(',').next().unwrap().parse().unwrap())
        .collect();
    assert_eq!(numbers, (1..=count + 1).rev().collect::<Vec<_>>());
}

async fn plans_stay_in_the_order_that_was_asked_for(site: &Site) {
    let world = site.world().await;
    let mut browser = Browser::signed_in(&world).await;
    let chosen = "<option value=\"price\" selected>";
    assert!(browser.get("/plans?order=price").await.text().contains(chosen));
    assert!(!browser.get("/plans").await.text().contains(chosen));
}

async fn who_has_none_running_is_not_told_that_there_are_none(site: &Site) {
    let world = site.world().await;
    let mut browser = Browser::signed_in(&world).await;
    let (nothing, none_runs) = ("You have no subscriptions", "None is running");
    let page = browser.get("/overview").await.text();
    assert!(page.contains(nothing) && !page.contains(none_runs), "{page}");
    bought(&mut browser).await;
    world.advance(Span::days(31));
    turnpike_shop::upkeep::run(&world.shop).await.unwrap();
    let page = Browser::signed_in(&world).await.get("/overview").await.text();
    assert!(page.contains(none_runs) && !page.contains(nothing), "{page}");
}

async fn whatever_a_program_is_given_can_be_copied(site: &Site) {
    let world = site.world().await;
    let mut browser = Browser::signed_in(&world).await;
    let path = bought(&mut browser).await;
    let page = browser.get(&path).await.text();
    let own = world.get("op=subscriptions").send().await.json();
    let login = &own["subscriptions"][0]["credentials"];
    let [user, password] = ["username", "password"].map(|part| login[part].as_str().unwrap());
    for part in ["proxy.example.com", "12001", user, password] {
        assert!(page.contains(&format!("data-copy=\"{part}\"")), "{part}: {page}");
    }
    let blocks: Vec<&str> = page
        .split("<pre tabindex=\"0\"><code>")
        .skip(1)
        .map(|rest| rest.split("</code>").next().unwrap())
        .collect();
    assert_eq!(blocks.len(), 5, "curl, requests, Playwright, sing-box, Clash");
    for block in blocks {
        assert!(page.contains(&format!("data-copy=\"{block}\"")), "{block}");
    }
}

async fn plans_are_found_by_what_they_are(site: &Site) {
    let world = site.world().await;
    let mut sold = usual();
    sold.networks[1].network_type = NetworkType::Datacenter;
    catalogue::apply(&world.shop, "test", sold, false).await.unwrap();
    let mut browser = Browser::signed_in(&world).await;
    for (query, found) in [
        ("", 3),
        ("?line=mobile", 2),
        ("?line=datacenter", 1),
        ("?line=residential", 0),
        ("?line=mobile&type=shared", 1),
        ("?line=mobile&country=DE", 0),
        ("?country=DE&type=private&line=datacenter", 1),
    ] {
        let page = browser.get(&format!("/plans{query}")).await.text();
        assert_eq!(page.matches("<section class=\"card plan\">").count(), found, "{query}");
        assert_eq!(page.contains("Clear the filter"), found == 0, "{query}");
    }
    let page = browser.get("/plans?line=datacenter").await.text();
    assert!(
        page.contains("<option value=\"datacenter\" selected>Data centre"),
        "{page}"
    );
    assert!(!page.contains("value=\"isp\""), "what nobody sells is not offered");
}
