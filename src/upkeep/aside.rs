//! A thread for work that gives way to everything else.
//!
//! Owns [`Aside`].
//! - I1: what runs there takes one core at most, and less where others want it: who feeds tables, whoever reads them, in
//!   this process or another one.
//! - I2: what others have under way through it (connections that were opened there) goes on until the service ends.

use tableflow_model::{Error, Result};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

/// Steps of priority that it has less: a third of what an equal gets, where both want one core all the time.
const STEPS: i32 = 5;

/// Ends what still runs there when it is dropped.
#[derive(Debug)]
pub struct Aside(Option<Runtime>);

impl Aside {
    pub fn start() -> Result<Self> {
        let threads = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("upkeep")
            .on_thread_start(give_way)
            .enable_all()
            .build();
        let threads =
            threads.map_err(|error| Error::unavailable("the thread of upkeep cannot be started").with_source(error))?;
        Ok(Aside(Some(threads)))
    }

    /// Nothing where it has ended.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) -> Option<JoinHandle<()>> {
        self.0.as_ref().map(|threads| threads.spawn(work))
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if let Some(threads) = self.0.take() {
            threads.shutdown_background();
        }
    }
}

/// Of the thread that calls it.
fn give_way() {
    if let Err(error) = rustix::process::nice(STEPS) {
        tracing::debug!(%error, "upkeep has the priority of all else");
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::getpriority_process;

    use super::*;

    #[tokio::test]
    async fn i1_what_runs_there_gives_way() {
        let aside = Aside::start().unwrap();
        let (tell, told) = tokio::sync::oneshot::channel();
        aside.spawn(async move { tell.send(getpriority_process(None).unwrap()).unwrap() }).unwrap().await.unwrap();
        let ours = getpriority_process(None).unwrap();
        // The lowest that there is.
        assert_eq!(told.await.unwrap(), (ours + STEPS).min(19));
        drop(aside);
    }
}
