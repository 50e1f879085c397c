use std::ffi::OsString;

use super::*;

fn load(text: &str, variables: &[(&str, &str)]) -> Result<Config, Mistake> {
    let document = document::parse("turnpike.toml", text)?;
    let variables = variables
        .iter()
        .map(|(name, value)| (OsString::from(name), OsString::from(value)));
    Config::of(document, variables)
}

#[test]
fn nothing_said_gives_the_defaults() {
    let config = load("", &[]).unwrap();
    assert_eq!(format!("{config:?}"), format!("{:?}", Config::default()));
    assert_eq!(config.master_key_file(), Path::new("turnpike.key"));
}
