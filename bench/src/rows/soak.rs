//! Rows 16 and 17: a long time at seven tenths of the capacity, while keys are rotated and the configuration is reloaded.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, ensure};
use bytes::Bytes;

use super::overload::PATIENCE;
use super::reload::replace;
use crate::compare::window;
use crate::load::open::{self, steady, stream};
use crate::load::{Made, Outcome, on_this_thread};
use crate::mint::{self, Algorithm, Keys, Kind};
use crate::policy::Policy;
use crate::process::Server;
use crate::scene::body;
use crate::scrape::{fetch, sum};
use crate::table::{Bench, Findings, Group, Row, Verdict};

/// The group of the short form.
pub(super) const SHORT: Group = Group { name: "a minute's soak", numbers: &[16], run: run_short };

/// The group of the long form, which takes twenty-three minutes.
pub(super) const LONG: Group = Group { name: "twenty minutes' soak", numbers: &[17], run: run_long };

/// Part of the capacity that is asked.
const PART: f64 = 0.7;

/// Rotations before anything is looked at.
const WARM_UP: u32 = 3;

/// From when a key is published to when tokens are signed with it.
const PUBLISHED_BEFORE: Duration = Duration::from_secs(2);

/// Over which part of the time between two rotations callers replace their tokens. Nobody's all expire at once.
const RENEWED_WITHIN: f64 = 0.5;

/// In so many steps.
const STEPS: u32 = 100;

/// What a run is.
struct Soak {
    number: u32,
    lasts: Duration,
    rotation: Duration,
    reload: Duration,
}

impl Soak {
    /// Rotations for which there must be keys.
    fn rotations(&self) -> u32 {
        WARM_UP + (self.lasts.div_duration_f64(self.rotation)).ceil() as u32 + 1
    }
}

fn run_short(bench: &Bench) -> anyhow::Result<Findings> {
    let seconds = |seconds| Duration::from_secs(seconds);
    soak(bench, &Soak { number: 16, lasts: seconds(60), rotation: seconds(30), reload: seconds(5) })
}

fn run_long(bench: &Bench) -> anyhow::Result<Findings> {
    let seconds = |seconds| Duration::from_secs(seconds);
    soak(bench, &Soak { number: 17, lasts: seconds(20 * 60), rotation: seconds(60), reload: seconds(10) })
}

/// Memory in bytes and open descriptors.
#[derive(Clone, Copy, Debug)]
struct Figures {
    resident: u64,
    descriptors: usize,
}

impl Figures {
    fn of(server: &Server) -> anyhow::Result<Self> {
        let descriptors = fs::read_dir(format!("/proc/{}/fd", server.pid())).context("the server is gone")?.count();
        Ok(Self { resident: server.memory()?.resident, descriptors })
    }

    fn megabytes(self) -> f64 {
        self.resident as f64 / 1e6
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} MB resident, {} open descriptors", self.megabytes(), self.descriptors)
    }
}

fn soak(bench: &Bench, soak: &Soak) -> anyhow::Result<Findings> {
    on_this_thread(async {
        let probes = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut policy = Policy::usual(bench.scene.endpoint("gate")?);
        policy.server.push(format!("probes: {{ listen: '{probes}' }}"));
        // Full after some rotations, so that what grows afterwards is something else.
        policy.cache = "8MiB";
        let start = bench.scene.gate_start(&policy)?;
        let (issuer, bodies) = Issuer::new(bench, soak.rotations())?;
        let tokens: Tokens = Arc::new(Mutex::new(bodies.clone()));
        let server = Server::start(start, &bodies[0]).await?;
        let capacity = window(&server, bodies, &bench.effort, Outcome::Allow).await?.per_second();

        let turning = Turning::start(soak, bench, &policy, issuer, &tokens);
        let shape = open::Shape {
            endpoint: server.endpoint().clone(),
            connections: bench.effort.connections,
            in_flight: 4096,
            patience: Some(PATIENCE),
        };
        let phases = steady(&[WARM_UP * soak.rotation, soak.lasts], &[PART * capacity]);
        let mut figures = Vec::new();
        let mut look = || {
            let now = Figures::of(&server)?;
            eprintln!("{now}");
            figures.push(now);
            Ok(0.0)
        };
        let seen = open::run(&shape, vec![stream(in_turn(tokens))], &phases, &mut look).await?;
        let rotations = turning.stop()?;
        let reloads = sum(&fetch(probes, "/metrics")?, "tollgate_reloads_total", &["true"]);
        ensure!(
            reloads >= soak.lasts.div_duration_f64(soak.reload),
            "only {reloads} reloads were seen:\n{}",
            server.printed()
        );
        let [_, before, after] = figures[..] else { anyhow::bail!("not three looks") };
        let (warm_up, tally) = (&seen[0].tallies[0], &seen[1].tallies[0]);
        eprintln!("{:?}, before that {:?}", tally.counts(), warm_up.counts());
        let failed = tally.other_than(Outcome::Allow) + warm_up.other_than(Outcome::Allow);
        let what = format!(
            "{} min at {:.0}/s, 0.7 × the capacity, {rotations} rotations of keys, {reloads:.0} reloads",
            soak.lasts.as_secs() / 60,
            PART * capacity
        );
        let row = |which, bound, measured, held| {
            Row::new(soak.number, format!("{what}: {which}"), bound, measured, Verdict::of(held))
        };
        let rows = vec![
            row(
                "calls that were not allowed",
                "0",
                format!("{failed} of {}, p99 {:.0} µs", tally.total(), tally.quantile_us(0.99)),
                failed == 0,
            ),
            row(
                "RSS",
                "no growth (≤ 5 %)",
                format!("{:.1} MB → {:.1} MB", before.megabytes(), after.megabytes()),
                after.megabytes() <= before.megabytes() * 1.05,
            ),
            row(
                "open descriptors",
                "no growth",
                format!("{} → {}", before.descriptors, after.descriptors),
                after.descriptors <= before.descriptors,
            ),
        ];
        Ok(Findings { rows, bars: Vec::new() })
    })
}

