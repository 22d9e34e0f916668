use std::pin::Pin;
use std::task::{Context, Waker};

use tokio::task::JoinHandle;

use super::pressure::{LASTING, PATIENCE, STALE};
use super::*;

/// What a signature takes, about.
const TURN: Duration = Duration::from_micros(200);

fn turns() -> Arc<Turns> {
    Arc::new(Turns::new(1))
}

/// Lets time go by, in which nothing else happens.
fn pass(time: Duration) {
    let since = std::time::Instant::now();
    while since.elapsed() < time {
        std::hint::spin_loop();
    }
}

type Asking<T = ()> = Pin<Box<dyn Future<Output = Result<T, Overloaded>> + Send>>;

/// Asks for a turn as calls do: at first with nobody who waits for the answer.
fn ask<T: Send + 'static>(
    turns: &Arc<Turns>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<Asking<T>, Overloaded> {
    let mut asking: Asking<T> = Box::pin(turns.admit()?.run(work));
    assert!(asking.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    Ok(asking)
}

/// A turn that takes so long.
async fn turn(turns: &Arc<Turns>, takes: Duration) -> Result<(), Overloaded> {
    turns.admit()?.run(move || pass(takes)).await
}

/// Judges a wait of this length that is over.
fn judge(turns: &Turns, waited: Duration) -> Result<(), Overloaded> {
    turns.pressure.judge(waited, Duration::ZERO, turns.now())
}

/// Turns that are in overload from now on.
fn pressed() -> Arc<Turns> {
    let turns = turns();
    pass(2 * PATIENCE);
    judge(&turns, PATIENCE / 2).unwrap();
    pass(PATIENCE / LASTING);
    judge(&turns, PATIENCE / 2).unwrap();
    assert!(turns.pressure.is_on(turns.now()));
    turns
}

#[tokio::test]
async fn turns_come_one_by_one_in_order() {
    let turns = turns();
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut asking = Vec::new();
    for nth in 0..3 {
        let order = Arc::clone(&order);
        asking.push(ask(&turns, move || order.lock().unwrap().push(nth)).unwrap());
    }
    assert_eq!(turns.waiting(), 3);
    // Whoever waits is told, in whatever order they look.
    for asking in asking.into_iter().rev() {
        asking.await.unwrap();
    }
    assert_eq!(*order.lock().unwrap(), [0, 1, 2]);
    assert_eq!(turns.waiting(), 0);
    assert_eq!(ask(&turns, || 7).unwrap().await, Ok(7));
}

#[tokio::test]
async fn a_place_in_the_queue_can_be_given_up() {
    let turns = turns();
    let (first, second) = (ask(&turns, || ()).unwrap(), ask(&turns, || panic!("nobody wants to know")).unwrap());
    drop(second);
    let third = ask(&turns, || ()).unwrap();
    first.await.unwrap();
    third.await.unwrap();
    drop(turns.admit().unwrap());
    assert_eq!(turns.waiting(), 0);
}

#[tokio::test]
async fn what_panics_does_so_where_it_was_asked_for() {
    let turns = turns();
    let asking = ask(&turns, || -> u8 { panic!("as a defect would") }).unwrap();
    let next = ask(&turns, || 1).unwrap();
    assert!(tokio::spawn(asking).await.unwrap_err().is_panic());
    assert_eq!(next.await, Ok(1));
}

/// So many callers ask again as soon as they were served: the queue is never empty, for a long time.
#[tokio::test]
async fn any_number_may_wait_where_nobody_waits_long() {
    let turns = turns();
    let since = Instant::now();
    let caller = async |turns: Arc<Turns>| {
        while since.elapsed() < PATIENCE {
            turn(&turns, TURN / 4).await.unwrap();
        }
    };
    futures_util::future::join_all((0..4 * FEW).map(|_| caller(Arc::clone(&turns)))).await;
}

#[tokio::test]
async fn a_burst_that_waited_long_and_is_served_quickly_is_no_overload() {
    let turns = turns();
    let first = ask(&turns, || pass(PATIENCE / 2)).unwrap();
    let others: Vec<_> = (0..2 * FEW).map(|_| ask(&turns, || ()).unwrap()).collect();
    first.await.unwrap();
    for asking in others {
        asking.await.unwrap();
    }
}

/// Where decisions have much time, so have those that wait for a turn.
#[tokio::test]
async fn what_is_long_is_a_part_of_what_decisions_have() {
    for (patience, is_long) in [(PATIENCE, true), (100 * PATIENCE, false)] {
        let turns = turns();
        turns.expect(patience);
        pass(2 * PATIENCE);
        judge(&turns, PATIENCE / 2).unwrap();
        pass(PATIENCE / LASTING);
        judge(&turns, PATIENCE / 2).unwrap();
        assert_eq!(turns.pressure.is_on(turns.now()), is_long);
    }
}

#[tokio::test]
async fn one_who_did_not_wait_long_says_that_not_everybody_does() {
    let turns = turns();
    pass(PATIENCE);
    for between in [true, false] {
        judge(&turns, PATIENCE / 2).unwrap();
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
    assert!(refused >= let_in, "{let_in} were let in, {refused} refused");
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

#[test]
fn those_who_wait_when_the_runtime_ends_learn_that_nothing_comes() {
    let turns = turns();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let entered = runtime.enter();
    let mut asking = ask(&turns, || ()).unwrap();
    drop(entered);
    drop(runtime);
    let told = asking.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert_eq!(told, Poll::Ready(Err(Overloaded)));
    assert_eq!(turns.waiting(), 0);
    // Another one serves as the first did.
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(turn(&turns, Duration::ZERO)).unwrap();
}

/// Tasks that are always ready do not get between the turns of a slice.
#[tokio::test]
async fn in_overload_turns_have_their_share_whatever_is_to_be_refused() {
    let turns = pressed();
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

/// A task that is always ready, as that of a connection is on which calls come that need no turn.
fn calls(turns: &Arc<Turns>) -> JoinHandle<()> {
    let turns = Arc::clone(turns);
    tokio::spawn(async move {
        loop {
            turns.another();
            once_each().await;
        }
    })
}

/// Whatever the order, cheap turns do not make dear ones cheap.
#[tokio::test]
async fn calls_that_need_no_turn_have_their_share() {
    let turns = turns();
    let task = calls(&turns);
    turn(&turns, Duration::ZERO).await.unwrap();
    let (mut spent, since) = (Duration::ZERO, Instant::now());
    for nth in 0..40 {
        if nth % 2 == 0 {
            turn(&turns, TURN).await.unwrap();
            spent += TURN;
        } else {
            turn(&turns, Duration::ZERO).await.unwrap();
        }
    }
    turn(&turns, Duration::ZERO).await.unwrap();
    let took = since.elapsed();
    assert!(took >= OTHERS * spent, "{took:?} for {spent:?} of turns");
    task.abort();
}

/// Whatever there is beside them, turns have some of the time: here one round of the others takes as long as fifty turns.
#[tokio::test]
async fn beside_calls_that_need_none_turns_have_a_tenth() {
    let turns = turns();
    turns.expect(100 * PATIENCE);
    let task = tokio::spawn({
        let turns = Arc::clone(&turns);
        async move {
            loop {
                turns.another();
                pass(50 * TURN);
                yield_now().await;
            }
        }
    });
    let asking: Vec<_> = (0..20).map(|_| ask(&turns, || pass(TURN)).unwrap()).collect();
    let since = Instant::now();
    for one in asking {
        one.await.unwrap();
    }
    let took = since.elapsed();
    assert!(took < 15 * 50 * TURN, "{took:?}");
    task.abort();
}

#[tokio::test]
async fn nothing_is_owed_to_calls_that_do_not_come() {
    let turns = turns();
    for _ in 0..20 {
        turn(&turns, TURN).await.unwrap();
    }
    let since = Instant::now();
    let task = calls(&turns);
    turn(&turns, Duration::ZERO).await.unwrap();
    let took = since.elapsed();
    assert!(took < 20 * OTHERS * TURN / 2, "{took:?}");
    task.abort();
}

#[tokio::test]
async fn turns_follow_on_each_other_only_where_no_call_came_lately() {
    let turns = turns();
    assert!(!turns.may_go_on(), "nobody looked yet");
    turn(&turns, Duration::ZERO).await.unwrap();
    assert!(turns.may_go_on());
    turns.another();
    assert!(!turns.may_go_on(), "there is one");
    turn(&turns, Duration::ZERO).await.unwrap();
    assert!(!turns.may_go_on(), "there was one lately");
    pass(LATELY);
    turn(&turns, Duration::ZERO).await.unwrap();
    assert!(turns.may_go_on());
    pass(SLICE);
    assert!(!turns.may_go_on(), "the slice is over");
}
