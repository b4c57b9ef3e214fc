//! The servers of a Kafka cluster, each by itself, the certificate that is shown to them, what others can read on the way, and
//! the group that is told positions.

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
    let (mut checks, of_group) = tokio::join!(side_by_side(looks.collect()), group(kafka, &properties));
    checks.extend(of_group);
    checks.extend(properties.certificate_settings().into_iter().filter_map(|(name, path)| certificate(name, path)));
    checks.extend(encryption(&properties));
    checks
}

/// What is given up by a setting.
fn encryption(properties: &Properties) -> Option<Check> {
    let protocol = properties.protocol();
    if properties.has_tls() && !properties.checks_host_names() {
        let name = properties.written_as("ssl.endpoint.identification.algorithm");
        let detail = format!("nobody looks whether a server is who it says: {name} turns that off");
        let hint = format!(
            "leave {name} out of [kafka]: as it is, whoever has any certificate of the authority can pass for the cluster"
        );
        return Some(Check::warning("encryption", detail, hint));
    }
    if properties.has_tls() || properties.is_local() {
        return None;
    }
    let login = if properties.logs_in() { ", and the login is in the open" } else { "" };
    let hint = "set security.protocol in [kafka] to SASL_SSL or SSL, unless nobody else is on that network";
    Some(Check::warning("encryption", format!("none: security.protocol is {protocol}{login}"), hint))
}

/// Where there is one: may it be told?
async fn group(kafka: &KafkaConfig, properties: &Properties) -> Option<Check> {
    let check = format!("group {}", properties.group()?);
    let looked = async {
        let found = match cluster(kafka, properties.bootstrap_servers()) {
            Ok(topics) => topics.look_at_group().await.map_or_else(|| Ok("not set any more".to_owned()), |it| it.1),
            Err(error) => Err(error),
        };
        Check::of(check.clone(), found)
    };
    Some(within_deadline(&check, looked).await)
}

/// The server alone: who leads partitions is found through it.
async fn reach(kafka: &KafkaConfig, server: &str) -> Result<String> {
    cluster(kafka, server)?.reach().await
}

fn cluster(kafka: &KafkaConfig, servers: &str) -> Result<KafkaTopics> {
    let (kafka, servers) = (kafka.clone(), servers.to_owned());
    let settings =
        move || -> Result<Properties> { Ok(kafka.properties(|name| std::env::var(name).ok())?.with_servers(&servers)) };
    KafkaTopics::new(Box::new(settings))
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Settings, and what is said of them.
    type Case = (&'static [(&'static str, &'static str)], Option<&'static str>);

    #[test]
    fn what_is_given_up_on_the_way_is_a_warning() {
        const LOGIN: (&str, &str) = ("sasl.mechanism", "PLAIN");
        const ALOUD: (&str, &str) = ("allow_login_without_tls", "true");
        const NAMES: &str = "ssl.endpoint.identification.algorithm";
        let cases: [Case; 7] = [
            (&[("security.protocol", "PLAINTEXT")], Some("none: security.protocol is PLAINTEXT")),
            (
                &[("security.protocol", "SASL_PLAINTEXT"), LOGIN, ALOUD],
                Some("none: security.protocol is SASL_PLAINTEXT, and the login is in the open"),
            ),
            (&[("security.protocol", "ssl")], None),
            (&[("security.protocol", "SASL_SSL"), LOGIN], None),
            (
                &[("security.protocol", "SSL"), (NAMES, "")],
                Some("ssl.endpoint.identification.algorithm turns that off"),
            ),
            (&[("security.protocol", "SSL"), (NAMES, "None")], Some("identification.algorithm turns that off")),
            (&[("security.protocol", "SSL"), (NAMES, "https")], None),
        ];
        for (settings, expected) in cases {
            let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
            let mut written: BTreeMap<_, _> = settings.iter().map(owned).collect();
            written.insert("bootstrap.servers".to_owned(), "kafka:9092".to_owned());
            let check = encryption(&Properties::new(&written).unwrap());
            let detail = check.as_ref().map(|check| check.detail.clone().unwrap());
            let ends_so = |words: &str| detail.as_ref().is_some_and(|detail| detail.ends_with(words));
            assert!(expected.map_or(detail.is_none(), ends_so), "{settings:?}: {detail:?}");
        }
    }
}
