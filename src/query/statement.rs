//! Text to one statement that the planner understands as it was meant.
//!
//! - I1: time-travel clauses are taken out of the statement and kept beside it; one that cannot be understood is
//!   an error.
//! - I2: clauses that the planner would drop without a word are refused.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, GroupByExpr, ObjectNamePart, Query, Select, SetExpr, Statement, TableFactor, TableVersion, Value, VisitMut,
    VisitorMut,
};
use datafusion::sql::sqlparser::parser::Parser;
use tableflow_model::types::caret;
use tableflow_model::{Error, Result};

use super::dialect::{BatchDialect, tokenize};
use super::travel::{Point, Travel};

/// The deepest nesting of parentheses and operators; the parser refuses more instead of running out of stack.
const DEPTH_MAX: usize = 60;

/// A text longer than this is no statement that a person meant.
const TEXT_BYTES_MAX: usize = 4 * 1024 * 1024;

const QUOTE_NAMES: &str = "a name with dots, dashes or blanks is written in double quotes: \"my-topic\"";

/// Exactly one statement.
pub fn parse(sql: &str) -> Result<Statement> {
    if sql.len() > TEXT_BYTES_MAX {
        return Err(Error::usage(format!("the SQL text is longer than {TEXT_BYTES_MAX} bytes"))
            .with_hint("run it in parts; lists of values belong into a topic of their own, to be joined"));
    }
    let tokens = tokenize(sql)?;
    let mut parser = Parser::new(&BatchDialect).with_recursion_limit(DEPTH_MAX).with_tokens_with_locations(tokens);
    let statements = parser.parse_statements().map_err(|error| not_sql(sql, &error.to_string()))?;
    let count = statements.len();
    match <[Statement; 1]>::try_from(statements) {
        Ok([statement]) => Ok(statement),
        Err(_) if count == 0 => Err(Error::usage("the text holds no statement").with_hint("write a SELECT")),
        Err(_) => Err(Error::usage(format!("the text holds {count} statements, one is expected"))
            .with_hint("run them one by one")),
    }
}

/// The parser's words, and the place in the text that they are about.
fn not_sql(sql: &str, words: &str) -> Error {
    let words = words.strip_prefix("sql parser error: ").unwrap_or(words);
    let error = Error::usage("the SQL text cannot be understood");
    let place = words.rsplit_once(" at Line: ").and_then(|(said, place)| {
        let (line, column) = place.split_once(", Column: ")?;
        Some((said, line.parse::<usize>().ok()?, column.parse::<usize>().ok()?))
    });
    let Some((said, line, column)) = place else { return error.with_detail(words).with_hint(QUOTE_NAMES) };
    let before: usize = sql.split_inclusive('\n').take(line - 1).map(str::len).sum();
    let rest = sql.get(before..).unwrap_or_default();
    let start = before + rest.chars().take(column - 1).map(char::len_utf8).sum::<usize>();
    let word = sql.get(start..).unwrap_or_default();
    let word = word.find(|c: char| !c.is_alphanumeric() && c != '_').map_or(word.len(), |end| end.max(1));
    error
        .with_detail(format!("{said}, {}", caret(sql, &(start..(start + word).min(sql.len())))))
        .with_hint(hint_behind(sql.get(..start).unwrap_or_default()))
}

/// What mostly helps, given what was read before the error.
fn hint_behind(read: &str) -> &'static str {
    let mut words = read.split_ascii_whitespace().rev().map(str::to_ascii_lowercase);
    match [words.next(), words.next(), words.next()].map(Option::unwrap_or_default).each_ref().map(String::as_str) {
        ["of", "as", "version"] => "`tableflow history` lists the snapshot ids; a time goes with FOR SYSTEM_TIME AS OF",
        _ => QUOTE_NAMES,
    }
}

/// Takes the time-travel clauses out of a statement (I1); tables without one are read at `as_of`.
pub fn take_travel(statement: &mut Statement, as_of: Option<Point>) -> Result<Travel> {
    let mut visitor = TravelVisitor { travel: Travel::with_default(as_of) };
    match statement.visit(&mut visitor) {
        ControlFlow::Continue(()) => Ok(visitor.travel),
        ControlFlow::Break(error) => Err(error),
    }
}

struct TravelVisitor {
    travel: Travel,
}

impl VisitorMut for TravelVisitor {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        match dropped_from_query(query) {
            Some(clause) => ControlFlow::Break(not_understood(clause)),
            None => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Error> {
        if let Some(clause) = dropped_from_table(factor) {
            return ControlFlow::Break(not_understood(clause));
        }
        let TableFactor::Table { name, alias, version, .. } = factor else { return ControlFlow::Continue(()) };
        let Some(clause) = version.take() else { return ControlFlow::Continue(()) };
        let point = match point(&clause) {
            Ok(point) => point,
            Err(error) => return ControlFlow::Break(error),
        };
        let Some(ObjectNamePart::Identifier(last)) = name.0.last_mut() else { return ControlFlow::Continue(()) };
        if alias.is_none() {
            *alias = Some(datafusion::sql::sqlparser::ast::TableAlias {
                explicit: true,
                name: last.clone(),
                columns: Vec::new(),
            });
        }
        last.value = self.travel.mark(&last.value, point);
        ControlFlow::Continue(())
    }
}

fn not_understood(clause: &str) -> Error {
    Error::usage(format!("{clause} is not understood here")).with_hint("leave it out")
}

/// I2.
fn dropped_from_query(query: &Query) -> Option<&'static str> {
    let clauses = [
        (!query.locks.is_empty(), "FOR UPDATE or FOR SHARE"),
        (query.for_clause.is_some(), "FOR XML, JSON or BROWSE"),
        (query.settings.is_some(), "SETTINGS"),
        (query.format_clause.is_some(), "FORMAT"),
    ];
    let mut found = first_of(&clauses);
    let mut sides = vec![query.body.as_ref()];
    while let (None, Some(side)) = (found, sides.pop()) {
        match side {
            SetExpr::Select(select) => found = dropped_from_select(select),
            SetExpr::SetOperation { left, right, .. } => sides.extend([left.as_ref(), right.as_ref()]),
            _ => {}
        }
    }
    found
}

