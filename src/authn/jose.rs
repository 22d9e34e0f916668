//! JWS compact serialization and the JOSE header (RFC 7515 §3.1, §4), as far as access tokens use them.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::error::shown;
use super::json;
use super::trace::{Check, Failure};
use crate::core::reason::Reason;

/// Longest `kid` looked at, in bytes.
const MAX_KID_BYTES: usize = 512;

/// Header members that change what the signature means, or that name or bring keys. A token never chooses its key,
/// and nothing is fetched because a token says so (RFC 8725 §3.10).
const REFUSED_MEMBERS: [&str; 8] = ["crit", "b64", "zip", "enc", "jwk", "jku", "x5u", "x5c"];

/// The three parts of a token, decoded; nothing in them is verified.
#[derive(Debug)]
pub(super) struct Compact<'t> {
    pub(super) header: Vec<u8>,
    pub(super) payload: Vec<u8>,
    pub(super) signature: Vec<u8>,
    /// What the signature is over.
    pub(super) signed: Cow<'t, [u8]>,
}

impl<'t> Compact<'t> {
    /// Exactly three parts, none empty, in base64url without padding and without stray bits.
    pub(super) fn parse(token: &'t str) -> Result<Self, Failure> {
        let refuse = |detail: &str| Check::Form.fails(Reason::TokenMalformed, detail);
        let mut parts = token.splitn(4, '.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            let count = token.bytes().filter(|b| *b == b'.').count() + 1;
            return Err(refuse(&format!("wanted three parts, saw {count}; encrypted tokens (JWE) are not supported")));
        };
        if header.is_empty() || payload.is_empty() || signature.is_empty() {
            return Err(refuse("one of the three parts is empty"));
        }
        let signed = token.as_bytes().get(..header.len() + 1 + payload.len()).unwrap_or_default();
        let decode = |part: &str, name: &str| {
            URL_SAFE_NO_PAD.decode(part).map_err(|_| refuse(&format!("the {name} is not base64url without padding")))
        };
        Ok(Self {
            header: decode(header, "header")?,
            payload: decode(payload, "payload")?,
            signature: decode(signature, "signature")?,
            signed: signed.into(),
        })
    }
}

/// The parts of a JOSE header that decide anything. Members that nobody here knows are ignored (RFC 7515 §4).
#[derive(Debug)]
pub(super) struct Header {
    pub(super) members: Map<String, Value>,
}

impl Header {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Failure> {
        let refuse = |detail: String| Check::Header.fails(Reason::TokenHeader, detail);
        let members = json::parse_object(bytes)
            .map_err(|error| Check::Header.fails(Reason::TokenMalformed, format!("the header: {error}")))?;
        if let Some(name) = REFUSED_MEMBERS.iter().find(|name| members.contains_key(**name)) {
            return Err(refuse(format!("the header has `{name}`, which is not supported")));
        }
        match members.get("kid") {
            None => {}
            Some(Value::String(kid)) if !kid.is_empty() && kid.len() <= MAX_KID_BYTES => {}
            Some(_) => return Err(refuse(format!("`kid` is not a text of 1 to {MAX_KID_BYTES} bytes"))),
        }
        match members.get("typ") {
            None | Some(Value::String(_)) => {}
            Some(_) => return Err(refuse("`typ` is not a text".into())),
        }
        match members.get("cty") {
            None => {}
            Some(Value::String(cty)) if !is_media_type(cty, &["jwt"]) => {}
            Some(_) => return Err(refuse("`cty` says that a token is nested in this one".into())),
        }
        Ok(Self { members })
    }

    pub(super) fn kid(&self) -> Option<&str> {
        self.text("kid")
    }

    /// `alg` as it is for people: its text, or that it is none.
    pub(super) fn alg(&self) -> Option<&str> {
        self.text("alg")
    }

    /// The type must be an access token's. RFC 9068 §4 where that is required; otherwise also `JWT`, or none.
    pub(super) fn check_type(&self, rfc9068: bool) -> Result<(), Failure> {
        let accepted: &[&str] = if rfc9068 { &["at+jwt"] } else { &["at+jwt", "jwt"] };
        let wanted = if rfc9068 { "`at+jwt`" } else { "`at+jwt`, `JWT` or none" };
        match self.text("typ") {
            Some(typ) if is_media_type(typ, accepted) => Ok(()),
            None if !rfc9068 => Ok(()),
            Some(typ) => Err(Check::Type.fails(Reason::TokenType, format!("`typ` is {}, wanted {wanted}", shown(typ)))),
            None => Err(Check::Type.fails(Reason::TokenType, format!("there is no `typ`, wanted {wanted}"))),
        }
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.members.get(name).and_then(Value::as_str)
    }
}

