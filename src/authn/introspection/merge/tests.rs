use serde_json::json;

use super::*;
use crate::authn::spec::tests::spec;

fn object(value: Value) -> Claims {
    let Value::Object(claims) = value else { panic!("not an object: {value}") };
    claims
}

fn run(own: Value, answer: Value) -> Result<Value, Reason> {
    merge(&spec(), &object(own), object(answer)).map(Value::Object).map_err(|failure| failure.error.reason)
}

#[track_caller]
fn agree(own: &Value, answer: &Value) {
    assert!(run(own.clone(), answer.clone()).is_ok(), "{own} {answer}");
}

#[track_caller]
fn conflict(own: &Value, answer: &Value) {
    assert_eq!(run(own.clone(), answer.clone()), Err(Reason::TokenConflict), "{own} {answer}");
}

#[test]
fn what_the_token_lacks_is_added_and_nothing_else() {
    let own =
        json!({ "iss": "i", "resource_access": { "b": { "roles": ["reader"] } }, "email": ["old"], "gone": null });
    let answer = json!({
        "iss": "i", "sub": "alice", "username": "alice", "token_type": "Bearer", "email": ["new", "old"], "gone": 1,
        "resource_access": { "b": { "roles": ["reader", "admin"] }, "c": { "roles": ["x"] } },
    });
    let merged = run(own, answer).unwrap();
    let want = json!({
        "iss": "i", "sub": "alice", "username": "alice", "email": ["old"], "gone": null,
        "resource_access": { "b": { "roles": ["reader"] } },
    });
    assert_eq!(merged, want);
}

#[test]
fn some_claims_are_the_same_or_the_two_conflict() {
    for name in SAME {
        agree(&json!({ name: "x" }), &json!({ name: "x" }));
        agree(&json!({ name: "x" }), &json!({}));
        agree(&json!({}), &json!({ name: "x" }));
        for other in [json!("y"), json!("X"), json!(["x"]), json!(null), json!({})] {
            conflict(&json!({ name: "x" }), &json!({ name: other }));
        }
    }
    let digest = json!({ "x5t#S256": "abc" });
    agree(&json!({ "cnf": digest }), &json!({ "cnf": digest }));
    conflict(&json!({ "cnf": digest }), &json!({ "cnf": { "x5t#S256": "abc", "jkt": "d" } }));
    conflict(&json!({ "act": { "sub": "a" } }), &json!({ "act": { "sub": "a", "act": { "sub": "b" } } }));
}

#[test]
fn the_client_has_two_names() {
    agree(&json!({ "azp": "web" }), &json!({ "azp": "web", "client_id": "web" }));
    agree(&json!({ "azp": "web" }), &json!({ "client_id": "web" }));
    agree(&json!({ "client_id": "web" }), &json!({ "azp": "web" }));
    agree(&json!({ "azp": "web" }), &json!({ "client_id": null }));
    // Who has both means two things by them.
    agree(&json!({ "azp": "app", "client_id": "web" }), &json!({ "client_id": "web" }));
    conflict(&json!({ "azp": "web" }), &json!({ "client_id": "other" }));
    conflict(&json!({ "client_id": "web" }), &json!({ "azp": "other" }));
    conflict(&json!({ "azp": "web" }), &json!({ "azp": "web", "client_id": "other" }));
    conflict(&json!({ "azp": "web", "client_id": "web" }), &json!({ "client_id": "other" }));
}

#[test]
fn times_are_compared_by_the_second() {
    for name in TIMES {
        for (own, told) in [
            (json!(1_700_000_000), json!(1_700_000_000)),
            (json!(1_700_000_000), json!(1.7e9)),
            (json!(1_700_000_000.5), json!(1_700_000_000)),
        ] {
            agree(&json!({ name: own }), &json!({ name: told }));
        }
        for told in [json!(1_700_000_001), json!(1_699_999_999), json!("1700000000"), json!(null), json!(-1)] {
            conflict(&json!({ name: 1_700_000_000 }), &json!({ name: told }));
        }
    }
}

