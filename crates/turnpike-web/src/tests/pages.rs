//! The pages: who gets in, what other sites can do, what browsers are told.

use http::Method;
use serde_json::json;
use turnpike_shop::types::{Role, Span};
use turnpike_shop::{account, first_operator, second_factor};

use super::operator_pages::operator;
use super::site::{Site, on_both_engines};
use super::world::{ALICE, PASSWORD, Reply, World, config, full};
use crate::WebConfig;

on_both_engines! {
    signing_in_gives_a_cookie_that_opens_the_pages,
    what_wants_a_session_leads_to_signing_in_and_back,
    dangerous_pages_want_the_password_again,
    a_form_of_another_site_does_nothing,
    the_second_factor_stands_before_the_pages,
    a_new_password_signs_other_browsers_out,
    accounts_are_made_by_strangers_only_where_that_is_allowed,
    the_first_operator_comes_by_the_link,
    programs_paths_know_nobody_by_a_cookie,
}

/// A browser: its cookie, and what it says of where a form comes from.
pub(super) struct Browser<'w> {
    pub(super) world: &'w World,
    cookie: String,
    site: &'static str,
}

impl<'w> Browser<'w> {
    pub(super) fn new(world: &'w World) -> Self {
        Self {
            world,
            cookie: String::new(),
            site: "same-origin",
        }
    }

    pub(super) async fn signed_in(world: &'w World) -> Self {
        let mut browser = Self::new(world);
        let answer = browser
            .send("/sign-in", &[("email", ALICE), ("password", PASSWORD)])
            .await;
        assert_eq!(location(&answer), "/overview", "{}", answer.text());
        browser
    }

    pub(super) async fn get(&mut self, path: &str) -> Reply {
        self.request(Method::GET, path, "").await
    }

    pub(super) async fn send(&mut self, path: &str, fields: &[(&str, &str)]) -> Reply {
        let body: String = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        self.request(Method::POST, path, &body).await
    }

    async fn request(&mut self, method: Method, path: &str, body: &str) -> Reply {
        let answer = self
            .world
            .ask(method, path)
            .header("cookie", &self.cookie)
            .header("accept", "text/html")
            .header("content-type", "application/x-www-form-urlencoded")
            .header("sec-fetch-site", self.site)
            .body(body)
            .send()
            .await;
        for cookie in answer.headers.get_all("set-cookie") {
            let cookie = cookie.to_str().unwrap();
            if cookie.starts_with("__Host-session=") {
                self.cookie = cookie.split(';').next().unwrap().to_owned();
            }
        }
        answer
    }
}

pub(super) fn location(answer: &Reply) -> &str {
    assert_eq!(answer.status, 303, "{}", answer.text());
    answer.header("location").unwrap()
}

async fn signing_in_gives_a_cookie_that_opens_the_pages(site: &Site) {
    let world = site.world().await;
    let mut browser = Browser::new(&world);
    let wrong = browser
        .send("/sign-in", &[("email", ALICE), ("password", "not the password")])
        .await;
    assert_eq!(wrong.status, 401);
    assert!(
        wrong.text().contains("The e-mail address or the password is wrong"),
        "{}",
        wrong.text()
    );
    assert!(!wrong.text().contains("not the password"));
    let right = browser
        .send(
            "/sign-in",
            &[("email", ALICE), ("password", PASSWORD), ("next", "/account")],
        )
        .await;
    assert_eq!(location(&right), "/account");
    let cookie = right.header("set-cookie").unwrap();
    assert!(cookie.starts_with("__Host-session="), "{cookie}");
    assert!(
        cookie.ends_with("; Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax; Secure"),
        "{cookie}"
    );
    let page = browser.get("/overview").await;
    assert_eq!(page.status, 200);
    assert!(page.text().contains(ALICE) && page.text().contains("500.00"));
    assert_eq!(page.header("cache-control"), Some("no-store"));
    for (name, value) in [
        (
            "content-security-policy",
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
             form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        ),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("strict-transport-security", "max-age=31536000"),
    ] {
        assert_eq!(page.header(name), Some(value), "{name}");
    }
    assert_eq!(location(&browser.get("/sign-in").await), "/overview");
    let out = browser.send("/sign-out", &[]).await;
    assert_eq!(location(&out), "/sign-in");
    let notice = out
        .headers
        .get_all("set-cookie")
        .iter()
        .find(|c| c.to_str().unwrap().starts_with("__Host-notice="));
    assert!(notice.is_some());
    assert!(location(&browser.get("/overview").await).starts_with("/sign-in"));
}

