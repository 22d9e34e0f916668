//! One run of the cases.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::TestArgs;
use crate::cases::coverage::Coverage;
use crate::cases::expect::Compared;
use crate::cases::{self, Case, Cases, Decided, Fault, find, read};
use crate::cli::exit::Failure;
use crate::cli::explain::told::Told;
use crate::cli::printable::Printable;
use crate::clock::{Clock as _, SystemClock, Timestamp};
use crate::config::{self, Config};
use crate::demo::Paint;
use crate::engine::explain::Explainer;

/// What a run goes by: the policy is read anew for each, the cases as well.
pub(super) struct Inputs {
    policy: PathBuf,
    cases: Cases,
}

impl Inputs {
    /// Reads the cases.
    pub(super) fn read(arguments: &TestArgs) -> Result<Self, Failure> {
        let policy = arguments.config.path();
        let files = files(arguments, &policy)?;
        if files.is_empty() {
            return Err(Failure::NotRun(format!(
                "there are no cases: no file beside `{}`, or in the folder `tests` there, has a name that ends in \
                 `.test.yaml`; name a file, or write one (docs/testing.md)",
                policy.display()
            )));
        }
        let mut cases = read::files(&files);
        let read = cases.cases.len();
        if !arguments.filter.is_empty() {
            cases.cases.retain(|case| {
                let place = place(case);
                arguments.filter.iter().any(|text| case.name.contains(&**text) || place.ends_with(&**text))
            });
        }
        if cases.cases.is_empty() && cases.faults.is_empty() {
            return Err(Failure::NotRun(format!("none of {read} cases is one that `--filter` names")));
        }
        Ok(Self { policy, cases })
    }
}

/// What a run depends on. What is wrong with it is told by the run itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Watched {
    /// What changes a run when it changes.
    pub(super) files: Vec<PathBuf>,
    /// Where files of cases may come up, among others.
    pub(super) folders: Vec<PathBuf>,
}

impl Watched {
    /// As things are now.
    pub(super) fn now(arguments: &TestArgs) -> Self {
        let policy = arguments.config.path();
        let cases = files(arguments, &policy).unwrap_or_default();
        let named = read::files(&cases).named;
        let of_policy = config::load_elsewhere(&policy).map(|config| config.watched).unwrap_or_default();
        let folders = if arguments.paths.is_empty() { find::folders(&policy) } else { arguments.paths.clone() };
        let mut files: Vec<PathBuf> = [vec![policy], of_policy, cases, named].into_iter().flatten().collect();
        files.sort();
        files.dedup();
        Self { files, folders }
    }
}

/// The files of cases.
fn files(arguments: &TestArgs, policy: &Path) -> Result<Vec<PathBuf>, Failure> {
    let fail = |path: &Path, error: &io::Error| Failure::NotRun(format!("{}: {error}", path.display()));
    if arguments.paths.is_empty() {
        return find::beside(policy).map_err(|error| fail(policy, &error));
    }
    let mut found = Vec::new();
    for path in &arguments.paths {
        found.extend(find::at(path).map_err(|error| fail(path, &error))?);
    }
    // A file that is named twice is one file.
    let mut once = Vec::new();
    for path in found {
        if !once.contains(&path) {
            once.push(path);
        }
    }
    Ok(once)
}

/// `policy.test.yaml:12`.
pub(super) fn place(case: &Case) -> String {
    format!("{}:{}", case.place.file.display(), case.place.position.0)
}

/// A run, and what came of it.
pub(super) struct Pass {
    /// Each case, in order.
    pub(super) done: Vec<Done>,
    /// What could not be read.
    pub(super) faults: Vec<Fault>,
    pub(super) coverage: Coverage,
    pub(super) files: Vec<PathBuf>,
    pub(super) policy: PathBuf,
    pub(super) at: Timestamp,
}

/// A case, and what came of it.
pub(super) struct Done {
    pub(super) case: Case,
    pub(super) outcome: Outcome,
    pub(super) took: Duration,
}

