//! Names as people write them: tables without their namespace, and anything without its case.
//!
//! Owns [`Names`], the tables there are, and the two ways a statement is respelled.
//! - I1: what a statement defines itself (`WITH`) comes before the tables, in its scope alone.
//! - I2: a column as written comes first. Only one that the planner does not find is taken for the one column, of
//!   those it could have meant there, that differs by case; two of them are an error. So no name that means
//!   something is ever given another meaning.
//! - I3: a name in double quotes is what it says.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use datafusion::common::{Column, SchemaError, Span};
use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::ast::{
    Cte, Expr, Ident, ObjectName, ObjectNamePart, Query, Spanned, Statement, VisitMut, VisitorMut, With,
};
use tableflow_model::{Error, Result, TableName};

use super::travel::Travel;

/// The tables there are, and the fields of those a statement uses.
#[derive(Debug, Default)]
pub struct Names {
    tables: BTreeSet<(String, String)>,
    /// Columns in lower case.
    columns: BTreeSet<String>,
    /// Fields inside of columns, by their name in lower case.
    nested: BTreeMap<String, BTreeSet<String>>,
}

impl Names {
    pub fn of_tables<'a>(tables: impl Iterator<Item = &'a TableName>) -> Self {
        let tables = tables.map(|table| (table.namespace().to_owned(), table.name().to_owned())).collect();
        Names { tables, ..Names::default() }
    }

    /// A column or a field inside of one, by its path.
    pub fn add_field(&mut self, path: &str) {
        match path.rsplit_once('.') {
            Some((_, name)) => {
                self.nested.entry(name.to_lowercase()).or_default().insert(name.to_owned());
            }
            None => {
                self.columns.insert(path.to_lowercase());
            }
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

    /// The table whose own name has dots, where they were written without quotes around it.
    fn dotted(&self, parts: &[&str]) -> Option<TableName> {
        let written = parts.join(".").to_lowercase();
        let meant = |(namespace, name): &&(String, String)| {
            let name = name.to_lowercase();
            name.contains('.') && (written == name || written == format!("{}.{name}", namespace.to_lowercase()))
        };
        let (namespace, name) = self.tables.iter().find(meant)?;
        TableName::new(namespace, name).ok()
    }
}

impl Names {
    /// The table that the planner did not find, as it is written.
    pub fn missing(error: &DataFusionError) -> Option<&str> {
        let DataFusionError::Plan(words) = error.find_root() else { return None };
        let written = words.strip_prefix("table '")?.split_once("' not found")?.0;
        Some(written.rsplit('.').next().unwrap_or(written))
    }

    /// What to do about it.
    pub fn hint_for_missing(&self, error: &DataFusionError) -> Option<String> {
        let name = Self::missing(error)?;
        let distance = |table: &&(String, String)| strsim::damerau_levenshtein(&table.1.to_lowercase(), name);
        // Two slips of the finger are a misspelling, more is another name.
        let close = self.tables.iter().min_by_key(distance).filter(|table| distance(table) <= 2);
        Some(match close.and_then(|(namespace, name)| TableName::new(namespace, name).ok()) {
            Some(table) => format!("did you mean {table}?"),
            None => "`tableflow list` shows the tables".to_owned(),
        })
    }
}

fn not_quoted(parts: &[&str], table: &TableName) -> Error {
    Error::usage(format!("there is no table {}", parts.join(".")))
        .with_detail("in SQL a point divides a name, unless the name is in double quotes")
        .with_hint(format!("write {table}"))
}

fn ambiguous(what: &str, name: &str, matches: impl Iterator<Item = String>) -> Error {
    Error::usage(format!("{what} {name} is ambiguous"))
        .with_detail(format!("it matches {}", matches.collect::<Vec<_>>().join(", ")))
        .with_hint("write the name in double quotes, exactly as it is")
}

/// A name as the planner takes it.
fn normalized(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

/// Writes every table name out in full, and says which tables those are.
pub fn resolve_tables(statement: &mut Statement, names: &Names) -> Result<Vec<TableName>> {
    let mut visitor = TableVisitor { names, scopes: Vec::new(), found: Vec::new() };
    match statement.visit(&mut visitor) {
        ControlFlow::Continue(()) => Ok(visitor.found),
        ControlFlow::Break(error) => Err(error),
    }
}

struct TableVisitor<'a> {
    names: &'a Names,
    /// The queries around, from the outermost in.
    scopes: Vec<Scope>,
    found: Vec<TableName>,
}

/// What a query defines (I1). Its definitions are out of it while the rest is visited: they have been.
#[derive(Default)]
struct Scope {
    names: Vec<String>,
    with: Option<With>,
}

impl TableVisitor<'_> {
    fn defines(&self, name: &Ident) -> bool {
        let name = normalized(name);
        self.scopes.iter().flat_map(|scope| &scope.names).any(|defined| *defined == name)
    }

    fn define(&mut self, cte: &Cte) -> ControlFlow<Error> {
        let name = normalized(&cte.alias.name);
        // The planner looks definitions up by a table's whole name, too.
        if self.names.tables.iter().any(|(namespace, table)| name == format!("{namespace}.{table}")) {
            let error =
                Error::usage(format!("{name} is a table: a statement cannot define another thing of that name"));
            return ControlFlow::Break(error.with_hint("choose a name without a dot"));
        }
        self.scopes.last_mut().into_iter().for_each(|scope| scope.names.push(name.clone()));
        ControlFlow::Continue(())
    }
}

