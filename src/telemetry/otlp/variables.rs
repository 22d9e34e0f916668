//! The standard variables, as far as the exporters do not read them themselves. What they say is never a reason not to
//! start: what does not read is told, and its default holds, as their specification has it.

use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use opentelemetry_otlp::Protocol;
use url::Url;

use super::OtlpError;
use crate::net::spec::Identity;
use crate::secret::Secret;

/// Time for one batch where the variables name none.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The collector of all signals.
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::telemetry) enum Signal {
    Traces,
    Logs,
}

impl Signal {
    /// What stands in the names of its variables.
    const fn infix(self) -> &'static str {
        match self {
            Self::Traces => "TRACES_",
            Self::Logs => "LOGS_",
        }
    }

    /// Where it goes over HTTP, below what is named for all signals.
    const fn path(self) -> &'static str {
        match self {
            Self::Traces => "/v1/traces",
            Self::Logs => "/v1/logs",
        }
    }
}

/// How a collector is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::telemetry) struct Route {
    pub(in crate::telemetry) protocol: Protocol,
    /// For one batch, with whatever attempts it takes.
    pub(in crate::telemetry) timeout: Duration,
    /// Where requests go: there may be a secret in it …
    pub(super) endpoint: Secret,
    /// … and the variable that says so.
    pub(super) variable: String,
    /// Where that is, for people: without what may be a secret.
    pub(in crate::telemetry) shown: String,
    /// Whether the way is TLS.
    pub(super) tls: bool,
    /// Its address, where the variables name one and no host.
    pub(super) address: Option<IpAddr>,
    /// Authorities to trust instead of the system's, and the variable that names them.
    pub(super) ca_file: Option<(String, PathBuf)>,
    /// The certificate to show.
    pub(super) identity: Option<Identity>,
}

/// Reads variables. One that is empty is as good as none.
pub(in crate::telemetry) struct Variables<'e>(pub(in crate::telemetry) &'e dyn Fn(&str) -> Option<String>);

