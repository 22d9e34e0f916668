//! What is asked: one request template for ghz, the tokens that it picks from, and what must come of it.

use std::collections::BTreeMap;

use anyhow::ensure;
use tollgate::demo::client::Call;
use tollgate::demo::gate::Asker;

use super::counters::Counters;
use super::gate::Gate;
use super::report::Report;
use super::tokens::Tokens;

/// Requests in a round: each round has the same share of every kind.
pub(super) const ROUND: u64 = 50;

/// Of a round, in this order: these requests have a token that the gate has seen, ...
const CACHED: u64 = 43;
/// ... these a new one, and one each a token with a wrong signature, an expired one, none, and one that lacks the scope.
const NEW: u64 = 3;

/// Good tokens that the gate sees before the run. A prime, so that each takes every place in a round.
const KNOWN: usize = 97;
/// New tokens at most: a process's environment holds two megabytes. From then on they come again, and are cached.
const MOST_NEW: u64 = 1000;

/// Where a request's number is `$n`, its place in the round `$k`, this is its `Authorization`. Whole base64url is needed
/// for a signature that is wrong and not malformed: 2048 bits are 341 characters and a third of one.
const AUTHORIZATION: &str = "Bearer \
    {{ if lt $k 43 }}{{ env (printf `KNOWN_%d` (mod $n 97)) }}\
    {{ else if lt $k 46 }}{{ env (printf `NEW_%d` (mod (add (mul (div $n 50) 3) (sub $k 43)) MOST_NEW)) }}\
    {{ else if eq $k 46 }}{{ env `UNSIGNED` }}.{{ randomString 341 }}A\
    {{ else if eq $k 47 }}{{ env `EXPIRED` }}\
    {{ else }}{{ env `WITHOUT_SCOPE` }}{{ end }}";

/// The requests of one run.
pub(super) struct Mix {
    requests: u64,
    new: u64,
    tokens: BTreeMap<String, String>,
}

impl Mix {
    pub(super) fn new(requests: u64, tokens: &Tokens) -> anyhow::Result<Self> {
        let new = (requests / ROUND * NEW).min(MOST_NEW);
        let mut environment = BTreeMap::new();
        for (number, token) in tokens.good(KNOWN)?.into_iter().enumerate() {
            environment.insert(format!("KNOWN_{number}"), token);
        }
        for (number, token) in tokens.good(usize::try_from(new)?)?.into_iter().enumerate() {
            environment.insert(format!("NEW_{number}"), token);
        }
        environment.insert("EXPIRED".to_owned(), tokens.expired()?);
        environment.insert("WITHOUT_SCOPE".to_owned(), tokens.without_scope()?);
        let signed = tokens.good(1)?.concat();
        let unsigned = signed.rsplit_once('.').map_or("", |(unsigned, _)| unsigned);
        environment.insert("UNSIGNED".to_owned(), unsigned.to_owned());
        Ok(Self { requests, new, tokens: environment })
    }

    /// The environment of ghz.
    pub(super) fn environment(&self) -> impl Iterator<Item = (&String, &String)> {
        self.tokens.iter()
    }

    /// One `CheckRequest` as ghz's data: what Envoy sends of a request with a dozen headers.
    pub(super) fn template(&self) -> String {
        let authorization = AUTHORIZATION.replace("MOST_NEW", &self.new.to_string());
        // Everything stands inside JSON texts, so that the whole is JSON before it is filled in, too.
        TEMPLATE.replace("AUTHORIZATION", &authorization)
    }

    /// Lets the gate see the tokens that it is to know, and holds each kind to its decision.
    pub(super) async fn warm_up(&self, gate: &Gate) -> anyhow::Result<()> {
        let asker = Asker::connect(&gate.socket()).await?;
        let call = || Call::get("orders.shop.example", "/orders/1");
        for (name, token) in &self.tokens {
            let expected = match name.split('_').next() {
                Some("KNOWN") => "allowed",
                Some("WITHOUT") => "insufficient_scope",
                Some("EXPIRED") => "token_expired",
                _ => continue,
            };
            let decision = asker.ask(&call().bearer(token)).await?;
            ensure!(decision.reason == expected, "`{name}` is `{}`, not `{expected}`", decision.reason);
        }
        Ok(())
    }

