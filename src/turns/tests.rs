use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::*;

const NEVER: Duration = Duration::from_secs(3600);

/// Turns whose queue is a burst for so long.
fn turns(standing: Duration, stale: Duration) -> Turns {
    Turns { standing, stale, ..Turns::new(1) }
}

/// Lets time go by, in which nothing else happens.
fn pass(time: Duration) {
    let since = std::time::Instant::now();
    while since.elapsed() < time {
        std::hint::spin_loop();
    }
}

type Asking<'t> = Pin<Box<dyn Future<Output = Result<Turn<'t>, Overloaded>> + 't>>;

/// Asks for a turn, and goes on as far as it gets without waiting for another one's end.
async fn ask(turns: &Turns) -> Asking<'_> {
    let mut asking: Asking<'_> = Box::pin(turns.take());
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
    let turns = turns(NEVER, NEVER);
    let first = turns.take().await.unwrap();
    let (mut second, mut third) = (ask(&turns).await, ask(&turns).await);
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
    let turns = turns(NEVER, NEVER);
    let first = turns.take().await.unwrap();
    let (second, mut third) = (ask(&turns).await, ask(&turns).await);
    drop(second);
    assert_eq!(turns.waiting(), 1);
    drop(first);
    third.as_mut().await.unwrap();
}

#[tokio::test]
async fn a_burst_may_wait() {
    let turns = turns(NEVER, NEVER);
    let mut turn = turns.take().await.unwrap();
    let burst = futures_util::future::join_all((0..50).map(|_| ask(&turns))).await;
    for mut asking in burst {
        drop(turn);
        turn = asking.as_mut().await.unwrap();
    }
}

#[tokio::test]
async fn a_queue_that_stands_lets_few_wait() {
    let mut turns = turns(Duration::from_millis(10), Duration::ZERO);
    let first = turns.take().await.unwrap();
    let mut waiting = futures_util::future::join_all((0..FEW + 3).map(|_| ask(&turns))).await;
    pass(turns.standing);
    assert_eq!(turns.take().await.map(drop), Err(Overloaded));
    // Those who wait too long by now learn it when it is their turn, and the queue empties.
    drop(first);
    for asking in &mut waiting {
        assert_eq!(asking.as_mut().await.map(drop), Err(Overloaded));
    }
    drop(waiting);
    // From here on it is a burst again.
    turns.standing = NEVER;
    let first = turns.take().await.unwrap();
    let mut second = ask(&turns).await;
    drop(first);
    second.as_mut().await.unwrap();
}

#[tokio::test]
async fn in_overload_whoever_is_let_in_is_served() {
    let turns = turns(Duration::ZERO, NEVER);
    let mut turn = turns.take().await.unwrap();
    let mut waiting = std::collections::VecDeque::new();
    let (mut served, mut refused) = (0, 0);
    // Three ask in the time of one turn.
    for _ in 0..1000 {
        for _ in 0..3 {
            let mut asking: Asking<'_> = Box::pin(turns.take());
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
    assert_eq!((served, refused), (1000, 2000 - waiting.len()));
}

#[tokio::test]
async fn others_have_their_share_before_a_turn() {
    let turns = Arc::new(turns(NEVER, NEVER));
    // A turn that takes a while, and always something else to do.
    let others = tokio::spawn(async move {
        loop {
            pass(Duration::from_micros(50));
            yield_now().await;
        }
    });
    let mut gaps = Vec::new();
    let mut ended = None;
    // An idle round, to compare with.
    turns.quickest.store(1000, Ordering::Relaxed);
    for _ in 0..5 {
        let turn = turns.take().await.unwrap();
        gaps.extend(ended.map(|ended| turn.since.duration_since(ended)));
        pass(MOST);
        drop(turn);
        ended = Some(Instant::now());
    }
    others.abort();
    for gap in gaps {
        assert!(gap >= MOST * OTHERS, "{gap:?}");
    }
    // With nothing else to do there is no reason to wait.
    let mut turn = pin!(turns.take());
    let mut polls = 0;
    std::future::poll_fn(|cx| {
        polls += 1;
        turn.as_mut().poll(cx).map(drop)
    })
    .await;
    assert!(polls < 1000, "{polls}");
}
