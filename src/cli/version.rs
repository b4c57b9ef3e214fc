//! `version`: what this binary is.

use std::io::Write;

use serde::Serialize;
use tableflow_model::Result;

use crate::exit::Exit;
use crate::output::{self, Format};

#[derive(Debug, Serialize)]
struct Version {
    version: &'static str,
    datafusion: &'static str,
    arrow: &'static str,
}

pub fn run(format: Format, out: &mut dyn Write) -> Result<Exit> {
    let version = Version {
        version: env!("CARGO_PKG_VERSION"),
        datafusion: datafusion::DATAFUSION_VERSION,
        arrow: arrow::ARROW_VERSION,
    };
    output::document(format, &version, out)?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_packages() {
        let mut out = Vec::new();
        run(Format::Json, &mut out).unwrap();
        let document: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(document.get("version"), Some(&serde_json::json!(env!("CARGO_PKG_VERSION"))));
        assert!(document.get("datafusion").unwrap().as_str().unwrap().starts_with("53."));
    }
}
