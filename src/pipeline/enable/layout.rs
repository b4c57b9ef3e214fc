//! The columns, partitions and order of a table that is enabled.
//!
//! Owns [`Layout`]: of a new table, from what is declared and what the topic's first records show, or of one that
//! exists, which a request may not contradict (I4 of `enable`).

use std::collections::HashMap;

use arrow::datatypes::{Field, FieldRef, Fields};
use iceberg::spec::{PartitionSpec, Schema, SortOrder, TableMetadata, Transform};
use tableflow_connectors::decode::{
    BadRecords, ColumnRules, Evolution, MetadataColumns, Note, Reason, RecordError, Remedy,
};
use tableflow_connectors::registry::{RecordPart, Version};
use tableflow_connectors::topics::first_poll;
use tableflow_lake::layout::{
    arrow_schema, evolve, identified_by, key_ids, latest_by_property, new_schema, parse_partition_by, parse_sort_by,
    partition_text, sort_text,
};
use tableflow_model::types::{flink_column, flink_name};
use tableflow_model::{Error, Records, Result, Source, TableName};

use super::upsert::{self, Key};
use super::{Request, Settings};
use crate::definition::{Definition, Envelope, Format, Keys, StartFrom, declared_columns};
use crate::home::Home;
use crate::pipeline::decoding::{Decoding, KeyTerms, Stopped, Subjects, Terms, first_key_fields, format_of};
use crate::pipeline::dispatch::decoding_for;
use crate::pipeline::mirror::Mirror;
use crate::pipeline::way_on::is_namesake;
use crate::pipeline::writing::Writing;

/// Records looked at to infer columns when the table is made; more columns may come later.
const SAMPLE_BYTES: usize = 4 * 1024 * 1024;

/// What a table is made of, or will be once its first rows are in.
#[derive(Debug)]
pub(super) struct Layout {
    pub schema: Schema,
    pub partition_spec: PartitionSpec,
    pub sort_order: SortOrder,
    /// What the table does not keep of its topic's schemas.
    pub notes: Vec<Note>,
    /// Which columns keys fill.
    pub keys: Option<Keys>,
    /// What identifies rows, where there is one a key.
    pub key: Option<Key>,
    /// The column that tells which row of a key is the latest.
    pub latest_by: Option<String>,
    /// Of a table to be made, which schemas it mirrors, if it does.
    pub mirror: Option<Mirror>,
    pub writing: Writing,
    /// What a table to be made says of that.
    pub writing_properties: HashMap<String, String>,
}

/// The columns of a table to be made, and what is to be said of them.
struct Found {
    columns: Fields,
    notes: Vec<Note>,
    keys: Option<Keys>,
    /// The fields of the first key, where it is an object.
    key_fields: Vec<String>,
    mirror: Option<Mirror>,
}

pub(super) async fn new(
    home: &Home,
    source: &mut dyn Source,
    (request, upserts): (&Request, bool),
    settings: &Settings,
) -> Result<Layout> {
    let asked = &request.asked;
    let mut found = columns(home, source, (request, upserts), settings, Vec::new()).await?;
    let taken = taken_names(&asked.partition_by, &found.columns)?;
    if !taken.is_empty() {
        found = columns(home, source, (request, upserts), settings, taken).await?;
    }
    let key = match upserts {
        true => {
            found.columns = upsert::with_marks((request, settings), found.columns)?;
            let names: Vec<String> = found.columns.iter().map(|column| column.name().clone()).collect();
            let keys = (found.keys.as_ref(), found.key_fields.as_slice());
            Some(Key::of(request, keys, (&names, settings.metadata_columns))?)
        }
        false => None,
    };
    let asked_writing = asked.writing();
    let writing = Writing::asked(&asked_writing, None)?;
    let mut writing_properties = if asked_writing.is_nothing() { HashMap::new() } else { writing.properties() };
    let laid_out = laid_out(found, key, &asked.partition_by, &asked.sort_by)?;
    let latest_by = match upserts {
        true => upsert::latest_by_column(request, settings)?,
        false => None,
    };
    writing_properties.extend(latest_by.as_ref().map(|it| latest_by_property(&laid_out.schema, it)).transpose()?);
    Ok(Layout { writing, writing_properties, latest_by, ..laid_out })
}

