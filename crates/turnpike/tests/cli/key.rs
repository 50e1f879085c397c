//! `turnpike key`.

use serde_json::json;

use crate::site::Site;

#[test]
fn a_key_is_printed_alone_and_once() {
    let site = Site::with_ann();
    let printed = site.well(&["key", "create", "ann@example.com", "--name", "laptop"]);
    let key = printed.strip_suffix('\n').unwrap();
    assert!(key.starts_with("rk_") && key.len() == 62, "{key}");
    assert!(key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'));

    let listed = site.well(&["key", "list"]);
    let secret = &key[15..];
    assert!(!listed.contains(secret) && listed.contains(&key[3..15]), "{listed}");
    assert!(!site.well(&["key", "list", "--json"]).contains(secret));
}

#[test]
fn a_key_may_as_much_as_its_owner_says() {
    let site = Site::with_ann();
    let mut made = site.json(&["key", "create", "ann@example.com", "--read-only", "--json"]);
    assert!(made["key"].as_str().unwrap().starts_with("rk_"));
    assert_eq!((&made["readOnly"], &made["allowTrial"]), (&json!(true), &json!(false)));
    insta::assert_json_snapshot!(
        made,
        { ".id" => "[id]", ".account" => "[id]", ".createdAt" => "[time]", ".key" => "[key]" },
        @r#"
    {
      "account": "[id]",
      "allowTrial": false,
      "allowedSources": [],
      "createdAt": "[time]",
      "email": "ann@example.com",
      "expiresAt": null,
      "id": "[id]",
      "key": "[key]",
      "lastUsedAt": null,
      "name": "",
      "operator": false,
      "readOnly": true,
      "revokedAt": null
    }
    "#
    );
    let trial = site.json(&["key", "create", "ann@example.com", "--allow-trial", "--json"]);
    assert_eq!(
        (&trial["readOnly"], &trial["allowTrial"]),
        (&json!(false), &json!(true))
    );

    // The list has the same, but for the key.
    made.as_object_mut().unwrap().remove("key");
    let listed = site.json(&["key", "list", "ann@example.com", "--json"]);
    assert_eq!(listed.as_array().unwrap().len(), 2);
    assert!(listed.as_array().unwrap().contains(&made));
}

#[test]
fn keys_are_listed_by_account_and_revoked_by_id() {
    let site = Site::with_ann();
    site.well(&["account", "create", "bob@example.com"]);
    site.well(&["key", "create", "ann@example.com", "--name", "a"]);
    site.well(&["key", "create", "bob@example.com", "--name", "b"]);
    assert_eq!(site.json(&["key", "list", "--json"]).as_array().unwrap().len(), 2);
    let of_bob = site.json(&["key", "list", "bob@example.com", "--json"]);
    assert_eq!(of_bob.as_array().unwrap().len(), 1);
    let id = of_bob[0]["id"].as_str().unwrap();

    assert_eq!(
        site.well(&["key", "revoke", id]),
        format!("{id} of bob@example.com is revoked\n")
    );
    let again = site.json(&["key", "revoke", id, "--json"]);
    let listed = site.json(&["key", "list", "bob@example.com", "--json"]);
    assert!(again["revokedAt"].is_i64());
    assert_eq!(listed[0], again);
    assert!(site.well(&["key", "list", "bob@example.com"]).contains("revoked 20"));

    for unknown in ["aaaaaaaaaaaa", "rk_", "", "Ä"] {
        assert_eq!(
            site.failure(&["key", "revoke", unknown]),
            format!("no API key has the id {unknown}")
        );
    }
    assert_eq!(
        site.failure(&["key", "list", "eve@example.com"]),
        "no account has the e-mail address eve@example.com"
    );
}
