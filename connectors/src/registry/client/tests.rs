//! The client, over servers that answer as they are told: what is tried again, what is capped, what is kept secret.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tableflow_model::{ErrorKind, Secret};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use super::super::refusal::{Reason, RegistryError};
use super::transport::ANSWER_BYTES_MAX;
use super::*;

/// A server that gives one answer a connection, the last one for ever, and keeps what it was asked.
struct Server {
    address: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start(answers: Vec<String>) -> Server {
        Self::start_with(answers, None).await
    }

    async fn start_with(answers: Vec<String>, tls: Option<TlsAcceptor>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (scheme, port) = (if tls.is_some() { "https" } else { "http" }, listener.local_addr().unwrap().port());
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = asked.clone();
        tokio::spawn(async move {
            for number in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                let answer = answers.get(number).or(answers.last()).cloned().unwrap_or_default();
                match &tls {
                    None => serve(stream, &answer, &seen).await,
                    Some(tls) => {
                        if let Ok(stream) = tls.accept(stream).await {
                            serve(stream, &answer, &seen).await;
                        }
                    }
                }
            }
        });
        Server { address: format!("{scheme}://localhost:{port}"), asked }
    }

    fn client(&self, credentials: Credentials) -> RegistryClient {
        RegistryClient::new(ClientOptions::new(&self.address, credentials).unwrap()).unwrap()
    }

    /// What was asked since the last look.
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

/// An empty answer ends the connection without one.
async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: &str, seen: &Mutex<Vec<String>>) {
    let (mut request, mut buffer) = (Vec::new(), [0; 65536]);
    while !is_complete(&request) {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(count) => request.extend_from_slice(&buffer[..count]),
        }
    }
    seen.lock().unwrap().push(String::from_utf8(request).unwrap());
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}

fn is_complete(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    body.len() >= length.map_or(0, |length| length.parse().unwrap())
}

fn answer(status: u16, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n{body}", body.len())
}

const SEVEN: SchemaKey = SchemaKey::Id(SchemaId(7));

