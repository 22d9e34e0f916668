//! Where a gate is asked whether it serves.

use std::fmt;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::IgnoredAny;
use url::Url;

/// Where a gate is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// A Check listener on a unix socket.
    Unix(PathBuf),
    /// A Check listener on TCP: `host:port`.
    Tcp(String),
    /// A page of the probes listener, or of anything else: 200 means yes.
    Http(Url),
}

impl Target {
    /// Reads `unix:/path`, `host:port` or `http://host:port/path`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return if path.starts_with('/') {
                Ok(Self::Unix(PathBuf::from(path)))
            } else {
                Err("a unix socket is named by an absolute path: unix:/path".to_owned())
            };
        }
        if text.starts_with("http://") || text.starts_with("https://") {
            return Url::parse(text).map(Self::Http).map_err(|error| error.to_string());
        }
        match text.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port != 0) => {
                Ok(Self::Tcp(text.to_owned()))
            }
            Some(_) | None => Err("expected unix:/path, host:port or http://host:port/path".to_owned()),
        }
    }

    /// The first Check listener without TLS that a configuration names, or else its probes. Whatever else the file
    /// holds, and whether that is right, does not matter here.
    pub(super) fn from_file(path: &Path) -> Result<Self, String> {
        /// Rules may be many, and are passed over: a limit on their number would be one on the policy.
        const MAX_NODES: usize = 2_000_000;
        let say = |what: &dyn fmt::Display| format!("{}: {what}; give --address", path.display());
        let text = fs::read_to_string(path).map_err(|error| say(&error))?;
        let options = serde_saphyr::options! {
            budget: serde_saphyr::budget! { max_documents: 1, max_nodes: MAX_NODES, max_events: 3 * MAX_NODES },
            with_snippet: false,
        };
        let file: File = serde_saphyr::from_str_with_options(&text, options)
            .map_err(|error| say(&format!("not readable: {}", error.to_string().lines().next().unwrap_or_default())))?;
        file.target().map_err(|why| say(&why))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => f.write_str(address),
            Self::Http(url) => write!(f, "{url}"),
        }
    }
}

/// As much of a configuration as is needed to find the gate.
#[derive(Deserialize)]
struct File {
    server: Server,
}

#[derive(Deserialize)]
struct Server {
    #[serde(default)]
    check: Vec<Listener>,
    probes: Option<Listener>,
}

#[derive(Deserialize)]
struct Listener {
    listen: String,
    tls: Option<IgnoredAny>,
}

impl File {
    fn target(&self) -> Result<Target, String> {
        if let Some(listener) = self.server.check.iter().find(|listener| listener.tls.is_none()) {
            return match Target::parse(&reachable(&listener.listen))? {
                Target::Http(_) => Err(format!("`{}` is not an address to listen on", listener.listen)),
                target @ (Target::Unix(_) | Target::Tcp(_)) => Ok(target),
            };
        }
        let Some(probes) = &self.server.probes else {
            return Err("every Check listener wants TLS, and there is no probes listener to ask instead".to_owned());
        };
        Target::parse(&format!("http://{}/readyz", reachable(&probes.listen)))
    }
}

/// Where to connect to what listens on every address.
fn reachable(listen: &str) -> String {
    match listen.parse::<SocketAddr>() {
        Ok(address) if address.ip().is_unspecified() => {
            let ip = match address.ip() {
                IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
                IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
            };
            SocketAddr::new(ip, address.port()).to_string()
        }
        Ok(_) | Err(_) => listen.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(yaml: &str) -> Result<String, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), yaml).unwrap();
        Target::from_file(file.path()).map(|target| target.to_string())
    }

    #[test]
    fn addresses_are_read_or_refused() {
        for (text, want) in [
            ("unix:/run/x.sock", "unix:/run/x.sock"),
            ("unix:///run/x.sock", "unix:/run/x.sock"),
            ("127.0.0.1:9191", "127.0.0.1:9191"),
            ("[::1]:9191", "[::1]:9191"),
            ("localhost:9191", "localhost:9191"),
            ("http://127.0.0.1:9100/readyz", "http://127.0.0.1:9100/readyz"),
        ] {
            assert_eq!(Target::parse(text).map(|target| target.to_string()).as_deref(), Ok(want));
        }
        for text in ["", "unix:", "unix:run/x.sock", "9191", ":9191", "localhost:", "localhost:0", "localhost:99999"] {
            assert!(Target::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_first_listener_without_tls_is_asked() {
        let yaml = "server:\n  check:\n    - { listen: '0.0.0.0:1', direction: inbound, tls: { key: k } }\n    - { listen: '[::]:2' }\nrules: [ { nonsense: true } ]\n";
        assert_eq!(from(yaml).as_deref(), Ok("[::1]:2"));
    }

    #[test]
    fn the_probes_are_asked_where_every_listener_has_tls() {
        let yaml = "server: { check: [ { listen: '0.0.0.0:1', tls: {} } ], probes: { listen: '0.0.0.0:9100' } }";
        assert_eq!(from(yaml).as_deref(), Ok("http://127.0.0.1:9100/readyz"));
        let why = from("server: { check: [ { listen: '0.0.0.0:1', tls: {} } ] }").unwrap_err();
        assert!(why.contains("give --address"), "{why}");
    }

    #[test]
    fn a_broken_file_says_what_to_do() {
        for yaml in ["", "server: [", "server: { check: [ { listen: 'x:0' } ] }", "rules: []"] {
            let why = from(yaml).unwrap_err();
            assert!(why.contains("give --address"), "{yaml}: {why}");
        }
    }
}
