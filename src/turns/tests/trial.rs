//! Trials whether all who ask could be served after all.

use super::super::trial::{LONGEST, Trials};
use super::overload::pressed;
use super::*;

/// The shortest pause between two trials, and the same in nanoseconds.
const PAUSE: Duration = Duration::from_millis(75);
const NANOS: u64 = 75_000_000;

/// How many pauses there are between a trial that fails and the next one.
fn fails(trials: &Trials, now: &mut u64) -> u64 {
    let trial = trials.ask(0, 1, PAUSE, *now).unwrap();
    assert_eq!(trials.ask(0, 1, PAUSE, *now), Some(trial), "it lasts");
    assert!(!trials.has_failed(trial) && trials.is_possible(*now));
    assert_eq!(trials.ask(1, 1, PAUSE, *now), None, "there is no room");
    assert!(trials.has_failed(trial));
    let mut pauses = 0;
    while !trials.is_possible(*now) {
        assert_eq!(trials.ask(0, 1, PAUSE, *now), None);
        *now += NANOS;
        pauses += 1;
    }
    pauses
}

#[test]
fn trials_that_fail_come_ever_more_seldom_until_one_lasted() {
    let (trials, mut now) = (Trials::default(), 1);
    let pauses: Vec<u64> = (0..7).map(|_| fails(&trials, &mut now)).collect();
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 32]);
    assert_eq!(pauses.last(), Some(&LONGEST));
    let trial = trials.ask(0, 1, PAUSE, now).unwrap();
    now += 2 * NANOS;
    assert!(!trials.has_failed(trial));
    assert_eq!(fails(&trials, &mut now), 1);
}

#[tokio::test]
async fn whoever_is_on_a_trial_that_fails_is_told_so_and_nobody_else() {
    let turns = pressed();
    let mut now = 1;
    for _ in 0..200 {
        turns.note_turn(0, now);
        now += as_nanos(PATIENCE / STALE) / (3 * FEW as u64);
    }
    assert!((2 * FEW..4 * FEW).contains(&turns.room()), "{}", turns.room());
    while !turns.trials.is_possible(turns.now()) {
        pass(TURN);
        // It is still too much.
        let _ = turns.pressure.refuse(turns.now());
    }
    let mut asking = Vec::new();
    while let Ok(one) = ask(&turns, || ()) {
        asking.push(one);
    }
    let on_trial = asking.len() - FEW;
    assert!((FEW..3 * FEW).contains(&on_trial), "{on_trial}");
    let answers = futures_util::future::join_all(asking).await;
    assert!(answers.iter().take(FEW).all(Result::is_ok));
    assert!(answers.iter().skip(FEW).all(Result::is_err));
}

/// Callers who ask again as soon as they are told, whatever they are told, as load generators do.
#[tokio::test]
async fn a_few_who_never_wait_do_not_keep_an_overload_up() {
    let turns = pressed();
    let callers: Vec<_> = (0..2 * FEW)
        .map(|_| {
            let turns = Arc::clone(&turns);
            tokio::spawn(async move {
                loop {
                    if turn(&turns, TURN).await.is_err() {
                        yield_now().await;
                    }
                }
            })
        })
        .collect();
    let since = Instant::now();
    while turns.pressure.is_on(turns.now()) {
        assert!(since.elapsed() < 40 * PATIENCE, "it lasts for ever");
        yield_now().await;
    }
    callers.iter().for_each(JoinHandle::abort);
}
