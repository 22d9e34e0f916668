//! One Keycloak for all tests: it takes half a minute to start. A test that takes it away waits for the others.

use std::path::PathBuf;
use std::sync::LazyLock;

use serde_json::{Value, json};
use tokio::sync::{OnceCell, RwLock, RwLockReadGuard, RwLockWriteGuard};
use tollgate::demo::client::{Call, Reply};
use tollgate::demo::keycloak::{Chain, Hop, Keycloak, Node, REALM, Realm, find, password};

use crate::client_key::ClientKey;
use crate::proxy::Proxy;
use crate::support::binary;

/// The realm's endpoints, below Keycloak's address.
pub(crate) const TOKEN: &str = "/realms/shop/protocol/openid-connect/token";
pub(crate) const INTROSPECTION: &str = "/realms/shop/protocol/openid-connect/token/introspect";

/// The client that authenticates by `private_key_jwt` has this key.
pub(crate) static CLIENT_KEY: LazyLock<ClientKey> = LazyLock::new(ClientKey::new);

static KEYCLOAK: OnceCell<RwLock<Keycloak>> = OnceCell::const_new();

async fn keycloak() -> &'static RwLock<Keycloak> {
    let start = async || {
        let home: PathBuf = find().expect("no Keycloak: `make idp` fetches it, or name one in TOLLGATE_KEYCLOAK");
        RwLock::new(Keycloak::start(&home, 0, &realm()).await.unwrap())
    };
    KEYCLOAK.get_or_init(start).await
}

/// The shipped realm, with a key for `service-jwt`, and with tokens that are meant for it.
fn realm() -> String {
    let mut realm: Value = serde_json::from_str(REALM).unwrap();
    let by_name = |realm: &mut Value, list: &str, key: &str, name: &str| -> Value {
        let items = realm[list].as_array_mut().unwrap();
        items.iter_mut().find(|item| item[key] == name).expect(name).take()
    };
    let mut client = by_name(&mut realm, "clients", "clientId", "service-jwt");
    client["attributes"]["jwks.string"] = CLIENT_KEY.jwks().to_string().into();
    let mut text = realm;
    text["clients"].as_array_mut().unwrap().retain(|client| !client.is_null());
    text["clients"].as_array_mut().unwrap().push(client);
    let of_a = |list: &str, key: &str, name: &str| -> Value {
        text[list].as_array().unwrap().iter().find(|item| item[key] == name).expect(name).clone()
    };
    let mut scope = of_a("clientScopes", "name", "a.read");
    scope["name"] = "jwt.read".into();
    scope["protocolMappers"][0]["config"]["included.client.audience"] = "service-jwt".into();
    let mut web = of_a("clients", "clientId", "web");
    web["clientId"] = "web-jwt".into();
    web["defaultClientScopes"] = json!(["basic", "identity", "roles", "jwt.read"]);
    text["clientScopes"].as_array_mut().unwrap().push(scope);
    text["clients"].as_array_mut().unwrap().push(web);
    text.to_string()
}

/// The realm and a chain of services of the test's own.
pub(crate) struct Stage<K = RwLockReadGuard<'static, Keycloak>> {
    pub(crate) keycloak: K,
    pub(crate) realm: Realm,
    pub(crate) chain: Chain,
}

/// For a test that takes Keycloak away.
pub(crate) type Alone = Stage<RwLockWriteGuard<'static, Keycloak>>;

impl Stage {
    pub(crate) async fn new() -> Self {
        Self::with(|_, policy| policy).await
    }

    /// With the shipped policies changed by `edit`, which is told whose it is.
    pub(crate) async fn with(edit: impl Fn(&str, String) -> String) -> Self {
        let keycloak = keycloak().await.read().await;
        let realm = Realm::new(keycloak.address());
        let chain = Chain::start(&binary(), &realm.issuer(), edit).await.unwrap();
        Self { keycloak, realm, chain }
    }

    /// With a proxy that counts what the gate of `service-a` asks of Keycloak's endpoints; the others ask it directly.
    pub(crate) async fn counted() -> (Self, Proxy) {
        let keycloak = keycloak().await.read().await;
        let realm = Realm::new(keycloak.address());
        let proxy = Proxy::start(keycloak.address()).await;
        let at = |path: &str| format!("\"http://{}{path}\"", proxy.address);
        let (introspection, token) = (at(INTROSPECTION), at(TOKEN));
        let shipped = "    claims: keycloak\n";
        let counted =
            format!("{shipped}    provider: {{ introspection_endpoint: {introspection}, token_endpoint: {token} }}\n");
        let edit = |name: &str, policy: String| match name {
            "service-a" => policy.replace(shipped, &counted).replace("active: 2s", "active: 1m"),
            _ => policy,
        };
        let chain = Chain::start(&binary(), &realm.issuer(), edit).await.unwrap();
        (Self { keycloak, realm, chain }, proxy)
    }
}

impl Alone {
    pub(crate) async fn alone() -> Self {
        let keycloak = keycloak().await.write().await;
        let realm = Realm::new(keycloak.address());
        let chain = Chain::start(&binary(), &realm.issuer(), |_, policy| policy).await.unwrap();
        Self { keycloak, realm, chain }
    }
}

impl<K> Stage<K> {
    pub(crate) fn node(&self, name: &str) -> &Node {
        self.chain.node(name).unwrap()
    }

    /// A new access token for this user by way of this client.
    pub(crate) async fn token(&self, client: &str, user: &str) -> String {
        self.realm.log_in(client, user).await.unwrap().access_token
    }

    /// What `service` would get for `subject` from Keycloak, asked directly.
    pub(crate) async fn exchange(&self, service: &str, subject: &str, audience: &str, scope: &str) -> String {
        let form = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
            ("client_id", service),
            ("client_secret", &password(service)),
            ("subject_token", subject),
            ("audience", audience),
            ("scope", scope),
        ];
        let reply = self.realm.post("token", &form).await.unwrap();
        let token = reply.json()["access_token"].as_str().map(str::to_owned);
        token.unwrap_or_else(|| panic!("{}", reply.text()))
    }

    /// A call by `from` to `to` through its own Envoy's egress listener, with this token.
    pub(crate) async fn out(&self, from: &str, to: &str, path: &str, token: &str) -> Reply {
        let call = Call::get(&Hop::host(to), path).bearer(token);
        call.send(self.node(from).outbound()).await.unwrap()
    }
}

/// The answer is a denial by the gate for this reason.
pub(crate) fn refused(reply: &Reply, status: u16, reason: &str) {
    assert_eq!(reply.status, status, "{}", reply.text());
    assert_eq!(reply.json()["reason"], reason, "{}", reply.text());
}
