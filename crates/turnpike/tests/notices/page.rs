//! The customer's pages, as a browser without scripts uses them.

use serde_json::Value;
use testbed::client::curled;
use testbed::turnpike::Turnpike;

const PASSWORD: &str = "correct horse battery";

/// Somebody who is signed in.
pub(crate) struct Browser {
    url: String,
    jar: String,
}

impl Browser {
    /// Makes an account with money, and signs in to it.
    pub(crate) fn of(shop: &Turnpike, email: &str) -> Self {
        let browser = Self {
            url: shop.url(""),
            jar: shop.home().join(format!("{email}.cookies")).display().to_string(),
        };
        browser.send("/sign-up", &[("email", email), ("password", PASSWORD)]);
        let _ = shop.run(&["account", "credit", email, "100000"]);
        browser
    }

    /// The page behind a path.
    pub(crate) fn get(&self, path: &str) -> String {
        self.ask(path, &[])
    }

    /// Sends a form; the page that it leads to.
    pub(crate) fn send(&self, path: &str, fields: &[(&str, &str)]) -> String {
        let pairs: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut arguments: Vec<&str> = vec!["--location", "--header", "Sec-Fetch-Site: same-origin"];
        if pairs.is_empty() {
            arguments.extend(["--data", ""]);
        }
        for pair in &pairs {
            arguments.extend(["--data-urlencode", pair]);
        }
        self.ask(path, &arguments)
    }

    /// Signs in once more, with another browser.
    pub(crate) fn sign_in_elsewhere(&self, email: &str, agent: &str) {
        let (email, password) = (format!("email={email}"), format!("password={PASSWORD}"));
        let _ = curled(&[
            "--header",
            "Sec-Fetch-Site: same-origin",
            "--user-agent",
            agent,
            "--data-urlencode",
            &email,
            "--data-urlencode",
            &password,
            &format!("{}/sign-in", self.url),
        ]);
    }

    fn ask(&self, path: &str, arguments: &[&str]) -> String {
        let url = format!("{}{path}", self.url);
        let mut all = vec![
            "--cookie",
            &self.jar,
            "--cookie-jar",
            &self.jar,
            "--header",
            "Accept: text/html",
        ];
        all.extend(arguments);
        all.push(&url);
        curled(&all)
    }

    /// Chooses these notices, such as `account.signed_in webhook`, and no others.
    pub(crate) fn choose(&self, wanted: &[&str]) {
        let mut fields = vec![("low", "50.00")];
        fields.extend(wanted.iter().map(|one| (*one, "on")));
        let page = self.send("/notices", &fields);
        assert!(page.contains("Saved."), "{page}");
    }

    /// Makes a webhook; its page's path and its secret.
    pub(crate) fn webhook(&self, url: &str) -> (String, String) {
        let page = self.send("/notices/webhooks", &[("url", url)]);
        let after = |start: &str, end: char| {
            let at = page.find(start).unwrap_or_else(|| panic!("no {start} in {page}")) + start.len();
            page[at..].split(end).next().unwrap().to_owned()
        };
        let secret = after("data-copy=\"whsec_", '"');
        (
            format!("/notices/webhooks/{}", after("href=\"/notices/webhooks/", '"')),
            format!("whsec_{secret}"),
        )
    }
}

/// Where a page's form that leads to this ending goes.
pub(crate) fn form<'p>(page: &'p str, ending: &str) -> &'p str {
    page.split("action=\"")
        .filter_map(|part| part.split('"').next())
        .find(|action| action.ends_with(ending))
        .unwrap_or_else(|| panic!("no form to {ending} in {page}"))
}

/// A text of what a receiver got.
pub(crate) fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_else(|| panic!("no {pointer} in {value}"))
}
