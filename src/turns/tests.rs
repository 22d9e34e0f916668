use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tokio::task::JoinHandle;

use super::*;

/// What a signature takes, about.
const TURN: Duration = Duration::from_micros(200);

/// Lets time go by, in which nothing else happens.
fn pass(time: Duration) {
    let since = std::time::Instant::now();
    while since.elapsed() < time {
        std::hint::spin_loop();
    }
}

type Asking<'t> = Pin<Box<dyn Future<Output = Result<Turn<'t>, Overloaded>> + 't>>;

/// Asks for a turn, and goes on as far as it gets without waiting for another one's end: into the queue, or to be refused.
fn ask(turns: &Turns) -> Result<Asking<'_>, Overloaded> {
    let mut asking: Asking<'_> = Box::pin(turns.take());
    // One to leave the connection's task, and then the queue: polled without its turn nothing more happens.
    assert!(poll(&mut asking).is_none());
    match poll(&mut asking) {
        None => Ok(asking),
        Some(outcome) => outcome.map(|_| panic!("a place was free")),
    }
}

fn poll<'t>(asking: &mut Asking<'t>) -> Option<Result<Turn<'t>, Overloaded>> {
    match asking.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => Some(done),
        Poll::Pending => None,
    }
}

fn ask_all(turns: &Turns, count: usize) -> VecDeque<Asking<'_>> {
    (0..count).map(|_| ask(turns).unwrap()).collect()
}

/// Turns that are in overload from now on.
async fn pressed(turns: &Turns) -> Turn<'_> {
    let first = turns.take().await.unwrap();
    let mut waiting = ask_all(turns, 3);
    pass(PATIENCE / LONG);
    drop(first);
    let second = waiting.pop_front().unwrap().await.unwrap();
    pass(PATIENCE / LASTING);
    drop(second);
    let third = waiting.pop_front().unwrap().await.unwrap();
    assert!(turns.is_pressed(turns.now()));
    third
}

#[tokio::test]
async fn turns_come_one_by_one_in_order() {
    let turns = Turns::new(1);
    let first = turns.take().await.unwrap();
    let (mut second, mut third) = (ask(&turns).unwrap(), ask(&turns).unwrap());
    assert_eq!(turns.waiting(), 2);
    assert!(poll(&mut third).is_none());
    drop(first);
    let second = second.as_mut().await.unwrap();
    assert_eq!(turns.waiting(), 1);
    assert!(poll(&mut third).is_none());
    drop(second);
    third.as_mut().await.unwrap();
    assert_eq!(turns.waiting(), 0);
}

#[tokio::test]
async fn a_place_in_the_queue_can_be_given_up() {
    let turns = Turns::new(1);
    let first = turns.take().await.unwrap();
    let (second, mut third) = (ask(&turns).unwrap(), ask(&turns).unwrap());
    drop(second);
    assert_eq!(turns.waiting(), 1);
    drop(first);
    third.as_mut().await.unwrap();
}

/// So many callers ask again as soon as they were served: the queue is never empty, for a long time.
#[tokio::test]
async fn any_number_may_wait_where_nobody_waits_long() {
    let turns = Turns::new(1);
    let mut turn = turns.take().await.unwrap();
    let mut waiting = ask_all(&turns, 4 * FEW);
    let since = Instant::now();
    while since.elapsed() < PATIENCE {
        pass(TURN);
        drop(turn);
        turn = waiting.pop_front().unwrap().await.unwrap();
        waiting.push_back(ask(&turns).unwrap());
    }
}

#[tokio::test]
async fn a_burst_that_waited_long_and_is_served_quickly_is_no_overload() {
    let turns = Turns::new(1);
    let first = turns.take().await.unwrap();
    let waiting = ask_all(&turns, 2 * FEW);
    pass(PATIENCE / 2);
    drop(first);
    for asking in waiting {
        drop(asking.await.unwrap());
    }
}

/// Where decisions have much time, so have those that wait for a turn.
#[tokio::test]
async fn what_is_long_is_a_part_of_what_decisions_have() {
    let turns = Turns::new(1);
    turns.expect(100 * PATIENCE);
    let first = turns.take().await.unwrap();
    let mut waiting = ask_all(&turns, 2 * FEW);
    pass(PATIENCE / LONG);
    drop(first);
    let turn = waiting.pop_front().unwrap().await.unwrap();
    pass(PATIENCE / LASTING);
    drop(turn);
    for asking in waiting {
        drop(asking.await.unwrap());
    }
}

#[tokio::test]
async fn one_who_did_not_wait_long_says_that_not_everybody_does() {
    let turns = Turns::new(1);
    for between in [true, false] {
        let first = turns.take().await.unwrap();
        let mut late = ask(&turns).unwrap();
        pass(PATIENCE / LONG);
        let mut soon = between.then(|| ask(&turns).unwrap());
        drop(first);
        drop(late.as_mut().await.unwrap());
        if let Some(soon) = &mut soon {
            drop(soon.as_mut().await.unwrap());
        }
        assert_eq!(turns.long_since.is_set(), !between);
    }
    // Nor does everybody wait where somebody need not.
    drop(turns.take().await.unwrap());
    assert!(!turns.long_since.is_set());
}

