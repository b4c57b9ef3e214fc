//! The ids of rows that are written anew, from version 3 of the format on (rule R7).
//!
//! Owns [`Lineage`].
//! - I1: a row keeps its id, and the sequence number of its last change: its own where its file has it, else that which
//!   it inherits by its place. A row of a file without ids gets one with the new file.
//! - I2: columns are known by the ids that the format reserves; a table may have columns of the same names.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;
use iceberg::metadata_columns::{
    RESERVED_COL_NAME_LAST_UPDATED_SEQUENCE_NUMBER, RESERVED_COL_NAME_ROW_ID,
    RESERVED_FIELD_ID_LAST_UPDATED_SEQUENCE_NUMBER, RESERVED_FIELD_ID_ROW_ID,
};
use iceberg::spec::{
    FormatVersion, NestedField, NestedFieldRef, PrimitiveType, Schema, SchemaRef, TableMetadata, Type,
};
use tableflow_model::{Error, Result};

use crate::commit::LiveFile;
use crate::{arrow_error, iceberg_error};

/// Which columns a rewrite reads and writes.
#[derive(Debug)]
pub struct Lineage {
    /// The table's, and behind them those of lineage where rows have ids.
    pub schema: SchemaRef,
    has_ids: bool,
}

impl Lineage {
    pub fn of(table: &TableMetadata) -> Result<Self> {
        let schema = table.current_schema();
        let has_ids = table.format_version() >= FormatVersion::V3;
        if !has_ids {
            return Ok(Lineage { schema: schema.clone(), has_ids });
        }
        let mut fields: Vec<NestedFieldRef> = schema.as_struct().fields().to_vec();
        for (id, name) in [
            (RESERVED_FIELD_ID_ROW_ID, RESERVED_COL_NAME_ROW_ID),
            (RESERVED_FIELD_ID_LAST_UPDATED_SEQUENCE_NUMBER, RESERVED_COL_NAME_LAST_UPDATED_SEQUENCE_NUMBER),
        ] {
            // I2.
            let mut name = name.to_owned();
            while schema.field_by_name(&name).is_some() {
                name.push('_');
            }
            fields.push(NestedField::optional(id, name, Type::Primitive(PrimitiveType::Long)).into());
        }
        let schema = Schema::builder().with_schema_id(schema.schema_id()).with_fields(fields).build();
        let schema = schema.map_err(iceberg_error("the columns of rows and their ids make no schema"))?;
        Ok(Lineage { schema: Arc::new(schema), has_ids })
    }

    /// Rows of a file, `first` being the place of the first of them in it, with what they inherit (I1).
    pub fn inherited(&self, rows: RecordBatch, of: &LiveFile, first: u64) -> Result<RecordBatch> {
        let (true, Some(first_id)) = (self.has_ids, of.file.first_row_id()) else { return Ok(rows) };
        let mut columns = rows.columns().to_vec();
        let [.., ids, sequences] = columns.as_mut_slice() else {
            return Err(Error::internal("rows that are written anew lost their ids"));
        };
        let first_id = first_id.saturating_add_unsigned(first);
        *ids = filled(ids, |row| first_id + row)?;
        *sequences = filled(sequences, |_| of.sequence)?;
        RecordBatch::try_new(rows.schema(), columns).map_err(arrow_error("giving rows their ids"))
    }
}

/// The numbers, and others where there is none.
fn filled(numbers: &ArrayRef, inherited: impl Fn(i64) -> i64) -> Result<ArrayRef> {
    let own = numbers.as_primitive_opt::<Int64Type>();
    let own = own.ok_or_else(|| Error::internal("the ids of rows are no numbers"))?;
    if own.null_count() == 0 {
        return Ok(numbers.clone());
    }
    let all = own.iter().zip(0_i64..).map(|(own, row)| own.unwrap_or_else(|| inherited(row)));
    Ok(Arc::new(Int64Array::from_iter_values(all)))
}
