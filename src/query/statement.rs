//! Text to one statement that the planner understands as it was meant.
//!
//! - I1: time-travel clauses are taken out of the statement and kept beside it; one that cannot be understood is
//!   an error.
//! - I2: an unquoted name that matches nothing as it stands is taken for the one column or table that it matches
//!   without case; two matches are an error.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, ObjectName, ObjectNamePart, Statement, TableFactor, TableVersion, Value, VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::parser::Parser;
use tableflow_model::{Error, Result, TableName};

use super::dialect::{BatchDialect, tokenize};
use super::travel::{Point, Travel};

/// The deepest nesting of parentheses and operators; the parser refuses more instead of running out of stack.
const DEPTH_MAX: usize = 60;

/// A text longer than this is no statement that a person meant.
const TEXT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Exactly one statement.
pub fn parse(sql: &str) -> Result<Statement> {
    if sql.len() > TEXT_BYTES_MAX {
        return Err(Error::usage(format!("the SQL text is longer than {TEXT_BYTES_MAX} bytes")));
    }
    let tokens = tokenize(sql)?;
    let mut parser = Parser::new(&BatchDialect).with_recursion_limit(DEPTH_MAX).with_tokens_with_locations(tokens);
    let statements = parser
        .parse_statements()
        .map_err(|error| Error::usage("the SQL text cannot be understood").with_detail(error.to_string()))?;
    let count = statements.len();
    match <[Statement; 1]>::try_from(statements) {
        Ok([statement]) => Ok(statement),
        Err(_) => Err(Error::usage(format!("the text holds {count} statements, one is expected"))),
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

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Error> {
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

/// The names that exist: tables, and the columns of the tables a statement uses.
#[derive(Debug, Default)]
pub struct Names {
    tables: BTreeSet<(String, String)>,
    columns: BTreeMap<String, BTreeSet<String>>,
}

impl Names {
    pub fn of_tables<'a>(tables: impl Iterator<Item = &'a TableName>) -> Self {
        let tables = tables.map(|table| (table.namespace().to_owned(), table.name().to_owned())).collect();
        Names { tables, columns: BTreeMap::new() }
    }

    pub fn add_column(&mut self, name: &str) {
        self.columns.entry(name.to_lowercase()).or_default().insert(name.to_owned());
    }

    fn column(&self, name: &str) -> Result<Option<&str>> {
        let Some(spellings) = self.columns.get(&name.to_lowercase()) else { return Ok(None) };
        let exact = spellings.get(name).or_else(|| spellings.get(&name.to_lowercase()));
        match (exact, spellings.len()) {
            (Some(exact), _) => Ok(Some(exact)),
            (None, 1) => Ok(spellings.first().map(String::as_str)),
            _ => Err(ambiguous("column", name, spellings.iter().cloned())),
        }
    }

    /// The namespace and name of a table as written: one part or two.
    fn table(&self, parts: &[&str]) -> Result<Option<(String, String)>> {
        let same = |a: &str, b: &str| a == b;
        let alike = |a: &str, b: &str| a.to_lowercase() == b.to_lowercase();
        for equal in [&same as &dyn Fn(&str, &str) -> bool, &alike] {
            let fits = |(namespace, name): &&(String, String)| match parts {
                [only] => equal(only, name),
                [space, last] => equal(space, namespace) && equal(last, name),
                _ => false,
            };
            let found: Vec<_> = self.tables.iter().filter(fits).collect();
            match found.as_slice() {
                [] => {}
                [one] => return Ok(Some((*one).clone())),
                several => {
                    let names = several.iter().map(|(namespace, name)| format!("{namespace}.{name}"));
                    return Err(ambiguous("table", &parts.join("."), names));
                }
            }
        }
        Ok(None)
    }
}

fn ambiguous(what: &str, name: &str, matches: impl Iterator<Item = String>) -> Error {
    Error::usage(format!("{what} {name} is ambiguous"))
        .with_detail(format!("it matches {}", matches.collect::<Vec<_>>().join(", ")))
        .with_hint("write the name in double quotes, exactly as it is")
}

/// Writes every table name out in full, and says which tables those are.
pub fn resolve_tables(statement: &mut Statement, names: &Names) -> Result<Vec<TableName>> {
    let mut visitor = TableVisitor { names, found: Vec::new() };
    match statement.visit(&mut visitor) {
        ControlFlow::Continue(()) => Ok(visitor.found),
        ControlFlow::Break(error) => Err(error),
    }
}

struct TableVisitor<'a> {
    names: &'a Names,
    found: Vec<TableName>,
}

impl VisitorMut for TableVisitor<'_> {
    type Break = Error;

    fn pre_visit_relation(&mut self, relation: &mut ObjectName) -> ControlFlow<Error> {
        let idents: Vec<&Ident> = relation.0.iter().filter_map(ObjectNamePart::as_ident).collect();
        let written: Vec<&str> = idents.iter().map(|ident| ident.value.as_str()).collect();
        let Some((last, before)) = written.split_last() else { return ControlFlow::Continue(()) };
        let (own_name, mark) = Travel::split(last);
        let parts: Vec<&str> = before.iter().copied().chain([own_name]).collect();
        let found = match self.names.table(&parts) {
            Ok(Some(found)) => found,
            Ok(None) => return ControlFlow::Continue(()),
            Err(error) => return ControlFlow::Break(error),
        };
        let quoted = |text: String| ObjectNamePart::Identifier(Ident::with_quote('"', text));
        if let Ok(table) = TableName::new(&found.0, &found.1) {
            self.found.push(table);
        }
        relation.0 = vec![quoted(found.0), quoted(format!("{}{mark}", found.1))];
        ControlFlow::Continue(())
    }
}

/// Gives unquoted column names the spelling that the tables have (I2).
pub fn resolve_columns(statement: &mut Statement, names: &Names) -> Result<()> {
    match statement.visit(&mut ColumnVisitor { names }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct ColumnVisitor<'a> {
    names: &'a Names,
}

impl ColumnVisitor<'_> {
    fn respell(&self, ident: &mut Ident) -> ControlFlow<Error> {
        if ident.quote_style.is_some() {
            return ControlFlow::Continue(());
        }
        match self.names.column(&ident.value) {
            Ok(Some(spelling)) if spelling.to_lowercase() != spelling => {
                *ident = Ident::with_quote('"', spelling);
                ControlFlow::Continue(())
            }
            Ok(_) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

impl VisitorMut for ColumnVisitor<'_> {
    type Break = Error;

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        match expr {
            Expr::Identifier(ident) => self.respell(ident),
            Expr::CompoundIdentifier(idents) => {
                for ident in idents.iter_mut().skip(1) {
                    self.respell(ident)?;
                }
                ControlFlow::Continue(())
            }
            _ => ControlFlow::Continue(()),
        }
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