async fn programs_paths_know_nobody_by_a_cookie(site: &Site) {
    let world = site.world().await;
    let mut browser = Browser::signed_in(&world).await;
    assert_eq!(browser.get("/overview").await.status, 200);
    let plan = world.plan("NL-AMS", "private").await;
    let purchase = json!({ "op": "purchase", "planId": plan }).to_string();
    let before = world.balance(ALICE).await;
    for (method, path, body) in [
        (Method::GET, "/api/proxy?op=subscriptions", ""),
        (Method::POST, "/api/proxy", purchase.as_str()),
        (Method::GET, "/api/v1/account", ""),
        (Method::GET, "/api/v1/ledger", ""),
        (Method::POST, "/api/v1/keys", "{\"name\":\"mine\",\"readOnly\":false}"),
        (Method::GET, "/api/admin/overview", ""),
    ] {
        let answer = browser.request(method, path, body).await;
        assert_eq!(answer.error(), (401, "unauthorized".to_owned()), "{path}");
    }
    assert_eq!(world.balance(ALICE).await, before);
    // Beside a key it counts for nothing either.
    world.person("bob@example.com", Role::Customer).await;
    let bobs = world.key_of("bob@example.com", full()).await;
    let asked = world
        .ask(Method::GET, "/api/v1/account")
        .header("cookie", &browser.cookie);
    let answer = asked.header("x-api-key", &bobs).send().await.json();
    assert!(answer.to_string().contains("bob@example.com"), "{answer}");
    // An operator's, where operators' programs go.
    let mut operator = operator(&world).await;
    let answer = operator.request(Method::GET, "/api/admin/overview", "").await;
    assert_eq!(answer.error(), (401, "unauthorized".to_owned()));
}

async fn what_wants_a_session_leads_to_signing_in_and_back(site: &Site) {
    let world = site.world().await;
    let mut browser = Browser::new(&world);
    for path in [
        "/overview",
        "/plans",
        "/subscriptions",
        "/statement",
        "/statement.csv",
        "/keys",
        "/reference",
        "/operator/reference",
        "/account",
        "/account/second-factor",
        "/confirm",
    ] {
        let answer = browser.get(path).await;
        let encoded = path.replace('/', "%2F");
        assert_eq!(location(&answer), format!("/sign-in?next={encoded}"));
    }
    for path in [
        "/account/password",
        "/account/sessions/end-others",
        "/account/second-factor/off",
    ] {
        assert_eq!(
            location(&browser.send(path, &[]).await),
            "/sign-in?next=%2Foverview",
            "{path}"
        );
    }
    let page = browser.get("/sign-in?next=%2Faccount").await;
    assert!(
        page.text().contains("name=\"next\" value=\"&#47;account\"")
            || page.text().contains("name=\"next\" value=\"/account\"")
    );
    let nothing = browser.get("/no-such-page").await;
    assert_eq!(nothing.status, 404);
    assert!(nothing.text().contains("There is nothing here"));
    let mut signed_in = Browser::signed_in(&world).await;
    let wrong_method = signed_in.send("/overview", &[]).await;
    assert_eq!(wrong_method.status, 405);
}

async fn dangerous_pages_want_the_password_again(site: &Site) {
    let world = site.world().await;
    let mut browser = Browser::signed_in(&world).await;
    assert_eq!(browser.get("/account/second-factor").await.status, 200);
    world.advance(Span::minutes(10));
    let asked = browser.get("/account/second-factor").await;
    assert_eq!(location(&asked), "/confirm?next=%2Faccount%2Fsecond-factor");
    let before = browser.cookie.clone();
    let wrong = browser.send("/confirm", &[("password", "not the password")]).await;
    assert_eq!(wrong.status, 401);
    let right = browser
        .send(
            "/confirm",
            &[("password", PASSWORD), ("next", "/account/second-factor")],
        )
        .await;
    assert_eq!(location(&right), "/account/second-factor");
    assert_ne!(browser.cookie, before);
    assert_eq!(browser.get("/account/second-factor").await.status, 200);
}

