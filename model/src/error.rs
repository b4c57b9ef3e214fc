//! The one public error.
//!
//! Owns [`Error`]: a kind (what must the caller do?), one line that says what happened, and optional detail, hint,
//! context pairs and source. `Display` is that one line; [`Error::report`] is what a person reads: the line, then
//! `detail:` and `hint:` lines.

use std::fmt;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What must the caller do?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request or the configuration is wrong: change it. Exit code 2.
    Usage,
    /// The thing named does not exist.
    NotFound,
    /// The thing to be made exists already.
    AlreadyExists,
    /// Data does not fit what was declared: the table suspends, a person decides.
    Data,
    /// Somebody else changed the same thing: look again, then decide.
    Conflict,
    /// A part outside (store, catalog, disk) does not answer as it should: trying again may help.
    Unavailable,
    /// A bug of ours, or damage: report it.
    Internal,
}

/// What happened, with what helps to mend it.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    message: String,
    detail: Option<String>,
    hint: Option<String>,
    context: Vec<(&'static str, String)>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error(Box::new(Inner {
            kind,
            message: message.into(),
            detail: None,
            hint: None,
            context: Vec::new(),
            source: None,
        }))
    }

    pub fn usage(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::Usage, message)
    }

    pub fn not_found(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::NotFound, message)
    }

    pub fn already_exists(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::AlreadyExists, message)
    }

    pub fn data(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::Data, message)
    }

    pub fn conflict(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::Conflict, message)
    }

    pub fn unavailable(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::Unavailable, message)
    }

    pub fn internal(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::Internal, message)
    }

    /// More about what happened; becomes the `detail:` line.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// What to do about it; becomes the `hint:` line.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// A name and value that places the error: `("topic", "orders")`.
    #[must_use]
    pub fn with_context(mut self, key: &'static str, value: impl fmt::Display) -> Self {
        let (value, context) = (value.to_string(), &mut self.0.context);
        // Who passes an error on may not know that it says so already.
        if !context.iter().any(|said| *said == (key, value.clone())) {
            context.push((key, value));
        }
        self
    }

    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The same error once more, for when another crate's error carries it by reference; sources become details.
    #[must_use]
    pub fn restated(&self) -> Error {
        let mut error = Error::new(self.0.kind, self.0.message.clone());
        error.0.hint.clone_from(&self.0.hint);
        error.0.context.clone_from(&self.0.context);
        let sources = std::iter::successors(std::error::Error::source(self), |error| error.source());
        let details = self.0.detail.iter().cloned().chain(sources.map(ToString::to_string));
        error.0.detail = details.reduce(|all, more| format!("{all}; {more}"));
        error
    }

    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    pub fn message(&self) -> &str {
        &self.0.message
    }

    pub fn detail(&self) -> Option<&str> {
        self.0.detail.as_deref()
    }

    /// What a name of [`with_context`](Error::with_context) stands for.
    pub fn context(&self, key: &str) -> Option<&str> {
        self.0.context.iter().find(|(name, _)| *name == key).map(|(_, value)| value.as_str())
    }

    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// What a person reads: the line, the detail (with context and the source's own words), the hint.
    pub fn report(&self) -> String {
        let mut text = format!("error: {}", self.0.message);
        for detail in self.details() {
            text.push_str("\n  detail: ");
            text.push_str(&detail);
        }
        if let Some(hint) = &self.0.hint {
            text.push_str("\n  hint: ");
            text.push_str(hint);
        }
        text
    }

    /// What is known beside the message: its detail, where it happened, what caused it.
    pub fn details(&self) -> Vec<String> {
        let mut details: Vec<String> = self.0.detail.iter().cloned().collect();
        let context: Vec<String> = self.0.context.iter().map(|(key, value)| format!("{key}={value}")).collect();
        if !context.is_empty() {
            details.push(context.join(" "));
        }
        let mut source = self.0.source.as_deref().map(|source| source as &dyn std::error::Error);
        while let Some(error) = source {
            details.push(error.to_string());
            source = error.source();
        }
        details
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn std::error::Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_one_line_then_details_then_the_hint() {
        let error = Error::data("a record of topic orders is not JSON")
            .with_context("partition", 3)
            .with_context("offset", 17)
            .with_source(std::io::Error::other("expected value at line 1 column 1"))
            .with_hint("skip it, or declare the column");
        assert_eq!(error.to_string(), "a record of topic orders is not JSON");
        assert_eq!(
            error.report(),
            "error: a record of topic orders is not JSON\n  detail: partition=3 offset=17\n  \
             detail: expected value at line 1 column 1\n  hint: skip it, or declare the column"
        );
        assert_eq!((error.context("offset"), error.context("topic")), (Some("17"), None));
        let restated = error.restated();
        assert_eq!(
            (restated.kind(), restated.message(), restated.hint()),
            (error.kind(), error.message(), error.hint())
        );
        assert_eq!(restated.detail(), Some("expected value at line 1 column 1"));
    }
}
