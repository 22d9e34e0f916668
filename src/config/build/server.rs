//! Section `server`.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::{Files, Surroundings, io_reason, ms, number, secs, time};
use crate::config::file::server::{CheckFile, ControlFile, ServerFile, TlsFile};
use crate::config::names::shown;
use crate::config::place::At;
use crate::config::server::{Address, CheckListener, ControlListener, Drain, Limits, ServerSpec, TlsSpec};
use crate::secret::Secret;

/// Longest path of a unix socket on Linux, in bytes.
const MAX_SOCKET_PATH: usize = 107;

/// Judges the section. `None` where errors leave nothing to go on with.
pub(in crate::config) fn build(at: &At<'_>, file: &ServerFile, around: Surroundings<'_>) -> Option<ServerSpec> {
    let check = check_listeners(at, &file.check, around);
    let probes = file.probes.as_ref().and_then(|probes| {
        let at = at.key("probes");
        let listen = at.required("listen", probes.listen.as_ref(), "write `address:port`")?;
        tcp(&at.key("listen"), listen)
    });
    let control = file.control.as_ref().and_then(|control| control_listener(&at.key("control"), control, around));
    let limits = {
        let at = at.key("limits");
        let none = Default::default();
        let file = file.limits.as_ref().unwrap_or(&none);
        let count = |key, value: Option<u32>, default, most| number(&at, key, value.map(u64::from), default, (1, most));
        let most = u64::from(u32::MAX);
        let message =
            number(&at, "max_message_bytes", file.max_message_bytes.map(|size| size.0), 1 << 20, (4 << 10, 64 << 20));
        Limits {
            max_message_bytes: usize::try_from(message).unwrap_or(1 << 20),
            max_concurrent_streams: u32::try_from(count(
                "max_concurrent_streams",
                file.max_concurrent_streams,
                1024,
                most,
            ))
            .unwrap_or(1024),
            max_connections: usize::try_from(count("max_connections", file.max_connections, 1024, 1 << 20))
                .unwrap_or(1024),
            tls_handshake: time(&at, "tls_handshake", file.tls_handshake, secs(5), (ms(100), secs(60))),
            max_in_flight: usize::try_from(count("max_in_flight", file.max_in_flight, 4096, 1 << 20)).unwrap_or(4096),
        }
    };
    let drain = {
        let at = at.key("drain");
        let none = Default::default();
        let file = file.drain.as_ref().unwrap_or(&none);
        Drain {
            delay: time(&at, "delay", file.delay, secs(2), (secs(0), secs(600))),
            grace: time(&at, "grace", file.grace, secs(10), (secs(0), secs(3600))),
        }
    };
    distinct(at, &check, probes, control.as_ref());
    Some(ServerSpec {
        check,
        probes,
        control,
        deadline: time(at, "deadline", file.deadline, ms(150), (ms(5), secs(60))),
        limits,
        reflection: file.reflection.unwrap_or(false),
        drain,
        first_keys: time(at, "first_keys", file.first_keys, secs(2), (secs(0), secs(300))),
    })
}

fn check_listeners(at: &At<'_>, files: &[CheckFile], around: Surroundings<'_>) -> Vec<CheckListener> {
    let list = at.key("check");
    if files.is_empty() {
        list.missing("no listener: Envoy needs one to ask, such as `{ listen: \"unix:/run/tollgate/inbound.sock\", direction: inbound }`");
    }
    let mut listeners = Vec::new();
    for (index, file) in files.iter().enumerate() {
        let at = list.index(index);
        let listen = at.required("listen", file.listen.as_ref(), "write `unix:/path` or `address:port`");
        let direction = at.required("direction", file.direction, "write `inbound` or `outbound`");
        let address = listen.and_then(|listen| address(&at, listen, file.mode.as_deref(), around));
        let tls = file.tls.as_ref().map(|tls| tls_files(&at.key("tls"), tls, around));
        if tls.is_some() && matches!(address, Some(Address::Unix { .. })) {
            at.key("tls")
                .error("TLS is for `address:port`; on a unix socket the file's permissions decide who may ask");
        }
        if let (Some(address), Some(direction)) = (address, direction) {
            // A section with errors does not come into service; trust is judged as if TLS were as written.
            listeners.push(CheckListener { address, direction, tls: tls.flatten() });
        }
    }
    listeners
}

