//! Until when a certificate is good.
//!
//! Owns [`Validity`].

use std::path::Path;

use x509_parser::pem::Pem;

/// The time of the first certificate of a PEM file: the client's own, before those that vouch for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validity {
    pub ends_on: String,
    pub has_ended: bool,
    pub days_left: i64,
}

impl Validity {
    /// `None` where the file cannot be read, or has no certificate.
    pub fn of_file(path: &Path) -> Option<Self> {
        let bytes = std::fs::read(path).ok()?;
        let certificate =
            Pem::iter_from_buffer(&bytes).filter_map(Result::ok).find(|pem| pem.label == "CERTIFICATE")?;
        let certificate = certificate.parse_x509().ok()?;
        let validity = certificate.validity();
        let days_left = validity.time_to_expiration().map_or(0, |left| left.whole_days());
        let ends_on = validity.not_after.to_datetime().date().to_string();
        Some(Validity { ends_on, has_ended: validity.time_to_expiration().is_none(), days_left })
    }
}
