//! The versions of a subject, as a table follows them.
//!
//! Owns [`Following`]: which version a schema is, and what a new one drops.
//! - I1: the order is that of the versions, whatever order records come in. A record of a version says that those
//!   before it count too: what became of a column does not depend on which of them a partition shows first.
//! - I2: a schema drops what an older version has filled and it does not fill; columns that no version fills are not
//!   its matter: those declared, those of keys, those that records alone brought.
//! - I3: a version that was deleted counts only where a record names it; one that is registered again counts as its
//!   newest.
//! - I4: a row whose fields are all gone goes with them; what the schema has of it is a new one.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use arrow::datatypes::{DataType, FieldRef};
use tableflow_connectors::decode::{Learned, Passing};
use tableflow_connectors::registry::{RegisteredSchema, SchemaId, SchemaKey, Version};

use crate::pipeline::mirror::{Mirror, Step};

/// What a table's decoder knows of the versions of its schemas.
#[derive(Debug)]
pub(super) struct Following {
    mirror: Mirror,
    /// Of values; they stay whatever schemas say (I2).
    declared: Vec<String>,
    /// Those that are not deleted, as far as they were looked at.
    live: BTreeMap<Version, SchemaId>,
    versions: HashMap<SchemaKey, Option<Version>>,
    /// The columns that versions up to the one that is followed fill.
    filled: BTreeSet<String>,
    /// By column, the whole names that fields had which went into it by an alias or a number, and the last version that
    /// had.
    called: BTreeMap<String, BTreeMap<String, Version>>,
}

impl Following {
    pub fn new(mirror: Mirror, declared: Vec<String>) -> Self {
        let (live, versions, filled, called) = Default::default();
        Following { mirror, declared, live, versions, filled, called }
    }

    pub fn mirror(&self) -> &Mirror {
        &self.mirror
    }

    pub fn followed(&self) -> Version {
        self.mirror.followed
    }

    /// Versions count, but drop nothing.
    pub fn rests(&self) -> bool {
        self.mirror.rests
    }

    pub fn live(&self) -> Vec<(Version, SchemaId)> {
        self.live.iter().map(|(version, id)| (*version, *id)).collect()
    }

    pub fn is_known(&self, version: Version) -> bool {
        self.live.contains_key(&version)
    }

    /// The versions that are not deleted by now.
    pub fn has_no_others(&mut self, versions: &[Version]) {
        self.live.retain(|version, _| versions.contains(version));
    }

    /// A version that the subject has.
    pub fn has(&mut self, registered: &RegisteredSchema) {
        self.live.insert(registered.version, registered.id);
        let guid = registered.guid.map(SchemaKey::Guid);
        for key in [Some(SchemaKey::Id(registered.id)), guid].into_iter().flatten() {
            self.is_version(key, Some(registered.version));
        }
    }

    /// Which version a schema is, if it is one (I3).
    pub fn is_version(&mut self, key: SchemaKey, version: Option<Version>) {
        let known = self.versions.entry(key).or_default();
        *known = (*known).max(version);
    }

    /// Nothing where nobody asked yet.
    pub fn version_of(&self, key: SchemaKey) -> Option<Option<Version>> {
        self.versions.get(&key).copied()
    }

    /// The versions that nobody followed yet, up to this one, in their order (I1).
    pub fn ahead(&self, up_to: Version) -> Vec<(Version, SchemaId)> {
        let ahead = self.live.iter().filter(|(version, _)| **version > self.followed() && **version <= up_to);
        ahead.map(|(version, id)| (*version, *id)).collect()
    }

    pub fn newest(&self) -> Version {
        self.live.keys().next_back().copied().unwrap_or(Version(0))
    }

    pub fn passing(&self, key: SchemaKey) -> Passing {
        self.mirror.passing(self.versions.get(&key).copied().flatten())
    }

    /// A schema was learnt.
    pub fn learned(&mut self, key: SchemaKey, learned: &Learned) {
        let Some(version) = self.version_of(key).flatten() else { return };
        self.filled.extend(learned.filled.iter().cloned());
        for (field, column) in &learned.called {
            let known = self.called.entry(column.clone()).or_default().entry(field.clone()).or_insert(version);
            *known = (*known).max(version);
        }
        self.mirror.followed = self.mirror.followed.max(version);
    }

    /// To a version that drops nothing: from then on it is remembered that it was followed.
    pub fn plain_step_to(&self, version: Version) -> Step {
        let mut to = self.mirror.clone();
        to.followed = version;
        Step { to, drops: BTreeSet::new(), before: None, is_between: false }
    }

    /// What a version drops of these columns, if it does, by the columns that it fills (I2).
    pub fn step_to(&self, version: Version, columns: &[FieldRef], fills: &BTreeSet<String>) -> Option<Step> {
        // Of a schema that names no fields everything is a matter of its records.
        if fills.is_empty() {
            return None;
        }
        let found = self.missing(columns, "", fills);
        if found.gone.is_empty() {
            return None;
        }
        let mut step = self.plain_step_to(version);
        for column in &found.gone {
            let called = self.called.get(column).into_iter().flatten();
            step.to.drop(column, version, called.map(|(name, last)| (name.clone(), *last)));
        }
        step.drops.extend(found.gone);
        Some(step)
    }

    fn missing(&self, fields: &[FieldRef], path: &str, fills: &BTreeSet<String>) -> Missing {
        let mut missing = Missing { gone: Vec::new(), all: !fields.is_empty() };
        for field in fields {
            if path.is_empty() && self.declared.contains(field.name()) {
                missing.all = false;
                continue;
            }
            let path = if path.is_empty() { field.name().clone() } else { format!("{path}.{}", field.name()) };
            if !fills.contains(&path) {
                match self.filled.contains(&path) {
                    true => missing.gone.push(path),
                    false => missing.all = false,
                }
                continue;
            }
            let inside = self.missing_inside(field.data_type(), &path, fills);
            match inside.all {
                true => missing.gone.push(path),
                false => {
                    missing.all = false;
                    missing.gone.extend(inside.gone);
                }
            }
        }
        missing
    }

