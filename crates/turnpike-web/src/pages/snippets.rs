//! What to paste into a program so that it uses a subscription.

use turnpike_shop::subscription::Subscription;

use crate::api::protocols::proxy_url;
use crate::error::ApiError;
use crate::sub;

/// A piece of a program or of its configuration.
pub(crate) struct Snippet {
    /// Whose.
    pub(crate) name: &'static str,
    pub(crate) text: String,
}

/// One for each program. Those that run ask our own `/ip`, so that they show that the port works.
pub(crate) fn of(subscription: &Subscription, named: &str, public_url: &str) -> Result<Vec<Snippet>, ApiError> {
    let (http, socks) = (proxy_url("http", subscription), proxy_url("socks5h", subscription));
    let Subscription {
        host,
        port,
        username,
        password,
        ..
    } = subscription;
    let snippet = |name, text| Snippet { name, text };
    Ok(vec![
        snippet(
            "curl",
            format!("curl -x \"{http}\" {public_url}/ip\ncurl -x \"{socks}\" {public_url}/ip"),
        ),
        snippet(
            "Python requests",
            format!(
                "import requests\n\nproxy = \"{http}\"\nprint(requests.get(\"{public_url}/ip\", \
                 proxies={{\"http\": proxy, \"https\": proxy}}).text)"
            ),
        ),
        snippet(
            "Playwright",
            format!(
                "const browser = await chromium.launch({{\n  proxy: {{\n    server: \"http://{host}:{port}\",\n    \
                 username: \"{username}\",\n    password: \"{password}\",\n  }},\n}});"
            ),
        ),
        snippet("sing-box", sub::sing_box_outbound(subscription, named)?),
        snippet("Clash, mihomo", sub::clash_proxy(subscription, named)?),
    ])
}
