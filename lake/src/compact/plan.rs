//! Which files are worth rewriting.
//!
//! Owns [`Plan`], [`Thresholds`] and how files are put together.
//! - I1: a file is rewritten because it is small, far too large, or has too many deleted rows or delete files; one that
//!   only is small needs another one to be put together with.
//! - I2: files are put together within one partition of one spec, in the order in which their rows came: what is near in
//!   time stays near.
//! - I3: where rows are to be sorted, files whose ranges meet are rewritten together.
//! - I4: what a plan makes is not planned again: files come out between [`SPLIT`] and twice that of the target.

use std::cmp::Ordering;
use std::collections::HashMap;

use iceberg::spec::{DataFile, Datum, FormatVersion, SortOrder, Struct, TableMetadata};
use tableflow_model::Result;
use tableflow_store::Store;
use uuid::Uuid;

use crate::commit::{LiveFile, manifests_of};
use crate::layout::copies_on_write;
use crate::read::{Applying, DeleteFiles, data_files, deleted_rows};

/// Below this part of the target a file is small, in hundredths.
const SMALL: u64 = 75;

/// Above it a file is split.
const LARGE: u64 = 180;

/// The least that a new file is to have where its rows are enough for more than one.
const SPLIT: u64 = 85;

/// Rows that are sorted together: they go through the disk twice.
const SORTED_TARGETS_MAX: u64 = 64;

/// So many small files of a partition are worth a rewrite that nobody asked for.
const DUE_FILES_MIN: usize = 5;

/// A group has at most so many times the target: it is rewritten as one, and given up as one.
const GROUP_TARGETS_MAX: u64 = 8;

/// When a file is worth rewriting.
#[derive(Clone, Copy, Debug)]
pub struct Thresholds {
    /// All files of a partition that are not in the table's order, together.
    pub sorts: bool,
    pub target_bytes: u64,
    /// Small files that are put together are at least so many.
    pub files_min: usize,
    /// In hundredths of a file's rows.
    pub deleted_min: u64,
    /// That apply to one file.
    pub delete_files_min: usize,
}

impl Thresholds {
    /// What a person who asks for it expects: all that makes reading slower goes.
    pub fn new(target_bytes: u64) -> Self {
        Thresholds { sorts: false, target_bytes, files_min: 2, deleted_min: 30, delete_files_min: 8 }
    }

    /// What is worth doing again and again while rows come in: some small files may wait for more of them.
    pub fn due(target_bytes: u64) -> Self {
        Thresholds { files_min: DUE_FILES_MIN, ..Thresholds::new(target_bytes) }
    }

    /// A table that copies on write has no use for delete files, whoever wrote them.
    fn of_table(self, table: &TableMetadata) -> Self {
        if copies_on_write(table) { Thresholds { deleted_min: 0, delete_files_min: 1, ..self } } else { self }
    }

    fn is_small(&self, bytes: u64) -> bool {
        bytes * 100 < self.target_bytes * SMALL
    }

    /// Whether it is rewritten whatever stands beside it.
    fn is_due(&self, input: &Input) -> bool {
        input.bytes() * 100 > self.target_bytes * LARGE
            || (input.deleted > 0 && input.deleted * 100 >= input.rows() * self.deleted_min)
            || input.delete_files >= self.delete_files_min
    }

    fn is_worth_it(&self, files: &[Input]) -> bool {
        files.len() >= self.files_min || files.iter().any(|input| self.is_due(input))
    }

    fn outputs(&self, bytes: u64) -> u64 {
        (bytes * 100 / (self.target_bytes * SPLIT).max(1)).max(1)
    }
}

/// A data file, and how much of it is deleted.
#[derive(Clone, Debug)]
pub struct Input {
    pub live: LiveFile,
    /// Rows; about as many, until they are read.
    pub deleted: u64,
    /// That apply to it.
    pub delete_files: usize,
}

impl Input {
    pub fn bytes(&self) -> u64 {
        self.live.file.file_size_in_bytes()
    }

    pub fn rows(&self) -> u64 {
        self.live.file.record_count()
    }

    /// About what its rows that are left take.
    fn bytes_left(&self) -> u64 {
        let left = u128::from(self.rows().saturating_sub(self.deleted));
        let bytes = u128::from(self.bytes()) * left / u128::from(self.rows().max(1));
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }
}

/// Files of one partition that become others.
#[derive(Clone, Debug)]
pub struct Group {
    pub spec_id: i32,
    pub partition: Struct,
    pub files: Vec<Input>,
    /// About so large are those that come.
    pub file_bytes: u64,
    /// About so many.
    pub outputs: u64,
}

