//! What of a head goes onward: whole lines are kept, replaced or left out; none is rebuilt.

use super::framing::ResponseFraming;
use super::head::{Field, Fields, RequestHead, ResponseHead};
use super::target::ForwardTarget;

/// Fields that a client may not make hop-by-hop by naming them in `Connection`: without them the origin would see
/// another request than the one that was judged ("header-stripping abuse").
const NEVER_HOP_BY_HOP: [&str; 7] = [
    "host",
    "content-length",
    "transfer-encoding",
    "authorization",
    "cookie",
    "content-type",
    "range",
];

/// Fields that concern one connection only (RFC 9110 §7.6.1), besides those that `Connection` names.
const HOP_BY_HOP: [&str; 6] = [
    "connection",
    "proxy-connection",
    "keep-alive",
    "proxy-authorization",
    "proxy-authenticate",
    "upgrade",
];

/// What the client's connection does behind this answer, said where its version's default is another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Persistence {
    /// The version's default: nothing is said.
    Default,
    /// It stays, and HTTP/1.0 is told so.
    KeepAlive,
    /// It closes.
    Close,
}

/// The head that the origin sees: origin-form, HTTP/1.1, the target's authority as `Host`, no hop-by-hop fields; every
/// other line byte for byte and in its place. With `upgrade` the WebSocket upgrade goes onward too.
#[must_use]
pub fn request_for_origin(head: &RequestHead<'_>, target: &ForwardTarget<'_>, upgrade: bool) -> Vec<u8> {
    let mut onward = Onward::start(&[head.method, " ", &target.origin_form, " HTTP/1.1\r\n"]);
    if !head.fields.has("host") {
        onward.say("Host", target.authority);
    }
    let named = Named::of(&head.fields);
    let mut connection_said = false;
    for field in head.fields.iter() {
        if field.is("host") {
            if field.value == target.authority.as_bytes() {
                onward.keep(field);
            } else {
                onward.say(field.name, target.authority);
            }
        } else if upgrade && field.is("upgrade") {
            onward.keep(field);
        } else if upgrade && field.is("connection") {
            // The other options of that line were the client's and ours alone.
            if !connection_said && field.value.eq_ignore_ascii_case(b"upgrade") {
                onward.keep(field);
            } else if !connection_said {
                onward.say(field.name, "Upgrade");
            }
            connection_said = true;
        } else if !upgrade && keeps_connection_alive(field) {
            // The origin's connection is kept alive as well, and without a proxy this line would have been there.
            if !connection_said && field.is("connection") {
                onward.keep(field);
            } else if !connection_said {
                onward.say("Connection", "keep-alive");
            }
            connection_said = true;
        } else if field.is("te") {
            if field.value.eq_ignore_ascii_case(b"trailers") {
                onward.keep(field);
            } else if super::head::members_of(field.value).any(|member| member.eq_ignore_ascii_case(b"trailers")) {
                onward.say(field.name, "trailers");
            }
        } else if !is_for_the_proxy(field) && !is_hop_by_hop(field) && !named.has(field) {
            onward.keep(field);
        }
    }
    onward.finish()
}

/// The head that the client sees of an origin's answer, interim ones (1xx) included.
#[must_use]
pub fn response_for_client(head: &ResponseHead<'_>, framing: &ResponseFraming, persistence: Persistence) -> Vec<u8> {
    let mut onward = Onward::status(head);
    let named = Named::of(&head.fields);
    for field in head.fields.iter() {
        let dropped = is_hop_by_hop(field)
            || field.is("te")
            || named.has(field)
            || framing.drop_content_length && field.is("content-length")
            || framing.drop_transfer_encoding && field.is("transfer-encoding");
        if !dropped {
            onward.keep(field);
        }
    }
    match persistence {
        Persistence::Default => {}
        Persistence::KeepAlive => onward.say("Connection", "keep-alive"),
        Persistence::Close => onward.say("Connection", "close"),
    }
    onward.finish()
}

/// The head of `101 Switching Protocols` that the client sees: `Connection` and `Upgrade` are the point of it.
#[must_use]
pub fn switching_for_client(head: &ResponseHead<'_>) -> Vec<u8> {
    let mut onward = Onward::status(head);
    for field in head.fields.iter() {
        let dropped = field.is("content-length") || field.is("transfer-encoding") || is_hop_by_hop(field);
        if field.is("connection") || field.is("upgrade") || !dropped {
            onward.keep(field);
        }
    }
    onward.finish()
}

