//! One resolved PostgreSQL function as a DataFusion scalar function.
//!
//! Resolution happens while planning, so an instance has fixed argument and result types and DataFusion never coerces
//! anything. Kernels take columnar values and give columnar values; a PgError inside travels as `External`.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, new_null_array};
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;
use tributary_pg::error::PgError;

use super::types::{PgType, arrow_type};
use crate::engine::give_way;
use crate::engine::session_vars::SessionVars;

/// What a kernel may know beside its values.
#[derive(Debug)]
pub(super) struct Call<'a> {
    /// Rows of the batch.
    pub rows: usize,
    /// PostgreSQL types of the arguments.
    pub arguments: &'a [PgType],
    /// Type of the result.
    pub result: PgType,
    /// Arrow field of the result.
    pub field: &'a FieldRef,
    /// The statement's options; the session is in them.
    pub options: &'a ConfigOptions,
}

impl Call<'_> {
    /// The session the statement runs in.
    pub fn session(&self) -> Option<&SessionVars> {
        SessionVars::of(self.options)
    }

    /// Arrow type of the result.
    pub fn data_type(&self) -> &DataType {
        self.field.data_type()
    }
}

/// A function's computation.
pub(super) type Kernel = fn(&Call<'_>, &[ColumnarValue]) -> Result<ColumnarValue, PgError>;

/// A resolved function.
#[derive(Debug, Clone)]
pub(super) struct PgFunction {
    /// Name in plans; unique for what it computes.
    pub name: String,
    /// Argument types.
    pub arguments: Vec<PgType>,
    /// Result type.
    pub result: PgType,
    /// Result field.
    pub field: FieldRef,
    /// Computation.
    pub kernel: Kernel,
    /// Whether a NULL argument makes the result NULL.
    pub strict: bool,
    signature: Signature,
    /// How deep calls of our own nest in its first argument.
    depth: usize,
    /// Of a chain: the functions one after another. The first takes its arguments, each later one the value so far and
    /// its other arguments.
    links: Vec<Arc<PgFunction>>,
}

impl PgFunction {
    /// A function over fixed types.
    pub fn new(
        name: String,
        arguments: Vec<PgType>,
        result: PgType,
        field: FieldRef,
        kernel: Kernel,
        strict: bool,
        volatility: Volatility,
    ) -> PgFunction {
        let signature = if arguments.is_empty() {
            Signature::nullary(volatility)
        } else {
            Signature::any(arguments.len(), volatility)
        };
        PgFunction { name, arguments, result, field, kernel, strict, signature, depth: 0, links: Vec::new() }
    }

    /// The call as an expression.
    pub fn call(mut self, arguments: Vec<Expr>) -> Expr {
        self.depth = arguments.first().and_then(own_call).map_or(0, |(own, _)| own.depth + 1);
        if self.depth < DEPTH_MAX {
            return ScalarUDF::new_from_impl(self).call(arguments);
        }
        let (chain, arguments) = chained(self, arguments);
        ScalarUDF::new_from_impl(chain).call(arguments)
    }

    fn run(&self, options: &ConfigOptions, rows: usize, arguments: Vec<ColumnarValue>) -> Result<ColumnarValue> {
        let Some((first, later)) = self.links.split_first() else {
            return self.compute(options, rows, arguments);
        };
        let mut values = arguments.into_iter();
        let mut value = first.compute(options, rows, values.by_ref().take(first.arguments.len()).collect())?;
        for link in later {
            let others = values.by_ref().take(link.arguments.len() - 1);
            value = link.compute(options, rows, std::iter::once(value).chain(others).collect())?;
        }
        Ok(value)
    }

    fn compute(&self, options: &ConfigOptions, rows: usize, mut values: Vec<ColumnarValue>) -> Result<ColumnarValue> {
        let null = |value: &ColumnarValue| matches!(value, ColumnarValue::Scalar(scalar) if scalar.is_null());
        if self.strict && values.iter().any(null) {
            return ScalarValue::try_from(self.field.data_type()).map(ColumnarValue::Scalar);
        }
        let call = Call { rows, arguments: &self.arguments, result: self.result, field: &self.field, options };
        for (value, of) in values.iter_mut().zip(&self.arguments) {
            // The optimizer tries predicates on columns of nothing but NULL, which have no type.
            if let ColumnarValue::Array(array) = value
                && *array.data_type() == DataType::Null
            {
                let data_type = arrow_type(*of).map_err(|error| DataFusionError::External(Box::new(error)))?;
                *value = ColumnarValue::Array(new_null_array(&data_type, array.len()));
            }
        }
        (self.kernel)(&call, &values).map_err(|error| DataFusionError::External(Box::new(error)))
    }
}

/// Calls nested deeper than this in first arguments become one chain: the planner's passes take time with the cube of the
/// depth of an expression, so that a sum of some hundred columns would be planned for minutes.
const DEPTH_MAX: usize = 16;

/// A call of a function of ours.
fn own_call(expr: &Expr) -> Option<(&PgFunction, &Vec<Expr>)> {
    let Expr::ScalarFunction(call) = expr else { return None };
    call.func.inner().downcast_ref::<PgFunction>().map(|own| (own, &call.args))
}

/// A call and those nested in its first argument as one function of all their arguments.
fn chained(outer: PgFunction, arguments: Vec<Expr>) -> (PgFunction, Vec<Expr>) {
    let volatility = |function: &PgFunction| function.signature.volatility;
    let (mut links, mut values, mut volatile) = (Vec::new(), Vec::new(), volatility(&outer));
    let (mut function, mut arguments) = (outer.clone(), arguments);
    // From the outermost inwards, so from the last to the first.
    loop {
        volatile = volatile.max(volatility(&function));
        if function.links.is_empty() {
            links.push(Arc::new(function));
        } else {
            links.extend(function.links.into_iter().rev());
        }
        values.extend(arguments.drain(1..).rev());
        let Some(first) = arguments.pop() else { break };
        match own_call(&first) {
            Some((inner, _)) if !inner.arguments.is_empty() => {
                function = inner.clone();
                if let Expr::ScalarFunction(call) = first {
                    arguments = call.args;
                }
            }
            _ => {
                values.push(first);
                break;
            }
        }
    }
    links.reverse();
    values.reverse();
    let others = links.iter().skip(1).flat_map(|link| link.arguments.iter().skip(1));
    let types: Vec<PgType> = links.iter().take(1).flat_map(|link| &link.arguments).chain(others).copied().collect();
    let names: Vec<&str> = links.iter().map(|link| link.name.as_str()).collect();
    let name = names.join(" then ");
    let (result, field, kernel) = (outer.result, outer.field, outer.kernel);
    let mut chain = PgFunction::new(name, types, result, field, kernel, false, volatile);
    chain.links = links;
    (chain, values)
}

impl PartialEq for PgFunction {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.arguments == other.arguments && self.field == other.field
    }
}