impl Group {
    /// A file that becomes another one, whatever its size.
    pub(super) fn of_one(live: LiveFile) -> Self {
        let (spec_id, partition) = (live.spec_id, live.file.partition().clone());
        let files = vec![Input { live, deleted: 0, delete_files: 0 }];
        Group { spec_id, partition, files, file_bytes: u64::MAX, outputs: 1 }
    }

    pub fn bytes(&self) -> u64 {
        self.files.iter().map(Input::bytes).sum()
    }

    /// A file that comes has about so many at most.
    pub fn file_bytes_most(&self) -> u64 {
        self.file_bytes.min(self.bytes())
    }
}

/// What is to be rewritten of one snapshot.
#[derive(Debug)]
pub struct Plan {
    pub table: Uuid,
    pub sequence: i64,
    /// Rows are written with ids, or without: as it had them.
    pub(super) version: FormatVersion,
    pub groups: Vec<Group>,
    /// Of the snapshot.
    pub(super) deletes: DeleteFiles,
}

impl Plan {
    /// For a table as it is.
    pub fn of_nothing(table: &TableMetadata) -> Self {
        Plan {
            table: table.uuid(),
            sequence: table.current_snapshot().map_or(0, |snapshot| snapshot.sequence_number()),
            version: table.format_version(),
            groups: Vec::new(),
            deletes: DeleteFiles::default(),
        }
    }
}

/// The groups of the current snapshot, of the data files that are wanted.
pub async fn plan(
    store: &Store,
    table: &TableMetadata,
    is_wanted: impl Fn(&DataFile) -> bool,
    thresholds: Thresholds,
) -> Result<Plan> {
    let mut plan = Plan::of_nothing(table);
    let thresholds = thresholds.of_table(table);
    let Some(snapshot) = table.current_snapshot() else { return Ok(plan) };
    let manifests = manifests_of(store, table, snapshot).await?;
    plan.deletes = DeleteFiles::of_manifests(store, table, &manifests).await?;
    let mut files = data_files(store, &manifests).await?;
    files.retain(|live| is_wanted(&live.file));
    let mut partitions: Vec<Vec<LiveFile>> = Vec::new();
    let mut places = HashMap::new();
    for live in files {
        let place = *places.entry((live.spec_id, live.file.partition().clone())).or_insert_with(|| {
            partitions.push(Vec::new());
            partitions.len() - 1
        });
        if let Some(partition) = partitions.get_mut(place) {
            partition.push(live);
        }
    }
    for files in partitions {
        let inputs = counted(store, table, &plan.deletes, files).await?;
        let in_order = !thresholds.sorts || stand_apart(&inputs, table.default_sort_order());
        plan.groups.extend(groups(inputs, in_order, thresholds));
    }
    Ok(plan)
}

/// The files of one partition. Delete files that are about one of them say how many rows they delete; others are read.
async fn counted(
    store: &Store,
    table: &TableMetadata,
    deletes: &DeleteFiles,
    files: Vec<LiveFile>,
) -> Result<Vec<Input>> {
    let applying: Vec<Applying> = files.iter().map(|live| deletes.applying_to(live)).collect();
    let unclear = files.iter().zip(&applying).filter(|(_, applying)| !applying.are_own()).map(|(live, _)| live);
    let read = deleted_rows(store, table, deletes, &unclear.collect::<Vec<_>>()).await?;
    let input = |(live, applying): (LiveFile, Applying)| {
        let deleted = match read.get(live.file.file_path()) {
            Some(rows) => rows.len(),
            None if applying.are_own() => applying.files().map(|delete| delete.file.record_count()).sum(),
            None => 0,
        };
        let deleted = deleted.min(live.file.record_count());
        Input { deleted, delete_files: applying.files().count(), live }
    };
    Ok(files.into_iter().zip(applying).map(input).collect())
}

/// Whether files that are sorted, as the manifests say, hold rows of different ranges of the order's first column.
fn stand_apart(inputs: &[Input], order: &SortOrder) -> bool {
    let (Some(by), Ok(id)) = (order.fields.first(), i32::try_from(order.order_id)) else { return true };
    let range = |input: &Input| {
        let file = &input.live.file;
        let is_sorted = file.sort_order_id() == Some(id);
        let bounds = (file.lower_bounds().get(&by.source_id)?, file.upper_bounds().get(&by.source_id)?);
        is_sorted.then(|| (bounds.0.clone(), bounds.1.clone()))
    };
    let ranges: Option<Vec<(Datum, Datum)>> = inputs.iter().map(range).collect();
    let Some(mut ranges) = ranges else { return inputs.len() < 2 };
    ranges.sort_by(|a, b| a.0.partial_cmp(&b.0).unwrap_or(Ordering::Equal));
    ranges.is_sorted_by(|before, after| before.1 <= after.0)
}

