//! What the process says about itself on stderr: for people, or an object a line for what collects logs.
//!
//! Owns [`start`], and the form of those objects. The `json` feature of tracing-subscriber was looked at: it puts an
//! event's fields beside those of spans, of which there are none here, and gives its libraries other features.
//! - I1: a line is one JSON object: `timestamp`, `level`, `message`, `target`, then the fields, `table`, `topic`,
//!   `partition`, `reason` and `hint` among them where they apply.
//! - I2: the error that ends the process is such a line too, whatever the others are filtered by.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{IsTerminal, Write, stderr};

use serde::Serialize;
use serde_json::Value;
use tableflow_model::clock::SystemClock;
use tableflow_model::{Clock, Error};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::cli::args::{GlobalArguments, LogFormat};
use crate::output::rfc3339;

/// Our own words by -q and -v, those of the libraries from -vvv on; RUST_LOG overrules both.
pub fn start(global: &GlobalArguments) {
    let directives = match (global.quiet, global.verbose) {
        (true, _) => "error",
        (false, 0) => "warn",
        (false, 1) => "warn,tableflow=info",
        (false, 2) => "warn,tableflow=debug",
        (false, _) => "debug,tableflow=trace",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(directives));
    let colors = stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    // A log that cannot be written (its disk is full) must not stop who wrote to it: reporting that would panic.
    let log = tracing_subscriber::fmt().log_internal_errors(false).with_env_filter(filter).with_writer(stderr);
    match global.log_format {
        LogFormat::Text => log.with_ansi(colors).init(),
        LogFormat::Json => log.event_format(JsonLines).init(),
    }
}

/// Why the process ends.
pub fn report(error: &Error, format: LogFormat) {
    // Whoever closed stderr does not want to read it.
    let _ = match format {
        LogFormat::Text => writeln!(stderr(), "{}", error.report()),
        LogFormat::Json => writeln!(stderr(), "{}", Line::of(error).text()),
    };
}

#[derive(Debug, Serialize)]
struct Line {
    timestamp: Option<String>,
    level: &'static str,
    message: String,
    target: String,
    #[serde(flatten)]
    fields: BTreeMap<&'static str, Value>,
}

impl Line {
    fn new(level: &'static str, target: &str) -> Self {
        let (message, fields) = Default::default();
        Line { timestamp: rfc3339(SystemClock.now().0), level, message, target: target.to_owned(), fields }
    }

    /// I2.
    fn of(error: &Error) -> Self {
        let mut line = Line { message: error.to_string(), ..Line::new("ERROR", "tableflow") };
        let details = error.details().join("; ");
        line.fields.extend((!details.is_empty()).then(|| ("detail", details.into())));
        line.fields.extend(error.hint().map(|hint| ("hint", hint.into())));
        for name in ["table", "topic", "partition", "offset", "reason"] {
            line.fields.extend(error.context(name).map(|value| (name, value_of(name, value))));
        }
        line
    }

    fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_else(|error| format!("{{\"level\":\"ERROR\",\"message\":\"{error}\"}}"))
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            name => drop(self.fields.insert(name, value_of(name, &format!("{value:?}")))),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.insert(field.name(), value_of(field.name(), value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.fields.insert(field.name(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.fields.insert(field.name(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.fields.insert(field.name(), value.into());
    }
}

/// Places in a topic are numbers.
fn value_of(name: &str, text: &str) -> Value {
    match (name, text.parse::<i64>()) {
        ("partition" | "offset", Ok(number)) => number.into(),
        _ => text.into(),
    }
}

/// I1.
struct JsonLines;

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let about = event.metadata();
        let mut line = Line::new(about.level().as_str(), about.target());
        event.record(&mut line);
        writeln!(writer, "{}", line.text())
    }
}
