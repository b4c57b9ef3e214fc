//! Files with keys and certificates, as Java's clients name them.
//!
//! Owns [`Kind`], what such a file is: by its first bytes, or where it cannot be read yet by what is said of it.
//! - I1: what librdkafka cannot read is refused with the command that makes it something it can.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;

use tableflow_model::{Error, Result};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Pem,
    Pkcs12,
    Jks,
}

/// What every Java keystore begins with.
const MAGIC_OF_JKS: [u8; 4] = [0xfe, 0xed, 0xfe, 0xed];

/// A DER sequence of more than 255 bytes, as each PKCS12 is.
const MAGIC_OF_DER: [u8; 2] = [0x30, 0x82];

/// What the `truststore` or the `keystore` of these settings is; `None` where it has none.
pub(super) fn kind_of(written: &BTreeMap<String, String>, store: &str) -> Option<Kind> {
    let path = written.get(&format!("ssl.{store}.location"))?.trim();
    let said = written.get(&format!("ssl.{store}.type")).map(|kind| kind.trim().to_ascii_uppercase());
    Some(seen(path).unwrap_or(match said.as_deref() {
        Some("PEM") => Kind::Pem,
        Some("JKS") => Kind::Jks,
        Some(_) => Kind::Pkcs12,
        // Whoever says nothing of a file that is not there hears of the file first.
        None if store == "truststore" => Kind::Pem,
        None => Kind::Pkcs12,
    }))
}

fn seen(path: &str) -> Option<Kind> {
    let mut first = Vec::new();
    File::open(path).ok()?.take(MAGIC_OF_JKS.len() as u64).read_to_end(&mut first).ok()?;
    Some(if first == MAGIC_OF_JKS {
        Kind::Jks
    } else if first.starts_with(&MAGIC_OF_DER) {
        Kind::Pkcs12
    } else {
        Kind::Pem
    })
}

/// I1.
pub(super) fn check(written: &BTreeMap<String, String>) -> Result<()> {
    let path = |store: &str| written.get(&format!("ssl.{store}.location")).cloned().unwrap_or_default();
    if let Some(Kind::Jks | Kind::Pkcs12) = kind_of(written, "truststore") {
        let path = path("truststore");
        return Err(Error::usage("ssl.truststore.location of [kafka] is not a PEM file").with_detail(path.clone()).with_hint(
            format!(
                "write the certificate of each authority as PEM (`keytool -exportcert -rfc -keystore {path} -alias NAME`), name \
                 that file, and set ssl.truststore.type to PEM"
            ),
        ));
    }
    if kind_of(written, "keystore") == Some(Kind::Jks) {
        let path = path("keystore");
        return Err(Error::usage("ssl.keystore.location of [kafka] is a Java keystore").with_detail(path.clone()).with_hint(
            format!(
                "make it PKCS12 (`keytool -importkeystore -srckeystore {path} -destkeystore {path}.p12 -deststoretype PKCS12`), \
                 name that file, and set ssl.keystore.type to PKCS12"
            ),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i1_a_store_is_what_its_first_bytes_say() {
        let directory = tempfile::tempdir().unwrap();
        let cases: [(&[u8], &str, Kind); 4] = [
            (b"-----BEGIN CERTIFICATE-----", "JKS", Kind::Pem),
            (&[0xfe, 0xed, 0xfe, 0xed, 0, 0], "PEM", Kind::Jks),
            (&[0x30, 0x82, 1, 0], "JKS", Kind::Pkcs12),
            (b"# a comment", "PEM", Kind::Pem),
        ];
        for (bytes, said, kind) in cases {
            let path = directory.path().join("store");
            std::fs::write(&path, bytes).unwrap();
            for store in ["truststore", "keystore"] {
                let written = BTreeMap::from([
                    (format!("ssl.{store}.location"), path.to_str().unwrap().to_owned()),
                    (format!("ssl.{store}.type"), said.to_owned()),
                ]);
                assert_eq!(kind_of(&written, store), Some(kind));
                let is_taken = kind == Kind::Pem || (kind == Kind::Pkcs12 && store == "keystore");
                assert_eq!(check(&written).is_ok(), is_taken, "{store} {kind:?}");
            }
        }
    }
}
