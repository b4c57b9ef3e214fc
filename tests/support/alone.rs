//! Processes that have no files of the test's but the three that every process has.
//!
//! librdkafka's mock cluster lets every process that is started beside it have its sockets, and a connection that it
//! closes is closed only once nobody has it: a client of a broker that went away would hear nothing of that for a
//! minute.

use std::ffi::OsStr;
use std::process::Command;

/// Closes all files but the three, and becomes the program.
const CLOSED: &str = r#"for file in /proc/$$/fd/*; do
  file=${file##*/}
  if ((file > 2 && file != 255)); then eval "exec $file>&-"; fi
done
exec "$@""#;

pub fn alone(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("bash");
    command.args(["-c", CLOSED, "bash"]).arg(program);
    command
}
