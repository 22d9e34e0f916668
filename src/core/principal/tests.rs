use proptest::prelude::*;
use serde_json::json;

use super::*;

fn origin(kept: KeptClaims) -> Arc<Origin> {
    let mapped = vec![("plan".into(), ClaimPath::dotted("org.plan").unwrap())];
    Arc::new(Origin { issuer: "shop".into(), issuer_url: Some("https://shop.example".into()), mapped, kept })
}

fn claims() -> Map<String, Value> {
    let claims = json!({ "oid": "o-1", "org": { "id": 7, "plan": "gold" }, "flat": "x", "none": null, "extra": "y" });
    claims.as_object().unwrap().clone()
}

proptest! {
    #[test]
    fn texts_come_out_as_they_went_in(
        texts in prop::collection::vec(prop::option::of(".{0,150}"), 5),
        lists in prop::collection::vec(prop::collection::vec(".{0,80}", 0..80), 3),
        every_scope: bool,
    ) {
        let issuer = "shop".into();
        let text = |index: usize| texts[index].as_deref();
        let list = |index: usize| lists[index].iter().map(String::as_str).collect::<Vec<&str>>();
        let principal = Principal::from(Parts {
            issuer_url: text(0),
            subject: text(1),
            client: text(2),
            service: text(3),
            tenant: text(4),
            audience: list(0),
            scopes: list(1),
            every_scope,
            roles: list(2),
            ..Parts::of(&issuer)
        });
        let got = [
            principal.issuer_url(),
            principal.subject(),
            principal.client(),
            principal.service(),
            principal.tenant(),
        ];
        for (index, got) in got.into_iter().enumerate() {
            prop_assert_eq!(got, text(index).filter(|text| !text.is_empty()));
        }
        for (index, got) in [principal.audience(), principal.scopes(), principal.roles()].into_iter().enumerate() {
            let want: Vec<&str> = list(index).into_iter().filter(|text| !text.is_empty()).collect();
            prop_assert_eq!(got.len(), want.len());
            prop_assert_eq!(got.collect::<Vec<_>>(), want);
        }
        prop_assert_eq!(principal.has_every_scope(), every_scope);
    }
}

#[test]
fn an_iss_that_all_tokens_have_is_told_of_those_that_have_it() {
    let origin = origin(KeptClaims::All);
    for iss in [None, Some("https://shop.example"), Some("https://other.example")] {
        let principal = Principal::from(Parts { issuer_url: iss, ..Parts::from(Arc::clone(&origin)) });
        assert_eq!(principal.issuer_url(), iss);
    }
}

#[test]
fn what_is_kept_of_claims_reads_as_all_of_them_do() {
    let path = |text: &str| ClaimPath::dotted(text).unwrap();
    let asked =
        ["oid", "org.id", "org.plan", "org", "flat.inner", "flat", "none", "none.inner", "absent", "absent.inner"];
    let all = Principal::from(Parts::from(origin(KeptClaims::All))).with_claims(claims());
    let only = origin(KeptClaims::only(asked.map(path)));
    let some = Principal::from(Parts::from(only)).with_claims(claims());
    for text in asked {
        assert_eq!(some.claim(&path(text)), all.claim(&path(text)), "{text}");
        assert_eq!(some.is_blocked(&path(text)), all.is_blocked(&path(text)), "{text}");
    }
    assert!(some.all_mapped().eq(all.all_mapped()) && some.mapped("plan") == Some(&json!("gold")));
    // What is not kept is not taken for absent.
    assert_eq!(some.claim(&path("extra")), Err(NotKept));
    assert_eq!(some.is_blocked(&path("extra")), Err(NotKept));
    assert_eq!((some.claims(), all.claims()), (None, Some(&claims())));
}
