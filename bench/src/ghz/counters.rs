//! The gate's own counters, as `/metrics` shows them.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::ensure;
use tollgate::demo::client::Call;

const DECISIONS: &str = "tollgate_decisions_total";
const LOOKUPS: &str = "tollgate_token_cache_lookups_total";

/// Counters at one time, or between two.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// By name and labels, as they are written.
    samples: BTreeMap<String, u64>,
}

impl Counters {
    /// Those of the gate whose probes listener is there.
    pub(crate) async fn read(probes: SocketAddr) -> anyhow::Result<Self> {
        let reply = Call::get("gate", "/metrics").send(probes).await?;
        ensure!(reply.status == 200, "/metrics answers {}", reply.status);
        Ok(Self::parse(&reply.text()))
    }

    /// What was counted after `before`.
    pub(crate) fn since(&self, before: &Self) -> Self {
        let earlier = |sample: &String| before.samples.get(sample).copied().unwrap_or_default();
        let samples = self.samples.iter().map(|(sample, count)| (sample.clone(), count - earlier(sample))).collect();
        Self { samples }
    }

    /// All decisions.
    pub(crate) fn decisions(&self) -> u64 {
        self.sum(DECISIONS, &[])
    }

    /// Those with an outcome and a reason.
    pub(crate) fn decisions_for(&self, outcome: &str, reason: &str) -> u64 {
        self.sum(DECISIONS, &[("outcome", outcome), ("reason", reason)])
    }

    /// What was decided at all: outcome, reason, count.
    pub(crate) fn outcomes(&self) -> Vec<(String, String, u64)> {
        let mut found = BTreeMap::new();
        for (sample, count) in self.samples.iter().filter(|(sample, _)| sample.starts_with(DECISIONS)) {
            if let (Some(outcome), Some(reason)) = (label(sample, "outcome"), label(sample, "reason")) {
                *found.entry((outcome, reason)).or_default() += count;
            }
        }
        found.into_iter().map(|((outcome, reason), count)| (outcome.to_owned(), reason.to_owned(), count)).collect()
    }

    /// Look-ups in the cache of tokens, `hit` or `miss`.
    pub(crate) fn lookups(&self, result: &str) -> u64 {
        self.sum(LOOKUPS, &[("result", result)])
    }

    fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| line.starts_with(DECISIONS) || line.starts_with(LOOKUPS));
        let samples = lines.filter_map(|line| {
            let (sample, count) = line.rsplit_once(' ')?;
            Some((sample.to_owned(), count.parse().ok()?))
        });
        Self { samples: samples.collect() }
    }

    /// Of every rule and issuer.
    fn sum(&self, family: &str, labels: &[(&str, &str)]) -> u64 {
        let fits = |sample: &str| {
            sample.split('{').next() == Some(family)
                && labels.iter().all(|(name, value)| label(sample, name) == Some(*value))
        };
        self.samples.iter().filter(|(sample, _)| fits(sample)).map(|(_, count)| count).sum()
    }
}

/// A label's value. Values that are of interest hold no quotes and no commas.
fn label<'a>(sample: &'a str, name: &str) -> Option<&'a str> {
    let labels = sample.split_once('{')?.1.trim_end_matches('}');
    labels.split(',').find_map(|label| label.strip_prefix(name)?.strip_prefix("=\"")?.strip_suffix('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_summed_over_rules() {
        let before = Counters::parse("tollgate_decisions_total{rule=\"a\",outcome=\"allow\",reason=\"allowed\"} 5\n");
        let after = Counters::parse(
            "# TYPE tollgate_decisions_total counter\n\
             tollgate_decisions_total{rule=\"a\",outcome=\"allow\",reason=\"allowed\"} 7\n\
             tollgate_decisions_total{rule=\"b\",outcome=\"allow\",reason=\"allowed\"} 1\n\
             tollgate_decisions_total{rule=\"-\",outcome=\"deny\",reason=\"missing_token\"} 4\n\
             tollgate_token_cache_lookups_total{issuer=\"d\",result=\"hit\"} 9\n\
             tollgate_checks_in_flight 3\n",
        );
        let counted = after.since(&before);
        assert_eq!(counted.decisions(), 7);
        assert_eq!(counted.decisions_for("allow", "allowed"), 3);
        assert_eq!(counted.decisions_for("deny", "allowed"), 0);
        let outcomes = counted.outcomes();
        assert_eq!(outcomes.last(), Some(&("deny".to_owned(), "missing_token".to_owned(), 4)), "{outcomes:?}");
        assert_eq!((counted.lookups("hit"), counted.lookups("miss")), (9, 0));
    }
}