pub(super) enum Outcome {
    /// As expected.
    Passed,
    /// Otherwise.
    Failed(Box<Otherwise>),
    /// It could not be decided, for this.
    Undecided(String),
}

/// What came instead of what was expected.
pub(super) struct Otherwise {
    /// Everything that was expected, and what came.
    pub(super) compared: Vec<Compared>,
    /// Why the rule that was expected does not answer, and what the decision hangs on.
    pub(super) because: Vec<String>,
    /// As `tollgate explain --json` has it.
    pub(super) explanation: Value,
}

impl Pass {
    /// Decides each case.
    pub(super) async fn run(
        arguments: &TestArgs,
        inputs: &Inputs,
        paint: Paint,
        out: &mut impl Write,
    ) -> Result<Self, Failure> {
        let Inputs { policy, cases } = inputs;
        let config: Config = config::load_elsewhere(policy).map_err(|errors| Failure::Unusable(errors.into()))?;
        let mut coverage = Coverage::of(&config);
        let explainer = cases::explainer(config, arguments.timeout).map_err(Failure::Unusable)?;
        let at = SystemClock.now();
        let mut done = Vec::new();
        for case in &cases.cases {
            let began = Instant::now();
            let outcome = match case.question.decide(&explainer, at).await {
                Err(error) => Outcome::Undecided(error),
                Ok(decided) => {
                    coverage.add(&decided.explanation);
                    if arguments.explain {
                        let title = format!("{}: {}", place(case), case.name);
                        writeln!(out, "{}\n", paint.strong(&Printable::line(&title).to_string()))?;
                        Told::new(&explainer, &decided).text(paint, out)?;
                        writeln!(out)?;
                    }
                    judge(case, &explainer, &decided)
                }
            };
            done.push(Done { case: case.clone(), outcome, took: began.elapsed() });
        }
        let (faults, files) = (cases.faults.clone(), cases.files.clone());
        Ok(Self { done, faults, coverage, files, policy: policy.clone(), at })
    }

    /// How many cases came out as expected.
    pub(super) fn passed(&self) -> usize {
        self.count(|outcome| matches!(outcome, Outcome::Passed))
    }

    /// How many came out otherwise.
    pub(super) fn failed(&self) -> usize {
        self.count(|outcome| matches!(outcome, Outcome::Failed(_)))
    }

    /// How many faults there are, of reading and of deciding.
    pub(super) fn undecided(&self) -> usize {
        self.faults.len() + self.count(|outcome| matches!(outcome, Outcome::Undecided(_)))
    }

    fn count(&self, is: impl Fn(&Outcome) -> bool) -> usize {
        self.done.iter().filter(|done| is(&done.outcome)).count()
    }
}

fn judge(case: &Case, explainer: &Explainer, decided: &Decided) -> Outcome {
    let compared = case.expect.compare(&decided.explanation);
    if compared.iter().all(Compared::agrees) {
        return Outcome::Passed;
    }
    let told = Told::new(explainer, decided);
    let answered = decided.explanation.answer.rule.as_ref().map(|rule| &*rule.name);
    let expected = case.expect.rule.as_ref().and_then(Option::as_deref).filter(|name| answered != Some(*name));
    let expected_rule = expected.map(|name| {
        let standing = told.standing(name).unwrap_or_else(|| "the policy has no rule of this name".to_owned());
        format!("rule `{name}`: {standing}")
    });
    // A header has its value from the rule's template: that the requirements are met says nothing about it.
    let of_decision = compared.iter().any(|one| !one.agrees() && !one.is_header());
    let mut because: Vec<String> = expected_rule.into_iter().collect();
    if of_decision {
        for line in told.because() {
            if !because.contains(&line) {
                because.push(line);
            }
        }
    }
    Outcome::Failed(Box::new(Otherwise { compared, because, explanation: told.json() }))
}