    fn missing_inside(&self, data_type: &DataType, path: &str, fills: &BTreeSet<String>) -> Missing {
        match data_type {
            DataType::Struct(fields) => self.missing(fields, path, fills),
            DataType::List(element) => self.missing_inside(element.data_type(), &format!("{path}.element"), fills),
            DataType::Map(entries, _) => match entries.data_type() {
                DataType::Struct(pair) => match pair.get(1) {
                    Some(value) => self.missing_inside(value.data_type(), &format!("{path}.value"), fills),
                    None => Missing::default(),
                },
                _ => Missing::default(),
            },
            _ => Missing::default(),
        }
    }
}

/// What is missing of a row.
#[derive(Debug, Default)]
struct Missing {
    gone: Vec<String>,
    /// Nothing of it is left (I4).
    all: bool,
}

#[cfg(test)]
mod tests {
    use tableflow_model::types::parse_columns;

    use super::*;

    const ALL: &[&str] = &[
        "id",
        "r",
        "r.x",
        "r.y",
        "l",
        "l.element",
        "l.element.x",
        "m",
        "m.value",
        "m.value.x",
        "m.value.y",
        "declared",
    ];

    fn names(paths: &[&str]) -> BTreeSet<String> {
        paths.iter().map(|path| (*path).to_owned()).collect()
    }

    fn learned(filled: &[&str]) -> Learned {
        Learned { filled: names(filled), ..Learned::default() }
    }

    fn following() -> Following {
        let mut following = Following::new(Mirror::from(Version(0)), vec!["declared".to_owned()]);
        following.is_version(SchemaKey::id(1), Some(Version(1)));
        following.learned(SchemaKey::id(1), &learned(ALL));
        following
    }

    /// What the second version drops that fills all but these and what is inside of them.
    fn drops(following: &Following, but: &[&str]) -> Vec<String> {
        let columns = "id INT, r ROW<x INT, y INT>, l ARRAY<ROW<x INT>>, m MAP<STRING, ROW<x INT, y INT>>, declared INT, \
                       of_records INT";
        let columns: Vec<FieldRef> = parse_columns(columns).unwrap().into_iter().map(FieldRef::from).collect();
        let is_left = |name: &&&str| but.iter().all(|out| *name != out && !name.starts_with(&format!("{out}.")));
        let fills: Vec<&str> = ALL.iter().filter(is_left).copied().collect();
        let step = following.step_to(Version(2), &columns, &names(&fills));
        step.map(|step| step.drops.into_iter().collect()).unwrap_or_default()
    }

    #[test]
    fn i2_what_a_version_had_and_the_next_one_has_not_goes_at_any_depth() {
        let following = following();
        for (but, expected) in [
            (&[][..], &[][..]),
            (&["id", "r.y"], &["id", "r.y"]),
            (&["r"], &["r"]),
            (&["m.value.x"], &["m.value.x"]),
            (&["declared"], &[]),
        ] {
            assert_eq!(drops(&following, but), expected, "{but:?}");
        }
        assert!(following.step_to(Version(2), &[], &BTreeSet::new()).is_none(), "a schema that names no fields");
    }

    #[test]
    fn i4_a_row_whose_fields_are_all_gone_goes_with_them() {
        for (but, expected) in
            [(&["r.x", "r.y"][..], &["r"][..]), (&["l.element.x"], &["l"]), (&["m.value.x", "m.value.y"], &["m"])]
        {
            assert_eq!(drops(&following(), but), expected, "{but:?}");
        }
    }

    /// Two versions had another name for it, a third one has that name for something else.
    #[test]
    fn other_names_of_a_column_mean_it_up_to_the_last_version_that_had_them() {
        let mut following = following();
        following.is_version(SchemaKey::id(2), Some(Version(2)));
        let called = [("s".to_owned(), "r".to_owned())].into();
        following.learned(SchemaKey::id(2), &Learned { called, ..learned(ALL) });
        let columns = [FieldRef::from(parse_columns("r ROW<x INT>").unwrap().remove(0))];
        let step = following.step_to(Version(5), &columns, &names(&["id"])).unwrap();
        assert_eq!(step.to.to_text().unwrap(), r#"{"form":1,"followed":5,"dropped":{"r":5,"s":3}}"#);
    }

    #[test]
    fn i1_i3_versions_have_their_order_and_one_registered_again_is_its_newest() {
        let mut following = Following::new(Mirror::from(Version(1)), Vec::new());
        let registered = |version: u32, id: u64| RegisteredSchema {
            subject: "s".to_owned(),
            version: Version(version),
            id: SchemaId(id),
            guid: None,
            schema: tableflow_connectors::registry::Schema::avro("t"),
        };
        for (version, id) in [(4, 7), (1, 9), (3, 8), (6, 9)] {
            following.has(&registered(version, id));
        }
        let ahead = following.ahead(Version(4));
        assert_eq!(ahead, [(Version(3), SchemaId(8)), (Version(4), SchemaId(7))]);
        assert_eq!((following.newest(), following.version_of(SchemaKey::id(9))), (Version(6), Some(Some(Version(6)))));
        assert_eq!(following.version_of(SchemaKey::id(1)), None);
        following.is_version(SchemaKey::id(1), None);
        assert_eq!(following.version_of(SchemaKey::id(1)), Some(None));
    }
}
