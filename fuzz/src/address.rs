//! Names and addresses as text.

use turnpike_wire::address::{Destination, Host};

/// Whatever is read as a destination is, once written, read as the same again.
pub(crate) fn run(data: &[u8]) {
    if let Some(host) = Host::from_field(data) {
        check(&Destination::new(host, 80).unwrap());
    }
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    for default in [None, Some(80)] {
        if let Some(destination) = Destination::from_authority(text, default) {
            check(&destination);
        }
    }
}

fn check(destination: &Destination) {
    assert_ne!(destination.port, 0);
    if let Host::Name(name) = &destination.host {
        assert!((1..=253).contains(&name.len()), "{name:?}");
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
        assert!(name.bytes().all(is_plain), "{name:?}");
        assert!(!name.ends_with('.'), "{name:?}");
    }
    let written = destination.to_string();
    assert_eq!(
        Destination::from_authority(&written, None).as_ref(),
        Some(destination),
        "{written:?}"
    );
}
