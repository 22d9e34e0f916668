//! Reading the files and putting the parts together.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::audit::AuditSpec;
use super::build::denial;
use super::build::headers;
use super::build::inject::Spellings;
use super::build::kept;
use super::build::require::{Issuers, Reader};
use super::build::rule::Rules;
use super::build::trust::{Listeners, Twins};
use super::build::{Files, Surroundings, audit, io_reason, issuer, server, token};
use super::decode::{decode, report_unknown};
use super::file::audit::AuditFile;
use super::file::issuer::IssuerFile;
use super::file::lint::LintFile;
use super::file::rule::{DenialFile, RequireFile, RuleFile};
use super::file::server::ServerFile;
use super::file::token::TokenFile;
use super::file::{CONFIG_KEYS, RULES_FILE_KEYS};
use super::place::{At, Kept, Sink};
use super::read;
use super::server::ServerSpec;
use super::tree::{self, Entry, Value};
use super::value::Ordered;
use super::written::{self, Document, RulePlace, Written};
use super::{Config, ConfigErrors, Source};
use crate::authn::spec::CredentialSource;
use crate::core::rule::{DenialStyle, IssuerIndex};
use crate::core::table::{PolicyTable, RuleSpec};
use crate::outbound::spec::TokenSpec;

/// Reads a configuration from a text. Other files are named relative to `base_dir`; `name` is what errors call the text.
pub(super) fn text(bytes: &[u8], base_dir: &Path, name: &Path, files: Files) -> Result<Config, ConfigErrors> {
    let sink = Sink::default();
    let mut sources = Vec::new();

    let main = document(name, bytes, &sink, &mut sources);
    let further = main.as_ref().map(|main| rule_files(main, base_dir, &sink, &mut sources)).unwrap_or_default();
    let parts = main.as_ref().and_then(|main| assemble(main, &further, Surroundings { base_dir, files }, &sink));
    let errors = sink.into_errors();
    match (parts, main) {
        (Some(parts), Some(main)) if errors.is_empty() => Ok(Config {
            server: parts.server,
            audit: parts.audit,
            issuers: parts.issuers,
            tokens: parts.tokens,
            table: parts.table,
            sources,
            watched: std::iter::once(name.to_owned()).chain(rules_dir(&main, base_dir)).collect(),
            document: effective(&main, &further),
            written: Written::new(main, further, parts.written),
        }),
        _ if errors.is_empty() => Err(read::whole(name, "the configuration is not usable")),
        _ => Err(ConfigErrors(errors)),
    }
}

/// Parses one file. `None`, and an error, where it holds no map.
fn document(name: &Path, bytes: &[u8], sink: &Sink, sources: &mut Vec<Source>) -> Option<Document> {
    sources.push(Source { path: name.into(), sha256: sha256(bytes) });
    let file: Arc<Path> = name.into();
    let (text, root) = read::map(&file, bytes, "split it with `rules_dir`", sink)?;
    let comments = tree::comments(text, written::ALLOWANCE);
    Some(Document { file, root, comments })
}

/// The files of `rules_dir`, by name.
fn rule_files(main: &Document, base_dir: &Path, sink: &Sink, sources: &mut Vec<Source>) -> Vec<Document> {
    let at = At::root(&main.file, sink, &main.root);
    let at = at.key("rules_dir");
    let Some(name) = decode::<String>(&at) else { return Vec::new() };
    let directory = base_dir.join(&name);
    let mut paths: Vec<PathBuf> = Vec::new();
    match std::fs::read_dir(&directory) {
        Err(error) => {
            at.error(format!("the directory `{}` cannot be read: {}", directory.display(), io_reason(&error)))
        }
        Ok(entries) => {
            for entry in entries {
                match entry {
                    Err(error) => at.error(format!(
                        "the directory `{}` cannot be read: {}",
                        directory.display(),
                        io_reason(&error)
                    )),
                    Ok(entry) => paths.push(entry.path()),
                }
            }
        }
    }
    // Names with a leading dot are a ConfigMap's machinery and editors' drafts.
    let hidden = |path: &Path| path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
    paths.retain(|path| !hidden(path) && path.extension().is_some_and(|end| end == "yaml" || end == "yml"));
    paths.sort();
    let mut documents = Vec::new();
    for path in paths {
        match read::bytes(&path) {
            Ok(bytes) => documents.extend(document(&path, &bytes, sink, sources)),
            Err(message) => sink.push(read::whole_file(&path, message)),
        }
    }
    documents
}