/// I1, I2. Files that are to be sorted go together whatever else they are.
fn groups(inputs: Vec<Input>, in_order: bool, thresholds: Thresholds) -> Vec<Group> {
    let is_wanted = |input: &Input| !in_order || thresholds.is_small(input.bytes()) || thresholds.is_due(input);
    let mut candidates: Vec<Input> = inputs.into_iter().filter(is_wanted).collect();
    let targets_max = if in_order { GROUP_TARGETS_MAX } else { SORTED_TARGETS_MAX };
    candidates
        .sort_by(|a, b| (a.live.sequence, a.live.file.file_path()).cmp(&(b.live.sequence, b.live.file.file_path())));
    let (mut groups, mut files, mut bytes) = (Vec::new(), Vec::new(), 0);
    let mut candidates = candidates.into_iter().peekable();
    while let Some(input) = candidates.next() {
        bytes += input.bytes();
        files.push(input);
        let next = candidates.peek().map_or(u64::MAX, Input::bytes);
        if bytes.saturating_add(next) > thresholds.target_bytes * targets_max {
            groups.extend(group(std::mem::take(&mut files), thresholds));
            bytes = 0;
        }
    }
    groups
}

fn group(files: Vec<Input>, thresholds: Thresholds) -> Option<Group> {
    let first = files.first().filter(|_| thresholds.is_worth_it(&files))?;
    let (spec_id, partition) = (first.live.spec_id, first.live.file.partition().clone());
    let bytes: u64 = files.iter().map(Input::bytes_left).sum();
    let outputs = thresholds.outputs(bytes);
    Some(Group { spec_id, partition, file_bytes: bytes.div_ceil(outputs).max(1), outputs, files })
}

#[cfg(test)]
mod tests {
    use iceberg::spec::{DataContentType, DataFileBuilder, DataFileFormat};

    use super::*;

    const TARGET: u64 = 1000;

    fn input(bytes: u64, sequence: i64, deleted: u64) -> Input {
        let file = DataFileBuilder::default()
            .content(DataContentType::Data)
            .file_path(format!("memory:/{sequence}.parquet"))
            .file_format(DataFileFormat::Parquet)
            .partition(Struct::empty())
            .partition_spec_id(0)
            .record_count(100)
            .file_size_in_bytes(bytes)
            .build()
            .unwrap();
        Input { live: LiveFile { file, spec_id: 0, sequence }, deleted, delete_files: usize::from(deleted > 0) }
    }

    fn planned(inputs: Vec<Input>) -> Vec<(Vec<i64>, u64)> {
        let groups = groups(inputs, true, Thresholds::new(TARGET)).into_iter();
        groups.map(|it| (it.files.iter().map(|input| input.live.sequence).collect(), it.outputs)).collect()
    }

    #[test]
    fn i1_what_is_small_too_large_or_much_deleted_is_rewritten() {
        assert_eq!(planned(vec![input(749, 1, 0), input(750, 2, 0), input(1800, 3, 0)]), []);
        assert_eq!(planned(vec![input(100, 1, 0), input(100, 2, 0)]), [(vec![1, 2], 1)]);
        assert_eq!(planned(vec![input(1801, 1, 0)]), [(vec![1], 2)]);
        assert_eq!(planned(vec![input(900, 1, 29)]), []);
        assert_eq!(planned(vec![input(900, 1, 30)]), [(vec![1], 1)]);
        let many = Input { delete_files: 8, ..input(900, 1, 1) };
        assert_eq!(planned(vec![many]), [(vec![1], 1)]);
    }

    #[test]
    fn i2_files_go_together_in_the_order_of_their_rows_and_groups_are_bounded() {
        let inputs: Vec<Input> = (1..=200).rev().map(|sequence| input(100, sequence, 0)).collect();
        let planned = planned(inputs);
        assert_eq!(planned.len(), 3);
        assert_eq!(
            planned.iter().flat_map(|(files, _)| files).copied().collect::<Vec<_>>(),
            (1..=200).collect::<Vec<_>>()
        );
        assert!(planned.iter().all(|(files, _)| files.len() <= 80));
    }

    #[test]
    fn i4_what_comes_out_is_neither_small_nor_large() {
        for bytes in (1000..20_000).step_by(7) {
            let thresholds = Thresholds::new(TARGET);
            let outputs = thresholds.outputs(bytes);
            let each = bytes / outputs;
            assert!(!thresholds.is_small(each) && each * 100 <= TARGET * LARGE, "{bytes}: {outputs} of {each}");
        }
    }
}
