//! Hands libFuzzer's inputs to the target that `TURNPIKE_FUZZ` names.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

static TARGET: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let name = std::env::var("TURNPIKE_FUZZ").expect("TURNPIKE_FUZZ names a target");
    let target = fuzz::TARGETS.iter().find(|(known, _)| *known == name);
    target.unwrap_or_else(|| panic!("{name} is no target")).1
});

fuzz_target!(|data: &[u8]| TARGET(data));
