//! MERGE as a query: the source joined to its target, what to do with each pair, and the row that comes of it.
//!
//! The query gives the target's address (NULL where a source row has no match), a number for what to do, and the table's
//! columns with their new values. Rows come in order of address, so a target row that is acted on twice comes twice in a
//! row and is 21000. In NOT MATCHED clauses bare names mean the source's columns, as in PostgreSQL.

use std::ops::ControlFlow;
use std::sync::Arc;

use tributary_pg::error::PgError;
use tributary_pg::sqlstate;

use super::ast::{self, TARGET_SCHEMA, folded};
use super::change::{new_values, no_aggregate, set_value};
use super::insert::{given_values, table_name};
use super::{Queries, WriteKind, target};
use crate::dialect::sqlparser::ast::{
    Assignment, AssignmentTarget, Expr, Merge, MergeAction, MergeClauseKind, MergeInsertKind, ObjectName, Query,
    Statement as Sql, TableFactor, VisitMut, VisitorMut, With,
};
use crate::dialect::{MERGE_DEFAULTS, MERGE_NOTHING};
use crate::engine::catalog::{TableObject, rights};
use crate::engine::planner::Planner;
use crate::engine::scan::ADDR;

/// The query's second column.
const ACTION: &str = "\u{1}action";

/// Numbers in that column.
pub(super) const DELETE: i64 = 0;
/// See [`DELETE`].
pub(super) const UPDATE: i64 = 1;
/// See [`DELETE`].
pub(super) const INSERT: i64 = 2;
/// See [`DELETE`].
const NOTHING: i64 = 3;

/// One WHEN clause.
struct Clause {
    condition: Expr,
    action: i64,
    /// Of each column of the table, its new value; empty for DELETE and DO NOTHING.
    values: Vec<Expr>,
}

/// Plans a MERGE.
pub(super) fn queries(
    planner: &Planner<'_>,
    merge: &Merge,
    with: Option<&With>,
) -> Result<(Arc<TableObject>, Queries), PgError> {
    if merge.output.is_some() {
        return Err(PgError::new(sqlstate::SYNTAX_ERROR, "syntax error at or near \"RETURNING\""));
    }
    let (object, alias) = table_name(&merge.table)?;
    let table = target(planner.view, object, 'r')?;
    let name = alias.unwrap_or_else(|| table.name.clone());
    let source = source_of(planner, merge, with, &name)?;
    let mut clauses = Vec::with_capacity(merge.clauses.len());
    let mut changed: Option<Vec<i16>> = Some(Vec::new());
    let mut always = [false; 2];
    for clause in &merge.clauses {
        let matched = match clause.clause_kind {
            MergeClauseKind::Matched => true,
            MergeClauseKind::NotMatched => false,
            _ => return Err(PgError::new(sqlstate::SYNTAX_ERROR, "syntax error at or near \"BY\"")),
        };
        if always[usize::from(matched)] {
            let message = "unreachable WHEN clause specified after unconditional WHEN clause";
            return Err(PgError::new(sqlstate::SYNTAX_ERROR, message));
        }
        always[usize::from(matched)] = clause.predicate.is_none();
        let mut predicate = clause.predicate.clone();
        if let Some(predicate) = predicate.as_mut().filter(|_| !matched) {
            source.bind(predicate, &name)?;
        }
        let (action, values) = match &clause.action {
            MergeAction::Delete { .. } => (DELETE, Vec::new()),
            MergeAction::Update(update) if says_nothing(&update.assignments) => (NOTHING, Vec::new()),
            MergeAction::Update(update) => {
                let mut given = new_values(planner, &table, &update.assignments)?;
                for (attnum, value) in &given {
                    no_aggregate(planner, value, "MERGE WHEN conditions")?;
                    changed.iter_mut().for_each(|changed| changed.push(*attnum));
                }
                let values = table.live_columns().map(|column| set_value(column, &name, &mut given));
                (UPDATE, values.collect::<Result<_, _>>()?)
            }
            MergeAction::Insert(insert) => match insert.columns.as_slice() {
                [word] if is_word(word, MERGE_NOTHING) => (NOTHING, Vec::new()),
                columns => {
                    changed = None;
                    let mut row = match &insert.kind {
                        _ if matches!(columns, [word] if is_word(word, MERGE_DEFAULTS)) => Vec::new(),
                        MergeInsertKind::Values(values) => match values.rows.as_slice() {
                            [row] => row.content.clone(),
                            _ => {
                                let message = "INSERT in MERGE takes one row of values";
                                return Err(PgError::new(sqlstate::SYNTAX_ERROR, message));
                            }
                        },
                        MergeInsertKind::Row => {
                            return Err(PgError::new(sqlstate::SYNTAX_ERROR, "syntax error at or near \"ROW\""));
                        }
                    };
                    for value in &mut row {
                        source.bind(value, &name)?;
                    }
                    let defaults = matches!(columns, [word] if is_word(word, MERGE_DEFAULTS));
                    let named: &[ObjectName] = if defaults { &[] } else { columns };
                    (INSERT, given_values(planner, &table, named, row, defaults)?)
                }
            },
        };
        let right = match action {
            DELETE => Some('d'),
            UPDATE => Some('w'),
            INSERT => Some('a'),
            _ => None,
        };
        if let Some(right) = right {
            rights::must_allow_on_table(&planner.view.catalog, &planner.view.vars.current_user, right, &table)?;
        }
        clauses.push(Clause { condition: when(&name, matched, predicate), action, values });
    }
    let outer = clauses.iter().any(|clause| clause.action == INSERT);
    let mut input =
        ast::select(items(&table, &name, &clauses)?, vec![source.joined(&table, &name, merge, outer)], None);
    input.with = with.cloned();
    Ok((table, Queries { kind: WriteKind::Merge, known_as: name, input, changed, returning: None, on_conflict: None }))
}

