//! Records as they are: one column holds the whole value.
//!
//! Owns [`RawDecoder`], and the column: `value`, or `key` for keys, which is BYTES, or STRING where it is asked for.
//! - I1: no byte is changed; text is text or stops at its record.
//! - I2: other columns that the table has are null.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use tableflow_model::types::{flink_column, flink_type};
use tableflow_model::{Error, Records, Result};

use super::columns::column::{Column, Values};
use super::columns::fields::Fields;
use super::columns::names::is_reserved;
use super::pass::{Pass, Stop};
use super::{BadRecords, Decoded, Decoder, Origins, Reason, RecordError, Remedy};

/// Takes the values of one topic as bytes or as text.
pub struct RawDecoder {
    name: &'static str,
    columns: Fields,
    index: usize,
    schema: SchemaRef,
}

impl std::fmt::Debug for RawDecoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RawDecoder").field("schema", &self.schema).finish_non_exhaustive()
    }
}

impl RawDecoder {
    /// A decoder for a table with these columns, or a new one; the metadata columns are passed over. `wanted` is BYTES
    /// or STRING; without it the column is what it is in the table, or else BYTES.
    pub fn new(wanted: Option<&DataType>, table: &Schema) -> Result<Self> {
        Self::into_column("value", wanted, table)
    }

    /// The same, into a column of this name.
    pub fn into_column(name: &'static str, wanted: Option<&DataType>, table: &Schema) -> Result<Self> {
        let value_columns = table.fields().iter().filter(|field| !is_reserved(field.name()));
        let mut columns = Fields::of(value_columns, false).map_err(|field| unfit(name, field))?;
        let index = match columns.index_of(name) {
            Some(index) => index,
            None => {
                let data_type = wanted.unwrap_or(&DataType::Binary);
                let field = Field::new(name, data_type.clone(), true);
                columns.add(name, Column::of(&field, false).ok_or_else(|| unfit(name, &field))?)
            }
        };
        columns.settle();
        let schema = Arc::new(Schema::new(columns.schema_fields()));
        let decoder = RawDecoder { name, columns, index, schema };
        decoder.check(wanted)?;
        Ok(decoder)
    }

    fn check(&self, wanted: Option<&DataType>) -> Result<()> {
        let name = self.name;
        let field = self.schema.field(self.index);
        if !matches!(field.data_type(), DataType::Binary | DataType::Utf8) {
            return Err(unfit(name, field));
        }
        if let Some(wanted) = wanted.filter(|wanted| *wanted != field.data_type()) {
            let what =
                format!("column {name} is {} in the table, not {}", flink_type(field.data_type()), flink_type(wanted));
            return Err(Error::usage(what)
                .with_hint("a column keeps its type: enable the topic into another table with --table"));
        }
        match self.schema.fields().iter().find(|field| !field.is_nullable() && field.name() != name) {
            Some(other) => Err(Error::usage(format!("column {} would have no value", flink_column(other)))
                .with_hint(format!("raw records fill the column {name} alone"))),
            None => Ok(()),
        }
    }

    /// Appends one record as row `row`, or leaves everything as it was.
    fn record(&mut self, records: &Records, place: usize, row: usize) -> std::result::Result<(), RecordError> {
        let value = records.value(place).ok_or_else(|| RecordError::tombstone(place))?;
        let Some(column) = self.columns.column(self.index) else { return Ok(()) };
        column.place(row);
        let pushed = match &mut column.values {
            Values::Text(texts) => match std::str::from_utf8(value) {
                Ok(_) => texts.runs.push(value),
                Err(error) => return Err(no_text(self.name, place, error.valid_up_to())),
            },
            Values::Bytes(bytes) => bytes.runs.push(value),
            _ => Ok(()),
        };
        match pushed {
            Ok(()) => column.validity.append_value(),
            Err(_) => {
                self.columns.roll_back(row);
                return Err(too_much(place));
            }
        }
        Ok(())
    }
}

fn unfit(name: &str, field: &Field) -> Error {
    Error::usage(format!("raw records cannot fill the column {}", flink_column(field)))
        .with_hint(format!("all of it goes into the column {name}, which is BYTES or STRING"))
}

fn no_text(name: &str, row: usize, valid_bytes: usize) -> RecordError {
    RecordError {
        row,
        reason: Reason::InvalidUtf8,
        path: "$".to_owned(),
        message: format!("the value is not UTF-8 from byte {valid_bytes} on"),
        remedy: Remedy::Declare(Arc::new(Field::new(name, DataType::Binary, true))),
    }
}

fn too_much(row: usize) -> RecordError {
    RecordError {
        row,
        reason: Reason::OutOfRange,
        path: "$".to_owned(),
        message: "the value does not fit: a batch holds 2 GiB of one column".to_owned(),
        remedy: Remedy::Produce("send smaller records".to_owned()),
    }
}

impl Decoder for RawDecoder {
    fn decode_from(&mut self, records: &Records, first_row: usize, bad: BadRecords) -> Decoded {
        let pass =
            Pass::over(records, first_row, bad, |place, row| self.record(records, place, row).map_err(Stop::failed));
        let batch = self.columns.finish_batch(&self.schema, pass.rows());
        pass.with(batch, Origins::default())
    }

    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn schema_version(&self) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests {
    use tableflow_model::types::parse_columns;

    use super::*;
    use crate::decode::shown::{records, shown};

    fn decoder(wanted: Option<&DataType>, table: &str) -> Result<RawDecoder> {
        let columns = if table.is_empty() { Vec::new() } else { parse_columns(table).unwrap() };
        RawDecoder::new(wanted, &Schema::new(columns))
    }

    #[test]
    fn i1_values_are_bytes_or_text_as_they_are() {
        let values = [Some(&b"caf\xc3\xa9"[..]), Some(b""), Some(b"\0\xff"), Some(b"z"), None];
        let mut bytes = decoder(None, "").unwrap();
        let decoded = bytes.decode(&records(&values));
        assert_eq!(shown(&decoded.batch), ["[99, 97, 102, 195, 169]", "[]", "[0, 255]", "[122]"]);
        assert_eq!(decoded.failure.map(|failure| (failure.row, failure.reason)), Some((4, Reason::Tombstone)));

        let mut text = decoder(Some(&DataType::Utf8), "").unwrap();
        let decoded = text.decode(&records(&values));
        assert_eq!(shown(&decoded.batch), ["\"caf\u{e9}\"", "\"\""]);
        let failure = decoded.failure.unwrap();
        assert_eq!((failure.row, failure.message.as_str()), (2, "the value is not UTF-8 from byte 1 on"));
        assert_eq!(shown(&text.decode_from(&records(&values[..4]), 3, BadRecords::Stop).batch), ["\"z\""]);
    }

    #[test]
    fn i2_a_table_that_is_there_keeps_its_columns() {
        let mut decoder = decoder(None, "a INT, `value` STRING, _tableflow_offset BIGINT").unwrap();
        assert_eq!(shown(&decoder.decode(&records(&[Some("x")])).batch), ["- | \"x\""]);
        for (wanted, table, expected) in [
            (None, "`value` BIGINT", "raw records cannot fill the column value BIGINT"),
            (Some(DataType::Binary), "`value` STRING", "column value is STRING in the table, not BYTES"),
            (None, "a INT NOT NULL", "column a INT NOT NULL would have no value"),
            (Some(DataType::Int32), "", "raw records cannot fill the column value INT"),
        ] {
            let error = self::decoder(wanted.as_ref(), table).unwrap_err();
            assert!(error.report().starts_with(&format!("error: {expected}")), "{}", error.report());
        }
    }
}
