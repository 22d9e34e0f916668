//! The one way in which suites wait: for a condition, and never for time to pass. Conditions are asked of servers and
//! of other processes, which do not tell when they change; so they are looked at, again and again, until a late end.
#![allow(dead_code, unreachable_pub, reason = "each suite uses a part")]
#![allow(clippy::panic, reason = "tests")]

use std::fmt::Display;
use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior};

/// Nothing takes this long on a machine that is merely busy.
pub const LATE: Duration = Duration::from_secs(30);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// Looks at one condition, with a pause between two looks: `while !holds { looks.again().await }`.
pub struct Looks {
    what: String,
    pause: Interval,
    late: Instant,
}

impl Looks {
    /// Before the first look.
    pub fn at(what: impl Display) -> Self {
        let mut pause = tokio::time::interval(PAUSE);
        pause.set_missed_tick_behavior(MissedTickBehavior::Delay);
        pause.reset();
        Self { what: what.to_string(), pause, late: Instant::now() + LATE }
    }

    /// Until the next look; panics where it was late enough.
    pub async fn again(&mut self) {
        assert!(Instant::now() < self.late, "not in {} s: {}", LATE.as_secs(), self.what);
        self.pause.tick().await;
    }
}

/// Waits until a condition holds that has to be asked for.
pub async fn eventually(what: impl Display, mut holds: impl AsyncFnMut() -> bool) {
    let mut looks = Looks::at(&what);
    let waited = tokio::time::timeout(LATE, async {
        while !holds().await {
            looks.again().await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("not in {} s: {what}", LATE.as_secs()));
}

/// Waits until a condition holds.
pub async fn until(what: impl Display, mut holds: impl FnMut() -> bool) {
    let mut looks = Looks::at(what);
    while !holds() {
        looks.again().await;
    }
}
