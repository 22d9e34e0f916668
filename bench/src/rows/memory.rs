//! Rows 7 and 8: what tokens leave behind.

use std::time::Duration;

use anyhow::ensure;
use bytes::Bytes;

use crate::load::{Made, Outcome, closed, on_this_thread};
use crate::mint::{self, Algorithm, Kind, mint};
use crate::policy::Policy;
use crate::process::Server;
use crate::scene::body;
use crate::scrape::{fetch, sum};
use crate::shuffle::Shuffle;
use crate::table::{Bench, Findings, Group, Row, Verdict};

/// The group.
pub(super) const GROUP: Group = Group { name: "memory of a million tokens", numbers: &[7, 8], run };

const MIB: f64 = 1024.0 * 1024.0;

fn run(bench: &Bench) -> anyhow::Result<Findings> {
    let count = bench.scaled(1_000_000);
    let mut rows = Vec::new();

    let (grown, cached) = good_tokens(bench, "8GiB", count)?;
    let each = grown / count as f64;
    let all = cached >= 0.999;
    rows.push(Row::new(
        7,
        format!("{count} distinct valid ES256 tokens cached, RSS growth for each"),
        "≤ 600 bytes, all cached",
        format!("{each:.0} bytes, {:.1} % cached", cached * 100.0),
        Verdict::of(each <= 600.0 && all),
    ));

    let (grown, _) = good_tokens(bench, "64MiB", count)?;
    rows.push(Row::new(
        7,
        "the same with a cap of 64 MiB, RSS growth",
        "≤ 70.4 MiB (cap and 10 %)",
        format!("{:.1} MiB", grown / MIB),
        Verdict::of(grown <= 64.0 * 1.1 * MIB),
    ));

    let grown = bad_tokens(bench, count)?;
    rows.push(Row::new(
        8,
        format!("{count} distinct invalid tokens, RSS growth after warm-up"),
        "≤ 5 MB",
        format!("{:.2} MB", grown / 1e6),
        Verdict::of(grown <= 5e6),
    ));
    Ok(Findings { rows, bars: Vec::new() })
}

/// RSS growth by so many good tokens, and the part of the first of them that is still cached, or of the last where there
/// is not room for all.
fn good_tokens(bench: &Bench, cache: &'static str, count: u64) -> anyhow::Result<(f64, f64)> {
    let at = mint::now();
    let token = |nth| mint(&bench.scene.keys, Algorithm::Es256, Kind::Good, nth, at).map(|token| body(&token, nth));
    on_this_thread(async {
        let probes = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut policy = Policy::usual(bench.scene.endpoint("gate")?);
        policy.cache = cache;
        policy.server.push(format!("probes: {{ listen: '{probes}' }}"));
        let server = bench.scene.start_gate(&policy).await?;
        // Threads, connections and buffers have their memory after some calls with one token.
        let same = vec![token(0)?; 20_000];
        feed(bench, &server, same, Outcome::Allow).await?;
        let before = settled(&server).await?;
        let mut kept = Vec::new();
        let step = 50_000.min(count);
        for part in 0..count / step {
            // A part is minted while the server waits; signing takes about as long as verifying.
            let bodies = (0..step).map(|n| token(1 + part * step + n)).collect::<anyhow::Result<Vec<Bytes>>>()?;
            kept.extend(bodies.iter().step_by(50).cloned());
            feed(bench, &server, bodies, Outcome::Allow).await?;
            eprintln!("{} tokens, {:.1} MiB", (part + 1) * step, server.memory()?.resident as f64 / MIB);
        }
        let after = settled(&server).await?;
        let asked = kept.len() as f64;
        let hits = |metrics: &str| sum(metrics, "tollgate_token_cache_lookups_total", &["result=\"hit\""]);
        let hits_before = hits(&fetch(probes, "/metrics")?);
        feed(bench, &server, kept, Outcome::Allow).await?;
        let cached = (hits(&fetch(probes, "/metrics")?) - hits_before) / asked;
        Ok((after - before, cached))
    })
}

/// RSS growth by so many tokens that are refused, each in its own way.
fn bad_tokens(bench: &Bench, count: u64) -> anyhow::Result<f64> {
    let at = mint::now();
    let token = |nth| bad_token(bench, nth, at).map(|token| body(&token, nth));
    on_this_thread(async {
        let server = bench.scene.start_gate(&Policy::usual(bench.scene.endpoint("gate")?)).await?;
        let warm_up = (count..count + count / 10).map(token).collect::<anyhow::Result<Vec<Bytes>>>()?;
        feed(bench, &server, warm_up, Outcome::Denied(401)).await?;
        let before = settled(&server).await?;
        let step = 50_000.min(count);
        for part in 0..count / step {
            let bodies = (0..step).map(|n| token(part * step + n)).collect::<anyhow::Result<Vec<Bytes>>>()?;
            feed(bench, &server, bodies, Outcome::Denied(401)).await?;
            eprintln!("{} bad tokens, {:.1} MiB", (part + 1) * step, server.memory()?.resident as f64 / MIB);
        }
        Ok(settled(&server).await? - before)
    })
}

/// A wrong signature, a key that there is not, an expired token, or what looks like a token from afar.
fn bad_token(bench: &Bench, nth: u64, now: u64) -> anyhow::Result<String> {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    let keys = &bench.scene.keys;
    Ok(match nth % 4 {
        0 => mint(keys, Algorithm::Es256, Kind::Forged, nth, now)?,
        1 => mint(keys, Algorithm::EdDsa, Kind::Good, nth, now - 48 * 3600)?,
        2 => {
            let forged = mint(keys, Algorithm::Es256, Kind::Forged, nth, now)?;
            let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"ES256","kid":"k{nth}","typ":"JWT"}}"#));
            forged.split_once('.').map_or_else(String::new, |(_, rest)| format!("{header}.{rest}"))
        }
        _ => {
            let mut random = Shuffle::new(nth);
            let mut part =
                |bytes: usize| URL_SAFE_NO_PAD.encode((0..bytes).map(|_| random.draw() as u8).collect::<Vec<u8>>());
            [part(40), part(480), part(64)].join(".")
        }
    })
}

/// Asks about each body once.
async fn feed(bench: &Bench, server: &Server, bodies: Vec<Bytes>, expected: Outcome) -> anyhow::Result<()> {
    let count = bodies.len() as u64;
    let mut bodies = bodies.into_iter();
    let window = closed::Window {
        warm_up_calls: 0,
        warm_up: Duration::ZERO,
        least: Duration::from_secs(600),
        most: Duration::from_secs(600),
        probe: &mut || Ok(0.0),
        enough: 0.0,
    };
    let shape = bench.effort.shape(server.endpoint().clone());
    let (seen, _) = closed::run(&shape, Made(move || bodies.next()), window).await?;
    ensure!(seen.tally.total() <= count, "more answers than calls");
    ensure!(seen.tally.other_than(expected) == 0, "expected {expected:?}, got {:?}", seen.tally.counts());
    Ok(())
}

/// RSS when what is put off has been done.
async fn settled(server: &Server) -> anyhow::Result<f64> {
    tokio::time::sleep(Duration::from_secs(2)).await;
    Ok(server.memory()?.resident as f64)
}
