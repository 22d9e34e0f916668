//! Fetches from a loopback server.
