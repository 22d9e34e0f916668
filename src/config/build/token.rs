//! Section `tokens`.

use std::collections::HashMap;

use url::Url;

use super::grants::is_scope;
use super::require::Issuers;
use super::{Surroundings, client, is_label, ms, number, provider, secs, time};
use crate::config::file::provider::{ClientFile, ProviderFile};
use crate::config::file::token::{
    ActorFile, ClientCredentialsFile, ExchangeFile, ExpectAudienceFile, OneOrMore, TokenFile, TokenTypeFile,
};
use crate::config::names::{did_you_mean, listed, shown};
use crate::config::place::At;
use crate::config::value::{ByShape, Size};
use crate::core::rule::TokenIndex;
use crate::outbound::spec::{
    ActorSpec, ClientCredentialsSpec, ExchangeCacheSpec, ExchangeSpec, Grant, ProviderRef, TokenSpec, TokenType,
};

/// How a token is obtained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum Kind {
    /// For the caller's.
    Exchange,
    /// The gate's own.
    ClientCredentials,
}

/// The names under `tokens`, with their places in the file's order. A kind that is in error is `None`.
#[derive(Debug, Default)]
pub(in crate::config) struct Names(HashMap<String, (TokenIndex, Option<Kind>)>);

impl Names {
    /// Takes the names before any token is judged: an actor may stand below the exchange that it is for.
    pub(in crate::config) fn of<'f>(files: impl Iterator<Item = (&'f str, Option<&'f TokenFile>)>) -> Self {
        let kind = |file: &TokenFile| match (&file.exchange, &file.client_credentials) {
            (Some(_), None) => Some(Kind::Exchange),
            (None, Some(_)) => Some(Kind::ClientCredentials),
            (Some(_), Some(_)) | (None, None) => None,
        };
        let named = |(index, (name, file)): (usize, (&str, Option<&TokenFile>))| {
            (name.to_owned(), (TokenIndex(index), file.and_then(kind)))
        };
        Self(files.enumerate().map(named).collect())
    }

    /// A token by its name. `None`, and an error, where there is none.
    pub(in crate::config) fn find(&self, at: &At<'_>, name: &str) -> Option<(TokenIndex, Option<Kind>)> {
        let found = self.0.get(name).copied();
        if found.is_none() {
            let mut all: Vec<&str> = self.0.keys().map(String::as_str).collect();
            all.sort_unstable();
            at.error(format!(
                "unknown token `{}`{} under `tokens` there are {}",
                shown(name),
                did_you_mean(name, all.iter().copied()),
                listed(all)
            ));
        }
        found
    }
}

/// What both kinds of tokens say.
struct Common<'f> {
    issuer: Option<&'f String>,
    provider: Option<&'f ProviderFile>,
    client: Option<&'f ClientFile>,
    audience: Option<&'f OneOrMore>,
    scopes: Option<&'f Vec<String>>,
    resource: Option<&'f OneOrMore>,
    expect_audience: Option<&'f ExpectAudienceFile>,
    also_granted: Option<&'f Vec<String>>,
    max_token_bytes: Option<Size>,
}

macro_rules! common {
    ($file:expr) => {
        Common {
            issuer: $file.issuer.as_ref(),
            provider: $file.provider.as_ref(),
            client: $file.client.as_ref(),
            audience: $file.audience.as_ref(),
            scopes: $file.scopes.as_ref(),
            resource: $file.resource.as_ref(),
            expect_audience: $file.expect_audience.as_ref(),
            also_granted: $file.also_granted.as_ref(),
            max_token_bytes: $file.max_token_bytes,
        }
    };
}

/// Judges one token. `None` where errors leave nothing to go on with.
pub(in crate::config) fn build(
    at: &At<'_>,
    name: &str,
    file: &TokenFile,
    names: &Names,
    issuers: &mut Issuers,
    around: Surroundings<'_>,
) -> Option<TokenSpec> {
    if !is_label(name) {
        at.error("a token's name has 1 to 128 visible characters of ASCII");
    }
    match (&file.exchange, &file.client_credentials) {
        (Some(file), None) => {
            let at = at.key("exchange");
            let grant = exchange(&at, file, names, around);
            common(&at, name, common!(file), grant, issuers, around)
        }
        (None, Some(file)) => {
            let at = at.key("client_credentials");
            let grant = Some(Grant::ClientCredentials(client_credentials(&at, file)));
            common(&at, name, common!(file), grant, issuers, around)
        }
        (Some(_), Some(_)) => {
            at.error("`exchange` and `client_credentials` are both there; make two tokens of them");
            None
        }
        (None, None) => {
            at.missing("expected `exchange` or `client_credentials`");
            None
        }
    }
}

