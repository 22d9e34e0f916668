//! Which request headers hold what is not to be shown.

use crate::authn::credential::header_name;
use crate::authn::spec::IssuerSpec;

/// Headers that hold credentials, whoever reads them. What is known to fold to one of these counts as well.
const CREDENTIALS: [&str; 5] =
    ["authorization", "proxy-authorization", "cookie", "x-api-key", "x-forwarded-access-token"];

/// The names of headers whose values are not shown.
#[derive(Debug)]
pub(super) struct Names(Vec<String>);

impl Names {
    /// Those that everybody uses, and those of these issuers' tokens.
    pub(super) fn of(issuers: &[IssuerSpec]) -> Self {
        let of_issuers = issuers.iter().map(|issuer| header_name(&issuer.credential));
        Self(
            CREDENTIALS.into_iter().chain(of_issuers).map(|name| crate::core::table::fold(name).into_owned()).collect(),
        )
    }

    /// Whether this header's value is to be kept secret.
    pub(super) fn hold(&self, name: &str) -> bool {
        let folded = crate::core::table::fold(name);
        self.0.iter().any(|known| **known == *folded)
    }

    /// A header's value for people.
    pub(super) fn shown(&self, name: &str, value: &str) -> String {
        if self.hold(name) { "(not shown)".to_owned() } else { value.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_hidden_in_every_spelling() {
        let names = Names::of(&[]);
        for name in ["authorization", "Authorization", "proxy_authorization", "Cookie", "x.api.key"] {
            assert_eq!(names.shown(name, "hunter2"), "(not shown)", "{name}");
        }
        assert_eq!(names.shown("x-test", "1"), "1");
    }
}
