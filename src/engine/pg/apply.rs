//! Correlated subqueries that joins cannot express: computed for each distinct row of their outer values.
//!
//! DataFusion turns most correlated subqueries into joins and refuses the rest: a scalar subquery without an aggregate, a
//! derived table or a function in FROM that reads outer columns, LIMIT inside. PostgreSQL runs them all, so a plan that
//! DataFusion cannot decorrelate is rewritten here: the subquery becomes a function of its outer columns. It is planned
//! once a distinct combination of their values, which is exact and slow; nothing that a join can do comes here.
//!
//! Several rows from a scalar subquery are 21000. The statement's cancel is looked at before each run.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::metadata::FieldMetadata;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, JoinType, Result as EngineResult};
use datafusion::execution::SessionState;
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::expr::{Exists, InSubquery};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, ReturnFieldArgs, ScalarFunctionArgs,
    ScalarUDF, ScalarUDFImpl, Signature, Volatility, ident, lit, when,
};
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::scalar::ScalarValue;
use tributary_pg::error::PgError;
use tributary_pg::sqlstate;

use crate::engine::STACK_BYTES;
use crate::engine::give_way::aside;
use crate::engine::session_vars::SessionVars;

/// Does the plan hold a subquery that reads outer columns?
pub(in crate::engine) fn correlated(plan: &LogicalPlan) -> bool {
    let mut found = false;
    let walked = plan.apply_with_subqueries(|node| {
        found |= node.expressions().iter().any(holds_outer_reference);
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    found && walked.is_ok()
}

fn holds_outer_reference(expr: &Expr) -> bool {
    expr.exists(|one| Ok(matches!(one, Expr::OuterReferenceColumn(..)))).unwrap_or(false)
}

/// Does the optimizer get rid of every outer column?
pub(in crate::engine) fn decorrelates(state: &SessionState, analyzed: &LogicalPlan) -> bool {
    match state.optimizer().optimize(analyzed.clone(), state, |_, _| {}) {
        Ok(optimized) => !correlated(&optimized) && runs(&optimized),
        Err(_) => false,
    }
}

/// Whether joins that the optimizer made can be run, and mean what they should: NOT IN is a join that knows NULL only with
/// one key and no other condition, and some conditions name columns that the subquery has lost on the way.
fn runs(plan: &LogicalPlan) -> bool {
    let refused = plan.exists(|node| {
        let LogicalPlan::Join(join) = node else { return Ok(false) };
        let known = |column| join.left.schema().has_column(column) || join.right.schema().has_column(column);
        let lost = node.expressions().iter().any(|expr| !expr.column_refs().into_iter().all(known));
        Ok(lost || join.null_aware && (join.on.len() > 1 || join.filter.is_some()))
    });
    !refused.unwrap_or(true)
}

/// Makes functions of the correlated subqueries of a plan that is not analyzed yet, innermost first.
pub(in crate::engine) fn rewrite(plan: LogicalPlan) -> EngineResult<LogicalPlan> {
    let rewritten = plan.transform_up_with_subqueries(|node| {
        let node = match lateral_values(&node)? {
            Some(joined) => joined,
            None => node,
        };
        let names = NamePreserver::new(&node);
        let inputs: Vec<Arc<datafusion::common::DFSchema>> =
            node.inputs().iter().map(|input| Arc::clone(input.schema())).collect();
        node.map_expressions(|expr| {
            let name = names.save(&expr);
            let done = expr.transform_up(|one| match one {
                Expr::ScalarSubquery(subquery) => match outer_columns(&subquery.subquery, &inputs)? {
                    columns if columns.is_empty() => Ok(Transformed::no(Expr::ScalarSubquery(subquery))),
                    columns => Ok(Transformed::yes(function_of(Arc::clone(&subquery.subquery), columns)?)),
                },
                Expr::Exists(exists) => match outer_columns(&exists.subquery.subquery, &inputs)? {
                    columns if columns.is_empty() => Ok(Transformed::no(Expr::Exists(exists))),
                    columns => Ok(Transformed::yes(function_of(existence(&exists)?, columns)?)),
                },
                Expr::InSubquery(found) => match outer_columns(&found.subquery.subquery, &inputs)? {
                    columns if columns.is_empty() => Ok(Transformed::no(Expr::InSubquery(found))),
                    columns => Ok(Transformed::yes(membership(&found, columns, &inputs)?)),
                },
                other => Ok(Transformed::no(other)),
            })?;
            Ok(done.update_data(|expr| name.restore(expr)))
        })
    })?;
    Ok(rewritten.data)
}

/// EXISTS as a scalar subquery.
fn existence(exists: &Exists) -> EngineResult<Arc<LogicalPlan>> {
    let rows = LogicalPlanBuilder::from(exists.subquery.subquery.as_ref().clone());
    let none = Vec::<Expr>::new();
    let counted = rows.aggregate(none, [count(lit(1i64)).alias("rows")])?;
    let rows = ident("rows");
    let test = if exists.negated { rows.eq(lit(0i64)) } else { rows.gt(lit(0i64)) };
    Ok(Arc::new(counted.project([test.alias("exists")])?.build()?))
}

/// IN as a function of the outer columns, those of its left side included: true, false or unknown.
fn membership(
    found: &InSubquery,
    mut outer: Vec<Expr>,
    inputs: &[Arc<datafusion::common::DFSchema>],
) -> EngineResult<Expr> {
    let left = found.expr.as_ref().clone().transform(|one| match &one {
        Expr::Column(column) => {
            let schema = inputs.iter().find(|schema| schema.has_column(column));
            let Some(schema) = schema else { return Ok(Transformed::no(one)) };
            let (_, field) = schema.qualified_field_from_column(column)?;
            let reference = Expr::OuterReferenceColumn(Arc::clone(field), column.clone());
            if !outer.contains(&reference) {
                outer.push(reference.clone());
            }
            Ok(Transformed::yes(reference))
        }
        _ => Ok(Transformed::no(one)),
    })?;
    let subquery = found.subquery.subquery.as_ref().clone();
    let Some(value) = subquery.schema().columns().into_iter().next() else {
        return Err(external(PgError::internal("the subquery of IN has no column")));
    };
    let equal = left.data.eq(Expr::Column(value));
    let counted =
        |test: Expr, name: &str| -> EngineResult<Expr> { Ok(count(when(test, lit(1i64)).end()?).alias(name)) };
    let counts = [counted(equal.clone(), "hits")?, counted(equal.is_null(), "unknown")?];
    let counts = LogicalPlanBuilder::from(subquery).aggregate(Vec::<Expr>::new(), counts)?;
    let answer = when(ident("hits").gt(lit(0i64)), lit(!found.negated))
        .when(ident("unknown").gt(lit(0i64)), lit(ScalarValue::Boolean(None)))
        .otherwise(lit(found.negated))?;
    function_of(Arc::new(counts.project([answer.alias("in")])?.build()?), outer)
}

/// `FROM t, LATERAL (SELECT f(t.a)) s`: the values are columns beside those of t.
fn lateral_values(node: &LogicalPlan) -> EngineResult<Option<LogicalPlan>> {
    let LogicalPlan::Join(join) = node else { return Ok(None) };
    let plain = join.on.is_empty() && join.filter.is_none() && join.join_type == JoinType::Inner;
    let LogicalPlan::SubqueryAlias(alias) = join.right.as_ref() else { return Ok(None) };
    let Some(projection) = one_row(alias.input.as_ref()).filter(|_| plain) else { return Ok(None) };
    let left = join.left.schema();
    let mut columns: Vec<Expr> = left.columns().into_iter().map(Expr::Column).collect();
    for (index, value) in projection.iter().enumerate() {
        let value = value.clone().unalias().transform_up(|one| {
            Ok(match one {
                Expr::OuterReferenceColumn(_, column) => Transformed::yes(Expr::Column(column)),
                other => Transformed::no(other),
            })
        })?;
        let (relation, field) = alias.schema.qualified_field(index);
        columns.push(value.data.alias_qualified(relation.cloned(), field.name()));
    }
    let joined = LogicalPlanBuilder::from(join.left.as_ref().clone()).project(columns)?.build()?;
    Ok(Some(joined))
}

/// The values of a lateral query that has no FROM.
fn one_row(plan: &LogicalPlan) -> Option<&[Expr]> {
    match plan {
        LogicalPlan::Subquery(lateral) => one_row(&lateral.subquery),
        LogicalPlan::SubqueryAlias(alias) => one_row(&alias.input),
        LogicalPlan::Projection(projection) => match projection.input.as_ref() {
            LogicalPlan::EmptyRelation(empty) if empty.produce_one_row => Some(&projection.expr),
            LogicalPlan::Projection(inner) if projection.expr.iter().all(renames) => one_row_of(inner),
            _ => None,
        },
        _ => None,
    }
}

fn one_row_of(projection: &datafusion::logical_expr::Projection) -> Option<&[Expr]> {
    match projection.input.as_ref() {
        LogicalPlan::EmptyRelation(empty) if empty.produce_one_row => Some(&projection.expr),
        _ => None,
    }
}

/// `a AS b`: what a column list of an alias makes.
fn renames(expr: &Expr) -> bool {
    match expr {
        Expr::Alias(alias) => matches!(alias.expr.as_ref(), Expr::Column(_)),
        other => matches!(other, Expr::Column(_)),
    }
}

/// The outer references of a subquery that the columns at hand satisfy, each once.
fn outer_columns(subquery: &LogicalPlan, inputs: &[Arc<datafusion::common::DFSchema>]) -> EngineResult<Vec<Expr>> {
    let mut found: Vec<Expr> = Vec::new();
    subquery.apply_with_subqueries(|node| {
        for expr in node.expressions() {
            expr.apply(|one| {
                let wanted = match one {
                    Expr::OuterReferenceColumn(_, column) => inputs.iter().any(|schema| schema.has_column(column)),
                    Expr::Placeholder(_) => true,
                    _ => false,
                };
                if wanted && !found.contains(one) {
                    found.push(one.clone());
                }
                Ok(TreeNodeRecursion::Continue)
            })?;
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    let outer = found.iter().any(|one| matches!(one, Expr::OuterReferenceColumn(..)));
    Ok(if outer { found } else { Vec::new() })
}

fn function_of(subquery: Arc<LogicalPlan>, outer: Vec<Expr>) -> EngineResult<Expr> {
    let Some(field) = subquery.schema().fields().first().map(Arc::clone) else {
        return Err(external(PgError::internal("a scalar subquery has no column")));
    };
    let arguments = outer
        .iter()
        .map(|one| match one {
            Expr::OuterReferenceColumn(_, column) => Expr::Column(column.clone()),
            other => other.clone(),
        })
        .collect();
    let field = Arc::new(field.as_ref().clone().with_nullable(true));
    let apply = Apply { subquery, outer, field, signature: Signature::variadic_any(Volatility::Volatile) };
    Ok(ScalarUDF::new_from_impl(apply).call(arguments))
}

/// A subquery as a function of its outer columns. Volatile: what it reads changes, so it is never folded.
#[derive(Debug)]
struct Apply {
    subquery: Arc<LogicalPlan>,
    outer: Vec<Expr>,
    field: FieldRef,
    signature: Signature,
}

impl PartialEq for Apply {
    fn eq(&self, other: &Self) -> bool {
        self.subquery == other.subquery && self.outer == other.outer
    }
}

impl Eq for Apply {}

impl Hash for Apply {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.subquery.hash(state);
        self.outer.hash(state);
    }
}

impl ScalarUDFImpl for Apply {
    fn name(&self) -> &str {
        "subquery"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> EngineResult<DataType> {
        Ok(self.field.data_type().clone())
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs<'_>) -> EngineResult<FieldRef> {
        Ok(Arc::clone(&self.field))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
        let columns: Vec<ArrayRef> =
            args.args.iter().map(|arg| arg.to_array(args.number_rows)).collect::<EngineResult<_>>()?;
        // The engine's own threads must not wait for each other, so the subquery runs on one of its own.
        let values = aside(|| {
            std::thread::scope(|scope| {
                let work = || self.values(&args.config_options, &columns, args.number_rows);
                let worker = std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, work);
                let worker = worker.map_err(|error| {
                    external(PgError::internal(format!("cannot start a thread for a subquery: {error}")))
                })?;
                worker.join().unwrap_or_else(|_| Err(external(PgError::internal("a subquery's thread panicked"))))
            })
        })?;
        if values.is_empty() {
            return Ok(ColumnarValue::Array(arrow::array::new_empty_array(self.field.data_type())));
        }
        ScalarValue::iter_to_array(values).map(ColumnarValue::Array)
    }
}

impl Apply {
    fn values(&self, outer: &ConfigOptions, columns: &[ArrayRef], rows: usize) -> EngineResult<Vec<ScalarValue>> {
        let vars =
            SessionVars::of(outer).ok_or_else(|| external(PgError::internal("a subquery runs outside a session")))?;
        let engine = vars.engine.as_ref().ok_or_else(|| external(PgError::internal("no engine")))?;
        let mut state = engine.subquery_state();
        // The session and the rows its statement reads.
        state.config_mut().options_mut().extensions = outer.extensions.clone();
        let options = Arc::clone(state.config_options());
        state.execution_props_mut().config_options = Some(options);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(|error| external(PgError::internal(format!("no runtime for a subquery: {error}"))))?;
        let token = vars.backend.as_ref().and_then(|backend| backend.running()).unwrap_or_default();
        let mut known: HashMap<Vec<ScalarValue>, ScalarValue> = HashMap::new();
        let mut values = Vec::with_capacity(rows);
        for row in 0..rows {
            let key = columns
                .iter()
                .map(|column| ScalarValue::try_from_array(column, row))
                .collect::<EngineResult<Vec<_>>>()?;
            let value = match known.get(&key) {
                Some(value) => value.clone(),
                None => {
                    token.check().map_err(external)?;
                    let value = self.value(&state, &key);
                    let value = runtime.block_on(async {
                        tokio::select! {
                            biased;
                            error = token.fired() => Err(external(error)),
                            value = value => value,
                        }
                    })?;
                    known.insert(key, value.clone());
                    value
                }
            };
            values.push(value);
        }
        Ok(values)
    }

    /// Runs the subquery with these outer values.
    async fn value(&self, state: &SessionState, outer: &[ScalarValue]) -> EngineResult<ScalarValue> {
        let plan = self.with_values(outer)?;
        let plan = state.analyzer().execute_and_check(plan, state.config_options(), |_, _| {})?;
        let plan = state.optimizer().optimize(plan, state, |_, _| {})?;
        let physical: Arc<dyn ExecutionPlan> = state.query_planner().create_physical_plan(&plan, state).await?;
        let batches = collect(physical, state.task_ctx()).await?;
        let mut value = None;
        for batch in batches {
            for row in 0..batch.num_rows() {
                if value.is_some() {
                    return Err(external(PgError::new(
                        sqlstate::CARDINALITY_VIOLATION,
                        "more than one row returned by a subquery used as an expression",
                    )));
                }
                value = Some(ScalarValue::try_from_array(batch.column(0), row)?);
            }
        }
        let null = ScalarValue::try_from(self.field.data_type())?;
        match value {
            Some(value) if value.data_type() == *self.field.data_type() => Ok(value),
            Some(value) => value.cast_to(self.field.data_type()),
            None => Ok(null),
        }
    }

    /// The subquery with literals in place of its outer columns.
    fn with_values(&self, outer: &[ScalarValue]) -> EngineResult<LogicalPlan> {
        let plan = self.subquery.as_ref().clone();
        let filled = plan.transform_up_with_subqueries(|node| {
            // With its outer columns filled in, a lateral item of FROM is an ordinary one.
            let node = match node {
                LogicalPlan::Subquery(lateral) if !correlated(&lateral.subquery) => {
                    return Ok(Transformed::yes(lateral.subquery.as_ref().clone()));
                }
                other => other,
            };
            let names = NamePreserver::new(&node);
            node.map_expressions(|expr| {
                let name = names.save(&expr);
                let done = expr.transform_up(|one| {
                    let index = self.outer.iter().position(|known| *known == one);
                    Ok(match index {
                        Some(index) => Transformed::yes(literal(&one, outer[index].clone())?),
                        None => Transformed::no(one),
                    })
                })?;
                Ok(done.update_data(|expr| name.restore(expr)))
            })
        })?;
        Ok(filled.data)
    }
}

/// A literal that keeps what is known of the column's type.
fn literal(of: &Expr, value: ScalarValue) -> EngineResult<Expr> {
    let metadata = match of {
        Expr::OuterReferenceColumn(field, _) => Some(FieldMetadata::from(field.as_ref())),
        other => {
            let (_, field) = other.to_field(&datafusion::common::DFSchema::empty())?;
            Some(FieldMetadata::from(field.as_ref()))
        }
    };
    Ok(Expr::Literal(value, metadata))
}

fn external(error: PgError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