/// A head being written.
struct Onward(Vec<u8>);

impl Onward {
    fn start(words: &[&str]) -> Self {
        Self(words.concat().into_bytes())
    }

    /// A proxy speaks its own version (RFC 9110 §6.2); the rest of the line is the origin's.
    fn status(head: &ResponseHead<'_>) -> Self {
        let mut onward = Self::start(&["HTTP/1.1"]);
        onward.0.extend_from_slice(head.status_and_reason);
        onward
    }

    fn keep(&mut self, field: &Field<'_>) {
        self.0.extend_from_slice(field.line);
    }

    fn say(&mut self, name: &str, value: &str) {
        for part in [name, ": ", value, "\r\n"] {
            self.0.extend_from_slice(part.as_bytes());
        }
    }

    fn finish(mut self) -> Vec<u8> {
        self.0.extend_from_slice(b"\r\n");
        self.0
    }
}

/// The fields that `Connection` names and that it may name.
struct Named<'f, 'h>(&'f Fields<'h>);

impl<'f, 'h> Named<'f, 'h> {
    fn of(fields: &'f Fields<'h>) -> Self {
        Self(fields)
    }

    fn has(&self, field: &Field<'_>) -> bool {
        !NEVER_HOP_BY_HOP.iter().any(|&name| field.is(name)) && self.0.has_member("connection", field.name)
    }
}

fn is_hop_by_hop(field: &Field<'_>) -> bool {
    HOP_BY_HOP.iter().any(|&name| field.is(name))
}

/// Of a request, whatever is addressed to proxies or belongs to an upgrade to HTTP/2 that is not passed on.
fn is_for_the_proxy(field: &Field<'_>) -> bool {
    let begins_with_proxy = field
        .name
        .get(..6)
        .is_some_and(|start| start.eq_ignore_ascii_case("proxy-"));
    begins_with_proxy || field.is("http2-settings")
}

