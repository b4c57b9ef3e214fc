//! One commit of a run of upkeep: what it is for, and how that goes onto the base of now.
//!
//! Owns [`Task`], [`Staged`], and [`Did`], what became of it.
//! - I1: a step is prepared anew on the base of each try; where nothing of it is left to be done there, nothing is committed.

use std::collections::BTreeMap;

use tableflow_catalog::LoadedTable;
use tableflow_lake::commit::{Fewer, Prepared, Rewrite, prepare_manifests, prepare_rewrite};
use tableflow_lake::compact::{Plan, Published, Rewritten, Tidied, prepare_step, prepare_tidying};
use tableflow_lake::removal::{Removed, Which, prepare_removal};
use tableflow_lake::write::FileNames;
use tableflow_model::Result;

use crate::home::Home;

/// What a commit is for.
#[derive(Clone, Debug)]
pub(super) enum Task {
    /// Groups that wait become other files.
    Rewrite,
    /// Delete files become fewer.
    Tidy,
    /// Rows go by what they are.
    Remove(Which),
    /// Manifests become fewer.
    Manifests,
    /// Nothing but the ledger moves: what dead processes staged is decided (rule G2).
    Decide,
}

/// The new files of a step; none where it is not about data files.
pub(super) struct Staged {
    pub task: Task,
    pub done: Vec<Rewritten>,
    pub names: FileNames,
}

/// What a commit of it does.
pub(super) enum Did {
    Rewrite(Published),
    Tidy { removed: u64, added: u64 },
    Remove { rows: u64, data_files: u64 },
    Manifests { before: u64, after: u64 },
    Decide,
}

impl Staged {
    /// The step on a base; nothing where there is nothing of it to be done.
    pub async fn prepare(
        &mut self,
        home: &Home,
        base: &LoadedTable,
        plan: &Plan,
        properties: BTreeMap<String, String>,
    ) -> Result<Option<(Prepared, Did)>> {
        let (context, names) = (home.commit_context(), &mut self.names);
        Ok(match &self.task {
            Task::Rewrite => prepare_step(context, (&base.metadata, plan), &self.done, names, properties)
                .await?
                .map(|(prepared, published)| (prepared, Did::Rewrite(published))),
            Task::Tidy => prepare_tidying(context, &base.metadata, names, properties)
                .await?
                .map(|Tidied { prepared, removed, added }| (prepared, Did::Tidy { removed, added })),
            Task::Remove(which) => prepare_removal(context, &base.metadata, which, names, properties)
                .await?
                .map(|Removed { prepared, rows, data_files }| (prepared, Did::Remove { rows, data_files })),
            Task::Manifests => prepare_manifests(context, &base.metadata, &properties)
                .await?
                .map(|Fewer { prepared, before, after }| (prepared, Did::Manifests { before, after })),
            Task::Decide => {
                let rewrite = Rewrite { properties, ..Rewrite::default() };
                Some((prepare_rewrite(context, &base.metadata, &rewrite).await?, Did::Decide))
            }
        })
    }
}