fn dropped_from_select(select: &Select) -> Option<&'static str> {
    first_of(&[
        (select.prewhere.is_some(), "PREWHERE"),
        (!select.connect_by.is_empty(), "CONNECT BY"),
        (!select.distribute_by.is_empty(), "DISTRIBUTE BY"),
        (select.into.is_some(), "INTO"),
        (select.value_table_mode.is_some(), "SELECT AS VALUE or STRUCT"),
        (has_modifiers(&select.group_by), "WITH ROLLUP, CUBE or TOTALS behind GROUP BY"),
        (select.select_modifiers.is_some(), "a modifier of SELECT"),
    ])
}

fn has_modifiers(group_by: &GroupByExpr) -> bool {
    let (GroupByExpr::All(modifiers) | GroupByExpr::Expressions(_, modifiers)) = group_by;
    !modifiers.is_empty()
}

fn dropped_from_table(factor: &TableFactor) -> Option<&'static str> {
    if let TableFactor::Derived { sample: Some(_), .. } = factor {
        return Some("TABLESAMPLE");
    }
    let TableFactor::Table { sample, with_hints, partitions, index_hints, json_path, with_ordinality, .. } = factor
    else {
        return None;
    };
    first_of(&[
        (*with_ordinality, "WITH ORDINALITY"),
        (sample.is_some(), "TABLESAMPLE"),
        (!with_hints.is_empty(), "WITH (..)"),
        (!partitions.is_empty(), "PARTITION (..)"),
        (!index_hints.is_empty(), "an index hint"),
        (json_path.is_some(), "a JSON path"),
    ])
}

fn first_of(clauses: &[(bool, &'static str)]) -> Option<&'static str> {
    clauses.iter().find(|(is_there, _)| *is_there).map(|(_, clause)| *clause)
}

fn point(clause: &TableVersion) -> Result<Point> {
    let (TableVersion::ForSystemTimeAsOf(expression)
    | TableVersion::TimestampAsOf(expression)
    | TableVersion::VersionAsOf(expression)
    | TableVersion::Function(expression)) = clause;
    let text = match expression {
        Expr::Value(value) => match &value.value {
            Value::Number(text, _) | Value::SingleQuotedString(text) => Some(text.clone()),
            _ => None,
        },
        Expr::TypedString(typed) => match &typed.value.value {
            Value::SingleQuotedString(text) => Some(text.clone()),
            _ => None,
        },
        _ => None,
    };
    match (clause, text) {
        (TableVersion::VersionAsOf(_), Some(text)) => Point::of_version(&text),
        (TableVersion::ForSystemTimeAsOf(_) | TableVersion::TimestampAsOf(_), Some(text)) => Point::of_time(&text),
        _ => Err(Error::usage(format!("{clause} is not understood"))
            .with_hint("write FOR SYSTEM_TIME AS OF '2026-01-31T12:00:00Z' or FOR VERSION AS OF <snapshot id>")),
    }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::ast::visit_relations;

    use super::*;

    /// What the statement's tables are read at.
    fn points(clause: &str) -> Result<Vec<Option<Point>>> {
        let mut statement = parse(&format!("select * from clicks {clause}"))?;
        let travel = take_travel(&mut statement, None)?;
        let mut found = Vec::new();
        let _ = visit_relations(&statement, |name| {
            let name = name.0.last().and_then(ObjectNamePart::as_ident).unwrap();
            found.push(travel.find(&name.value).unwrap().1);
            ControlFlow::<()>::Continue(())
        });
        Ok(found)
    }

    #[test]
    fn i1_a_clause_is_the_point_that_it_names() {
        let (snapshot, time) = (Point::Snapshot(4_511_836_127_356_128_302), Point::TimeMs(1_767_225_600_000));
        for (clause, point) in [
            ("", None),
            ("for version as of 4511836127356128302", Some(snapshot)),
            ("version as of 4511836127356128302 as c", Some(snapshot)),
            ("for version as of '4511836127356128302'", Some(snapshot)),
            ("VERSION /* the first */ AS OF\n'4511836127356128302' c", Some(snapshot)),
            ("for system_time as of '2026-01-01'", Some(time)),
            ("for timestamp as of timestamp '2026-01-01 00:00:00'", Some(time)),
        ] {
            assert_eq!(points(clause).unwrap(), [point], "{clause}");
        }
    }

    #[test]
    fn i1_a_clause_of_the_other_kind_is_refused() {
        for clause in [
            "for version as of 'main'",
            "for version as of '2026-01-01'",
            "for version as of ''",
            "for version as of 99999999999999999999",
            "for version as of '99999999999999999999'",
            "for system_time as of '4511836127356128302'",
            "timestamp as of 4511836127356128302",
        ] {
            assert_eq!(points(clause).unwrap_err().kind(), tableflow_model::ErrorKind::Usage, "{clause}");
        }
    }
}
