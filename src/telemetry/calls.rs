//! Who calls whom: how many Checks of each caller were answered, by rule.
//!
//! A caller is told by what was verified: the SPIFFE id of the peer, else the service or client of the token. Subjects
//! never are. Callers cannot make up names, but may be many: so many are told apart, and what is beyond is `other`.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::{MetricType, TypedMetric};

use super::decisions::NO_RULE;
use super::metrics::Labels;
use super::names::ByName;
use crate::core::answer::Answer;

/// Callers that are told apart; first come, first served.
const MAX_CALLERS: usize = 256;
/// Rules that are told apart, of all callers together.
const MAX_PAIRS: usize = 2048;
/// Longest name that is told: a SPIFFE id may have 2048 bytes, those in use have a hundred.
const MAX_NAME: usize = 256;
/// The label of what is beyond.
const OTHER: &str = "other";

/// Counts calls. Clones share their counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Calls(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    callers: ByName<Caller, 256>,
    others: Counts,
    caller_room: Room<MAX_CALLERS>,
    pair_room: Room<MAX_PAIRS>,
}

#[derive(Debug, Default)]
struct Caller {
    rules: ByName<Counts, 64>,
    /// By rules for which there was no room.
    others: Counts,
}

/// Allowed and denied.
#[derive(Debug, Default)]
struct Counts([AtomicU64; 2]);

/// How many names were taken in. Threads that take in the same one at the same time each use a place up.
#[derive(Debug, Default)]
struct Room<const MAX: usize>(AtomicUsize);

impl<const MAX: usize> Room<MAX> {
    fn take(&self) -> bool {
        let more = |taken| (taken < MAX).then_some(taken + 1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }
}

impl Counts {
    fn count(&self, allowed: bool) {
        let [allows, denials] = &self.0;
        if allowed { allows } else { denials }.fetch_add(1, Ordering::Relaxed);
    }
}

impl Calls {
    /// Counts the call that this answers, where it is known who called.
    pub(super) fn count(&self, answer: &Answer) {
        if let Some(caller) = caller(answer) {
            let rule = answer.rule.as_deref().map(|rule| &rule.name);
            self.0.counts(caller, rule).count(answer.reason.allows());
        }
    }
}

impl Inner {
    fn counts(&self, name: &str, rule: Option<&Arc<str>>) -> &Counts {
        let known = self.callers.find(name).or_else(|| {
            let room = name.len() <= MAX_NAME && self.caller_room.take();
            room.then(|| self.callers.get(name, || (name.into(), Caller::default())))?
        });
        let Some(caller) = known else { return &self.others };
        let rule_name = rule.map_or(NO_RULE, |rule| rule);
        let of_rule = caller.rules.find(rule_name).or_else(|| {
            let named = || rule.map_or_else(|| NO_RULE.into(), Arc::clone);
            self.pair_room.take().then(|| caller.rules.get(rule_name, || (named(), Counts::default())))?
        });
        of_rule.unwrap_or(&caller.others)
    }

    fn all(&self) -> impl Iterator<Item = (&str, &str, &Counts)> {
        let told = self.callers.iter().flat_map(|(name, caller)| {
            let rules = caller.rules.iter().map(|(rule, counts)| (&**rule, counts));
            rules.chain([(OTHER, &caller.others)]).map(move |(rule, counts)| (&**name, rule, counts))
        });
        told.chain([(OTHER, OTHER, &self.others)])
    }

    fn samples(&self) -> impl Iterator<Item = (Labels<3>, u64)> {
        self.all().flat_map(|(caller, rule, counts)| {
            ["allow", "deny"].into_iter().zip(&counts.0).filter_map(move |(outcome, count)| {
                let count = count.load(Ordering::Relaxed);
                let labels = || [("caller", caller.into()), ("rule", rule.into()), ("outcome", outcome.into())];
                (count > 0).then(|| (labels(), count))
            })
        })
    }
}

/// The peer as its SPIFFE id says, else as its token does.
fn caller(answer: &Answer) -> Option<&str> {
    let peer = answer.caller.as_deref().filter(|peer| peer.starts_with("spiffe://"));
    let of_token = || answer.principal.as_deref().and_then(|principal| principal.service().or(principal.client()));
    peer.or_else(of_token)
}

impl TypedMetric for Calls {
    const TYPE: MetricType = MetricType::Counter;
}

impl EncodeMetric for Calls {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for (labels, count) in self.0.samples() {
            encoder.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }

    fn is_empty(&self) -> bool {
        self.0.samples().next().is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::answer::DecisionId;
    use crate::core::decide::refuse;
    use crate::core::reason::Reason;

    fn counted(calls: &Calls) -> Vec<(String, String, u64)> {
        let one = |(labels, count): (Labels<3>, u64)| (labels[0].1.to_string(), labels[1].1.to_string(), count);
        calls.0.samples().map(one).collect()
    }

    #[test]
    fn so_many_callers_are_told_apart_and_the_rest_are_counted_together() {
        let calls = Calls::default();
        for number in 0..10 * MAX_CALLERS {
            calls.0.counts(&format!("spiffe://mesh.example/{number}"), None).count(true);
        }
        let counted = counted(&calls);
        assert_eq!(counted.len(), MAX_CALLERS + 1);
        let of_others = counted.iter().find(|(caller, ..)| caller == OTHER).unwrap().2;
        assert_eq!(of_others, 9 * MAX_CALLERS as u64);
        assert_eq!(counted.iter().map(|(.., count)| count).sum::<u64>(), 10 * MAX_CALLERS as u64);
    }

    #[test]
    fn rules_are_bounded_and_so_are_names() {
        let calls = Calls::default();
        for number in 0..2 * MAX_PAIRS {
            calls.0.counts("orders", Some(&format!("rule-{number}").into())).count(false);
        }
        assert_eq!(counted(&calls).len(), MAX_PAIRS + 1);
        calls.0.counts(&"x".repeat(MAX_NAME + 1), None).count(true);
        assert!(counted(&calls).contains(&(OTHER.to_owned(), OTHER.to_owned(), 1)));
    }

    #[test]
    fn a_peer_without_a_spiffe_id_and_a_stranger_are_no_callers() {
        let calls = Calls::default();
        let answer = |caller: Option<&str>| crate::core::answer::Answer {
            caller: caller.map(Into::into),
            ..refuse(Reason::NoRule, false, DecisionId(7))
        };
        for caller in [None, Some("CN=anything"), Some("orders.example")] {
            calls.count(&answer(caller));
        }
        assert_eq!(counted(&calls), []);
        calls.count(&answer(Some("spiffe://mesh.example/orders")));
        assert_eq!(counted(&calls), [("spiffe://mesh.example/orders".to_owned(), NO_RULE.to_owned(), 1)]);
    }
}
