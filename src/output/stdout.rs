//! Stdout that remembers that its reader has gone (I4).
//!
//! The libraries that print turn an I/O error into text, or wrap it, so the kind is noted where it happens.

use std::io::{ErrorKind, Result, Write};

#[derive(Debug)]
pub struct Stdout<W> {
    inner: W,
    closed: bool,
}

impl<W: Write> Stdout<W> {
    pub fn new(inner: W) -> Self {
        Stdout { inner, closed: false }
    }

    /// Has the reader gone? Then a failure to print is none.
    pub fn closed(&self) -> bool {
        self.closed
    }

    fn note<T>(&mut self, outcome: Result<T>) -> Result<T> {
        if let Err(error) = &outcome {
            self.closed |= error.kind() == ErrorKind::BrokenPipe;
        }
        outcome
    }
}

impl<W: Write> Write for Stdout<W> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        let outcome = self.inner.write(bytes);
        self.note(outcome)
    }

    fn flush(&mut self) -> Result<()> {
        let outcome = self.inner.flush();
        self.note(outcome)
    }
}