impl Variables<'_> {
    /// One of them.
    pub(in crate::telemetry) fn get(&self, name: &str) -> Option<String> {
        (self.0)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    /// One that must be of a kind; its default where it is not.
    pub(in crate::telemetry) fn read<T: FromStr>(&self, name: &str, default: T, expected: &str) -> T {
        let Some(value) = self.get(name) else { return default };
        value.parse().unwrap_or_else(|_| {
            tracing::warn!(variable = name, "does not read and is passed over: expected {expected}");
            default
        })
    }

    /// One for this signal, or else for all of them; with its name.
    fn of(&self, signal: Signal, what: &str) -> Option<(String, String)> {
        let signal = signal.infix();
        let found = |signal: &str| {
            let name = format!("OTEL_EXPORTER_OTLP_{signal}{what}");
            self.get(&name).map(|value| (name, value))
        };
        found(signal).or_else(|| found(""))
    }

    /// How to reach the collector for this signal.
    pub(in crate::telemetry) fn route(&self, signal: Signal) -> Route {
        let protocol = match self.of(signal, "PROTOCOL") {
            Some((_, protocol)) if protocol.eq_ignore_ascii_case("grpc") => Protocol::Grpc,
            Some((_, protocol)) if protocol.eq_ignore_ascii_case("http/protobuf") => Protocol::HttpBinary,
            Some((variable, _)) => {
                tracing::warn!(variable, "does not read and is passed over: expected `grpc` or `http/protobuf`");
                Protocol::HttpBinary
            }
            None => Protocol::HttpBinary,
        };
        let timeout = self.of(signal, "TIMEOUT").map_or(TIMEOUT, |(name, _)| {
            let default = u64::try_from(TIMEOUT.as_millis()).unwrap_or(u64::MAX);
            // Nothing is sent in no time.
            match self.read(&name, default, "milliseconds, at least 1") {
                0 => TIMEOUT,
                millis => Duration::from_millis(millis),
            }
        });
        let insecure = || self.of(signal, "INSECURE").is_some_and(|(_, value)| value.eq_ignore_ascii_case("true"));
        let named = self.of(signal, "ENDPOINT");
        let variable = named.as_ref().map_or_else(|| ENDPOINT.to_owned(), |(name, _)| name.clone());
        let mut endpoint = named.map(|(_, endpoint)| endpoint).unwrap_or_else(|| {
            if protocol == Protocol::Grpc { "http://localhost:4317" } else { "http://localhost:4318" }.to_owned()
        });
        if protocol == Protocol::Grpc && !endpoint.contains("://") {
            endpoint = format!("{}://{endpoint}", if insecure() { "http" } else { "https" });
        }
        let url = Url::parse(&endpoint).ok();
        if protocol != Protocol::Grpc && variable == ENDPOINT {
            endpoint = format!("{}{}", endpoint.trim_end_matches('/'), signal.path());
        }
        let (tls, is_near) =
            (url.as_ref().is_some_and(|url| url.scheme() == "https"), url.as_ref().is_some_and(is_here));
        if let Some((variable, headers)) = self.of(signal, "HEADERS") {
            if headers.split(',').any(|header| !header.contains('=')) {
                tracing::warn!(
                    variable,
                    "holds what is no header and is passed over: expected `name=value`, more after a comma"
                );
            }
            if !tls && !is_near {
                tracing::warn!(variable, "the headers it names go to the collector in clear text");
            }
        }
        if let Some((variable, compression)) = self.of(signal, "COMPRESSION")
            && compression != "gzip"
        {
            tracing::warn!(variable, "does not read and is passed over: expected `gzip`");
        }
        let file = |what| self.of(signal, what).map(|(name, path)| (name, PathBuf::from(path)));
        let identity = file("CLIENT_CERTIFICATE").zip(file("CLIENT_KEY"));
        Route {
            protocol,
            timeout,
            endpoint: Secret::new(endpoint),
            variable,
            shown: url.as_ref().map_or_else(|| "what is no URL".to_owned(), |url| url.origin().ascii_serialization()),
            tls,
            address: url.as_ref().and_then(|url| match url.host()? {
                url::Host::Ipv4(address) => Some(address.into()),
                url::Host::Ipv6(address) => Some(address.into()),
                url::Host::Domain(_) => None,
            }),
            ca_file: file("CERTIFICATE"),
            identity: identity.map(|((_, certificate), (_, key))| Identity { certificate, key }),
        }
    }

    /// Whether log records may be sent: the configuration wants it.
    ///
    /// # Errors
    /// The variables say that nothing is sent.
    pub(in crate::telemetry) fn logs_allowed(&self) -> Result<(), OtlpError> {
        if self.is_disabled() {
            return Err(OtlpError::Off("OTEL_SDK_DISABLED"));
        }
        match self.get("OTEL_LOGS_EXPORTER") {
            Some(exporter) if !exporter.eq_ignore_ascii_case("otlp") => Err(OtlpError::Off("OTEL_LOGS_EXPORTER")),
            Some(_) | None => Ok(()),
        }
    }

    fn is_disabled(&self) -> bool {
        self.get("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }
}

/// Whether an address is on this machine.
fn is_here(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// Whether spans are to be sent: where `OTEL_TRACES_EXPORTER` says so, or says nothing and an endpoint is named.
pub(in crate::telemetry) fn traces_wanted(variables: &Variables<'_>) -> bool {
    if variables.is_disabled() {
        return false;
    }
    match variables.get("OTEL_TRACES_EXPORTER").map(|exporter| exporter.to_ascii_lowercase()).as_deref() {
        Some("otlp") => true,
        Some("none") => false,
        Some(_) => {
            tracing::warn!("`OTEL_TRACES_EXPORTER` is neither `otlp` nor `none`: nothing is traced");
            false
        }
        None => variables.of(Signal::Traces, "ENDPOINT").is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with<T>(set: &[(&str, &str)], look: impl FnOnce(&Variables<'_>) -> T) -> T {
        let read = |name: &str| set.iter().find(|(set, _)| *set == name).map(|(_, value)| (*value).to_owned());
        look(&Variables(&read))
    }

    #[test]
    fn nothing_is_traced_unless_the_variables_say_so() {
        for (set, wanted) in [
            (&[][..], false),
            (&[("OTEL_SERVICE_NAME", "gate")], false),
            (&[("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://c:4318")], false),
            (&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318")], true),
            (&[("OTEL_EXPORTER_OTLP_ENDPOINT", "")], false),
            (&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://c:4318")], true),
            (&[("OTEL_TRACES_EXPORTER", "otlp")], true),
            (&[("OTEL_TRACES_EXPORTER", "OTLP")], true),
            (&[("OTEL_TRACES_EXPORTER", "none"), ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318")], false),
            (&[("OTEL_TRACES_EXPORTER", "zipkin"), ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318")], false),
            (&[("OTEL_TRACES_EXPORTER", "otlp"), ("OTEL_SDK_DISABLED", "TRUE")], false),
            (&[("OTEL_TRACES_EXPORTER", "otlp"), ("OTEL_SDK_DISABLED", "1")], true),
        ] {
            assert_eq!(with(set, traces_wanted), wanted, "{set:?}");
        }
    }

    #[test]
    fn the_way_is_that_of_the_signal_or_else_of_all() {
        let route = |set: &[(&str, &str)]| with(set, |variables| variables.route(Signal::Traces));
        let plain = route(&[]);
        assert_eq!((plain.protocol, plain.timeout, plain.tls), (Protocol::HttpBinary, TIMEOUT, false));
        assert_eq!(plain.shown, "http://localhost:4318");
        assert_eq!((plain.endpoint.expose(), &*plain.variable), ("http://localhost:4318/v1/traces", ENDPOINT));
        let one = route(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://all:4318"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://user:hunter2@192.0.2.7:4317"),
            ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://logs:4318"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "gRPC"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "5000"),
            ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "250"),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/ca.pem"),
        ]);
        assert_eq!((one.protocol, one.timeout, one.tls), (Protocol::Grpc, Duration::from_millis(250), true));
        assert_eq!((&*one.shown, one.address), ("https://192.0.2.7:4317", Some([192, 0, 2, 7].into())));
        assert_eq!(one.endpoint.expose(), "https://user:hunter2@192.0.2.7:4317");
        assert_eq!(one.variable, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
        assert!(!format!("{one:?}").contains("hunter2"), "{one:?}");
        assert_eq!(one.ca_file, Some(("OTEL_EXPORTER_OTLP_CERTIFICATE".to_owned(), "/ca.pem".into())));
        let bare = [("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")];
        assert!(route(&bare).tls, "without a scheme");
        let insecure = ("OTEL_EXPORTER_OTLP_INSECURE", "true");
        assert!(!route(&[bare[0], bare[1], insecure]).tls);
        let logs = |endpoint| with(&[(ENDPOINT, endpoint)], |variables| variables.route(Signal::Logs));
        for spelled in ["http://c:4318/otlp", "http://c:4318/otlp/", " http://c:4318/otlp\n"] {
            assert_eq!(logs(spelled).endpoint.expose(), "http://c:4318/otlp/v1/logs");
        }
    }

    #[test]
    fn what_does_not_read_is_passed_over() {
        let route = |set: &[(&str, &str)]| with(set, |variables| variables.route(Signal::Traces));
        let odd = route(&[("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"), ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s")]);
        assert_eq!((odd.protocol, odd.timeout), (Protocol::HttpBinary, TIMEOUT));
        assert_eq!(route(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "hunter2")]).shown, "what is no URL");
    }

    #[test]
    fn an_audit_log_that_the_variables_forbid_is_refused() {
        let allowed = |set: &[(&str, &str)]| with(set, |variables| variables.logs_allowed().map_err(|e| e.to_string()));
        assert_eq!(allowed(&[]), Ok(()));
        assert_eq!(allowed(&[("OTEL_LOGS_EXPORTER", "otlp")]), Ok(()));
        for set in [("OTEL_LOGS_EXPORTER", "none"), ("OTEL_SDK_DISABLED", "true")] {
            let why = allowed(&[set]).unwrap_err();
            assert!(why.contains(set.0) && why.contains("audit.to"), "{why}");
        }
    }
}