fn tls_files(at: &At<'_>, file: &TlsFile, around: Surroundings<'_>) -> Option<TlsSpec> {
    let read = |key: &str, value: Option<&String>| around.file(&at.key(key), value?);
    let certificate =
        at.required("certificate", file.certificate.as_ref(), "name the PEM file of the certificate chain");
    let key = at.required("key", file.key.as_ref(), "name the PEM file of the private key");
    let (certificate, key) = (read("certificate", certificate), read("key", key));
    let client_ca = read("client_ca", file.client_ca.as_ref());
    let peers = file.allowed_peers.as_deref().unwrap_or_default();
    let list = at.key("allowed_peers");
    if file.allowed_peers.is_some() && peers.is_empty() {
        list.missing("the list is empty; leave it out where any certificate of `client_ca` may ask");
    }
    if file.allowed_peers.is_some() && file.client_ca.is_none() {
        list.missing("without `client_ca` no client certificate is asked for; name the authorities, too");
    }
    for (index, peer) in peers.iter().enumerate() {
        if peer.is_empty() || peer.bytes().any(|b| !b.is_ascii_graphic()) || peer.contains('*') {
            list.index(index).error("expected a URI or a DNS name as it stands in the certificate, without wildcards");
        }
    }
    if file.client_ca.is_some() && client_ca.is_none() {
        return None;
    }
    Some(TlsSpec {
        certificate: certificate?,
        key: key?,
        client_ca,
        allowed_peers: peers.iter().map(|peer| peer.as_str().into()).collect(),
    })
}

fn control_listener(at: &At<'_>, file: &ControlFile, around: Surroundings<'_>) -> Option<ControlListener> {
    let listen = at.required("listen", file.listen.as_ref(), "write a loopback address and port, or `unix:/path`");
    let address = listen.and_then(|listen| address(at, listen, file.mode.as_deref(), around));
    if let Some(Address::Tcp(address)) = &address
        && !address.ip().is_loopback()
    {
        at.key("listen").error(format!(
            "`{address}` can be reached from other hosts; the control listener is for loopback or a unix socket alone"
        ));
    }
    let token = match (&file.token_file, &file.token_env) {
        (Some(name), None) => secret_file(&at.key("token_file"), name, around),
        (None, Some(name)) => secret_env(&at.key("token_env"), name, around),
        (Some(_), Some(_)) => {
            at.error("`token_file` and `token_env` are both there; keep one");
            None
        }
        (None, None) => {
            at.missing("`token_file` or `token_env` is missing: every call to the control listener needs a token");
            None
        }
    };
    Some(ControlListener { address: address?, token: token? })
}

/// A token's length is bounded by what a header can hold.
const MAX_SECRET: usize = 4096;

pub(super) fn secret_file(at: &At<'_>, name: &str, around: Surroundings<'_>) -> Option<Secret> {
    let path = around.file(at, name)?;
    let read = || -> std::io::Result<String> {
        use std::io::Read as _;
        let mut text = String::new();
        let limit = u64::try_from(MAX_SECRET + 1).unwrap_or(u64::MAX);
        std::fs::File::open(&path)?.take(limit).read_to_string(&mut text)?;
        Ok(text)
    };
    match read() {
        Ok(text) => secret(at, &text),
        Err(_) if around.files == Files::Elsewhere => Some(unknown()),
        Err(error) => {
            at.error(format!("the file `{}` cannot be read: {}", shown(&path.to_string_lossy()), io_reason(&error)));
            None
        }
    }
}

pub(super) fn secret_env(at: &At<'_>, name: &str, around: Surroundings<'_>) -> Option<Secret> {
    if name.is_empty() || name.contains(['=', '\0']) {
        at.error("expected the name of an environment variable");
        return None;
    }
    match std::env::var(name) {
        Ok(text) => secret(at, &text),
        Err(_) if around.files == Files::Elsewhere => Some(unknown()),
        Err(_) => {
            at.error(format!("the environment variable `{}` is not set, or not text", shown(name)));
            None
        }
    }
}

