//! Results for people: columns lined up, numbers to the right.
//!
//! A table must know its widths, so it holds its rows; beyond [`TABLE_ROWS_MAX`] it only counts (I3 of `output`).

use std::io::Write;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, FieldRef, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table};
use tableflow_model::Result;

use super::{json, printed};

/// More is nothing to look at; csv and ndjson are for more.
const TABLE_ROWS_MAX: usize = 1_000;

/// Borders of Markdown: readable in a terminal, and in an issue.
pub fn empty_table(columns: &[(String, CellAlignment)]) -> Table {
    let mut table = Table::new();
    table.load_preset(comfy_table::presets::ASCII_MARKDOWN).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(columns.iter().map(|(name, _)| Cell::new(one_line(name))));
    for (column, (_, alignment)) in table.column_iter_mut().zip(columns) {
        column.set_cell_alignment(*alignment);
    }
    table
}

/// A cell stays on its line.
pub fn one_line(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

pub struct TableRows<'w> {
    out: &'w mut dyn Write,
    table: Table,
    rows: usize,
}

impl<'w> TableRows<'w> {
    pub fn new(schema: &SchemaRef, out: &'w mut dyn Write) -> Self {
        let alignment = |data_type: &DataType| match data_type.is_numeric() {
            true => CellAlignment::Right,
            false => CellAlignment::Left,
        };
        let columns: Vec<_> =
            schema.fields().iter().map(|field| (field.name().clone(), alignment(field.data_type()))).collect();
        TableRows { out, table: empty_table(&columns), rows: 0 }
    }

    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let shown = batch.num_rows().min(TABLE_ROWS_MAX.saturating_sub(self.rows));
        self.rows += batch.num_rows();
        let texts = printed(column_texts(&batch.slice(0, shown)))?;
        for row in 0..shown {
            self.table.add_row(texts.iter().filter_map(|column| column.get(row)).map(|text| Cell::new(one_line(text))));
        }
        Ok(())
    }

    pub fn finish(self) -> Result<()> {
        let more = match self.rows {
            1 => "(1 row)".to_owned(),
            rows if rows > TABLE_ROWS_MAX => {
                format!("({rows} rows, the first {TABLE_ROWS_MAX} shown; -o csv or -o ndjson prints all)")
            }
            rows => format!("({rows} rows)"),
        };
        printed(writeln!(self.out, "{}\n{more}", self.table))?;
        printed(self.out.flush())
    }
}

/// Column by column; nulls are empty.
fn column_texts(batch: &RecordBatch) -> Result<Vec<Vec<String>>, arrow::error::ArrowError> {
    let options = FormatOptions::new();
    let schema = batch.schema();
    let column = |(field, column): (&FieldRef, &ArrayRef)| match column.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Dictionary(..) => {
            let formatter = ArrayFormatter::try_new(column, &options)?;
            (0..batch.num_rows()).map(|row| formatter.value(row).try_to_string()).collect()
        }
        _ => Ok(json::texts(field, column)?.into_iter().map(Option::unwrap_or_default).collect()),
    };
    schema.fields().iter().zip(batch.columns()).map(column).collect()
}
