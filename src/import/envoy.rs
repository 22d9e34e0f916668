//! Envoy's `jwt_authn` and `rbac` HTTP filters.

mod filters;
mod jwt;
mod matchers;
mod rbac;

use super::model::{ImportError, Model};
use super::read::{self, View};
use super::{Imported, plan, write};
use crate::config::tree;

/// What to read, and how.
#[derive(Clone, Debug, Default)]
pub struct EnvoyOptions {
    /// The listener whose filters are meant, where there are several.
    pub listener: Option<String>,
    /// A host in a condition stands for the host at any port, and in upper and lower case.
    pub any_port: bool,
}

/// Imports the filters of these files (their names and texts), in their order.
///
/// # Errors
/// Where a file cannot be read as YAML or JSON, holds no such filter, or says of routes what cannot be said here: then a
/// policy would be a guess.
pub fn envoy(files: &[(String, String)], options: &EnvoyOptions) -> Result<Imported, Vec<ImportError>> {
    let mut errors = Vec::new();
    let mut documents = Vec::new();
    for (name, text) in files {
        match parse(name, text) {
            Ok(node) => {
                errors.extend(read::faults(&node).into_iter().map(|((line, column), message)| ImportError {
                    place: format!("{name}:{line}:{column}"),
                    message,
                }));
                documents.push((name.as_str(), node));
            }
            Err(error) => errors.push(error),
        }
    }
    let mut model = Model { any_port: options.any_port, ..Model::default() };
    let roots: Vec<View<'_>> = documents.iter().map(|(name, node)| View::root(name, node)).collect();
    let ours = filters::names(&roots);
    let mut found = Vec::new();
    for root in &roots {
        found.extend(filters::find(root, options.listener.as_deref(), &ours, &mut model, &mut errors));
    }
    if errors.is_empty() && found.is_empty() {
        errors.push(ImportError {
            place: files.first().map(|(name, _)| name.clone()).unwrap_or_default(),
            message: "no jwt_authn or rbac HTTP filter is in here; without one there is nothing to import".to_owned(),
        });
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let mut tokens = found.iter().filter(|filter| matches!(filter.kind, filters::Kind::Jwt)).skip(1);
    if let Some(second) = tokens.next() {
        // The first one takes its tokens off the request before the second one looks.
        let message = "a second jwt_authn filter; what two of them say together is not imported";
        return Err(vec![ImportError { place: second.config.place(), message: message.to_owned() }]);
    }
    for filter in &found {
        match filter.kind {
            filters::Kind::Jwt => jwt::read(&filter.config, &mut model),
            filters::Kind::Rbac => rbac::read(&filter.config, &mut model),
        }
    }
    if !model.errors.is_empty() {
        return Err(model.errors);
    }
    finish(model, files)
}

fn parse(name: &str, text: &str) -> Result<tree::Node, ImportError> {
    let error = |position: Option<tree::Position>, message: String| {
        let place = match position {
            Some((line, column)) => format!("{name}:{line}:{column}"),
            None => name.to_owned(),
        };
        ImportError { place, message }
    };
    if text.len() > tree::MAX_BYTES {
        return Err(error(None, format!("larger than {} MiB", tree::MAX_BYTES >> 20)));
    }
    tree::parse(text).map_err(|fault| error(fault.position, fault.message))
}

fn finish(mut model: Model, files: &[(String, String)]) -> Result<Imported, Vec<ImportError>> {
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    let error = |message: String| ImportError { place: names.join(", "), message };
    let Some(rules) = plan::plan(&mut model) else {
        let message = "the hosts, paths and methods combine to more than 6000 cases; import parts of it by themselves";
        return Err(vec![error(message.to_owned())]);
    };
    let (policy, key_files) = write::policy(&model, &rules, &names.join(", "));
    let imported = Imported { policy, files: key_files, rules: rules.len(), notes: model.notes.into_counting() };
    match imported.check() {
        Ok(()) => Ok(imported),
        Err(faults) => {
            Err(faults.into_iter().map(|fault| error(format!("no policy can be made of it: {fault}"))).collect())
        }
    }
}
