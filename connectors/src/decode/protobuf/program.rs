//! How the bytes of one message type go into the columns.
//!
//! Owns the words of a program: made by `bind`, run by `read` and closed by `seal`.
//! - I1: a program names columns by their index, and columns are only ever added at the end: it stays true.

use super::scalar::Scalar;

/// Numbers up to it find their field without a search.
const DIRECT_MAX: u32 = 255;
const NONE: u16 = u16::MAX;

/// The fields that have columns, as the schema has them.
#[derive(Debug)]
pub(super) struct Message {
    pub fields: Vec<Field>,
    /// Which field a low number is.
    direct: Vec<u16>,
    /// The other numbers, in order.
    sparse: Vec<(u32, u16)>,
}

#[derive(Debug)]
pub(super) struct Field {
    pub name: Box<str>,
    pub number: u32,
    pub column: usize,
    pub form: Form,
    pub absent: Absent,
    /// The columns of the other fields of its oneof.
    pub rivals: Box<[usize]>,
}

#[derive(Debug)]
pub(super) enum Form {
    Scalar(Scalar),
    Row {
        message: Message,
        group: bool,
    },
    List(Box<Form>),
    Map(Box<Entry>),
    /// `google.protobuf.Timestamp` in a column of timestamps.
    Timestamp,
    /// A message around one value, as a value that may be null.
    Wrapper(Scalar),
    /// What may be of any shape, as JSON text.
    Json(Shapeless),
}

#[derive(Debug)]
pub(super) struct Entry {
    pub key: Scalar,
    pub value: Form,
}

/// The messages of `google/protobuf/struct.proto`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shapeless {
    Struct,
    Value,
    List,
}

/// What a record means that has no value for a field.
#[derive(Debug)]
pub(super) enum Absent {
    Null,
    /// A value, as its bytes would be.
    Default(Box<[u8]>),
    /// proto2 `required`.
    Refused,
}

impl Message {
    pub fn new(fields: Vec<Field>) -> Self {
        let indexed = || fields.iter().zip(0_u16..).map(|(field, index)| (field.number, index));
        let low = indexed().filter(|(number, _)| *number <= DIRECT_MAX);
        let mut direct = vec![NONE; low.clone().map(|(number, _)| number as usize + 1).max().unwrap_or(0)];
        for (number, index) in low {
            if let Some(slot) = direct.get_mut(number as usize) {
                *slot = index;
            }
        }
        let mut sparse: Vec<_> = indexed().filter(|(number, _)| *number > DIRECT_MAX).collect();
        sparse.sort_unstable();
        Message { fields, direct, sparse }
    }

    #[inline(always)]
    pub fn field(&self, number: u32) -> Option<&Field> {
        let index = match self.direct.get(number as usize) {
            Some(index) => *index,
            None => self.far(number)?,
        };
        self.fields.get(usize::from(index))
    }

    #[cold]
    fn far(&self, number: u32) -> Option<u16> {
        let place = self.sparse.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        self.sparse.get(place).map(|(_, index)| *index)
    }
}