/// The requests that are made at the moment.
type Tokens = Arc<Mutex<Vec<Bytes>>>;

fn lock(tokens: &Tokens) -> MutexGuard<'_, Vec<Bytes>> {
    tokens.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One request after the other, again and again, whatever they are by then.
fn in_turn(tokens: Tokens) -> Made<impl FnMut() -> Option<Bytes> + Send> {
    let mut next = 0usize;
    Made(move || {
        let tokens = lock(&tokens);
        next = (next + 1) % tokens.len().max(1);
        tokens.get(next).cloned()
    })
}

/// An issuer whose keys are rotated: the key set has the keys of two generations.
struct Issuer {
    file: PathBuf,
    /// The key set that other measurements find there.
    before: String,
    /// Those to come, the last one first.
    generations: Vec<Generation>,
}

/// New keys.
struct Generation {
    /// The key set with them and those before them.
    key_set: String,
    /// A request for each of so many tokens that nobody has seen.
    bodies: Vec<Bytes>,
}

impl Drop for Issuer {
    fn drop(&mut self) {
        // Where it fails, the next gate says so.
        let _ = fs::write(&self.file, &self.before);
    }
}

impl Issuer {
    /// Publishes its first keys; the requests of that generation. All tokens are minted now: beside the load they would be
    /// late, and callers would come with tokens whose key is gone.
    fn new(bench: &Bench, rotations: u32) -> anyhow::Result<(Self, Vec<Bytes>)> {
        let (file, count) = (bench.scene.folder().join("keys.jwks"), bench.effort.tokens as u64);
        let at = mint::now();
        let bodies = |keys: &Keys, generation: u64| -> anyhow::Result<Vec<Bytes>> {
            let token = |nth| Ok(body(&mint::mint(keys, Algorithm::EdDsa, Kind::Good, nth, at)?, nth));
            (generation * count..(generation + 1) * count).map(token).collect()
        };
        let mut keys = Keys::generate()?;
        fs::write(&file, keys.jwks())?;
        let (first, mut generations) = (bodies(&keys, 0)?, Vec::new());
        for generation in 1..=u64::from(rotations) {
            let next = keys.next()?;
            let key_set = Keys::jwks_of(&[&keys, &next]);
            generations.push(Generation { key_set, bodies: bodies(&next, generation)? });
            keys = next;
        }
        generations.reverse();
        Ok((Self { file, before: bench.scene.keys.jwks(), generations }, first))
    }

    /// Publishes new keys beside those of today; the requests that are signed with them.
    fn rotate(&mut self) -> anyhow::Result<Vec<Bytes>> {
        let Generation { key_set, bodies } = self.generations.pop().context("no keys are left")?;
        replace(&self.file, &key_set)?;
        std::thread::sleep(PUBLISHED_BEFORE);
        Ok(bodies)
    }
}

/// Rotates keys and rewrites the configuration until it is stopped.
struct Turning {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<anyhow::Result<u32>>>,
}

impl Turning {
    fn start(soak: &Soak, bench: &Bench, policy: &Policy, mut issuer: Issuer, tokens: &Tokens) -> Self {
        let file = bench.scene.folder().join("policy.yaml");
        let another = "{ name: another, match: { paths: ['/another/**'] }, allow: anonymous }".to_owned();
        let with = Policy { rules: policy.rules.iter().cloned().chain([another]).collect(), ..policy.clone() };
        let mut texts = [with.text(), policy.text()].into_iter().cycle();
        let (rotation, reload) = (soak.rotation, soak.reload);
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, tokens) = (Arc::clone(&stop), Arc::clone(tokens));
        let thread = std::thread::spawn(move || {
            let (mut rotations, mut rotate_at, mut reload_at) = (0, Instant::now() + rotation, Instant::now() + reload);
            let (mut new, mut renew_at) = (Vec::new(), Instant::now());
            while !stopped.load(Relaxed) {
                if Instant::now() >= rotate_at {
                    rotate_at += rotation;
                    new = issuer.rotate()?;
                    renew_at = Instant::now();
                    rotations += 1;
                }
                while !new.is_empty() && Instant::now() >= renew_at {
                    renew_at += rotation.mul_f64(RENEWED_WITHIN) / STEPS;
                    let mut tokens = lock(&tokens);
                    let rest = new.len().saturating_sub(tokens.len().div_ceil(STEPS as usize));
                    for (place, body) in tokens[rest..].iter_mut().zip(new.drain(rest..)) {
                        *place = body;
                    }
                }
                if Instant::now() >= reload_at {
                    reload_at += reload;
                    replace(&file, &texts.next().unwrap_or_default())?;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            Ok(rotations)
        });
        Self { stop, thread: Some(thread) }
    }

    /// How many rotations there were.
    fn stop(mut self) -> anyhow::Result<u32> {
        self.end().unwrap_or(Ok(0))
    }

    fn end(&mut self) -> Option<anyhow::Result<u32>> {
        self.stop.store(true, Relaxed);
        let ended = self.thread.take()?.join();
        Some(ended.unwrap_or_else(|_| Err(anyhow!("rotating and reloading panicked"))))
    }
}

impl Drop for Turning {
    fn drop(&mut self) {
        let _ = self.end();
    }
}