/// The layout of a table for records that a job has read.
pub(super) async fn of_records(
    home: &Home,
    definition: &Definition,
    (table, subjects): (&TableName, Subjects),
    sample: &Records,
) -> Result<Layout> {
    let Some(fan_out) = &definition.fan_out else {
        return Err(Error::internal(format!("table {table} is not one of several")));
    };
    let mut found = columns_shown(home, definition, (table, &subjects), sample, Vec::new()).await?;
    let taken = taken_names(&fan_out.partition_by, &found.columns)?;
    if !taken.is_empty() {
        found = columns_shown(home, definition, (table, &subjects), sample, taken).await?;
    }
    laid_out(found, None, &fan_out.partition_by, &fan_out.sort_by)
}

/// The columns that the schemas of a type of record, and these records, show.
async fn columns_shown(
    home: &Home,
    definition: &Definition,
    (table, subjects): (&TableName, &Subjects),
    sample: &Records,
    partition_fields: Vec<String>,
) -> Result<Found> {
    let nothing = arrow::datatypes::Schema::empty();
    let rules = ColumnRules { metadata: definition.metadata_columns, partition_fields, ..ColumnRules::default() };
    let terms = Terms { subjects: subjects.clone(), ..Terms::of(definition) };
    let mut decoding = Decoding::new(home, terms, &nothing, &rules).await?;
    for part in decoding.decode(sample, BadRecords::PassOver).await? {
        if let Some(Stopped::Schema(error)) = part.stopped {
            return Err(error);
        }
    }
    let metadata = definition.metadata_columns.fields();
    let columns: Fields = decoding.schema().fields().iter().cloned().chain(metadata).collect();
    if columns.is_empty() {
        return Err(Error::data(format!("no record that belongs to table {table} has a value in a field yet"))
            .with_hint("declare columns for all tables with --columns, or keep the metadata columns"));
    }
    Ok(Found { columns, notes: decoding.notes(), keys: None, key_fields: Vec::new(), mirror: None })
}

/// The names of partition fields that a column has: the record with that name is the running job's matter too.
fn taken_names(partition_by: &str, columns: &Fields) -> Result<Vec<String>> {
    let schema = new_schema(columns)?;
    let partition_fields = parse_partition_by(partition_by, &schema)?;
    let own_names = partition_fields.fields().iter().filter(|field| field.transform != Transform::Identity);
    let taken: Vec<String> = own_names.map(|field| field.name.clone()).collect();
    let is_a_column = taken.iter().any(|name| schema.field_by_name(name).is_some());
    Ok(if is_a_column { taken } else { Vec::new() })
}

/// Whether a table of these columns can be parted and sorted so.
pub(super) fn check(columns: Fields, partition_by: &str, sort_by: &str) -> Result<()> {
    laid_out(
        Found { columns, notes: Vec::new(), keys: None, key_fields: Vec::new(), mirror: None },
        None,
        partition_by,
        sort_by,
    )
    .map(|_| ())
}

/// Columns, parted and sorted.
fn laid_out(found: Found, key: Option<Key>, partition_by: &str, sort_by: &str) -> Result<Layout> {
    let Found { columns, notes, keys, mirror, .. } = found;
    let mut schema = new_schema(&columns)?;
    if let Some(key) = &key {
        schema = key.identifies(schema)?;
    }
    let partition_spec = partition_spec(partition_by, &schema)?;
    let sort_order = parse_sort_by(sort_by, &schema)?;
    let (writing, writing_properties) = (Writing::default(), HashMap::new());
    let latest_by = None;
    Ok(Layout { schema, partition_spec, sort_order, notes, keys, key, latest_by, mirror, writing, writing_properties })
}

fn terms<'a>(request: &Request, settings: &'a Settings) -> Terms<'a> {
    Terms {
        subjects: Subjects::of_topic(&request.topic),
        format: settings.format,
        envelope: settings.envelope,
        columns: &settings.columns,
        keys: settings.keys.as_ref().map(|keys| KeyTerms { subjects: Subjects::of_keys(&request.topic), keys }),
        metadata_columns: settings.metadata_columns,
        evolution: settings.evolution,
        mirror: None,
        tells_origins: false,
    }
}

