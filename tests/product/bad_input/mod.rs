//! Records, names, topics and tables that are wrong: each has an outcome that is written down here.
//!
//! - I1: a record that cannot be a row suspends its table at that record, with place, reason and a way out; what
//!   came before it is committed, and nothing after it in its partition.
//! - I2: other partitions' good rows and other tables go on.
//! - I3: nothing is lost: once the trouble is mended, the table goes on where it stood.
//! - I4: what is odd and right is a row, and every engine reads it as it was sent.
//!
//! ```text
//!  records     a record that cannot be a row
//!  formats     the same of every format, put aside
//!  odd         a record that is one all the same
//!  metadata    keys, headers and times that are odd
//!  batches     batches with holes, laid by hand
//!  partitions  values that make bad folders, and too many of them
//!  damaged     files of a table that are not what they were
//!  refused     columns, names and settings that cannot be
//!  tables      topics and tables that somebody took away
//! ```

mod batches;
mod damaged;
mod formats;
mod metadata;
mod odd;
mod partitions;
mod records;
mod refused;
mod tables;
