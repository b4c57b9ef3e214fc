//! What becomes of records that are sent.
//!
//! Owns [`Delivery`], the context of a producer's client, which the client's own thread tells of each record.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::ProducerContext;

use super::said::Context;

/// Keeps what a producer wants to know of its records.
pub(super) trait Outcome: Default + fmt::Debug + Send + 'static {
    fn hear(&mut self, delivered: &DeliveryResult<'_>);
}

#[derive(Debug)]
pub(super) struct Delivery<T> {
    context: Context,
    outcome: Arc<Mutex<T>>,
    has_lost_a_broker: Arc<AtomicBool>,
}

/// Both share one outcome.
impl<T> Clone for Delivery<T> {
    fn clone(&self) -> Self {
        Delivery {
            context: self.context.clone(),
            outcome: self.outcome.clone(),
            has_lost_a_broker: self.has_lost_a_broker.clone(),
        }
    }
}

impl<T: Outcome> Delivery<T> {
    pub fn new(context: Context) -> Self {
        Delivery { context, outcome: Arc::default(), has_lost_a_broker: Arc::default() }
    }

    /// Whether a broker could not be connected to, since that was forgotten the last time.
    pub fn has_lost_a_broker(&self) -> bool {
        self.has_lost_a_broker.load(Ordering::Relaxed)
    }

    pub fn forget_losses(&self) {
        self.has_lost_a_broker.store(false, Ordering::Relaxed);
    }

    pub fn outcome(&self) -> MutexGuard<'_, T> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Outcome> ClientContext for Delivery<T> {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.context.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, words: &str) {
        // A connection that idled is closed by its broker, and is there again when it is needed.
        if words.contains("Connect to ") {
            self.has_lost_a_broker.store(true, Ordering::Relaxed);
        }
        self.context.error(error, words);
    }
}

impl<T: Outcome> ProducerContext for Delivery<T> {
    type DeliveryOpaque = ();

    fn delivery(&self, delivered: &DeliveryResult<'_>, _: ()) {
        self.outcome().hear(delivered);
    }
}
