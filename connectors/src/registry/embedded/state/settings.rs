//! Levels and modes: a subject's own, else the registry's.

use serde::{Deserialize, Serialize};

use crate::registry::refusal::{Reason, RegistryError, Result};
use crate::registry::registry::Compatibility;

use super::super::log::Event;
use super::{Decision, State};

/// What may be done with a subject.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    #[default]
    #[serde(rename = "READWRITE")]
    ReadWrite,
    #[serde(rename = "READONLY")]
    ReadOnly,
}

impl State {
    /// The level in force.
    pub(in super::super) fn compatibility(&self, subject: Option<&str>) -> Compatibility {
        let own = subject.and_then(|subject| self.subjects.get(subject)?.compatibility);
        own.unwrap_or(self.compatibility)
    }

    pub(in super::super) fn own_compatibility(&self, subject: &str) -> Result<Compatibility> {
        self.subjects.get(subject).and_then(|subject| subject.compatibility).ok_or_else(|| {
            let message = format!("Subject '{subject}' does not have subject-level compatibility configured");
            RegistryError::refused(Reason::CompatibilityNotConfigured, message)
        })
    }

    pub(in super::super) fn set_compatibility(&self, subject: Option<&str>, level: Compatibility) -> Decision<()> {
        Decision::of(Event::CompatibilitySet { subject: subject.map(str::to_owned), level: Some(level) }, ())
    }

    pub(in super::super) fn reset_compatibility(&self, subject: Option<&str>) -> Result<Decision<Compatibility>> {
        let before = match subject {
            Some(subject) => self.own_compatibility(subject)?,
            None => self.compatibility,
        };
        Ok(Decision::of(Event::CompatibilitySet { subject: subject.map(str::to_owned), level: None }, before))
    }

    pub(in super::super) fn mode(&self, subject: Option<&str>) -> Mode {
        subject.and_then(|subject| self.subjects.get(subject)?.mode).unwrap_or(self.mode)
    }

    pub(in super::super) fn own_mode(&self, subject: &str) -> Result<Mode> {
        self.subjects.get(subject).and_then(|subject| subject.mode).ok_or_else(|| {
            let message = format!("Subject '{subject}' does not have subject-level mode configured");
            RegistryError::refused(Reason::ModeNotConfigured, message)
        })
    }

    pub(in super::super) fn set_mode(&self, subject: Option<&str>, mode: Mode) -> Decision<()> {
        Decision::of(Event::ModeSet { subject: subject.map(str::to_owned), mode: Some(mode) }, ())
    }

    pub(in super::super) fn reset_mode(&self, subject: &str) -> Result<Decision<Mode>> {
        let before = self.own_mode(subject)?;
        Ok(Decision::of(Event::ModeSet { subject: Some(subject.to_owned()), mode: None }, before))
    }

    pub(super) fn check_writable(&self, subject: &str) -> Result<()> {
        match self.mode(Some(subject)) {
            Mode::ReadWrite => Ok(()),
            Mode::ReadOnly => {
                let message = format!("Subject {subject} is in read-only mode");
                Err(RegistryError::refused(Reason::OperationNotPermitted, message))
            }
        }
    }
}
