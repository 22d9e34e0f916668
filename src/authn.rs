//! Who sent this request: bearer credentials, JSON Web Tokens, key sets and their refresh.

mod accepted;
mod authenticate;
mod cache;
mod claims;
pub mod credential;
mod error;
pub mod explain;
mod introspection;
pub mod issuer;
mod jose;
pub mod json;
pub mod jwt;
pub mod keys;
mod mapping;
mod select;
pub mod spec;
pub mod stated;
pub mod store;
pub mod trace;
mod verified;

pub use accepted::Accepted;
pub use authenticate::{Authenticated, LookUp, Pending, authenticate, authenticate_by, look_up};
pub use error::AuthnError;
pub(crate) use error::shown;
pub use issuer::Issuer;