#[test]
fn scopes_are_sets_whatever_claim_they_are_in() {
    for (own, told) in [
        (json!({ "scope": "a b" }), json!({ "scope": "b a" })),
        (json!({ "scope": "a b" }), json!({ "scope": ["a", "b"] })),
        (json!({ "scp": ["a", "b"] }), json!({ "scope": "a b" })),
        (json!({ "scope": "" }), json!({ "scope": [] })),
        (json!({ "scope": "a" }), json!({})),
        (json!({}), json!({ "scope": "a" })),
    ] {
        agree(&own, &told);
    }
    for (own, told) in [
        (json!({ "scope": "a" }), json!({ "scope": "a b" })),
        (json!({ "scope": "a b" }), json!({ "scope": "a" })),
        (json!({ "scope": "a" }), json!({ "scope": "" })),
        (json!({ "scope": "a" }), json!({ "scope": "A" })),
        (json!({ "scope": "a  b" }), json!({ "scope": "a b" })),
        (json!({ "scp": ["a"] }), json!({ "scope": "a admin" })),
        (json!({ "scope": "a", "scp": "a" }), json!({ "scope": "a", "scp": "b" })),
        (json!({ "scope": "1" }), json!({ "scope": 1 })),
    ] {
        conflict(&own, &told);
    }
}

#[test]
fn of_every_other_claim_the_answer_may_say_more_and_not_less() {
    for (own, told) in [
        (json!({ "aud": "b" }), json!({ "aud": "b" })),
        (json!({ "aud": "b" }), json!({ "aud": ["b"] })),
        (json!({ "aud": ["b"] }), json!({ "aud": "b" })),
        (json!({ "aud": "b" }), json!({ "aud": ["b", "c"] })),
        (json!({ "aud": [] }), json!({ "aud": "b" })),
        (json!({ "realm_access": { "roles": ["x"] } }), json!({ "realm_access": { "roles": ["y", "x"] } })),
        (json!({ "realm_access": { "roles": [] } }), json!({ "realm_access": {} })),
        (json!({ "realm_access": { "roles": ["x"] } }), json!({})),
        (
            json!({ "resource_access": { "c": { "roles": ["x"] } } }),
            json!({ "resource_access": { "b": {}, "c": { "roles": ["x"] } } }),
        ),
        (json!({ "plan": { "tier": 1 } }), json!({ "plan": { "tier": 1.0, "since": 3 } })),
        (json!({ "other": "x" }), json!({ "other": ["x", "y"] })),
        (json!({ "other": "x" }), json!({ "another": "y" })),
    ] {
        agree(&own, &told);
    }
    for (own, told) in [
        (json!({ "aud": "b" }), json!({ "aud": "c" })),
        (json!({ "aud": ["b", "c"] }), json!({ "aud": ["b"] })),
        (json!({ "aud": ["b", "c"] }), json!({ "aud": "b" })),
        (json!({ "aud": "b" }), json!({ "aud": [] })),
        (json!({ "aud": "b" }), json!({ "aud": null })),
        (json!({ "realm_access": { "roles": ["x", "y"] } }), json!({ "realm_access": { "roles": ["x"] } })),
        (json!({ "realm_access": { "roles": ["x"] } }), json!({ "realm_access": {} })),
        (json!({ "resource_access": { "b": { "roles": ["x"] } } }), json!({ "resource_access": {} })),
        (json!({ "resource_access": { "c": { "roles": ["x"] } } }), json!({ "resource_access": {} })),
        (json!({ "other": "x" }), json!({ "other": "y" })),
        (json!({ "other": { "environment": "production" } }), json!({ "other": { "environment": "test" } })),
        (json!({ "service": "a" }), json!({ "service": "b" })),
        (json!({ "org": { "id": "1" } }), json!({ "org": { "id": "2" } })),
        (json!({ "org": { "id": 1 } }), json!({ "org": { "id": 2 } })),
        (json!({ "plan": { "tier": 1 } }), json!({ "plan": { "tier": 2 } })),
        (json!({ "plan": true }), json!({ "plan": false })),
    ] {
        conflict(&own, &told);
    }
}

#[test]
fn members_of_the_protocol_are_no_claims() {
    let own = json!({ "active": false, "token_type": "x" });
    assert_eq!(run(own.clone(), json!({ "token_type": "Bearer" })), Ok(own));
}
