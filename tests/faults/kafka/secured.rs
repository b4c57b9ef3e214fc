//! A broker with every login that clients use, and rights.
//!
//! Owns [`Secured`], its [`Authority`], and the files that a client is given.
//! - I1: a right that was not granted is not there; the tests' own listener may do everything.
//! - I2: a login by a token ends with the token, unless it is renewed before.

use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType, date_time_ymd};
use serde_json::json;
use tempfile::TempDir;

use super::broker::Broker;
use crate::python::Engines;

static SHARED: OnceLock<Secured> = OnceLock::new();
static STARTING: Mutex<()> = Mutex::new(());

/// Who logs in by a name, and by what; both are in no output.
pub const LOGIN: &str = "alice";
pub const PASSWORD: &str = "canary-password-of-alice";
pub const CLIENT_SECRET: &str = "canary-client-secret";
pub const STORE_PASSWORD: &str = "canary-password-of-a-store";

pub struct Secured {
    pub broker: Broker,
    pub authority: Authority,
    /// Where tokens are given.
    pub tokens: Endpoint,
    /// Where each second one who asks is hung up on.
    pub flaky_tokens: Endpoint,
    /// Where they end after [`SHORT`].
    pub short_tokens: Endpoint,
}

/// How long a token is good that has to be renewed soon.
pub const SHORT: Duration = Duration::from_secs(6);

/// A token endpoint that knows one client.
pub struct Endpoint {
    pub url: String,
    asked: Arc<AtomicU32>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// Tokens are good until 2100.
    Steady,
    /// So they are, and each second one who asks is hung up on, the first one too.
    Flaky,
    Short,
}

/// Whoever signs certificates.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// When a certificate is good.
#[derive(Clone, Copy, Debug)]
pub enum Time {
    Now,
    Past,
}

impl Authority {
    pub fn new() -> Self {
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.distinguished_name.push(DnType::CommonName, "an authority");
        Authority { issuer: CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap() }
    }

    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A certificate of this name on this machine, and its key.
    pub fn issue(&self, name: &str, time: Time) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        parameters.subject_alt_names.push(SanType::IpAddress([127, 0, 0, 1].into()));
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        parameters.distinguished_name.push(DnType::CommonName, name);
        if let Time::Past = time {
            (parameters.not_before, parameters.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
        }
        (parameters.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    /// Both in one file's text, as Java's PEM stores have them.
    pub fn store(&self, name: &str, time: Time) -> String {
        let (certificate, key) = self.issue(name, time);
        key + &certificate
    }
}

impl Secured {
    /// The one that tests share: topics have names of their own.
    pub fn shared() -> &'static Secured {
        let _starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
        SHARED.get_or_init(Secured::start)
    }

    fn start() -> Self {
        let (authority, directory) = (Authority::new(), TempDir::new().unwrap());
        let file = |name: &str, text: String| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let store = file("broker.pem", authority.store("broker", Time::Now));
        let trusted = file("trusted.pem", authority.pem());
        let modules = "org.apache.kafka.common.security";
        let login = "listener.name.sasl_ssl";
        let further = format!(
            "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
ssl.keystore.type=PEM
ssl.keystore.location={store}
ssl.truststore.type=PEM
ssl.truststore.location={trusted}
listener.name.ssl.ssl.client.auth=required
{login}.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER
{login}.plain.sasl.jaas.config={modules}.plain.PlainLoginModule required user_{LOGIN}=\"{PASSWORD}\";
{login}.scram-sha-256.sasl.jaas.config={modules}.scram.ScramLoginModule required;
{login}.scram-sha-512.sasl.jaas.config={modules}.scram.ScramLoginModule required;
{login}.oauthbearer.sasl.jaas.config={modules}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub=\"b\";
{login}.oauthbearer.connections.max.reauth.ms=3600000
"
        );
        let logins = ["SCRAM-SHA-256", "SCRAM-SHA-512"].map(|way| format!("{way}=[name={LOGIN},password={PASSWORD}]"));
        let broker = Broker::start_with(directory, &["SASL_SSL", "SSL"], &further, &logins);
        let [tokens, flaky_tokens, short_tokens] = [Manner::Steady, Manner::Flaky, Manner::Short].map(Endpoint::start);
        Secured { broker, authority, tokens, flaky_tokens, short_tokens }
    }

    /// A file of its own for a client.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.broker.directory().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// A store with a certificate and its key, made by an independent library.
    pub fn pkcs12(&self, name: &str, certificate: &Path, key: &Path) -> PathBuf {
        let path = self.broker.directory().join(name);
        let order = json!({"certificate": certificate, "key": key, "password": STORE_PASSWORD, "file": path});
        Engines::on(Path::new("")).ask("pkcs12", order);
        path
    }

    pub fn trusted(&self) -> String {
        self.broker.directory().join("trusted.pem").to_str().unwrap().to_owned()
    }

    /// What a `client.properties` for this way in begins with.
    pub fn beginning(&self, listener: &str) -> String {
        format!(
            "bootstrap.servers={}\nsecurity.protocol={listener}\nssl.truststore.type=PEM\nssl.truststore.location={}\n",
            self.broker.servers_of(listener),
            self.trusted()
        )
    }
}

impl Endpoint {
    fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/token", listener.local_addr().unwrap());
        let asked = Arc::new(AtomicU32::new(0));
        let count = asked.clone();
        std::thread::spawn(move || {
            for (index, client) in listener.incoming().filter_map(Result::ok).enumerate() {
                count.fetch_add(1, Ordering::Relaxed);
                if manner != Manner::Flaky || index % 2 == 1 {
                    // Who is slow makes nobody else wait.
                    std::thread::spawn(move || give_token(client, manner));
                }
            }
        });
        Endpoint { url, asked }
    }

