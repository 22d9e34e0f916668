//! Actor tokens (RFC 8693 §2.1): by whom, and what depends on them.

use tollgate::core::reason::Reason;
use tollgate::core::rule::TokenIndex;
use tollgate::outbound::spec::{ActorSpec, TokenType};

use crate::world::{ACCESS_TOKEN, World, eventually, exchange, exchange_of, own};

#[tokio::test]
async fn the_gates_own_token_can_act() {
    // The exchange is named before its actor.
    let world = World::with(&[("payments", exchange()), ("self", own())], |setup| {
        exchange_of(&mut setup.tokens[0]).actor = Some(ActorSpec::Token(TokenIndex(1)));
    })
    .await;
    let actor = world.allowed(1, None).await;
    let _ = world.allowed(0, Some(&world.subject())).await;
    let form = world.idp.last();
    assert_eq!((form.one("actor_token"), form.one("actor_token_type")), (Some(&*actor), Some(ACCESS_TOKEN)));
}

#[tokio::test]
async fn row_198_another_actor_is_another_exchange() {
    let world = World::new(&[("payments", exchange())]).await;
    let path = world.files.path().join("actor");
    std::fs::write(&path, "actor-one\n").unwrap();
    exchange_of(&mut world.setup.lock().unwrap().tokens[0]).actor =
        Some(ActorSpec::File { path: path.clone(), kind: TokenType::Jwt });
    world.engine.reload().await.unwrap();
    let subject = world.subject();
    let first = world.allowed(0, Some(&subject)).await;
    assert_eq!(world.allowed(0, Some(&subject)).await, first);
    let form = world.idp.last();
    assert_eq!(form.one("actor_token"), Some("actor-one"));
    assert_eq!(form.one("actor_token_type"), Some("urn:ietf:params:oauth:token-type:jwt"));
    assert_eq!(world.idp.count(), 1);

    std::fs::write(&path, "actor-two\n").unwrap();
    eventually("the other actor acts", async || world.allowed(0, Some(&subject)).await != first).await;
    assert_eq!(world.idp.last().one("actor_token"), Some("actor-two"));
    assert_eq!(world.idp.count(), 2);
}

#[tokio::test]
async fn without_its_actor_nothing_is_exchanged() {
    let world = World::with(&[("payments", exchange())], |setup| {
        let path = "/does/not/exist".into();
        exchange_of(&mut setup.tokens[0]).actor = Some(ActorSpec::File { path, kind: TokenType::Jwt });
    })
    .await;
    assert_eq!(world.denied(0, Some(&world.subject())).await, Reason::UpstreamTokenUnavailable);
    let path = world.files.path().join("actor");
    for bad in ["", "  \n", "two words", "a\u{0}b"] {
        std::fs::write(&path, bad).unwrap();
        exchange_of(&mut world.setup.lock().unwrap().tokens[0]).actor =
            Some(ActorSpec::File { path: path.clone(), kind: TokenType::Jwt });
        world.engine.reload().await.unwrap();
        assert_eq!(world.denied(0, Some(&world.subject())).await, Reason::UpstreamTokenUnavailable, "{bad:?}");
    }
    assert_eq!(world.idp.count(), 0);
    // An exchange cannot act for another.
    exchange_of(&mut world.setup.lock().unwrap().tokens[0]).actor = Some(ActorSpec::Token(TokenIndex(0)));
    let error = world.engine.reload().await.unwrap_err();
    assert_eq!(error.messages(), ["tokens.payments: its actor is not a client_credentials token"]);
}
