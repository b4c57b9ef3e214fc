//! Metrics as text, in Prometheus' format 0.0.4.
//!
//! Owns [`Exposition`], and [`Labels`], made once for all lines of a table. The recorder of metrics-exporter-prometheus
//! was looked at: it can neither forget one table nor read many figures at one moment; its words for types and its
//! escapes serve.
//! - I1: the lines of a metric stand together, behind its help and its type, and each of its lines has other labels.

use std::fmt::{Display, Write};

use metrics_exporter_prometheus::formatting::{sanitize_label_value, write_help_line, write_type_line};

use crate::pipeline::histogram::Histogram;

/// A metric: what it is called, what it is, what it means.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    pub name: &'static str,
    pub kind: &'static str,
    pub help: &'static str,
}

impl Family {
    pub const fn counter(name: &'static str, help: &'static str) -> Self {
        Family { name, kind: "counter", help }
    }

    pub const fn gauge(name: &'static str, help: &'static str) -> Self {
        Family { name, kind: "gauge", help }
    }

    pub const fn histogram(name: &'static str, help: &'static str) -> Self {
        Family { name, kind: "histogram", help }
    }
}

/// `name="value",..`, escaped.
#[derive(Clone, Debug, Default)]
pub struct Labels(String);

impl Labels {
    #[must_use]
    pub fn and(&self, name: &str, value: impl Display) -> Self {
        let separator = if self.0.is_empty() { "" } else { "," };
        let value = sanitize_label_value(&value.to_string());
        Labels(format!("{}{separator}{name}=\"{value}\"", self.0))
    }
}

/// The text of a scrape, as it grows.
#[derive(Debug, Default)]
pub struct Exposition(String);

impl Exposition {
    /// Begins a metric, if it has lines (I1).
    pub fn family<'a>(&mut self, family: Family, lines: impl IntoIterator<Item = (&'a Labels, f64)>) {
        let mut lines = lines.into_iter().peekable();
        if lines.peek().is_none() {
            return;
        }
        self.head(family);
        for (labels, value) in lines {
            self.line(family.name, labels, value);
        }
    }

    pub fn histograms<'a>(
        &mut self,
        family: Family,
        histograms: impl IntoIterator<Item = (&'a Labels, &'a Histogram)>,
    ) {
        let mut histograms = histograms.into_iter().peekable();
        if histograms.peek().is_none() {
            return;
        }
        self.head(family);
        let (bucket, sum, count) = ["_bucket", "_sum", "_count"].map(|part| format!("{}{part}", family.name)).into();
        for (labels, histogram) in histograms {
            for (bound, within) in histogram.buckets() {
                self.line(&bucket, &labels.and("le", bound), within);
            }
            self.line(&bucket, &labels.and("le", "+Inf"), histogram.count());
            self.line(&sum, labels, histogram.sum());
            self.line(&count, labels, histogram.count());
        }
    }

    fn head(&mut self, family: Family) {
        write_help_line(&mut self.0, family.name, None, None, family.help);
        write_type_line(&mut self.0, family.name, None, None, family.kind);
    }

    fn line(&mut self, name: &str, Labels(labels): &Labels, value: impl Display) {
        let (open, close) = if labels.is_empty() { ("", "") } else { ("{", "}") };
        // A String takes whatever is written to it.
        let _ = writeln!(self.0, "{name}{open}{labels}{close} {value}");
    }

    pub fn text(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i1_lines_stand_behind_their_head_and_labels_are_escaped() {
        let mut exposition = Exposition::default();
        let labels = Labels::default().and("table", "a\\b\"c\nd").and("topic", "t");
        exposition.family(Family::counter("n_total", "how many"), [(&labels, 3.0), (&Labels::default(), 0.5)]);
        exposition.family(Family::gauge("none", "never seen"), []);
        let mut histogram = Histogram::new(&[0.5, 10.0]);
        [0.25, 4.0].into_iter().for_each(|value| histogram.observe(value));
        exposition.histograms(Family::histogram("h_seconds", "how long"), [(&Labels::default(), &histogram)]);
        let expected = r#"# HELP n_total how many
# TYPE n_total counter
n_total{table="a\\b\"c\nd",topic="t"} 3
n_total 0.5
# HELP h_seconds how long
# TYPE h_seconds histogram
h_seconds_bucket{le="0.5"} 1
h_seconds_bucket{le="10"} 2
h_seconds_bucket{le="+Inf"} 2
h_seconds_sum 4.25
h_seconds_count 2
"#;
        assert_eq!(exposition.text(), expected);
    }
}
