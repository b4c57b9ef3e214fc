//! The way on past a record that cannot be decoded, as a command.
//!
//! Owns [`WayOn`], the only place that makes commands out of what a decoder says about a record.
//! - I1: what a hint tells to type works in this version: another table of the same topic, with the same declarations,
//!   partitioning and order, whose column takes the record; or the same table, which puts such records aside. Of
//!   several tables of one topic it is always the latter.

use arrow::datatypes::{Field, Fields};
use iceberg::spec::{Schema, TableMetadata};
use tableflow_connectors::decode::{MetadataColumns, Remedy, SchemaFault};
use tableflow_lake::layout::{
    SOURCE_POSITION, arrow_schema, key_ids, latest_by, new_schema, parse_partition_by, parse_sort_by, partition_text,
    sort_text,
};
use tableflow_model::types::{flink_column, flink_name};
use tableflow_model::{Error, Result, TableName, TopicName};

use crate::definition::{Definition, Deletes, ErrorHandling, Format, Upsert, declared_columns};

/// What a further table of the same topic is enabled with.
#[derive(Debug)]
pub struct WayOn {
    topic: TopicName,
    table: TableName,
    /// How records change it, as flags.
    mode: String,
    aside: ErrorHandling,
    declared: Vec<Field>,
    /// How keys are written, and what is declared of them, where they are columns too.
    keys: Option<(Format, Vec<Field>)>,
    columns: Fields,
    metadata_columns: MetadataColumns,
    partition_by: String,
    sort_by: String,
    /// The table is one of several that the definition's topic fills.
    is_one_of_several: bool,
}

fn mode_of(definition: &Definition, table: &TableMetadata) -> Result<String> {
    let schema = table.current_schema();
    let mut mode = match &definition.upsert {
        None => "--mode append".to_owned(),
        Some(Upsert { keys: None, .. }) => "--mode upsert".to_owned(),
        Some(Upsert { keys: Some(_), .. }) => {
            let names: Vec<&str> = key_ids(schema).iter().filter_map(|id| schema.name_by_field_id(*id)).collect();
            format!("--mode upsert --key {}", quoted(&names.join(",")))
        }
    };
    if let Some(upsert) = &definition.upsert {
        if upsert.deletes != Deletes::Hard {
            mode += &format!(" --delete {}", upsert.deletes);
        }
        if let Some(word) = &upsert.unavailable_value {
            mode += &format!(" --unavailable-value-placeholder {}", quoted(word));
        }
    }
    if let (Some(column), Some(_)) = (latest_by(table)?, &definition.upsert) {
        let word = if column == SOURCE_POSITION { "source" } else { &column };
        mode += &format!(" --latest-by {}", quoted(word));
    }
    Ok(match definition.envelope {
        None => mode,
        Some(envelope) => format!("{mode} --format {envelope}"),
    })
}

/// The same of a schema that a table does not take.
pub fn past_schema(error: Error, table: &TableName) -> Error {
    let is_strict = [SchemaFault::ColumnAdded, SchemaFault::ColumnWidened].map(SchemaFault::word);
    match error.context(SchemaFault::CONTEXT) {
        Some(word) if is_strict.contains(&word) => {
            error.with_hint(format!("let the columns follow: tableflow update {table} --evolution additive"))
        }
        _ => error,
    }
}

impl WayOn {
    pub fn of(definition: &Definition, table: &TableMetadata) -> Result<Self> {
        let schema = table.current_schema();
        Ok(WayOn {
            topic: definition.topic.clone(),
            table: definition.table.clone(),
            mode: mode_of(definition, table)?,
            aside: if definition.upsert.is_some() { ErrorHandling::Skip } else { ErrorHandling::Log },
            declared: declared_columns(&definition.columns)?,
            keys: match &definition.keys {
                Some(keys) => Some((keys.format, declared_columns(&keys.columns)?)),
                None => None,
            },
            columns: arrow_schema(schema)?.fields().clone(),
            metadata_columns: definition.metadata_columns,
            partition_by: partition_text(table.default_partition_spec().fields(), schema),
            sort_by: sort_text(table.default_sort_order(), schema),
            is_one_of_several: definition.fan_out.is_some(),
        })
    }

