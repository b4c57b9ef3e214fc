//! The servers of a Kafka cluster, each by itself, and the certificate that is shown to them.

use std::path::Path;

use tableflow_connectors::kafka::{KafkaTopics, Properties, Validity};
use tableflow_model::{Error, Result};

use super::{Check, side_by_side, within_deadline};
use crate::config::{Config, KafkaConfig};

/// A certificate that ends within so many days is to be renewed.
const DAYS_LEFT_MIN: i64 = 14;

pub async fn look(config: &Config) -> Vec<Check> {
    let Some(kafka) = &config.kafka else {
        return vec![Check::ok("topics", "embedded ones, in the data directory")];
    };
    let properties = match kafka.properties(|name| std::env::var(name).ok()) {
        Ok(properties) => properties,
        Err(error) => return vec![Check::failed("settings of [kafka]", &error)],
    };
    let servers: Vec<String> = properties.bootstrap_servers().split(',').map(|it| it.trim().to_owned()).collect();
    let looks = servers.iter().map(|server| async move {
        let check = format!("broker {server}");
        within_deadline(&check, async { Check::of(check.clone(), reach(kafka, server).await) }).await
    });
    let mut checks = side_by_side(looks.collect()).await;
    checks.extend(properties.certificate_settings().into_iter().filter_map(|(name, path)| certificate(name, path)));
    if properties.protocol().to_ascii_uppercase().ends_with("PLAINTEXT") && !properties.is_local() {
        let hint = "set security.protocol in [kafka] to SASL_SSL or SSL, unless nobody else is on that network";
        checks.push(Check::warning(
            "encryption",
            format!("none: security.protocol is {}", properties.protocol()),
            hint,
        ));
    }
    checks
}

/// The server alone: who leads partitions is found through it.
async fn reach(kafka: &KafkaConfig, server: &str) -> Result<String> {
    let (kafka, server) = (kafka.clone(), server.to_owned());
    let settings =
        move || -> Result<Properties> { Ok(kafka.properties(|name| std::env::var(name).ok())?.with_servers(&server)) };
    KafkaTopics::new(Box::new(settings))?.reach().await
}

fn certificate(name: &str, path: &str) -> Option<Check> {
    let validity = Validity::of_file(Path::new(path))?;
    let (check, detail) = (format!("certificate {path}"), format!("good until {}", validity.ends_on));
    if validity.has_ended {
        let detail = format!("it ended on {}", validity.ends_on);
        let hint = format!("renew the certificate that {name} in [kafka] names");
        return Some(Check::failed(check, &Error::usage(detail).with_hint(hint)));
    }
    let is_near = validity.days_left < DAYS_LEFT_MIN;
    let hint = "put a new one in its place: it is read without a restart";
    Some(if is_near { Check::warning(check, detail, hint) } else { Check::ok(check, detail) })
}
