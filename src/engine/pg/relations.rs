//! Relations that DataFusion plans differently: set operations and VALUES with PostgreSQL's common column types, and series.
//!
//! The AST pass has turned both into private table functions. Columns are brought to one type here, while planning, so
//! that everything above already sees the final types.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::common::{Column, DFSchema, DataFusionError, Result as EngineResult};
use datafusion::logical_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, LogicalPlanBuilder, lit};
use tributary_pg::error::PgError;
use tributary_pg::sqlstate;

use super::parameters::Parameters;
use super::planning::unresolved;
use super::resolve::{Resolution, function as resolve_function};
use super::series::Series;
use super::signatures::{Context, oid};
use super::typed::{Scope, Typed};
use super::types::{PgType, field};
use crate::dialect::forms::visible;
use crate::dialect::semantics::{SERIES, SET_OPERATION, VALUES};
use crate::dialect::sqlparser::ast::{Expr as SqlExpr, FunctionArg, FunctionArgExpr, TableFactor};
use crate::engine::session_vars::SessionVars;

/// Plans the private relations of one statement.
#[derive(Debug)]
pub(in crate::engine) struct PgRelations {
    /// Parameters of the statement.
    pub parameters: Arc<Parameters>,
    /// The session.
    pub session: SessionVars,
}

fn external(error: PgError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

impl RelationPlanner for PgRelations {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> EngineResult<RelationPlanning> {
        let TableFactor::Function { name, args, alias, .. } = &relation else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let name = name.0.first().and_then(|part| part.as_ident()).map(|ident| ident.value.clone()).unwrap_or_default();
        let plan = if let Some(rest) = name.strip_prefix(SET_OPERATION) {
            self.set_operation(rest, args.clone(), context)?
        } else if let Some(rest) = name.strip_prefix(SERIES) {
            self.series(rest, args.clone(), context)?
        } else if name == VALUES {
            self.values(args.clone(), context)?
        } else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias.clone()))))
    }
}

impl PgRelations {
    fn set_operation(
        &self,
        rest: &str,
        args: Vec<FunctionArg>,
        context: &mut dyn RelationPlannerContext,
    ) -> EngineResult<LogicalPlan> {
        let mut words = rest.split('\u{1}').skip(1);
        let (operator, all) = (words.next().unwrap_or("UNION"), words.next() == Some("ALL"));
        let mut plans = Vec::with_capacity(args.len());
        for arg in args {
            let FunctionArg::Unnamed(FunctionArgExpr::Expr(SqlExpr::Subquery(subquery))) = arg else {
                return Err(external(PgError::internal("a branch of a set operation is no query")));
            };
            plans.push(context.plan(TableFactor::Derived { lateral: false, subquery, alias: None, sample: None })?);
        }
        let width = plans.first().map_or(0, |plan| plan.schema().fields().len());
        if plans.iter().any(|plan| plan.schema().fields().len() != width) {
            let message = format!("each {operator} query must have the same number of columns");
            return Err(external(PgError::new(sqlstate::SYNTAX_ERROR, message)));
        }
        let plans = self.aligned(plans, operator)?;
        let mut plans = plans.into_iter();
        let Some(mut left) = plans.next() else {
            return Err(external(PgError::internal("a set operation has no branches")));
        };
        for right in plans {
            left = match operator {
                "EXCEPT" => LogicalPlanBuilder::except(left, right, all)?,
                "INTERSECT" => LogicalPlanBuilder::intersect(left, right, all)?,
                _ => LogicalPlanBuilder::from(left).union(right)?.build()?,
            };
        }
        if operator == "UNION" && !all {
            left = LogicalPlanBuilder::from(left).distinct()?.build()?;
        }
        Ok(left)
    }

    /// Projects every branch to the common column types, under the first branch's names.
    fn aligned(&self, plans: Vec<LogicalPlan>, what: &str) -> EngineResult<Vec<LogicalPlan>> {
        let width = plans.first().map_or(0, |plan| plan.schema().fields().len());
        let names: Vec<String> = plans
            .first()
            .map_or_else(Vec::new, |plan| plan.schema().fields().iter().map(|one| one.name().clone()).collect());
        let schemas: Vec<Arc<DFSchema>> = plans.iter().map(|plan| Arc::clone(plan.schema())).collect();
        let mut columns: Vec<Vec<Expr>> = vec![Vec::with_capacity(width); plans.len()];
        for (index, name) in names.iter().enumerate() {
            let mut values = Vec::with_capacity(plans.len());
            for (plan, schema) in plans.iter().zip(&schemas) {
                values.push(self.column(plan, schema, index).map_err(external)?);
            }
            let unified = self.scope(&schemas[0]).unify(values, what).map_err(external)?.0;
            for ((branch, value), schema) in columns.iter_mut().zip(unified).zip(&schemas) {
                let expr = self.scope(schema).finish(value).map_err(external)?;
                branch.push(expr.alias(name.clone()));
            }
        }
        plans
            .into_iter()
            .zip(columns)
            .map(|(plan, exprs)| LogicalPlanBuilder::from(plan).project(exprs)?.build())
            .collect()
    }

