use super::*;

const ISSUER: &str = "https://idp.example.com/realms/shop";

fn read(document: &str, issuer: &str, allowed: &[&str], member: Member) -> Result<String, MetadataError> {
    let source = Url::parse("https://idp.internal/.well-known/openid-configuration").unwrap();
    let allowed: Vec<Box<str>> = allowed.iter().map(|host| (*host).into()).collect();
    let rules = Rules { source: &source, issuer, allowed_hosts: &allowed, allow_insecure_http: false };
    Metadata::read(document.as_bytes(), &rules)?.url(member, &rules).map(Into::into)
}

fn document(issuer: &str, url: &str) -> String {
    serde_json::json!({
        "issuer": issuer,
        "jwks_uri": url,
        "token_endpoint": url,
        "introspection_endpoint": url,
        "response_types_supported": ["code"],
    })
    .to_string()
}

const MEMBERS: [Member; 3] = [Member::JwksUri, Member::TokenEndpoint, Member::IntrospectionEndpoint];

#[test]
fn row_190_the_issuer_is_the_configured_one_to_the_letter() {
    let url = "https://idp.example.com/x";
    for member in MEMBERS {
        assert_eq!(read(&document(ISSUER, url), ISSUER, &[], member).as_deref(), Ok(url));
        for other in [
            "https://idp.example.com/realms/shop/",
            "https://IDP.example.com/realms/shop",
            "https://idp.example.com:443/realms/shop",
            "https://idp.example.com/realms/Shop",
            "https://evil.example/realms/shop",
            "",
        ] {
            assert_eq!(read(&document(other, url), ISSUER, &[], member), Err(MetadataError::Issuer), "{other}");
        }
    }
}

#[test]
fn row_191_urls_are_https_and_on_a_host_that_the_operator_knows() {
    for member in MEMBERS {
        let name = member.name();
        let read = |url: &str, allowed: &[&str]| read(&document(ISSUER, url), ISSUER, allowed, member);
        // The metadata's own host, the issuer's, one that is named, loopback by any scheme where it is named.
        assert!(read("https://idp.internal:8443/keys", &[]).is_ok());
        assert!(read("https://idp.example.com/keys", &[]).is_ok());
        assert!(read("https://keys.example.net/keys", &["KEYS.example.net"]).is_ok());
        assert!(read("http://127.0.0.1:8080/keys", &["127.0.0.1"]).is_ok());

        for url in ["http://idp.example.com/keys", "file:///etc/passwd", "ftp://idp.example.com/", "data:,x"] {
            assert_eq!(read(url, &[]), Err(MetadataError::Scheme(name)), "{url}");
        }
        for url in [
            "https://evil.example/keys",
            "https://sub.idp.example.com/",
            "https://idp.example.com.evil.example/",
            "https://169.254.169.254/latest",
            "https://[fe80::1]/",
            "https://[fd00:ec2::254]/",
            "https://100.100.100.200/",
            "http://localhost/",
        ] {
            assert_eq!(read(url, &[]), Err(MetadataError::Host(name)), "{url}");
        }
        for url in ["", "/keys", "https://", "https://idp.example.com@evil.example/", "https://a:b@idp.example.com/"] {
            assert_eq!(read(url, &[]), Err(MetadataError::NotAUrl(name)), "{url}");
        }
    }
}

#[test]
fn what_is_not_metadata_is_refused_and_what_is_missing_is_named() {
    for document in [
        "",
        "{}",
        "[]",
        "<html>",
        r#"{"issuer":1,"jwks_uri":"https://idp.internal/"}"#,
        r#"{"jwks_uri":"https://idp.internal/"}"#,
        r#"{"issuer":"https://idp.example.com/realms/shop","issuer":"https://idp.example.com/realms/shop"}"#,
    ] {
        assert_eq!(read(document, ISSUER, &[], Member::JwksUri), Err(MetadataError::Malformed), "{document}");
    }
    for value in ["null", "1", "[]", "{}"] {
        let document = format!(r#"{{"issuer":"{ISSUER}","token_endpoint":{value}}}"#);
        for member in MEMBERS {
            assert_eq!(read(&document, ISSUER, &[], member), Err(MetadataError::Absent(member.name())));
        }
    }
}

#[test]
fn certificates_go_to_the_endpoint_that_is_for_them() {
    let source = Url::parse("https://idp.example.com/.well-known/openid-configuration").unwrap();
    let rules = Rules { source: &source, issuer: ISSUER, allowed_hosts: &[], allow_insecure_http: false };
    let mut document = serde_json::json!({ "issuer": ISSUER, "token_endpoint": "https://idp.example.com/token" });
    let url = |document: &Value| {
        let metadata = Metadata::read(document.to_string().as_bytes(), &rules).unwrap();
        metadata.mutual_tls_url(Member::TokenEndpoint, &rules).map(Into::<String>::into)
    };
    assert_eq!(url(&document).unwrap(), "https://idp.example.com/token");
    document["mtls_endpoint_aliases"] = serde_json::json!({ "token_endpoint": "https://idp.example.com:8443/token" });
    assert_eq!(url(&document).unwrap(), "https://idp.example.com:8443/token");
    document["mtls_endpoint_aliases"] = serde_json::json!({ "token_endpoint": "https://evil.example/token" });
    assert_eq!(url(&document), Err(MetadataError::Host("token_endpoint")));
}