    /// What to do about a record.
    pub fn hint(&self, remedy: &Remedy) -> String {
        match remedy {
            Remedy::Declare(_) | Remedy::DeclareOfKey(_) if self.is_one_of_several => {
                format!("its table has no column that takes it, but it can be put aside: {}", self.put_aside())
            }
            Remedy::Respell { words, .. } if self.is_one_of_several => {
                format!("{words}; or it can be put aside: {}", self.put_aside())
            }
            Remedy::Declare(column) => {
                let declared = (with(&self.declared, column), self.declared_of_keys());
                self.another_table("a table with another column takes it", declared)
            }
            Remedy::DeclareOfKey(column) => {
                let declared = (self.declared.clone(), with(&self.declared_of_keys(), column));
                self.another_table("a table with another column takes its key", declared)
            }
            Remedy::Respell { column, words } if self.declared.iter().any(|known| is_namesake(known, column)) => {
                let words = format!("{words}; where every record has {}", flink_name(column.name()));
                self.another_table(&words, (with(&self.declared, column), self.declared_of_keys()))
            }
            Remedy::Evolve => format!(
                "let its columns follow the records (`tableflow update {} --evolution additive`), or put such records \
                 aside: {}",
                self.table,
                self.put_aside()
            ),
            Remedy::Respell { words, .. } | Remedy::Produce(words) => {
                format!("{words}; no table takes this record, but it can be put aside: {}", self.put_aside())
            }
        }
    }

    /// What to do about a schema.
    pub fn past_schema(&self, error: Error) -> Error {
        past_schema(error, &self.table)
    }

    fn declared_of_keys(&self) -> Vec<Field> {
        self.keys.as_ref().map(|(_, declared)| declared.clone()).unwrap_or_default()
    }

    fn put_aside(&self) -> String {
        format!("tableflow update {} --error-handling {}", self.table, self.aside)
    }

    /// The words, what the other table cannot have of this one's layout, and the command.
    fn another_table(&self, words: &str, (declared, of_keys): (Vec<Field>, Vec<Field>)) -> String {
        let layout = self.layout_with(&[declared.clone(), of_keys.clone()].concat());
        let lost: Vec<String> = layout.iter().filter(|part| !part.fits).map(LayoutPart::flag).collect();
        let without = if lost.is_empty() { String::new() } else { format!(", without {}", lost.join(" and ")) };
        // The mode is said aloud: for a compacted topic it must be.
        let mut flags = vec![
            self.mode.clone(),
            format!("--namespace {}", quoted(self.table.namespace())),
            format!("--table {}", quoted(&next_name(self.table.name()))),
        ];
        if let Some((format, _)) = &self.keys {
            flags.push(format!("--key-format {format}"));
        }
        for (flag, declared) in [("--columns", declared), ("--key-columns", of_keys)] {
            if !declared.is_empty() {
                let columns: Vec<String> = declared.iter().map(flink_column).collect();
                flags.push(format!("{flag} {}", quoted(&columns.join(", "))));
            }
        }
        if self.metadata_columns != MetadataColumns::default() {
            flags.push(format!("--metadata-columns {}", self.metadata_columns.word()));
        }
        flags.extend(layout.iter().filter(|part| part.fits).map(LayoutPart::flag));
        let (table, topic, flags) = (&self.table, &self.topic, flags.join(" "));
        format!(
            "{words}{without} (`tableflow disable {table}` then ends this one; `{}` puts such records aside instead): \
             tableflow enable {topic} {flags}",
            self.put_aside()
        )
    }

    /// The table's layout, and which parts of it a table with these columns can have: a column of another type may be
    /// none to partition or sort by.
    fn layout_with(&self, declared: &[Field]) -> Vec<LayoutPart> {
        let own: Vec<Field> = self.columns.iter().map(|column| column.as_ref().clone()).collect();
        let columns: Fields = declared.iter().fold(own, |columns, field| with(&columns, field)).into();
        let schema = new_schema(&columns).ok();
        let fits = |check: &dyn Fn(&Schema) -> bool| schema.as_ref().is_some_and(check);
        [
            LayoutPart {
                name: "--partition-by",
                text: self.partition_by.clone(),
                fits: fits(&|schema| parse_partition_by(&self.partition_by, schema).is_ok()),
            },
            LayoutPart {
                name: "--sort-by",
                text: self.sort_by.clone(),
                fits: fits(&|schema| parse_sort_by(&self.sort_by, schema).is_ok()),
            },
        ]
        .into_iter()
        .filter(|part| !part.text.is_empty())
        .collect()
    }
}

/// How a table is parted or sorted, as a flag of `enable`.
struct LayoutPart {
    name: &'static str,
    text: String,
    fits: bool,
}

impl LayoutPart {
    fn flag(&self) -> String {
        format!("{} {}", self.name, quoted(&self.text))
    }
}

/// Whether the two cannot be columns of one table.
pub(super) fn is_namesake(a: &Field, b: &Field) -> bool {
    a.name().to_lowercase() == b.name().to_lowercase()
}

/// The columns with this one instead of its namesake, or at the end.
fn with(columns: &[Field], column: &Field) -> Vec<Field> {
    let mut columns = columns.to_vec();
    match columns.iter_mut().find(|known| is_namesake(known, column)) {
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