fn common(
    at: &At<'_>,
    name: &str,
    file: Common<'_>,
    grant: Option<Grant>,
    issuers: &mut Issuers,
    around: Surroundings<'_>,
) -> Option<TokenSpec> {
    let provider = asked(at, name, &file, issuers, around);
    let client = at.required("client", file.client, "tokens are given to clients that the provider knows");
    let client = client.and_then(|file| client::build(&at.key("client"), file, around));
    let audience = texts(&at.key("audience"), file.audience, "an audience");
    let resources = resources(&at.key("resource"), file.resource);
    let scopes = scopes(&at.key("scopes"), file.scopes);
    let also_granted = self::scopes(&at.key("also_granted"), file.also_granted);
    for (index, scope) in also_granted.iter().enumerate().filter(|(_, scope)| scopes.contains(scope)) {
        at.key("also_granted").index(index).error(format!("`{}` is asked for already, under `scopes`", shown(scope)));
    }
    let asked_for = if audience.is_empty() { resources.clone() } else { audience.clone() };
    let expect_audience = match file.expect_audience {
        Some(ByShape::Scalar(_)) => None,
        Some(ByShape::List(list)) => {
            Some(list_of_texts(&at.key("expect_audience"), list, "an audience")).filter(|list| !list.is_empty())
        }
        Some(ByShape::Map(_)) | None if !asked_for.is_empty() => Some(asked_for),
        Some(ByShape::Map(_)) | None => {
            let silent = file.audience.is_none() && file.resource.is_none();
            if matches!(grant, Some(Grant::Exchange(_))) && silent {
                at.missing("for whom is the new token meant? Write `audience` or `resource`; where the provider decides by itself, `expect_audience: [...]`, or `expect_audience: unchecked` where any audience will do");
            }
            None
        }
    };
    let max = number(at, "max_token_bytes", file.max_token_bytes.map(|size| size.0), 8 << 10, (256, 256 << 10));
    Some(TokenSpec {
        name: name.into(),
        provider: provider?,
        client: client?,
        grant: grant?,
        audience,
        scopes,
        resources,
        max_token_bytes: usize::try_from(max).unwrap_or(8 << 10),
        also_granted,
        expect_audience,
    })
}

/// Who is asked: an issuer, whose endpoints come into use by that, or a provider of the token's own.
fn asked(
    at: &At<'_>,
    name: &str,
    file: &Common<'_>,
    issuers: &mut Issuers,
    around: Surroundings<'_>,
) -> Option<ProviderRef> {
    let issuer = match (file.issuer, file.provider) {
        (None, Some(file)) => {
            return provider::inline(&at.key("provider"), name, file, around).map(Box::new).map(ProviderRef::Own);
        }
        (Some(_), Some(_)) => {
            at.error("`issuer` and `provider` are both there; keep one");
            return None;
        }
        (None, None) => {
            at.missing(
                "`issuer` is missing: whose token endpoint is asked? One of the `issuers`, or a `provider` of its own",
            );
            return None;
        }
        (Some(name), None) => name,
    };
    let at = at.key("issuer");
    let Some(found) = issuers.names.get(issuer).copied() else {
        at.error(issuers.unknown(issuer));
        return None;
    };
    // One that is in error says so itself.
    let index = found?;
    if let Some(spare) = issuers.spare.remove(&index)
        && let Some(spec) = issuers.specs.get_mut(index.0)
    {
        spec.provider = Some(spare);
    }
    let spec = issuers.specs.get(index.0)?;
    if !spec.provider.as_ref().is_some_and(|of| of.token_endpoint.is_some() || of.metadata.is_some()) {
        at.error(format!(
            "nobody says where `{}` gives tokens: write `token_endpoint` or `discovery: true` under `issuers.{}.provider`",
            shown(issuer),
            shown(issuer)
        ));
        return None;
    }
    Some(ProviderRef::Issuer(index))
}

fn exchange(at: &At<'_>, file: &ExchangeFile, names: &Names, around: Surroundings<'_>) -> Option<Grant> {
    let cache_at = at.key("cache");
    let (max_age, margin, max_bytes) =
        file.cache.as_ref().map_or((None, None, None), |cache| (cache.max_age, cache.margin, cache.max_bytes));
    let cache = ExchangeCacheSpec {
        max_age: time(&cache_at, "max_age", max_age, secs(300), (secs(0), secs(86_400))),
        margin: time(&cache_at, "margin", margin, secs(10), (secs(0), secs(600))),
        max_bytes: number(&cache_at, "max_bytes", max_bytes.map(|size| size.0), 16 << 20, (0, 64 << 30)),
    };
    let actor = match &file.actor {
        None => None,
        Some(file) => Some(actor(&at.key("actor"), file, names, around)?),
    };
    Some(Grant::Exchange(ExchangeSpec {
        subject_token_type: file.subject_token_type.map_or(TokenType::AccessToken, kind),
        requested_token_type: file.requested_token_type.map(kind),
        actor,
        cache,
    }))
}