#[tokio::test]
async fn where_everybody_waits_long_few_may_wait_and_none_for_long() {
    let turns = Turns::new(1);
    let first = turns.take().await.unwrap();
    let mut waiting = ask_all(&turns, FEW + 3);
    pass(PATIENCE / LONG);
    drop(first);
    // Two of them are served, late as they are, the second one some time after the first.
    let turn = waiting.pop_front().unwrap().await.unwrap();
    pass(PATIENCE / LASTING);
    drop(turn);
    drop(waiting.pop_front().unwrap().await.unwrap());
    // The others waited too long by then, and learn it when it is their turn.
    for asking in waiting {
        assert_eq!(asking.await.map(drop), Err(Overloaded));
    }
    let _turn = turns.take().await.unwrap();
    let _few = ask_all(&turns, FEW);
    assert_eq!(ask(&turns).map(drop), Err(Overloaded));
}

#[tokio::test]
async fn in_overload_whoever_is_let_in_is_served() {
    let turns = Turns::new(1);
    let mut turn = pressed(&turns).await;
    let mut waiting = VecDeque::new();
    let (mut served, mut refused) = (0, 0);
    // Three ask in the time of one turn, for longer than overload lasts by itself.
    let since = Instant::now();
    while since.elapsed() < PATIENCE {
        for _ in 0..3 {
            match ask(&turns) {
                Ok(asking) => waiting.push_back(asking),
                Err(Overloaded) => refused += 1,
            }
        }
        pass(TURN);
        drop(turn);
        turn = waiting.pop_front().unwrap().await.unwrap();
        served += 1;
        assert!(waiting.len() <= FEW);
    }
    assert!(refused >= 2 * served - FEW, "{served} served, {refused} refused");
}

/// More than a few at once, again and again, and nobody in between.
#[tokio::test]
async fn bursts_do_not_keep_an_overload_up() {
    let turns = Turns::new(1);
    drop(pressed(&turns).await);
    let since = Instant::now();
    let mut refused = 0;
    while since.elapsed() < 2 * PATIENCE {
        let turn = turns.take().await.unwrap();
        let burst: Vec<_> = (0..2 * FEW).map(|_| ask(&turns)).collect();
        drop(turn);
        for asking in burst {
            let outcome = match asking {
                Ok(asking) => asking.await.map(drop),
                Err(error) => Err(error),
            };
            refused += usize::from(outcome.is_err());
        }
        if !turns.is_pressed(turns.now()) {
            assert!(refused > 0);
            return;
        }
        pass(Duration::from_millis(1));
    }
    panic!("it lasts for ever");
}

/// A task that runs in each round, as calls do that need no turn; and the rounds that it counts.
fn rounds(turns: &Arc<Turns>, calls_come: bool) -> (Arc<AtomicU64>, JoinHandle<()>) {
    let (turns, count) = (Arc::clone(turns), Arc::new(AtomicU64::new(0)));
    let counted = Arc::clone(&count);
    let task = tokio::spawn(async move {
        loop {
            counted.fetch_add(1, Ordering::Relaxed);
            if calls_come {
                turns.another();
            }
            yield_now().await;
        }
    });
    (count, task)
}

/// Whatever the order, cheap turns do not make dear ones cheap.
#[tokio::test]
async fn calls_that_need_no_turn_have_their_share() {
    let turns = Arc::new(Turns::new(1));
    let (calls, task) = rounds(&turns, true);
    drop(turns.take().await.unwrap());
    let (mut spent, before) = (0, calls.load(Ordering::Relaxed));
    for nth in 0..40 {
        let turn = turns.take().await.unwrap();
        if nth % 2 == 0 {
            pass(TURN);
            spent += as_nanos(TURN);
        }
        drop(turn);
    }
    drop(turns.take().await.unwrap());
    let came = calls.load(Ordering::Relaxed) - before;
    assert!(came >= OTHERS * spent / CALL, "{came} calls beside {spent} ns of turns");
    task.abort();
}

#[tokio::test]
async fn nothing_is_owed_to_calls_that_do_not_come() {
    let turns = Arc::new(Turns::new(1));
    let (rounds, task) = rounds(&turns, false);
    for _ in 0..20 {
        let turn = turns.take().await.unwrap();
        pass(TURN);
        drop(turn);
    }
    let rounds = rounds.load(Ordering::Relaxed);
    assert!(rounds < 100, "{rounds} rounds");
    task.abort();
}

#[tokio::test]
async fn turns_follow_on_each_other_only_where_no_call_came_lately() {
    let turns = Arc::new(Turns::new(1));
    let (rounds, task) = rounds(&turns, false);
    let looked = async || {
        let before = rounds.load(Ordering::Relaxed);
        drop(turns.take().await.unwrap());
        // One round to leave the connection's task, and more to see who is there.
        rounds.load(Ordering::Relaxed) - before > 1
    };
    assert!(looked().await);
    turns.another();
    assert!(looked().await, "there was one");
    assert!(looked().await, "there had been one lately");
    pass(LATELY);
    // From here on it may go on at once, unless a slice goes by before it does.
    let mut tries = 0;
    while looked().await {
        tries += 1;
        assert!(tries < 1000, "it always looks");
    }
    pass(SLICE);
    assert!(looked().await, "the slice was over");
    task.abort();
}