fn good() -> String {
    answer(200, "", r#"{"schema":"\"int\""}"#)
}

async fn report(client: &RegistryClient) -> (ErrorKind, String) {
    let error = Error::from(client.schema(SEVEN, None).await.unwrap_err());
    (error.kind(), error.report())
}

#[tokio::test]
async fn requests_are_those_of_confluents_api() {
    let registered = r#"{"subject":"a/b","version":2,"id":7,"schema":"\"int\"","is_compatible":true}"#;
    let server = Server::start(vec![answer(200, "", registered)]).await;
    let client = server.client(Credentials::None);
    let (subject, schema) = ("a/b c", Schema::avro("\"int\""));
    let reference = crate::registry::SchemaReference { name: "n".into(), subject: "s".into(), version: Version(1) };
    client.schema(SEVEN, Some(subject)).await.unwrap();
    client.schema(SchemaKey::Guid(Uuid::from_u128(10)), None).await.unwrap();
    client.version(subject, VersionWanted::Latest, Include::Live).await.unwrap();
    client.version(subject, VersionWanted::Number(Version(3)), Include::Deleted).await.unwrap();
    client.lookup(subject, &schema, Form::Normalized, Include::Deleted).await.unwrap();
    client.register(subject, &schema.clone().with_references(vec![reference]), Form::Normalized).await.unwrap();
    client.incompatibilities(subject, Some(VersionWanted::Latest), &schema).await.unwrap();
    client.incompatibilities(subject, None, &schema).await.unwrap();
    let asked = server.asked();
    let lines: Vec<_> = asked.iter().map(|request| request.lines().next().unwrap()).collect();
    let expected = [
        "GET /schemas/ids/7?subject=a%2Fb+c HTTP/1.1",
        "GET /schemas/guids/00000000-0000-0000-0000-00000000000a HTTP/1.1",
        "GET /subjects/a%2Fb%20c/versions/latest HTTP/1.1",
        "GET /subjects/a%2Fb%20c/versions/3?deleted=true HTTP/1.1",
        "POST /subjects/a%2Fb%20c?deleted=true&normalize=true HTTP/1.1",
        "POST /subjects/a%2Fb%20c/versions?normalize=true HTTP/1.1",
        "GET /subjects/a%2Fb%20c/versions/2 HTTP/1.1",
        "POST /compatibility/subjects/a%2Fb%20c/versions/latest?verbose=true HTTP/1.1",
        "POST /compatibility/subjects/a%2Fb%20c/versions?verbose=true HTTP/1.1",
    ];
    assert_eq!(lines, expected);
    let body = r#"{"schema":"\"int\"","references":[{"name":"n","subject":"s","version":1}]}"#;
    assert!(asked[5].ends_with(body), "{}", asked[5]);
    assert!(asked[5].contains("content-type: application/vnd.schemaregistry.v1+json"));
    assert!(asked.iter().all(|request| !request.contains("authorization")));
}

#[tokio::test]
async fn i1_what_may_help_is_tried_again() {
    let retried = [
        answer(503, "", "busy"),
        answer(500, "", r#"{"error_code":50001,"message":"store"}"#),
        answer(429, "", ""),
        String::new(),
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{".to_owned(),
    ];
    for failure in retried {
        let server = Server::start(vec![failure.clone(), failure.clone(), good()]).await;
        let schema = server.client(Credentials::None).schema(SEVEN, None).await;
        assert_eq!(schema.unwrap().text, "\"int\"", "{failure}");
        assert_eq!(server.asked().len(), 3, "{failure}");
        // And in the end it is said what is wrong.
        let server = Server::start(vec![failure.clone()]).await;
        let (kind, report) = report(&server.client(Credentials::None)).await;
        assert_eq!(kind, ErrorKind::Unavailable);
        assert!(report.contains(&server.address) && report.contains("does not answer"), "{report}");
        assert_eq!(server.asked().len(), 4, "{failure}");
        // A deletion may have happened.
        let server = Server::start(vec![failure.clone(), answer(200, "", "[1]")]).await;
        let deleted = server.client(Credentials::None).delete_subject("s", Deletion::Soft).await;
        assert!(deleted.is_err(), "{failure}");
        assert_eq!(server.asked().len(), 1, "{failure}");
    }
}

#[tokio::test]
async fn i1_an_answer_is_not_asked_for_again() {
    let cases = [
        (404, r#"{"error_code":40403,"message":"Schema 7 not found"}"#, ErrorKind::NotFound, "Schema 7 not found"),
        (409, r#"{"error_code":409,"message":"incompatible"}"#, ErrorKind::Data, "incompatible"),
        (422, r#"{"error_code":42201,"message":"bad"}"#, ErrorKind::Usage, "error_code=42201"),
        (401, "", ErrorKind::Usage, "check basic.auth.user.info"),
        (403, r#"{"error_code":40301,"message":"no"}"#, ErrorKind::Usage, "check basic.auth.user.info"),
        (404, "<html>", ErrorKind::Usage, "answers not as a schema registry does"),
        (200, "<html>", ErrorKind::Unavailable, "is not understood"),
        (302, "", ErrorKind::Usage, "redirects to another address"),
    ];
    for (status, body, kind, words) in cases {
        let elsewhere = Server::start(vec![good()]).await;
        let redirect = format!("Location: {}/\r\n", elsewhere.address);
        let server = Server::start(vec![answer(status, &redirect, body)]).await;
        let seen = report(&server.client(Credentials::None)).await;
        assert_eq!(seen.0, kind, "{}", seen.1);
        assert!(seen.1.contains(words), "{}", seen.1);
        assert_eq!((server.asked().len(), elsewhere.asked().len()), (1, 0), "{status}");
    }
    let refused = Server::start(vec![answer(404, "", r#"{"error_code":40402,"message":""}"#)]).await;
    let refused = refused.client(Credentials::None).versions("s", Include::Live).await.unwrap_err();
    assert_eq!(refused.reason(), Some(Reason::VersionNotFound));
}

#[tokio::test]
async fn i2_an_answer_is_read_so_far_and_no_further() {
    let schema = |length: usize| format!("{{\"schema\":\"{}\"}}", "x".repeat(length - 13));
    let largest = Server::start(vec![answer(200, "", &schema(ANSWER_BYTES_MAX))]).await;
    assert!(largest.client(Credentials::None).schema(SEVEN, None).await.is_ok());
    let too_long = schema(ANSWER_BYTES_MAX + 1);
    // With its length said, and with none: then it is as long as the connection lives.
    for answer in [answer(200, "", &too_long), format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{too_long}")] {
        let server = Server::start(vec![answer]).await;
        let (kind, report) = report(&server.client(Credentials::None)).await;
        assert_eq!(kind, ErrorKind::Unavailable);
        assert!(report.contains("is too long") && report.contains("1048576"), "{report}");
        assert_eq!(server.asked().len(), 1, "it will not be shorter");
    }
}

#[tokio::test]
async fn i3_the_address_that_answers_is_asked() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let down = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    let (broken, works) = (Server::start(vec![answer(500, "", "")]).await, Server::start(vec![good()]).await);
    let urls = format!("{down},{},{}", broken.address, works.address);
    let client = RegistryClient::new(ClientOptions::new(&urls, Credentials::None).unwrap()).unwrap();
    let start = Instant::now();
    for _ in 0..5 {
        client.schema(SEVEN, None).await.unwrap();
    }
    assert!(start.elapsed() < Duration::from_secs(2), "no pause while one of them answers");
    assert_eq!((broken.asked().len(), works.asked().len()), (1, 5));
    // A deletion that never left may be sent elsewhere.
    let deleting = Server::start(vec![answer(200, "", "[1]")]).await;
    let options = ClientOptions::new(&format!("{down},{}", deleting.address), Credentials::None).unwrap();
    let deleted = RegistryClient::new(options).unwrap().delete_subject("s", Deletion::Permanent).await;
    assert_eq!(deleted.unwrap(), [Version(1)]);
    assert!(deleting.asked()[0].starts_with("DELETE /subjects/s?permanent=true "));
}

#[tokio::test]
async fn a_registry_that_asks_for_time_gets_it() {
    let server = Server::start(vec![answer(429, "Retry-After: 1\r\n", ""), good()]).await;
    let start = Instant::now();
    server.client(Credentials::None).schema(SEVEN, None).await.unwrap();
    assert!(start.elapsed() >= Duration::from_secs(1), "{:?}", start.elapsed());
}

#[tokio::test]
async fn i4_credentials_are_sent_and_never_said() {
    let secret = || Secret::new("name:canary".to_owned());
    // By hand: base64 of name:canary.
    let kinds = [
        (Credentials::Basic(secret()), "authorization: Basic bmFtZTpjYW5hcnk="),
        (Credentials::Bearer(secret()), "authorization: Bearer name:canary"),
    ];
    for (credentials, header) in kinds {
        for status in [200, 302, 401, 404, 500] {
            let server = Server::start(vec![answer(status, "", r#"{"schema":"1"}"#)]).await;
            let client = server.client(credentials.clone());
            let outcome = client.schema(SEVEN, None).await;
            let said = format!("{outcome:?} {client:?} {:?}", outcome.as_ref().err().map(ToString::to_string));
            let report = outcome.err().map(|error| Error::from(error).report()).unwrap_or_default();
            assert!(
                !said.contains("canary") && !said.contains("bmFt") && !report.contains("canary"),
                "{said} {report}"
            );
            assert!(server.asked().iter().all(|request| request.contains(header)), "{status}");
        }
    }
}

#[tokio::test]
async fn names_that_would_be_another_path_are_not_sent() {
    let server = Server::start(vec![good()]).await;
    for subject in ["", ".", ".."] {
        let error = server.client(Credentials::None).versions(subject, Include::Live).await.unwrap_err();
        assert!(matches!(error, RegistryError::Failed(ref error) if error.kind() == ErrorKind::Usage), "{error:?}");
    }
    assert!(server.asked().is_empty());
}

#[tokio::test]
async fn older_registries_are_asked_again_for_what_they_leave_out() {
    let registered = r#"{"subject":"s","version":2,"id":7,"schema":"\"int\""}"#;
    let server = Server::start(vec![answer(200, "", r#"{"id":7}"#), answer(200, "", registered)]).await;
    let seen = server.client(Credentials::None).register("s", &Schema::avro("\"int\""), Form::Given).await.unwrap();
    assert_eq!((seen.id, seen.version, seen.guid), (SchemaId(7), Version(2), None));
    let lines: Vec<_> = server.asked().iter().map(|request| request.lines().next().unwrap().to_owned()).collect();
    assert_eq!(lines, ["POST /subjects/s/versions HTTP/1.1", "POST /subjects/s HTTP/1.1"]);
    let server = Server::start(vec![answer(200, "", r#"["other","b-2","b-1"]"#)]).await;
    assert_eq!(server.client(Credentials::None).subjects("b", Include::Live).await.unwrap(), ["b-1", "b-2"]);
}

/// An authority, and what it vouches for, in PEM.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority { issuer: CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap() }
    }

    fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A certificate of `localhost`, and its key.
    fn issue(&self) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let parameters = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        (parameters.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

/// A server that takes only clients that `clients` vouches for.
fn acceptor(servers: &Authority, clients: &Authority) -> TlsAcceptor {
    let (certificate, key) = servers.issue();
    let der = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(der(&clients.pem())).unwrap();
    let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
    let config = ServerConfig::builder()
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![der(&certificate)], PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap());
    TlsAcceptor::from(Arc::new(config.unwrap()))
}

#[tokio::test]
async fn tls_trusts_its_authority_and_says_who_asks() {
    let (servers, clients, strangers) = (Authority::new(), Authority::new(), Authority::new());
    let server = Server::start_with(vec![good()], Some(acceptor(&servers, &clients))).await;
    let folder = TempDir::new().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let ca = Some(write("ca.pem", &servers.pem()));
    let identity = |authority: &Authority, name: &str| {
        let (certificate, key) = authority.issue();
        Some(ClientCertificate {
            certificate: write(&format!("{name}.pem"), &certificate),
            key: write(&format!("{name}.key"), &key),
        })
    };
    let options = || ClientOptions::new(&server.address, Credentials::None).unwrap();
    let known = identity(&clients, "known");
    let client = |options| RegistryClient::new(options).unwrap();

    let good = client(ClientOptions { ca: ca.clone(), certificate: known.clone(), ..options() });
    assert_eq!(good.schema(SEVEN, None).await.unwrap().text, "\"int\"");
    let refused = [
        ("a server that nobody vouches for", ClientOptions { certificate: known.clone(), ..options() }),
        ("a client without a certificate", ClientOptions { ca: ca.clone(), ..options() }),
        ("a stranger", ClientOptions { ca: ca.clone(), certificate: identity(&strangers, "stranger"), ..options() }),
    ];
    for (who, options) in refused {
        let (kind, report) = report(&client(options)).await;
        assert_eq!(kind, ErrorKind::Unavailable, "{who}: {report}");
    }
    assert_eq!(server.asked().len(), 1, "only who is known is heard");

    let none = folder.path().join("none.pem");
    let no_pem = write("no.pem", "canary");
    let wrong = [
        (ClientOptions { ca: Some(none), ..options() }, "ssl.ca.location cannot be read"),
        (ClientOptions { ca: Some(no_pem.clone()), ..options() }, "it has no certificate"),
        (
            ClientOptions {
                certificate: known.map(|known| ClientCertificate { key: no_pem.clone(), ..known }),
                ..options()
            },
            "ssl.key.location is not what it should be",
        ),
    ];
    for (options, words) in wrong {
        match RegistryClient::new(options) {
            Err(error) => {
                let report = error.report();
                assert!(error.kind() == ErrorKind::Usage && report.contains(words), "{report}");
                assert!(!report.contains("canary"), "{report}");
            }
            Ok(_) => panic!("wrong files were taken: {words}"),
        }
    }
}
