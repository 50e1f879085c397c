//! A shop that is new: the link that `serve` prints makes its first operator, and no page is bare.

use testbed::poll;
use testbed::turnpike::Turnpike;

use crate::{PATIENCE, browser, done};

#[test]
fn the_printed_link_makes_the_first_operator_once() {
    for script in ["on", "off"] {
        let Some(mut walk) = browser("first.mjs") else { return };
        let shop = Turnpike::with().new_shop().start();
        let link = poll(PATIENCE, || {
            let printed = shop.printed();
            let link = printed.split_whitespace().find(|word| word.contains("/setup/"));
            link.map(ToOwned::to_owned)
        });
        walk.env("SHOP", shop.url("").trim_end_matches('/'))
            .env("LINK", link.expect("a link is printed"))
            .env("SCRIPT", script);
        done(&mut walk);
        assert!(shop.run(&["account", "show", "boss@example.com"]).contains("operator"));
    }
}
