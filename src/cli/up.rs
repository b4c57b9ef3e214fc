//! `up`: the service, until SIGINT or SIGTERM.

use std::io::Write;

use tableflow_model::{Error, Result};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::args::UpArguments;
use super::session::Session;
use crate::exit::Exit;
use crate::{output, serve};

pub async fn run(arguments: &UpArguments, session: Session, out: &mut dyn Write) -> Result<Exit> {
    let listen = arguments.listen.unwrap_or(session.config.service.listen);
    let stop = CancellationToken::new();
    let signals = tokio::spawn(stop_at_signal(stop.clone())?);
    let memory_bytes_max = session.memory_bytes_max();
    let announce = |address| {
        output::printed(writeln!(out, "listening on http://{address}"))?;
        output::printed(out.flush())
    };
    let upkeep = Some(session.config.upkeep).filter(|upkeep| upkeep.enabled);
    serve::run(session.home, listen, (memory_bytes_max, upkeep), stop, announce).await?;
    signals.abort();
    Ok(Exit::Done)
}

/// The first signal drains. A second one, for those who cannot wait, ends the process at once: what is not
/// committed is read again.
#[expect(clippy::disallowed_methods, reason = "a second signal waits for nothing")]
fn stop_at_signal(stop: CancellationToken) -> Result<impl Future<Output = ()>> {
    let failed = |error| Error::unavailable("signals cannot be received").with_source(error);
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    Ok(async move {
        let mut seen = 0;
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            seen += 1;
            stop.cancel();
            if seen > 1 {
                std::process::exit(Exit::Interrupted.code().into());
            }
        }
    })
}
