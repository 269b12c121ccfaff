//! The words between two relations of FROM.
//!
//! The engine would take more than PostgreSQL has, and of a RIGHT or FULL JOIN with USING it shows the left side's column
//! where PostgreSQL shows the one that is there: both are refused.

use tributary_pg::error::PgError;
use tributary_pg::sqlstate;

use super::names::folded;
use super::sqlparser::ast::{Expr, JoinConstraint, JoinOperator, TableFactor, TableWithJoins};

/// The condition of ON, if there is one.
pub(super) fn condition(join: &mut JoinOperator) -> Result<Option<&mut Expr>, PgError> {
    let (constraint, right_shows) = match join {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::CrossJoin(constraint) => (constraint, false),
        JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint) => (constraint, true),
        _ => return Err(PgError::new(sqlstate::SYNTAX_ERROR, "syntax error: no such kind of join")),
    };
    match constraint {
        JoinConstraint::On(condition) => Ok(Some(condition)),
        JoinConstraint::Using(_) | JoinConstraint::Natural if right_shows => {
            Err(PgError::unsupported("RIGHT and FULL JOIN with USING or NATURAL are not supported")
                .hint("Join with ON, and take the columns of both sides with coalesce()."))
        }
        _ => Ok(None),
    }
}

/// Names of the columns that USING made of two each.
pub(super) fn merged(from: &[TableWithJoins]) -> Vec<String> {
    let mut names = Vec::new();
    let mut left: Vec<&TableWithJoins> = from.iter().collect();
    while let Some(one) = left.pop() {
        let factors = std::iter::once(&one.relation).chain(one.joins.iter().map(|join| &join.relation));
        left.extend(factors.filter_map(|factor| match factor {
            TableFactor::NestedJoin { table_with_joins, alias: None } => Some(table_with_joins.as_ref()),
            _ => None,
        }));
        for join in &one.joins {
            if let JoinOperator::Join(JoinConstraint::Using(columns))
            | JoinOperator::Inner(JoinConstraint::Using(columns))
            | JoinOperator::Left(JoinConstraint::Using(columns))
            | JoinOperator::LeftOuter(JoinConstraint::Using(columns)) = &join.join_operator
            {
                names.extend(columns.iter().filter_map(|name| name.0.last()?.as_ident()).map(folded));
            }
        }
    }
    names
}
