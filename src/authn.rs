//! Who sent this request: bearer credentials, JSON Web Tokens, key sets and their refresh.

pub mod issuer;
pub mod keys;
pub mod spec;
pub mod store;

pub use issuer::{Authenticated, AuthnError, Issuer, authenticate};
