//! The engine with configurations made in place: consistency, reload, deadlines.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod specs;
#[path = "support/wait.rs"]
mod wait;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use specs::{broken, config, deps, listener, marked_rule, request, server, soon};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tollgate::clock::{Clock, SystemClock, Timestamp};
use tollgate::config::{Config, ConfigError, ConfigErrors, Source};
use tollgate::core::answer::{Answer, Verdict};
use tollgate::core::reason::Reason;
use tollgate::core::request::Direction;
use tollgate::core::table::PathPattern;
use tollgate::engine::{Engine, LoadError, Readiness};

/// The generation's marker, having made sure that each part of the answer tells the same one.
fn marker(answer: &Answer) -> String {
    let name = answer.rule.as_ref().expect("a rule answers").name.to_string();
    let Verdict::Allow(allowed) = &answer.verdict else { panic!("denied: {}", answer.reason) };
    assert_eq!(allowed.set().collect::<Vec<_>>(), [(&*format!("x-{name}"), &*name)]);
    assert_eq!(allowed.response_headers().collect::<Vec<_>>(), [("x-marker", &*name)]);
    name
}

fn generation(answer: &Answer) -> u64 {
    marker(answer).strip_prefix("generation-").unwrap().parse().unwrap()
}

/// Row 225: under load, reloads fail no call, and each answer is of one generation. Every third reload is broken.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn row_225_no_answer_during_reloads_mixes_generations() {
    const RELOADS: u64 = 60;
    let loads = AtomicU64::new(0);
    let load = move || {
        let n = loads.fetch_add(1, Ordering::SeqCst);
        if n % 3 == 2 {
            return Err(broken("half-written"));
        }
        Ok(config(vec![marked_rule(&format!("generation-{n}"))], Vec::new()))
    };
    let (deps, heard) = deps();
    let engine = Engine::start(load, deps).await.unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let askers: Vec<_> = (0..4)
        .map(|_| {
            let (engine, done) = (Arc::clone(&engine), Arc::clone(&done));
            tokio::spawn(async move {
                let (mut last, mut asked) = (0, 0_u64);
                while !done.load(Ordering::SeqCst) {
                    let seen = generation(&engine.check(request("/a/b"), soon()).await);
                    assert!(seen >= last, "generation {seen} after {last}");
                    (last, asked) = (seen, asked + 1);
                    tokio::task::yield_now().await;
                }
                asked
            })
        })
        .collect();
    for n in 1..=RELOADS {
        let before = generation(&engine.check(request("/"), soon()).await);
        let reloaded = engine.reload().await;
        let after = generation(&engine.check(request("/"), soon()).await);
        if n % 3 == 2 {
            assert!(matches!(reloaded, Err(LoadError::Config(_))), "{reloaded:?}");
            assert_eq!(after, before);
        } else {
            reloaded.unwrap();
            assert_eq!(after, n, "what was reloaded answers the next call");
        }
    }
    done.store(true, Ordering::SeqCst);
    for asker in askers {
        assert!(asker.await.unwrap() > 0);
    }
    let heard = heard.0.lock().unwrap().clone();
    assert_eq!(heard.iter().filter(|(applied, _)| !applied).count(), 20);
    assert_eq!(
        heard.iter().filter(|(applied, _)| *applied).map(|(_, generation)| *generation).collect::<Vec<_>>(),
        (1..=41).collect::<Vec<_>>()
    );
}

