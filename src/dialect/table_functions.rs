//! The AST pass over the arguments of a report: a table function over a relation with options by name.
//!
//! Subqueries and option values get PostgreSQL's meaning like any other; a relation given by name stays a name, a relation that is itself a
//! table function becomes a subquery over it. What the user wrote travels beside each rewritten option, under its name and [`WRITTEN`]:
//! the report shows conditions as they were written and tells a list from a value.

use super::names::folded;
use super::semantics::{Rewriter, bare_query, plain_table, select_all};
use super::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, FunctionArgOperator, FunctionArguments, Ident, TableFactor, TableFunctionArgs,
};
use tributary_pg::error::PgError;

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
