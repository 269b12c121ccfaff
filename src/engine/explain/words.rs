//! Expressions of a plan in PostgreSQL's words.
//!
//! For: conditions that read as they were written. The engine numbers its columns and keeps times as microseconds; here a column
//! is its name and a constant is what PostgreSQL prints: `'2024-01-15 00:00:00'::timestamp without time zone`.
//! Does not: undo what the optimizer did to an expression.

use std::fmt;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::physical_expr::expressions::{Column, Literal};
use datafusion::physical_expr::{LexOrdering, PhysicalExpr, PhysicalSortExpr};
use tributary_pg::style::TextStyle;
use tributary_pg::types::{self, TypeKind};
use tributary_pg::value::PgValue;

/// Shows an expression.
pub(super) fn shown(expr: &Arc<dyn PhysicalExpr>) -> String {
    // Only what prints must be right here: a column prints its name, so a constant becomes one with the name it should print.
    let worded = Arc::clone(expr).transform_up(|node| {
        Ok(match node.downcast_ref::<Literal>().and_then(constant) {
            Some(text) => Transformed::yes(Arc::new(Column::new(&text, 0)) as Arc<dyn PhysicalExpr>),
            None => Transformed::no(node),
        })
    });
    let worded = worded.map_or_else(|_| Arc::clone(expr), |worded| worded.data);
    Sql(worded.as_ref()).to_string()
}

/// Keys of a sort; an order that is the usual one goes without saying.
pub(super) fn sort_keys(keys: &LexOrdering) -> String {
    let key = |key: &PhysicalSortExpr| {
        let order = match (key.options.descending, key.options.nulls_first) {
            (false, false) => "",
            (false, true) => " NULLS FIRST",
            (true, true) => " DESC",
            (true, false) => " DESC NULLS LAST",
        };
        format!("{}{order}", shown(&key.expr))
    };
    keys.iter().map(key).collect::<Vec<_>>().join(", ")
}

/// Prints without the numbers of columns.
struct Sql<'a>(&'a dyn PhysicalExpr);

impl fmt::Display for Sql<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt_sql(f)
    }
}

/// A constant as PostgreSQL's plans show it: numbers and truth values bare, the others quoted with their type.
fn constant(literal: &Literal) -> Option<String> {
    let array = literal.value().to_array().ok()?;
    let (ty, modifier) = types::of_arrow(array.data_type()).ok()?;
    let name = types::format_type(ty.oid, None);
    if literal.value().is_null() {
        return Some(format!("NULL::{name}"));
    }
    let text = PgValue { ty, modifier, array: Some(array) }.to_text(&TextStyle::default()).ok()??;
    Some(match ty.kind {
        TypeKind::Bool => if text == "t" { "true" } else { "false" }.to_owned(),
        TypeKind::Int2 | TypeKind::Int4 | TypeKind::Int8 | TypeKind::Numeric if !text.starts_with('-') => text,
        _ => format!("'{}'::{name}", text.replace('\'', "''")),
    })
}

#[cfg(test)]
mod tests {
    use datafusion::common::ScalarValue;
    use datafusion::logical_expr::Operator;
    use datafusion::physical_expr::expressions::{binary, lit};

    use super::*;
    use arrow::datatypes::{Field, Schema};

    #[test]
    fn constants_read_as_in_postgres() {
        let cases = [
            (ScalarValue::from(5_i64), "x > 5"),
            (ScalarValue::from(-5_i32), "x > '-5'::integer"),
            (ScalarValue::from(1.5_f64), "x > '1.5'::double precision"),
            (ScalarValue::from(true), "x > true"),
            (ScalarValue::Utf8View(Some("it's a@1".into())), "x > 'it''s a@1'::text"),
            (ScalarValue::Int32(None), "x > NULL::integer"),
            (ScalarValue::Decimal128(Some(150), 5, 2), "x > 1.50"),
            (ScalarValue::Date32(Some(19_737)), "x > '2024-01-15'::date"),
            (
                ScalarValue::TimestampMicrosecond(Some(1_705_276_800_000_000), None),
                "x > '2024-01-15 00:00:00'::timestamp without time zone",
            ),
        ];
        for (value, expected) in cases {
            let schema = Schema::new(vec![Field::new("x", value.data_type(), true)]);
            let column = Arc::new(Column::new("x", 0));
            let compared = binary(column, Operator::Gt, lit(value), &schema).expect("compares");
            assert_eq!(shown(&compared), expected);
        }
    }

    #[test]
    fn keys_say_only_what_is_unusual() {
        let key = |name: &str, descending, nulls_first| {
            PhysicalSortExpr::new(
                Arc::new(Column::new(name, 3)),
                arrow::compute::SortOptions { descending, nulls_first },
            )
        };
        let keys = [key("a", false, false), key("b", false, true), key("c", true, true), key("d", true, false)];
        let ordering = LexOrdering::new(keys).expect("has keys");
        assert_eq!(sort_keys(&ordering), "a, b NULLS FIRST, c DESC, d DESC NULLS LAST");
    }
}
