//! The batch dialect: DataFusion's generic one with time travel, and identifiers in double quotes or backticks.

use datafusion::sql::sqlparser::dialect::{Dialect, GenericDialect};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};
use tableflow_model::{Error, Result};

#[derive(Debug)]
pub struct BatchDialect;

/// What GenericDialect answers, where DataFusion's own SQL needs it.
const GENERIC: GenericDialect = GenericDialect {};

impl Dialect for BatchDialect {
    fn is_delimited_identifier_start(&self, c: char) -> bool {
        c == '"' || c == '`'
    }

    fn is_identifier_start(&self, c: char) -> bool {
        GENERIC.is_identifier_start(c)
    }

    fn is_identifier_part(&self, c: char) -> bool {
        GENERIC.is_identifier_part(c)
    }

    fn supports_table_versioning(&self) -> bool {
        true
    }

    fn supports_unicode_string_literal(&self) -> bool {
        GENERIC.supports_unicode_string_literal()
    }

    fn supports_group_by_expr(&self) -> bool {
        true
    }

    fn supports_group_by_with_modifier(&self) -> bool {
        true
    }

    fn supports_filter_during_aggregation(&self) -> bool {
        true
    }

    fn supports_window_clause_named_window_reference(&self) -> bool {
        true
    }

    fn supports_dictionary_syntax(&self) -> bool {
        true
    }

    fn support_map_literal_syntax(&self) -> bool {
        true
    }

    fn supports_select_wildcard_except(&self) -> bool {
        true
    }

    fn supports_limit_comma(&self) -> bool {
        true
    }

    fn supports_from_first_select(&self) -> bool {
        true
    }

    fn supports_parenthesized_set_variables(&self) -> bool {
        true
    }
}

/// The tokens of a text as the parser takes them: `FOR VERSION AS OF` and `FOR TIMESTAMP AS OF` become its own
/// `VERSION AS OF` and `TIMESTAMP AS OF`, and a version in quotes becomes the number that it is.
pub fn tokenize(sql: &str) -> Result<Vec<TokenWithSpan>> {
    let tokens = Tokenizer::new(&BatchDialect, sql).tokenize_with_location();
    let mut tokens =
        tokens.map_err(|error| Error::usage("the SQL text cannot be read").with_detail(error.to_string()))?;
    let words: Vec<(usize, Keyword)> = tokens
        .iter()
        .enumerate()
        .filter(|(_, token)| !matches!(token.token, Token::Whitespace(_)))
        .map(|(position, token)| (position, keyword(&token.token)))
        .collect();
    let mut superfluous = Vec::new();
    for window in words.windows(4) {
        match window {
            [(at, Keyword::FOR), (_, Keyword::VERSION | Keyword::TIMESTAMP), (_, Keyword::AS), (_, Keyword::OF)] => {
                superfluous.push(*at);
            }
            [(_, Keyword::VERSION), (_, Keyword::AS), (_, Keyword::OF), (version, _)] => {
                tokens.get_mut(*version).into_iter().for_each(unquote_number);
            }
            _ => {}
        }
    }
    for position in superfluous.into_iter().rev() {
        tokens.remove(position);
    }
    Ok(tokens)
}

fn unquote_number(token: &mut TokenWithSpan) {
    if let Token::SingleQuotedString(text) = &token.token
        && !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_digit())
    {
        token.token = Token::Number(text.clone(), false);
    }
}

fn keyword(token: &Token) -> Keyword {
    match token {
        Token::Word(word) => word.keyword,
        _ => Keyword::NoKeyword,
    }
}