fn partition_spec(text: &str, schema: &Schema) -> Result<PartitionSpec> {
    parse_partition_by(text, schema)?.bind(schema.clone()).map_err(|error| {
        Error::usage("the partition columns do not fit together")
            .with_detail(error.message().to_owned())
            .with_hint("name each column once, with one transform")
    })
}

/// The layout of a table that exists, which the request must not contradict (I4 of `enable`).
pub(super) async fn existing(
    home: &Home,
    (request, upserts): (&Request, bool),
    settings: &Settings,
    table: &TableMetadata,
) -> Result<Layout> {
    let decoding = decoding_for(home, terms(request, settings), table).await?;
    let known = arrow_schema(table.current_schema())?;
    for column in declared_columns(&settings.columns)? {
        let nullable = known.field_with_name(column.name()).is_ok_and(Field::is_nullable);
        if nullable && !column.is_nullable() {
            let name = flink_name(column.name());
            return Err(Error::usage(format!("column {name} is declared NOT NULL, but the table has rows without it"))
                .with_detail("a column stays as it was made")
                .with_hint("declare it without NOT NULL, or enable the topic into another table with --table"));
        }
    }
    check_metadata(request, settings.metadata_columns, &known)?;
    let metadata = settings.metadata_columns.fields();
    let columns: Fields = decoding.schema().fields().iter().cloned().chain(metadata).collect();
    let schema = match evolve(table.current_schema(), table.last_column_id(), &columns)? {
        Some(evolution) => evolution.schema,
        None => table.current_schema().as_ref().clone(),
    };
    let metadata = settings.metadata_columns.key_column();
    let declared = settings.mode_change.as_ref().filter(|_| key_ids(&schema).is_empty());
    let key = match (upserts, declared) {
        (false, _) => None,
        (true, None) => Some(Key::of_table(request, &schema, metadata)?),
        // Its job is about to identify rows by them.
        (true, Some(change)) => Some(Key::of_table(request, &identified_by(schema.clone(), &change.key)?, metadata)?),
    };
    let layout = Layout {
        latest_by: upsert::latest_by_of_table((request, settings), table)?,
        key,
        partition_spec: table.default_partition_spec().as_ref().clone(),
        sort_order: table.default_sort_order().as_ref().clone(),
        schema,
        notes: decoding.notes(),
        keys: decoding.keys(),
        mirror: None,
        writing: Writing::of(table),
        writing_properties: HashMap::new(),
    };
    check_layout(request, &layout)?;
    Ok(layout)
}

/// A table without metadata columns may get some, and keeps those that it has.
fn check_metadata(request: &Request, asked: MetadataColumns, table: &arrow::datatypes::Schema) -> Result<()> {
    let has = MetadataColumns::of_table(table);
    if has != MetadataColumns::None && has != asked {
        return Err(differs(request, "--metadata-columns", asked.word(), has.word()));
    }
    let reserved = |field: &&FieldRef| asked.reserves(field.name()).is_some();
    match table.fields().iter().find(reserved).filter(|_| has != asked) {
        Some(field) => Err(Error::usage(format!(
            "column {} of table {} has a name of the metadata columns",
            flink_name(field.name()),
            request.table
        ))
        .with_hint(format!(
            "leave --metadata-columns out, or make another table: tableflow enable {} --table NAME",
            request.topic
        ))),
        None => Ok(()),
    }
}

fn check_layout(request: &Request, layout: &Layout) -> Result<()> {
    let asked_spec = partition_spec(&request.asked.partition_by, &layout.schema)?;
    let parts = |spec: &PartitionSpec| -> Vec<_> {
        spec.fields().iter().map(|field| (field.source_id, field.transform)).collect()
    };
    if !request.asked.partition_by.trim().is_empty() && parts(&asked_spec) != parts(&layout.partition_spec) {
        return Err(differs(request, "--partition-by", &request.asked.partition_by, &layout.partition_by()));
    }
    let asked_order = parse_sort_by(&request.asked.sort_by, &layout.schema)?;
    if !request.asked.sort_by.trim().is_empty() && asked_order.fields != layout.sort_order.fields {
        return Err(differs(request, "--sort-by", &request.asked.sort_by, &layout.sort_by()));
    }
    check_writing(request, &layout.writing)
}

