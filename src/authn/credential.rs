//! Where a request carries its token: `Authorization: Bearer` (RFC 6750 §2.1), or a header that an issuer names.
//! Never the query, the body, a cookie or another header (RFC 6750 §2.2 and §2.3 are not supported).

use super::error::AuthnError;
use super::spec::CredentialSource;
use crate::core::reason::Reason;
use crate::core::request::Headers;

/// A token as it was sent, still unread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credential<'s, 'h> {
    /// Which header carried it.
    pub source: &'s CredentialSource,
    /// The token: visible ASCII without spaces and commas, not empty.
    pub token: &'h str,
}

/// Finds the one credential in the headers that carry credentials here. `Ok(None)` where none of them is there.
///
/// # Errors
/// More than one credential, one that cannot be read, or one of a scheme other than `Bearer`.
pub fn extract<'s, 'h>(
    sources: impl IntoIterator<Item = &'s CredentialSource, IntoIter: Clone>,
    headers: &Headers<'h>,
) -> Result<Option<Credential<'s, 'h>>, AuthnError> {
    let sources = sources.into_iter();
    let mut found = None;
    for (index, source) in sources.clone().enumerate() {
        if sources.clone().take(index).any(|seen| seen == source) {
            continue;
        }
        for value in headers.values(header_name(source)) {
            if found.replace((source, value)).is_some() {
                let detail = "more than one header line carries a credential";
                return Err(AuthnError::new(Reason::MultipleCredentials, detail));
            }
        }
    }
    let Some((source, value)) = found else { return Ok(None) };
    let token = match source {
        CredentialSource::Authorization => bearer(value)?,
        CredentialSource::Header(_) => value,
    };
    bare(token).map(|token| Some(Credential { source, token }))
}

/// The request header, lower case.
pub fn header_name(source: &CredentialSource) -> &str {
    match source {
        CredentialSource::Authorization => "authorization",
        CredentialSource::Header(name) => name,
    }
}

/// What follows `Bearer` and exactly one space. The scheme's case does not matter (RFC 9110 §11.1).
fn bearer(value: &[u8]) -> Result<&[u8], AuthnError> {
    let space = value.iter().position(|b| *b == b' ');
    let (scheme, rest) = match space {
        Some(at) => value.split_at(at),
        None => (value, &[][..]),
    };
    if value.is_empty() {
        return Err(AuthnError::new(Reason::MalformedCredential, "the `authorization` header is empty"));
    }
    if !scheme.eq_ignore_ascii_case(b"bearer") {
        // Envoy joins repeated lines with a comma, so a second credential may hide behind one of another scheme.
        if value.split(|b| *b == b',').skip(1).any(begins_with_bearer) {
            return Err(AuthnError::new(Reason::MultipleCredentials, "a bearer token follows another credential"));
        }
        return Err(AuthnError::new(Reason::UnsupportedScheme, "the scheme is not `Bearer` followed by one space"));
    }
    Ok(rest.strip_prefix(b" ").unwrap_or_default())
}

fn begins_with_bearer(part: &[u8]) -> bool {
    part.trim_ascii_start().get(..7).is_some_and(|start| start.eq_ignore_ascii_case(b"bearer "))
}

fn bare(token: &[u8]) -> Result<&str, AuthnError> {
    // One pass without a branch for each byte, and without a reason: most are good.
    if !token.is_empty() && token.iter().fold(true, |good, b| good & (*b != b',') & b.is_ascii_graphic()) {
        return std::str::from_utf8(token).map_err(|_| not_text());
    }
    if token.is_empty() || token.starts_with(b" ") {
        return Err(AuthnError::new(Reason::MalformedCredential, "there is no token where one belongs"));
    }
    if token.contains(&b',') {
        return Err(AuthnError::new(Reason::MultipleCredentials, "the header holds a list"));
    }
    Err(not_text())
}

fn not_text() -> AuthnError {
    AuthnError::new(Reason::TokenMalformed, "the token holds a space, a control or non-ASCII byte")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::request::Header;

    fn run(lines: &[(&str, &[u8])]) -> Result<Option<(String, String)>, Reason> {
        let named = CredentialSource::Header("x-access-token".into());
        let sources = [CredentialSource::Authorization, named, CredentialSource::Authorization];
        let headers = Headers::new(lines.iter().map(|(name, value)| Header { name, value }).collect());
        let found = extract(&sources, &headers).map_err(|error| error.reason)?;
        Ok(found.map(|c| (header_name(c.source).to_owned(), c.token.to_owned())))
    }

    #[test]
    fn a_bearer_value_has_one_reading() {
        for (value, want) in [
            (&b"Bearer a.b.c"[..], Ok("a.b.c")),
            (b"bEARER a.b.c", Ok("a.b.c")),
            (b"", Err(Reason::MalformedCredential)),
            (b"Bearer", Err(Reason::MalformedCredential)),
            (b"Bearer ", Err(Reason::MalformedCredential)),
            (b"Bearer   ", Err(Reason::MalformedCredential)),
            (b"Bearer  a.b.c", Err(Reason::MalformedCredential)),
            (b"Bearer a.b.c ", Err(Reason::TokenMalformed)),
            (b"Bearer a.b.c .junk", Err(Reason::TokenMalformed)),
            (b"Bearer a\tb", Err(Reason::TokenMalformed)),
            (b"Bearer a\xffb", Err(Reason::TokenMalformed)),
            (b"Bearer a\xc3\xa9b", Err(Reason::TokenMalformed)),
            (b"Bearer\ta.b.c", Err(Reason::UnsupportedScheme)),
            (b" Bearer a.b.c", Err(Reason::UnsupportedScheme)),
            (b"Basic dXNlcjpwYXNz", Err(Reason::UnsupportedScheme)),
            (b"Digest username=\"x\", realm=\"y\"", Err(Reason::UnsupportedScheme)),
            (b"DPoP a.b.c", Err(Reason::UnsupportedScheme)),
            (b"Bearer-invalid a.b.c", Err(Reason::UnsupportedScheme)),
            (b"a.b.c", Err(Reason::UnsupportedScheme)),
            (b"Bearer a,Bearer b", Err(Reason::MultipleCredentials)),
            (b"Bearer a, b", Err(Reason::MultipleCredentials)),
            (b"Basic x, bearer b", Err(Reason::MultipleCredentials)),
        ] {
            let want = want.map(|token| Some(("authorization".to_owned(), token.to_owned())));
            assert_eq!(run(&[("authorization", value)]), want, "{}", value.escape_ascii());
        }
    }

    #[test]
    fn credentials_are_counted_over_all_accepted_headers() {
        assert_eq!(run(&[("X-Access-Token", b"a.b.c")]), Ok(Some(("x-access-token".into(), "a.b.c".into()))));
        assert_eq!(run(&[("x-access-token", b"Bearer a.b.c")]), Err(Reason::TokenMalformed));
        assert_eq!(run(&[("x-access-token", b"")]), Err(Reason::MalformedCredential));
        assert_eq!(run(&[("x-access-token", b"a,b")]), Err(Reason::MultipleCredentials));
        let both: &[(&str, &[u8])] = &[("x-access-token", b"a"), ("authorization", b"Bearer b")];
        assert_eq!(run(both), Err(Reason::MultipleCredentials));
        assert_eq!(
            run(&[("authorization", b"Bearer b"), ("Authorization", b"Bearer b")]),
            Err(Reason::MultipleCredentials)
        );
        assert_eq!(run(&[("cookie", b"access_token=a"), ("proxy-authorization", b"Bearer a")]), Ok(None));
    }
}
