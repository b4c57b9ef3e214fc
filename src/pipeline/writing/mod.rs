//! How a table is written: its format version, and what becomes of rows that go.
//!
//! ```text
//!  readers  which engines read what
//!  change   another way for a table that exists, and other partitions
//! ```
//!
//! Owns [`Writing`] and [`AskedWriting`].
//! - I1: every reader that is named reads what is written, or nothing is made or changed.
//! - I2: of the ways that are possible the one that a table has is kept, or else the one that most engines read is taken.
//! - I3: a format version never goes back.

mod change;
mod readers;

use std::collections::HashMap;

use iceberg::spec::{FormatVersion, TableMetadata};
use tableflow_lake::layout::DeleteEncoding;
use tableflow_model::{Error, Result};

pub use change::{change, repartition};
pub use readers::Reader;

/// The table property that names the engines it is for.
const READERS: &str = "tableflow.readers";

/// In the order of how many engines read them.
const WAYS: [(FormatVersion, DeleteEncoding); 4] = [
    (FormatVersion::V2, DeleteEncoding::Position),
    (FormatVersion::V3, DeleteEncoding::Vector),
    (FormatVersion::V2, DeleteEncoding::Copy),
    (FormatVersion::V3, DeleteEncoding::Copy),
];

/// How a table is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Writing {
    pub version: FormatVersion,
    pub encoding: DeleteEncoding,
    /// Those that were named.
    pub readers: Vec<Reader>,
}

/// What is asked of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AskedWriting {
    pub version: Option<u8>,
    pub encoding: Option<DeleteEncoding>,
    pub readers: Vec<Reader>,
}

impl AskedWriting {
    pub fn is_nothing(&self) -> bool {
        *self == AskedWriting::default()
    }

    fn allows(&self, (version, encoding): (FormatVersion, DeleteEncoding)) -> bool {
        self.version.is_none_or(|asked| asked == number(version)) && self.encoding.is_none_or(|asked| asked == encoding)
    }
}

impl Default for Writing {
    fn default() -> Self {
        let [(version, encoding), ..] = WAYS;
        Writing { version, encoding, readers: Vec::new() }
    }
}

impl Writing {
    pub fn of(table: &TableMetadata) -> Self {
        let named = table.properties().get(READERS).map(String::as_str).unwrap_or_default();
        let readers = named.split(',').filter_map(|word| word.parse().ok()).collect();
        Writing { version: table.format_version(), encoding: DeleteEncoding::of(table), readers }
    }

    /// What is asked of a table, which is written in some way already where it exists.
    pub fn asked(asked: &AskedWriting, now: Option<&Writing>) -> Result<Self> {
        let mut readers = if asked.readers.is_empty() { now.map(|it| it.readers.clone()) } else { None }
            .unwrap_or_else(|| asked.readers.clone());
        readers.sort_unstable();
        readers.dedup();
        if let Some(now) = now
            && asked.version.is_some_and(|asked| asked < number(now.version))
        {
            return Err(Error::usage("the format version of a table never goes back")
                .with_detail(format!("it is {}", now.version))
                .with_hint("enable the topic into another table with --table"));
        }
        let own = now.map(|now| (now.version, now.encoding));
        // A table that copies on write goes on so unless another way is asked for.
        let encoding_kept = now.filter(|now| now.encoding == DeleteEncoding::Copy && asked.readers.is_empty());
        let asked =
            AskedWriting { encoding: asked.encoding.or(encoding_kept.map(|now| now.encoding)), ..asked.clone() };
        let not_back = |way: &(FormatVersion, DeleteEncoding)| own.is_none_or(|(version, _)| way.0 >= version);
        let ways: Vec<_> = own.into_iter().chain(WAYS).filter(|way| not_back(way) && asked.allows(*way)).collect();
        let objection = |(version, encoding)| {
            readers.iter().find_map(|reader| Some((*reader, reader.objection(version, encoding)?)))
        };
        match ways.iter().copied().find(|way| objection(*way).is_none()) {
            Some((version, encoding)) => Ok(Writing { version, encoding, readers }),
            None => Err(match ways.first().copied().and_then(objection) {
                Some((reader, objection)) => refused(reader, objection),
                None => contradiction(&asked, now),
            }),
        }
    }

    /// The table properties that say it, where something was asked.
    pub fn properties(&self) -> HashMap<String, String> {
        let words: Vec<&str> = self.readers.iter().map(|reader| reader.word()).collect();
        let readers = (!words.is_empty()).then(|| (READERS.to_owned(), words.join(",")));
        self.encoding.properties().into_iter().chain(readers).collect()
    }