fn keeps_connection_alive(field: &Field<'_>) -> bool {
    (field.is("connection") || field.is("proxy-connection")) && field.value.eq_ignore_ascii_case(b"keep-alive")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test's panic is its failure")]
mod tests {
    use super::*;
    use crate::http::{Target, request_body, response_framing};
    use proptest::prelude::*;

    fn sent(text: &str) -> String {
        let head = RequestHead::parse(text.as_bytes()).unwrap();
        let Ok(Target::Forward(target)) = Target::parse(&head) else {
            panic!("{text:?}")
        };
        String::from_utf8(request_for_origin(&head, &target, head.upgrades_to_websocket())).unwrap()
    }

    #[test]
    fn fields_survive_in_order_letter_case_and_repetition() {
        let fields =
            "uSER-aGENT:  x \r\nAccept:a\r\nX-Forwarded-For: 1.2.3.4\r\naccept: b\r\nCookie: c=d\r\nCookie: e\r\n";
        assert_eq!(
            sent(&format!(
                "GET http://h.example/p HTTP/1.1\r\nhost:   h.example\r\n{fields}\r\n"
            )),
            format!("GET /p HTTP/1.1\r\nhost:   h.example\r\n{fields}\r\n")
        );
    }

    #[test]
    fn host_is_the_targets_in_its_place() {
        assert_eq!(
            sent("GET http://h.example:8080/ HTTP/1.1\r\nA: b\r\nhOST: other.example\r\nC: d\r\n\r\n"),
            "GET / HTTP/1.1\r\nA: b\r\nhOST: h.example:8080\r\nC: d\r\n\r\n"
        );
        assert_eq!(
            sent("GET http://h.example HTTP/1.0\r\nA: b\r\n\r\n"),
            "GET / HTTP/1.1\r\nHost: h.example\r\nA: b\r\n\r\n"
        );
    }

    #[test]
    fn hop_by_hop_fields_stay_behind_and_protected_ones_do_not() {
        for (fields, kept) in [
            ("Connection: close\r\n", ""),
            (
                "Connection: X-Drop, close\r\nX-Drop: 1\r\nx-drop: 2\r\nX-Keep: 3\r\n",
                "X-Keep: 3\r\n",
            ),
            ("X-Drop: 1\r\nConnection: close\r\nCONNECTION:x-drop\r\n", ""),
            ("Connection: keep-alive, X-Drop\r\nX-Drop: 1\r\n", ""),
            (
                "Connection: Host, Cookie, Authorization, Range\r\nCookie: a\r\nAuthorization: b\r\nRange: c\r\n",
                "Cookie: a\r\nAuthorization: b\r\nRange: c\r\n",
            ),
            (
                "Connection: Content-Length, Content-Type\r\nContent-Length: 0\r\nContent-Type: t\r\n",
                "Content-Length: 0\r\nContent-Type: t\r\n",
            ),
            (
                "Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n",
                "Transfer-Encoding: chunked\r\n",
            ),
            (
                "Proxy-Authorization: Basic x\r\nProxy-Authenticate: y\r\nProxy-Anything: z\r\nProxying: p\r\n",
                "Proxying: p\r\n",
            ),
            ("Keep-Alive: timeout=5\r\n", ""),
            ("TE: trailers\r\n", "TE: trailers\r\n"),
            ("te:  gzip;q=0.5, Trailers\r\n", "te: trailers\r\n"),
            ("TE: gzip\r\n", ""),
            (
                "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: x\r\n",
                "",
            ),
            ("Upgrade: websocket\r\n", ""),
            ("HTTP2-Settings: x\r\n", ""),
            ("Expect: 100-continue\r\n", "Expect: 100-continue\r\n"),
            ("Via: 1.1 mine\r\n", "Via: 1.1 mine\r\n"),
        ] {
            let text = format!("GET http://h.example/ HTTP/1.1\r\nHost: h.example\r\n{fields}\r\n");
            let expected = format!("GET / HTTP/1.1\r\nHost: h.example\r\n{kept}\r\n");
            assert_eq!(sent(&text), expected, "{fields:?}");
        }
    }

    #[test]
    fn what_a_browser_says_to_the_proxy_is_said_to_the_origin_in_its_place() {
        for (fields, kept) in [
            (
                "A: 1\r\nProxy-Connection: keep-alive\r\nB: 2\r\n",
                "A: 1\r\nConnection: keep-alive\r\nB: 2\r\n",
            ),
            (
                "A: 1\r\nproxy-connection: Keep-Alive\r\n",
                "A: 1\r\nConnection: keep-alive\r\n",
            ),
            ("connection: Keep-Alive\r\n", "connection: Keep-Alive\r\n"),
            (
                "Connection: keep-alive\r\nProxy-Connection: keep-alive\r\n",
                "Connection: keep-alive\r\n",
            ),
            ("Proxy-Connection: close\r\n", ""),
        ] {
            let text = format!("GET http://h.example/ HTTP/1.1\r\nHost: h.example\r\n{fields}\r\n");
            let expected = format!("GET / HTTP/1.1\r\nHost: h.example\r\n{kept}\r\n");
            assert_eq!(sent(&text), expected, "{fields:?}");
        }
    }

    #[test]
    fn a_websocket_upgrade_goes_onward() {
        for (fields, kept) in [
            (
                "Connection: Upgrade\r\nUpgrade: websocket\r\n",
                "Connection: Upgrade\r\nUpgrade: websocket\r\n",
            ),
            (
                "Upgrade: websocket\r\nX: 1\r\nConnection: keep-alive, Upgrade, X\r\n",
                "Upgrade: websocket\r\nConnection: Upgrade\r\n",
            ),
            (
                "Proxy-Connection: keep-alive\r\nConnection: upgrade\r\nUpgrade: websocket\r\n",
                "Connection: upgrade\r\nUpgrade: websocket\r\n",
            ),
        ] {
            let text = format!("GET http://h.example/ HTTP/1.1\r\nHost: h.example\r\n{fields}\r\n");
            let expected = format!("GET / HTTP/1.1\r\nHost: h.example\r\n{kept}\r\n");
            assert_eq!(sent(&text), expected, "{fields:?}");
        }
    }

    fn answered(method: &str, text: &str, persistence: Persistence) -> String {
        let head = ResponseHead::parse(text.as_bytes()).unwrap();
        let framing = response_framing(&head, method).unwrap();
        String::from_utf8(response_for_client(&head, &framing, persistence)).unwrap()
    }

    #[test]
    fn an_answer_loses_its_hop_by_hop_fields_only() {
        let origin = "HTTP/1.1 200 All  Right\r\nsERVER: x\r\nSet-Cookie: a\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\n\
             Keep-Alive: timeout=5\r\nUpgrade: h2\r\nProxy-Authenticate: Basic\r\nSet-Cookie: b\r\nContent-Length: 2\r\n\r\n";
        let kept = "HTTP/1.1 200 All  Right\r\nsERVER: x\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 2\r\n";
        assert_eq!(answered("GET", origin, Persistence::Default), format!("{kept}\r\n"));
        assert_eq!(
            answered("GET", origin, Persistence::Close),
            format!("{kept}Connection: close\r\n\r\n")
        );
        assert_eq!(
            answered("GET", origin, Persistence::KeepAlive),
            format!("{kept}Connection: keep-alive\r\n\r\n")
        );
    }

    #[test]
    fn lengths_that_are_none_do_not_go_onward() {
        for (method, origin, kept) in [
            (
                "GET",
                "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n",
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n",
            ),
            ("GET", "HTTP/1.1 204 No\r\nContent-Length: 3\r\n", "HTTP/1.1 204 No\r\n"),
            (
                "HEAD",
                "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n",
                "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n",
            ),
            (
                "GET",
                "HTTP/1.0 304\r\nContent-Length: 3\r\n",
                "HTTP/1.1 304\r\nContent-Length: 3\r\n",
            ),
            (
                "GET",
                "HTTP/1.1 103 Early Hints\r\nLink: x\r\n",
                "HTTP/1.1 103 Early Hints\r\nLink: x\r\n",
            ),
        ] {
            assert_eq!(
                answered(method, &format!("{origin}\r\n"), Persistence::Default),
                format!("{kept}\r\n")
            );
        }
    }

    #[test]
    fn a_switch_keeps_what_it_switches_by() {
        let raw = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nKeep-Alive: x\r\n\
            Sec-WebSocket-Accept: y\r\nContent-Length: 4\r\n\r\n";
        let head = ResponseHead::parse(raw).unwrap();
        assert_eq!(
            String::from_utf8(switching_for_client(&head)).unwrap(),
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: y\r\n\r\n"
        );
    }

    proptest! {
        /// What is sent onward is read by the same rules as the same request.
        #[test]
        fn what_we_parse_is_what_we_send(
            method in "(GET|POST|OPTIONS|M-SEARCH)",
            authority in "[a-z]{1,8}\\.example(:[1-9][0-9]{0,3})?",
            path in "(/[!-\"$->@-~]{0,12})?(\\?[!-\"$-~]{0,8})?",
            lines in proptest::collection::vec(
                "(Content-Length: ?[0-9]{1,3}|Transfer-Encoding: chunked|X-[a-z]{1,4}: ?[ -~]{0,8}|Connection: (close|[a-z]{1,4}|x-a, host)|TE: [a-z, ]{0,9}|Upgrade: websocket|Proxy-[a-z]{1,3}: x)",
                0..6,
            ),
        ) {
            let text = format!("{method} http://{authority}{path} HTTP/1.1\r\nHost: {authority}\r\n{}\r\n",
                lines.iter().map(|line| format!("{line}\r\n")).collect::<String>());
            let head = RequestHead::parse(text.as_bytes()).unwrap();
            let Ok(Target::Forward(target)) = Target::parse(&head) else { return Err(TestCaseError::fail(text)) };
            let Ok(body) = request_body(&head) else { return Ok(()) };
            let onward = request_for_origin(&head, &target, head.upgrades_to_websocket());
            let again = RequestHead::parse(&onward).unwrap();
            prop_assert_eq!(request_body(&again), Ok(body));
            prop_assert_eq!(again.method, head.method);
            prop_assert_eq!(again.target, target.origin_form.as_ref());
            prop_assert_eq!(again.fields.values("host").collect::<Vec<_>>(), vec![target.authority.as_bytes()]);
            prop_assert!(again.fields.iter().all(|field| !field.name.to_ascii_lowercase().starts_with("proxy-")));
            // A subsequence of the client's lines, but for Connection and TE.
            let mut client = head.fields.iter();
            for field in again.fields.iter().filter(|field| !field.is("te") && !field.is("connection")) {
                prop_assert!(client.any(|line| line.line == field.line));
            }
            // Sent twice it is the same: nothing is left that a second proxy would take away.
            let absolute = format!("{method} http://{authority}{path} HTTP/1.1\r\n");
            let mut second = absolute.into_bytes();
            second.extend(onward.iter().skip(onward.iter().position(|&byte| byte == b'\n').unwrap() + 1));
            let second_head = RequestHead::parse(&second).unwrap();
            prop_assert_eq!(request_for_origin(&second_head, &target, second_head.upgrades_to_websocket()), onward);
        }
    }
}
