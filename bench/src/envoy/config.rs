//! The shipped configuration, with what a measurement changes.

use anyhow::ensure;
use tollgate::demo::envoy::{Gate, Shipped};

use crate::load::Endpoint;

/// Where the filter that asks the gate begins and ends.
const FILTER: (&str, &str) =
    ("          # --- The gate -----", "          - name: envoy.filters.http.router\n            typed_config:");
const ROUTE: (&str, &str) = ("                route:\n                  cluster: service\n", "\n  clusters:\n");
const HEALTH: (&str, &str) =
    ("    # A gate that is asked to stop", "    load_assignment:\n      cluster_name: tollgate\n");

/// A configuration of Envoy.
#[derive(Clone, Debug)]
pub(super) struct Config {
    text: String,
}

impl Config {
    /// What is shipped, on free ports of loopback, with these differences, all of them for every subject alike: Envoy
    /// itself answers what is allowed; the access log is written, but to nowhere; the gate is waited for as long as a busy
    /// machine may make it take; and it is not asked for its health, which the baselines do not have.
    pub(super) fn shipped(gate: &Endpoint) -> anyhow::Result<Self> {
        let gate = match gate {
            Endpoint::Unix(path) => Gate::Unix(path.clone()),
            Endpoint::Tcp(address) => Gate::Tcp(*address),
        };
        let nowhere = ([127, 0, 0, 1], 9).into();
        let shipped = Shipped::inbound().between(0, 0, nowhere, &[gate])?;
        Self { text: shipped.text().to_owned() }
            .cut(ROUTE, "                direct_response: { status: 200, body: { inline_string: ok } }\n")?
            .cut(HEALTH, "")?
            .replace("path: /dev/stdout", "path: /dev/null")?
            .replace(" timeout: 0.25s\n", " timeout: 10s\n")
    }

    /// Without the filter that asks the gate, and with these in its place.
    pub(super) fn with_filters(self, filters: &str) -> anyhow::Result<Self> {
        self.cut(FILTER, filters)
    }

    /// With `from`, which must be there once, replaced by `to`.
    pub(super) fn replace(self, from: &str, to: &str) -> anyhow::Result<Self> {
        ensure!(self.text.matches(from).count() == 1, "the shipped configuration does not hold `{from}` once");
        Ok(Self { text: self.text.replace(from, to) })
    }

    /// With all from `begin` up to `end` replaced by `to`. Both must be there, `begin` once.
    fn cut(self, (begin, end): (&str, &str), to: &str) -> anyhow::Result<Self> {
        let parts = self.text.split_once(begin).and_then(|(before, rest)| {
            let (_, after) = rest.split_once(end)?;
            (!rest.contains(begin)).then(|| format!("{before}{to}{end}{after}"))
        });
        match parts {
            Some(text) => Ok(Self { text }),
            None => anyhow::bail!("the shipped configuration does not hold `{begin}` once, and then `{end}`"),
        }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use tollgate::demo::envoy::Envoy;

    use super::super::running::binary;
    use super::*;

    #[tokio::test]
    async fn envoy_takes_what_is_made_of_the_shipped_one() {
        let binary = binary().unwrap();
        let gate = Endpoint::Unix("/run/gate.sock".into());
        let shipped = Config::shipped(&gate).unwrap();
        for changed in ["direct_response", "/run/gate.sock", "timeout: 10s"] {
            assert!(shipped.text().contains(changed), "{changed}");
        }
        assert!(!shipped.text().contains("health_checks"));
        Envoy::validate(&binary, shipped.text()).await.unwrap();
        let alone = shipped.with_filters("").unwrap();
        assert!(!alone.text().contains("ext_authz.v3"));
        Envoy::validate(&binary, alone.text()).await.unwrap();
        assert!(alone.replace("no such line", "").is_err());
    }
}
