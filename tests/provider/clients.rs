//! Client authentication, by method, as the provider sees it.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tollgate::core::algorithm::Algorithm;
use tollgate::provider::spec::{ClientAuth, ClientSpec};
use tollgate::provider::{CallError, Endpoint};
use tollgate::secret::SecretSource;

use crate::fixture::{Fixture, ISSUER, NOW, SECRET, bare, soon, spec, status};
use crate::http::{Request, Server, json, kept_json};

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

fn client(auth: ClientAuth) -> ClientSpec {
    ClientSpec { id: "service:b".into(), auth }
}

/// The header and claims of an assertion.
fn decoded(request: &Request) -> (Value, Value) {
    let assertion = request.field("client_assertion").unwrap();
    let part = |index: usize| {
        let part = URL_SAFE_NO_PAD.decode(assertion.split('.').nth(index).unwrap()).unwrap();
        serde_json::from_slice(&part).unwrap()
    };
    (part(0), part(1))
}

#[tokio::test]
async fn a_secret_goes_into_the_header_or_into_the_form_and_never_into_both() {
    let server = Server::start(json(&json!({ "active": true }))).await;
    let fixture = Fixture::new(spec(&server));
    let secret = fixture.file("secret", " p:w%d& +\u{fc}\n");

    let basic = client(ClientAuth::SecretBasic(SecretSource::File(secret.clone())));
    assert_eq!(status(&fixture.introspect(&basic).await), 200);
    let request = server.last();
    assert_eq!((request.method(), request.path()), ("POST", "/introspect"));
    assert_eq!(request.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(request.header("accept"), Some("application/json"));
    let credentials = request.header("authorization").unwrap().strip_prefix("Basic ").unwrap().to_owned();
    assert_eq!(STANDARD.decode(credentials).unwrap(), b"service%3Ab:p%3Aw%25d%26+%2B%C3%BC");
    assert_eq!(request.form(), [("token".to_owned(), "t0ken".to_owned())]);

    let post = client(ClientAuth::SecretPost(SecretSource::File(secret)));
    assert_eq!(status(&fixture.token(&post).await), 200);
    let request = server.last();
    assert_eq!(request.path(), "/token");
    assert_eq!(request.header("authorization"), None);
    assert_eq!(request.field("client_id").as_deref(), Some("service:b"));
    assert_eq!(request.field("client_secret").as_deref(), Some("p:w%d& +\u{fc}"));

    let variable = client(ClientAuth::SecretPost(SecretSource::Env("PATH".into())));
    fixture.token(&variable).await.unwrap();
    assert_eq!(server.last().field("client_secret").as_deref(), Some(std::env::var("PATH").unwrap().trim()));
}

#[tokio::test]
async fn row_180_what_is_in_a_token_stays_in_its_field() {
    let server = Server::start(json(&json!({ "active": false }))).await;
    let fixture = Fixture::new(spec(&server));
    let client = fixture.basic();
    let token = "a&token=b&client_id=root\r\n\r\nPOST /x HTTP/1.1\r\n%26%00;=+ \u{202e}\0";
    let form = [("token", token), ("token_type_hint", "access_token")];
    let answer = soon(fixture.provider.call(Endpoint::Introspection, &client, &form, 1000)).await;
    assert_eq!(status(&answer), 200);
    let request = server.last();
    let sent: Vec<(String, String)> = form.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    assert_eq!(request.form(), sent);
    assert_eq!(request.body.matches('&').count(), 1);
    assert!(request.body.bytes().all(|byte| byte.is_ascii_graphic()), "{}", request.body);
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn assertions_are_signed_anew_for_each_call() {
    let server = Server::start(kept_json(&json!({}))).await;
    let fixture = Fixture::new(spec(&server));
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let key = fixture.file("key.pem", pair.serialize_pem());
    let auth = |key_id: Option<&str>, audience: Option<&str>| {
        let (key_id, audience) = (key_id.map(Into::into), audience.map(Into::into));
        client(ClientAuth::PrivateKeyJwt { key: key.clone(), algorithm: Algorithm::ES256, key_id, audience })
    };
    fixture.token(&auth(Some("k1"), None)).await.unwrap();
    let request = server.last();
    assert_eq!(request.header("authorization"), None);
    assert_eq!(request.field("client_assertion_type").as_deref(), Some(ASSERTION_TYPE));
    assert_eq!(request.field("client_id").as_deref(), Some("service:b"));
    assert_eq!(request.field("client_secret"), None);
    let (header, first) = decoded(&request);
    assert_eq!((&header["alg"], &header["kid"]), (&json!("ES256"), &json!("k1")));
    assert_eq!(
        (&first["iss"], &first["sub"], &first["aud"]),
        (&json!("service:b"), &json!("service:b"), &json!(ISSUER))
    );
    let (issued, expires) = (first["iat"].as_i64().unwrap(), first["exp"].as_i64().unwrap());
    assert_eq!(issued, NOW);
    assert!((NOW + 1..=NOW + 60).contains(&expires));
    assert!(first["jti"].as_str().unwrap().len() >= 20);

    // The signature is of the key in the file.
    let assertion = request.field("client_assertion").unwrap();
    let (message, signature) = assertion.rsplit_once('.').unwrap();
    let public = aws_lc_rs::signature::UnparsedPublicKey::new(
        &aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED,
        pair.public_key_raw(),
    );
    public.verify(message.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();

    fixture.token(&auth(None, Some("https://idp.example.com/token"))).await.unwrap();
    let (header, second) = decoded(&server.last());
    assert_eq!(header.get("kid"), None);
    assert_eq!(second["aud"], json!("https://idp.example.com/token"));
    assert_ne!(first["jti"], second["jti"]);

    // Without an issuer it is for the endpoint.
    let mut without_issuer = spec(&server);
    without_issuer.issuer = None;
    let other = Fixture::new(without_issuer);
    other.token(&auth(None, None)).await.unwrap();
    assert_eq!(decoded(&server.last()).1["aud"], json!(server.url("/token")));
}

#[tokio::test]
async fn every_kind_of_key_signs_with_its_algorithms_and_no_other() {
    let server = Server::start(kept_json(&json!({}))).await;
    let fixture = Fixture::new(spec(&server));
    let pem = |kind| rcgen::KeyPair::generate_for(kind).unwrap().serialize_pem();
    let rsa = fixture.file("rsa.pem", pem(&rcgen::PKCS_RSA_SHA256));
    let p256 = fixture.file("p256.pem", pem(&rcgen::PKCS_ECDSA_P256_SHA256));
    let p384 = fixture.file("p384.pem", pem(&rcgen::PKCS_ECDSA_P384_SHA384));
    let ed = fixture.file("ed.pem", pem(&rcgen::PKCS_ED25519));
    // The older forms of the same: SEC1, PKCS#1.
    let sec1 = |algorithm, name: &str| {
        use aws_lc_rs::encoding::AsDer as _;
        let pair = aws_lc_rs::signature::EcdsaKeyPair::generate(algorithm).unwrap();
        let der: aws_lc_rs::encoding::EcPrivateKeyRfc5915Der<'_> = pair.private_key().as_der().unwrap();
        let body = STANDARD.encode(der.as_ref());
        fixture.file(name, format!("-----BEGIN EC PRIVATE KEY-----\n{body}\n-----END EC PRIVATE KEY-----\n"))
    };
    let sec1 = sec1(&aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED_SIGNING, "sec1.pem");
    use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    for algorithm in [RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA] {
        for key in [&rsa, &p256, &sec1, &p384, &ed] {
            let fits = match algorithm {
                ES256 => key == &p256 || key == &sec1,
                ES384 => key == &p384,
                EdDSA => key == &ed,
                _ => key == &rsa,
            };
            let auth = ClientAuth::PrivateKeyJwt { key: key.clone(), algorithm, key_id: None, audience: None };
            match fixture.token(&client(auth)).await {
                Ok(_) if fits => {
                    let (header, _) = decoded(&server.last());
                    assert_eq!(header["alg"], serde_json::to_value(algorithm).unwrap());
                }
                Err(CallError::Credentials(why)) if !fits => {
                    assert!(why.contains(&*key.to_string_lossy()) && why.contains("private key"), "{why}");
                }
                other => panic!("{algorithm:?} with {}: {other:?}", key.display()),
            }
        }
    }
}

#[tokio::test]
async fn an_assertion_that_somebody_else_signs_is_sent_as_it_is() {
    let server = Server::start(json(&json!({}))).await;
    let fixture = Fixture::new(spec(&server));
    let file = fixture.file("sa", "eyJh.eyJz.c2ln\n");
    let auth = client(ClientAuth::AssertionFile(file.clone()));
    fixture.introspect(&auth).await.unwrap();
    let request = server.last();
    assert_eq!(request.field("client_assertion").as_deref(), Some("eyJh.eyJz.c2ln"));
    assert_eq!(request.field("client_assertion_type").as_deref(), Some(ASSERTION_TYPE));
    assert_eq!(request.field("client_id").as_deref(), Some("service:b"));
    // The kubelet renews it.
    std::fs::write(&file, "eyJh.bmV3.c2ln").unwrap();
    fixture.introspect(&auth).await.unwrap();
    assert_eq!(server.last().field("client_assertion").as_deref(), Some("eyJh.bmV3.c2ln"));
}

#[tokio::test]
async fn a_rotated_secret_is_used_by_the_next_call() {
    let server = Server::start(kept_json(&json!({}))).await;
    let fixture = Fixture::new(spec(&server));
    let file = fixture.file("rotating", "old");
    let auth = client(ClientAuth::SecretPost(SecretSource::File(file.clone())));
    for secret in ["old", "new"] {
        std::fs::write(&file, secret).unwrap();
        fixture.token(&auth).await.unwrap();
        assert_eq!(server.last().field("client_secret").as_deref(), Some(secret));
    }
    assert_eq!(server.connections(), 1, "it rotates without a new connection");
}

#[tokio::test]
async fn credentials_that_cannot_be_read_are_our_fault_and_nothing_is_sent() {
    let server = Server::start(json(&json!({}))).await;
    let mut spec = spec(&server);
    spec.breaker.failures = 1;
    let fixture = Fixture::new(spec);
    let missing = fixture.path().join("missing");
    let (empty, large) = (fixture.file("empty", "\n"), fixture.file("large", SECRET.repeat(10_000)));
    let not_a_key = fixture.file("not-a-key", SECRET);
    let key = |key| ClientAuth::PrivateKeyJwt { key, algorithm: Algorithm::RS256, key_id: None, audience: None };
    let secret = |path| ClientAuth::SecretBasic(SecretSource::File(path));
    for auth in [
        secret(missing.clone()),
        secret(empty.clone()),
        secret(large.clone()),
        secret(fixture.path().to_owned()),
        ClientAuth::SecretPost(SecretSource::Env("TOLLGATE_NO_SUCH_VARIABLE".into())),
        ClientAuth::AssertionFile(missing.clone()),
        ClientAuth::AssertionFile(empty),
        key(missing),
        key(not_a_key),
        key(large),
    ] {
        let client = client(auth);
        let error = fixture.introspect(&client).await.unwrap_err();
        assert!(matches!(error, CallError::Credentials(_)) && !error.is_outage(), "{error:?}");
        assert!(!format!("{error} {error:?}").contains(SECRET), "{error:?}");
        let told = fixture.provider.status().last_error.unwrap();
        assert_eq!(*told.text, *error.to_string());
    }
    assert_eq!(server.count(), 0);
    assert_eq!(fixture.events.breaker(), ["Closed"]);
    assert!(fixture.events.outcomes("introspection").iter().all(|outcome| outcome == "Unsendable"));
}

#[tokio::test]
async fn without_an_endpoint_nothing_is_sent() {
    let fixture = Fixture::new(bare());
    let client = fixture.basic();
    for result in [fixture.introspect(&client).await, fixture.token(&client).await] {
        let error = result.unwrap_err();
        assert!(matches!(error, CallError::Metadata(_)) && !error.is_outage(), "{error:?}");
    }
}
