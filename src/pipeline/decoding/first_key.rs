//! The fields of a topic's keys, before it is known that they identify rows.
//!
//! Owns [`first_key_fields`].
//! - I1: they are those of the first key that is there, by the schema that it names or by itself: older and newer ones
//!   may have others.
//! - I2: a key that is no record and no object names none.

use arrow::datatypes::{Fields, Schema};
use tableflow_connectors::decode::{BadRecords, ColumnRules, MetadataColumns};
use tableflow_connectors::registry::RecordPart;
use tableflow_model::{Records, Result};

use super::learning::{KEY_COLUMN, Learning, Reading};
use super::{Stopped, Subjects};
use crate::definition::{Envelope, Format};
use crate::home::Home;

/// The names in the first key of these records; `columns` are those of the values.
pub async fn first_key_fields(
    home: &Home,
    format: Format,
    sample: &[Records],
    columns: &Fields,
) -> Result<Vec<String>> {
    let first = sample.iter().find_map(|records| {
        let row = (0..records.len()).find(|row| records.key(*row).is_some())?;
        Some(records.of_keys(&[row]))
    });
    let Some(key) = first else { return Ok(Vec::new()) };
    let reading = Reading {
        part: RecordPart::Key,
        subjects: Subjects::none(),
        format,
        envelope: Some(Envelope::Debezium),
        declared: &[],
        left_out: &[],
        bare: KEY_COLUMN,
        mirror: None,
        tells_origins: false,
    };
    let rules = ColumnRules { metadata: MetadataColumns::None, ..ColumnRules::default() };
    let mut learning = Learning::new(home, reading, &Schema::empty(), &rules).await?;
    for part in learning.decode(&key, BadRecords::PassOver).await? {
        if let Some(Stopped::Schema(error)) = part.stopped {
            return Err(error);
        }
    }
    let names: Vec<String> = learning.schema().fields().iter().map(|field| field.name().clone()).collect();
    let is_bare = names == [KEY_COLUMN] && columns.find(KEY_COLUMN).is_none();
    Ok(if is_bare { Vec::new() } else { names })
}