fn kind(file: TokenTypeFile) -> TokenType {
    match file {
        TokenTypeFile::AccessToken => TokenType::AccessToken,
        TokenTypeFile::Jwt => TokenType::Jwt,
    }
}

fn actor(at: &At<'_>, file: &ActorFile, names: &Names, around: Surroundings<'_>) -> Option<ActorSpec> {
    match (&file.token, &file.file) {
        (Some(name), None) => {
            if file.kind.is_some() {
                at.key("type").error("is of use with `file` alone: one of `tokens` is an access token");
            }
            let at = at.key("token");
            match names.find(&at, name)? {
                (index, Some(Kind::ClientCredentials)) => Some(ActorSpec::Token(index)),
                (_, Some(Kind::Exchange)) => {
                    at.error(format!(
                        "`{}` is an exchange, which needs a caller's token itself; an actor's token is one of `client_credentials`",
                        shown(name)
                    ));
                    None
                }
                (_, None) => None,
            }
        }
        (None, Some(name)) => Some(ActorSpec::File {
            path: client::filled_file(&at.key("file"), name, around)?,
            kind: file.kind.map_or(TokenType::Jwt, kind),
        }),
        (Some(_), Some(_)) => {
            at.error("`token` and `file` are both there; keep one");
            None
        }
        (None, None) => {
            at.missing("expected `token: NAME`, one of `tokens`, or `file: PATH`");
            None
        }
    }
}

fn client_credentials(at: &At<'_>, file: &ClientCredentialsFile) -> ClientCredentialsSpec {
    let ahead = file.refresh.as_ref().and_then(|refresh| refresh.ahead);
    ClientCredentialsSpec { refresh_ahead: time(&at.key("refresh"), "ahead", ahead, secs(60), (ms(100), secs(86_400))) }
}

fn texts(at: &At<'_>, file: Option<&OneOrMore>, what: &str) -> Vec<Box<str>> {
    match file {
        Some(ByShape::Scalar(text)) => {
            if let Some(problem) = text_problem(text, what) {
                at.error(problem);
            }
            vec![text.as_str().into()]
        }
        Some(ByShape::List(list)) => list_of_texts(at, list, what),
        Some(ByShape::Map(_)) | None => Vec::new(),
    }
}

fn list_of_texts(at: &At<'_>, list: &[String], what: &str) -> Vec<Box<str>> {
    if list.is_empty() {
        at.missing("the list is empty; leave it out");
    }
    for (index, text) in list.iter().enumerate() {
        if let Some(problem) = text_problem(text, what) {
            at.index(index).error(problem);
        } else if list.iter().take(index).any(|known| known == text) {
            at.index(index).error(format!("`{}` is there twice", shown(text)));
        }
    }
    list.iter().map(|text| text.as_str().into()).collect()
}

fn text_problem(text: &str, what: &str) -> Option<String> {
    let good = (1..=2048).contains(&text.len()) && !text.chars().any(char::is_control);
    (!good).then(|| format!("expected {what}: 1 to 2048 bytes without control characters"))
}

/// RFC 8707 §2: absolute URIs without fragment, sent as they are written.
fn resources(at: &At<'_>, file: Option<&OneOrMore>) -> Vec<Box<str>> {
    let written = texts(at, file, "an absolute URI");
    let listed = matches!(file, Some(ByShape::List(_)));
    for (index, text) in written.iter().enumerate().filter(|(_, text)| text_problem(text, "").is_none()) {
        let item = if listed { at.index(index) } else { *at };
        match Url::parse(text) {
            Ok(url) if url.fragment().is_some() => item.error("a resource has no fragment (`#…`; RFC 8707 §2)"),
            Ok(url) if url.password().is_some() => item.error("a resource holds no password"),
            Ok(_) if text.bytes().all(|b| b.is_ascii_graphic()) => {}
            Ok(_) | Err(_) => item.error(format!(
                "expected an absolute URI, such as `https://payments.internal/api` (RFC 8707 §2), found `{}`",
                shown(text)
            )),
        }
    }
    written
}

fn scopes(at: &At<'_>, list: Option<&Vec<String>>) -> Vec<Box<str>> {
    let Some(list) = list else { return Vec::new() };
    if list.is_empty() {
        at.missing("the list is empty; leave it out");
    }
    for (index, scope) in list.iter().enumerate() {
        if !is_scope(scope) {
            at.index(index).error("not a scope: visible ASCII without space, `\"` and `\\`; one scope an item");
        } else if list.iter().take(index).any(|known| known == scope) {
            at.index(index).error(format!("`{}` is there twice", shown(scope)));
        }
    }
    list.iter().map(|scope| scope.as_str().into()).collect()
}
