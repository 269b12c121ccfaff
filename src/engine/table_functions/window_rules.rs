//! What a window function of ours asks of the window it is called over, checked while a statement is planned.

use datafusion::common::Result;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawWindowExpr};
use tributary_pg::error::PgError;
use tributary_pg::sqlstate;

use super::call::external;

/// Window functions that need ORDER BY.
const ORDERED: [&str; 1] = ["sessionize"];

#[derive(Debug)]
pub(super) struct WindowRules;

impl ExprPlanner for WindowRules {
    fn plan_window(&self, call: RawWindowExpr) -> Result<PlannerResult<RawWindowExpr>> {
        let name = call.func_def.name();
        if call.order_by.is_empty() && ORDERED.contains(&name) {
            let message = format!("{name} needs ORDER BY");
            return Err(external(PgError::new(sqlstate::WINDOWING_ERROR, message)));
        }
        Ok(PlannerResult::Original(call))
    }
}
