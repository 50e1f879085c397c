//! HTTP heads and bodies: what goes onward is read in one way only.

use turnpike_wire::Parse;
use turnpike_wire::http::{
    Body, Chunked, Form, HeadEnd, Persistence, RequestHead, ResponseHead, Target, basic_credentials, request_body,
    request_for_origin, response_for_client, response_framing, switching_for_client,
};

use crate::choice;
use crate::parse::cuts;

/// Fields that concern one connection and never go onward.
const FOR_THE_PROXY: [&str; 4] = [
    "proxy-authorization",
    "proxy-connection",
    "keep-alive",
    "proxy-authenticate",
];

/// The head at the front, found at once and byte by byte.
fn head(data: &[u8], ends: fn() -> HeadEnd) -> Option<&[u8]> {
    let whole = ends().find(data);
    let mut growing = ends();
    let mut found = None;
    for end in 0..=data.len() {
        match growing.find(&data[..end]) {
            Parse::Need(needed) => assert!(needed > end),
            verdict => {
                found = Some(verdict);
                break;
            }
        }
    }
    match (&whole, &found) {
        (Parse::Need(_), None) => None,
        (Parse::Done(start, end), Some(found)) => {
            assert_eq!(found, &whole);
            Some(&data[*start..*end])
        }
        (Parse::Refuse(_), Some(Parse::Refuse(_))) => None,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn request(data: &[u8]) {
    for ends in [HeadEnd::first, HeadEnd::later] {
        if let Some(raw) = head(data, ends) {
            judge_request(raw);
        }
    }
    let _ = basic_credentials(data);
}

fn judge_request(raw: &[u8]) {
    let Ok(head) = RequestHead::parse(raw) else {
        return;
    };
    for value in head.fields.values("proxy-authorization") {
        let _ = basic_credentials(value);
    }
    let (Ok(Target::Forward(target)), Ok(body)) = (Target::parse(&head), request_body(&head)) else {
        return;
    };
    for upgrade in [false, head.upgrades_to_websocket()] {
        let onward = request_for_origin(&head, &target, upgrade);
        let Parse::Done(0, end) = HeadEnd::first().find(&onward) else {
            panic!("no head goes onward: {:?}", String::from_utf8_lossy(&onward));
        };
        assert_eq!(end, onward.len(), "more than one head goes onward");
        let seen = RequestHead::parse(&onward).expect("what goes onward is a head");
        assert_eq!(seen.method, head.method);
        assert_eq!(
            seen.fields.values("host").collect::<Vec<_>>(),
            [target.authority.as_bytes()]
        );
        for name in FOR_THE_PROXY {
            assert!(!seen.fields.has(name), "{name} goes onward");
        }
        assert_eq!(seen.upgrades_to_websocket(), upgrade);
        // The origin must find the body's end where it is found here. A field that HTTP/1.0 may not have is refused above.
        assert_eq!(request_body(&seen), Ok(body), "the origin reads another body");
    }
}

pub(crate) fn response(data: &[u8]) {
    let (choice, data) = choice(data);
    let Some(raw) = head(data, HeadEnd::first) else {
        return;
    };
    let Ok(head) = ResponseHead::parse(raw) else {
        return;
    };
    let method = ["GET", "HEAD"][choice % 2];
    let persistence = [Persistence::Default, Persistence::KeepAlive, Persistence::Close][choice / 2 % 3];
    let _ = switching_for_client(&head);
    let Ok(framing) = response_framing(&head, method) else {
        return;
    };
    let onward = response_for_client(&head, &framing, persistence);
    let seen = ResponseHead::parse(&onward).expect("what goes onward is a head");
    assert_eq!(seen.status, head.status);
    let again = response_framing(&seen, method).expect("the client can tell the body's length");
    if framing.body != Body::UntilClose {
        assert_eq!(again.body, framing.body, "the client reads another body");
    }
}

/// A body read at once, and in two pieces, and what it has become.
pub(crate) fn chunked(data: &[u8]) {
    let (place, data) = choice(data);
    for form in [Form::Chunks, Form::Data] {
        let (whole, text) = recoded(&[data], form);
        let cuts: Vec<_> = cuts(data.len()).collect();
        let cut = cuts.get(place % cuts.len().max(1)).copied().unwrap_or(0);
        let (parts, same) = recoded(&[&data[..cut], &data[cut..]], form);
        assert_eq!((parts, &same), (whole, &text));
        if form == Form::Chunks && whole == Ok(true) {
            // Canonical now: it goes through once more as it is.
            assert_eq!(recoded(&[&text], form), (Ok(true), text));
        }
    }
}

fn recoded(parts: &[&[u8]], form: Form) -> (Result<bool, ()>, Vec<u8>) {
    let mut chunked = Chunked::new();
    let mut text = Vec::new();
    for part in parts {
        match chunked.recode(part, form, |bytes| text.extend_from_slice(bytes)) {
            Ok(done) if done.finished => return (Ok(true), text),
            Ok(done) => assert_eq!(done.used, part.len()),
            Err(_) => return (Err(()), text),
        }
    }
    (Ok(false), text)
}
