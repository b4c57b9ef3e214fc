//! What librdkafka says beside its answers.
//!
//! Owns [`Context`], which all clients of a cluster share: which servers failed, and in which words; and which client
//! has no token.
//! - I1: words stand with every error about the cluster until something is answered: a call that timed out does not
//!   know that a login was refused.
//! - I2: a cluster is dead when every server of `bootstrap.servers` has failed, or the login itself has, and nothing
//!   was answered since.
//! - I3: a failure is said once, by the error that it becomes; what comes with each attempt is for `-v`.
//! - I4: a dead cluster is asked one question at a time: those that wait for nothing hold no thread.
//! - I5: a client that never got a token waits ten seconds before it asks for one again: who wants an answer before
//!   takes another client. One whose token could not be renewed goes on with the one that it has.
//! - I6: a client that seems to have lost its way is told the servers once more, and more and more rarely while it goes
//!   on so: librdkafka keeps each telling for the client's life.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use tokio::sync::watch;

use super::failure::code_of;

/// How long a question waits at a dead cluster: a server that comes back is connected to within that time.
const DEAD_AFTER: Duration = Duration::from_secs(1);

/// What a connection that failed is logged as.
const FAILED: &str = "FAIL";

/// A client asks for its first token as soon as it is made; what fails later is a renewal.
const FIRST_TOKEN_WITHIN: Duration = Duration::from_secs(15);

/// Between two times that a client is told its servers at first, doubled so many times at most (I6).
const TOLD_AFTER: Duration = Duration::from_secs(5);
const TOLD_DOUBLED_MAX: u32 = 6;

/// Who needed it no more for so long has found its way.
const FOUND_AFTER: Duration = Duration::from_secs(900);

const NO_TOKEN: &str = "OAUTHBEARER token";

/// Of servers that were named by a person, not by the cluster.
const BOOTSTRAP: &str = "/bootstrap";

#[derive(Clone, Debug)]
pub(super) struct Context {
    servers: usize,
    said: Arc<Mutex<Said>>,
    dead: Arc<watch::Sender<bool>>,
    made_at: Instant,
    /// Of this client alone.
    no_token_since: Arc<Mutex<Option<Instant>>>,
    /// The same (I6).
    told_servers: Arc<Mutex<Option<(Instant, u32)>>>,
}

#[derive(Debug, Default)]
struct Said {
    /// Of those named by a person.
    failed_servers: BTreeSet<String>,
    last_words: Option<String>,
    dead_since: Option<Instant>,
    /// Somebody asks, to see whether it is dead still.
    is_probed: bool,
}

impl Context {
    /// For clients of a cluster with so many servers to begin with.
    pub fn new(servers: usize) -> Self {
        let dead = Arc::new(watch::Sender::new(false));
        Context {
            servers: servers.max(1),
            said: Arc::default(),
            dead,
            made_at: Instant::now(),
            no_token_since: Arc::default(),
            told_servers: Arc::default(),
        }
    }

    pub fn last_words(&self) -> Option<String> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).last_words.clone()
    }

    /// Something was answered: what failed before is no more.
    pub fn answered(&self) {
        *self.said.lock().unwrap_or_else(PoisonError::into_inner) = Said::default();
        self.dead.send_replace(false);
    }

    /// May a question be asked? Of a cluster that has been dead for a while one at a time may (I4).
    pub fn may_ask(&self) -> bool {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let is_dead = said.dead_since.is_some_and(|since| since.elapsed() >= DEAD_AFTER);
        !is_dead || !std::mem::replace(&mut said.is_probed, true)
    }

    /// The same of another client, which asks for a token of its own.
    pub fn of_another_client(&self) -> Self {
        let (no_token_since, told_servers) = Default::default();
        Context { made_at: Instant::now(), no_token_since, told_servers, ..self.clone() }
    }

    /// Is it time to tell this client its servers once more (I6)? Who asks does so.
    pub fn is_to_be_told_servers(&self) -> bool {
        let mut told = self.told_servers.lock().unwrap_or_else(PoisonError::into_inner);
        let last = told.filter(|(at, _)| at.elapsed() < FOUND_AFTER);
        let is_due = last.is_none_or(|(at, times)| at.elapsed() >= TOLD_AFTER * 2_u32.pow(times.min(TOLD_DOUBLED_MAX)));
        if is_due {
            *told = Some((Instant::now(), last.map_or(0, |(_, times)| times + 1)));
        }
        is_due
    }

    /// Has this client been told so long ago that there is no token for it (I5)?
    pub fn lacks_token(&self, since: Duration) -> bool {
        let no_token_since = self.no_token_since.lock().unwrap_or_else(PoisonError::into_inner);
        no_token_since.is_some_and(|told| told.elapsed() >= since)
    }

    /// A question came to its end.
    pub fn asked(&self) {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).is_probed = false;
    }

    /// Returns when the cluster is dead (I2), and stayed so for a while.
    pub async fn dead(&self) {
        let mut dead = self.dead.subscribe();
        let told = tokio::time::Instant::now() + DEAD_AFTER;
        loop {
            // The sender lives as long as this does.
            let _ = dead.wait_for(|dead| *dead).await;
            tokio::time::sleep_until(told).await;
            if *dead.borrow() {
                return;
            }
        }
    }

    fn note(&self, server: Option<&str>, words: &str) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.last_words = Some(words.to_owned());
        let dead = match server {
            Some(server) => {
                if server.ends_with(BOOTSTRAP) {
                    said.failed_servers.insert(server.to_owned());
                }
                said.failed_servers.len() >= self.servers
            }
            None => true,
        };
        if dead {
            said.dead_since.get_or_insert_with(Instant::now);
            self.dead.send_replace(true);
        }
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if facility == FAILED
            && let Some((server, words)) = failed_server(message)
        {
            self.note(Some(server), words);
        }
        match level {
            RDKafkaLogLevel::Debug => tracing::debug!(facility, "kafka: {message}"),
            _ => tracing::info!(facility, "kafka: {message}"),
        }
    }

    fn error(&self, error: KafkaError, words: &str) {
        let code = code_of(&error);
        tracing::debug!(%code, "kafka: {words}");
        // Without a token no server is asked at all. What a server refuses is logged as its failure.
        let is_first = self.made_at.elapsed() < FIRST_TOKEN_WITHIN;
        if code == Code::Authentication && words.contains(NO_TOKEN) && is_first {
            self.note(None, words);
            self.no_token_since.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(Instant::now);
        }
    }
}

