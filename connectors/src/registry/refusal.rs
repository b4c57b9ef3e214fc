//! Why a registry said no, in the numbers of Confluent's API.
//!
//! Owns [`RegistryError`]: a registry that answered and refused is told apart from one that could not be asked, because
//! the first is worth no second try, and an HTTP server must pass its number on.
//! - I1: a number that is not known keeps its value, and is read by its first digits, which are the HTTP status.

use std::fmt;

use tableflow_model::{Error, ErrorKind};

pub type Result<T, E = RegistryError> = std::result::Result<T, E>;

#[derive(Debug)]
pub enum RegistryError {
    /// The registry's answer is no.
    Refused(Refusal),
    /// There is no answer, or none that can be understood.
    Failed(Error),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub reason: Reason,
    pub message: String,
}

/// Confluent's error codes: an HTTP status, then two digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    SubjectNotFound,
    VersionNotFound,
    SchemaNotFound,
    /// It must be asked for with `permanent`, or registered again.
    SubjectSoftDeleted,
    /// It must be soft-deleted first.
    SubjectNotSoftDeleted,
    VersionSoftDeleted,
    VersionNotSoftDeleted,
    /// The subject follows the registry's own level.
    CompatibilityNotConfigured,
    ModeNotConfigured,
    InvalidSchema,
    InvalidVersion,
    InvalidCompatibility,
    InvalidMode,
    /// The mode forbids it.
    OperationNotPermitted,
    /// Another schema refers to it.
    ReferenceExists,
    Incompatible,
    Other(u32),
}

impl Reason {
    const CODES: [(u32, Reason); 16] = [
        (40401, Reason::SubjectNotFound),
        (40402, Reason::VersionNotFound),
        (40403, Reason::SchemaNotFound),
        (40404, Reason::SubjectSoftDeleted),
        (40405, Reason::SubjectNotSoftDeleted),
        (40406, Reason::VersionSoftDeleted),
        (40407, Reason::VersionNotSoftDeleted),
        (40408, Reason::CompatibilityNotConfigured),
        (40409, Reason::ModeNotConfigured),
        (42201, Reason::InvalidSchema),
        (42202, Reason::InvalidVersion),
        (42203, Reason::InvalidCompatibility),
        (42204, Reason::InvalidMode),
        (42205, Reason::OperationNotPermitted),
        (42206, Reason::ReferenceExists),
        (409, Reason::Incompatible),
    ];

    /// I1.
    pub fn from_code(code: u32) -> Self {
        match code {
            // Confluent has both numbers for it.
            40901 => Reason::Incompatible,
            _ => {
                Self::CODES.iter().find(|(known, _)| *known == code).map_or(Reason::Other(code), |(_, reason)| *reason)
            }
        }
    }

    pub fn code(self) -> u32 {
        match self {
            Reason::Other(code) => code,
            reason => Self::CODES.iter().find(|(_, known)| *known == reason).map_or(500, |(code, _)| *code),
        }
    }

    /// The HTTP status that the code begins with.
    pub fn status(self) -> u16 {
        let mut status = self.code();
        while status > 999 {
            status /= 10;
        }
        u16::try_from(status).unwrap_or(500)
    }

    fn kind(self) -> ErrorKind {
        match self {
            Reason::Incompatible => ErrorKind::Data,
            _ => match self.status() {
                404 => ErrorKind::NotFound,
                400 | 401 | 403 | 422 => ErrorKind::Usage,
                409 => ErrorKind::Conflict,
                _ => ErrorKind::Unavailable,
            },
        }
    }

    fn hint(self) -> &'static str {
        match self {
            Reason::SubjectNotFound => "`tableflow schema list` shows the subjects",
            Reason::VersionNotFound => {
                "`tableflow schema show SUBJECT` shows the newest version and how many there are"
            }
            Reason::SchemaNotFound => "it is not registered, or in another registry: compare [registry] url",
            Reason::InvalidSchema => "mend the schema, or say what it is written in with --type",
            Reason::Incompatible => {
                "make the change compatible, register it under another subject, or change the subject's level"
            }
            _ => match self.status() {
                401 | 403 => "check basic.auth.user.info or bearer.auth.token of [registry], and what they may do",
                _ => "the registry's own documentation has the number",
            },
        }
    }
}

impl Refusal {
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Refusal { reason, message: message.into() }
    }
}

impl RegistryError {
    pub fn refused(reason: Reason, message: impl Into<String>) -> Self {
        RegistryError::Refused(Refusal::new(reason, message))
    }

    pub fn reason(&self) -> Option<Reason> {
        match self {
            RegistryError::Refused(refusal) => Some(refusal.reason),
            RegistryError::Failed(_) => None,
        }
    }

    /// Is what was asked for not there, by the registry's own word?
    pub fn is_not_found(&self) -> bool {
        self.reason().is_some_and(|reason| reason.status() == 404)
    }
}

impl From<Error> for RegistryError {
    fn from(error: Error) -> Self {
        RegistryError::Failed(error)
    }
}

impl From<RegistryError> for Error {
    fn from(error: RegistryError) -> Self {
        match error {
            RegistryError::Failed(error) => error,
            RegistryError::Refused(Refusal { reason, message }) => {
                let error = Error::new(reason.kind(), format!("the schema registry refused: {message}"));
                error.with_context("error_code", reason.code()).with_hint(reason.hint())
            }
        }
    }
}

impl fmt::Display for RegistryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RegistryError::Refused(refusal) => write!(f, "{} ({})", refusal.message, refusal.reason.code()),
            RegistryError::Failed(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for RegistryError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i1_every_code_is_read_back_and_begins_with_its_status() {
        for (code, reason) in Reason::CODES {
            assert_eq!((Reason::from_code(code), reason.code()), (reason, code));
        }
        assert_eq!(Reason::from_code(40901), Reason::Incompatible);
        let statuses = [(40403, 404), (409, 409), (42206, 422), (50001, 500), (404, 404), (0, 0), (5_000_001, 500)];
        for (code, status) in statuses {
            assert_eq!(Reason::from_code(code).status(), status, "{code}");
        }
        assert_eq!(Reason::from_code(50302), Reason::Other(50302));
    }

    #[test]
    fn a_refusal_says_what_to_do() {
        let error = Error::from(RegistryError::refused(Reason::Incompatible, "field n has no default"));
        assert_eq!(error.kind(), ErrorKind::Data);
        let report = error.report();
        assert!(report.starts_with("error: the schema registry refused: field n has no default\n"), "{report}");
        assert!(report.contains("detail: error_code=409") && report.contains("hint: make the change compatible"));
        let kinds = [
            (Reason::SchemaNotFound, ErrorKind::NotFound),
            (Reason::InvalidSchema, ErrorKind::Usage),
            (Reason::Other(40101), ErrorKind::Usage),
            (Reason::Other(500), ErrorKind::Unavailable),
        ];
        for (reason, kind) in kinds {
            assert_eq!(Error::from(RegistryError::refused(reason, "")).kind(), kind, "{reason:?}");
        }
    }
}
