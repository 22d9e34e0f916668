//! One request, as far as a table looks at it.

use std::fmt;

use super::super::super::request::{Direction, Header, Headers, RawRequest};

/// A request that shows something about a table.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize)]
pub struct Sample {
    /// Of the listener.
    pub direction: Direction,
    /// The method.
    pub method: String,
    /// The host, without port.
    pub host: String,
    /// The path as it is sent, encoded where it must be.
    pub path: String,
    /// Names and values of headers.
    pub headers: Vec<(String, String)>,
    /// Keys and values that a route of the operator's sets.
    pub context_extensions: Vec<(String, String)>,
}

impl Sample {
    /// The request as a proxy would report it.
    pub fn raw(&self) -> RawRequest<'_> {
        let lines = self.headers.iter().map(|(name, value)| Header { name, value: value.as_bytes() });
        let extensions = self.context_extensions.iter().map(|(key, value)| (&**key, &**value));
        RawRequest {
            direction: self.direction,
            method: &self.method,
            host: &self.host,
            path: &self.path,
            headers: Headers::new(lines.collect()),
            principal: "",
            certificate: "",
            context_extensions: extensions.collect(),
        }
    }
}

impl fmt::Display for Sample {
    /// Method, host and path, and what else the request must have.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}", self.method, self.host, self.path)?;
        let headers = self.headers.iter().map(|(name, value)| format!("`{name}: {value}`"));
        let extensions = self.context_extensions.iter().map(|(key, value)| format!("`{key}: {value}` of the route"));
        for (at, part) in headers.chain(extensions).enumerate() {
            write!(f, "{}{part}", if at == 0 { " with " } else { ", " })?;
        }
        if self.direction == Direction::Outbound { f.write_str(" (outbound)") } else { Ok(()) }
    }
}
