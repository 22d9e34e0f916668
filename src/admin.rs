//! The HTTP listeners for probes and for control.
