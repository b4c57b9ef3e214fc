//! Records coming in and going out.
//!
//! In flow order:
//!
//! ```text
//!  decode   a record's bytes -> Arrow columns
//! ```
//!
//! Knows nothing of tables or of SQL: above it stands the trait `tableflow_model::Source`.

pub mod decode;
