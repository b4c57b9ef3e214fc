//! Text into tokens that know where they stand.
//!
//! Owns [`Token`], [`Tokens`] and the drawing of carets.
//! - I1: the tokens' spans are byte ranges of the text, in order, without overlap; the last one is
//!   [`Word::End`] and stands at the end.

use std::ops::Range;

use crate::error::{Error, Result};

/// How much of a long text an error shows around the caret.
const SHOWN_CHARS: usize = 60;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Word {
    /// A bare word: a name, or a keyword of a type.
    Bare(String),
    /// A name in backticks; `` `` `` inside stands for one.
    Quoted(String),
    Number(String),
    Symbol(char),
    End,
}

#[derive(Clone, Debug)]
pub(super) struct Token {
    pub word: Word,
    pub span: Range<usize>,
}

impl Token {
    /// The token as an error names it.
    pub fn shown(&self) -> String {
        match &self.word {
            Word::Bare(text) | Word::Number(text) => text.clone(),
            Word::Quoted(text) => format!("`{text}`"),
            Word::Symbol(symbol) => format!("'{symbol}'"),
            Word::End => "the end of the text".to_owned(),
        }
    }
}

/// The tokens of a text, and the place up to which they have been read.
pub(super) struct Tokens<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    next: usize,
}

impl<'a> Tokens<'a> {
    pub fn new(text: &'a str) -> Result<Self> {
        let mut tokens = Vec::new();
        let mut at = 0;
        while let Some(token) = next_token(text, at)? {
            at = token.span.end;
            tokens.push(token);
        }
        Ok(Tokens { text, tokens, next: 0 })
    }

    /// The token `ahead` places after the one that is read next.
    pub fn peek(&self, ahead: usize) -> Token {
        let end = Token { word: Word::End, span: self.text.len()..self.text.len() };
        self.tokens.get(self.next + ahead).cloned().unwrap_or(end)
    }

    pub fn take(&mut self) -> Token {
        let token = self.peek(0);
        self.next += 1;
        token
    }

    /// Takes a symbol if it stands next.
    pub fn take_symbol(&mut self, symbol: char) -> bool {
        let found = self.tokens.get(self.next).is_some_and(|token| token.word == Word::Symbol(symbol));
        self.next += usize::from(found);
        found
    }

    /// Takes a run of keywords, whatever their case, if all of them stand next.
    pub fn take_words(&mut self, words: &[&str]) -> bool {
        let upcoming = self.tokens.get(self.next..).unwrap_or_default();
        let found = upcoming.len() >= words.len()
            && upcoming
                .iter()
                .zip(words)
                .all(|(token, word)| matches!(&token.word, Word::Bare(bare) if bare.eq_ignore_ascii_case(word)));
        self.next += if found { words.len() } else { 0 };
        found
    }

    pub fn expect_symbol(&mut self, symbol: char) -> Result<()> {
        if self.take_symbol(symbol) {
            return Ok(());
        }
        let token = self.peek(0);
        Err(self.error(&token, format!("expected '{symbol}', found {}", token.shown())))
    }

    /// An error about a token, with a caret under it.
    pub fn error(&self, token: &Token, message: impl Into<String>) -> Error {
        error_at(self.text, &token.span, message)
    }
}

fn error_at(text: &str, span: &Range<usize>, message: impl Into<String>) -> Error {
    Error::usage(message).with_detail(caret(text, span))
}

fn next_token(text: &str, from: usize) -> Result<Option<Token>> {
    let rest = text.get(from..).unwrap_or_default();
    let start = from + (rest.len() - rest.trim_start().len());
    let rest = text.get(start..).unwrap_or_default();
    let Some(first) = rest.chars().next() else { return Ok(None) };
    let (word, length) = match first {
        '`' => quoted(rest).ok_or_else(|| {
            error_at(text, &(start..start + 1), "a name in backticks has no end").with_hint("close it with a backtick")
        })?,
        '0'..='9' => {
            let length = prefix(rest, |c| c.is_ascii_digit());
            (Word::Number(rest.get(..length).unwrap_or_default().to_owned()), length)
        }
        c if c.is_alphabetic() || c == '_' => {
            let length = prefix(rest, |c| c.is_alphanumeric() || c == '_' || c == '$');
            (Word::Bare(rest.get(..length).unwrap_or_default().to_owned()), length)
        }
        c => (Word::Symbol(c), c.len_utf8()),
    };
    Ok(Some(Token { word, span: start..start + length }))
}

/// The length of the part of a text whose characters all are of a kind.
fn prefix(text: &str, of_kind: impl Fn(char) -> bool) -> usize {
    text.find(|c| !of_kind(c)).unwrap_or(text.len())
}

/// A name in backticks at the start of a text, and its length with them.
fn quoted(text: &str) -> Option<(Word, usize)> {
    let mut name = String::new();
    let mut characters = text.char_indices().skip(1).peekable();
    while let Some((at, character)) = characters.next() {
        if character != '`' {
            name.push(character);
        } else if characters.next_if(|(_, next)| *next == '`').is_some() {
            name.push('`');
        } else {
            return Some((Word::Quoted(name), at + 1));
        }
    }
    None
}

/// Where a span stands, and its line with carets under it; a long line is cut around them.
pub fn caret(text: &str, span: &Range<usize>) -> String {
    let before = text.get(..span.start).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let line_number = before.matches('\n').count() + 1;
    let line = text.get(line_start..).unwrap_or_default().lines().next().unwrap_or_default();
    let column = text.get(line_start..span.start).unwrap_or_default().chars().count();
    let width = text.get(span.clone()).unwrap_or_default().chars().count().clamp(1, SHOWN_CHARS);

    let cut = column.saturating_sub(SHOWN_CHARS);
    let lead = if cut > 0 { "..." } else { "" };
    let shown: String = line.chars().skip(cut).take(2 * SHOWN_CHARS).collect();
    let shown = shown.replace('\t', " ");
    let tail = if line.chars().nth(cut + 2 * SHOWN_CHARS).is_some() { "..." } else { "" };
    let indent = " ".repeat(lead.len() + column - cut);
    let carets = "^".repeat(width);
    format!("at line {line_number}, column {}\n    {lead}{shown}{tail}\n    {indent}{carets}", column + 1)
}
