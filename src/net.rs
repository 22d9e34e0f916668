//! The one HTTP client: a time limit, a size limit, no redirects, pooled connections, rules on addresses.

/// The one HTTP client. Cloning it shares its connections.
#[derive(Clone, Debug)]
pub struct HttpClient {}