/// The directory of rule files, where the file names one.
fn rules_dir(main: &Document, base_dir: &Path) -> Option<PathBuf> {
    let unheard = Sink::default();
    let root = At::root(&main.file, &unheard, &main.root);
    decode::<String>(&root.key("rules_dir")).map(|name| base_dir.join(name))
}

struct Parts {
    server: ServerSpec,
    audit: Option<AuditSpec>,
    issuers: Vec<crate::authn::spec::IssuerSpec>,
    tokens: Vec<TokenSpec>,
    table: PolicyTable,
    /// The rules, and where each stands.
    written: Vec<(RuleSpec, RulePlace)>,
}

fn assemble(main: &Document, further: &[Document], around: Surroundings<'_>, sink: &Sink) -> Option<Parts> {
    let at = At::root(&main.file, sink, &main.root);
    refuse_unknown(&at, CONFIG_KEYS);

    let server_at = at.key("server");
    let before = sink.count();
    if server_at.node().is_none() {
        at.error("`server` is missing: it says where Envoy asks");
    }
    let server = decode::<ServerFile>(&server_at).and_then(|file| server::build(&server_at, &file, around));
    let listeners = server.as_ref().filter(|_| sink.count() == before).map(|server| &*server.check);

    let audit_at = at.key("audit");
    let audit = decode::<AuditFile>(&audit_at).and_then(|file| audit::build(&audit_at, &file, around));

    let mut issuers = issuers(&at.key("issuers"), around);
    let (tokens, token_names) = tokens(&at.key("tokens"), &mut issuers, around);
    let mut credentials: Vec<String> = Vec::new();
    for spec in &issuers.specs {
        if let CredentialSource::Header(name) = &spec.credential {
            credentials.push(crate::core::table::fold(name).into_owned());
        }
    }

    let denial_at = at.key("denial");
    let style = decode::<DenialFile>(&denial_at)
        .map_or_else(DenialStyle::default, |file| denial::build(&denial_at, &file, &DenialStyle::default()));

    decode::<LintFile>(&at.key("lint"));

    let mut spellings = Spellings::default();
    let identity_headers = identity_headers(&at.key("identity_headers"), &credentials, &mut spellings);

    let mut reader = Reader::new(&issuers);
    let sets_at = at.key("requirements");
    map_only(&sets_at);
    for entry in sets_at.entries().iter().filter(|entry| entry.duplicate_of.is_none()) {
        let at = sets_at.entry(entry);
        reader.add_set(&at, &entry.key, decode::<RequireFile>(&at).as_ref());
    }

    let twins = Twins::find(&issuers);
    let mut rules = Rules {
        reader,
        twins,
        tokens: &token_names,
        listeners: Listeners(listeners),
        credentials,
        spellings,
        denial: Arc::new(style.clone()),
        effects: Default::default(),
        names: Default::default(),
    };
    let mut specs: Vec<RuleSpec> = Vec::new();
    let mut places: Vec<Kept> = Vec::new();
    let mut rule_places: Vec<RulePlace> = Vec::new();
    let mut said = false;
    for (number, document) in std::iter::once(main).chain(further).enumerate() {
        let at = At::root(&document.file, sink, &document.root);
        if !std::ptr::eq(document, main) {
            refuse_unknown(&at, RULES_FILE_KEYS);
            if at.key("rules").node().is_none() {
                at.error("`rules` is missing; a file with none says `rules: []`");
            }
        }
        let list = at.key("rules");
        said |= list.node().is_some();
        list_only(&list);
        for (index, node) in list.items().iter().enumerate() {
            let at = list.item(index, node);
            let before = sink.count();
            let spec = decode::<RuleFile>(&at).and_then(|file| rules.build(&at, &file));
            match spec {
                Some(spec) => {
                    specs.push(spec);
                    places.push(at.kept());
                    rule_places.push(RulePlace { document: number, index });
                }
                // A rule is never left out in silence.
                None if sink.count() == before => at.error("this rule cannot be used"),
                None => {}
            }
        }
    }
    if !said {
        at.error("`rules` is missing; no rules at all must be said, as `rules: []`, and denies everything");
    }
    let kept = kept::by_issuer(issuers.specs.len(), &specs, &tokens);
    // Rules that are left out for their errors say nothing about the ties among the others.
    let written = specs.iter().cloned().zip(rule_places).collect();
    let table = match PolicyTable::compile(specs, &identity_headers) {
        Ok(table) => Some(table.with_default_denial(style)),
        Err(errors) => {
            for error in errors {
                let Some(place) = places.get(error.rule) else { continue };
                let other = error.other.and_then(|other| places.get(other));
                let other =
                    other.map_or_else(String::new, |other| format!(" (the other one is at {})", other.in_short()));
                sink.push(place.error(format!("{}{other}", error.message)));
            }
            None
        }
    };
    drop(rules);
    kept::settle(&mut issuers.specs, kept);
    Some(Parts { server: server?, audit, issuers: issuers.specs, tokens, table: table?, written })
}

