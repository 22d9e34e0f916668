//! How many decisions there were, by rule and reason.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::{MetricType, TypedMetric};

use super::metrics::Labels;
use super::names::ByName;
use crate::core::reason::Reason;

/// The `rule` label of answers that no rule had a part in.
pub(super) const NO_RULE: &str = "-";

/// Counts decisions. Clones share their counts.
#[derive(Clone, Debug)]
pub(super) struct Decisions(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Of ten thousand rules one or two share a chain.
    rules: ByName<Counts, 8192>,
    no_rule: Arc<str>,
}

/// What was decided by one rule. Most of it is allowed, and most rules see few reasons: so that the counts of many rules
/// are close together, those of the others are kept apart.
#[derive(Debug, Default)]
struct Counts {
    allowed: AtomicU64,
    others: OnceLock<Box<[AtomicU64; Reason::ALL.len()]>>,
}

impl Default for Decisions {
    fn default() -> Self {
        Self(Arc::new(Inner { rules: ByName::default(), no_rule: NO_RULE.into() }))
    }
}

impl Decisions {
    /// Counts one.
    pub(super) fn count(&self, rule: Option<&Arc<str>>, reason: Reason) {
        let rule = rule.unwrap_or(&self.0.no_rule);
        let counts = self.0.rules.get(rule, || (Arc::clone(rule), Counts::default()));
        if let Some(count) = counts.and_then(|counts| counts.of(reason)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Decisions {
    /// How many there were for each reason, in the order of [`Reason::ALL`].
    pub(super) fn by_reason(&self) -> Vec<(Reason, u64)> {
        let mut totals: Vec<(Reason, u64)> = Reason::ALL.iter().map(|reason| (*reason, 0)).collect();
        for (_, counts) in self.0.rules.iter() {
            for (reason, count) in counts.seen() {
                if let Some((_, total)) = totals.get_mut(reason as usize) {
                    *total += count;
                }
            }
        }
        totals
    }
}

impl Counts {
    fn of(&self, reason: Reason) -> Option<&AtomicU64> {
        if reason == Reason::Allowed {
            return Some(&self.allowed);
        }
        self.others.get_or_init(|| Box::new([const { AtomicU64::new(0) }; Reason::ALL.len()])).get(reason as usize)
    }

    fn seen(&self) -> impl Iterator<Item = (Reason, u64)> {
        let others = Reason::ALL.iter().zip(self.others.get().into_iter().flat_map(|others| others.iter()));
        let others = others.map(|(reason, count)| (*reason, count));
        let all = others.chain([(Reason::Allowed, &self.allowed)]);
        all.map(|(reason, count)| (reason, count.load(Ordering::Relaxed))).filter(|(_, count)| *count > 0)
    }
}

impl TypedMetric for Decisions {
    const TYPE: MetricType = MetricType::Counter;
}

impl EncodeMetric for Decisions {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        for (rule, counts) in self.0.rules.iter() {
            for (reason, count) in counts.seen() {
                encoder.encode_family(&labels(rule, reason))?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
            }
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }

    fn is_empty(&self) -> bool {
        self.0.rules.iter().all(|(_, counts)| counts.seen().next().is_none())
    }
}

fn labels(rule: &Arc<str>, reason: Reason) -> Labels<3> {
    let outcome = if reason.allows() { "allow" } else { "deny" };
    [("rule", Arc::clone(rule)), ("outcome", outcome.into()), ("reason", reason.code().into())]
}
