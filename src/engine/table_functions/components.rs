//! `connected_components(edges, a => ..., b => ...)`: which nodes hang together, without a graph object.

use datafusion::common::Result;
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::logical_expr::expr::{Sort, WindowFunction};
use datafusion::logical_expr::{Expr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder, ident, lit};

use super::TableFunction;
use super::call::{Call, field};

pub(super) const CONNECTED_COMPONENTS: TableFunction =
    TableFunction { name: "connected_components", options: &["a", "b"], required: 2, expand: connected_components };

fn connected_components(mut call: Call) -> Result<LogicalPlan> {
    let (a, b) = (call.required("a")?, call.required("b")?);
    let aggregate = call.aggregate("connected_components")?;
    let size = Expr::from(WindowFunction::new(count_udaf(), vec![lit(1_i64)]))
        .partition_by(vec![ident("component")])
        .build()?
        .alias("size");
    LogicalPlanBuilder::from(call.relation)
        .project(vec![a.expr.alias("a"), b.expr.alias("b")])?
        .aggregate(Vec::<Expr>::new(), vec![aggregate.call(vec![ident("a"), ident("b")]).alias("row")])?
        .unnest_column("row")?
        .project(["node", "component"].map(|name| field(ident("row"), name).alias(name)))?
        .window(vec![size])?
        .sort(["component", "node"].map(|name| Sort::new(ident(name), true, false)))?
        .build()
}
