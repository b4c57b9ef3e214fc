//! How the process ends.
//!
//! Owns [`Exit`], the exit codes of the command line's contract, and which error leads to which.
//! Scripts and schedulers read the number, so a code never changes its meaning.

use std::process::{ExitCode, Termination};

use tableflow_model::{Error, ErrorKind};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Done,
    Failed,
    /// Wrong flags, arguments or configuration; clap uses the same number.
    Usage,
    /// A contract or a check did not hold.
    Violated,
    /// `status --check`: it works, and something needs a look.
    Degraded,
    Interrupted,
}

impl Exit {
    pub fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Violated => 3,
            Exit::Degraded => 4,
            // The shells' convention: 128 and the number of SIGINT.
            Exit::Interrupted => 130,
        }
    }
}

impl From<&Error> for Exit {
    fn from(error: &Error) -> Self {
        match error.kind() {
            ErrorKind::Usage => Exit::Usage,
            ErrorKind::Data => Exit::Violated,
            _ => Exit::Failed,
        }
    }
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        ExitCode::from(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_error_has_the_code_of_the_contract() {
        let cases = [
            (ErrorKind::Usage, 2),
            (ErrorKind::NotFound, 1),
            (ErrorKind::AlreadyExists, 1),
            (ErrorKind::Data, 3),
            (ErrorKind::Conflict, 1),
            (ErrorKind::Unavailable, 1),
            (ErrorKind::Internal, 1),
        ];
        for (kind, code) in cases {
            assert_eq!(Exit::from(&Error::new(kind, "x")).code(), code, "{kind:?}");
        }
        let others = [(Exit::Done, 0), (Exit::Degraded, 4), (Exit::Interrupted, 130)];
        assert!(others.iter().all(|(exit, code)| exit.code() == *code));
    }
}
