#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::*;

fn sample() -> Value {
    document("https://shop.example")
}

fn of_operators() -> Value {
    admin_document("https://shop.example")
}

fn collect_references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                match value.as_str() {
                    Some(target) if key == "$ref" => found.push(target.to_owned()),
                    _ => collect_references(value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect_references(item, found)),
        _ => {}
    }
}

#[test]
fn the_document_is_as_it_was() {
    // Clients are made from it: a change here is a change of the interface, to be made on purpose and only by adding.
    insta::assert_json_snapshot!(sample(), { ".info.version" => "[version]" });
}

#[test]
fn the_operators_document_is_as_it_was() {
    insta::assert_json_snapshot!(of_operators(), { ".info.version" => "[version]" });
}

#[test]
fn every_reference_leads_somewhere_and_every_schema_is_used() {
    assert_references_lead_somewhere(&sample());
    assert_references_lead_somewhere(&of_operators());
}

fn assert_references_lead_somewhere(document: &Value) {
    let mut found = Vec::new();
    collect_references(document, &mut found);
    let schemas = document["components"]["schemas"].as_object().unwrap();
    for target in &found {
        let name = target.strip_prefix("#/components/schemas/").unwrap();
        assert!(schemas.contains_key(name), "{target}");
    }
    for name in schemas.keys() {
        let target = format!("#/components/schemas/{name}");
        assert!(found.contains(&target), "{name} is not used");
    }
}

#[test]
fn every_operation_is_described() {
    let document = sample();
    let reads = &document["paths"]["/api/proxy"]["get"]["parameters"][0]["schema"]["enum"];
    let writes = &document["paths"]["/api/proxy"]["post"]["requestBody"]["content"]["application/json"]["schema"]["discriminator"]
        ["mapping"];
    for op in Op::ALL {
        match op.verb() {
            Verb::Get => assert!(reads.as_array().unwrap().contains(&json!(op.name()))),
            Verb::Post => assert!(writes.get(op.name()).is_some(), "{}", op.name()),
        }
    }
}
