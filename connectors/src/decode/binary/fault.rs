//! What is wrong with a record's bytes, in words.
//!
//! Owns [`Fault`]: made where it is found, it gathers its path on the way up, so that a good record pays nothing.

use tableflow_model::types::flink_type;

use crate::decode::columns::column::Column;
use crate::decode::columns::leaf::Misfit;
use crate::decode::columns::place::{Step, written};
use crate::decode::{Reason, RecordError, Remedy};

const OTHER_SCHEMA: &str = "the bytes were written with another schema than the one that the record names, or were damaged: \
                            send each record with the id of its own schema";
const WITHIN_RANGE: &str = "send values that the column holds exactly";

#[derive(Debug)]
pub(in crate::decode) struct Fault {
    /// None: the bytes are none of the format's.
    reason: Option<Reason>,
    /// What is the matter; the path goes before it.
    words: String,
    hint: &'static str,
    /// From the value up to the record.
    path: Vec<Step>,
}

/// What a reader of bytes answers.
pub(in crate::decode) type Read<T = ()> = Result<T, Box<Fault>>;

impl Fault {
    #[cold]
    fn new(reason: impl Into<Option<Reason>>, words: String, hint: &'static str) -> Box<Self> {
        Box::new(Fault { reason: reason.into(), words, hint, path: Vec::new() })
    }

    /// Bytes that no writer with this schema makes.
    #[cold]
    pub fn foreign(words: impl Into<String>) -> Box<Self> {
        Fault::new(None, words.into(), OTHER_SCHEMA)
    }

    /// More is said to come than there is.
    #[cold]
    pub fn truncated(words: impl Into<String>) -> Box<Self> {
        Fault::new(Reason::Truncated, words.into(), OTHER_SCHEMA)
    }

    #[cold]
    pub fn trailing(count: usize) -> Box<Self> {
        let words = format!("ends {count} bytes before the record does");
        Fault::new(Reason::TrailingData, words, OTHER_SCHEMA)
    }

    #[cold]
    pub fn too_deep(words: String) -> Box<Self> {
        Fault::new(Reason::TooDeep, words, "send objects and arrays of fewer levels")
    }

    #[cold]
    pub fn not_unicode(at: usize) -> Box<Self> {
        let words = format!("has a text that is not UTF-8 from byte {at} on");
        Fault::new(Reason::InvalidUtf8, words, "send text that is Unicode")
    }

    #[cold]
    pub fn out_of_range(words: String) -> Box<Self> {
        Fault::new(Reason::OutOfRange, words, WITHIN_RANGE)
    }

    #[cold]
    pub fn repeated_key() -> Box<Self> {
        let words = "is a map that has a key twice".to_owned();
        Fault::new(Reason::RepeatedKey, words, "send each key of a map once")
    }

    /// The null of a record that may be null.
    #[cold]
    pub fn no_row() -> Box<Self> {
        Fault::new(Reason::MissingValue, "is null, not a record".to_owned(), "a row comes from a record: send one")
    }

    /// A value that its schema asks for.
    #[cold]
    pub fn required() -> Box<Self> {
        Fault::new(Reason::MissingValue, "is required, and is not there".to_owned(), "send a value in every record")
    }

    /// Null for a column that must have a value.
    #[cold]
    pub fn missing(column: &Column) -> Box<Self> {
        let words = format!("is null, its column is {} NOT NULL", flink_type(&column.data_type()));
        Fault::new(Reason::MissingValue, words, "send a value: the table's column takes no null")
    }

    /// A program that does not fit its column. `bind` lets none through.
    #[cold]
    pub fn unbound() -> Box<Self> {
        Fault::new(Reason::TypeMismatch, "does not have the type of its column".to_owned(), OTHER_SCHEMA)
    }

    /// The same fault, seen from one level up.
    #[cold]
    pub fn under(mut self: Box<Self>, step: Step) -> Box<Self> {
        self.path.push(step);
        self
    }

    /// The fault as the caller sees it; `foreign` stands for bytes that are none of the format's.
    pub fn explain(mut self, row: usize, foreign: Reason) -> RecordError {
        self.path.reverse();
        let path = written(&self.path);
        let subject = if self.path.is_empty() { "the value" } else { &path };
        let message = format!("{subject} {}", self.words);
        let remedy = Remedy::Produce(self.hint.to_owned());
        RecordError { row, reason: self.reason.unwrap_or(foreign), message, path, remedy }
    }
}

/// A value of the right type that the column cannot keep.
impl From<Misfit> for Box<Fault> {
    #[cold]
    fn from(misfit: Misfit) -> Self {
        match misfit {
            Misfit::Range(why) | Misfit::Form(why) => Fault::out_of_range(format!("cannot be kept: {why}")),
            Misfit::Type | Misfit::Zone => Fault::unbound(),
        }
    }
}
