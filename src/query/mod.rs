//! SQL over the tables.
//!
//! In flow order:
//!
//! ```text
//!  dialect    the words the batch dialect reads, time travel among them
//!  travel     which tables are read at which point in time
//!  statement  text -> one statement, time travel taken out
//!  names      tables and columns as people write them
//!  tables     the catalog as DataFusion sees it: namespaces are schemas
//!  literals   a literal beside a column is read as the column's type
//!  session    a statement -> rows
//!  files      a condition -> the files that it reads
//! ```
//!
//! - I1: nothing but reads is planned: by the plan, not by the text.
//! - I2: a time-travel clause is honoured or refused. DataFusion alone would drop it without a word.
//! - I3: a result that is known to be wrong is an error: a DECIMAL with more digits than its type, a panic.

mod dialect;
mod files;
mod literals;
mod names;
mod session;
mod statement;
mod tables;
mod travel;

pub use files::files_with;
pub use session::{QuerySession, query_error};
pub use travel::Point;
