//! More to do than time to do it in.

use super::super::pressure::{LASTING, LONG_AND_MORE, STALE};
use super::super::trial::PAUSE;
use super::*;

/// Turns that are in overload from now on, and not on trial for a while.
pub(super) fn pressed() -> Arc<Turns> {
    let turns = turns();
    pass(2 * PATIENCE);
    judge(&turns, PATIENCE).unwrap();
    pass(PATIENCE / LASTING);
    judge(&turns, PATIENCE).unwrap();
    assert!(turns.pressure.is_on(turns.now()));
    assert!(turns.trials.ask(0, 0, turns.pressure.part(PAUSE), turns.now()).is_none());
    turns
}

/// Judges a wait of this length that is over.
fn judge(turns: &Turns, waited: Duration) -> Result<(), Overloaded> {
    turns.pressure.judge(&Wait { took: waited, many: true, ..Wait::default() }, turns.now())
}

/// Where decisions have much time, so have those that wait for a turn.
#[tokio::test]
async fn what_is_long_is_a_part_of_what_decisions_have() {
    for (patience, is_long) in [(PATIENCE, true), (100 * PATIENCE, false)] {
        let turns = turns();
        turns.expect(patience);
        pass(2 * PATIENCE);
        judge(&turns, PATIENCE).unwrap();
        pass(PATIENCE / LASTING);
        judge(&turns, PATIENCE).unwrap();
        assert_eq!(turns.pressure.is_on(turns.now()), is_long);
    }
}

#[tokio::test]
async fn one_who_did_not_wait_long_says_that_not_everybody_does() {
    let turns = turns();
    pass(PATIENCE);
    for between in [true, false] {
        judge(&turns, PATIENCE).unwrap();
        if between {
            judge(&turns, Duration::ZERO).unwrap();
        }
        assert_eq!(turns.pressure.all_wait_long(), !between);
    }
    // Nor does everybody wait where nobody does any more.
    turn(&turns, Duration::ZERO).await.unwrap();
    yield_now().await;
    assert!(!turns.pressure.all_wait_long());
}

/// Where the queue grows with every few turns it is no matter of time.
#[tokio::test]
async fn a_queue_that_grows_is_an_overload_as_soon_as_waits_are_not_short() {
    for (part, grows, is_on) in [(LONG_AND_MORE, true, true), (LONG_AND_MORE, false, false), (2 * STALE, true, false)] {
        let turns = turns();
        let wait = Wait { took: PATIENCE / part + Duration::from_millis(1), grows, many: true, ..Wait::default() };
        turns.pressure.judge(&wait, turns.now()).unwrap();
        assert_eq!(turns.pressure.is_on(turns.now()), is_on, "1/{part}, {grows}");
    }
}

/// As many callers as a load generator has, and a machine that is slow for a while.
#[tokio::test]
async fn a_short_queue_is_no_overload_however_slow_it_is() {
    let turns = turns();
    pass(2 * PATIENCE);
    for many in [false, true] {
        judge_one(&turns, many);
        pass(PATIENCE / LASTING);
        judge_one(&turns, many);
        assert_eq!(turns.pressure.is_on(turns.now()), many);
    }
}

fn judge_one(turns: &Turns, many: bool) {
    let wait = Wait { took: PATIENCE, many, ..Wait::default() };
    turns.pressure.judge(&wait, turns.now()).unwrap();
}

#[tokio::test]
async fn a_flood_is_refused() {
    let turns = turns();
    let (mut asking, since) = (Vec::new(), Instant::now());
    'flood: loop {
        assert!(since.elapsed() < 40 * PATIENCE, "{} wait", turns.waiting());
        for _ in 0..20 {
            match ask(&turns, || pass(TURN)) {
                Ok(one) => asking.push(one),
                Err(Overloaded) => break 'flood,
            }
        }
        pass(TURN);
        yield_now().await;
    }
}

#[tokio::test]
async fn a_burst_is_served() {
    let turns = turns();
    let burst: Vec<_> = (0..2 * SHORT).map(|_| ask(&turns, || pass(TURN / 4)).unwrap()).collect();
    for one in burst {
        one.await.unwrap();
    }
    assert!(!turns.pressure.is_on(turns.now()));
}

#[tokio::test]
async fn a_flood_is_where_no_place_is_free_and_nobody_came_who_needs_none() {
    let turns = pressed();
    let is_flooded = || (0..SAMPLE).filter(|_| turns.is_flooded(Instant::now())).count();
    assert_eq!(is_flooded(), 0, "there are places");
    let few: Vec<_> = (0..FEW).map(|_| turns.admit().unwrap()).collect();
    assert_eq!(is_flooded(), SAMPLE - 1, "one is read all the same");
    // They are seen when turns are taken.
    let others = calls(&turns);
    drop(few);
    turn(&turns, Duration::ZERO).await.unwrap();
    let few: Vec<_> = (0..FEW).map(|_| turns.admit().unwrap()).collect();
    assert!(turns.pressure.is_on(turns.now()));
    assert_eq!(is_flooded(), 0, "others came");
    others.abort();
    drop(few);
    let turns = self::turns();
    let _many: Vec<_> = (0..4 * FEW).map(|_| turns.admit().unwrap()).collect();
    assert!((0..SAMPLE).all(|_| !turns.is_flooded(Instant::now())), "nobody waited long");
}

