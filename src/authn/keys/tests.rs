//! Key parsing, by the rows of the list of hostile inputs.