async fn a_form_of_another_site_does_nothing(site: &Site) {
    let world = site.world().await;
    let mut browser = Browser::signed_in(&world).await;
    for elsewhere in ["cross-site", "same-site"] {
        browser.site = elsewhere;
        let refused = browser.send("/sign-out", &[]).await;
        assert_eq!(refused.status, 403, "{elsewhere}");
        assert!(refused.text().contains("sent by another site"));
    }
    // Old browsers say only the origin, and programs nothing at all.
    for (origin, status) in [
        ("https://shop.example", 303),
        ("https://evil.example", 403),
        ("null", 403),
    ] {
        let world = site.world().await;
        let browser = Browser::signed_in(&world).await;
        let ask = world.ask(Method::POST, "/sign-out").header("cookie", &browser.cookie);
        assert_eq!(ask.header("origin", origin).send().await.status, status, "{origin}");
    }
    let nothing = world
        .ask(Method::POST, "/sign-out")
        .header("cookie", &browser.cookie)
        .send()
        .await;
    assert_eq!(nothing.status, 403);
    browser.site = "same-origin";
    assert_eq!(browser.get("/overview").await.status, 200, "still signed in");
}

async fn the_second_factor_stands_before_the_pages(site: &Site) {
    let world = site.world().await;
    let mut browser = Browser::signed_in(&world).await;
    let page = browser.get("/account/second-factor").await;
    assert!(page.text().contains("<svg"));
    let alice = account::by_email(&world.shop, ALICE).await.unwrap();
    let secret = second_factor::offer(&world.shop, &alice.id).await.unwrap();
    let code = || second_factor::code_at(&secret, world.shop.now()).unwrap();
    let wrong = browser.send("/account/second-factor", &[("code", "12")]).await;
    assert_eq!(wrong.status, 401);
    let on = browser.send("/account/second-factor", &[("code", &code())]).await;
    assert_eq!(on.text().matches("<li><code>").count(), 10);
    world.advance(Span::minutes(1));
    let mut other = Browser::new(&world);
    let asked = other
        .send("/sign-in", &[("email", ALICE), ("password", PASSWORD)])
        .await;
    assert_eq!(location(&asked), "/sign-in/code?next=%2Foverview");
    assert_eq!(
        location(&other.get("/overview").await),
        "/sign-in/code?next=%2Foverview"
    );
    assert_eq!(other.send("/sign-in/code", &[("code", "wrong")]).await.status, 401);
    assert_eq!(
        location(&other.send("/sign-in/code", &[("code", &code())]).await),
        "/overview"
    );
    assert_eq!(other.get("/overview").await.status, 200);
    let token = |code: Option<String>| {
        let body = serde_json::json!({"email": ALICE, "password": PASSWORD, "code": code}).to_string();
        world.ask(Method::POST, "/api/auth/token").body(&body).send()
    };
    assert_eq!(token(None).await.error(), (401, "code_wanted".to_owned()));
    world.advance(Span::minutes(1));
    assert_eq!(token(Some(code())).await.status, 200);
    assert_eq!(
        location(&other.send("/account/second-factor/off", &[]).await),
        "/account"
    );
    assert_eq!(token(None).await.status, 200);
}

async fn a_new_password_signs_other_browsers_out(site: &Site) {
    let world = site.world().await;
    let (mut browser, mut other) = (Browser::signed_in(&world).await, Browser::signed_in(&world).await);
    let new = "another good password";
    let wrong = browser
        .send("/account/password", &[("current", "no"), ("password", new)])
        .await;
    assert_eq!(wrong.status, 401);
    let short = browser
        .send("/account/password", &[("current", PASSWORD), ("password", "short")])
        .await;
    assert_eq!(short.status, 400);
    let done = browser
        .send("/account/password", &[("current", PASSWORD), ("password", new)])
        .await;
    assert_eq!(location(&done), "/account");
    assert_eq!(browser.get("/account").await.status, 200);
    assert!(location(&other.get("/account").await).starts_with("/sign-in"));
}

