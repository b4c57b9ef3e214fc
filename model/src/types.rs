//! Flink's type words.
