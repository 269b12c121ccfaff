//! Aggregates whose results DataFusion types otherwise: sums and averages of integers and numerics.

use datafusion::common::Result;
use datafusion::execution::FunctionRegistry;

/// Lays ours over DataFusion's.
pub(super) fn register(_registry: &mut dyn FunctionRegistry) -> Result<()> {
    Ok(())
}
