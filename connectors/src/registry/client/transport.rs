//! One request to a registry, however many tries it takes.
//!
//! Owns [`Transport`].
//! - I1: tried again is what may help: no connection, a connection that broke, 429, 5xx. Everything else is an answer.
//!   A deletion is tried again only if it was never sent: its second answer would be another.
//! - I2: a call ends within [`CALL_TIMEOUT`], an answer is at most [`ANSWER_BYTES_MAX`] long, a redirect is not
//!   followed: what was meant for one host, credentials above all, is sent to no other.
//! - I3: of several addresses the one that answered last is asked first; a pause, longer each time, comes when all of
//!   them have failed.
//! - I4: no error has credentials inside.

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, DATE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Certificate, Identity, Method, Response, StatusCode, redirect};
use serde::{Deserialize, Serialize};
use tableflow_model::{Error, Millis, Secret};
use url::Url;

use super::super::refusal::{Reason, RegistryError, Result};
use super::options::{ClientCertificate, ClientOptions};

/// The largest schema that Kafka's own limit of a message lets a registry keep.
pub const ANSWER_BYTES_MAX: usize = 1 << 20;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// How often all addresses are tried.
const ROUNDS_MAX: u32 = 4;

/// Doubled with each round.
const PAUSE_MS: u64 = 100;

/// What a registry may ask for with `Retry-After`.
const PAUSE_MS_MAX: u64 = 5_000;

/// A text of the registry in one of our errors.
const MESSAGE_CHARS_MAX: usize = 2_000;

const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/vnd.schemaregistry.v1+json");

pub(super) struct Transport {
    http: reqwest::Client,
    urls: Vec<Url>,
    /// I3: where in `urls` the last answer came from.
    preferred: AtomicUsize,
    /// By the clock of whoever answered last. Zero: none told.
    answered_at_ms: AtomicI64,
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let urls: Vec<_> = self.urls.iter().map(Url::as_str).collect();
        f.debug_struct("Transport").field("urls", &urls).finish_non_exhaustive()
    }
}

#[derive(Debug)]
pub(super) struct Request<'a> {
    method: Method,
    path: &'a [&'a str],
    query: &'a [(&'a str, &'a str)],
    body: Option<Vec<u8>>,
}

impl<'a> Request<'a> {
    pub(super) fn new(method: Method, path: &'a [&'a str]) -> Self {
        Request { method, path, query: &[], body: None }
    }

    #[must_use]
    pub(super) fn query(mut self, query: &'a [(&'a str, &'a str)]) -> Self {
        self.query = query;
        self
    }

    pub(super) fn body(mut self, body: &impl Serialize) -> Result<Self> {
        let json = serde_json::to_vec(body);
        self.body = Some(json.map_err(|error| Error::internal("a request has no JSON form").with_source(error))?);
        Ok(self)
    }

    fn url(&self, base: &Url) -> Result<Url> {
        // A segment of dots is no segment: it would be another path.
        if self.path.iter().any(|segment| matches!(*segment, "" | "." | "..")) {
            let name = self.path.iter().find(|segment| matches!(**segment, "" | "." | "..")).unwrap_or(&"");
            return Err(Error::usage(format!("{name:?} is not a subject's name")).into());
        }
        let mut url = base.clone();
        url.path_segments_mut()
            .map_err(|()| Error::usage(format!("{base} is not an address with a path")))?
            .pop_if_empty()
            .extend(self.path);
        if !self.query.is_empty() {
            url.query_pairs_mut().extend_pairs(self.query);
        }
        Ok(url)
    }
}

/// What became of one try.
enum Tried {
    Answered(Vec<u8>),
    /// Trying again may help.
    Failed {
        error: Error,
        pause: Option<Duration>,
        was_sent: bool,
    },
}

/// What Confluent's API answers when it refuses.
#[derive(Deserialize)]
struct ErrorAnswer {
    error_code: u32,
    #[serde(default)]
    message: String,
}

