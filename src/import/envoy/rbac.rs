//! The `rbac` filter.

use super::super::formula::{Atom, Formula};
use super::super::model::{Effect, Model, Part};
use super::super::read::View;
use super::matchers::{self, Text, unsayable};
use crate::core::caller::SpiffePattern;

/// Where `jwt_authn` puts claims.
const CLAIMS: &str = "envoy.filters.http.jwt_authn";

const KEYS: [&str; 8] = [
    "@type",
    "rules",
    "rules_stat_prefix",
    "matcher",
    "shadow_rules",
    "shadow_matcher",
    "shadow_rules_stat_prefix",
    "track_per_rule_stats",
];

pub(super) fn read(view: &View<'_>, model: &mut Model) {
    for shadow in ["shadow_rules", "shadow_matcher"] {
        if let Some(view) = view.field(shadow) {
            model.notes.add(view.place(), Effect::LeftOut, format!("`{shadow}` decide nothing, and are left out"));
        }
    }
    let mut part = Part { passes: Formula::Const(true), origins: Vec::new(), first_counts: false };
    if let Some(matcher) = view.field("matcher") {
        part.passes = unsayable(&matcher, model, "a matcher tree is not read; every request is refused");
        part.origins.push((format!("an rbac matcher ({})", matcher.spot()), Formula::Const(true)));
    } else if let Some(rules) = view.field("rules") {
        rules_of(&rules, model, &mut part);
    }
    if let Some(key) = view.unknown(&KEYS) {
        let doubt =
            unsayable(view, model, format!("the rbac filter's `{key}` is not known here; every request is refused"));
        part.passes = Formula::All(vec![part.passes, doubt]);
    }
    model.parts.push(part);
}

fn rules_of(rules: &View<'_>, model: &mut Model, part: &mut Part) {
    use crate::config::tree::Value;
    let action = match rules.field("action").map(|view| &view.node.value) {
        None | Some(Value::Unsigned(0)) => "ALLOW",
        Some(Value::Unsigned(1)) => "DENY",
        Some(Value::Unsigned(2)) => "LOG",
        Some(Value::Text(text)) => text.as_str(),
        Some(_) => "",
    };
    let mut policies = Vec::new();
    for (name, view) in rules.field("policies").iter().flat_map(|view| view.entries()) {
        let formula = policy(&view, model);
        let action = action.to_ascii_lowercase();
        part.origins.push((format!("the rbac policy `{name}`, {action} ({})", view.spot()), formula.clone()));
        policies.push(formula);
    }
    part.passes = match action {
        "ALLOW" => Formula::Any(policies),
        "DENY" => Formula::Any(policies).not(),
        "LOG" => {
            model.notes.add(rules.place(), Effect::LeftOut, "rules that log decide nothing, and are left out");
            part.origins.clear();
            Formula::Const(true)
        }
        _ => unsayable(rules, model, "this action is not known here; every request is refused"),
    };
    if let Some(key) = rules.unknown(&["action", "policies", "audit_logging_options"]) {
        let message = format!("`{key}` of these rules is not known here; every request is refused");
        let doubt = unsayable(rules, model, message);
        part.passes = Formula::All(vec![part.passes.clone(), doubt]);
    }
}

fn policy(view: &View<'_>, model: &mut Model) -> Formula {
    let permissions = view.list("permissions").iter().map(|view| permission(view, model)).collect();
    let principals = view.list("principals").iter().map(|view| principal(view, model)).collect();
    let mut parts = vec![Formula::Any(permissions), Formula::Any(principals)];
    if let Some(key) = view.unknown(&["permissions", "principals"]) {
        parts.push(unsayable(
            view,
            model,
            format!("`{key}` of a policy is not said; where it matters, requests are refused"),
        ));
    }
    Formula::All(parts)
}

