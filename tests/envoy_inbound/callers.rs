//! Caller identity by SPIFFE, and tokens bound to a certificate, behind Envoy with mutual TLS.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use tollgate::demo::client::{Call, CallError, Protocol, Reply};
use tollgate::demo::envoy::Shipped;
use tollgate::demo::upstream::SeenRequest;

use crate::support::{Identity, Pki, Stage, assert_denied, get};

const ORDER: &str = "spiffe://cluster.local/ns/shop/sa/order-service";
const REPORT: &str = "spiffe://cluster.local/ns/shop/sa/report-service";

struct Mutual {
    stage: Stage,
    pki: Pki,
    _files: tempfile::TempDir,
}

impl Mutual {
    async fn new(config: impl FnOnce(Shipped) -> Shipped) -> Self {
        let files = tempfile::tempdir().unwrap();
        let pki = Pki::new();
        pki.write_server_files(files.path());
        let shipped = Shipped::inbound_mtls().certificates(files.path()).unwrap();
        Self { stage: Stage::with(shipped, |policy| policy, config).await, pki, _files: files }
    }

    async fn ask(&self, call: Call, identity: Option<&Identity>) -> Result<(Reply, Option<SeenRequest>), CallError> {
        drop(self.stage.upstream.take_seen());
        let alpn: &[u8] = if call.protocol == Protocol::Http2 { b"h2" } else { b"http/1.1" };
        let stream = self.pki.connect(self.stage.envoy.address(), alpn, identity).await?;
        let reply = call.send_over(stream).await?;
        Ok((reply, self.stage.upstream.take_seen().pop()))
    }

    async fn denied(&self, call: Call, identity: &Identity, status: u16, reason: &str) {
        let (reply, seen) = self.ask(call.clone(), Some(identity)).await.unwrap();
        assert_denied(&call, &reply, status, reason);
        assert_eq!(seen, None);
    }
}

/// Point 16: who calls is what Envoy verified, and nothing that the client says.
#[tokio::test]
async fn point_16_the_caller_is_the_certificates_spiffe_id() {
    let mutual = Mutual::new(|config| config).await;
    let (order, report) = (mutual.pki.client(&[ORDER]), mutual.pki.client(&[REPORT]));
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let (reply, seen) = mutual.ask(get("/internal/x").protocol(protocol), Some(&order)).await.unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(seen.unwrap().header("x-caller").as_deref(), Some(ORDER));
    }
    mutual.denied(get("/internal/x"), &report, 403, "caller_not_allowed").await;
    let forged = get("/internal/x")
        .header("x-forwarded-client-cert", &format!("By=spiffe://cluster.local/x;Hash=00;URI={ORDER}"))
        .header("x-envoy-downstream-service-cluster", ORDER)
        .header("x-caller", ORDER);
    mutual.denied(forged.clone(), &report, 403, "caller_not_allowed").await;
    // Nor does the service see the forgery, where the request is allowed for other reasons.
    let mut elsewhere = forged;
    elsewhere.path = "/public/x".to_owned();
    let seen = mutual.ask(elsewhere, Some(&report)).await.unwrap().1.unwrap();
    assert_eq!((seen.header("x-forwarded-client-cert"), seen.header("x-caller")), (None, None));
}

#[tokio::test]
async fn clients_without_a_certificate_of_the_trust_domain_get_no_further_than_envoy() {
    let mutual = Mutual::new(|config| config).await;
    let stranger = Pki::new().client(&[ORDER]);
    let other_domain = mutual.pki.client(&["spiffe://elsewhere.local/ns/shop/sa/order-service"]);
    let nameless = mutual.pki.client(&[]);
    for identity in [None, Some(&stranger), Some(&other_domain), Some(&nameless)] {
        assert!(mutual.ask(get("/healthz"), identity).await.is_err());
        assert_eq!(mutual.stage.upstream.take_seen(), []);
    }
    let good = mutual.pki.client(&[REPORT]);
    assert_eq!(mutual.ask(get("/healthz"), Some(&good)).await.unwrap().0.status, 200);
}

/// Point 17: a certificate that says two things says nothing, whatever Envoy makes of it; and without
/// `include_peer_certificate` the principal alone is what there is.
#[tokio::test]
async fn point_17_a_certificate_with_two_names_is_no_identity() {
    let mutual = Mutual::new(|config| config).await;
    let two = mutual.pki.client(&[ORDER, REPORT]);
    let (reply, seen) = mutual.ask(get("/internal/x"), Some(&two)).await.unwrap();
    assert_eq!((reply.status.as_u16(), seen), (403, None), "{}", reply.text());

    let without = Mutual::new(|config| config.replace("include_peer_certificate: true\n", "").unwrap()).await;
    let order = without.pki.client(&[ORDER]);
    let (reply, _) = without.ask(get("/internal/x"), Some(&order)).await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text());
}

/// RFC 8705: a token that names a certificate is good with that certificate alone.
#[tokio::test]
async fn a_certificate_bound_token_is_good_with_its_certificate_alone() {
    let mutual = Mutual::new(|config| config).await;
    let (order, report) = (mutual.pki.client(&[ORDER]), mutual.pki.client(&[REPORT]));
    let bound = |identity: &Identity| {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &identity.certificate);
        let mut claims = mutual.stage.claims();
        claims["cnf"] = json!({ "x5t#S256": URL_SAFE_NO_PAD.encode(digest) });
        mutual.stage.issuer.sign(&claims).unwrap()
    };
    let token = bound(&order);
    // In any order, and again: a cached validation keeps its binding.
    mutual.denied(get("/bound/x").bearer(&token), &report, 401, "token_binding").await;
    for _ in 0..2 {
        let (reply, seen) = mutual.ask(get("/bound/x").bearer(&token), Some(&order)).await.unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert!(seen.is_some());
        mutual.denied(get("/bound/x").bearer(&token), &report, 401, "token_binding").await;
    }
    // Without TLS there is no certificate to compare.
    let plain = Stage::new().await;
    let mut claims = plain.claims();
    claims["cnf"] = json!({ "x5t#S256": URL_SAFE_NO_PAD.encode([0; 32]) });
    let (reply, seen) = plain.ask(get("/bound/x").bearer(&plain.issuer.sign(&claims).unwrap())).await;
    assert_eq!(seen, None);
    assert!(reply.json()["reason"].as_str().unwrap().starts_with("token_binding"), "{}", reply.text());
    for binding in [json!({ "jkt": "x" }), json!({}), json!("x"), json!(null)] {
        claims["cnf"] = binding.clone();
        let token = plain.issuer.sign(&claims).unwrap();
        let (reply, seen) = plain.ask(get("/bound/x").bearer(&token)).await;
        assert_eq!((reply.status.as_u16(), seen), (401, None), "{binding}");
    }
}