#[tokio::test]
async fn in_overload_few_may_wait_and_none_for_long() {
    let turns = pressed();
    assert_eq!(judge(&turns, PATIENCE / STALE + Duration::from_millis(1)), Err(Overloaded));
    assert_eq!(judge(&turns, PATIENCE / STALE / 2), Ok(()));
    let few: Vec<_> = (0..FEW).map(|_| turns.admit().unwrap()).collect();
    assert_eq!(turns.admit().map(drop), Err(Overloaded));
    drop(few);
    assert!(turns.admit().is_ok());
}

#[tokio::test]
async fn in_overload_whoever_is_let_in_is_served() {
    let turns = pressed();
    // Nobody is to be told that they came too late, were the machine slow for a moment.
    turns.expect(20 * PATIENCE);
    let (mut asking, mut refused) = (Vec::new(), 0);
    // For longer than overload lasts by itself.
    let since = Instant::now();
    while since.elapsed() < PATIENCE {
        for _ in 0..3 * FEW {
            match ask(&turns, || pass(TURN)) {
                Ok(one) => asking.push(one),
                Err(Overloaded) => refused += 1,
            }
        }
        yield_now().await;
    }
    assert!(turns.pressure.is_on(turns.now()));
    let let_in = asking.len();
    assert!(refused > 0, "{let_in} were let in");
    let served = futures_util::future::join_all(asking).await.into_iter().filter(Result::is_ok).count();
    // The machine may have been busy with something else for a while.
    assert!(served * 2 >= let_in, "{let_in} were let in, {served} served");
}

/// More than a few at once, again and again, and nobody in between.
#[tokio::test]
async fn bursts_do_not_keep_an_overload_up() {
    for pause in [Duration::from_millis(1), PATIENCE / 4] {
        let turns = pressed();
        let since = Instant::now();
        let mut refused = 0;
        while turns.pressure.is_on(turns.now()) {
            assert!(since.elapsed() < 2 * PATIENCE, "it lasts for ever");
            let burst: Vec<_> = (0..2 * FEW).map(|_| ask(&turns, || ())).collect();
            for asking in burst {
                match asking {
                    Ok(asking) => asking.await.unwrap(),
                    Err(Overloaded) => refused += 1,
                }
            }
            tokio::time::sleep(pause).await;
        }
        assert!(refused > 0);
    }
}

/// The same where there is always something to do in between, but never too much.
#[tokio::test]
async fn bursts_among_others_do_not_either() {
    let turns = pressed();
    let steady = tokio::spawn({
        let turns = Arc::clone(&turns);
        async move {
            loop {
                let both = [ask(&turns, || pass(TURN)), ask(&turns, || pass(TURN))];
                for asking in both.into_iter().flatten() {
                    // It may be told that it came too late.
                    let _ = asking.await;
                }
                yield_now().await;
            }
        }
    });
    let since = Instant::now();
    let mut refused = 0;
    while turns.pressure.is_on(turns.now()) {
        assert!(since.elapsed() < 3 * PATIENCE, "it lasts for ever");
        refused += (0..2 * FEW).filter(|_| ask(&turns, || ()).is_err()).count();
        tokio::time::sleep(PATIENCE / 4).await;
    }
    assert!(refused > 0);
    steady.abort();
}

/// Tasks that are always ready do not get between the turns of a slice.
#[tokio::test]
async fn in_overload_turns_have_their_share_whatever_is_to_be_refused() {
    let turns = pressed();
    // Nobody is to be told that they came too late, were the machine slow for a moment.
    turns.expect(20 * PATIENCE);
    let polls = Arc::new(AtomicU64::new(0));
    let busy: Vec<_> = (0..4)
        .map(|_| {
            let polls = Arc::clone(&polls);
            tokio::spawn(async move {
                loop {
                    pass(TURN);
                    polls.fetch_add(1, Ordering::Relaxed);
                    once_each().await;
                }
            })
        })
        .collect();
    let mut asking = Vec::new();
    for _ in 0..10 {
        let polls = Arc::clone(&polls);
        asking.push(ask(&turns, move || (pass(TURN), polls.load(Ordering::Relaxed)).1).unwrap());
    }
    let mut seen = Vec::new();
    for one in asking {
        seen.push(one.await.unwrap());
    }
    seen.dedup();
    // A slice has room for all ten; the machine may have been busy with something else.
    assert!(seen.len() <= 4, "{seen:?}");
    busy.iter().for_each(JoinHandle::abort);
}
