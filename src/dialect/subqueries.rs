//! The AST pass over subqueries in expressions: EXISTS, IN, ANY, ALL, ARRAY.
//!
//! Where a subquery filters rows it stays what it is and becomes a join. Everywhere else PostgreSQL's three-valued answer
//! is written as a count of rows: a scalar subquery that always gives one row.

use super::sqlparser::ast::{
    BinaryOperator, CaseWhen, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Query, SelectItem, SetExpr,
    Spanned, TableAlias, TableAliasColumnDef, TableFactor, TableWithJoins, UnaryOperator, Value,
};
use tributary_pg::error::PgError;

use super::expressions::{operator_name, unnested};
use super::forms::{HIDDEN, Kind, call, form, null};
use super::semantics::{Rewriter, bare_query, bare_select};

impl Rewriter<'_> {
    /// `ARRAY(SELECT ..)`: the aggregate of the subquery's only column, `{}` when there are no rows.
    pub(super) fn array_query(&mut self, query: Query, position: usize) -> Result<Expr, PgError> {
        let value = Expr::Identifier(Ident::with_quote('"', "value"));
        let mut outer = over_column(query, vec![SelectItem::UnnamedExpr(call("array_agg", vec![value]))], None);
        self.nested_query(&mut outer)?;
        Ok(form(Kind::ArrayQuery, "", position, Expr::Subquery(Box::new(outer)), null()))
    }

    pub(super) fn exists(&mut self, mut query: Query, negated: bool) -> Result<Expr, PgError> {
        if self.filtering {
            self.nested_query(&mut query)?;
            return Ok(Expr::Exists { subquery: Box::new(query), negated });
        }
        let count = count_rows(None);
        let test = if negated { BinaryOperator::Eq } else { BinaryOperator::Gt };
        let zero = Expr::value(Value::Number("0".to_owned(), false));
        let item = Expr::BinaryOp { left: Box::new(count), op: test, right: Box::new(zero) };
        let alias = TableAlias {
            explicit: true,
            name: Ident::with_quote('"', format!("{HIDDEN}q")),
            columns: Vec::new(),
            at: None,
        };
        let relation =
            TableFactor::Derived { lateral: false, subquery: Box::new(query), alias: Some(alias), sample: None };
        let from = vec![TableWithJoins { relation, joins: Vec::new() }];
        let select = bare_select(vec![SelectItem::UnnamedExpr(item)], from);
        let mut outer = bare_query(SetExpr::Select(Box::new(select)));
        self.nested_query(&mut outer)?;
        Ok(Expr::Subquery(Box::new(outer)))
    }

    pub(super) fn in_query(&mut self, expr: Expr, mut query: Query, negated: bool) -> Result<Expr, PgError> {
        let position = self.at(&expr);
        if self.sorting {
            // A sort key has no rows of its own to correlate with: the subquery's values are compared as one array.
            let left = self.rewritten(expr)?;
            let values = self.array_query(query, position)?;
            let found = form(Kind::Any, "=", position, left, values);
            return Ok(if negated { Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(found) } } else { found });
        }
        if !self.filtering {
            let found = self.quantified_value(expr, BinaryOperator::Eq, query, false)?;
            return Ok(if negated { Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(found) } } else { found });
        }
        let left = self.rewritten(expr)?;
        self.nested_query(&mut query)?;
        Ok(form(Kind::InQuery, if negated { "not" } else { "" }, position, left, Expr::Subquery(Box::new(query))))
    }

    /// `x op ANY (..)` and `x op ALL (..)`, over arrays and subqueries.
    pub(super) fn quantified(
        &mut self,
        left: Expr,
        op: BinaryOperator,
        right: Expr,
        all: bool,
    ) -> Result<Expr, PgError> {
        let symbol = operator_name(&op);
        let right = unnested(&right);
        if let Expr::Subquery(query) = right {
            return match (symbol.as_str(), all) {
                ("=", false) => self.in_query(left, *query, false),
                ("<>", true) => self.in_query(left, *query, true),
                _ if self.filtering && self.positive => self.quantified_filter(left, op, *query, all),
                _ => self.quantified_value(left, op, *query, all),
            };
        }
        let end = self.source.position(left.span().end);
        let position = self.source.find(&symbol, end);
        let filtering = std::mem::replace(&mut self.filtering, false);
        let (left, right) = (self.rewritten(left)?, self.rewritten(right)?);
        self.filtering = filtering;
        Ok(form(if all { Kind::All } else { Kind::Any }, &symbol, position, left, right))
    }

    /// Where only true counts: `x < ANY (q)` is EXISTS of a match, `x < ALL (q)` is NOT EXISTS of a row that is no match.
    fn quantified_filter(&mut self, left: Expr, op: BinaryOperator, query: Query, all: bool) -> Result<Expr, PgError> {
        let value = Expr::Identifier(Ident::with_quote('"', "value"));
        let test = Expr::BinaryOp { left: Box::new(left), op, right: Box::new(value) };
        let test = if all { Expr::IsNotTrue(Box::new(test)) } else { test };
        let one = SelectItem::UnnamedExpr(Expr::value(Value::Number("1".to_owned(), false)));
        let outer = over_column(query, vec![one], Some(test));
        self.exists(outer, all)
    }

    /// The three-valued answer as a number of rows of each kind.
    fn quantified_value(&mut self, left: Expr, op: BinaryOperator, query: Query, all: bool) -> Result<Expr, PgError> {
        let value = Expr::Identifier(Ident::with_quote('"', "value"));
        let test = Expr::BinaryOp { left: Box::new(left), op, right: Box::new(value) };
        let decisive = if all { Expr::IsFalse(Box::new(test.clone())) } else { Expr::IsTrue(Box::new(test.clone())) };
        let undecided = Expr::IsUnknown(Box::new(test));
        let some = |filter: Expr| Expr::BinaryOp {
            left: Box::new(count_rows(Some(filter))),
            op: BinaryOperator::Gt,
            right: Box::new(Expr::value(Value::Number("0".to_owned(), false))),
        };
        let case = Expr::Case {
            case_token: super::sqlparser::ast::helpers::attached_token::AttachedToken::empty(),
            end_token: super::sqlparser::ast::helpers::attached_token::AttachedToken::empty(),
            operand: None,
            conditions: vec![
                CaseWhen { condition: some(decisive), result: Expr::value(Value::Boolean(!all)) },
                CaseWhen { condition: some(undecided), result: null() },
            ],
            else_result: Some(Box::new(Expr::value(Value::Boolean(all)))),
        };
        let mut outer = over_column(query, vec![SelectItem::UnnamedExpr(case)], None);
        self.nested_query(&mut outer)?;
        Ok(Expr::Subquery(Box::new(outer)))
    }
}

/// `SELECT items FROM (query) q(value) [WHERE ..]`.
fn over_column(query: Query, items: Vec<SelectItem>, selection: Option<Expr>) -> Query {
    let column = TableAliasColumnDef { name: Ident::with_quote('"', "value"), data_type: None };
    let alias = TableAlias {
        explicit: true,
        name: Ident::with_quote('"', format!("{HIDDEN}q")),
        columns: vec![column],
        at: None,
    };
    let relation = TableFactor::Derived { lateral: false, subquery: Box::new(query), alias: Some(alias), sample: None };
    let mut select = bare_select(items, vec![TableWithJoins { relation, joins: Vec::new() }]);
    select.selection = selection;
    bare_query(SetExpr::Select(Box::new(select)))
}

fn count_rows(filter: Option<Expr>) -> Expr {
    let Expr::Function(mut function) = call("count", Vec::new()) else { return null() };
    if let FunctionArguments::List(list) = &mut function.args {
        list.args.push(FunctionArg::Unnamed(FunctionArgExpr::Wildcard));
    }
    function.filter = filter.map(Box::new);
    Expr::Function(function)
}
