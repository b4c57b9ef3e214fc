//! Where a registry is, and who asks it.
//!
//! Owns [`ClientOptions`] and their check.
//! - I1: a name and password inside a URL are taken out of it and kept as a secret: what is printed of an address has
//!   none.
//! - I2: credentials are of one kind; two kinds are a mistake that is said, not a choice that is made.
//! - I3: credentials that would cross a network unencrypted are warned of.

use std::path::PathBuf;

use reqwest::header::HeaderValue;
use tableflow_model::{Error, Result, Secret};
use url::Url;

use crate::registry::schema::Parts;

/// What `Authorization` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Credentials {
    #[default]
    None,
    /// `name:password`.
    Basic(Secret),
    Bearer(Secret),
}

/// PEM files that say who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientOptions {
    pub(super) urls: Vec<Url>,
    pub(super) credentials: Credentials,
    /// Trusted beside the system's: a PEM file of authorities.
    pub ca: Option<PathBuf>,
    pub certificate: Option<ClientCertificate>,
}

impl ClientOptions {
    /// As people wrote them, without what is secret (I1).
    pub fn addresses(&self) -> String {
        self.urls.iter().map(Url::as_str).collect::<Vec<_>>().join(",")
    }

    /// The same for the same addresses, and for no others; nothing can be read out of it.
    pub fn fingerprint(&self) -> String {
        let mut parts = Parts::default();
        self.urls.iter().for_each(|url| parts.add(url.as_str()));
        parts.finish().to_string()
    }

    /// `urls` are the addresses of one registry, separated by commas, tried in turn.
    pub fn new(urls: &str, credentials: Credentials) -> Result<Self> {
        let parsed: Result<Vec<_>> =
            urls.split(',').map(str::trim).filter(|url| !url.is_empty()).map(address).collect();
        let (urls, within): (Vec<_>, Vec<_>) = parsed?.into_iter().unzip();
        if urls.is_empty() {
            return Err(Error::usage("the schema registry has no url"));
        }
        let mut all: Vec<Credentials> = within.into_iter().flatten().map(Credentials::Basic).collect();
        all.extend(Some(credentials).filter(|credentials| *credentials != Credentials::None));
        all.dedup();
        let credentials = match all.as_slice() {
            [] => Credentials::None,
            [only] => only.clone(),
            _ => {
                return Err(Error::usage("the schema registry has several credentials")
                    .with_hint("keep one: within the url, basic.auth.user.info or bearer.auth.token"));
            }
        };
        let options = ClientOptions { urls, credentials, ca: None, certificate: None };
        options.warn_of_open_credentials();
        Ok(options)
    }

    pub fn urls(&self) -> &[Url] {
        &self.urls
    }

    /// I3.
    fn warn_of_open_credentials(&self) {
        let open = self.urls.iter().find(|url| url.scheme() == "http" && !is_loopback(url));
        if let Some(url) = open.filter(|_| self.credentials != Credentials::None) {
            tracing::warn!(%url, "the schema registry's credentials are sent without encryption: use https");
        }
    }

    /// The header's value, marked so that nothing prints it.
    pub(super) fn authorization(&self) -> Result<Option<HeaderValue>> {
        use base64::Engine;
        let value = match &self.credentials {
            Credentials::None => return Ok(None),
            Credentials::Basic(user_info) => {
                let encoded = base64::engine::general_purpose::STANDARD.encode(user_info.expose());
                Secret::new(format!("Basic {encoded}"))
            }
            Credentials::Bearer(token) => Secret::new(format!("Bearer {}", token.expose())),
        };
        let mut header = HeaderValue::from_str(value.expose()).map_err(|_| {
            Error::usage("the schema registry's credentials cannot be sent")
                .with_detail("they have a line break or a control character inside")
        })?;
        header.set_sensitive(true);
        Ok(Some(header))
    }
}

/// I1.
fn address(text: &str) -> Result<(Url, Option<Secret>)> {
    // What cannot be read may have a password inside, so it is not repeated.
    let refused = |detail: &str| {
        Error::usage("the schema registry's url is wrong")
            .with_detail(detail)
            .with_hint("write it as http://HOST:PORT or https://HOST:PORT/PATH; several are separated by commas")
    };
    let mut url = Url::parse(text).map_err(|error| refused(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(refused("it begins with neither http:// nor https://"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(refused("it has a query or a fragment"));
    }
    let user_info = (!url.username().is_empty()).then(|| {
        let password = url.password().unwrap_or_default();
        Secret::new(format!("{}:{}", plain(url.username()), plain(password)))
    });
    let cleared = url.set_username("").and_then(|()| url.set_password(None));
    cleared.map_err(|()| refused("it has a name and no host"))?;
    Ok((url, user_info))
}

/// A part of a URL without its percent signs.
fn plain(part: &str) -> String {
    url::form_urlencoded::parse(part.replace('+', "%2B").replace('&', "%26").replace('=', "%3D").as_bytes())
        .map(|(name, _)| name.into_owned())
        .collect()
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn basic(text: &str) -> Credentials {
        Credentials::Basic(Secret::new(text.to_owned()))
    }

    #[test]
    fn i1_a_password_in_a_url_is_taken_out() {
        let options =
            ClientOptions::new("https://me:can%40ary+1@one:8081/base, https://two", Credentials::None).unwrap();
        let urls: Vec<_> = options.urls().iter().map(Url::as_str).collect();
        assert_eq!(urls, ["https://one:8081/base", "https://two/"]);
        assert_eq!(options.credentials, basic("me:can@ary+1"));
        assert!(!format!("{options:?}").contains("ary"));
        // By hand: base64 of me:can@ary+1.
        let header = options.authorization().unwrap().unwrap();
        assert_eq!(header, "Basic bWU6Y2FuQGFyeSsx");
        assert_eq!(format!("{header:?}"), "Sensitive");
    }

    #[test]
    fn i2_wrong_options_are_refused_without_their_secrets() {
        let bearer = || Credentials::Bearer(Secret::new("canary".to_owned()));
        let cases = [
            ("", Credentials::None, "no url"),
            (" , ", Credentials::None, "no url"),
            ("localhost:8081", bearer(), "neither http:// nor"),
            ("ftp://canary@host", Credentials::None, "neither http:// nor"),
            ("http://canary:canary@", Credentials::None, "empty host"),
            ("http://host?canary=1", Credentials::None, "a query"),
            ("http://canary@host", bearer(), "several credentials"),
            ("http://canary@a,http://canary2@b", Credentials::None, "several credentials"),
        ];
        for (urls, credentials, words) in cases {
            let report = ClientOptions::new(urls, credentials).unwrap_err().report();
            assert!(report.contains(words) && !report.contains("canary"), "{urls}: {report}");
        }
        let same = ClientOptions::new("http://a:b@one,http://a:b@two", basic("a:b")).unwrap();
        assert_eq!(same.credentials, basic("a:b"));
        let broken = ClientOptions::new("http://h", Credentials::Bearer(Secret::new("can\nary".to_owned()))).unwrap();
        let report = broken.authorization().unwrap_err().report();
        assert!(report.contains("line break") && !report.contains("ary"), "{report}");
    }
}