    /// How often it was asked so far.
    pub fn asked(&self) -> u32 {
        self.asked.load(Ordering::Relaxed)
    }
}

fn give_token(client: TcpStream, manner: Manner) {
    let mut client = BufReader::new(client);
    let Some(request) = request(&mut client) else { return };
    let ends = match manner {
        Manner::Short => now() + SHORT.as_secs(),
        Manner::Steady | Manner::Flaky => YEAR_2100,
    };
    // Name and secret come as one login.
    let (line, body) = if request.contains(&format!("Basic {}", base64(&format!("tokens:{CLIENT_SECRET}")))) {
        let left = ends - now();
        ("200 OK", format!(r#"{{"access_token":"{}","token_type":"bearer","expires_in":{left}}}"#, token_until(ends)))
    } else {
        ("401 Unauthorized", r#"{"error":"invalid_client"}"#.to_owned())
    };
    let _ = write!(
        client.get_mut(),
        "HTTP/1.1 {line}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
}

fn now() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs()
}

/// A way to a server of this machine under another name, which its certificate does not have.
pub fn under_another_name(server: &str) -> String {
    let listener = TcpListener::bind("127.0.0.2:0").unwrap();
    let (address, server) = (listener.local_addr().unwrap().to_string(), server.to_owned());
    std::thread::spawn(move || {
        for client in listener.incoming().filter_map(Result::ok) {
            let Ok(broker) = TcpStream::connect(&server) else { continue };
            for (from, to) in [(&client, &broker), (&broker, &client)] {
                let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                std::thread::spawn(move || {
                    let _ = (std::io::copy(&mut from, &mut to), to.shutdown(Shutdown::Write));
                });
            }
        }
    });
    address
}

/// The head of a request, read to the end of its body: a connection that is closed before that resets it, and the
/// answer may be lost.
fn request(client: &mut impl BufRead) -> Option<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if client.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length = |line: &str| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok();
    let mut body = vec![0; head.lines().find_map(length).unwrap_or(0)];
    client.read_exact(&mut body).ok()?;
    Some(head)
}

const YEAR_2100: u64 = 4_102_444_800;

/// One that is not signed, good from 2020 until then, of the login `tokens`.
fn token_until(ends: u64) -> String {
    let part = |text: &str| base64(text).trim_end_matches('=').replace('+', "-").replace('/', "_");
    let claims = format!(r#"{{"sub":"tokens","iat":1577836800,"exp":{ends},"jti":"canary-token"}}"#);
    format!("{}.{}.", part(r#"{"alg":"none"}"#), part(&claims))
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}
