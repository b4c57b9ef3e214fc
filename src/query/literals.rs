//! Literals that are compared with a column, read as the column's type.
//!
//! Owns [`read_literals`]. DataFusion compares a number with a text as texts, so that `n > '9'` leaves 10 out, and
//! turns microseconds into nanoseconds for a text, which no year after 2262 survives.
//! - I1: a text that is compared with a number, a time of day or a timestamp is read as one, or the statement is
//!   refused; nothing is rounded on the way.
//! - I2: the names of result columns stay as they were written.

use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::expr::{Between, InList};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator};
use tableflow_model::Error;
use tableflow_model::types::flink_type;

/// More digits than any DECIMAL has behind its point are no number that one could equal.
const SCALE_MAX: usize = 38;

/// Reads the literals of every comparison in the plan (I1).
pub fn read_literals(plan: LogicalPlan) -> Result<LogicalPlan> {
    let read = plan.transform_up_with_subqueries(|plan| {
        let schema = merge_schema(&plan.inputs());
        let names = NamePreserver::new(&plan);
        plan.map_expressions(|expr| {
            let name = names.save(&expr);
            let read = expr.transform_up(|expr| comparison(expr, &schema))?;
            Ok(read.update_data(|expr| name.restore(expr)))
        })
    })?;
    Ok(read.data)
}

fn comparison(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    // An expression whose type is not known here is not a column's: it stays.
    let type_of = |expr: &Expr| expr.get_type(schema).unwrap_or(DataType::Null);
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if compares(op) => {
            let (left_type, right_type) = (type_of(&left), type_of(&right));
            let (left, right) = (read(*left, &right_type)?, read(*right, &left_type)?);
            Ok(Transformed::yes(Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))))
        }
        Expr::InList(InList { expr, list, negated }) => {
            let of = type_of(&expr);
            let list = list.into_iter().map(|item| read(item, &of)).collect::<Result<_>>()?;
            Ok(Transformed::yes(Expr::InList(InList { expr, list, negated })))
        }
        Expr::Between(Between { expr, negated, low, high }) => {
            let of = type_of(&expr);
            let (low, high) = (Box::new(read(*low, &of)?), Box::new(read(*high, &of)?));
            Ok(Transformed::yes(Expr::Between(Between { expr, negated, low, high })))
        }
        other => Ok(Transformed::no(other)),
    }
}

fn compares(op: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

/// The literal as the other side's type; everything else as it is.
fn read(expr: Expr, of: &DataType) -> Result<Expr> {
    let Expr::Literal(value, metadata) = &expr else { return Ok(expr) };
    let Some(text) = value.try_as_str().flatten() else { return Ok(expr) };
    match text_as(text, of) {
        Some(Ok(read)) => Ok(Expr::Literal(read, metadata.clone())),
        Some(Err(error)) => Err(refused(text, of, &error)),
        None => Ok(expr),
    }
}

/// `None` where DataFusion does what is meant.
fn text_as(text: &str, of: &DataType) -> Option<Result<ScalarValue>> {
    let target = match of {
        DataType::Decimal128(..) => decimal_of(text),
        DataType::Timestamp(TimeUnit::Microsecond, _) | DataType::Time64(TimeUnit::Microsecond) => of.clone(),
        number if number.is_numeric() => number.clone(),
        _ => return None,
    };
    Some(ScalarValue::from(text.trim()).cast_to(&target))
}

/// A type that holds the text's digits: a column's own would round them.
fn decimal_of(text: &str) -> DataType {
    let digits = text.trim().split_once('.').map_or(0, |(_, fraction)| fraction.len());
    match i8::try_from(digits) {
        Ok(scale) if digits <= SCALE_MAX && !text.contains(['e', 'E']) => DataType::Decimal128(38, scale),
        _ => DataType::Float64,
    }
}

fn refused(text: &str, of: &DataType, error: &DataFusionError) -> DataFusionError {
    let refusal = Error::usage(format!("'{text}' is compared with {} and is none", flink_type(of)))
        .with_detail(error.strip_backtrace().lines().next().unwrap_or_default().to_owned())
        .with_hint("write a value of that type, or compare texts: CAST(column AS STRING)");
    DataFusionError::External(Box::new(refusal))
}
