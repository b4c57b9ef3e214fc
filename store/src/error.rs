//! What a store's error means to the caller.
//!
//! Owns the translation of `object_store::Error` into the one public error, and the decision whether a failed
//! put is certain to have had no effect.
//! - I1: a full disk, an I/O error of the disk and a refused permission are told apart, each with its remedy.
//! - I2: [`is_definite`] is an allow-list: what is not on it may have happened.
//!
//! Neighbours: `store` is the only caller.

use std::error::Error as StdError;
use std::io;

use tableflow_model::Error;

/// Linux, macOS and the BSDs agree on this number; std has no stable kind for it.
const EIO: i32 = 5;

/// `action` completes "cannot ...": "write", "read", "list", "delete".
pub(crate) fn translate(action: &str, uri: &str, error: object_store::Error) -> Error {
    let failed = Error::unavailable(format!("cannot {action} {uri}"));
    let translated = match &error {
        object_store::Error::NotFound { .. } => Error::not_found(format!("{uri} is not there")),
        object_store::Error::AlreadyExists { .. } => Error::already_exists(format!("{uri} exists already")),
        object_store::Error::InvalidPath { .. } => Error::usage(format!("{uri} is not a path the store can hold")),
        object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => {
            failed.with_hint("check the credentials and what they may do with this location")
        }
        _ => match io_error(&error) {
            Some(source) => with_remedy(failed, source),
            None => failed,
        },
    };
    translated.with_source(error)
}

fn with_remedy(failed: Error, source: &io::Error) -> Error {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            failed.with_detail("the disk is full").with_hint("free some space: nothing half-written is left behind")
        }
        io::ErrorKind::PermissionDenied => failed.with_hint("give this user the right to read and write there"),
        io::ErrorKind::ReadOnlyFilesystem => failed.with_hint("the file system is mounted read-only"),
        io::ErrorKind::Unsupported => {
            failed.with_hint("create-only writes need a file system with hard links: choose another directory")
        }
        _ if source.raw_os_error() == Some(EIO) => failed
            .with_detail("the disk reports an I/O error")
            .with_hint("check the disk: nothing was acknowledged that is not on it"),
        _ => failed,
    }
}

/// Whether the put certainly had no effect (I2), and trying it again at once cannot help either. An object that
/// exists already is neither: it may be an earlier try's.
pub(crate) fn is_definite(error: &object_store::Error) -> bool {
    use object_store::Error as E;
    match error {
        E::InvalidPath { .. }
        | E::NotSupported { .. }
        | E::NotImplemented { .. }
        | E::PermissionDenied { .. }
        | E::Unauthenticated { .. } => true,
        E::AlreadyExists { .. } => false,
        _ => io_error(error).is_some(),
    }
}

/// The operating system's own error, if that is what lies below: a local write that failed was taken back.
fn io_error(error: &object_store::Error) -> Option<&io::Error> {
    let mut source: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = source {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return Some(io);
        }
        source = error.source();
    }
    None
}
