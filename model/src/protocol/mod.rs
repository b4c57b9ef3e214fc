//! Exactly once, as facts in and decisions out.
