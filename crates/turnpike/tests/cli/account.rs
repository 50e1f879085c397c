//! `turnpike account` and `turnpike audit`.

use serde_json::{Value, json};

use crate::site::{Site, meddle};

#[test]
fn an_account_is_made_with_a_password_that_is_shown_once() {
    let site = Site::new();
    let text = site.well(&["account", "create", "Ann@Example.com"]);
    assert!(
        text.starts_with("account   ann@example.com (customer, active)\nbalance   0.00\n"),
        "{text}"
    );
    let (_, password) = text.split_once("password  ").unwrap();
    let (password, _) = password.split_once(' ').unwrap();
    assert_eq!(password.len(), 20);
    assert!(!site.well(&["account", "show", "ann@example.com"]).contains(password));

    let made = site.json(&["account", "create", "bob@example.com", "--admin", "--json"]);
    insta::assert_json_snapshot!(made, { ".id" => "[id]", ".createdAt" => "[time]", ".password" => "[password]" }, @r#"
    {
      "activeSubscriptions": 0,
      "balance": 0,
      "createdAt": "[time]",
      "email": "bob@example.com",
      "id": "[id]",
      "password": "[password]",
      "role": "operator",
      "status": "active"
    }
    "#);
}

#[test]
fn a_password_can_be_given_by_standard_input_and_is_not_repeated() {
    let site = Site::new();
    let create =
        |email: &str, input: &str| site.run_with_input(&["account", "create", email, "--password-stdin"], input);
    let made = create("ann@example.com", "correct horse\r\nsecond line\n");
    assert_eq!((made.code, made.errors.as_str()), (0, ""));
    assert!(!made.output.contains("horse") && !made.output.contains("password"));
    for (input, sentence) in [
        ("", "standard input has no password on its first line"),
        ("\nsecond line", "standard input has no password on its first line"),
        ("short\n", "a password has 10 to 256 characters"),
    ] {
        let refused = create("bob@example.com", input);
        assert_eq!((refused.code, refused.errors), (1, format!("turnpike: {sentence}\n")));
    }
    let made = site.run_with_input(
        &["account", "create", "bob@example.com", "--password-stdin", "--json"],
        "correct horse",
    );
    let made: Value = serde_json::from_str(&made.output).unwrap();
    assert_eq!(made.get("password"), None);
}

#[test]
fn what_cannot_be_made_is_refused_in_a_sentence() {
    let site = Site::with_ann();
    assert_eq!(
        site.failure(&["account", "create", "ANN@example.com"]),
        "ann@example.com has an account already"
    );
    assert_eq!(
        site.failure(&["account", "create", "ann"]),
        "\"ann\" is not an e-mail address"
    );
    let commands: [&[&str]; 5] = [
        &["account", "show", "bob@example.com"],
        &["account", "credit", "bob@example.com", "5"],
        &["account", "suspend", "bob@example.com"],
        &["account", "resume", "bob@example.com"],
        &["key", "create", "bob@example.com"],
    ];
    for command in commands {
        assert_eq!(
            site.failure(command),
            "no account has the e-mail address bob@example.com"
        );
    }
}

#[test]
fn money_is_given_and_taken_and_the_statement_tells_it() {
    let site = Site::with_ann();
    site.well(&[
        "account",
        "credit",
        "ann@example.com",
        "5000",
        "--note",
        "bank transfer 4711",
    ]);
    let text = site.well(&["account", "credit", "ann@example.com", "-1050"]);
    assert!(text.contains("balance   39.50\n"), "{text}");
    let refused = site.failure(&["account", "credit", "ann@example.com", "-3951"]);
    assert!(
        refused.contains("has 39.50; 39.51 cannot be taken from it"),
        "{refused}"
    );

    let shown = site.json(&["account", "show", "ann@example.com", "--json"]);
    insta::assert_json_snapshot!(
        shown,
        { ".id" => "[id]", ".createdAt" => "[time]", ".statement[].at" => "[time]" },
        @r#"
    {
      "activeSubscriptions": 0,
      "balance": 3950,
      "createdAt": "[time]",
      "email": "ann@example.com",
      "id": "[id]",
      "role": "customer",
      "statement": [
        {
          "amount": -1050,
          "at": "[time]",
          "balance": 3950,
          "kind": "debit",
          "note": ""
        },
        {
          "amount": 5000,
          "at": "[time]",
          "balance": 5000,
          "kind": "credit",
          "note": "bank transfer 4711"
        }
      ],
      "status": "active"
    }
    "#
    );
    let text = site.well(&["account", "show", "ann@example.com"]);
    assert!(text.contains("credit   50.00    50.00  bank transfer 4711\n"), "{text}");
    let limited = site.json(&["account", "show", "ann@example.com", "--limit", "1", "--json"]);
    assert_eq!(limited["statement"].as_array().unwrap().len(), 1);
    site.well(&["audit"]);
}

#[test]
fn accounts_are_listed_suspended_and_resumed() {
    let site = Site::with_ann();
    site.well(&["account", "create", "bob@example.com", "--admin"]);
    let suspended = site.json(&["account", "suspend", "ann@example.com", "--json"]);
    assert_eq!(suspended["status"], "suspended");
    let listed = site.json(&["account", "list", "--json"]);
    let told: Vec<Value> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|account| json!([account["email"], account["role"], account["status"], account["balance"]]))
        .collect();
    assert_eq!(
        told,
        [
            json!(["ann@example.com", "customer", "suspended", 0]),
            json!(["bob@example.com", "operator", "active", 0])
        ]
    );
    let text = site.well(&["account", "list"]);
    let first: Vec<&str> = text.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(first, ["E-MAIL", "ROLE", "STATUS", "BALANCE", "SUBSCRIPTIONS", "MADE"]);
    assert_eq!(text.lines().count(), 3);
    // Twice is as once.
    site.well(&["account", "suspend", "ann@example.com"]);
    for _ in 0..2 {
        let text = site.well(&["account", "resume", "ann@example.com"]);
        assert!(text.contains("(customer, active)"), "{text}");
    }
}

#[test]
fn an_audit_of_sound_books_exits_with_0_and_of_others_with_1() {
    let site = Site::with_ann();
    let sound = site.well(&["audit"]);
    assert!(sound.ends_with("invariants hold\n"), "{sound}");
    let report = site.json(&["audit", "--json"]);
    assert_eq!(report["ok"], true);
    let invariants = report["invariants"].as_array().unwrap();
    assert!(invariants.len() >= 12);
    for invariant in invariants {
        assert_eq!(invariant["broken"], json!([]));
        assert!(invariant["invariant"].as_str().unwrap().starts_with('I'));
        assert!(!invariant["rule"].as_str().unwrap().is_empty());
    }

    meddle(
        &site.path("turnpike.db"),
        "UPDATE ledger_account SET balance = 7 WHERE kind = 'customer'",
    );
    let ran = site.run(&["audit"]);
    assert_eq!((ran.code, ran.errors.as_str()), (1, ""));
    assert!(
        ran.output.contains("FAIL  I2  every customer's cached balance"),
        "{}",
        ran.output
    );
    let ran = site.run(&["audit", "--json"]);
    assert_eq!(ran.code, 1);
    let report: Value = serde_json::from_str(&ran.output).unwrap();
    assert_eq!(report["ok"], false);
    let broken: Vec<&Value> = report["invariants"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|invariant| invariant["broken"] != json!([]))
        .collect();
    assert!(
        broken.iter().any(|invariant| invariant["invariant"] == "I2"),
        "{broken:?}"
    );
}
