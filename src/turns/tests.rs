use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::*;

/// The patience of callers to whom no queue is too long.
const ENDLESS: Duration = Duration::from_secs(3600);

/// Lets time go by, in which nothing else happens.
fn pass(time: Duration) {
    let since = std::time::Instant::now();
    while since.elapsed() < time {
        std::hint::spin_loop();
    }
}

type Asking<'t> = Pin<Box<dyn Future<Output = Result<Turn<'t>, Overloaded>> + 't>>;

/// Asks for a turn, and goes on as far as it gets without waiting for another one's end.
async fn ask(turns: &Turns, patience: Duration) -> Asking<'_> {
    let mut asking: Asking<'_> = Box::pin(turns.take(patience));
    // One to leave the connection's task, and then the queue: polled without its turn nothing more happens.
    for _ in 0..2 {
        assert!(poll(&mut asking).is_none());
    }
    asking
}

fn poll<'t>(asking: &mut Asking<'t>) -> Option<Result<Turn<'t>, Overloaded>> {
    match asking.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => Some(done),
        Poll::Pending => None,
    }
}

#[tokio::test]
async fn turns_come_one_by_one_in_order() {
    let turns = Turns::new(1);
    let first = turns.take(ENDLESS).await.unwrap();
    let (mut second, mut third) = (ask(&turns, ENDLESS).await, ask(&turns, ENDLESS).await);
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
    let first = turns.take(ENDLESS).await.unwrap();
    let (second, mut third) = (ask(&turns, ENDLESS).await, ask(&turns, ENDLESS).await);
    drop(second);
    assert_eq!(turns.waiting(), 1);
    drop(first);
    third.as_mut().await.unwrap();
}

#[tokio::test]
async fn any_number_may_wait_where_nobody_waits_long() {
    let turns = Turns::new(1);
    let mut turn = turns.take(ENDLESS).await.unwrap();
    // So many callers ask again as soon as they were served: the queue is never empty.
    let mut waiting = std::collections::VecDeque::new();
    for _ in 0..4 * FEW {
        waiting.push_back(ask(&turns, ENDLESS).await);
    }
    for _ in 0..1000 {
        drop(turn);
        turn = waiting.pop_front().unwrap().as_mut().await.unwrap();
        waiting.push_back(ask(&turns, ENDLESS).await);
    }
}

#[tokio::test]
async fn a_burst_that_waited_long_and_is_served_quickly_is_no_overload() {
    let turns = Turns::new(1);
    let patience = Duration::from_millis(400);
    let first = turns.take(patience).await.unwrap();
    let waiting = futures_util::future::join_all((0..2 * FEW).map(|_| ask(&turns, patience))).await;
    pass(patience.mul_f32(LONG + LASTING));
    drop(first);
    for mut asking in waiting {
        drop(asking.as_mut().await.unwrap());
    }
}

#[tokio::test]
async fn where_everybody_waits_long_few_may_wait_until_nobody_was_refused_for_a_while() {
    let turns = Turns::new(1);
    let patience = Duration::from_millis(400);
    let first = turns.take(patience).await.unwrap();
    let mut waiting = futures_util::future::join_all((0..FEW + 3).map(|_| ask(&turns, patience))).await.into_iter();
    pass(patience.mul_f32(LONG));
    drop(first);
    // Two of them are served, late as they are, the second one some time after the first.
    let turn = waiting.next().unwrap().as_mut().await.unwrap();
    pass(patience.mul_f32(LASTING));
    drop(turn);
    drop(waiting.next().unwrap().as_mut().await.unwrap());
    // The others waited too long by then, and learn it when it is their turn.
    for mut asking in waiting {
        assert_eq!(asking.as_mut().await.map(drop), Err(Overloaded));
    }
    let turn = turns.take(patience).await.unwrap();
    let few = futures_util::future::join_all((0..FEW).map(|_| ask(&turns, patience))).await;
    assert_eq!(turns.take(patience).await.map(drop), Err(Overloaded));
    // After a while without a refusal it is as it was.
    pass(patience.mul_f32(QUIET));
    let more = ask(&turns, patience).await;
    assert_eq!(turns.waiting(), FEW + 1);
    drop((turn, few, more));
}

#[tokio::test]
async fn in_overload_whoever_is_let_in_is_served() {
    let hour = Duration::from_secs(3600);
    let turns = Turns::new(1);
    let mut turn = turns.take(hour).await.unwrap();
    let mut waiting = std::collections::VecDeque::from([ask(&turns, hour).await]);
    turns.press(Instant::now());
    let (mut served, mut refused) = (0, 0);
    // Three ask in the time of one turn.
    for _ in 0..1000 {
        for _ in 0..3 {
            let mut asking: Asking<'_> = Box::pin(turns.take(hour));
            assert!(poll(&mut asking).is_none());
            match poll(&mut asking) {
                None => waiting.push_back(asking),
                Some(outcome) => {
                    assert_eq!(outcome.map(drop), Err(Overloaded));
                    refused += 1;
                }
            }
        }
        drop(turn);
        turn = waiting.pop_front().unwrap().as_mut().await.unwrap();
        served += 1;
        assert!(waiting.len() <= FEW);
    }
    assert_eq!((served, refused), (1000, 2001 - waiting.len()));
}

/// How often another task runs before a turn begins, while calls that need none come all the time, or none do.
async fn rounds_before_a_turn(cost: u64, calls_come: bool) -> u64 {
    let turns = Arc::new(Turns { cost: AtomicU64::new(cost), ..Turns::new(1) });
    let others = tokio::spawn({
        let turns = Arc::clone(&turns);
        async move {
            loop {
                if calls_come {
                    turns.another();
                }
                yield_now().await;
            }
        }
    });
    drop(turns.take(ENDLESS).await.unwrap());
    others.abort();
    turns.others.load(Ordering::Relaxed)
}

#[tokio::test]
async fn calls_that_need_no_turn_have_their_share_before_one() {
    for cost in [CALL, 10 * CALL] {
        let (share, calls) = (OTHERS * cost / CALL, rounds_before_a_turn(cost, true).await);
        assert!((share..share + 3).contains(&calls), "{calls} before a turn that costs as much as {cost} ns");
    }
    // With none of them there is no reason to wait.
    assert_eq!(rounds_before_a_turn(10 * CALL, false).await, 0);
}

#[tokio::test]
async fn turns_follow_on_each_other_only_while_there_are_no_others() {
    let turns = Arc::new(Turns::new(1));
    let rounds = Arc::new(AtomicU64::new(0));
    let counting = tokio::spawn({
        let rounds = Arc::clone(&rounds);
        async move {
            loop {
                rounds.fetch_add(1, Ordering::Relaxed);
                yield_now().await;
            }
        }
    });
    let looked = async |calls: bool| {
        if calls {
            turns.another();
        }
        let before = rounds.load(Ordering::Relaxed);
        drop(turns.take(ENDLESS).await.unwrap());
        rounds.load(Ordering::Relaxed) - before
    };
    // One round to leave the connection's task, and more to see who is there.
    assert!(looked(false).await > 1);
    assert!(looked(true).await > 1, "there was another one");
    assert!(looked(false).await > 1, "there had been another one");
    // From here on it may go on at once, unless half a millisecond goes by before it does.
    let mut tries = 0;
    while looked(false).await > 1 {
        tries += 1;
        assert!(tries < 1000, "it always looks");
    }
    // Until that time is over.
    pass(Duration::from_nanos(SLICE));
    assert!(looked(false).await > 1);
    counting.abort();
}
