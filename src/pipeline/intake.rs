//! What a job takes its rows from.
//!
//! Owns [`Intake`]: a topic ([`Feed`](super::feed::Feed)), or dead letters ([`Letters`](super::replay::Letters)).
//! Beside it [`while_resting`], for what a job waits for meanwhile.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use async_trait::async_trait;
use tableflow_model::protocol::{Epoch, Positions};
use tableflow_model::{Error, Offset, Partition, Result};

use super::job::Ended;
use super::staging::EpochFiles;

/// A commit that takes longer is not worth what is fetched ahead meanwhile.
const REST_AFTER: Duration = Duration::from_secs(2);

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

    /// What is before these places is in the tables.
    fn note_committed(&mut self, _positions: &Positions) {}

    /// What ended the last epoch, if that ends the job.
    fn take_failure(&mut self) -> Option<Error>;

    /// Nothing is taken for a while: until `start` nothing has to be there in advance.
    fn rest(&mut self) {}
}

/// Does something outside that may take long; the intake holds nothing for all that time.
pub async fn while_resting<T>(intake: &mut dyn Intake, work: impl Future<Output = T> + Send) -> T {
    let mut work = pin!(work);
    if let Ok(done) = tokio::time::timeout(REST_AFTER, &mut work).await {
        return done;
    }
    intake.rest();
    work.await
}
