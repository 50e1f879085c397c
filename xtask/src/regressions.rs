//! The page of others' defects names tests; they must be there.

#![allow(clippy::expect_used, reason = "a test may fail by panicking")]

use std::collections::HashMap;
use std::fs;

use crate::steps::root;

const PAGE: &str = "docs/regressions.md";

/// The tests that a text names: a file, and behind it the names of functions in it.
fn named(text: &str) -> Vec<(&str, &str)> {
    let mut file = None;
    let mut tests = Vec::new();
    // What stands between backticks is every second piece.
    for span in text.lines().flat_map(|line| line.split('`').skip(1).step_by(2)) {
        if span.ends_with(".rs") {
            file = Some(span);
        } else if let Some(file) = file.filter(|_| is_test_name(span)) {
            tests.push((file, span));
        }
    }
    tests
}

/// Names of tests are sentences.
fn is_test_name(span: &str) -> bool {
    span.contains('_')
        && span
            .bytes()
            .all(|byte| byte == b'_' || byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

/// Whether a source has a test of this name: a function with an attribute, in a list of a macro's, or both.
fn has_test(source: &str, name: &str) -> bool {
    let lines: Vec<_> = source.lines().map(str::trim).collect();
    let function = format!("fn {name}(");
    let Some(at) = lines
        .iter()
        .position(|line| line.trim_start_matches("async ").starts_with(&function))
    else {
        return false;
    };
    let attributes = lines
        .iter()
        .take(at)
        .rev()
        .take_while(|line| line.starts_with("#[") || line.starts_with("//"));
    let is_listed = source.split("on_both_engines!").skip(1).any(|list| {
        let list = list.split(';').next().unwrap_or_default();
        list.split(|other: char| other != '_' && !other.is_alphanumeric())
            .any(|word| word == name)
    });
    is_listed
        || attributes
            .into_iter()
            .any(|line| line.starts_with("#[test") || line.starts_with("#[tokio::test"))
}

#[test]
fn every_test_that_the_page_names_is_there() {
    let page = fs::read_to_string(root().join(PAGE)).expect("the page");
    let tests = named(&page);
    assert!(tests.len() > 50, "{} tests were found on the page", tests.len());
    let mut sources: HashMap<&str, String> = HashMap::new();
    let missing: Vec<_> = tests
        .into_iter()
        .filter(|(file, name)| {
            let source = sources
                .entry(file)
                .or_insert_with(|| fs::read_to_string(root().join(file)).unwrap_or_default());
            !has_test(source, name)
        })
        .collect();
    assert!(
        missing.is_empty(),
        "{PAGE} names tests that are not there: {missing:#?}"
    );
}

#[test]
fn a_test_is_told_from_what_is_none() {
    let source = "
        fn helper_of_tests() {}
        /// Words.
        #[tokio::test(flavor = \"multi_thread\")]
        async fn a_sentence_that_holds() {}
        fn on_two(with: Builder) {}
        testbed::on_both_engines!(on_two, other);";
    let told = [
        "a_sentence_that_holds",
        "on_two",
        "helper_of_tests",
        "a_sentence",
        "gone",
    ];
    assert_eq!(
        told.map(|name| has_test(source, name)),
        [true, true, false, false, false]
    );
    let page = "| `Header` | `a/b.rs`: `one_two`, `three_four`; words `c.rs`: `five_six` |";
    assert_eq!(
        named(page),
        [("a/b.rs", "one_two"), ("a/b.rs", "three_four"), ("c.rs", "five_six")]
    );
}
