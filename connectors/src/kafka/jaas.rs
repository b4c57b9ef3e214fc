//! Java's way to write a login: `sasl.jaas.config`.
//!
//! - I1: no value is printed, whatever is wrong with the text.

use tableflow_model::{Error, Result};

/// What a login is in librdkafka's settings: `some.LoginModule required name="value" ..;`. The module says which
/// settings its options are.
pub(super) fn jaas(text: &str) -> Result<Vec<(&'static str, String)>> {
    let malformed = || {
        Error::usage("sasl.jaas.config of [kafka] cannot be understood").with_hint(
            "it looks like `org.apache.kafka.common.security.plain.PlainLoginModule required username=\"..\" \
             password=\"..\";`; sasl.username and sasl.password say the same",
        )
    };
    let module = text.split_whitespace().next().unwrap_or_default();
    let options = jaas_options(text).ok_or_else(malformed)?;
    let names: &[(&str, &str)] = match module.rsplit('.').next().unwrap_or_default() {
        "PlainLoginModule" | "ScramLoginModule" => &[("username", "sasl.username"), ("password", "sasl.password")],
        "OAuthBearerLoginModule" => &[
            ("clientId", "sasl.oauthbearer.client.id"),
            ("clientSecret", "sasl.oauthbearer.client.secret"),
            ("scope", "sasl.oauthbearer.scope"),
        ],
        _ => return Err(malformed()),
    };
    let extensions: Vec<String> = options
        .iter()
        .filter_map(|(name, value)| Some(format!("{}={value}", name.strip_prefix("extension_")?)))
        .collect();
    let mut found = Vec::new();
    for (name, value) in &options {
        if let Some((_, ours)) = names.iter().find(|(java, _)| java == name) {
            found.push((*ours, value.clone()));
        } else if !name.starts_with("extension_") {
            return Err(malformed().with_detail(format!("the module has no option {name}")));
        }
    }
    if names.len() > 2 {
        found.push(("sasl.oauthbearer.method", "oidc".to_owned()));
        if !extensions.is_empty() {
            found.push(("sasl.oauthbearer.extensions", extensions.join(",")));
        }
    }
    Ok(found)
}

/// How much the module's word counts among others: it is the only one here.
const FLAGS: [&str; 4] = ["required", "requisite", "sufficient", "optional"];

/// Names and values of a login module's options; values may be in quotes of either kind, with a `\` before such a one inside.
fn jaas_options(text: &str) -> Option<Vec<(String, String)>> {
    let (_, rest) = text.trim_start().split_once(char::is_whitespace)?;
    let (flag, mut rest) = rest.trim_start().split_once(char::is_whitespace)?;
    FLAGS.iter().find(|known| flag.eq_ignore_ascii_case(known))?;
    let mut options = Vec::new();
    loop {
        rest = rest.trim_start();
        if rest.is_empty() || rest == ";" {
            return Some(options);
        }
        let (name, after) = rest.split_once('=')?;
        let after = after.trim_start();
        let (value, left) = match after.chars().next() {
            Some(quote @ ('"' | '\'')) => quoted_value(after.get(1..)?, quote)?,
            _ => {
                let end = after.find(|letter: char| letter.is_whitespace() || letter == ';').unwrap_or(after.len());
                let (value, left) = after.split_at_checked(end)?;
                (value.to_owned(), left)
            }
        };
        options.push((name.trim().to_owned(), value));
        rest = left;
    }
}

/// Up to the closing quote, and what follows it.
fn quoted_value(text: &str, quote: char) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            letter if letter == quote => return Some((value, text.get(at + 1..)?)),
            '\\' => value.push(letters.next()?.1),
            letter => value.push(letter),
        }
    }
    None
}