async fn accounts_are_made_by_strangers_only_where_that_is_allowed(site: &Site) {
    let closed = site.world().await;
    let mut browser = Browser::new(&closed);
    assert_eq!(browser.get("/sign-up").await.status, 404);
    assert_eq!(browser.send("/sign-up", &[]).await.status, 404);
    assert!(!browser.get("/sign-in").await.text().contains("/sign-up"));
    let open = site
        .world_with(WebConfig {
            sign_up: true,
            ..config()
        })
        .await;
    let mut browser = Browser::new(&open);
    assert!(browser.get("/sign-in").await.text().contains("/sign-up"));
    let taken = browser
        .send("/sign-up", &[("email", ALICE), ("password", PASSWORD)])
        .await;
    assert_eq!(taken.status, 409);
    let unfit = browser
        .send("/sign-up", &[("email", "new@example.com"), ("password", "short")])
        .await;
    assert_eq!(unfit.status, 400);
    let made = browser
        .send("/sign-up", &[("email", "new@example.com"), ("password", PASSWORD)])
        .await;
    assert_eq!(location(&made), "/overview");
    let made = account::by_email(&open.shop, "new@example.com").await.unwrap();
    assert_eq!((made.role, made.balance.0), (Role::Customer, 0));
    let mut last = 0;
    for _ in 0..10 {
        last = browser
            .send("/sign-up", &[("email", ALICE), ("password", PASSWORD)])
            .await
            .status
            .as_u16();
    }
    assert_eq!(last, 429, "one address makes no more of them");
}

async fn the_first_operator_comes_by_the_link(site: &Site) {
    let world = site.world().await;
    // Somebody has an account, so no link works.
    assert!(first_operator::invite(&world.shop).await.unwrap().is_none());
    let mut browser = Browser::new(&world);
    assert_eq!(browser.get("/setup/abc").await.status, 404);
    let refused = browser
        .send("/setup/abc", &[("email", "boss@example.com"), ("password", PASSWORD)])
        .await;
    assert_eq!(refused.status, 404);
}

#[tokio::test]
async fn files_are_kept_for_ever_and_come_compressed() {
    let world = World::new().await;
    let page = Browser::new(&world).get("/sign-in").await.text();
    let mut total = page.len();
    for (start, kind) in [
        ("/assets/style-", "text/css"),
        ("/assets/htmx-", "text/javascript"),
        ("/assets/script-", "text/javascript"),
        ("/assets/icon-", "image/svg"),
    ] {
        let at = page.find(start).unwrap_or_else(|| panic!("{start} is not in the page"));
        let path: String = page[at..].chars().take_while(|c| *c != '"').collect();
        let file = world
            .ask(Method::GET, &path)
            .header("accept-encoding", "br, gzip")
            .send()
            .await;
        assert_eq!(file.status, 200);
        assert!(file.header("content-type").unwrap().starts_with(kind));
        assert_eq!(file.header("content-encoding"), Some("gzip"));
        assert_eq!(
            file.header("cache-control"),
            Some("public, max-age=31536000, immutable")
        );
        total += file.body.len();
        let plain = world.ask(Method::GET, &path).send().await;
        assert_eq!(plain.header("content-encoding"), None);
        assert!(plain.body.len() > file.body.len());
    }
    assert!(total < 150 * 1024, "the first load takes {total} bytes");
    assert_eq!(world.ask(Method::GET, "/assets/style-0.css").send().await.status, 404);
}

#[tokio::test]
async fn without_tls_the_cookie_is_an_ordinary_one() {
    let world = World::with(WebConfig {
        public_url: "http://127.0.0.1:8080".to_owned(),
        ..config()
    })
    .await;
    let answer = Browser::new(&world)
        .send("/sign-in", &[("email", ALICE), ("password", PASSWORD)])
        .await;
    let cookie = answer.header("set-cookie").unwrap();
    assert!(cookie.starts_with("session=") && !cookie.contains("Secure"), "{cookie}");
}

#[tokio::test]
async fn a_browser_at_the_root_goes_on_to_the_pages() {
    let world = World::new().await;
    assert_eq!(location(&Browser::new(&world).get("/").await), "/overview");
    assert!(world.ask(Method::GET, "/").send().await.text().contains("/api/proxy"));
}