impl Transport {
    pub(super) fn new(options: ClientOptions) -> Result<Self, Error> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, MEDIA_TYPE);
        if let Some(authorization) = options.authorization()? {
            headers.insert(AUTHORIZATION, authorization);
        }
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("tableflow/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .redirect(redirect::Policy::none())
            .referer(false)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT);
        for authority in options.ca.as_deref().map(authorities).transpose()?.into_iter().flatten() {
            builder = builder.add_root_certificate(authority);
        }
        if let Some(files) = &options.certificate {
            builder = builder.identity(identity(files)?);
        }
        let http = builder.build().map_err(|error| {
            Error::usage("the schema registry's connection cannot be set up")
                .with_detail(causes(&error))
                .with_hint("check the files of ssl.ca.location, ssl.certificate.location and ssl.key.location")
        })?;
        let (preferred, answered_at_ms) = Default::default();
        Ok(Transport { http, urls: options.urls().to_vec(), preferred, answered_at_ms })
    }

    /// The answer, read as JSON.
    pub(super) async fn ask<T: for<'de> Deserialize<'de>>(&self, request: &Request<'_>) -> Result<T> {
        let bytes = match tokio::time::timeout(CALL_TIMEOUT, self.send(request)).await {
            Ok(answered) => answered?,
            Err(_) => return Err(self.unanswered().with_detail(format!("no answer in {CALL_TIMEOUT:?}")).into()),
        };
        serde_json::from_slice(&bytes).map_err(|error| {
            Error::unavailable("the schema registry's answer is not understood")
                .with_detail(error.to_string())
                .with_context("path", request.path.join("/"))
                .with_hint("is the url that of a registry with Confluent's API? Apicurio's ends in /apis/ccompat/v7")
                .into()
        })
    }

    async fn send(&self, request: &Request<'_>) -> Result<Vec<u8>> {
        let mut round = 1;
        loop {
            let first = self.preferred.load(Ordering::Relaxed);
            let (mut last, mut longest) = (None, None);
            for index in (0..self.urls.len()).map(|step| (first + step) % self.urls.len()) {
                let Some(base) = self.urls.get(index) else { continue };
                match self.try_one(request, base).await? {
                    Tried::Answered(bytes) => {
                        self.preferred.store(index, Ordering::Relaxed);
                        return Ok(bytes);
                    }
                    Tried::Failed { error, was_sent: true, .. } if request.method == Method::DELETE => {
                        return Err(error.with_hint("look whether it happened before trying again").into());
                    }
                    Tried::Failed { error, pause, .. } => {
                        tracing::debug!(url = %base, error = %error.report(), "the schema registry does not answer");
                        last = Some(error);
                        longest = longest.max(pause);
                    }
                }
            }
            if round == ROUNDS_MAX {
                return Err(last.unwrap_or_else(|| self.unanswered()).into());
            }
            tokio::time::sleep(longest.unwrap_or_else(|| pause(round))).await;
            round += 1;
        }
    }

    async fn try_one(&self, request: &Request<'_>, base: &Url) -> Result<Tried> {
        let mut builder = self.http.request(request.method.clone(), request.url(base)?);
        if let Some(body) = &request.body {
            builder = builder.header(CONTENT_TYPE, MEDIA_TYPE).body(body.clone());
        }
        let failed = |error: &reqwest::Error| Tried::Failed {
            error: unanswered_by(base).with_detail(causes(error)),
            pause: None,
            was_sent: !error.is_connect(),
        };
        let mut response = match builder.send().await {
            Ok(response) => response,
            Err(error) => return Ok(failed(&error)),
        };
        let (status, wait) = (response.status(), retry_after(&response));
        if let Some(time) = time_of(&response) {
            self.answered_at_ms.store(time.0, Ordering::Relaxed);
        }
        let bytes = match read(&mut response, base).await {
            Ok(bytes) => bytes,
            Err(Unread::Broken(error)) => return Ok(failed(&error)),
            Err(Unread::Long(error)) => return Err(error.into()),
        };
        if status.is_success() {
            return Ok(Tried::Answered(bytes));
        }
        let refusal = serde_json::from_slice::<ErrorAnswer>(&bytes).ok();
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            let message = refusal.map(|answer| shortened(&answer.message)).unwrap_or_default();
            let error = unanswered_by(base).with_detail(format!("it answers HTTP {status} {message}").trim_end());
            return Ok(Tried::Failed { error, pause: wait, was_sent: true });
        }
        Err(refused(status, refusal, request, base))
    }

    pub(super) fn answered_at(&self) -> Option<Millis> {
        Some(self.answered_at_ms.load(Ordering::Relaxed)).filter(|time| *time != 0).map(Millis)
    }

    fn unanswered(&self) -> Error {
        let urls: Vec<_> = self.urls.iter().map(Url::as_str).collect();
        Error::unavailable(format!("the schema registry {} does not answer", urls.join(", ")))
    }
}

fn unanswered_by(base: &Url) -> Error {
    Error::unavailable(format!("the schema registry {base} does not answer"))
        .with_hint("check that it runs and that [registry] url is right")
}

