//! Which traces are recorded, by `OTEL_TRACES_SAMPLER`. Decided on numbers alone: the SDK's own way begins with a span.

use opentelemetry::trace::SpanKind;
use opentelemetry_sdk::trace::{Sampler, SamplingDecision, ShouldSample as _};

use crate::telemetry::otlp::Variables;

/// Which traces are recorded.
#[derive(Debug)]
pub(super) struct Sampling {
    /// Whether a trace that comes from elsewhere goes on as it came.
    by_parent: bool,
    /// The others.
    otherwise: Sampler,
}

const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
const ARGUMENT: &str = "OTEL_TRACES_SAMPLER_ARG";

impl Sampling {
    /// As the variables say, or as their specification has it: what comes sampled, and whatever begins here.
    pub(super) fn of(variables: &Variables<'_>) -> Self {
        let name = variables.get(SAMPLER).map(|name| name.to_ascii_lowercase());
        let name = name.unwrap_or_else(|| "parentbased_always_on".to_owned());
        let (by_parent, otherwise) = match name.strip_prefix("parentbased_") {
            Some(otherwise) => (true, otherwise),
            None => (false, &*name),
        };
        let otherwise = match otherwise {
            "always_on" => Sampler::AlwaysOn,
            "always_off" => Sampler::AlwaysOff,
            "traceidratio" => {
                let share: f64 = variables.read(ARGUMENT, 1.0, "a number from 0 to 1, such as `0.01`");
                if !(0.0..=1.0).contains(&share) {
                    tracing::warn!(variable = ARGUMENT, "is out of range: at least 0, at most 1");
                }
                Sampler::TraceIdRatioBased(if share.is_nan() { 1.0 } else { share.clamp(0.0, 1.0) })
            }
            _ => {
                tracing::warn!(
                    variable = SAMPLER,
                    "is not known here and passed over: expected `always_on`, `always_off` or `traceidratio`, or one of \
                     them after `parentbased_`"
                );
                return Self { by_parent: true, otherwise: Sampler::AlwaysOn };
            }
        };
        Self { by_parent, otherwise }
    }

    /// Whether this trace is, which came sampled or not, or begins here.
    pub(super) fn samples(&self, came: Option<bool>, trace_id: u128) -> bool {
        match (came, &self.otherwise) {
            (Some(sampled), _) if self.by_parent => sampled,
            (_, otherwise) => {
                let asked = otherwise.should_sample(None, trace_id.into(), "", &SpanKind::Server, &[], &[]);
                asked.decision == SamplingDecision::RecordAndSample
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampling(sampler: Option<&str>, argument: Option<&str>) -> Sampling {
        let read = |name: &str| match name {
            SAMPLER => sampler.map(str::to_owned),
            ARGUMENT => argument.map(str::to_owned),
            _ => None,
        };
        Sampling::of(&Variables(&read))
    }

    #[test]
    fn each_sampler_does_as_its_specification_has_it() {
        // Of a trace that came sampled, one that came unsampled, and one that begins here.
        for (sampler, argument, expected) in [
            (None, None, [true, false, true]),
            (Some("always_on"), None, [true, true, true]),
            (Some("always_off"), None, [false, false, false]),
            (Some("parentbased_always_on"), None, [true, false, true]),
            (Some("parentbased_always_off"), None, [true, false, false]),
            (Some("traceidratio"), Some("0"), [false, false, false]),
            (Some("traceidratio"), Some("1"), [true, true, true]),
            (Some("traceidratio"), None, [true, true, true]),
            (Some("parentbased_traceidratio"), Some("0.0"), [true, false, false]),
            (Some("parentbased_traceidratio"), Some("lots"), [true, false, true]),
            (Some("traceidratio"), Some("-3"), [false, false, false]),
            (Some("traceidratio"), Some("NaN"), [true, true, true]),
            (Some("xray"), None, [true, false, true]),
        ] {
            let sampling = sampling(sampler, argument);
            let decided = [Some(true), Some(false), None].map(|came| sampling.samples(came, u128::MAX / 3));
            assert_eq!(decided, expected, "{sampler:?} {argument:?}");
        }
    }

    #[test]
    fn a_share_of_traces_is_one_and_each_trace_is_always_told_the_same() {
        let sampling = sampling(Some("traceidratio"), Some("0.01"));
        let ids: Vec<u128> = (0..100_000).map(|_| rand::random()).collect();
        let sampled = ids.iter().filter(|id| sampling.samples(None, **id)).count();
        assert!((800..1200).contains(&sampled), "{sampled}");
        assert!(ids.iter().all(|id| sampling.samples(None, *id) == sampling.samples(Some(false), *id)));
    }
}