fn check_writing(request: &Request, has: &Writing) -> Result<()> {
    let asked = Writing::asked(&request.asked.writing(), Some(has))?;
    if asked == *has {
        return Ok(());
    }
    let table = request.table.to_plain_string();
    Err(Error::usage(format!("table {} exists, and is written in another way than is asked for", request.table))
        .with_detail(format!(
            "it has version {} of the format and delete encoding {}",
            has.version_number(),
            has.encoding
        ))
        .with_hint(format!("tableflow update {table} takes --format-version, --delete-encoding and --readers")))
}

pub(super) fn differs(request: &Request, flag: &str, asked: &str, has: &str) -> Error {
    let has = if has.is_empty() { "none" } else { has };
    Error::usage(format!("table {} exists, and {flag} {asked} is not what it has: {has}", request.table))
        .with_detail("a table keeps the layout that it was made with")
        .with_hint(format!(
            "leave {flag} out to fill the table as it is, or make another one: tableflow enable {} --table NAME",
            request.topic
        ))
}

/// The columns the table starts with: declared ones, those that the first records show, where rows come from. None has
/// a name that is taken.
async fn columns(
    home: &Home,
    source: &mut dyn Source,
    (request, upserts): (&Request, bool),
    settings: &Settings,
    partition_fields: Vec<String>,
) -> Result<Found> {
    let nothing = arrow::datatypes::Schema::empty();
    // What it begins with is no evolution.
    let rules = ColumnRules { metadata: settings.metadata_columns, partition_fields, ..ColumnRules::default() };
    let terms = terms(request, settings);
    let of_values = mirroring(home, &Terms { keys: None, ..terms.clone() }, &nothing, &rules).await?;
    let sample = sample(source).await?;
    let bad = if upserts { BadRecords::StopButAtDeletes } else { BadRecords::Stop };
    let mut decoding = shown(of_values, request, settings, (&sample, bad)).await?;
    if settings.keys.is_some() {
        // Whether a field of keys is one of values too is known once all of the values were looked at.
        let terms = Terms { mirror: decoding.mirror().cloned(), ..terms };
        let with_keys = Decoding::new(home, terms, &decoding.schema(), &rules).await?;
        decoding = shown(with_keys, request, settings, (&sample, bad)).await?;
    }
    let metadata = settings.metadata_columns.fields();
    let columns: Fields = decoding.schema().fields().iter().cloned().chain(metadata).collect();
    if columns.is_empty() {
        let is_empty = sample.iter().all(Records::is_empty);
        let what = if is_empty { "has no records yet" } else { "has no record yet with a value in a field" };
        return Err(Error::usage(format!("topic {} {what}, and no columns were declared", request.topic))
            .with_hint("declare them: --columns \"id BIGINT\", or produce a record with values first"));
    }
    let key_fields = match settings.envelope {
        // As a database's connector names them.
        Some(Envelope::Debezium) if settings.keys.is_none() && request.asked.key.is_empty() => {
            let format = format_of(home, &request.topic, RecordPart::Key, source).await?.unwrap_or(Format::Json);
            first_key_fields(home, format, &sample, &columns).await?
        }
        _ => Vec::new(),
    };
    let (notes, keys, mirror) = (decoding.notes(), decoding.keys(), decoding.mirror().cloned());
    Ok(Found { columns, notes, keys, key_fields, mirror })
}

/// The decoding of a table that has no rows yet: if it mirrors the newest schema, with the columns of that alone.
async fn mirroring(
    home: &Home,
    terms: &Terms<'_>,
    nothing: &arrow::datatypes::Schema,
    rules: &ColumnRules,
) -> Result<Decoding> {
    if terms.evolution != Evolution::Mirror {
        return Decoding::new(home, terms.clone(), nothing, rules).await;
    }
    let mut mirror = Mirror::from(Version(0));
    loop {
        let terms = Terms { mirror: Some(mirror), ..terms.clone() };
        let mut decoding = Decoding::new(home, terms, nothing, rules).await?;
        match decoding.follow_to_newest().await? {
            Some(step) => mirror = step.to,
            None => return Ok(decoding),
        }
    }
}

