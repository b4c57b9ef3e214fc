//! The process: words in, exit code out.
//!
//! - I1: a result goes to stdout, everything else to stderr.
//! - I2: a reader of stdout that has gone is success, whatever could not be printed.
//! - I3: an interrupt ends with 130, at once and whatever the verb is busy with: a thread of its own waits for it.
//!   Only scratch needs to be tidied up: what is not committed is read again.

use std::io::{Write, stdout};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use tableflow::cli;
use tableflow::cli::args::{Arguments, LogFormat, Refusal};
use tableflow::exit::Exit;
use tableflow::log;
use tableflow::output::Stdout;
use tableflow_model::{Error, Result};
use tokio::signal::unix::{SignalKind, signal};

fn main() -> Exit {
    let arguments = match Arguments::read(std::env::args_os()) {
        Ok(arguments) => arguments,
        Err(Refusal::Grammar(error)) => return refuse_grammar(&error),
        Err(Refusal::Value(error)) => return report(&error, LogFormat::Text),
    };
    log::start(&arguments.global);
    let log_format = arguments.global.log_format;
    let mut out = Stdout::new(stdout().lock());
    let outcome = start(arguments, &mut out);
    match outcome {
        _ if out.closed() => Exit::Done,
        Ok(exit) => exit,
        Err(error) => report(&error, log_format),
    }
}

fn start(arguments: Arguments, out: &mut dyn Write) -> Result<Exit> {
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| Error::unavailable("the threads could not be started").with_source(error))?;
    let interrupt = if arguments.verb.drains_on_interrupt() { None } else { Some(Interrupt::wait_for()?) };
    let outcome = runtime.block_on(cli::run(arguments, out));
    if let Some(interrupt) = interrupt {
        interrupt.end_if_received();
    }
    // A thread that reads a terminal cannot be told to stop.
    runtime.shutdown_background();
    outcome
}

/// I3. The threads that do the work may all be busy in a query or wait for a terminal: none of them is asked.
struct Interrupt {
    received: Arc<AtomicBool>,
    waiting: JoinHandle<()>,
}

impl Interrupt {
    #[expect(clippy::disallowed_methods, reason = "the destructors of a thread that is busy cannot be waited for")]
    fn wait_for() -> Result<Self> {
        let failed = |error| Error::unavailable("signals cannot be received").with_source(error);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let guard = runtime.enter();
        let mut signal = signal(SignalKind::interrupt()).map_err(failed)?;
        drop(guard);
        let received = Arc::new(AtomicBool::new(false));
        let seen = received.clone();
        let waiting = std::thread::spawn(move || {
            if runtime.block_on(signal.recv()).is_some() {
                seen.store(true, Ordering::Release);
                cli::remove_scratch();
                std::process::exit(Exit::Interrupted.code().into());
            }
        });
        Ok(Interrupt { received, waiting })
    }

    /// A verb that stumbles over what is tidied up under it is interrupted, not failed.
    fn end_if_received(self) {
        if self.received.load(Ordering::Acquire) {
            let _ = self.waiting.join();
        }
    }
}

/// Help and version are results; errors of the grammar end with clap's 2.
fn refuse_grammar(error: &clap::Error) -> Exit {
    let _ = error.print();
    if error.exit_code() == 0 { Exit::Done } else { Exit::Usage }
}

fn report(error: &Error, format: LogFormat) -> Exit {
    log::report(error, format);
    Exit::from(error)
}
