//! Where an issuer's keys are, by its metadata.

use url::Url;

use crate::authn::spec::IssuerClaim;
use crate::provider::metadata::{Member, Metadata, MetadataError, Rules};

/// Why metadata do not lead to keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum DiscoveryError {
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    #[error("discovery needs an `issuer`; give the `jwks` URL instead")]
    NoIssuer,
}

/// Where the keys are, by a metadata document that was fetched from `source`.
pub(super) fn jwks_uri(
    document: &[u8],
    source: &Url,
    issuer: &IssuerClaim,
    allowed_hosts: &[Box<str>],
    allow_insecure_http: bool,
) -> Result<Url, DiscoveryError> {
    let IssuerClaim::Exact(issuer) = issuer else { return Err(DiscoveryError::NoIssuer) };
    let rules = Rules { source, issuer, allowed_hosts, allow_insecure_http };
    Ok(Metadata::read(document, &rules)?.url(Member::JwksUri, &rules)?)
}
