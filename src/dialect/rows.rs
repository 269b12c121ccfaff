//! Relations named where a value stands: `SELECT t FROM t`, `row_to_json(t)`, `f(t.*)`, and the system columns of `t`.
//!
//! A bare name may be a column or a whole row, which only the planner can tell, so a name that is that of a relation in
//! FROM becomes a form. `tableoid` and `xmin` are no stored columns: a relation of which one is asked becomes a subquery
//! that adds it, and stars over that relation leave it out again.

use std::ops::ControlFlow;

use super::forms::{Kind, form, null};
use super::names::folded;
use super::semantics::{Rewriter, aliased, bare_query, bare_select, plain_table};
use super::sqlparser::ast::{
    CastKind, DataType, ExcludeSelectItem, Expr, Ident, ObjectName, ObjectNamePart, Select, SelectItem, SetExpr,
    TableAlias, TableFactor, TableWithJoins, Value, WildcardAdditionalOptions, visit_expressions,
};

/// Mark before the name in a [`Kind::WholeRow`] form that cannot be a column: `t.*`.
pub const STAR: char = '*';

/// Columns every table has, and what they are here.
const SYSTEM_COLUMNS: [&str; 2] = ["tableoid", "xmin"];

impl Rewriter<'_> {
    /// Whether a name is that of a relation in the FROM clause at hand.
    pub(super) fn names_relation(&self, ident: &Ident) -> bool {
        self.relations.iter().any(|one| *one == folded(ident))
    }

    /// A name that may be a column or a whole row.
    pub(super) fn whole_row(&self, ident: &Ident, position: usize) -> Expr {
        form(Kind::WholeRow, &folded(ident), position, null(), null())
    }

    /// `t.*` as an argument.
    pub(super) fn starred_row(&self, name: &ObjectName) -> Expr {
        let relation = name.0.last().and_then(|part| part.as_ident()).map(folded).unwrap_or_default();
        form(Kind::WholeRow, &format!("{STAR}{relation}"), self.at_name(name), null(), null())
    }
}

/// Names under which the rows of tables and subqueries in FROM can be referred to. A function's name means its column.
pub(super) fn relation_names(from: &[TableWithJoins]) -> Vec<String> {
    let mut names = Vec::new();
    for one in from {
        for factor in std::iter::once(&one.relation).chain(one.joins.iter().map(|join| &join.relation)) {
            match factor {
                TableFactor::Table { args: None, .. } | TableFactor::Derived { .. } => {
                    names.extend(factor_name(factor));
                }
                TableFactor::NestedJoin { table_with_joins, .. } => {
                    names.extend(relation_names(std::slice::from_ref(table_with_joins)));
                }
                _ => {}
            }
        }
    }
    names
}

fn factor_name(factor: &TableFactor) -> Option<String> {
    match factor {
        TableFactor::Table { alias: Some(alias), .. } | TableFactor::Derived { alias: Some(alias), .. } => {
            Some(folded(&alias.name))
        }
        TableFactor::Table { name, .. } => name.0.last().and_then(|part| part.as_ident()).map(folded),
        _ => None,
    }
}

/// Gives the relations of FROM the system columns that the query asks of them.
pub(super) fn add_system_columns(select: &mut Select) {
    let single = matches!(select.from.as_slice(), [one] if one.joins.is_empty());
    let mut wanted: Vec<(Option<String>, &str)> = Vec::new();
    let _flow = visit_expressions(select, |one| {
        let found = match one {
            Expr::Identifier(ident) if single => Some((None, folded(ident))),
            Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                [.., relation, column] => Some((Some(folded(relation)), folded(column))),
                _ => None,
            },
            _ => None,
        };
        if let Some((relation, column)) = found
            && let Some(column) = SYSTEM_COLUMNS.iter().find(|known| **known == column)
        {
            wanted.push((relation, column));
        }
        ControlFlow::<()>::Continue(())
    });
    if wanted.is_empty() {
        return;
    }
    let mut added = Vec::new();
    for one in &mut select.from {
        for factor in std::iter::once(&mut one.relation).chain(one.joins.iter_mut().map(|join| &mut join.relation)) {
            let Some(name) = factor_name(factor) else { continue };
            let columns: Vec<&str> = SYSTEM_COLUMNS
                .into_iter()
                .filter(|known| {
                    let asked = |(relation, column): &(Option<String>, &str)| {
                        column == known && relation.as_ref().is_none_or(|relation| *relation == name)
                    };
                    wanted.iter().any(asked)
                })
                .collect();
            if extend(factor, &name, &columns) {
                added.extend(columns);
            }
        }
    }
    hide_from_stars(&mut select.projection, added);
}

/// `t` becomes `(SELECT *, .. AS tableoid FROM t) AS t`; anything but a plain table stays.
fn extend(factor: &mut TableFactor, known_as: &str, columns: &[&str]) -> bool {
    let TableFactor::Table { name, args: None, alias, sample: None, .. } = factor else { return false };
    if columns.is_empty() || alias.as_ref().is_some_and(|alias| !alias.columns.is_empty()) {
        return false;
    }
    let mut items = vec![SelectItem::Wildcard(WildcardAdditionalOptions::default())];
    items.extend(columns.iter().map(|column| aliased(system_value(column, name), column)));
    let from = vec![TableWithJoins { relation: plain_table(name.clone()), joins: Vec::new() }];
    let subquery = Box::new(bare_query(SetExpr::Select(Box::new(bare_select(items, from)))));
    let alias =
        TableAlias { explicit: true, name: Ident::with_quote('"', known_as.to_owned()), columns: Vec::new(), at: None };
    *factor = TableFactor::Derived { lateral: false, subquery, alias: Some(alias), sample: None };
    true
}

/// The value of a system column: the same in every row of a table.
fn system_value(column: &str, relation: &ObjectName) -> Expr {
    let typed = |expr: Expr, name: &str| Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(expr),
        data_type: DataType::Custom(ObjectName(vec![ObjectNamePart::Identifier(Ident::new(name))]), Vec::new()),
        array: false,
        format: None,
    };
    let text = |value: String| Expr::value(Value::SingleQuotedString(value));
    match column {
        "tableoid" => typed(typed(text(relation.to_string()), "regclass"), "oid"),
        // PostgreSQL's number for rows that are older than any transaction.
        _ => typed(text("2".to_owned()), "xid"),
    }
}

fn hide_from_stars(items: &mut [SelectItem], mut columns: Vec<&str>) {
    columns.sort_unstable();
    columns.dedup();
    let names: Vec<ObjectName> =
        columns.into_iter().map(|column| ObjectName(vec![ObjectNamePart::Identifier(Ident::new(column))])).collect();
    for item in items {
        let (SelectItem::Wildcard(options) | SelectItem::QualifiedWildcard(_, options)) = item else { continue };
        options.opt_exclude = Some(ExcludeSelectItem::Multiple(names.clone()));
    }
}