fn is_word(name: &ObjectName, word: &str) -> bool {
    matches!(name.0.as_slice(), [part] if part.as_ident().is_some_and(|ident| ident.value == word))
}

/// DO NOTHING, as the dialect spells it.
fn says_nothing(assignments: &[Assignment]) -> bool {
    matches!(assignments, [Assignment { target: AssignmentTarget::ColumnName(name), .. }] if is_word(name, MERGE_NOTHING))
}

/// `_addr IS [NOT] NULL AND condition`.
fn when(name: &str, matched: bool, predicate: Option<Expr>) -> Expr {
    let addr = Box::new(ast::column(name, ADDR));
    let pair = if matched { Expr::IsNotNull(addr) } else { Expr::IsNull(addr) };
    match predicate {
        Some(predicate) => ast::and(pair, Expr::Nested(Box::new(predicate))),
        None => pair,
    }
}

/// Address, action, and every column by the clause that applies.
fn items(
    table: &TableObject,
    name: &str,
    clauses: &[Clause],
) -> Result<Vec<crate::dialect::sqlparser::ast::SelectItem>, PgError> {
    let numbers = clauses.iter().map(|clause| (clause.condition.clone(), ast::number(clause.action)));
    let action = ast::case(numbers.collect(), ast::number(NOTHING))?;
    let mut items = vec![ast::named(ast::column(name, ADDR), ADDR), ast::named(action, ACTION)];
    for (index, column) in table.live_columns().enumerate() {
        // An earlier clause that makes no row still takes its pairs from the later ones.
        let branches = clauses.iter().map(|clause| {
            let value = clause.values.get(index).cloned();
            (clause.condition.clone(), value.unwrap_or_else(|| ast::column(name, &column.name)))
        });
        let value = ast::case(branches.collect(), ast::column(name, &column.name))?;
        items.push(ast::named(value, &column.name));
    }
    Ok(items)
}

/// What stands after USING.
struct Source {
    factor: TableFactor,
    /// The one name it is known by, and its columns.
    known_as: Option<String>,
    columns: Vec<String>,
}

fn source_of(planner: &Planner<'_>, merge: &Merge, with: Option<&With>, target: &str) -> Result<Source, PgError> {
    let factor = merge.source.clone();
    let known_as = match &factor {
        TableFactor::Table { name, alias, .. } => alias
            .as_ref()
            .map(|alias| folded(&alias.name))
            .or_else(|| name.0.last().and_then(|part| part.as_ident()).map(folded)),
        TableFactor::Derived { alias, .. } => alias.as_ref().map(|alias| folded(&alias.name)),
        _ => None,
    };
    if known_as.as_deref() == Some(target) {
        return Err(PgError::new(sqlstate::DUPLICATE_ALIAS, format!("name \"{target}\" specified more than once"))
            .detail("The name is used both as MERGE target table and data source."));
    }
    let mut query: Query = ast::select(vec![ast::star()], vec![ast::alone(factor.clone())], None);
    query.with = with.cloned();
    let plan = planner.plan(Sql::Query(Box::new(query)))?;
    let columns = plan.schema().fields().iter().map(|field| field.name().clone()).collect();
    Ok(Source { factor, known_as, columns })
}

impl Source {
    /// Bare names of source columns get the source's name; the target cannot be named.
    fn bind(&self, expr: &mut Expr, target: &str) -> Result<(), PgError> {
        struct Bind<'a>(&'a Source, &'a str, usize);
        impl VisitorMut for Bind<'_> {
            type Break = ();
            fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
                self.2 += 1;
                ControlFlow::Continue(())
            }
            fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
                self.2 -= 1;
                ControlFlow::Continue(())
            }
            fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
                match expr {
                    Expr::CompoundIdentifier(parts) if parts.first().is_some_and(|first| folded(first) == self.1) => {
                        ControlFlow::Break(())
                    }
                    Expr::Identifier(ident) if self.2 == 0 && self.0.columns.contains(&folded(ident)) => {
                        if let Some(name) = &self.0.known_as {
                            *expr = Expr::CompoundIdentifier(vec![ast::ident(name), ident.clone()]);
                        }
                        ControlFlow::Continue(())
                    }
                    _ => ControlFlow::Continue(()),
                }
            }
        }
        match expr.visit(&mut Bind(self, target, 0)) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => {
                let message = format!("invalid reference to FROM-clause entry for table \"{target}\"");
                Err(PgError::new(sqlstate::UNDEFINED_TABLE, message).hint(format!(
                    "There is an entry for table \"{target}\", but it cannot be referenced from this part of the query."
                )))
            }
        }
    }

    /// `source [LEFT] JOIN target ON condition`.
    fn joined(
        &self,
        table: &TableObject,
        name: &str,
        merge: &Merge,
        outer: bool,
    ) -> crate::dialect::sqlparser::ast::TableWithJoins {
        let target = ast::hidden_table(TARGET_SCHEMA, table.oid, name);
        ast::join(self.factor.clone(), target.relation, merge.on.as_ref().clone(), outer)
    }
}
