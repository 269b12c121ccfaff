//! The whole demo in process: every figure it checks is as expected.

use std::sync::Arc;

use crate::harness::Harness;

#[test]
fn every_figure_of_the_demo_is_as_expected() {
    let harness = Harness::start();
    let engine = Arc::clone(harness.engine());
    let mut report = Vec::new();
    let verdict = harness.block_on(tributary::demo::run(&engine, "tributary", &mut report));
    let report = String::from_utf8(report).expect("UTF-8");
    let verdict = verdict.unwrap_or_else(|error| panic!("{report}\n{error}"));
    let failed: Vec<&str> = report.lines().filter(|line| line.ends_with("FAIL")).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert!(verdict.passed > 50, "only {} figures were checked", verdict.passed);
}