/// The first records of each partition.
async fn sample(source: &mut dyn Source) -> Result<Vec<Records>> {
    let ranges = source.ranges().await?;
    let starts = ranges.iter().map(|(partition, range)| (*partition, range.start)).collect();
    source.seek(&starts).await?;
    first_poll(source, &ranges, SAMPLE_BYTES).await
}

/// The decoding, with the columns that these records show it.
async fn shown(
    mut decoding: Decoding,
    request: &Request,
    settings: &Settings,
    (sample, bad): (&[Records], BadRecords),
) -> Result<Decoding> {
    if let Some(refusal) = decoding.take_refusal() {
        return Err(refusal);
    }
    let declared = declared_columns(&settings.columns)?;
    let (mut rows, mut notices, mut failure) = (0, 0, None);
    for records in sample {
        let parts = decoding.decode(records, bad).await?;
        rows += parts.iter().map(|part| part.taken.len()).sum::<usize>();
        let passed_over = parts.iter().flat_map(|part| &part.passed_over);
        notices += passed_over.filter(|failure| failure.reason == Reason::Notice).count();
        let failed = match parts.into_iter().find_map(|part| part.stopped) {
            Some(Stopped::Record(failed)) => failed,
            Some(Stopped::Schema(error)) => return Err(error),
            // A newer schema came meanwhile: the running job's matter.
            Some(Stopped::Follows(_)) | None => continue,
        };
        if let Remedy::Respell { column, .. } = &failed.remedy
            && let Some(known) = declared.iter().find(|known| is_namesake(known, column))
            && failed.row == 0
        {
            return Err(misspelt(known, column));
        }
        failure = failure.or(Some(undecodable(request, records, failed)));
    }
    if rows == 0 && notices > 0 && declared.is_empty() && failure.is_none() {
        return Err(Error::usage(format!(
            "topic {} has notices of a connector, and no changes of rows",
            request.topic
        ))
        .with_detail("where transactions begin and end, how a table was altered, or that the connector lives")
        .with_hint("leave the topic out; if changes of rows are to come, enable it then, or declare --columns"));
    }
    // Behind records that are rows it is the running job's matter: it says where and why.
    match failure.filter(|_| rows == 0 && settings.from == StartFrom::Earliest) {
        Some(failure) => Err(failure),
        None => Ok(decoding),
    }
}

/// A declaration that the first record of a partition belies.
fn misspelt(declared: &Field, column: &Field) -> Error {
    let (declared, name) = (flink_name(declared.name()), flink_name(column.name()));
    Error::usage(format!("column {declared} is declared, and the records spell it {name}"))
        .with_detail("engines cannot tell the two apart, so a table has one of them")
        .with_hint(format!("declare it as the records have it: {}", flink_column(column)))
}

fn undecodable(request: &Request, records: &Records, failure: RecordError) -> Error {
    let offset = records.offsets.get(failure.row).copied().unwrap_or_default();
    let what =
        format!("record {offset} of partition {} of topic {} cannot be decoded", records.partition, request.topic);
    let hint = match failure.remedy {
        Remedy::Declare(column) => {
            format!("declare a column that takes it: --columns \"{}\"", flink_column(&column))
        }
        Remedy::DeclareOfKey(column) => {
            format!("declare a column that takes it: --key-columns \"{}\"", flink_column(&column))
        }
        Remedy::Evolve => "declare a column for the field with --columns".to_owned(),
        Remedy::Respell { words, .. } | Remedy::Produce(words) => {
            format!("{words}; --from latest begins behind what is there")
        }
    };
    Error::data(what).with_detail(failure.message).with_hint(hint)
}

impl Layout {
    pub fn partition_by(&self) -> String {
        partition_text(self.partition_spec.fields(), &self.schema)
    }

    pub fn sort_by(&self) -> String {
        sort_text(&self.sort_order, &self.schema)
    }
}