fn several(view: &View<'_>, key: &str, model: &mut Model, each: fn(&View<'_>, &mut Model) -> Formula) -> Vec<Formula> {
    view.list(key).iter().map(|item| each(item, model)).collect()
}

fn permission(view: &View<'_>, model: &mut Model) -> Formula {
    let Some((kind, value)) = view.only() else { return unsayable(view, model, "a permission says one thing") };
    match kind.as_str() {
        "any" if view.flag("any") => Formula::Const(true),
        "and_rules" => Formula::All(several(&value, "rules", model, permission)),
        "or_rules" => Formula::Any(several(&value, "rules", model, permission)),
        "not_rule" => permission(&value, model).not(),
        other => either(other, &value, model),
    }
}

fn principal(view: &View<'_>, model: &mut Model) -> Formula {
    let Some((kind, value)) = view.only() else { return unsayable(view, model, "a principal says one thing") };
    match kind.as_str() {
        "any" if view.flag("any") => Formula::Const(true),
        "and_ids" => Formula::All(several(&value, "ids", model, principal)),
        "or_ids" => Formula::Any(several(&value, "ids", model, principal)),
        "not_id" => principal(&value, model).not(),
        "authenticated" => authenticated(&value, model),
        other => either(other, &value, model),
    }
}

/// What permissions and principals have in common.
fn either(kind: &str, value: &View<'_>, model: &mut Model) -> Formula {
    match kind {
        "header" => matchers::header(value, model),
        "url_path" => match value.field("path").filter(|_| value.unknown(&["path"]).is_none()) {
            Some(path) => matchers::path(&path, model, false),
            None => unsayable(value, model, "a path matcher has a `path`"),
        },
        "metadata" => metadata(value, model),
        other => {
            let message = format!("`{other}` has no like in Tollgate; where it matters, requests are refused");
            unsayable(value, model, message)
        }
    }
}

fn authenticated(view: &View<'_>, model: &mut Model) -> Formula {
    let name = view.field("principal_name").filter(|_| view.unknown(&["principal_name"]).is_none());
    let pattern = match name.as_ref().and_then(matchers::text) {
        Some((Text::Exact(text), false)) if !text.contains('*') => Some(text),
        Some((Text::Prefix(text), false)) if text.ends_with('/') && !text.contains('*') => Some(format!("{text}**")),
        _ => None,
    };
    match pattern.filter(|pattern| SpiffePattern::parse(pattern).is_some()) {
        Some(pattern) => {
            let message = "that a caller is somebody else cannot be said; where it matters, requests are refused";
            let note = model.notes.unsayable(view.place(), message);
            Formula::Atom(Atom::Caller(pattern, note))
        }
        None => unsayable(view, model, "callers are SPIFFE ids, whole or by whole segments; no other name can be said"),
    }
}

fn metadata(view: &View<'_>, model: &mut Model) -> Formula {
    let keys: Option<Vec<String>> =
        view.list("path").iter().map(|step| step.text_of("key").map(str::to_owned)).collect();
    let known = ["filter", "path", "value", "invert"];
    let (Some(keys), Some(value), None) = (keys, view.field("value"), view.unknown(&known)) else {
        return unsayable(view, model, "a metadata matcher has `filter`, `path` and `value`");
    };
    let formula = match keys.split_first() {
        Some((key, path)) if !path.is_empty() && view.text_of("filter") == Some(CLAIMS) => {
            if model.lost_claims.contains(key) {
                unsayable(
                    view,
                    model,
                    "what stands there is no payload as it was signed, or of a provider that could not be said",
                )
            } else if model.providers.iter().any(|provider| provider.claims_key.as_deref() == Some(key)) {
                matchers::claim(&value, model, key, path)
            } else {
                // Nothing puts claims there.
                Formula::Const(false)
            }
        }
        _ => unsayable(view, model, "only claims that jwt_authn puts into metadata can be looked at"),
    };
    if view.flag("invert") { formula.not() } else { formula }
}