    pub fn version_number(&self) -> u8 {
        number(self.version)
    }
}

fn number(version: FormatVersion) -> u8 {
    version as u8
}

fn refused(reader: Reader, objection: &str) -> Error {
    Error::usage(format!("{reader} {objection}"))
        .with_hint("leave --format-version and --delete-encoding out, and a way that all readers know is taken; or leave that reader out")
}

/// Version and encoding that do not go together.
fn contradiction(asked: &AskedWriting, now: Option<&Writing>) -> Error {
    let (what, hint) = match asked.encoding {
        Some(DeleteEncoding::Position) => (
            "from version 3 of the format on no files of positions may be added",
            "--delete-encoding dv writes deletion vectors; version 2 of the format has files of positions",
        ),
        _ => {
            ("version 2 of the format has no deletion vectors", "say --format-version 3, or --delete-encoding position")
        }
    };
    let error = Error::usage(what).with_hint(hint);
    match now {
        Some(now) => error.with_detail(format!("the table has version {}", now.version_number())),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use DeleteEncoding::{Copy, Position, Vector};

    fn asked(version: Option<u8>, encoding: Option<DeleteEncoding>, readers: &str) -> AskedWriting {
        let readers = readers.split(',').filter(|word| !word.is_empty()).map(|word| word.parse().unwrap()).collect();
        AskedWriting { version, encoding, readers }
    }

    fn of(asked: &AskedWriting, now: Option<(FormatVersion, DeleteEncoding)>) -> Result<(u8, DeleteEncoding), String> {
        let now = now.map(|(version, encoding)| Writing { version, encoding, readers: Vec::new() });
        let writing = Writing::asked(asked, now.as_ref());
        writing.map(|it| (it.version_number(), it.encoding)).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn i1_i2_readers_choose_what_all_of_them_read() {
        for (readers, way) in [
            ("", (2, Position)),
            ("athena,spark,snowflake", (2, Position)),
            ("databricks,snowflake", (3, Vector)),
            ("databricks,athena", (2, Copy)),
            ("clickhouse,databricks", (2, Copy)),
        ] {
            assert_eq!(of(&asked(None, None, readers), None), Ok(way), "{readers}");
        }
        for (version, encoding, readers, why) in [
            (Some(3), None, "athena", "athena reads no version 3 of the format"),
            (None, Some(Vector), "spark,daft", "daft reads no deletion vectors"),
            (None, Some(Position), "databricks", "databricks may show rows that files of positions delete"),
            (Some(3), Some(Position), "", "from version 3 of the format on no files of positions may be added"),
            (Some(2), Some(Vector), "", "version 2 of the format has no deletion vectors"),
        ] {
            assert_eq!(of(&asked(version, encoding, readers), None), Err(why.to_owned()));
        }
    }

    #[test]
    fn i2_i3_a_table_keeps_its_way_where_it_may_and_its_version_never_goes_back() {
        let (v2, v3) = (FormatVersion::V2, FormatVersion::V3);
        for (question, now, way) in [
            (asked(Some(3), None, ""), (v2, Position), (3, Vector)),
            (asked(Some(3), None, ""), (v2, Copy), (3, Copy)),
            (asked(None, Some(Copy), ""), (v3, Vector), (3, Copy)),
            (asked(None, Some(Vector), ""), (v2, Copy), (3, Vector)),
            (asked(None, Some(Position), ""), (v2, Copy), (2, Position)),
            (asked(None, None, "spark"), (v2, Copy), (2, Copy)),
            (asked(None, None, "spark"), (v3, Vector), (3, Vector)),
            (asked(None, None, "clickhouse"), (v3, Vector), (3, Copy)),
        ] {
            assert_eq!(of(&question, Some(now)), Ok(way), "{question:?} of {now:?}");
        }
        let back = of(&asked(Some(2), None, ""), Some((v3, Vector)));
        assert_eq!(back, Err("the format version of a table never goes back".to_owned()));
        let position = of(&asked(None, Some(Position), ""), Some((v3, Vector)));
        assert!(position.unwrap_err().contains("no files of positions may be added"));
    }

    #[test]
    fn every_reader_is_known_by_its_word() {
        for reader in Reader::ALL {
            assert_eq!(reader.word().parse::<Reader>().unwrap(), reader);
            assert_eq!(serde_json::to_value(reader).unwrap(), reader.word());
        }
        assert!("exasol".parse::<Reader>().unwrap_err().report().contains("one of athena, bigquery"));
    }
}
