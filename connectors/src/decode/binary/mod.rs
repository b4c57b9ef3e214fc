//! What the formats share whose records are bytes of a schema.
//!
//! ```text
//!  binding   where a schema's binding to columns stands, and what it brought
//!  cursor    bytes read from the front
//!  fault     what is wrong with a record, and where
//! ```

pub(super) mod binding;
pub(super) mod cursor;
pub(super) mod fault;
#[cfg(test)]
pub(super) mod written;
