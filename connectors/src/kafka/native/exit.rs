//! The end of the process, while clients end too.

/// To be called before the first client is made. By itself OpenSSL frees what it has when the process exits, also what
/// threads that end at that moment free: memory was damaged, and the process ended by a signal after all was done.
pub(in crate::kafka) fn keep_openssl_at_exit() {
    openssl_sys::init();
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::process::Command;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use crate::kafka::client::Cluster;
    use crate::kafka::properties::Properties;
    use crate::kafka::settings::Settings;

    /// It came to its end.
    const ENDED: i32 = 7;

    const IS_CHILD: &str = "TABLEFLOW_TEST_IS_CHILD";

    static ENDS: AtomicBool = AtomicBool::new(false);

    /// Threads that have used OpenSSL end together with their process.
    #[expect(clippy::disallowed_methods, reason = "the end of the process is what is tried")]
    fn end_with_threads() {
        let written = BTreeMap::from([("bootstrap.servers".to_owned(), "127.0.0.1:1".to_owned())]);
        let settings = Settings::new(Box::new(move || Properties::new(&written))).unwrap();
        // What every client is made of.
        Cluster::new(settings).config(&[]);
        for _ in 0..8 {
            std::thread::spawn(|| {
                // SAFETY: it forgets the thread's own errors, of which there are none.
                unsafe { openssl_sys::ERR_clear_error() };
                while !ENDS.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        std::thread::sleep(Duration::from_millis(5));
        ENDS.store(true, Ordering::Relaxed);
        std::process::exit(ENDED);
    }

    /// Without the call before the first use about one process in six ends by a signal.
    #[test]
    fn a_process_ends_well_while_its_threads_do() {
        if std::env::var_os(IS_CHILD).is_some() {
            return end_with_threads();
        }
        let this = "kafka::native::exit::tests::a_process_ends_well_while_its_threads_do";
        for _ in 0..60 {
            let mut child = Command::new(std::env::current_exe().unwrap());
            let ended = child.args(["--exact", this, "--nocapture"]).env(IS_CHILD, "1").output().unwrap();
            assert_eq!(ended.status.code(), Some(ENDED), "{ended:?}");
        }
    }
}
