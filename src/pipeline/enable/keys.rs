//! Keys of a table that is enabled: whether they become columns, and how they are written.
//!
//! Owns [`asked_for`].

use tableflow_connectors::registry::RecordPart;
use tableflow_model::{Error, Result, Source};

use super::{Asked, Request, layout};
use crate::definition::{Format, KeyFormat, Keys};
use crate::home::Home;
use crate::pipeline::decoding::format_of;

/// How keys become columns, if they do. What a table's keys are read as stays so: its columns are filled from them
/// (I4).
pub(super) async fn asked_for(
    home: &Home,
    request: &Request,
    before: Option<&Keys>,
    source: &mut dyn Source,
) -> Result<Option<Keys>> {
    let Asked { key_format: asked, key_columns, .. } = &request.asked;
    let format = match asked {
        None => before.map(|before| before.format),
        Some(KeyFormat::None) => None,
        Some(KeyFormat::As(format)) => Some(*format),
        Some(KeyFormat::Auto) => {
            Some(format_of(home, &request.topic, RecordPart::Key, source).await?.unwrap_or(Format::Raw))
        }
    };
    if let Some(before) = before.filter(|before| format != Some(before.format)) {
        let asked = format.map_or("none".to_owned(), |format| format.to_string());
        return Err(layout::differs(request, "--key-format", &asked, &before.format.to_string()));
    }
    let Some(format) = format else {
        return match key_columns {
            Some(_) => Err(Error::usage("--key-columns is for keys that become columns").with_hint(
                "say how keys are written as well: --key-format json, avro, protobuf, json-schema, raw or auto",
            )),
            None => Ok(None),
        };
    };
    let columns = key_columns.clone().or(before.map(|before| before.columns.clone())).unwrap_or_default();
    Ok(Some(match before {
        Some(before) => Keys { columns, ..before.clone() },
        None => Keys::new(format, columns),
    }))
}
