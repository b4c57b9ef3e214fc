//! Words that are more than text: names of tables, addresses.
//!
//! - I1: a [`TableReference`] names exactly one of the tables there are, or is refused with the candidates.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use tableflow_model::{Error, Result, TableName};

/// `namespace.name`, `namespace."na.me"`, or a bare name where it is unique.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableReference(String);

impl FromStr for TableReference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text.trim().is_empty() {
            return Err(Error::usage("a table is namespace.name, or a bare name"));
        }
        Ok(TableReference(text.trim().to_owned()))
    }
}

impl TableReference {
    /// As it was typed.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// The one table that is meant (I1).
    pub fn resolve<'a>(&self, tables: impl IntoIterator<Item = &'a TableName>) -> Result<TableName> {
        let tables: Vec<&TableName> = tables.into_iter().collect();
        if let Some(exact) = tables.iter().find(|table| table.to_string() == self.0) {
            return Ok((*exact).clone());
        }
        let found: Vec<&TableName> = tables.iter().copied().filter(|table| self.may_mean(table)).collect();
        match found.as_slice() {
            [] => Err(self.not_found(&tables)),
            [one] => Ok((*one).clone()),
            several => {
                let names: Vec<String> = several.iter().map(ToString::to_string).collect();
                Err(Error::usage(format!("{} may be {}", self.0, names.join(" or ")))
                    .with_hint("write the whole name, quoted as above"))
            }
        }
    }

    /// The same of a table of which only its `namespace.name` is known.
    pub fn may_mean_text(&self, plain: &str) -> bool {
        plain == self.0 || plain.split_once('.').is_some_and(|(_, name)| name == self.0)
    }

    fn may_mean(&self, table: &TableName) -> bool {
        table.name() == self.0 || table.to_plain_string() == self.0
    }

    fn not_found(&self, tables: &[&TableName]) -> Error {
        let error = Error::not_found(format!("there is no table {}", self.0));
        let distance = |table: &&TableName| {
            strsim::damerau_levenshtein(table.name(), &self.0)
                .min(strsim::damerau_levenshtein(&table.to_plain_string(), &self.0))
        };
        // Two slips of the finger are a misspelling, more is another name.
        match tables.iter().copied().min_by_key(distance).filter(|table| distance(table) <= 2) {
            Some(close) => error.with_hint(format!("did you mean {close}?")),
            None => error.with_hint("tableflow list shows the tables"),
        }
    }
}

/// A value of ours; clap shows an error's line only, so the hint goes into it.
pub(super) fn with_hint<T: FromStr<Err = Error>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: Error| match error.hint() {
        Some(hint) => format!("{error}; {hint}"),
        None => error.to_string(),
    })
}

/// Of several with commas between them, and spaces perhaps.
pub(super) fn column(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("a name is missing".to_owned()),
        name => Ok(name.to_owned()),
    }
}

/// A port of this machine alone, `localhost:port`, or an address and a port.
pub(super) fn listen_address(text: &str) -> Result<SocketAddr, String> {
    const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let port = text.strip_prefix("localhost:").or_else(|| text.strip_prefix(':')).unwrap_or(text);
    match port.parse() {
        Ok(port) => Ok(SocketAddr::new(LOCALHOST, port)),
        Err(_) => {
            text.parse().map_err(|_| "write a port such as 8080, or an address such as 127.0.0.1:8080".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_is_this_machines() {
        for text in ["8080", ":8080", "localhost:8080", "127.0.0.1:8080"] {
            assert_eq!(listen_address(text).unwrap().to_string(), "127.0.0.1:8080", "{text}");
        }
        assert_eq!(listen_address("[::1]:80").unwrap().to_string(), "[::1]:80");
        for text in ["", "host", "example.com:80", "65536", "127.0.0.1"] {
            assert!(listen_address(text).unwrap_err().contains("127.0.0.1:8080"), "{text}");
        }
    }

    fn resolve(text: &str) -> Result<String> {
        let tables = [("bronze", "orders"), ("gold", "orders"), ("bronze", "a.b"), ("a", "b"), ("gold", "sales")]
            .map(|(namespace, name)| TableName::new(namespace, name).unwrap());
        text.parse::<TableReference>()?.resolve(&tables).map(|table| table.to_string())
    }

    #[test]
    fn i1_a_reference_names_one_table() {
        let cases = [
            ("gold.orders", "gold.orders"),
            ("sales", "gold.sales"),
            ("bronze.a.b", "bronze.\"a.b\""),
            ("bronze.\"a.b\"", "bronze.\"a.b\""),
            ("b", "a.b"),
            ("a.b", "a.b"),
        ];
        for (text, table) in cases {
            assert_eq!(resolve(text).unwrap(), table, "{text}");
        }
    }

    #[test]
    fn i1_or_is_refused_with_the_candidates() {
        let error = resolve("orders").unwrap_err();
        assert_eq!(error.message(), "orders may be bronze.orders or gold.orders");
        let error = resolve("gold.salse").unwrap_err();
        assert_eq!(error.report(), "error: there is no table gold.salse\n  hint: did you mean gold.sales?");
        assert_eq!(resolve("nothing").unwrap_err().hint(), Some("tableflow list shows the tables"));
        assert!(resolve(" ").is_err());
    }
}
