//! Every input that was kept is tried again.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test's panic is its failure")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

#[test]
fn every_kept_input_is_taken_without_a_finding() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpora");
    let folders: BTreeSet<String> = fs::read_dir(&corpora)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let targets: BTreeSet<String> = fuzz::TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(folders, targets, "each target has its corpus");
    for (name, run) in fuzz::TARGETS {
        let mut count = 0;
        for entry in fs::read_dir(corpora.join(name)).unwrap() {
            let path = entry.unwrap().path();
            // The one that fails is named.
            eprintln!("{}", path.display());
            run(&fs::read(&path).unwrap());
            count += 1;
        }
        assert!(count >= 5, "{name} has {count} inputs");
        run(&[]);
    }
}
