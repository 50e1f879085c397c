#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;

use super::*;

const BASE: &str = "https://shop.example";

fn both() -> [Reference; 2] {
    [Reference::of_customers(BASE), Reference::of_operators(BASE)]
}

#[test]
fn every_operation_of_the_documents_is_in_it_once() {
    let [customers, operators] = both();
    let count = |reference: &Reference| {
        let all: Vec<&Operation> = reference.chapters.iter().flat_map(|one| &one.operations).collect();
        let ids: BTreeSet<&str> = all.iter().map(|one| one.id.as_str()).collect();
        assert_eq!(ids.len(), all.len());
        all.len()
    };
    let described = |document: &Value, beginning: &str| {
        let paths = document["paths"].as_object().unwrap();
        let ours = paths.iter().filter(|(path, _)| path.starts_with(beginning));
        ours.map(|(_, methods)| methods.as_object().unwrap().len())
            .sum::<usize>()
    };
    let document = openapi::document(BASE);
    let paths = described(&document, "/api/v1/") + described(&document, "/api/auth/");
    assert_eq!(count(&customers), operations().len() + paths);
    assert_eq!(
        count(&operators),
        described(&openapi::admin_document(BASE), "/api/admin/")
    );
}

#[test]
fn every_part_that_is_referred_to_is_there() {
    for reference in both() {
        let names: BTreeSet<&str> = reference.parts.iter().map(|part| part.name.as_str()).collect();
        let answers = reference
            .chapters
            .iter()
            .flat_map(|one| &one.operations)
            .flat_map(|one| &one.answer);
        for field in answers.chain(reference.parts.iter().flat_map(|part| &part.fields)) {
            if let Some(part) = &field.part {
                assert!(names.contains(part.as_str()), "{part}");
            }
        }
        for part in &reference.parts {
            assert!(!part.fields.is_empty(), "{} says nothing", part.name);
        }
    }
}

#[test]
fn examples_carry_the_readers_ids_and_no_secret() {
    let mut ids = Ids::default();
    ids.add("planId", "planplanplanplanplanplan");
    ids.add("subscriptionId", "subssubssubssubssubssubs");
    let [customers, _] = both();
    let all: Vec<&Operation> = customers.chapters.iter().flat_map(|one| &one.operations).collect();
    let found = |id: &str| &all.iter().find(|one| one.id == id).unwrap().sample;
    insta::assert_snapshot!(found("op-purchase").curl(BASE, &ids), @r#"
    curl -sS -H "x-api-key: $API_KEY" -H "idempotency-key: purchase-4711" -H "content-type: application/json" \
         -d '{"op":"purchase","planId":"planplanplanplanplanplan"}' \
         "https://shop.example/api/proxy"
    "#);
    insta::assert_snapshot!(found("op-renewal-plans").python(BASE, &ids), @r#"
    import json, os, urllib.request

    request = urllib.request.Request(
        "https://shop.example/api/proxy?op=renewal-plans&subscriptionId=subssubssubssubssubssubs",
        method="GET",
        headers={"x-api-key": os.environ["API_KEY"]},
    )
    with urllib.request.urlopen(request) as answer:
        print(json.load(answer))
    "#);
    insta::assert_snapshot!(found("createKey").javascript(BASE, &ids), @r#"
    const answer = await fetch("https://shop.example/api/v1/keys", {
      method: "POST",
      headers: { "authorization": "Bearer " + process.env.TOKEN, "content-type": "application/json" },
      body: JSON.stringify({"name":"the scraper"}),
    });
    console.log(await answer.json());
    "#);
}

#[test]
fn descriptions_are_words_and_code() {
    let seen: Vec<(String, bool)> = words("the `op` of it")
        .into_iter()
        .map(|word| (word.text, word.is_code))
        .collect();
    assert_eq!(
        seen,
        [
            ("the ".to_owned(), false),
            ("op".to_owned(), true),
            (" of it".to_owned(), false)
        ]
    );
    assert_eq!(words(""), []);
}
