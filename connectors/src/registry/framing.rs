//! Which schema a record was written with: the id before its bytes, or in a header.
//!
//! Owns [`frame`], pure and without allocation: bytes and headers in, [`Framed`] or [`FramingFault`] out.
//!
//! ```text
//!  prefix   00 | id, 4 bytes, big-endian          | payload     Confluent
//!           00 | id, 8 bytes, big-endian          | payload     Apicurio, only where it is asked for
//!  header   __key_schema_id, __value_schema_id:
//!           01 | GUID, 16 bytes | rest             Confluent; the rest is the message index of Protobuf
//!           00 | id, 4 bytes    | rest
//! ```
//! - I1: a header wins over a prefix: where there is one, all of the bytes are payload, as Confluent's own clients
//!   read them. Of several headers of that name the last counts, as Java's `lastHeader` has it.
//! - I2: whatever the bytes are, the answer is a frame inside of them or a fault that says what is wrong.

use std::fmt;
use std::ops::Range;

use tableflow_model::Error;
use uuid::Uuid;

use super::part::RecordPart;
use super::schema::{SchemaId, SchemaKey};

const MAGIC_ID: u8 = 0;
const MAGIC_GUID: u8 = 1;

/// How long an id before the bytes is; nothing in the bytes tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PrefixLength {
    /// Confluent's.
    #[default]
    Four,
    /// Apicurio's, with its default id handler before version 3.
    Eight,
}

impl PrefixLength {
    fn bytes(self) -> usize {
        match self {
            PrefixLength::Four => 4,
            PrefixLength::Eight => 8,
        }
    }
}

/// A key or a value taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Framed<'a> {
    pub schema: SchemaKey,
    /// What the schema describes; for Protobuf, the message index first, unless the header has it.
    pub payload: Range<usize>,
    /// What follows the id in its header.
    pub header_rest: &'a [u8],
}

/// Why the schema of a record is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FramingFault {
    Empty,
    /// No room for magic byte and id.
    Short {
        length: usize,
        expected: usize,
    },
    /// Another first byte than 0.
    NoMagic {
        byte: u8,
    },
    HeaderNull,
    HeaderShort {
        length: usize,
    },
    HeaderMagic {
        byte: u8,
    },
}

/// Finds the id of one part of a record. `headers` are all of the record's.
pub fn frame<'a>(
    bytes: &[u8],
    headers: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>,
    part: RecordPart,
    prefix: PrefixLength,
) -> Result<Framed<'a>, FramingFault> {
    let name = part.id_header();
    match headers.filter(|(header, _)| *header == name).last() {
        Some((_, value)) => {
            let (schema, header_rest) = in_header(value.ok_or(FramingFault::HeaderNull)?)?;
            Ok(Framed { schema, payload: 0..bytes.len(), header_rest })
        }
        None => {
            let (schema, start) = before(bytes, prefix)?;
            Ok(Framed { schema, payload: start..bytes.len(), header_rest: &[] })
        }
    }
}

fn before(bytes: &[u8], prefix: PrefixLength) -> Result<(SchemaKey, usize), FramingFault> {
    let length = prefix.bytes();
    let (magic, rest) = bytes.split_first().ok_or(FramingFault::Empty)?;
    if *magic != MAGIC_ID {
        return Err(FramingFault::NoMagic { byte: *magic });
    }
    let id = rest.get(..length).ok_or(FramingFault::Short { length: bytes.len(), expected: length + 1 })?;
    Ok((SchemaKey::Id(big_endian(id)), length + 1))
}

fn in_header(value: &[u8]) -> Result<(SchemaKey, &[u8]), FramingFault> {
    let short = FramingFault::HeaderShort { length: value.len() };
    let (magic, rest) = value.split_first().ok_or(short)?;
    match *magic {
        MAGIC_GUID => {
            let (guid, rest) = rest.split_first_chunk::<16>().ok_or(short)?;
            Ok((SchemaKey::Guid(Uuid::from_bytes(*guid)), rest))
        }
        MAGIC_ID => {
            let (id, rest) = rest.split_first_chunk::<4>().ok_or(short)?;
            Ok((SchemaKey::Id(big_endian(id)), rest))
        }
        byte => Err(FramingFault::HeaderMagic { byte }),
    }
}

