//! Keycloak goes away and comes back.

use tollgate::demo::client::Call;

use crate::stage::{Alone, refused};
use crate::support::eventually;

#[tokio::test]
async fn while_keycloak_is_away_nobody_gets_in_and_when_it_is_back_everybody_does() {
    let mut stage = Alone::alone().await;
    let login = stage.realm.log_in("web", "alice").await.unwrap();
    let (known, new) = (login.access_token.clone(), stage.token("web", "alice").await);
    assert_eq!(stage.node("service-a").call(&known).await.unwrap().status, 200);

    stage.keycloak.stop().await.unwrap();
    let a = stage.chain.node("service-a").unwrap();
    refused(&a.call(&new).await.unwrap(), 503, "introspection_unavailable");
    // Never older than the policy says: 2 s.
    eventually("old answers end", async || a.call(&known).await.unwrap().status == 503).await;
    let out = async |path: &str| Call::get("service-b.internal", path).bearer(&new).send(a.outbound()).await.unwrap();
    refused(&out("/prices").await, 503, "introspection_unavailable");
    // The service's own token is still there, and B cannot ask about it.
    refused(&out("/reports").await, 503, "introspection_unavailable");

    stage.keycloak.start_again().await.unwrap();
    let a = stage.chain.node("service-a").unwrap();
    let fresh = stage.realm.log_in("web", "alice").await.unwrap().access_token;
    eventually("the chain is whole again", async || a.call(&fresh).await.unwrap().status == 200).await;
}