fn refused(status: StatusCode, answer: Option<ErrorAnswer>, request: &Request<'_>, base: &Url) -> RegistryError {
    if status.is_redirection() {
        let error = Error::usage(format!("the schema registry {base} redirects to another address"))
            .with_detail(format!("it answers HTTP {status}, which is not followed"));
        return error.with_hint("name the address it redirects to as [registry] url").into();
    }
    let unauthorized = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
    match answer {
        Some(ErrorAnswer { error_code, message }) => {
            RegistryError::refused(Reason::from_code(error_code), shortened(&message))
        }
        None if unauthorized => {
            RegistryError::refused(Reason::Other(status.as_u16().into()), format!("it answers HTTP {status}"))
        }
        None => Error::usage(format!("{base} answers not as a schema registry does"))
            .with_detail(format!("HTTP {status} for /{}", request.path.join("/")))
            .with_hint("is the url that of a registry with Confluent's API? Apicurio's ends in /apis/ccompat/v7")
            .into(),
    }
}

enum Unread {
    Broken(reqwest::Error),
    /// I2.
    Long(Error),
}

async fn read(response: &mut Response, base: &Url) -> Result<Vec<u8>, Unread> {
    let long = || {
        Unread::Long(
            Error::unavailable(format!("an answer of the schema registry {base} is too long"))
                .with_detail(format!("more than {ANSWER_BYTES_MAX} bytes are not read")),
        )
    };
    if response.content_length().is_some_and(|length| length > ANSWER_BYTES_MAX as u64) {
        return Err(long());
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(Unread::Broken)? {
        if bytes.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(long());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// HTTP's dates are those of mail.
fn time_of(response: &Response) -> Option<Millis> {
    let time = chrono::DateTime::parse_from_rfc2822(response.headers().get(DATE)?.to_str().ok()?).ok()?;
    Some(Millis(time.timestamp_millis()))
}

/// Seconds, the only form that registries and proxies use in practice.
fn retry_after(response: &Response) -> Option<Duration> {
    let seconds: u64 = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_millis(seconds.saturating_mul(1_000).min(PAUSE_MS_MAX)))
}

/// Between half and all of the round's pause, so that many processes do not come back at once.
fn pause(round: u32) -> Duration {
    let whole = (PAUSE_MS << round.min(ROUNDS_MAX)).min(PAUSE_MS_MAX);
    Duration::from_millis(whole / 2 + fastrand::u64(..=whole / 2))
}

fn shortened(message: &str) -> String {
    message.chars().take(MESSAGE_CHARS_MAX).collect()
}

/// An HTTP error's words, without the URL of the request, which says nothing that ours does not.
fn causes(error: &reqwest::Error) -> String {
    let mut source = std::error::Error::source(error);
    let mut words = Vec::new();
    while let Some(error) = source {
        words.push(error.to_string());
        source = error.source();
    }
    if error.is_timeout() {
        words.push("it took too long".to_owned());
    }
    words.join(": ")
}

fn authorities(path: &Path) -> Result<Vec<Certificate>, Error> {
    let setting = "ssl.ca.location";
    let pem = read_pem(setting, path)?;
    let found = Certificate::from_pem_bundle(pem.expose().as_bytes());
    let found = found.map_err(|error| wrong_pem(setting, path).with_detail(causes(&error)))?;
    if found.is_empty() {
        return Err(wrong_pem(setting, path).with_detail("it has no certificate"));
    }
    Ok(found)
}

fn identity(files: &ClientCertificate) -> Result<Identity, Error> {
    let certificate = read_pem("ssl.certificate.location", &files.certificate)?;
    let key = read_pem("ssl.key.location", &files.key)?;
    let both = Secret::new(format!("{}\n{}", certificate.expose(), key.expose()));
    Identity::from_pem(both.expose().as_bytes())
        .map_err(|error| wrong_pem("ssl.key.location", &files.key).with_detail(causes(&error)))
}

fn read_pem(setting: &str, path: &Path) -> Result<Secret, Error> {
    std::fs::read_to_string(path).map(Secret::new).map_err(|error| {
        Error::usage(format!("the file of {setting} cannot be read"))
            .with_context("file", path.display())
            .with_source(error)
    })
}

fn wrong_pem(setting: &str, path: &Path) -> Error {
    Error::usage(format!("the file of {setting} is not what it should be"))
        .with_context("file", path.display())
        .with_hint("it must be PEM; a key must not be encrypted")
}
