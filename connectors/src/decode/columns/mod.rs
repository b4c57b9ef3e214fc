//! Columns that grow row by row and can be taken back: what every format decodes into.
//!
//! ```text
//!  column, fields        any type; the columns of a row
//!  list, map             columns with parts
//!  leaf, runs            scalars, and which values they take
//!  decimal, temporal     text into numbers and times, exactly
//!  validity              which rows have a value
//!  names                 which columns there can be
//!  place                 where in a record a value stands, and the declaration that helps
//! ```
//!
//! - I1: a record that fails is taken back whole: truncating to the rows before it undoes all it wrote.
//! - I2: a value that is taken is kept exactly, whatever the format.

pub(super) mod column;
pub(super) mod decimal;
pub(super) mod fields;
pub(super) mod leaf;
pub(super) mod list;
pub(super) mod map;
pub(super) mod names;
pub(super) mod place;
pub(super) mod runs;
pub(super) mod temporal;
pub(super) mod validity;

/// More columns than engines plan well; data that asks for more is mostly a map written as an object.
pub(super) const LEAVES_MAX: usize = 1000;
