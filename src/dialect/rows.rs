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
    CastKind, DataType, ExcludeSelectItem, Expr, Ident, JoinOperator, ObjectName, ObjectNamePart, Select, SelectItem,
    SetExpr, TableAlias, TableFactor, TableWithJoins, Value, WildcardAdditionalOptions, visit_expressions,
};

/// What the name of a [`Kind::WholeRow`] form says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowName<'a> {
    /// The relation, or else a column.
    pub name: &'a str,
    /// It was written `t.*`, so it is no column.
    pub starred: bool,
    /// It stands on the side of an outer join that may have no row.
    pub may_be_missing: bool,
}

impl<'a> RowName<'a> {
    /// Reads the name of a form.
    pub fn read(text: &'a str) -> Self {
        let (starred, text) = text.strip_prefix('*').map_or((false, text), |rest| (true, rest));
        let (may_be_missing, text) = text.strip_prefix('?').map_or((false, text), |rest| (true, rest));
        // A colon ends the marks: a name may begin with one of their characters.
        Self { name: text.strip_prefix(':').unwrap_or(text), starred, may_be_missing }
    }

    fn form(self, position: usize) -> Expr {
        let (star, missing) = (if self.starred { "*" } else { "" }, if self.may_be_missing { "?" } else { "" });
        form(Kind::WholeRow, &format!("{star}{missing}:{}", self.name), position, null(), null())
    }
}

/// A relation of FROM that can be referred to by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Relation {
    name: String,
    /// It stands on the side of an outer join that may have no row.
    may_be_missing: bool,
}

/// Columns every table has, and what they are here.
const SYSTEM_COLUMNS: [&str; 2] = ["tableoid", "xmin"];

impl Rewriter<'_> {
    /// Whether a name is that of a relation in the FROM clause at hand.
    pub(super) fn names_relation(&self, ident: &Ident) -> bool {
        let name = folded(ident);
        self.relations.iter().any(|one| one.name == name)
    }

    /// A name that may be a column or a whole row.
    pub(super) fn whole_row(&self, ident: &Ident, position: usize) -> Expr {
        self.row_named(&folded(ident), false, position)
    }

    /// `t.*` as an argument.
    pub(super) fn starred_row(&self, name: &ObjectName) -> Expr {
        let relation = name.0.last().and_then(|part| part.as_ident()).map(folded).unwrap_or_default();
        self.row_named(&relation, true, self.at_name(name))
    }

    fn row_named(&self, name: &str, starred: bool, position: usize) -> Expr {
        let may_be_missing = self.relations.iter().any(|one| one.name == name && one.may_be_missing);
        RowName { name, starred, may_be_missing }.form(position)
    }
}

/// Names under which the rows of tables and subqueries in FROM can be referred to. A function's name means its column.
pub(super) fn relation_names(from: &[TableWithJoins]) -> Vec<Relation> {
    from.iter().flat_map(joined_names).collect()
}

fn joined_names(one: &TableWithJoins) -> Vec<Relation> {
    let mut names = names_of(&one.relation);
    for join in &one.joins {
        let mut right = names_of(&join.relation);
        let (left_missing, right_missing) = missing_sides(&join.join_operator);
        names.iter_mut().for_each(|one| one.may_be_missing |= left_missing);
        right.iter_mut().for_each(|one| one.may_be_missing |= right_missing);
        names.extend(right);
    }
    names
}

fn names_of(factor: &TableFactor) -> Vec<Relation> {
    match factor {
        TableFactor::Table { args: None, .. } | TableFactor::Derived { .. } => {
            factor_name(factor).map(|name| Relation { name, may_be_missing: false }).into_iter().collect()
        }
        TableFactor::NestedJoin { table_with_joins, .. } => joined_names(table_with_joins),
        _ => Vec::new(),
    }
}

/// Whether a join makes rows without a row of its left and of its right side.
fn missing_sides(join: &JoinOperator) -> (bool, bool) {
    match join {
        JoinOperator::Left(_) | JoinOperator::LeftOuter(_) => (false, true),
        JoinOperator::Right(_) | JoinOperator::RightOuter(_) => (true, false),
        JoinOperator::FullOuter(_) => (true, true),
        _ => (false, false),
    }
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

#[cfg(test)]
mod tests {
    use super::super::sqlparser::ast::{SetExpr, Statement};
    use super::super::sqlparser::dialect::PostgreSqlDialect;
    use super::super::sqlparser::parser::Parser;
    use super::*;

    #[test]
    fn outer_joins_say_whose_rows_may_be_missing() {
        for (from, missing) in [
            ("a, b", ""),
            ("a JOIN b ON true", ""),
            ("a LEFT JOIN b ON true", "b"),
            ("a LEFT JOIN b ON true JOIN c ON true", "b"),
            ("a JOIN b ON true RIGHT JOIN c ON true", "ab"),
            ("a FULL JOIN b ON true, c", "ab"),
            ("a LEFT JOIN (b JOIN c ON true) ON true", "bc"),
            ("a FULL JOIN (b LEFT JOIN c ON true) ON true LEFT JOIN d ON true", "abcd"),
        ] {
            let text = format!("SELECT 1 FROM {from}");
            let parsed = Parser::parse_sql(&PostgreSqlDialect {}, &text).unwrap();
            let [Statement::Query(query)] = parsed.as_slice() else { panic!("{text}") };
            let SetExpr::Select(select) = query.body.as_ref() else { panic!("{text}") };
            let names = relation_names(&select.from);
            let found: String = names.iter().filter(|one| one.may_be_missing).map(|one| one.name.as_str()).collect();
            assert_eq!(found, missing, "{from}");
        }
    }

    #[test]
    fn marks_are_told_from_names() {
        for name in ["t", "?t", "*", ":", "*?:"] {
            for (starred, may_be_missing) in [(false, false), (false, true), (true, false), (true, true)] {
                let row = RowName { name, starred, may_be_missing };
                let Expr::BinaryOp { op, .. } = row.form(3) else { panic!("{name}") };
                let form = super::super::forms::Form::read(&op).unwrap();
                assert_eq!(RowName::read(&form.name), row);
            }
        }
    }
}
