//! The words of `schema`.

use std::path::Path;
use std::str::FromStr;

use clap::{Args, Subcommand, ValueEnum};
use tableflow_connectors::registry::{SchemaReference, SchemaType, Version, VersionWanted};
use tableflow_model::{Error, Result};

use super::values::{self, TableReference};

#[derive(Clone, Debug, Subcommand)]
pub enum SchemaVerb {
    /// Make a schema the newest version of a subject
    #[command(after_help = "Example:\n  tableflow schema register orders-value order.avsc")]
    Register(RegisterArguments),
    /// List the subjects
    #[command(after_help = "Example:\n  tableflow schema list --prefix orders -o json")]
    List {
        /// Only subjects whose names begin so
        #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
        prefix: String,
        /// Deleted ones too
        #[arg(long)]
        deleted: bool,
    },
    /// Show a schema, and where it is registered
    #[command(after_help = "Example:\n  tableflow schema show orders-value --version 2")]
    Show(ShowArguments),
    /// Say what a new schema would do to a table, before anybody registers it
    #[command(
        after_help = "Example:\n  tableflow schema check orders order.avsc   # exit code 3 when it would not go in"
    )]
    Check(CheckArguments),
    /// Show what changed between two versions of a subject
    #[command(after_help = "Example:\n  tableflow schema diff orders-value --from 1 --to latest")]
    Diff {
        /// The subject
        subject: String,
        /// The older version [default: the one before --to]
        #[arg(long, value_name = "VERSION", value_parser = values::with_hint::<VersionWanted>)]
        from: Option<VersionWanted>,
        /// The newer version
        #[arg(long, value_name = "VERSION", default_value = "latest", value_parser = values::with_hint::<VersionWanted>)]
        to: VersionWanted,
    },
}

#[derive(Clone, Debug, Args)]
pub struct RegisterArguments {
    /// The subject: TOPIC-value or TOPIC-key, unless producers are told otherwise
    pub subject: String,
    /// The schema; - is stdin
    pub file: String,
    /// What it is written in [default: avro of .avsc, protobuf of .proto]
    #[arg(long = "type", value_name = "TYPE", value_enum, ignore_case = true)]
    pub schema_type: Option<SchemaFormat>,
    /// A schema that this one uses, and by what name; may be given again
    #[arg(long = "reference", value_name = "NAME=SUBJECT:VERSION", value_parser = values::with_hint::<Reference>)]
    pub references: Vec<Reference>,
    /// Keep it in one form, so that spelling it differently makes no other schema
    #[arg(long)]
    pub normalize: bool,
}

#[derive(Clone, Debug, Args)]
pub struct CheckArguments {
    /// The table as namespace.name, or the name alone where it is unique; or a topic
    #[arg(value_name = "TABLE|TOPIC")]
    pub table: TableReference,
    /// The schema; - is stdin
    pub file: String,
    /// What it is written in [default: avro of .avsc, protobuf of .proto, else what the table takes]
    #[arg(long = "type", value_name = "TYPE", value_enum, ignore_case = true)]
    pub schema_type: Option<SchemaFormat>,
    /// The subject that it would be registered under [default: TOPIC-value]
    #[arg(long, value_name = "SUBJECT")]
    pub subject: Option<String>,
    /// A schema that this one uses, and by what name; may be given again
    #[arg(long = "reference", value_name = "NAME=SUBJECT:VERSION", value_parser = values::with_hint::<Reference>)]
    pub references: Vec<Reference>,
}

impl CheckArguments {
    /// What the flag or the file's name says.
    pub fn schema_type(&self) -> Option<SchemaType> {
        self.schema_type.map(SchemaType::from).or_else(|| type_of_file(&self.file))
    }

    /// Neither they nor the table say it.
    pub fn unknown_type(&self) -> Error {
        unknown_type(&self.file)
    }
}

#[derive(Clone, Debug, Args)]
#[command(group = clap::ArgGroup::new("which").args(["subject", "id"]).required(true))]
pub struct ShowArguments {
    /// The subject
    pub subject: Option<String>,
    /// Which of its versions
    #[arg(long, value_name = "VERSION", default_value = "latest", value_parser = values::with_hint::<VersionWanted>, conflicts_with = "id")]
    pub version: VersionWanted,
    /// The schema of an id, as records carry it
    #[arg(long, value_name = "ID")]
    pub id: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SchemaFormat {
    /// Apache Avro
    Avro,
    /// JSON Schema
    Json,
    /// Protocol Buffers
    Protobuf,
}

impl From<SchemaFormat> for SchemaType {
    fn from(format: SchemaFormat) -> Self {
        match format {
            SchemaFormat::Avro => SchemaType::Avro,
            SchemaFormat::Json => SchemaType::Json,
            SchemaFormat::Protobuf => SchemaType::Protobuf,
        }
    }
}

impl RegisterArguments {
    /// What the flag or the file's name says.
    pub fn schema_type(&self) -> Result<SchemaType> {
        let said = self.schema_type.map(SchemaType::from).or_else(|| type_of_file(&self.file));
        said.ok_or_else(|| unknown_type(&self.file))
    }
}

fn type_of_file(file: &str) -> Option<SchemaType> {
    match Path::new(file).extension()?.to_str()? {
        "avsc" => Some(SchemaType::Avro),
        "proto" => Some(SchemaType::Protobuf),
        _ => None,
    }
}

fn unknown_type(file: &str) -> Error {
    Error::usage(format!("{file} does not say what its schema is written in"))
        .with_hint("say it with --type avro, --type json or --type protobuf")
}

/// `NAME=SUBJECT:VERSION`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference(pub SchemaReference);

impl FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || Error::usage("a reference is written NAME=SUBJECT:VERSION");
        let (name, place) = text.split_once('=').ok_or_else(wrong)?;
        let (subject, version) = place.rsplit_once(':').ok_or_else(wrong)?;
        let version = match version.parse() {
            Ok(number @ 1..) => Version(number),
            _ => return Err(wrong()),
        };
        if name.is_empty() || subject.is_empty() {
            return Err(wrong());
        }
        Ok(Reference(SchemaReference { name: name.to_owned(), subject: subject.to_owned(), version }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_a_name_a_subject_and_a_version() {
        let reference =
            |text: &str| text.parse::<Reference>().ok().map(|Reference(it)| (it.name, it.subject, it.version.0));
        let of = |name: &str, subject: &str, version| Some((name.to_owned(), subject.to_owned(), version));
        assert_eq!(reference("n.Zip=zip-value:3"), of("n.Zip", "zip-value", 3));
        assert_eq!(reference("a.proto=:.ctx:a:1"), of("a.proto", ":.ctx:a", 1));
        for text in ["", "a", "a=b", "a=b:", "a=b:0", "a=b:latest", "=b:1", "a=:1"] {
            assert_eq!(reference(text), None, "{text}");
        }
    }
}