fn issuers(at: &At<'_>, around: Surroundings<'_>) -> Issuers {
    let mut issuers = Issuers::default();
    map_only(at);
    for entry in at.entries().iter().filter(|entry| entry.duplicate_of.is_none()) {
        let at = at.entry(entry);
        let before = at.sink().count();
        let file = decode::<IssuerFile>(&at);
        let judged = file.and_then(|file| issuer::build(&at, &entry.key, &file, around));
        let judged = judged.filter(|_| at.sink().count() == before);
        let index = judged.map(|judged| {
            let index = IssuerIndex(issuers.specs.len());
            issuers.specs.push(judged.spec);
            issuers.spare.extend(judged.spare.map(|spare| (index, spare)));
            index
        });
        issuers.broken |= index.is_none();
        issuers.names.insert(entry.key.clone(), index);
    }
    issuers.broken |= at.has_broken();
    issuers
}

/// The tokens, in the file's order, and their names. Those in error are left out: then nothing comes into service.
fn tokens(at: &At<'_>, issuers: &mut Issuers, around: Surroundings<'_>) -> (Vec<TokenSpec>, token::Names) {
    map_only(at);
    let entries: Vec<&Entry> = at.entries().iter().filter(|entry| entry.duplicate_of.is_none()).collect();
    let files: Vec<Option<TokenFile>> = entries.iter().map(|entry| decode(&at.entry(entry))).collect();
    let named = entries.iter().zip(&files).map(|(entry, file)| (entry.key.as_str(), file.as_ref()));
    let names = token::Names::of(named.clone());
    let mut specs = Vec::new();
    for (entry, file) in entries.iter().zip(&files) {
        let Some(file) = file else { continue };
        let at = at.entry(entry);
        let before = at.sink().count();
        match token::build(&at, &entry.key, file, &names, issuers, around) {
            Some(spec) => specs.push(spec),
            // A token is never left out in silence, unless for an issuer that is in error.
            None if at.sink().count() == before && !issuers.broken && !at.is_broken_below() => {
                at.error("this token cannot be used");
            }
            None => {}
        }
    }
    (specs, names)
}

fn identity_headers(at: &At<'_>, credentials: &[String], spellings: &mut Spellings) -> Vec<Box<str>> {
    let mut made: Vec<Box<str>> = Vec::new();
    for (index, text) in decode::<Vec<String>>(at).unwrap_or_default().iter().enumerate() {
        let at = at.index(index);
        if let Some(name) = headers::identity(&at, text, credentials) {
            spellings.take(&at, &name);
            made.push(name.into());
        }
    }
    made
}

fn refuse_unknown(at: &At<'_>, known: &[&'static str]) {
    for entry in at.entries().iter().filter(|entry| !known.contains(&entry.key.as_str())) {
        report_unknown(at, entry, known);
    }
}

/// Reports a section that should be a map and is none.
fn map_only(at: &At<'_>) {
    if at.node().is_some_and(|node| !matches!(node.value, Value::Map(_))) {
        decode::<Ordered<serde::de::IgnoredAny>>(at);
    }
}

/// Reports a section that should be a list and is none.
fn list_only(at: &At<'_>) {
    if at.node().is_some_and(|node| !matches!(node.value, Value::List(_))) {
        decode::<Vec<serde::de::IgnoredAny>>(at);
    }
}

/// The documents as one. They hold no secrets: those are named, never written down.
fn effective(main: &Document, further: &[Document]) -> serde_json::Value {
    let mut document = main.root.to_json();
    let more = further.iter().flat_map(|document| match document.root.to_json().get_mut("rules") {
        Some(serde_json::Value::Array(rules)) => std::mem::take(rules),
        _ => Vec::new(),
    });
    let more: Vec<serde_json::Value> = more.collect();
    if let Some(object) = document.as_object_mut()
        && !more.is_empty()
    {
        let rules = object.entry("rules").or_insert_with(|| serde_json::Value::Array(Vec::new()));
        if let Some(rules) = rules.as_array_mut() {
            rules.extend(more);
        }
    }
    document
}

fn sha256(bytes: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    digest.as_ref().iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
