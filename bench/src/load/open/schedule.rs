//! When each call is due.

use std::time::Duration;

use super::Phase;

/// One call that is to be made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Due {
    pub(super) phase: usize,
    pub(super) stream: usize,
    /// From the start of the run.
    pub(super) at: Duration,
}

/// Calls are evenly spaced within a phase, the streams of a phase out of step with each other.
#[derive(Debug)]
pub(super) struct Schedule<'a> {
    phases: &'a [Phase],
    ends: Vec<Duration>,
    phase: usize,
    /// Calls of this phase that were handed out, for each stream.
    given: Vec<u64>,
}

impl<'a> Schedule<'a> {
    pub(super) fn new(phases: &'a [Phase]) -> Self {
        let mut end = Duration::ZERO;
        let ends = phases.iter().map(|phase| {
            end += phase.lasts;
            end
        });
        let streams = phases.iter().map(|phase| phase.rates.len()).max().unwrap_or(0);
        Self { phases, ends: ends.collect(), phase: 0, given: vec![0; streams] }
    }

    /// When a phase ends, from the start of the run.
    pub(super) fn end_of(&self, phase: usize) -> Duration {
        self.ends[phase]
    }

    /// Hands out every call that is due by now, in the order of each stream.
    pub(super) fn until(&mut self, now: Duration, mut take: impl FnMut(Due)) {
        while let Some(phase) = self.phases.get(self.phase) {
            let start = self.ends[self.phase] - phase.lasts;
            for (stream, rate) in phase.rates.iter().enumerate() {
                if *rate <= 0.0 {
                    continue;
                }
                let offset = stream as f64 / phase.rates.len() as f64;
                loop {
                    let at = start + Duration::from_secs_f64((self.given[stream] as f64 + offset) / rate);
                    if at > now || at >= self.ends[self.phase] {
                        break;
                    }
                    take(Due { phase: self.phase, stream, at });
                    self.given[stream] += 1;
                }
            }
            if now < self.ends[self.phase] {
                return;
            }
            self.phase += 1;
            self.given.fill(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(phases: &[Phase], step: Duration) -> Vec<Due> {
        let (mut schedule, mut all) = (Schedule::new(phases), Vec::new());
        let end = schedule.end_of(phases.len() - 1);
        let mut now = Duration::ZERO;
        while now <= end + step {
            schedule.until(now, |due| {
                assert!(due.at <= now, "handed out before it was due");
                all.push(due);
            });
            now += step;
        }
        all
    }

    #[test]
    fn as_many_calls_as_the_rates_say_however_seldom_one_looks() {
        let second = Duration::from_secs(1);
        let phases =
            [Phase { lasts: second, rates: vec![1000.0, 10.0] }, Phase { lasts: 2 * second, rates: vec![500.0, 0.0] }];
        for step in [Duration::from_millis(1), Duration::from_millis(700), 10 * second] {
            let all = all(&phases, step);
            let count = |phase, stream| all.iter().filter(|due| due.phase == phase && due.stream == stream).count();
            assert_eq!((count(0, 0), count(0, 1), count(1, 0), count(1, 1)), (1000, 10, 1000, 0), "{step:?}");
        }
    }

    #[test]
    fn calls_are_evenly_spaced_from_the_start_of_their_phase() {
        let phases = super::super::steady(&[Duration::from_secs(1), Duration::from_secs(1)], &[4.0]);
        let at: Vec<u128> = all(&phases, Duration::from_secs(3)).iter().map(|due| due.at.as_millis()).collect();
        assert_eq!(at, [0, 250, 500, 750, 1000, 1250, 1500, 1750]);
    }
}
