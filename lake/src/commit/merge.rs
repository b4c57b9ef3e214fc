//! Which manifests to merge: the tail stays short at a cost that does not grow with the table.
//!
//! Manifests are sorted into tiers by their number of live files (1, 16, 256, ...). When a tier has
//! [`TIER_WIDTH`] manifests of one spec they become one of the next tier. A file's entry is so rewritten at most
//! once a tier, and a manifest of [`ENTRIES_MAX`] entries never again: with N files a list holds about
//! `TIER_WIDTH` manifests a tier plus `N / ENTRIES_MAX`.
//! - I1: at most one merge a commit, so that one commit's cost is bounded.
//! - I2: manifests are merged with those of one content, data or deletes, and of one partition spec that the caller can
//!   still write.

use std::collections::BTreeMap;

use iceberg::spec::{ManifestContentType, ManifestFile};

/// Manifests of a tier that trigger a merge.
const TIER_WIDTH: usize = 16;

/// A manifest with this many files is left alone: reading it whole is what a plan does anyway.
const ENTRIES_MAX: u32 = 4096;

/// The positions of the manifests to merge into one, or nothing.
pub(super) fn manifests_to_merge(manifests: &[ManifestFile], is_written: impl Fn(i32) -> bool) -> Vec<usize> {
    let mut tiers: BTreeMap<(u32, bool, i32), Vec<usize>> = BTreeMap::new();
    for (position, manifest) in manifests.iter().enumerate() {
        let entries = live_count(manifest);
        let is_data = manifest.content == ManifestContentType::Data;
        if entries < ENTRIES_MAX && is_written(manifest.partition_spec_id) {
            tiers.entry((tier(entries), is_data, manifest.partition_spec_id)).or_default().push(position);
        }
    }
    let full = tiers.into_values().find(|positions| positions.len() >= TIER_WIDTH);
    full.map(|positions| positions.into_iter().take(TIER_WIDTH).collect()).unwrap_or_default()
}

fn live_count(manifest: &ManifestFile) -> u32 {
    manifest.added_files_count.unwrap_or(0).saturating_add(manifest.existing_files_count.unwrap_or(0))
}

fn tier(entries: u32) -> u32 {
    entries.max(1).ilog2() / TIER_WIDTH.ilog2()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(entries: u32, spec_id: i32, content: ManifestContentType) -> ManifestFile {
        ManifestFile {
            manifest_path: String::new(),
            manifest_length: 0,
            partition_spec_id: spec_id,
            content,
            sequence_number: 1,
            min_sequence_number: 1,
            added_snapshot_id: 1,
            added_files_count: Some(entries),
            existing_files_count: Some(0),
            deleted_files_count: Some(0),
            added_rows_count: None,
            existing_rows_count: None,
            deleted_rows_count: None,
            partitions: None,
            key_metadata: None,
            first_row_id: None,
        }
    }

    #[test]
    fn i1_ten_thousand_commits_keep_the_list_short_and_each_rewrite_small() {
        let mut manifests: Vec<ManifestFile> = Vec::new();
        let mut rewritten = 0_u64;
        for _ in 0..10_000 {
            manifests.push(manifest(1, 0, ManifestContentType::Data));
            let merge = manifests_to_merge(&manifests, |_| true);
            let entries: u32 = merge.iter().map(|position| live_count(&manifests[*position])).sum();
            rewritten += u64::from(entries);
            if !merge.is_empty() {
                for position in merge.iter().rev() {
                    manifests.remove(*position);
                }
                manifests.push(manifest(entries, 0, ManifestContentType::Data));
            }
            assert!(manifests.len() <= 4 * TIER_WIDTH, "{}", manifests.len());
        }
        assert_eq!(manifests.iter().map(live_count).sum::<u32>(), 10_000);
        assert!(rewritten <= 3 * 10_000, "every entry is rewritten at most once a tier: {rewritten}");
    }

    #[test]
    fn i2_specs_and_delete_manifests_are_kept_apart() {
        let mut manifests: Vec<_> = (0..15).map(|_| manifest(1, 0, ManifestContentType::Data)).collect();
        manifests.extend((0..15).map(|_| manifest(1, 1, ManifestContentType::Data)));
        manifests.extend((0..15).map(|_| manifest(1, 0, ManifestContentType::Deletes)));
        assert!(manifests_to_merge(&manifests, |_| true).is_empty());
        let mut deletes = manifests.clone();
        deletes.push(manifest(1, 0, ManifestContentType::Deletes));
        let merged = manifests_to_merge(&deletes, |_| true);
        assert!(
            merged.len() == TIER_WIDTH
                && merged.iter().all(|place| deletes[*place].content == ManifestContentType::Deletes)
        );
        manifests.push(manifest(1, 1, ManifestContentType::Data));
        let merged = manifests_to_merge(&manifests, |_| true);
        assert!(manifests_to_merge(&manifests, |spec_id| spec_id != 1).is_empty());
        assert_eq!(merged.len(), TIER_WIDTH);
        assert!(merged.iter().all(|position| manifests[*position].partition_spec_id == 1));
    }
}
