//! A `client.properties` file, by the rules of Java's `Properties`.
//!
//! - I1: names and values are what Java reads there, but for spaces at the end of a line, which nobody means.

use std::collections::BTreeMap;

/// `name=value`, `name: value` or `name value` a line; `#` and `!` begin comments, a `\` at the end joins the next line.
pub(super) fn parse(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let (mut joined, mut goes_on) = (String::new(), false);
    for line in text.lines() {
        let line = line.trim_start();
        if !goes_on && (line.is_empty() || line.starts_with(['#', '!'])) {
            continue;
        }
        let backslashes = line.chars().rev().take_while(|letter| *letter == '\\').count();
        goes_on = backslashes % 2 == 1;
        joined.push_str(if goes_on { line.strip_suffix('\\').unwrap_or(line) } else { line });
        if !goes_on {
            found.extend([setting(&std::mem::take(&mut joined))]);
        }
    }
    if !joined.is_empty() {
        found.extend([setting(&joined)]);
    }
    found
}

fn setting(line: &str) -> (String, String) {
    let mut is_escaped = false;
    let end = line.find(|letter: char| {
        let ends = !is_escaped && (letter.is_whitespace() || matches!(letter, '=' | ':'));
        is_escaped = letter == '\\' && !is_escaped;
        ends
    });
    let (name, rest) = line.split_at(end.unwrap_or(line.len()));
    let rest = rest.trim_start();
    let value = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (unescaped(name), unescaped(value.trim()))
}

fn unescaped(text: &str) -> String {
    let mut found = String::new();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            found.push(letter);
            continue;
        }
        match letters.next() {
            Some('t') => found.push('\t'),
            Some('n') => found.push('\n'),
            Some('r') => found.push('\r'),
            Some('f') => found.push('\u{c}'),
            Some('u') => {
                let digits: String = letters.by_ref().take(4).collect();
                let letter = u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32);
                found.push(letter.unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            Some(letter) => found.push(letter),
            None => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `java.util.Properties` reads in these lines.
    #[test]
    fn i1_a_file_is_read_as_java_does() {
        let text = "# cluster\n! old\nbootstrap.servers = a:1,\\\n  b:2\nsasl.mechanism:PLAIN\n\nempty=\n  ssl.key.password = x=y \n\
                    a\\:b=c\\:d\\=e\nx y z\nlist=1,\\\n   2,\\\n\n3=4\nback=a\\\\b\\\nnext\nletter=\\u00e9\\t|\\q\n#c\\\nq=1\nlast\n\
                    joined=a\\\n#b\nw \\= = 1\nd==2\n\\#h=1\nend=x\\";
        let expected = [
            ("bootstrap.servers", "a:1,b:2"),
            ("sasl.mechanism", "PLAIN"),
            ("empty", ""),
            ("ssl.key.password", "x=y"),
            ("a:b", "c:d=e"),
            ("x", "y z"),
            ("list", "1,2,"),
            ("3", "4"),
            ("back", "a\\bnext"),
            ("letter", "é\t|q"),
            ("q", "1"),
            ("last", ""),
            ("joined", "a#b"),
            ("w", "= = 1"),
            ("d", "=2"),
            ("#h", "1"),
            ("end", "x"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(parse(text), BTreeMap::from(expected));
    }
}
