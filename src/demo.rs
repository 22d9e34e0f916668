//! The development issuer, the echo upstream and the guided tour of `tollgate demo`. Never part of `serve`.