fn big_endian(bytes: &[u8]) -> SchemaId {
    SchemaId(bytes.iter().fold(0, |id, byte| id << 8 | u64::from(*byte)))
}

impl fmt::Display for FramingFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FramingFault::Empty => f.write_str("it is empty: there is no schema id before it"),
            FramingFault::Short { length, expected } => {
                write!(f, "it has {length} bytes, and the schema id before it alone has {expected}")
            }
            FramingFault::NoMagic { byte } => {
                write!(f, "its first byte is {byte} where a schema id begins with 0")
            }
            FramingFault::HeaderNull => f.write_str("its header with the schema id is null"),
            FramingFault::HeaderShort { length } => {
                write!(f, "its header with the schema id has {length} bytes, too few for one")
            }
            FramingFault::HeaderMagic { byte } => {
                write!(f, "its header with the schema id begins with {byte}, not with 1 (a GUID) or 0 (a number)")
            }
        }
    }
}

impl From<FramingFault> for Error {
    fn from(fault: FramingFault) -> Self {
        let hint = match fault {
            FramingFault::Empty | FramingFault::Short { .. } | FramingFault::NoMagic { .. } => {
                "the producer used no serializer of a schema registry"
            }
            _ => "the producer, or something between, wrote that header in a form that no serializer writes",
        };
        Error::data("the schema of a record is not known").with_detail(fault.to_string()).with_hint(hint)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Header<'a> = (&'a [u8], Option<&'a [u8]>);
    /// Bytes, headers, option; the schema's key, where the payload is, the header's rest.
    type Case<'a> = (&'a [u8], Vec<Header<'a>>, PrefixLength, Result<Seen<'a>, FramingFault>);
    type Seen<'a> = (SchemaKey, Range<usize>, &'a [u8]);

    const GUID: [u8; 16] = [0xaa, 0xbb, 0xcc, 0xdd, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];

    fn guid_header(rest: &[u8]) -> Vec<u8> {
        [&[1], &GUID[..], rest].concat()
    }

    #[test]
    fn i1_where_the_id_is() {
        let guid = SchemaKey::Guid("aabbccdd-0102-0304-0506-0708090a0b0c".parse().unwrap());
        let id = |id| SchemaKey::Id(SchemaId(id));
        let (plain, indexed, wrong) = (guid_header(&[]), guid_header(&[2, 4]), [9, 9]);
        let (value, key) = (b"__value_schema_id".as_slice(), b"__key_schema_id".as_slice());
        let other: Header = (b"trace", Some(b"\x01"));
        use FramingFault as F;
        use PrefixLength::{Eight, Four};
        let cases: Vec<Case> = vec![
            (b"\0\0\0\0\x07ab", vec![], Four, Ok((id(7), 5..7, b""))),
            (b"\0\0\0\0\x07", vec![other], Four, Ok((id(7), 5..5, b""))),
            (b"\0\xff\xff\xff\xffx", vec![], Four, Ok((id(0xffff_ffff), 5..6, b""))),
            (b"\0\0\0\0\x01\0\0\0\x02x", vec![], Eight, Ok((id(0x1_0000_0002), 9..10, b""))),
            (b"", vec![], Four, Err(F::Empty)),
            (b"\0\0\0\0", vec![], Four, Err(F::Short { length: 4, expected: 5 })),
            (b"\0", vec![], Four, Err(F::Short { length: 1, expected: 5 })),
            (b"\0\0\0\0\x07abc", vec![], Eight, Err(F::Short { length: 8, expected: 9 })),
            (b"\0\0\0\0\0\0\0\0\x07", vec![], Eight, Ok((id(7), 9..9, b""))),
            (b"\0\xff\xff\xff\xff\xff\xff\xff\xffx", vec![], Eight, Ok((id(u64::MAX), 9..10, b""))),
            (b"", vec![], Eight, Err(F::Empty)),
            (b"{\"id\":1}", vec![], Eight, Err(F::NoMagic { byte: b'{' })),
            // Read as four bytes, the id of eight is 0, and the rest of it is taken for payload.
            (b"\0\0\0\0\0\0\0\0\x07x", vec![], Four, Ok((id(0), 5..10, b""))),
            (b"{}", vec![], Four, Err(F::NoMagic { byte: b'{' })),
            (b"\x01\0\0\0\x07", vec![], Four, Err(F::NoMagic { byte: 1 })),
            // A header: its id, and all the bytes are payload, whatever they begin with.
            (b"ab", vec![(value, Some(&plain))], Four, Ok((guid, 0..2, b""))),
            (b"", vec![(value, Some(&plain))], Four, Ok((guid, 0..0, b""))),
            (b"\0\0\0\0\x07ab", vec![other, (value, Some(&plain))], Eight, Ok((guid, 0..7, b""))),
            (b"ab", vec![(value, Some(&indexed))], Four, Ok((guid, 0..2, &[2, 4]))),
            (b"ab", vec![(value, Some(b"\0\0\0\x01\0"))], Four, Ok((id(256), 0..2, b""))),
            // The key's header is not the value's; the last one counts.
            (b"\0\0\0\0\x07", vec![(key, Some(&plain))], Four, Ok((id(7), 5..5, b""))),
            (b"ab", vec![(value, Some(&wrong)), (value, Some(&plain))], Four, Ok((guid, 0..2, b""))),
            (b"ab", vec![(value, Some(&plain)), (value, None)], Four, Err(F::HeaderNull)),
            (b"\0\0\0\0\x07", vec![(value, Some(b""))], Four, Err(F::HeaderShort { length: 0 })),
            (b"\0\0\0\0\x07", vec![(value, Some(&plain[..16]))], Four, Err(F::HeaderShort { length: 16 })),
            (b"\0\0\0\0\x07", vec![(value, Some(&plain[..1]))], Four, Err(F::HeaderShort { length: 1 })),
            (b"ab", vec![(value, Some(b"\0\0\0\x01"))], Four, Err(F::HeaderShort { length: 4 })),
            (b"ab", vec![(value, Some(&wrong))], Four, Err(F::HeaderMagic { byte: 9 })),
        ];
        for (bytes, headers, prefix, expected) in cases {
            let seen = frame(bytes, headers.iter().copied(), RecordPart::Value, prefix);
            let expected = expected.map(|(schema, payload, header_rest)| Framed { schema, payload, header_rest });
            assert_eq!(seen, expected, "{bytes:?} {headers:?}");
        }
        let headers = [(value, Some(wrong.as_slice())), (key, Some(plain.as_slice()))];
        let seen = frame(b"ab", headers.into_iter(), RecordPart::Key, Four);
        assert_eq!(seen.map(|framed| framed.schema), Ok(guid));
    }

    #[test]
    fn i2_a_fault_says_what_is_wrong() {
        use PrefixLength::{Eight, Four};
        for (bytes, prefix, detail) in [
            (&b"{}"[..], Four, "its first byte is 123 where a schema id begins with 0"),
            (b"", Eight, "it is empty: there is no schema id before it"),
            (b"\0\0\0\x07", Four, "it has 4 bytes, and the schema id before it alone has 5"),
            (b"\0\0\0\0\x07abc", Eight, "it has 8 bytes, and the schema id before it alone has 9"),
        ] {
            let report = Error::from(frame(bytes, std::iter::empty(), RecordPart::Key, prefix).unwrap_err());
            assert_eq!(
                report.report(),
                format!(
                    "error: the schema of a record is not known\n  detail: {detail}\n  hint: the producer used no \
                     serializer of a schema registry"
                )
            );
        }
    }

    proptest! {
        #[test]
        fn i2_no_bytes_are_too_odd(bytes: Vec<u8>, header: Option<Option<Vec<u8>>>, eight: bool) {
            let prefix = if eight { PrefixLength::Eight } else { PrefixLength::Four };
            let headers = header.iter().map(|value| (RecordPart::Key.id_header(), value.as_deref()));
            match frame(&bytes, headers, RecordPart::Key, prefix) {
                Ok(framed) => {
                    prop_assert_eq!(framed.payload.end, bytes.len());
                    prop_assert!(bytes.get(framed.payload.clone()).is_some());
                    prop_assert_eq!(framed.payload.start == 0, header.is_some());
                }
                Err(fault) => prop_assert!(!fault.to_string().is_empty()),
            }
        }
    }
}