/// Row 223: what is wrong with a changed configuration shows, and the old one serves.
#[tokio::test]
async fn row_223_a_broken_reload_leaves_the_old_policy_serving() {
    let fault = Arc::new(Mutex::new(None::<&'static str>));
    let load = {
        let fault = Arc::clone(&fault);
        move || {
            let fault = *fault.lock().unwrap();
            match fault {
                Some("panic") => panic!("a defect in loading"),
                Some(message) => Err(broken(message)),
                None => Ok(config(vec![marked_rule("kept")], Vec::new())),
            }
        }
    };
    let (deps, heard) = deps();
    let engine = Engine::start(load, deps).await.unwrap();
    assert_eq!(engine.readiness(), Readiness::Ready);
    let before = engine.snapshot();
    for message in ["unknown key `rulez`", "panic"] {
        *fault.lock().unwrap() = Some(message);
        let error = engine.reload().await.unwrap_err();
        assert!(Arc::ptr_eq(&before, &engine.snapshot()));
        assert_eq!(marker(&engine.check(request("/"), soon()).await), "kept");
        assert_eq!(engine.readiness(), Readiness::Ready);
        let last = engine.status().last_reload.unwrap();
        assert_eq!((last.error, last.generation), (Some(error), 1));
    }
    *fault.lock().unwrap() = None;
    assert_eq!(engine.reload().await.unwrap(), 2);
    assert_eq!(engine.status().last_reload.unwrap().error, None);
    assert_eq!(*heard.0.lock().unwrap(), [(true, 1), (false, 1), (false, 1), (true, 2)]);
}

#[tokio::test]
async fn errors_say_where_and_places_say_nothing_else() {
    let error = LoadError::from(broken("unknown key `hunter2`"));
    assert_eq!(error.messages(), ["/etc/tollgate/policy.yaml:3:7: rules[0].match: unknown key `hunter2`"]);
    assert_eq!(error.places(), ["/etc/tollgate/policy.yaml:3:7"]);
}

/// Row 226: there is no engine without a valid configuration.
#[tokio::test]
async fn row_226_a_first_load_that_is_invalid_is_the_callers_error() {
    let (deps, heard) = deps();
    let error = Engine::start(|| Err(broken("empty file")), deps.clone()).await.unwrap_err();
    assert_eq!(error, LoadError::Config(broken("empty file")));
    let missing = tempfile::tempdir().unwrap().path().join("policy.yaml");
    assert!(matches!(Engine::load(&missing, deps).await, Err(LoadError::Config(_))));
    assert_eq!(*heard.0.lock().unwrap(), [], "nothing was put into service");
}

/// A clock that answers no sooner than a deadline has passed, as a decision would that is too slow.
#[derive(Debug)]
struct SlowClock(Mutex<Instant>);

impl Clock for SlowClock {
    fn now(&self) -> Timestamp {
        let until = *self.0.lock().unwrap();
        while Instant::now() < until {
            std::thread::yield_now();
        }
        SystemClock.now()
    }
}

/// Row 215: a decision that is finished after its deadline is not an allow any more.
#[tokio::test]
async fn row_215_an_allow_that_comes_too_late_is_a_denial() {
    let clock = Arc::new(SlowClock(Mutex::new(Instant::now())));
    let (mut deps, _) = deps();
    deps.clock = clock.clone();
    let engine = Engine::start(|| Ok(config(vec![marked_rule("late")], Vec::new())), deps).await.unwrap();
    assert_eq!(engine.check(request("/"), soon()).await.reason, Reason::AllowedAnonymous);

    let deadline = Instant::now() + Duration::from_millis(20);
    *clock.0.lock().unwrap() = deadline;
    let answer = engine.check(request("/"), deadline).await;
    assert_eq!(answer.reason, Reason::DeadlineExceeded);
    assert_eq!(answer.rule.map(|rule| rule.name.to_string()).as_deref(), Some("late"));
    let Verdict::Deny(denied) = answer.verdict else { panic!("allowed") };
    assert_eq!(denied.http_status(), 503);

    let answer = engine.check(request("/"), Instant::now()).await;
    assert_eq!(
        (answer.reason, answer.rule.is_none()),
        (Reason::DeadlineExceeded, true),
        "no work for a call out of time"
    );
}

#[tokio::test]
async fn malformed_and_unmatched_requests_are_denied_with_ids_of_their_own() {
    let (deps, _) = deps();
    let mut rule = marked_rule("narrow");
    rule.matcher.paths = vec![PathPattern::parse("/only").unwrap()];
    let rules = Mutex::new(Some(vec![rule]));
    let engine =
        Engine::start(move || Ok(config(rules.lock().unwrap().take().unwrap(), Vec::new())), deps).await.unwrap();
    let ambiguous = engine.check(request("/a/../only"), soon()).await;
    assert_eq!(ambiguous.reason, Reason::AmbiguousPath);
    let unmatched = engine.check(request("/other"), soon()).await;
    assert_eq!(unmatched.reason, Reason::NoRule);
    assert_ne!(ambiguous.decision_id, unmatched.decision_id);
}

/// The rules of a file are checked against its listeners, but those of the first load are open.
#[tokio::test]
async fn a_reload_cannot_trust_listeners_more_than_the_open_ones_deserve() {
    let open_to_all = listener("0.0.0.0:9191", Direction::Inbound);
    let loopback = listener("127.0.0.1:9191", Direction::Inbound);
    let outbound = listener("127.0.0.1:9192", Direction::Outbound);
    let check = Arc::new(Mutex::new(vec![open_to_all.clone()]));
    let load = {
        let check = Arc::clone(&check);
        move || {
            let mut config = config(vec![marked_rule("r")], Vec::new());
            config.server = server(check.lock().unwrap().clone());
            Ok(config)
        }
    };
    let engine = Engine::start(load, deps().0).await.unwrap();
    for grown in [vec![loopback.clone()], vec![outbound.clone()]] {
        *check.lock().unwrap() = grown;
        assert_eq!(engine.reload().await, Err(LoadError::TrustNeedsRestart("inbound")));
    }
    *check.lock().unwrap() = vec![open_to_all.clone(), outbound];
    assert_eq!(engine.reload().await, Ok(2));
    assert!(engine.status().last_reload.unwrap().restart_needed);
    *check.lock().unwrap() = vec![open_to_all];
    assert_eq!(engine.reload().await, Ok(3));
    assert!(!engine.status().last_reload.unwrap().restart_needed);
}

/// Names in a file, one a line, become rules; anything that is not a name is wrong.
fn load_names(path: &Path) -> Result<Config, ConfigErrors> {
    let wrong = |message: String| {
        let error = ConfigError { file: path.into(), position: None, path: String::new(), message };
        Err(ConfigErrors(vec![error]))
    };
    let Ok(text) = std::fs::read_to_string(path) else { return wrong("not readable".to_owned()) };
    let name = text.trim();
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return wrong(format!("`{name}` is no name"));
    }
    let mut config = config(vec![marked_rule(name)], Vec::new());
    config.sources = vec![Source { path: path.to_owned(), sha256: name.to_owned() }];
    config.watched = vec![path.to_owned()];
    Ok(config)
}

/// Row 223: the file is replaced by rename, half-written, emptied, removed, swapped by symlink.
#[tokio::test]
async fn row_223_files_are_followed_and_what_is_broken_is_not_served() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy");
    let replace = |name: &str| {
        std::fs::write(folder.path().join("new"), name).unwrap();
        std::fs::rename(folder.path().join("new"), &path).unwrap();
    };
    replace("first");
    let (deps, heard) = deps();
    let engine = Engine::start(
        {
            let path = path.clone();
            move || load_names(&path)
        },
        deps,
    )
    .await
    .unwrap();
    let stop = CancellationToken::new();
    let following = tokio::spawn(Arc::clone(&engine).follow_files(stop.clone()));
    let serves = |name: &str| engine.snapshot().table().rules()[0].name.as_ref() == name;
    let refused = || engine.status().last_reload.is_some_and(|reload| reload.error.is_some());

    replace("second");
    wait::until("the second", || serves("second")).await;
    std::fs::write(&path, "third: {").unwrap();
    wait::until("a refusal of half a file", refused).await;
    replace("third");
    wait::until("the third", || serves("third") && !refused()).await;
    std::fs::write(&path, "").unwrap();
    wait::until("a refusal of nothing", refused).await;
    replace("third");
    wait::until("no error, once the file is as it was", || !refused()).await;
    std::fs::remove_file(&path).unwrap();
    wait::until("a refusal of no file", refused).await;
    assert!(serves("third"));
    assert_eq!(engine.readiness(), Readiness::Ready);
    for data in ["fourth", "fifth"] {
        std::fs::create_dir(folder.path().join(data)).unwrap();
        std::fs::write(folder.path().join(data).join("policy"), data).unwrap();
    }
    std::os::unix::fs::symlink("fourth", folder.path().join("data")).unwrap();
    std::os::unix::fs::symlink("data/policy", &path).unwrap();
    wait::until("the fourth", || serves("fourth")).await;
    std::os::unix::fs::symlink("fifth", folder.path().join("data-new")).unwrap();
    std::fs::rename(folder.path().join("data-new"), folder.path().join("data")).unwrap();
    wait::until("the fifth", || serves("fifth")).await;

    assert_eq!(engine.snapshot().generation(), 5, "what did not change made no generation");
    assert_eq!(heard.0.lock().unwrap().iter().filter(|(applied, _)| *applied).count(), 5);
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(20), following).await.expect("an end").unwrap();
}