/// Stands for a secret that is on another machine: nobody knows it.
fn unknown() -> Secret {
    Secret::new(format!("{:032x}", rand::random::<u128>()))
}

fn secret(at: &At<'_>, text: &str) -> Option<Secret> {
    let text = text.trim();
    if text.is_empty() || text.len() > MAX_SECRET || text.bytes().any(|b| !b.is_ascii_graphic()) {
        at.error("the secret there must be 1 to 4096 visible characters of ASCII");
        return None;
    }
    Some(Secret::new(text))
}

/// Reads `unix:/path` or `address:port`, and the socket's mode beside it.
fn address(at: &At<'_>, text: &str, mode: Option<&str>, around: Surroundings<'_>) -> Option<Address> {
    let listen = at.key("listen");
    let Some(path) = text.strip_prefix("unix:") else {
        if mode.is_some() {
            at.key("mode").error("only a unix socket has a mode; leave it out");
        }
        return tcp(&listen, text).map(Address::Tcp);
    };
    let path: PathBuf = around.path(path);
    if text == "unix:" || text.contains('\0') || path.as_os_str().len() > MAX_SOCKET_PATH {
        listen.error(format!("expected `unix:` and a path of at most {MAX_SOCKET_PATH} bytes"));
        return None;
    }
    let mode = match mode {
        None => 0o660,
        Some(text) => match u32::from_str_radix(text, 8) {
            Ok(mode) if (3..=4).contains(&text.len()) && mode & 0o600 == 0o600 && mode <= 0o777 => mode,
            _ => {
                at.key("mode").error(format!(
                    "expected octal permission bits in quotes, such as `\"0660\"`, that let the owner read and write; found `{}`",
                    shown(text)
                ));
                return None;
            }
        },
    };
    Some(Address::Unix { path, mode })
}

fn tcp(at: &At<'_>, text: &str) -> Option<SocketAddr> {
    let parsed = text.parse().ok();
    if parsed.is_none() {
        let hint = match text.rsplit_once(':') {
            _ if text.starts_with('/') => format!("; for a unix socket write `unix:{}`", shown(text)),
            Some(("localhost", port)) => format!("; write `127.0.0.1:{}`", shown(port)),
            Some(("", port)) => format!("; write `0.0.0.0:{}` for every address of this host", shown(port)),
            _ => "; host names are not looked up".to_owned(),
        };
        at.error(format!("expected `address:port`, found `{}`{hint}", shown(text)));
    }
    parsed
}

/// Two listeners cannot share an address.
fn distinct(at: &At<'_>, check: &[CheckListener], probes: Option<SocketAddr>, control: Option<&ControlListener>) {
    let list = at.key("check");
    let mut seen: Vec<(Address, String)> = Vec::new();
    let mut take = |address: Address, place: &At<'_>| {
        if matches!(address, Address::Tcp(address) if address.port() == 0) {
            return;
        }
        let same = |other: &Address| match (other, &address) {
            (Address::Unix { path: a, .. }, Address::Unix { path: b, .. }) => a == b,
            (Address::Tcp(a), Address::Tcp(b)) => a == b,
            (Address::Unix { .. }, Address::Tcp(_)) | (Address::Tcp(_), Address::Unix { .. }) => false,
        };
        match seen.iter().find(|(other, _)| same(other)) {
            Some((_, first)) => place.error(format!("`{first}` has the same address; give each listener its own")),
            None => seen.push((address, place.to_string())),
        }
    };
    for (index, listener) in check.iter().enumerate() {
        let at = list.index(index);
        take(listener.address.clone(), &at.key("listen"));
    }
    if let Some(address) = probes {
        let at = at.key("probes");
        take(Address::Tcp(address), &at.key("listen"));
    }
    if let Some(control) = control {
        let at = at.key("control");
        take(control.address.clone(), &at.key("listen"));
    }
}
