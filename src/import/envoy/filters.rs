//! Finding the filters: in a filter's own configuration, in a list of filters, or anywhere in a bootstrap.

use std::collections::BTreeSet;

use super::super::model::{Effect, ImportError, Model};
use super::super::read::View;

/// A filter that is imported.
#[derive(Debug)]
pub(super) struct Filter<'d> {
    pub(super) kind: Kind,
    pub(super) config: View<'d>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Jwt,
    Rbac,
}

const DEPTH: usize = 48;
const NORMALISED: &str = "Tollgate compares paths decoded once, and refuses those that servers read differently; Envoy \
                          compares what was sent, unless its connection manager has `normalize_path: true`: set that";

/// A connection manager and the name of its listener.
struct Manager<'d> {
    listener: Option<&'d str>,
    view: View<'d>,
}

/// What filters of the two kinds are called, which operators choose: routes configure them by these names.
pub(super) fn names(roots: &[View<'_>]) -> BTreeSet<String> {
    fn collect(view: &View<'_>, depth: usize, names: &mut BTreeSet<String>) {
        if depth == 0 {
            return;
        }
        if view.field("typed_config").is_some_and(|config| kind_of(&config).is_some()) {
            names.extend(view.text_of("name").map(str::to_owned));
        }
        view.entries().for_each(|(_, inner)| collect(&inner, depth - 1, names));
        view.items().iter().for_each(|inner| collect(inner, depth - 1, names));
    }
    let mut names = BTreeSet::new();
    roots.iter().for_each(|root| collect(root, DEPTH, &mut names));
    names
}

/// The filters in their order. `ours` are their names, in all files.
pub(super) fn find<'d>(
    root: &View<'d>,
    listener: Option<&str>,
    ours: &BTreeSet<String>,
    model: &mut Model,
    errors: &mut Vec<ImportError>,
) -> Vec<Filter<'d>> {
    let mut managers = Vec::new();
    walk(root, None, DEPTH, ours, &mut managers, errors);
    let own_name =
        |manager: &Manager<'_>| manager.listener == listener || manager.view.text_of("stat_prefix") == listener;
    if listener.is_some() {
        managers.retain(own_name);
        if managers.is_empty() {
            errors.push(ImportError { place: root.place(), message: "no listener has this name".to_owned() });
            return Vec::new();
        }
    }
    let Some(first) = managers.first() else {
        model.notes.add(root.place(), Effect::Assumed, NORMALISED);
        let mut found = Vec::new();
        if root.is_list() {
            root.items().iter().for_each(|item| add(item, model, errors, &mut found));
        } else {
            add(root, model, errors, &mut found);
        }
        return found;
    };
    let filters = |manager: &Manager<'d>| manager.view.field("http_filters").map(|view| view.node.to_json());
    if let Some(other) = managers.iter().find(|manager| filters(manager) != filters(first)) {
        let names: Vec<&str> = managers.iter().filter_map(|manager| manager.listener).collect();
        let message = format!(
            "another connection manager has other filters than the first one; choose one with `--listener`{}",
            if names.is_empty() { String::new() } else { format!(": {}", names.join(", ")) }
        );
        errors.push(ImportError { place: other.view.place(), message });
        return Vec::new();
    }
    for manager in &managers {
        if !manager.view.flag("normalize_path") {
            model.notes.add(manager.view.place(), Effect::Assumed, NORMALISED);
        }
        for dynamic in ["rds", "scoped_routes"] {
            if let Some(view) = manager.view.field(dynamic) {
                let message = "routes come from elsewhere; none of them configures these filters in its own way";
                model.notes.add(view.place(), Effect::Assumed, message);
            }
        }
    }
    let mut found = Vec::new();
    for item in first.view.list("http_filters") {
        add(&item, model, errors, &mut found);
    }
    found
}

