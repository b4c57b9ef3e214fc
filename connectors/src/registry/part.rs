//! The part of a record that a schema describes.

use tableflow_model::Records;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RecordPart {
    Key,
    #[default]
    Value,
}

impl RecordPart {
    /// The end of a subject that is named by the topic.
    pub fn word(self) -> &'static str {
        match self {
            RecordPart::Key => "key",
            RecordPart::Value => "value",
        }
    }

    pub fn bytes(self, records: &Records, row: usize) -> Option<&[u8]> {
        match self {
            RecordPart::Key => records.key(row),
            RecordPart::Value => records.value(row),
        }
    }

    /// The header in which a record carries its schema's id.
    pub fn id_header(self) -> &'static [u8] {
        match self {
            RecordPart::Key => b"__key_schema_id",
            RecordPart::Value => b"__value_schema_id",
        }
    }
}