/// Whether a text is to be taken for a JWT: what stands before its first dot decodes as a JOSE header that names an
/// algorithm which `accepted` likes.
pub(super) fn is_jwt(text: &str, accepted: impl Fn(&str) -> bool) -> bool {
    let header = text.split('.').next().unwrap_or_default();
    let members = URL_SAFE_NO_PAD.decode(header).ok().and_then(|bytes| json::parse_object(&bytes).ok());
    members.is_some_and(|members| members.get("alg").and_then(Value::as_str).is_some_and(accepted))
}

/// Whether a `typ` or `cty` is one of these, whose `application/` may be left out (RFC 7515 §4.1.9). Media types have
/// no case (RFC 2045 §5.1).
fn is_media_type(text: &str, names: &[&str]) -> bool {
    let lower = text.to_ascii_lowercase();
    let short = lower.strip_prefix("application/").unwrap_or(&lower);
    names.contains(&short)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(token: &str) -> Result<(), Reason> {
        Compact::parse(token).map(drop).map_err(|failure| failure.error.reason)
    }

    #[test]
    fn compact_form_is_three_parts_of_strict_base64url() {
        assert_eq!(form("e30.e30.AA"), Ok(()));
        for bad in [
            "",
            ".",
            "..",
            "...",
            "e30",
            "e30.e30",
            "e30.e30.AA.AA",
            "e30.e30.",
            ".e30.AA",
            "e30..AA",
            ".e30.e30.AA",
            "e30.e30.AA.",
            "e30=.e30.AA",
            "e30.e30=.AA",
            "e30.e30.AA==",
            "e30.e30.AB",
            "e31.e30.AA",
            "e30.e30.A",
            "e30.e30.+/",
            "e30 .e30.AA",
            "e30.e30\n.AA",
            "e30.e30.AA\0",
            "e30%2Ee30%2EAA",
            "e30．e30．AA",
        ] {
            assert_eq!(form(bad), Err(Reason::TokenMalformed), "{bad}");
        }
        assert_eq!(form(&".".repeat(100_000)), Err(Reason::TokenMalformed));
        assert_eq!(Compact::parse("e30.e30.AA").unwrap().signed.as_ref(), b"e30.e30");
    }

    #[test]
    fn headers_that_ask_for_more_are_refused() {
        let run = |text: &str| Header::parse(text.as_bytes()).map(drop).map_err(|failure| failure.error.reason);
        for good in [r#"{"alg":"RS256"}"#, r#"{"kid":"a","typ":"JWT","x5t":"AA","cty":"json","new":[1]}"#] {
            assert_eq!(run(good), Ok(()), "{good}");
        }
        for name in REFUSED_MEMBERS {
            assert_eq!(run(&format!(r#"{{"{name}":null}}"#)), Err(Reason::TokenHeader), "{name}");
        }
        for bad in
            [r#"{"kid":1}"#, r#"{"kid":""}"#, r#"{"kid":null}"#, r#"{"typ":1}"#, r#"{"cty":"JWT"}"#, r#"{"cty":2}"#]
        {
            assert_eq!(run(bad), Err(Reason::TokenHeader), "{bad}");
        }
        assert_eq!(run(&format!(r#"{{"kid":"{}"}}"#, "k".repeat(MAX_KID_BYTES + 1))), Err(Reason::TokenHeader));
        for bad in ["[]", "{}x", r#"{"alg":1,"alg":1}"#, ""] {
            assert_eq!(run(bad), Err(Reason::TokenMalformed), "{bad}");
        }
    }

    #[test]
    fn types_have_no_case_and_may_be_abbreviated() {
        let run = |typ: &str, rfc9068| Header::parse(typ.as_bytes()).unwrap().check_type(rfc9068).is_ok();
        for (header, plain, profile) in [
            ("{}", true, false),
            (r#"{"typ":"JWT"}"#, true, false),
            (r#"{"typ":"application/jwt"}"#, true, false),
            (r#"{"typ":"at+jwt"}"#, true, true),
            (r#"{"typ":"application/AT+JWT"}"#, true, true),
            (r#"{"typ":"logout+jwt"}"#, false, false),
            (r#"{"typ":"dpop+jwt"}"#, false, false),
            (r#"{"typ":"text/at+jwt"}"#, false, false),
            (r#"{"typ":""}"#, false, false),
        ] {
            assert_eq!((run(header, false), run(header, true)), (plain, profile), "{header}");
        }
    }
}
