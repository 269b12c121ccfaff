//! The AST pass over arguments by name: those of a report (a table function over a relation) and those of our own functions.
//!
//! Subqueries and option values get PostgreSQL's meaning like any other; a relation given by name stays a name, a relation that is itself a
//! table function becomes a subquery over it. What the user wrote travels beside each rewritten option, under its name and [`WRITTEN`]:
//! the report shows conditions as they were written and tells a list from a value.

use super::names::folded;
use super::semantics::{Rewriter, bare_query, plain_table, select_all};
use super::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, FunctionArgOperator, FunctionArguments, Ident, TableFactor, TableFunctionArgs,
    Value,
};
use tributary_pg::error::PgError;
use tributary_pg::sqlstate;

/// Ends the name under which an option's text as written travels.
pub const WRITTEN: &str = "\u{2}written";

impl Rewriter<'_> {
    /// Rewrites the arguments of a report.
    pub(super) fn report_arguments(&mut self, arguments: Vec<FunctionArg>) -> Result<Vec<FunctionArg>, PgError> {
        let mut done = Vec::with_capacity(arguments.len() * 2);
        for argument in arguments {
            match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(mut relation)) => {
                    self.relation_argument(&mut relation)?;
                    done.push(FunctionArg::Unnamed(FunctionArgExpr::Expr(relation)));
                }
                FunctionArg::Named { name, arg: FunctionArgExpr::Expr(value), .. }
                | FunctionArg::ExprNamed { name: Expr::Identifier(name), arg: FunctionArgExpr::Expr(value), .. } => {
                    let mut rewritten = value.clone();
                    self.option(&mut rewritten)?;
                    let written = Ident::with_quote('"', format!("{}{WRITTEN}", folded(&name)));
                    done.extend([named(name, rewritten), named(written, value)]);
                }
                other => done.push(other),
            }
        }
        Ok(done)
    }

    /// Puts the named arguments of one of our own functions where its parameters are. Parameters left out between others become NULL,
    /// which means their default; those at the end stay out.
    pub(super) fn place_named_arguments(
        &self,
        function: &str,
        arguments: &mut Vec<FunctionArg>,
    ) -> Result<(), PgError> {
        let parameters = self.functions.parameters(function);
        let by_name = |argument: &FunctionArg| !matches!(argument, FunctionArg::Unnamed(_));
        if parameters.is_empty() || !arguments.iter().any(by_name) {
            return Ok(());
        }
        let syntax = |message: &str| PgError::new(sqlstate::SYNTAX_ERROR, message);
        let mut placed: Vec<Option<FunctionArgExpr>> = vec![None; parameters.len()];
        let mut named = false;
        for (position, argument) in std::mem::take(arguments).into_iter().enumerate() {
            let (at, value) = match argument {
                FunctionArg::Unnamed(_) if named => {
                    return Err(syntax("positional argument cannot follow named argument"));
                }
                FunctionArg::Unnamed(value) => (Some(position), value),
                FunctionArg::Named { name, arg, .. }
                | FunctionArg::ExprNamed { name: Expr::Identifier(name), arg, .. } => {
                    named = true;
                    let name = folded(&name);
                    (parameters.iter().position(|known| *known == name), arg)
                }
                FunctionArg::ExprNamed { .. } => return Err(syntax("an argument name must be a word")),
            };
            match at.and_then(|at| placed.get_mut(at)) {
                Some(Some(_)) => return Err(syntax("an argument is given twice")),
                Some(place) => *place = Some(value),
                None => {
                    let message = format!("function {function} has no such argument");
                    let hint = format!("Its arguments are {}.", parameters.join(", "));
                    return Err(PgError::new(sqlstate::UNDEFINED_FUNCTION, message).hint(hint));
                }
            }
        }
        let count = placed.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        let null = || FunctionArgExpr::Expr(Expr::Value(Value::Null.into()));
        arguments.extend(placed.into_iter().take(count).map(|value| FunctionArg::Unnamed(value.unwrap_or_else(null))));
        Ok(())
    }

    fn option(&mut self, value: &mut Expr) -> Result<(), PgError> {
        match value {
            Expr::Array(list) => list.elem.iter_mut().try_for_each(|item| self.value(item)),
            Expr::Identifier(_) | Expr::CompoundIdentifier(_) => Ok(()),
            Expr::Subquery(query) => self.query_at(query, true),
            other => self.value(other),
        }
    }

    fn relation_argument(&mut self, relation: &mut Expr) -> Result<(), PgError> {
        match relation {
            Expr::Subquery(query) => self.query_at(query, true),
            Expr::Nested(inner) => self.relation_argument(inner),
            Expr::Function(call) => {
                let FunctionArguments::List(list) = &mut call.args else { return Ok(()) };
                let args = std::mem::take(&mut list.args);
                let mut factor = plain_table(call.name.clone());
                if let TableFactor::Table { args: of_factor, .. } = &mut factor {
                    *of_factor = Some(TableFunctionArgs { args, settings: None });
                }
                self.factor(&mut factor)?;
                *relation = Expr::Subquery(Box::new(bare_query(select_all(factor))));
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

fn named(name: Ident, value: Expr) -> FunctionArg {
    FunctionArg::ExprNamed {
        name: Expr::Identifier(name),
        arg: FunctionArgExpr::Expr(value),
        operator: FunctionArgOperator::RightArrow,
    }
}
