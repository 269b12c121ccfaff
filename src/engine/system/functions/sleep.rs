//! pg_sleep: waits without holding a thread, and ends with its statement.

use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::array::{AsArray, NullArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::async_udf::{AsyncScalarUDF, AsyncScalarUDFImpl};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use tributary_pg::types;

/// Longest wait in seconds; a month outlives every statement.
const SECONDS_MAX: f64 = 2_592_000.0;

/// The function.
pub(super) fn pg_sleep() -> ScalarUDF {
    AsyncScalarUDF::new(Arc::new(Sleep { signature: Signature::any(1, Volatility::Volatile) })).into_scalar_udf()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Sleep {
    signature: Signature,
}

impl ScalarUDFImpl for Sleep {
    fn name(&self) -> &str {
        "pg_sleep"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Null)
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        Ok(Arc::new(types::known(types::oid::VOID).annotate(Field::new("pg_sleep", DataType::Null, true), -1)))
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        exec_err!("pg_sleep can only wait in a SELECT list")
    }
}

#[async_trait::async_trait]
impl AsyncScalarUDFImpl for Sleep {
    async fn invoke_async_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let seconds = cast(&args.args[0].to_array(args.number_rows)?, &DataType::Float64)?;
        for seconds in seconds.as_primitive::<Float64Type>().iter().flatten() {
            if seconds > 0.0 {
                tokio::time::sleep(Duration::from_secs_f64(seconds.min(SECONDS_MAX))).await;
            }
        }
        Ok(ColumnarValue::Array(Arc::new(NullArray::new(args.number_rows))))
    }
}