impl ConsumerContext for Context {}

/// `[thrd:SERVER]: SERVER: WORDS`
fn failed_server(message: &str) -> Option<(&str, &str)> {
    let (server, words) = message.strip_prefix("[thrd:")?.split_once("]: ")?;
    // A server that was given up says so too, and a logical one has no address of its own.
    let gone = words.contains("Decommissioning") || words.contains("terminating");
    (!gone).then_some((server, words))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(context: &Context, server: &str, words: &str) {
        context.log(RDKafkaLogLevel::Error, FAILED, &format!("[thrd:{server}]: {server}: {words}"));
    }

    fn is_dead(context: &Context) -> bool {
        *context.dead.borrow()
    }

    #[test]
    fn i2_a_cluster_is_dead_when_all_its_servers_failed_and_until_it_answers() {
        let context = Context::new(2);
        fail(&context, "ssl://a:1/bootstrap", "Connect failed");
        fail(&context, "ssl://a:1/bootstrap", "Connect failed again");
        fail(&context, "ssl://c:1/7", "a broker that the cluster named");
        assert!(!is_dead(&context));
        fail(&context, "ssl://b:1/bootstrap", "refused");
        assert!(is_dead(&context));
        assert_eq!(context.last_words().unwrap(), "ssl://b:1/bootstrap: refused");
        context.answered();
        assert!(!is_dead(&context) && context.last_words().is_none());
        fail(&context, "ssl://b:1/bootstrap", "Decommissioning this broker");
        assert!(context.last_words().is_none());
        context.error(KafkaError::Global(Code::Authentication), "Failed to acquire SASL OAUTHBEARER token: HTTP 401");
        assert!(is_dead(&context), "without a token no server is asked");
        let lack = [&context, &context.clone(), &context.of_another_client()].map(|it| it.lacks_token(Duration::ZERO));
        assert_eq!(lack, [true, true, false], "I5");
        assert!(!context.lacks_token(DEAD_AFTER), "I5: it was told just now");
    }

    #[test]
    fn i5_a_token_that_is_not_renewed_is_no_reason_to_take_another_client() {
        let Some(made_at) = Instant::now().checked_sub(FIRST_TOKEN_WITHIN) else { return };
        let context = Context { made_at, ..Context::new(1) };
        context.error(KafkaError::Global(Code::Authentication), "Failed to acquire SASL OAUTHBEARER token: HTTP 503");
        assert!(!is_dead(&context) && !context.lacks_token(Duration::ZERO));
    }

    #[test]
    fn i6_each_client_is_told_its_servers_now_and_then() {
        let context = Context::new(1);
        let told = [&context, &context.clone(), &context.of_another_client()].map(Context::is_to_be_told_servers);
        assert_eq!(told, [true, false, true]);
        let Some(long_ago) = Instant::now().checked_sub(FOUND_AFTER) else { return };
        let now = Instant::now();
        for (told, expected) in [
            (Some((now - TOLD_AFTER, 0)), (true, 1)),
            (Some((now - TOLD_AFTER, 1)), (false, 1)),
            (Some((now - 2 * TOLD_AFTER, 1)), (true, 2)),
            (Some((now - 64 * TOLD_AFTER, 99)), (true, 100)),
            (Some((long_ago, 99)), (true, 0)),
        ] {
            *context.told_servers.lock().unwrap() = told;
            let is_due = context.is_to_be_told_servers();
            assert_eq!((is_due, context.told_servers.lock().unwrap().unwrap().1), expected, "{told:?}");
        }
    }
}
