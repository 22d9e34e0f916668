//! Rows 206 and 217: more connections than there are places, and more than there are descriptors.

use std::fs;
use std::time::Duration;

use tokio::time::Instant;

use crate::gate::Gate;
use crate::wait::{self, Looks};
use crate::wire::{Wire, serves};

/// Most descriptors that this process may open.
fn most_descriptors() -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    line.split_whitespace().nth(3).unwrap().parse().unwrap_or(usize::MAX)
}

/// How many connections a crowd is: ten thousand, or as many as this process may have beside the other tests' own.
fn crowd() -> usize {
    let crowd = 10_000.min(most_descriptors().saturating_sub(800));
    if crowd < 10_000 {
        eprintln!("{crowd} connections instead of 10000: `ulimit -n` allows no more");
    }
    assert!(crowd >= 200, "`ulimit -n` of at least 1000 is needed");
    crowd
}

/// Runs the gate with as many descriptors as it may have at most, and not the usual number.
const UNLIMITED: [&str; 3] = ["sh", "-c", "ulimit -n $(ulimit -Hn); exec \"$0\" \"$@\""];

#[tokio::test]
async fn row_217_ten_thousand_idle_connections_cost_little_each() {
    let gate = Gate::start_with("limits: { max_connections: 20000 }", &UNLIMITED).await;
    let (memory, descriptors) = (gate.memory(), gate.descriptors());
    let mut idle = Vec::new();
    for _ in 0..crowd() {
        idle.push(Wire::greet(gate.address).await);
    }
    let each = (gate.memory() - memory) / idle.len() as u64;
    assert!(each <= 64, "{each} kB for each");
    // Nobody is in anybody's way, and who has been idle is still served.
    serves(gate.address).await;
    let (first, last) = (0, idle.len() - 1);
    for number in [first, last / 2, last] {
        idle[number].answers(1).await;
    }
    // They cost no time, either.
    let (ticks, begun) = (gate.ticks(), Instant::now());
    wait::until("half a second is over", || begun.elapsed() >= Duration::from_millis(500)).await;
    let ticks = gate.ticks() - ticks;
    assert!(ticks <= 15, "{ticks} ticks of 50");
    drop(idle);
    wait::until("their descriptors are free", || gate.descriptors() <= descriptors).await;
    serves(gate.address).await;
}

/// With far fewer places than peers: those who are in stay in, those who are not are told at once.
#[tokio::test]
async fn row_217_a_crowd_before_a_full_house_is_turned_away() {
    let gate = Gate::start_with("limits: { max_connections: 100 }", &[]).await;
    let (before, descriptors) = (gate.memory(), gate.descriptors());
    wait::until("all places are free", || gate.descriptors() <= descriptors).await;
    let mut inside = Vec::new();
    for _ in 0..100 {
        inside.push(Wire::greet(gate.address).await);
    }
    for _ in 0..crowd() {
        assert_eq!(Wire::connect(gate.address).await.last_words().await, None);
    }
    for wire in &mut inside {
        wire.answers(1).await;
    }
    assert!(gate.descriptors() <= descriptors + 100);
    // One line tells of all of them, or a few.
    let told = gate.lines("there are too many").len();
    assert!((1..=20).contains(&told), "{told} lines");
    inside.pop();
    let mut looks = Looks::at("there is a place again");
    loop {
        let mut wire = Wire::connect(gate.address).await;
        let sent = wire.try_send(&[crate::wire::PREFACE, &crate::wire::settings(&[])].concat()).await;
        if sent.is_ok() && wire.next().await.is_some() {
            break;
        }
        looks.again().await;
    }
    drop(inside);
    wait::until("the places are free", || gate.descriptors() <= descriptors).await;
    gate.stands(before).await;
}

/// Out of descriptors, the gate serves those who are in, waits without haste, and takes the others when it can.
#[tokio::test]
async fn row_206_running_out_of_descriptors_ends_nothing() {
    let gate = Gate::start_with("", &["sh", "-c", "ulimit -n 64; exec \"$0\" \"$@\""]).await;
    let before = gate.memory();
    let mut inside = Wire::greet(gate.address).await;
    let mut crowd = Vec::new();
    for _ in 0..200 {
        // The system accepts them for the gate.
        crowd.push(Wire::connect(gate.address).await);
    }
    wait::until("it has run out", || !gate.lines("cannot accept connections").is_empty()).await;
    let (ticks, begun) = (gate.ticks(), Instant::now());
    let (mut stream, mut looks) = (1, Looks::at("a second is over"));
    while begun.elapsed() < Duration::from_secs(1) {
        inside.answers(stream).await;
        stream += 2;
        looks.again().await;
    }
    let ticks = gate.ticks() - ticks;
    assert!(ticks <= 50, "{ticks} ticks of 100: it spins");
    let told = gate.lines("cannot accept connections").len();
    assert!(told <= 3, "{told} lines");
    drop(crowd);
    gate.stands(before).await;
    inside.answers(stream).await;
}