impl VisitorMut for TableVisitor<'_> {
    type Break = Error;

    /// Each definition sees those before it, a recursive one itself.
    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        self.scopes.push(Scope::default());
        let Some(mut with) = query.with.take() else { return ControlFlow::Continue(()) };
        for cte in &mut with.cte_tables {
            if with.recursive {
                self.define(cte)?;
            }
            cte.query.visit(self)?;
            self.define(cte)?;
        }
        if let Some(scope) = self.scopes.last_mut() {
            scope.with = Some(with);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        query.with = self.scopes.pop().and_then(|scope| scope.with);
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &mut ObjectName) -> ControlFlow<Error> {
        let idents: Vec<&Ident> = relation.0.iter().filter_map(ObjectNamePart::as_ident).collect();
        let written: Vec<&str> = idents.iter().map(|ident| ident.value.as_str()).collect();
        let Some((last, before)) = written.split_last() else { return ControlFlow::Continue(()) };
        let (own_name, mark) = Travel::split(last);
        if let [only] = idents.as_slice()
            && self.defines(&Ident { value: own_name.to_owned(), ..(*only).clone() })
        {
            if mark.is_empty() {
                return ControlFlow::Continue(());
            }
            let error = Error::usage(format!("{own_name} is defined by the statement itself: it has no history"));
            return ControlFlow::Break(error.with_hint("put the clause behind the table inside the definition"));
        }
        let parts: Vec<&str> = before.iter().copied().chain([own_name]).collect();
        let found = match self.names.table(&parts) {
            Ok(Some(found)) => found,
            Ok(None) => match self.names.dotted(&parts) {
                Some(table) => return ControlFlow::Break(not_quoted(&parts, &table)),
                None => return ControlFlow::Continue(()),
            },
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

/// Gives the column that the planner did not find the spelling of the one it must have meant (I2). False when there
/// is none.
pub fn respell_column(statement: &mut Statement, error: &DataFusionError) -> Result<bool> {
    let DataFusionError::SchemaError(inner, _) = error.find_root() else { return Ok(false) };
    let SchemaError::FieldNotFound { field, valid_fields } = inner.as_ref() else { return Ok(false) };
    let span = field.spans().first().or_else(|| error.diagnostic().and_then(|diagnostic| diagnostic.span));
    let Some(span) = span else { return Ok(false) };
    let meant: BTreeSet<(Option<&str>, &str)> = valid_fields
        .iter()
        .filter(|valid| may_mean(field, valid))
        .map(|valid| (valid.relation.as_ref().map(|relation| relation.table()), valid.name()))
        .collect();
    match meant.into_iter().collect::<Vec<_>>().as_slice() {
        [] => Ok(false),
        [(relation, name)] => {
            let relation = field.relation.as_ref().and(*relation);
            Ok(statement.visit(&mut Respelling { span, relation, name }).is_break())
        }
        several => {
            let spellings = several.iter().map(|(relation, name)| match relation {
                Some(relation) => format!("{relation}.\"{name}\""),
                None => format!("\"{name}\""),
            });
            Err(ambiguous("column", field.name(), spellings))
        }
    }
}

/// Do they differ by case alone?
fn may_mean(written: &Column, valid: &Column) -> bool {
    let alike = |a: &str, b: &str| a.to_lowercase() == b.to_lowercase();
    let relation = match (&written.relation, &valid.relation) {
        (Some(written), Some(valid)) => alike(written.table(), valid.table()),
        (Some(_), None) => false,
        (None, _) => true,
    };
    relation && alike(written.name(), valid.name())
}

/// Respells the one name at a place of the text; ends when it has.
struct Respelling<'a> {
    span: Span,
    relation: Option<&'a str>,
    name: &'a str,
}

impl VisitorMut for Respelling<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if Span::try_from_sqlparser_span(expr.span()) != Some(self.span) {
            return ControlFlow::Continue(());
        }
        let idents = match expr {
            Expr::Identifier(ident) => std::slice::from_mut(ident),
            Expr::CompoundIdentifier(idents) => idents.as_mut_slice(),
            _ => return ControlFlow::Continue(()),
        };
        let mut parts = idents.iter_mut().rev();
        for (ident, spelling) in parts.by_ref().zip([Some(self.name), self.relation]) {
            // A name in quotes is what it says (I3), and one that is right already is not why the planner failed.
            if let Some(spelling) = spelling
                && ident.quote_style.is_none()
                && normalized(ident) != spelling
            {
                *ident = Ident { value: spelling.to_owned(), quote_style: Some('"'), span: ident.span };
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }
}

/// Gives fields inside of columns, which the planner does not list when it misses one, the one spelling they have.
/// False when there was nothing to do.
pub fn respell_nested(statement: &mut Statement, names: &Names) -> bool {
    let mut visitor = NestedVisitor { names, respelled: false };
    let _ = statement.visit(&mut visitor);
    visitor.respelled
}

struct NestedVisitor<'a> {
    names: &'a Names,
    respelled: bool,
}

impl VisitorMut for NestedVisitor<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let Expr::CompoundIdentifier(idents) = expr else { return ControlFlow::Continue(()) };
        for (place, ident) in idents.iter_mut().enumerate().skip(1).filter(|(_, ident)| ident.quote_style.is_none()) {
            let name = ident.value.to_lowercase();
            // Behind a table's alias stands the column itself, which the planner finds or tells of.
            let is_column = place == 1 && self.names.columns.contains(&name);
            let spellings = self.names.nested.get(&name).filter(|_| !is_column);
            let mut spellings = spellings.into_iter().flatten();
            if let (Some(only), None) = (spellings.next(), spellings.next())
                && *only != only.to_lowercase()
            {
                *ident = Ident { value: only.clone(), quote_style: Some('"'), span: ident.span };
                self.respelled = true;
            }
        }
        ControlFlow::Continue(())
    }
}
