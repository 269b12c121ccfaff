//! System views: SQL over the other system relations, from `sql/schema/`.
//!
//! A view's text names columns; what it leaves out is NULL, and names, order and types are PostgreSQL's whatever the
//! query gives. So a view can be added by writing SQL alone. Views read with the server's rights; what a role must not
//! see they leave out themselves.

use std::collections::HashMap;
use std::sync::LazyLock;

use datafusion::common::metadata::FieldMetadata;
use datafusion::logical_expr::expr::Cast;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, col, lit};
use datafusion::scalar::ScalarValue;
use tributary_pg::error::{PgError, PgResult};

#[cfg(test)]
use super::relation::SystemRelation;
use super::relation::{relation, relation_by_oid};
use crate::engine::pg;

/// Queries by (schema, name).
static QUERIES: LazyLock<HashMap<(&'static str, &'static str), &'static str>> = LazyLock::new(|| {
    [include_str!("../../../sql/schema/pg_catalog.sql"), include_str!("../../../sql/schema/information_schema.sql")]
        .into_iter()
        .flat_map(statements)
        .collect()
});

/// `CREATE VIEW schema.name AS query` pieces of a file.
fn statements(file: &'static str) -> impl Iterator<Item = ((&'static str, &'static str), &'static str)> {
    file.split("\nCREATE VIEW ").skip(1).filter_map(|rest| {
        let rest = rest.trim_end().strip_suffix(';')?;
        let (name, query) = rest.split_once(" AS\n")?;
        Some((name.split_once('.')?, query.trim()))
    })
}

/// The query of a system view, by schema and name.
pub(in crate::engine) fn query_of(schema: &str, name: &str) -> Option<&'static str> {
    let relation = relation(schema, name)?;
    QUERIES.get(&(relation.schema, relation.name)).copied()
}

/// The query of a system view, by OID.
pub(super) fn query(oid: u32) -> Option<&'static str> {
    let relation = relation_by_oid(oid)?;
    QUERIES.get(&(relation.schema, relation.name)).copied()
}

/// Gives a view's plan the columns of its relation.
pub(in crate::engine) fn shape(schema: &str, name: &str, plan: LogicalPlan) -> PgResult<LogicalPlan> {
    let relation = relation(schema, name).ok_or_else(|| PgError::internal(format!("no view {schema}.{name}")))?;
    let columns = relation.columns.iter().zip(relation.arrow.fields());
    let expressions: Vec<Expr> = columns
        .map(|(column, field)| {
            let given = plan.schema().fields().iter().position(|given| given.name() == column.name);
            let value = match given {
                Some(index) => {
                    let (qualifier, given) = plan.schema().qualified_field(index);
                    let value = match qualifier {
                        Some(qualifier) => col(datafusion::common::Column::new(Some(qualifier.clone()), given.name())),
                        None => col(datafusion::common::Column::new_unqualified(given.name())),
                    };
                    if given.data_type() == field.data_type() {
                        value
                    } else {
                        Expr::Cast(Cast::new(Box::new(value), field.data_type().clone()))
                    }
                }
                None => {
                    let null = ScalarValue::try_from(field.data_type()).unwrap_or(ScalarValue::Null);
                    lit(null)
                }
            };
            let metadata = FieldMetadata::from(field.as_ref());
            value.alias_with_metadata(column.name, Some(metadata))
        })
        .collect();
    LogicalPlanBuilder::from(plan).project(expressions).and_then(LogicalPlanBuilder::build).map_err(pg::map_error)
}

/// Names of a view's query that are no columns of the relation.
#[cfg(test)]
fn unknown_names(relation: &SystemRelation, query: &str) -> Vec<String> {
    let statement = crate::dialect::parse(query).expect("parses").remove(0);
    let crate::dialect::Ast::Sql(sql) = statement.ast else { panic!("{} is no query", relation.name) };
    let crate::dialect::sqlparser::ast::Statement::Query(query) = *sql else { panic!("{} is no query", relation.name) };
    let mut body = *query.body;
    while let crate::dialect::sqlparser::ast::SetExpr::SetOperation { left, .. } = body {
        body = *left;
    }
    let crate::dialect::sqlparser::ast::SetExpr::Select(select) = body else { panic!("no select") };
    select
        .projection
        .iter()
        .map(|item| match item {
            crate::dialect::sqlparser::ast::SelectItem::ExprWithAlias { alias, .. } => alias.value.clone(),
            other => other.to_string().rsplit('.').next().unwrap_or_default().to_owned(),
        })
        .filter(|name| relation.column_index(name).is_none())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_view_is_one_of_postgresqls_and_names_its_columns() {
        assert!(QUERIES.len() >= 20, "{} views", QUERIES.len());
        for ((schema, name), query) in QUERIES.iter() {
            let relation = relation(schema, name).unwrap_or_else(|| panic!("{schema}.{name} is no system view"));
            assert_eq!(relation.relkind, 'v', "{name}");
            assert_eq!(unknown_names(relation, query), Vec::<String>::new(), "{name}");
        }
    }
}
