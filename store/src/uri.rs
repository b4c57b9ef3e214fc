//! A URI taken apart, and whether it lies under a root.
//!
//! Owns [`Location`]. Iceberg's URIs are literal: no engine decodes percent signs in them, so neither does this
//! type, which is why `url::Url` (it decodes, and it resolves `..` silently) does not serve.
//! - I1: a location has no empty segment, no `.` or `..`, no NUL or other control character, and no segment that
//!   another engine could decode into one of these or into a separator.
//! - I2: "under a root" is decided segment by segment: `/data/warehouse2` is not under `/data/warehouse`.
//!
//! Neighbours: `store` confines every request with it.

use object_store::path::Path;
use tableflow_model::{Error, Result};

/// Scheme, authority (host or bucket) and the segments of the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Location {
    scheme: String,
    authority: String,
    segments: Vec<String>,
}

impl Location {
    /// Accepts `scheme://authority/path`, Hadoop's `file:/path`, and a bare absolute path as a file.
    pub(crate) fn parse(uri: &str) -> Result<Self> {
        let (scheme, authority, path) = split(uri)?;
        if scheme == "file" && !matches!(authority, "" | "localhost") {
            return Err(refuse(uri, "a file is on this machine: its URI names no host"));
        }
        let path = path.strip_prefix('/').unwrap_or(path);
        let path = path.strip_suffix('/').unwrap_or(path);
        let mut segments = Vec::new();
        for segment in path.split('/').filter(|_| !path.is_empty()) {
            check_segment(uri, segment)?;
            segments.push(segment.to_owned());
        }
        let authority = if scheme == "file" { "" } else { authority };
        Ok(Location { scheme: scheme.to_owned(), authority: authority.to_owned(), segments })
    }

    /// I2.
    pub(crate) fn is_under(&self, root: &Location) -> bool {
        self.scheme == root.scheme && self.authority == root.authority && self.segments.starts_with(&root.segments)
    }

    /// `scheme://authority`, where an object's path begins.
    pub(crate) fn base(&self) -> String {
        format!("{}://{}", self.scheme, self.authority)
    }

    pub(crate) fn scheme(&self) -> &str {
        &self.scheme
    }

    pub(crate) fn to_uri(&self) -> String {
        format!("{}/{}", self.base(), self.segments.join("/"))
    }

    pub(crate) fn to_path(&self) -> Result<Path> {
        Path::parse(self.segments.join("/"))
            .map_err(|error| refuse(&self.to_uri(), "the object store refuses this path").with_source(error))
    }
}

fn split(uri: &str) -> Result<(&str, &str, &str)> {
    if uri.starts_with('/') {
        return Ok(("file", "", uri));
    }
    if let Some((scheme, rest)) = uri.split_once("://") {
        let (authority, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
        return Ok((scheme, authority, path));
    }
    match uri.strip_prefix("file:") {
        Some(path) if path.starts_with('/') => Ok(("file", "", path)),
        _ => Err(refuse(uri, "neither an absolute path nor a URI with a scheme")),
    }
}

fn check_segment(uri: &str, segment: &str) -> Result<()> {
    if segment.is_empty() {
        return Err(refuse(uri, "two slashes in a row"));
    }
    let decoded = decode(segment);
    if matches!(decoded.as_slice(), b"." | b"..") {
        return Err(refuse(uri, "a relative segment could leave the directory"));
    }
    let hidden_separator = decoded.len() < segment.len() && decoded.iter().any(|byte| matches!(byte, b'/' | b'\\'));
    if hidden_separator {
        return Err(refuse(uri, "a percent-encoded separator could leave the directory"));
    }
    if decoded.iter().any(u8::is_ascii_control) {
        return Err(refuse(uri, "a control character in a path"));
    }
    Ok(())
}

/// What an engine that does decode would see.
fn decode(segment: &str) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(segment.len());
    let mut bytes = segment.as_bytes();
    while let Some((first, rest)) = bytes.split_first() {
        let digits = rest.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        let byte = digits.filter(|_| *first == b'%').and_then(|hex| u8::from_str_radix(hex, 16).ok());
        decoded.push(byte.unwrap_or(*first));
        bytes = if byte.is_some() { rest.get(2..).unwrap_or_default() } else { rest };
    }
    decoded
}

fn refuse(uri: &str, why: &str) -> Error {
    Error::usage(format!("{uri:?} is not a location that can be used")).with_detail(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i1_locations_that_could_escape_are_refused() {
        let bad = [
            ("file:///w/../etc", "relative segment"),
            ("file:///w/./a", "relative segment"),
            ("file:///w/%2e%2E/etc", "relative segment"),
            ("file:///w/.%2e/etc", "relative segment"),
            ("file:///w/a%2fb", "separator"),
            ("file:///w/a%5Cb", "separator"),
            ("file:///w/a\0b", "control"),
            ("file:///w/a%00b", "control"),
            ("file:///w//a", "two slashes"),
            ("file:////w", "two slashes"),
            ("file://host/w", "host"),
            ("w/a", "absolute"),
            ("file:w/a", "absolute"),
            ("", "absolute"),
        ];
        for (uri, why) in bad {
            let error = Location::parse(uri).expect_err(uri);
            assert!(error.detail().unwrap().contains(why), "{uri}: {}", error.report());
        }
    }

    #[test]
    fn i1_every_spelling_of_a_file_is_one_location() {
        let spellings =
            ["file:///w/a b/%41#1?x", "file:/w/a b/%41#1?x", "/w/a b/%41#1?x", "file://localhost/w/a b/%41#1?x"];
        for uri in spellings {
            assert_eq!(Location::parse(uri).unwrap().to_uri(), "file:///w/a b/%41#1?x", "{uri}");
        }
        assert_eq!(Location::parse("s3://bucket/k/").unwrap().to_uri(), "s3://bucket/k");
        assert_eq!(Location::parse("file:///").unwrap().to_uri(), "file:///");
    }

    #[test]
    fn i2_a_root_is_a_prefix_of_segments_not_of_letters() {
        let root = Location::parse("s3://bucket/data/warehouse").unwrap();
        let cases = [
            ("s3://bucket/data/warehouse", true),
            ("s3://bucket/data/warehouse/t/x.parquet", true),
            ("s3://bucket/data/warehouse2/t", false),
            ("s3://bucket/data", false),
            ("s3://other/data/warehouse/t", false),
            ("gs://bucket/data/warehouse/t", false),
            ("/data/warehouse/t", false),
        ];
        for (uri, expected) in cases {
            assert_eq!(Location::parse(uri).unwrap().is_under(&root), expected, "{uri}");
        }
    }
}
