//! The gate's histogram of its own decisions.

use std::net::SocketAddr;

use anyhow::Context as _;
use tollgate::demo::client::Call;

const BUCKET: &str = "tollgate_decision_duration_seconds_bucket{le=\"";

/// Decisions by the time that they took, cumulative.
#[derive(Clone, Debug, Default)]
pub(super) struct Durations {
    /// Upper bound in seconds, and decisions up to it.
    buckets: Vec<(f64, u64)>,
}

impl Durations {
    /// Those of the gate whose probes listener is there.
    pub(super) async fn read(probes: SocketAddr) -> anyhow::Result<Self> {
        Self::parse(&Call::get("gate", "/metrics").send(probes).await?.text())
    }

    /// What was decided after `before`.
    pub(super) fn since(mut self, before: &Self) -> Self {
        for (bucket, earlier) in self.buckets.iter_mut().zip(&before.buckets) {
            bucket.1 -= earlier.1;
        }
        self
    }

    /// The bound of the bucket that holds this quantile, in milliseconds: it is not above.
    pub(super) fn quantile_ms(&self, quantile: f64) -> Option<f64> {
        let all = self.buckets.last()?.1;
        let wanted = (quantile * all as f64).ceil() as u64;
        let bucket = self.buckets.iter().find(|bucket| bucket.1 >= wanted && all > 0)?;
        Some(bucket.0 * 1e3)
    }

    fn parse(metrics: &str) -> anyhow::Result<Self> {
        let unreadable = "a histogram that cannot be read";
        let mut buckets: Vec<(f64, u64)> = Vec::new();
        for line in metrics.lines().filter_map(|line| line.strip_prefix(BUCKET)) {
            let (bound, rest) = line.split_once('"').context(unreadable)?;
            let (_, count) = rest.rsplit_once(' ').context(unreadable)?;
            let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().context(unreadable)? };
            let count: u64 = count.parse().context(unreadable)?;
            // Whatever the work was.
            match buckets.iter_mut().find(|(other, _)| *other == bound) {
                Some((_, sum)) => *sum += count,
                None => buckets.push((bound, count)),
            }
        }
        Ok(Self { buckets })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_the_bound_of_its_bucket() {
        let line = |bound: &str, count: u64| {
            let (one, rest) = (count / 3, count - count / 3);
            format!("{BUCKET}{bound}\",work=\"none\"}} {one}\n{BUCKET}{bound}\",work=\"cached\"}} {rest}\n")
        };
        let text = |counts: [u64; 3]| line("0.00005", counts[0]) + &line("0.01", counts[1]) + &line("+Inf", counts[2]);
        let before = Durations::parse(&text([10, 10, 10])).unwrap();
        let seen = Durations::parse(&text([108, 109, 110])).unwrap().since(&before);
        assert_eq!(seen.quantile_ms(0.98), Some(0.05));
        assert_eq!(seen.quantile_ms(0.99), Some(10.0));
        assert_eq!(seen.quantile_ms(1.0), Some(f64::INFINITY));
        assert_eq!(Durations::default().quantile_ms(0.5), None);
        assert_eq!(before.clone().since(&before).quantile_ms(0.5), None);
    }
}
