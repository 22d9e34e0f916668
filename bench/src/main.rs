//! Measures the gate.

fn main() {}
