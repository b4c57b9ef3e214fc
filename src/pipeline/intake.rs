//! What a job takes its rows from.
//!
//! Owns [`Intake`]: a topic ([`Feed`](super::feed::Feed)), or dead letters ([`Letters`](super::replay::Letters)).

use std::collections::BTreeMap;

use async_trait::async_trait;
use tableflow_model::protocol::{Epoch, Positions};
use tableflow_model::{Error, Offset, Partition, Result};

use super::job::Ended;
use super::staging::EpochFiles;

/// Where an epoch starts.
#[derive(Debug)]
pub enum Start {
    At(BTreeMap<Partition, Offset>),
    /// The topic is not the one that the ledger knows: positions with the id it has now, for the machine to judge.
    Elsewhere(Positions),
    Ended(Ended),
}

#[async_trait]
pub trait Intake: Send + std::fmt::Debug {
    /// Goes to where the epoch starts.
    async fn start(&mut self, from: Option<Positions>, epoch: Epoch) -> Result<Start>;

    /// Takes rows until the epoch is due. Answers how the job ends, if it does after this epoch.
    async fn fill(&mut self, files: &mut EpochFiles) -> Result<Option<Ended>>;

    /// Makes sure of what was taken, before it is committed.
    async fn confirm(&mut self) -> Result<()>;

    /// Where the epoch ends, as the ledger writes it.
    fn positions(&self, files: &EpochFiles) -> Positions;

    /// What ended the last epoch, if that ends the job.
    fn take_failure(&mut self) -> Option<Error>;
}