impl Eq for PgFunction {}

impl Hash for PgFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
        self.arguments.hash(state);
    }
}

impl ScalarUDFImpl for PgFunction {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(self.field.data_type().clone())
    }

    fn return_field_from_args(&self, _arguments: ReturnFieldArgs) -> Result<FieldRef> {
        Ok(Arc::clone(&self.field))
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let value = self.run(arguments.config_options.as_ref(), arguments.number_rows, arguments.args)?;
        match &value {
            // Refused, the call stays in the plan and is computed where rows are.
            ColumnarValue::Scalar(scalar) if give_way::folding() && scalar.size() > FOLDED_BYTES_MAX => {
                Err(DataFusionError::Execution(format!("a constant of {} bytes stays a call", scalar.size())))
            }
            _ => Ok(value),
        }
    }
}

/// Largest value that becomes a constant of the plan. Plans are printed, compared and copied with their constants in them.
const FOLDED_BYTES_MAX: usize = 1 << 20;

/// Runs a kernel over whole arrays: constants are spread, and a result of constants alone is a constant again.
pub(super) fn over_arrays(
    call: &Call<'_>,
    values: &[ColumnarValue],
    compute: impl FnOnce(&[ArrayRef], usize) -> Result<ArrayRef, PgError>,
) -> Result<ColumnarValue, PgError> {
    let constant = values.iter().all(|value| matches!(value, ColumnarValue::Scalar(_)));
    let rows = if constant { 1 } else { call.rows };
    let arrays = values
        .iter()
        .map(|value| value.to_array(rows).map_err(super::map_error))
        .collect::<Result<Vec<ArrayRef>, PgError>>()?;
    let array = compute(&arrays, rows)?;
    if constant && !values.is_empty() {
        return ScalarValue::try_from_array(&array, 0).map(ColumnarValue::Scalar).map_err(super::map_error);
    }
    Ok(ColumnarValue::Array(array))
}