/// Collects connection managers. A route that has filters its own way would make the policy a guess.
fn walk<'d>(
    view: &View<'d>,
    listener: Option<&'d str>,
    depth: usize,
    ours: &BTreeSet<String>,
    managers: &mut Vec<Manager<'d>>,
    errors: &mut Vec<ImportError>,
) {
    if depth == 0 {
        return;
    }
    let listener = if view.field("filter_chains").is_some() { view.text_of("name") } else { listener };
    if view.field("http_filters").is_some() {
        managers.push(Manager { listener, view: view.clone() });
    }
    if let Some(own) = view.field("typed_per_filter_config") {
        for (name, config) in own.entries() {
            // `FilterConfig` wraps what it says.
            let inner = config.field("config").and_then(|inner| kind_of(&inner));
            let named = ours.contains(name) || name.contains("jwt_authn") || name.contains("rbac");
            if named || kind_of(&config).or(inner).is_some() {
                errors.push(ImportError {
                    place: config.place(),
                    message: "a route configures the filter in its own way, which is not imported; import what holds \
                              for these routes by itself, and write their rules by hand"
                        .to_owned(),
                });
            }
        }
    }
    view.entries().for_each(|(_, inner)| walk(&inner, listener, depth - 1, ours, managers, errors));
    view.items().iter().for_each(|inner| walk(inner, listener, depth - 1, ours, managers, errors));
}

fn add<'d>(view: &View<'d>, model: &mut Model, errors: &mut Vec<ImportError>, found: &mut Vec<Filter<'d>>) {
    let name = view.text_of("name").unwrap_or_default();
    let ours = name.contains("jwt_authn") || name.ends_with("rbac");
    if !view.is_map() {
        errors.push(ImportError { place: view.place(), message: "expected an HTTP filter, a map".to_owned() });
        return;
    }
    if ours && view.flag("disabled") {
        let message = "the filter is disabled; no route enables it";
        model.notes.add(view.place(), Effect::Assumed, message);
        return;
    }
    let (config, bare) = match view.field("typed_config") {
        Some(config) => (config, false),
        None => (view.clone(), true),
    };
    let config = match config.field("type_url").and(config.field("value")) {
        Some(value) => value,
        None => config,
    };
    let kind = kind_of(&config).or_else(|| kind_of(view.field("typed_config").as_ref()?)).or_else(|| {
        // A filter's configuration without its type.
        let rules = config.field("rules");
        match (bare && view.field("name").is_none(), rules) {
            (false, _) => None,
            (true, _) if config.field("providers").is_some() => Some(Kind::Jwt),
            (true, Some(rules)) if rules.is_map() => Some(Kind::Rbac),
            (true, _) if config.field("shadow_rules").or_else(|| config.field("matcher")).is_some() => Some(Kind::Rbac),
            (true, _) => None,
        }
    });
    match kind {
        Some(kind) if !bare || view.field("name").is_none() => found.push(Filter { kind, config }),
        None if !ours && !name.is_empty() => {
            if !name.ends_with("router") {
                let message = format!("the filter `{name}` is not imported; it goes on in Envoy");
                model.notes.add(view.place(), Effect::Assumed, message);
            }
        }
        _ => errors.push(ImportError {
            place: view.place(),
            message: "expected the configuration of a jwt_authn or rbac filter, an HTTP filter with `typed_config`, a \
                      list of them, or what holds `http_filters`"
                .to_owned(),
        }),
    }
}

/// By its type.
fn kind_of(view: &View<'_>) -> Option<Kind> {
    let name = view.text_of("type_url").or_else(|| view.text_of("@type"))?;
    match name.rsplit('/').next()?.rsplit('.').next()? {
        "JwtAuthentication" | "PerRouteConfig" if name.contains("jwt_authn") => Some(Kind::Jwt),
        "RBAC" | "RBACPerRoute" if name.contains("filters.http.rbac") => Some(Kind::Rbac),
        _ => None,
    }
}
