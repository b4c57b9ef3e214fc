//! The way on past a record that cannot be decoded, as a command.
//!
//! Owns [`WayOn`], the only place that makes commands out of what a decoder says about a record.
//! - I1: what a hint tells to type works in this version: another table of the same topic, with the same declarations,
//!   partitioning and order, whose column takes the record, or which starts behind it.

use arrow::datatypes::{Field, Fields};
use iceberg::spec::TableMetadata;
use tableflow_connectors::decode::{MetadataColumns, Remedy};
use tableflow_lake::layout::{arrow_schema, new_schema, parse_partition_by, parse_sort_by, partition_text, sort_text};
use tableflow_model::types::flink_column;
use tableflow_model::{Result, TableName, TopicName};

use super::definition::{Definition, declared_columns};

/// The namespace of tables whose `enable` names none.
const NAMESPACE_DEFAULT: &str = "bronze";

/// What a further table of the same topic is enabled with.
#[derive(Debug)]
pub struct WayOn {
    topic: TopicName,
    table: TableName,
    declared: Vec<Field>,
    columns: Fields,
    metadata_columns: MetadataColumns,
    partition_by: String,
    sort_by: String,
}

impl WayOn {
    pub fn of(definition: &Definition, table: &TableMetadata) -> Result<Self> {
        let schema = table.current_schema();
        Ok(WayOn {
            topic: definition.topic.clone(),
            table: definition.table.clone(),
            declared: declared_columns(&definition.columns)?,
            columns: arrow_schema(schema)?.fields().clone(),
            metadata_columns: definition.metadata_columns,
            partition_by: partition_text(table.default_partition_spec().fields(), schema),
            sort_by: sort_text(table.default_sort_order(), schema),
        })
    }

    /// What to do about a record.
    pub fn hint(&self, remedy: &Remedy) -> String {
        match remedy {
            Remedy::Declare(column) => {
                let declared = with(&self.declared, column);
                format!("a table with another column takes it: {}", self.command(&declared, ""))
            }
            Remedy::Produce(words) => {
                let command = self.command(&self.declared, " --from latest");
                format!(
                    "{words}; no table takes this record, and skipping it comes later: a table of what is sent from now \
                     on: {command}"
                )
            }
        }
    }

    fn command(&self, declared: &[Field], from: &str) -> String {
        // The mode is said aloud: for a compacted topic it must be.
        let mut command =
            format!("tableflow enable {} --mode append --table {}", self.topic, quoted(&next_name(self.table.name())));
        let mut flag = |name: &str, text: &str| {
            if !text.is_empty() {
                command.push_str(&format!(" --{name} {}", quoted(text)));
            }
        };
        if self.table.namespace() != NAMESPACE_DEFAULT {
            flag("namespace", self.table.namespace());
        }
        flag("columns", &declared.iter().map(flink_column).collect::<Vec<_>>().join(", "));
        if self.metadata_columns == MetadataColumns::None {
            flag("metadata-columns", "none");
        }
        let columns = declared.iter().fold(self.columns.to_vec(), |columns, field| {
            let fields: Vec<Field> = columns.iter().map(|column| column.as_ref().clone()).collect();
            with(&fields, field).into_iter().map(Into::into).collect()
        });
        // A column of another type may be none to partition or sort by.
        if let Ok(schema) = new_schema(&columns.into()) {
            if parse_partition_by(&self.partition_by, &schema).is_ok() {
                flag("partition-by", &self.partition_by);
            }
            if parse_sort_by(&self.sort_by, &schema).is_ok() {
                flag("sort-by", &self.sort_by);
            }
        }
        command + from
    }
}

/// The columns with this one instead of its namesake, or at the end.
fn with(columns: &[Field], column: &Field) -> Vec<Field> {
    let mut columns = columns.to_vec();
    match columns.iter_mut().find(|known| known.name() == column.name()) {
        Some(known) => *known = column.clone(),
        None => columns.push(column.clone()),
    }
    columns
}

/// `orders`, `orders_2`, `orders_3`.
fn next_name(name: &str) -> String {
    let counted = name.rsplit_once('_').and_then(|(stem, count)| Some((stem, count.parse::<u32>().ok()?)));
    match counted {
        Some((stem, count @ 2..1000)) => format!("{stem}_{}", count + 1),
        _ => format!("{name}_2"),
    }
}

/// A word of a shell.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.,:/".contains(c);
    if text.chars().all(plain) {
        return text.to_owned();
    }
    if text.contains(['`', '$', '"', '\\', '!', '\'']) {
        return format!("'{}'", text.replace('\'', "'\\''"));
    }
    format!("\"{text}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i1_names_count_on_and_words_are_quoted_for_a_shell() {
        for (name, next) in [("orders", "orders_2"), ("orders_2", "orders_3"), ("day_0", "day_0_2"), ("_2", "_3")] {
            assert_eq!(next_name(name), next);
        }
        for (text, word) in [
            ("raw", "raw"),
            ("n BIGINT, m MAP<STRING, INT>", "\"n BIGINT, m MAP<STRING, INT>\""),
            ("`odd 'name` INT", "'`odd '\\''name` INT'"),
        ] {
            assert_eq!(quoted(text), word);
        }
    }
}
