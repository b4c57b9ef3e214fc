//! The servers that a client begins with.

use std::ffi::CString;

use rdkafka::consumer::BaseConsumer;
use rdkafka_sys as sys;

use super::handle;
use crate::kafka::said::Context;

/// Tells a client once more where its cluster is. It goes there if it knows no other way.
pub(in crate::kafka) fn tell_servers(client: &BaseConsumer<Context>, servers: &str) {
    let Ok(servers) = CString::new(servers) else { return };
    // SAFETY: the client outlives the call, which copies the text.
    unsafe {
        sys::rd_kafka_brokers_add(handle(client), servers.as_ptr());
    }
}
