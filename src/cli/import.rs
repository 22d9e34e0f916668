//! `tollgate import`: a policy from the configuration of something else.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;

use super::exit::{Exit, Failure};
use super::printable::{Printable, plural};
use crate::import::{EnvoyOptions, ImportError, Imported, envoy};

/// Make a policy from the configuration of something else, and say what it cannot carry over
///
/// The policy never allows what was refused before. What Tollgate cannot say exactly becomes a denial, with a comment at the
/// rule and a note. The policy is checked, as by `tollgate check`, before it is written.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  tollgate import envoy envoy.yaml --out policy.yaml
  tollgate help import envoy

Exit codes:
  0  the policy decides as the original did, as far as what is assumed holds
  1  it is stricter somewhere, or nothing could be imported
  2  the command line is wrong
  3  a file cannot be read or written")]
pub(super) struct ImportArgs {
    #[command(subcommand)]
    from: From,
}

#[derive(Debug, Subcommand)]
enum From {
    Envoy(EnvoyArgs),
}

/// From Envoy's jwt_authn and rbac HTTP filters
///
/// Each file is YAML or JSON: one filter's configuration, an HTTP filter, a list of them, or anything that holds
/// `http_filters`: a listener, a whole bootstrap, a dump. Filters of several files stand behind each other, in the order of
/// the files. Other filters go on in Envoy. Where a file cannot be read, or a route configures one of these filters in its
/// own way, nothing is written.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  tollgate import envoy envoy.yaml --out policy.yaml
  tollgate import envoy bootstrap.yaml --listener ingress --any-port --out policy.yaml
  tollgate import envoy jwt.yaml rbac.yaml --json | jq -r '.notes[] | .message'

Keys that are part of the configuration are written to files beside the policy, or, without --out,
to the current directory. Files that are there already are kept, and nothing is written, without
--force. Notes go to standard error.

Exit codes:
  0  the policy decides as the filters did, as far as what is assumed holds
  1  it is stricter somewhere: the notes say where; or nothing could be imported
  2  the command line is wrong
  3  a file cannot be read or written")]
struct EnvoyArgs {
    /// The files; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The listener, or `stat_prefix`, whose filters are meant, where there are several
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,
    /// A host in a condition is meant at any port, in any case, and with a final dot, too; else its requests are refused, for Envoy tells these
    /// apart and Tollgate does not
    #[arg(long)]
    any_port: bool,
    /// Write the policy to this file instead of standard output
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Replace files that are there
    #[arg(long)]
    force: bool,
    /// Print a report as JSON to standard output, with the policy in it where --out is not given
    #[arg(long)]
    json: bool,
}

/// Largest input that is read, and a byte more to tell that it is larger.
const MAX_BYTES: u64 = (16 << 20) + 1;

pub(super) fn run(arguments: &ImportArgs, out: &mut impl Write) -> Result<Exit, Failure> {
    let From::Envoy(arguments) = &arguments.from;
    let files = arguments.files.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()?;
    let options = EnvoyOptions { listener: arguments.listener.clone(), any_port: arguments.any_port };
    match envoy(&files, &options) {
        Ok(imported) => {
            write_files(arguments, &imported)?;
            if arguments.json {
                report(arguments, &imported, out)?;
            } else {
                if arguments.out.is_none() {
                    out.write_all(imported.policy.as_bytes())?;
                }
                tell(arguments, &imported);
            }
            Ok(if imported.is_exact() { Exit::Yes } else { Exit::No })
        }
        Err(errors) => {
            if arguments.json {
                let errors: Vec<_> = errors.iter().map(listed).collect();
                let report = json!({ "ok": false, "errors": errors });
                writeln!(out, "{}", Printable::lines(&format!("{report:#}")))?;
            } else {
                for error in &errors {
                    say(&error.to_string());
                }
                say("error: nothing was imported");
            }
            Ok(Exit::No)
        }
    }
}

fn listed(error: &ImportError) -> serde_json::Value {
    json!({ "place": error.place, "message": error.message })
}

fn read(path: &Path) -> Result<(String, String), Failure> {
    use std::io::Read as _;
    let name = if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() };
    let cannot = |error: &dyn std::fmt::Display| Failure::NotRun(format!("{name}: not readable: {error}"));
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        std::io::stdin().take(MAX_BYTES).read_to_end(&mut bytes).map_err(|error| cannot(&error))?;
    } else {
        let file = std::fs::File::open(path).map_err(|error| cannot(&error))?;
        file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(|error| cannot(&error))?;
    }
    let text = String::from_utf8(bytes).map_err(|_| cannot(&"not UTF-8 text"))?;
    Ok((name, text))
}

/// Writes the policy, where a file is named for it, and the files of keys. All or, where one is there already, none.
fn write_files(arguments: &EnvoyArgs, imported: &Imported) -> Result<(), Failure> {
    let folder = arguments.out.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
    let mut files: Vec<(PathBuf, &str)> =
        imported.files.iter().map(|(name, content)| (folder.join(name), content.as_str())).collect();
    // The policy last: it names the others.
    files.extend(arguments.out.clone().map(|path| (path, imported.policy.as_str())));
    let is_twice =
        |(at, (path, _)): (usize, &(PathBuf, &str))| files.iter().skip(at + 1).any(|(other, _)| other == path);
    if files.iter().enumerate().any(is_twice) {
        return Err(Failure::Usage("`--out` names a file of keys: choose another name".to_owned()));
    }
    if !arguments.force
        && let Some((path, _)) = files.iter().find(|(path, _)| path.symlink_metadata().is_ok())
    {
        return Err(Failure::NotRun(format!("`{}` is there already; --force replaces it", path.display())));
    }
    for (path, content) in files {
        std::fs::write(&path, content)
            .map_err(|error| Failure::NotRun(format!("`{}` cannot be written: {error}", path.display())))?;
    }
    Ok(())
}

fn report(arguments: &EnvoyArgs, imported: &Imported, out: &mut impl Write) -> Result<(), Failure> {
    let notes: Vec<_> = imported
        .notes
        .iter()
        .map(|note| {
            json!({ "place": note.place, "effect": note.effect.as_str(), "message": note.message, "rules": note.rules })
        })
        .collect();
    let files: Vec<&str> = imported.files.iter().map(|(name, _)| name.as_str()).collect();
    let mut report = json!({
        "ok": true, "exact": imported.is_exact(), "rules": imported.rules, "notes": notes, "key_files": files,
    });
    if arguments.out.is_none()
        && let Some(object) = report.as_object_mut()
    {
        object.insert("policy".to_owned(), imported.policy.as_str().into());
    }
    writeln!(out, "{}", Printable::lines(&format!("{report:#}")))?;
    Ok(())
}

fn tell(arguments: &EnvoyArgs, imported: &Imported) {
    for note in &imported.notes {
        say(&note.to_string());
    }
    for (name, _) in &imported.files {
        say(&format!("written: keys of the configuration, to `{name}` beside the policy"));
    }
    let to = arguments.out.as_ref().map(|path| format!(" in `{}`", path.display())).unwrap_or_default();
    let exact = if imported.is_exact() { "exact" } else { "stricter than the original, see above" };
    say(&format!("{}{to}: {exact}", plural(imported.rules, "rule")));
}

/// To standard error. Nobody is left to be told where it is closed.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{}", Printable::line(line));
}
