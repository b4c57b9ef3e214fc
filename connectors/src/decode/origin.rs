//! What an envelope says of a change beside its row: what it was, when, and where in its source.
//!
//! Owns [`Origin`], [`Origins`], those of a batch, [`Unit`], and [`Facts`], what an envelope says of them.
//! - I1: the time at which the source made the change counts before that at which the connector saw it, and of either
//!   the finer one.
//! - I2: a time that is not behind 1970, or behind the year 9999, is none: connectors write zero where they know none.
//! - I3: a position is told by the first of these that its source has a field for, also where that is null: an `lsn`, a
//!   `file` and a `pos` of it, an `scn`; else by the source's time. Positions of two kinds are never mixed.
//! - I4: a row that a snapshot read has none: what the source says there is when it was read, and a change that was made
//!   before may be committed, and sent, behind it.
//!
//! Neighbours: `json`, `avro` and `protobuf` find the fields, each in its own bytes.

/// Where the connector says what it knows of the source.
pub(super) const SOURCE: &str = "source";

/// The last microsecond of the year 9999: readers show none behind it.
const MICROS_MAX: i64 = 253_402_300_799_999_999;

/// What is known of a change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The letter that says what it was.
    pub op: Option<&'static str>,
    /// When it was, in microseconds.
    pub at: Option<i64>,
    /// Where in its source it was.
    pub position: Option<i64>,
}

impl Origin {
    pub(super) fn new(op: Option<&[u8]>, facts: Facts) -> Self {
        let op = match op {
            Some(b"c") => Some("c"),
            Some(b"r") => Some("r"),
            Some(b"u") => Some("u"),
            _ => None,
        };
        let Facts { source, connector, place } = facts;
        let position = if op == Some("r") { None } else { place.position(source) };
        Origin { op, at: source.micros.or(connector.micros), position }
    }
}

/// Those of a batch's records, as far as they are told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    /// By record, in order.
    of: Vec<(usize, Origin)>,
}

impl Origins {
    /// The next record's.
    pub fn push(&mut self, record: usize, origin: Origin) {
        self.of.push((record, origin));
    }

    /// Of a record that tells none, nothing.
    pub fn of(&self, record: usize) -> Origin {
        let found = self.of.binary_search_by_key(&record, |(record, _)| *record).ok();
        found.and_then(|place| self.of.get(place)).map(|(_, origin)| *origin).unwrap_or_default()
    }

    /// Those of the records from this one on, apart.
    #[must_use]
    pub fn split_off(&mut self, record: usize) -> Self {
        Origins { of: self.of.split_off(self.of.partition_point(|(of, _)| *of < record)) }
    }
}

/// What a time counts, from the beginning of 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Millis,
    Micros,
    Nanos,
}

impl Unit {
    /// That of a field, if it has a time.
    pub(super) fn of_field(name: &str) -> Option<Self> {
        match name {
            "ts_ms" => Some(Unit::Millis),
            "ts_us" => Some(Unit::Micros),
            "ts_ns" => Some(Unit::Nanos),
            _ => None,
        }
    }

    /// The microseconds of a time (I2).
    pub fn micros(self, time: i64) -> Option<i64> {
        let micros = match self {
            Unit::Millis => time.checked_mul(1000),
            Unit::Micros => Some(time),
            Unit::Nanos => Some(time / 1000),
        };
        micros.filter(|micros| (1..=MICROS_MAX).contains(micros))
    }
}

/// The times of one clock.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clock {
    micros: Option<i64>,
    is_fine: bool,
}

impl Clock {
    pub fn says(&mut self, unit: Unit, time: i64) {
        let is_fine = unit != Unit::Millis;
        if let Some(micros) = unit.micros(time).filter(|_| is_fine || !self.is_fine) {
            *self = Clock { micros: Some(micros), is_fine };
        }
    }
}

/// A field of a source that says where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Axis {
    Lsn,
    File,
    Pos,
    Scn,
}

impl Axis {
    /// That of a field, if it has one.
    pub fn of_field(name: &str) -> Option<Self> {
        match name {
            "lsn" => Some(Axis::Lsn),
            "file" => Some(Axis::File),
            "pos" => Some(Axis::Pos),
            "scn" => Some(Axis::Scn),
            _ => None,
        }
    }

    /// What a text says there: a number, of a file the one that its name ends with.
    pub fn number_in(self, text: &[u8]) -> Option<i64> {
        let text = std::str::from_utf8(text).ok()?;
        let digits = if self == Axis::File { text.rsplit('.').next()? } else { text };
        digits.parse().ok()
    }
}

/// What a source has for a field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Coordinate {
    #[default]
    NoField,
    Unknown,
    At(i64),
}

impl Coordinate {
    fn at(self) -> Option<i64> {
        match self {
            Coordinate::At(at) => Some(at),
            _ => None,
        }
    }
}

/// Where a change was made in its source.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    lsn: Coordinate,
    file: Coordinate,
    pos: Coordinate,
    scn: Coordinate,
}

