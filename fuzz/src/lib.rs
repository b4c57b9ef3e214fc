//! What untrusted bytes may do to the decoders: nothing but rows, records passed over, or a refusal that says why.
//!
//! Owns the bodies of the fuzz targets, [`TARGETS`]. `main` hands them to libFuzzer, `tests/replay.rs` runs each over
//! its corpus in `make test`: both call the same function, so that what was found once is looked for at every change.
//!
//! ```text
//!  input    an input's bytes taken apart into schemas and records
//!  schemas  the schemas that targets of records have
//!  laws     what has to hold of a decoder, whatever its records are
//!  rows     a batch's rows as text
//!  targets  the bodies
//! ```
//!
//! - I1: a body panics where a law is broken, and never else; it keeps nothing between two inputs.
//!
//! Neighbours: `tableflow_connectors::decode` and `registry::framing`, by their public words alone.

mod input;
mod laws;
mod rows;
mod schemas;
mod targets;

/// A target: its name, which its corpus has too, and its body.
pub type Target = (&'static str, fn(&[u8]));

pub const TARGETS: &[Target] = &[
    ("framing", targets::framing),
    ("avro", targets::avro),
    ("avro_schema", targets::avro_schema),
    ("avro_change", targets::avro_change),
    ("protobuf", targets::protobuf),
    ("protobuf_schema", targets::protobuf_schema),
    ("protobuf_change", targets::protobuf_change),
    ("json", targets::json),
    ("json_schema", targets::json_schema),
    ("raw", targets::raw),
];

/// The body of a target.
pub fn body(name: &str) -> Option<fn(&[u8])> {
    TARGETS.iter().find(|(known, _)| *known == name).map(|(_, body)| *body)
}