    /// A branch's column; a constant of unknown type is taken out so that it can still become anything.
    fn column(&self, plan: &LogicalPlan, schema: &Arc<DFSchema>, index: usize) -> Result<Typed, PgError> {
        if let LogicalPlan::Projection(projection) = plan {
            let inner = match &projection.expr[index] {
                Expr::Alias(alias) => alias.expr.as_ref(),
                other => other,
            };
            let typed = match inner {
                Expr::Literal(..) | Expr::Placeholder(_) => Some(self.scope(schema).typed(inner.clone())?),
                _ => None,
            };
            // A parameter's type is known here and not to the branch's schema.
            let parameter = matches!(inner, Expr::Placeholder(_));
            if let Some(typed) = typed.filter(|typed| parameter || typed.unknown()) {
                return Ok(typed);
            }
        }
        let column = schema.columns().swap_remove(index);
        self.scope(schema).typed(Expr::Column(column))
    }

    fn scope<'a>(&'a self, schema: &'a DFSchema) -> Scope<'a> {
        Scope { schema, parameters: &self.parameters, session: &self.session }
    }

    /// `FROM generate_series(..)` over constants and parameters.
    fn series(
        &self,
        rest: &str,
        args: Vec<FunctionArg>,
        context: &mut dyn RelationPlannerContext,
    ) -> EngineResult<LogicalPlan> {
        let mut words = rest.split('\u{1}').skip(1);
        let at = words.next().and_then(|text| text.parse().ok()).unwrap_or(0);
        let column = words.next().unwrap_or_default();
        let schema = DFSchema::empty();
        let scope = self.scope(&schema);
        let mut bounds = Vec::with_capacity(args.len());
        for arg in args {
            let FunctionArg::Unnamed(FunctionArgExpr::Expr(one)) = arg else {
                return Err(external(PgError::internal("a bound of a series is no expression")));
            };
            bounds.push(scope.typed(context.sql_expr_to_logical_expr(one, &schema)?).map_err(external)?);
        }
        self.series_of(&scope, column, bounds, at)
    }

    fn series_of(&self, scope: &Scope<'_>, column: &str, bounds: Vec<Typed>, at: usize) -> EngineResult<LogicalPlan> {
        let name = "generate_series";
        let inputs: Vec<u32> = bounds.iter().map(|one| one.of.oid).collect();
        let found = match resolve_function(name, &inputs) {
            Resolution::Found(found) => found,
            missing => {
                return Err(external(unresolved(name, &inputs, matches!(missing, Resolution::Ambiguous), at)));
            }
        };
        let of = PgType::plain(found.proc.result);
        if of.oid == oid::NUMERIC {
            let list = super::arrays::set_function(scope, name, bounds, at).map_err(external)?;
            let list = scope.finish(list).map_err(external)?;
            return LogicalPlanBuilder::empty(true)
                .project([list.alias(column)])?
                .unnest_column(Column::new_unqualified(column))?
                .build();
        }
        let mut coerced = Vec::with_capacity(3);
        for (bound, target) in bounds.into_iter().zip(&found.arguments) {
            let bound = scope.coerce(bound, PgType::plain(*target), Context::Implicit).map_err(external)?;
            coerced.push(scope.finish(bound).map_err(external)?);
        }
        match (coerced.len(), of.oid) {
            (2, oid::INT4) => coerced.push(lit(1_i32)),
            (2, oid::INT8) => coerced.push(lit(1_i64)),
            _ => {}
        }
        let field = field(column, of, false).map_err(external)?;
        let schema = DFSchema::from_unqualified_fields(vec![field].into(), HashMap::new())?;
        let node = Series::new(coerced, Arc::new(schema));
        Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
    }

    fn values(&self, args: Vec<FunctionArg>, context: &mut dyn RelationPlannerContext) -> EngineResult<LogicalPlan> {
        let schema = DFSchema::empty();
        let scope = self.scope(&schema);
        let mut rows: Vec<Vec<Typed>> = Vec::with_capacity(args.len());
        for arg in args {
            let FunctionArg::Unnamed(FunctionArgExpr::Expr(SqlExpr::Tuple(values))) = arg else {
                return Err(external(PgError::internal("a row of VALUES is no tuple")));
            };
            let mut row = Vec::with_capacity(values.len());
            for value in values {
                let expr = context.sql_expr_to_logical_expr(value, &schema)?;
                row.push(scope.typed(expr).map_err(external)?);
            }
            rows.push(row);
        }
        let width = rows.first().map_or(0, Vec::len);
        let mut done: Vec<Vec<Expr>> = rows.iter().map(|_| Vec::with_capacity(width)).collect();
        for index in 0..width {
            let column = rows.iter().map(|row| row[index].clone()).collect();
            let (values, _) = scope.unify(column, "VALUES").map_err(external)?;
            for (row, value) in done.iter_mut().zip(values) {
                row.push(scope.finish(value).map_err(external)?);
            }
        }
        LogicalPlanBuilder::values(done)?.build()
    }
}

/// The user's name for a planner's column name.
pub(super) fn shown(name: &str) -> &str {
    visible(name)
}