impl Place {
    /// The source has the field, and this in it.
    pub fn says(&mut self, axis: Axis, at: Option<i64>) {
        let coordinate = match axis {
            Axis::Lsn => &mut self.lsn,
            Axis::File => &mut self.file,
            Axis::Pos => &mut self.pos,
            Axis::Scn => &mut self.scn,
        };
        *coordinate = at.map_or(Coordinate::Unknown, Coordinate::At);
    }

    /// I3.
    fn position(self, source: Clock) -> Option<i64> {
        let Place { lsn, file, pos, scn } = self;
        match (lsn, file, pos, scn) {
            (Coordinate::NoField, Coordinate::NoField, Coordinate::NoField, Coordinate::NoField) => {
                source.micros.map(|micros| micros / 1000)
            }
            (Coordinate::NoField, Coordinate::NoField, Coordinate::NoField, scn) => scn.at(),
            (Coordinate::NoField, file, pos, _) => {
                let (file, pos) = (i32::try_from(file.at()?).ok()?, u32::try_from(pos.at()?).ok()?);
                (file >= 0).then(|| i64::from(file) << 32 | i64::from(pos))
            }
            (lsn, ..) => lsn.at(),
        }
    }
}

/// What an envelope says of its change.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Facts {
    pub source: Clock,
    pub connector: Clock,
    pub place: Place,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(source: &[(Unit, i64)], connector: &[(Unit, i64)]) -> Option<i64> {
        let mut times = Facts::default();
        source.iter().for_each(|(unit, time)| times.source.says(*unit, *time));
        connector.iter().for_each(|(unit, time)| times.connector.says(*unit, *time));
        Origin::new(Some(b"c"), times).at
    }

    #[test]
    fn i1_the_sources_time_counts_before_the_connectors_and_a_finer_one_before_a_coarser_one() {
        use Unit::{Micros, Millis, Nanos};
        for (source, connector, expected) in [
            (&[(Millis, 7)][..], &[(Millis, 9)][..], Some(7000)),
            (&[(Millis, 7), (Micros, 7001)], &[(Nanos, 9)], Some(7001)),
            (&[(Nanos, 7_002_999), (Millis, 7)], &[], Some(7002)),
            (&[], &[(Micros, 9001), (Millis, 9)], Some(9001)),
            (&[], &[], None),
        ] {
            assert_eq!(at(source, connector), expected, "{source:?} {connector:?}");
        }
    }

    #[test]
    fn i2_a_time_that_nobody_can_show_is_none() {
        use Unit::{Micros, Millis, Nanos};
        for source in [(Millis, 0), (Millis, -1), (Millis, i64::MAX), (Millis, 253_402_300_800_000), (Nanos, 999)] {
            assert_eq!(at(&[source], &[(Millis, 9)]), Some(9000), "{source:?}");
        }
        assert_eq!(at(&[(Millis, 253_402_300_799_999), (Micros, i64::MAX)], &[]), Some(253_402_300_799_999_000));
    }

    #[test]
    fn i3_a_position_is_told_by_the_first_fields_that_a_source_has() {
        let position = |axes: &[(Axis, Option<i64>)]| {
            let mut facts = Facts::default();
            facts.source.says(Unit::Millis, 9);
            axes.iter().for_each(|(axis, at)| facts.place.says(*axis, *at));
            Origin::new(None, facts).position
        };
        use Axis::{File, Lsn, Pos, Scn};
        for (axes, expected) in [
            (&[][..], Some(9)),
            (&[(Lsn, Some(7))], Some(7)),
            (&[(Lsn, None), (Scn, Some(3))], None),
            (&[(File, Some(3)), (Pos, Some(4))], Some(12_884_901_892)),
            (&[(File, Some(3)), (Pos, Some(4_294_967_295))], Some(17_179_869_183)),
            (&[(File, Some(3))], None),
            (&[(File, Some(-1)), (Pos, Some(1))], None),
            (&[(File, Some(1)), (Pos, Some(4_294_967_296))], None),
            (&[(Scn, Some(5))], Some(5)),
            (&[(Scn, None)], None),
        ] {
            assert_eq!(position(axes), expected, "{axes:?}");
        }
        let mut facts = Facts::default();
        facts.place.says(Lsn, Some(7));
        let of = |op: &[u8]| Origin::new(Some(op), facts).position;
        assert_eq!([b"c", b"u", b"d", b"r"].map(|op| of(op)), [Some(7), Some(7), Some(7), None], "I4");
        assert_eq!(File.number_in(b"mysql-bin.000003"), Some(3));
        assert_eq!(File.number_in(b"mysql-bin"), None);
        assert_eq!(Scn.number_in(b"16549837"), Some(16_549_837));
    }

    #[test]
    fn origins_are_found_by_their_records() {
        let of = |at| Origin { at: Some(at), ..Origin::default() };
        let mut origins = Origins::default();
        [2, 3, 7].iter().for_each(|record| origins.push(*record, of(*record as i64)));
        let behind = origins.split_off(3);
        assert_eq!([2, 3].map(|record| origins.of(record).at), [Some(2), None]);
        assert_eq!([2, 3, 5, 7].map(|record| behind.of(record).at), [None, Some(3), None, Some(7)]);
    }
}