    /// What is compared: what it is, what it must be, and what it is.
    pub(super) fn against(&self, report: &Report, counted: &Counters) -> Vec<(String, u64, u64)> {
        let rounds = self.requests / ROUND;
        let mut lines = vec![
            ("requests of the plan, sent by ghz".to_owned(), self.requests, report.count()),
            ("answered to ghz with gRPC status OK".to_owned(), self.requests, report.answered()),
            ("decisions for answers that ghz counted".to_owned(), report.answered(), counted.decisions()),
        ];
        for (outcome, reason, of_a_round) in DECIDED {
            let what = format!("{outcome} {reason}");
            lines.push((what, of_a_round * rounds, counted.decisions_for(outcome, reason)));
        }
        for (outcome, reason, count) in counted.outcomes() {
            if count > 0 && !DECIDED.iter().any(|known| (known.0, known.1) == (&*outcome, &*reason)) {
                lines.push((format!("{outcome} {reason}"), 0, count));
            }
        }
        let new_again = rounds * NEW - self.new;
        // One each of a round without scope; the expired and the badly signed ones are never kept.
        lines.push(("token cache: hit".to_owned(), rounds * (CACHED + 1) + new_again, counted.lookups("hit")));
        lines.push(("token cache: miss".to_owned(), rounds * 2 + self.new, counted.lookups("miss")));
        lines
    }
}

const DECIDED: [(&str, &str, u64); 5] = [
    ("allow", "allowed", CACHED + NEW),
    ("deny", "token_signature", 1),
    ("deny", "token_expired", 1),
    ("deny", "missing_token", 1),
    ("deny", "insufficient_scope", 1),
];

const TEMPLATE: &str = r#"{
  "attributes": {
    "source": { "address": { "socketAddress": { "address": "192.0.2.17", "portValue": 41234 } } },
    "destination": { "address": { "socketAddress": { "address": "192.0.2.80", "portValue": 8080 } } },
    "request": {
      "http": {
        "id": "{{ $n := .RequestNumber }}{{ $k := mod $n 50 }}{{ $n }}",
        "method": "GET",
        "host": "orders.shop.example",
        "scheme": "http",
        "protocol": "HTTP/1.1",
        "path": "/orders/{{ $n }}",
        "headers": {
          ":authority": "orders.shop.example",
          ":method": "GET",
          ":path": "/orders/{{ $n }}",
          ":scheme": "http",
          "accept": "application/json",
          "accept-encoding": "gzip, deflate, br",
          "accept-language": "en-GB,en;q=0.8",
          "{{ if eq $k 48 }}x-no-authorization{{ else }}authorization{{ end }}": "AUTHORIZATION",
          "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
          "user-agent": "order-service/4.2 (linux; x86-64)",
          "x-forwarded-for": "192.0.2.17",
          "x-forwarded-proto": "https",
          "x-request-id": "{{ newUUID }}"
        }
      }
    }
  }
}
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_round_is_accounted_for_and_the_data_is_json_without_tokens() {
        let tokens = Tokens::start().await.unwrap();
        let mix = Mix::new(2 * ROUND, &tokens).unwrap();
        assert_eq!(DECIDED.iter().map(|(_, _, count)| count).sum::<u64>(), ROUND);
        assert_eq!(mix.environment().filter(|(name, _)| name.starts_with("NEW_")).count(), 6);
        let whole: serde_json::Value = serde_json::from_str(&mix.template()).unwrap();
        let headers = whole["attributes"]["request"]["http"]["headers"].as_object().unwrap();
        assert_eq!(headers.len(), 13);
        assert!(mix.environment().all(|(_, token)| !mix.template().contains(token)));
        let bytes: usize = mix.environment().map(|(name, token)| name.len() + token.len() + 2).sum();
        assert!(bytes * 1000 / 106 < 2 << 20, "the environment has room for the most");
    }
}
