mod overload;
mod trial;

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::task::{JoinHandle, yield_now};

use super::pressure::PATIENCE;
use super::taker::{LATELY, OTHERS, SLICE, once_each};
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

#[tokio::test]
async fn a_look_around_ends_where_there_is_always_more_to_do() {
    let turns = turns();
    let mut looks = 0;
    // The machine may have been busy with something else.
    while !turns.look_around().await {
        looks += 1;
        assert!(looks < 10, "nobody else is there");
    }
    let busy = tokio::spawn(async {
        loop {
            pass(TURN);
            once_each().await;
        }
    });
    assert!(!turns.look_around().await, "not all of it was seen");
    busy.abort();
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
    // They leave when they are dropped.
    turns.queue().takers = 2;
    let mut taker = Taker::new(Arc::clone(&turns));
    assert!(!taker.may_go_on(), "nobody looked yet");
    taker.let_others_go_first(Duration::ZERO).await;
    assert!(taker.may_go_on());
    turns.another();
    assert!(!taker.may_go_on(), "there is one");
    taker.let_others_go_first(Duration::ZERO).await;
    assert!(!taker.may_go_on(), "there was one lately");
    pass(LATELY);
    taker.let_others_go_first(Duration::ZERO).await;
    assert!(taker.may_go_on());
    assert!(!Taker::new(Arc::clone(&turns)).may_go_on(), "each has a slice of its own");
    pass(SLICE);
    assert!(!taker.may_go_on(), "the slice is over");
}
