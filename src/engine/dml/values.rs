//! Rows of a VALUES list, computed without a plan.
//!
//! For: the statement applications send most, INSERT of a few rows of parameters and constants. Optimizing and starting a plan for it
//! costs more than storing the rows does. Does not: anything that reads rows; such a list is planned like any query.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, DataFusionError};
use datafusion::execution::SessionState;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Expr, LogicalPlan, Values};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::scalar::ScalarValue;
use tributary_pg::error::PgError;

use crate::engine::pg::map_error;

/// The rows of an analyzed plan with `$1`, `$2`, ... in place; `None` if the plan is more than a list of values.
pub(super) fn rows(
    state: &SessionState,
    plan: &LogicalPlan,
    parameters: &[ArrayRef],
) -> Result<Option<RecordBatch>, PgError> {
    let Some((values, columns)) = listed(plan) else { return Ok(None) };
    if !values.values.iter().flatten().all(alone) {
        return Ok(None);
    }
    let parameters: Vec<ScalarValue> = parameters
        .iter()
        .map(|array| ScalarValue::try_from_array(array, 0))
        .collect::<Result<_, _>>()
        .map_err(map_error)?;
    let evaluator = Evaluator { state, parameters, nothing: DFSchema::empty() };
    let mut cells: Vec<Vec<ScalarValue>> = vec![Vec::with_capacity(values.values.len()); values.schema.fields().len()];
    for row in &values.values {
        for (column, expr) in cells.iter_mut().zip(row) {
            column.push(evaluator.value(expr)?);
        }
    }
    let mut arrays = Vec::with_capacity(columns.len());
    for (&column, field) in columns.iter().zip(plan.schema().fields()) {
        let array = ScalarValue::iter_to_array(std::mem::take(&mut cells[column])).map_err(map_error)?;
        let array = match array.data_type() {
            DataType::Null => new_null_array(field.data_type(), array.len()),
            found if found == field.data_type() => array,
            // Rows of several types: the planner knows how to bring them together.
            _ => return Ok(None),
        };
        arrays.push(array);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(values.values.len()));
    let schema = Arc::new(plan.schema().as_arrow().clone());
    RecordBatch::try_new_with_options(schema, arrays, &options).map(Some).map_err(|error| map_error(error.into()))
}

/// The list and which of its columns are wanted, each at most once.
fn listed(plan: &LogicalPlan) -> Option<(&Values, Vec<usize>)> {
    match plan {
        LogicalPlan::Values(values) => Some((values, (0..values.schema.fields().len()).collect())),
        LogicalPlan::Projection(projection) => {
            let (values, below) = listed(&projection.input)?;
            let mut columns = Vec::with_capacity(projection.expr.len());
            for expr in &projection.expr {
                let Expr::Column(column) = expr.clone().unalias() else { return None };
                let column = below[projection.input.schema().index_of_column(&column).ok()?];
                if columns.contains(&column) {
                    return None;
                }
                columns.push(column);
            }
            Some((values, columns))
        }
        _ => None,
    }
}

/// Whether an expression can be computed without rows.
fn alone(expr: &Expr) -> bool {
    let mut alone = true;
    let walked = expr.apply(|node| {
        alone = matches!(
            node,
            Expr::Literal(..)
                | Expr::Placeholder(_)
                | Expr::Alias(_)
                | Expr::Cast(_)
                | Expr::BinaryExpr(_)
                | Expr::Negative(_)
                | Expr::Not(_)
                | Expr::Case(_)
                | Expr::IsNull(_)
                | Expr::IsNotNull(_)
                | Expr::ScalarFunction(_)
        );
        Ok(if alone { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    });
    walked.is_ok() && alone
}

struct Evaluator<'a> {
    state: &'a SessionState,
    parameters: Vec<ScalarValue>,
    nothing: DFSchema,
}

impl Evaluator<'_> {
    fn value(&self, expr: &Expr) -> Result<ScalarValue, PgError> {
        match expr {
            Expr::Literal(value, _) => Ok(value.clone()),
            Expr::Alias(alias) => self.value(&alias.expr),
            Expr::Placeholder(placeholder) => self.parameter(&placeholder.id),
            _ => self.computed(expr),
        }
    }

    /// The value of `$n`.
    fn parameter(&self, id: &str) -> Result<ScalarValue, PgError> {
        let number: Option<usize> = id.strip_prefix('$').and_then(|number| number.parse().ok());
        let value = number.and_then(|number| self.parameters.get(number.checked_sub(1)?));
        value.cloned().ok_or_else(|| PgError::internal(format!("no value for parameter {id}")))
    }

    fn computed(&self, expr: &Expr) -> Result<ScalarValue, PgError> {
        let placed = expr.clone().transform_up(|node| {
            Ok(match &node {
                Expr::Placeholder(placeholder) => {
                    let value =
                        self.parameter(&placeholder.id).map_err(|error| DataFusionError::External(error.into()))?;
                    Transformed::yes(Expr::Literal(value, None))
                }
                _ => Transformed::no(node),
            })
        });
        let placed = placed.map_err(map_error)?.data;
        let context = SimplifyContext::builder()
            .with_schema(Arc::new(DFSchema::empty()))
            .with_config_options(Arc::clone(self.state.config_options()))
            .with_query_execution_start_time(self.state.execution_props().query_execution_start_time);
        // Some functions are nothing but what they are simplified to.
        let simple = ExprSimplifier::new(context.build()).simplify(placed).map_err(map_error)?;
        if let Expr::Literal(value, _) = simple {
            return Ok(value);
        }
        let physical = self.state.create_physical_expr(simple, &self.nothing).map_err(map_error)?;
        let one_row = RecordBatch::try_new_with_options(
            Arc::new(Schema::new(Vec::<Field>::new())),
            Vec::new(),
            &RecordBatchOptions::new().with_row_count(Some(1)),
        );
        let one_row = one_row.map_err(|error| map_error(error.into()))?;
        let value = physical.evaluate(&one_row).and_then(|value| value.into_array(1)).map_err(map_error)?;
        ScalarValue::try_from_array(&value, 0).map_err(map_error)
    }
}
