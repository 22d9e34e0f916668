//! Issuer metadata: OpenID Connect Discovery 1.0 §4, RFC 8414 §3.

use url::Url;

use crate::authn::spec::IssuerClaim;
use crate::net::is_loopback;

/// Why metadata are not believed. The texts are for the operator and hold what the document said in short form only.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum DiscoveryError {
    #[error("the metadata document is not a JSON object with the texts `issuer` and `jwks_uri`")]
    Malformed,
    #[error("the metadata's `issuer` is not the configured one to the letter; set `issuer` to what the provider says")]
    Issuer,
    #[error("discovery needs an `issuer`; give the `jwks` URL instead")]
    NoIssuer,
    #[error("the metadata's `jwks_uri` is not a URL without user name")]
    NotAUrl,
    #[error("the metadata's `jwks_uri` is not `https:`")]
    Scheme,
    #[error("the metadata's `jwks_uri` is on another host; name that host in `allowed_hosts` if it is right")]
    Host,
}

#[derive(serde::Deserialize)]
struct Metadata {
    issuer: String,
    jwks_uri: String,
}

/// Where the keys are, by a metadata document that was fetched from `source`.
pub(super) fn jwks_uri(
    document: &[u8],
    source: &Url,
    issuer: &IssuerClaim,
    allowed_hosts: &[Box<str>],
    allow_insecure_http: bool,
) -> Result<Url, DiscoveryError> {
    let metadata: Metadata = serde_json::from_slice(document).map_err(|_| DiscoveryError::Malformed)?;
    let IssuerClaim::Exact(issuer) = issuer else { return Err(DiscoveryError::NoIssuer) };
    if metadata.issuer != **issuer {
        return Err(DiscoveryError::Issuer);
    }
    let uri = Url::parse(&metadata.jwks_uri).map_err(|_| DiscoveryError::NotAUrl)?;
    if !uri.username().is_empty() || uri.password().is_some() {
        return Err(DiscoveryError::NotAUrl);
    }
    let secure = match uri.scheme() {
        "https" => true,
        "http" => allow_insecure_http || is_loopback(&uri),
        _ => false,
    };
    if !secure {
        return Err(DiscoveryError::Scheme);
    }
    let host = uri.host_str().ok_or(DiscoveryError::NotAUrl)?;
    let of_issuer = Url::parse(issuer).ok();
    let known = source.host_str() == Some(host)
        || of_issuer.as_ref().and_then(Url::host_str) == Some(host)
        || allowed_hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(host));
    if known { Ok(uri) } else { Err(DiscoveryError::Host) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(document: &str, issuer: &str, allowed: &[&str]) -> Result<String, DiscoveryError> {
        let source = Url::parse("https://idp.internal/.well-known/openid-configuration").unwrap();
        let allowed: Vec<Box<str>> = allowed.iter().map(|host| (*host).into()).collect();
        jwks_uri(document.as_bytes(), &source, &IssuerClaim::Exact(issuer.into()), &allowed, false).map(Into::into)
    }

    fn document(issuer: &str, jwks_uri: &str) -> String {
        serde_json::json!({ "issuer": issuer, "jwks_uri": jwks_uri, "response_types_supported": ["code"] }).to_string()
    }

    const ISSUER: &str = "https://idp.example.com/realms/shop";

    #[test]
    fn row_190_the_issuer_is_the_configured_one_to_the_letter() {
        let uri = "https://idp.example.com/keys";
        assert_eq!(read(&document(ISSUER, uri), ISSUER, &[]).as_deref(), Ok(uri));
        for other in [
            "https://idp.example.com/realms/shop/",
            "https://IDP.example.com/realms/shop",
            "https://idp.example.com:443/realms/shop",
            "https://idp.example.com/realms/Shop",
            "https://evil.example/realms/shop",
            "",
        ] {
            assert_eq!(read(&document(other, uri), ISSUER, &[]), Err(DiscoveryError::Issuer), "{other}");
        }
    }

    #[test]
    fn row_191_jwks_uri_is_https_and_on_a_host_that_the_operator_knows() {
        let read = |uri: &str, allowed: &[&str]| read(&document(ISSUER, uri), ISSUER, allowed);
        // The metadata's own host, the issuer's, one that is named, loopback by any scheme where it is named.
        assert!(read("https://idp.internal:8443/keys", &[]).is_ok());
        assert!(read("https://idp.example.com/keys", &[]).is_ok());
        assert!(read("https://keys.example.net/keys", &["KEYS.example.net"]).is_ok());
        assert!(read("http://127.0.0.1:8080/keys", &["127.0.0.1"]).is_ok());

        for uri in ["http://idp.example.com/keys", "file:///etc/passwd", "ftp://idp.example.com/", "data:,x"] {
            assert_eq!(read(uri, &[]), Err(DiscoveryError::Scheme), "{uri}");
        }
        for uri in [
            "https://evil.example/keys",
            "https://sub.idp.example.com/",
            "https://idp.example.com.evil.example/",
            "https://169.254.169.254/latest",
            "https://[fe80::1]/",
            "https://[fd00:ec2::254]/",
            "https://100.100.100.200/",
            "http://localhost/",
        ] {
            assert_eq!(read(uri, &[]), Err(DiscoveryError::Host), "{uri}");
        }
        for uri in ["", "/keys", "https://", "https://idp.example.com@evil.example/", "https://a:b@idp.example.com/"] {
            assert_eq!(read(uri, &[]), Err(DiscoveryError::NotAUrl), "{uri}");
        }
    }

    #[test]
    fn what_is_not_metadata_is_refused() {
        for document in [
            "",
            "{}",
            "[]",
            "<html>",
            r#"{"issuer":1,"jwks_uri":"https://idp.internal/"}"#,
            r#"{"jwks_uri":"https://idp.internal/"}"#,
        ] {
            assert_eq!(read(document, ISSUER, &[]), Err(DiscoveryError::Malformed), "{document}");
        }
    }
}
