//! The tree as lines or as JSON, in the shapes that tools parse.

use serde_json::{Map, Value, json};

use super::node::Node;
use super::options::ExplainOptions;

/// One line a node and a detail, children under `->`.
pub(super) fn text(root: &Node, options: &ExplainOptions, planning_ms: f64, execution_ms: Option<f64>) -> Vec<String> {
    let mut lines = Vec::new();
    node_lines(root, options, 0, &mut lines);
    if options.summary {
        lines.push(format!("Planning Time: {planning_ms:.3} ms"));
        lines.extend(execution_ms.map(|ms| format!("Execution Time: {ms:.3} ms")));
    }
    lines
}

fn node_lines(node: &Node, options: &ExplainOptions, depth: usize, lines: &mut Vec<String>) {
    // As PostgreSQL indents: the arrow of level n stands at column 6n - 4, details two behind the node's name.
    let arrow = if depth == 0 { String::new() } else { format!("{}->  ", " ".repeat(6 * depth - 4)) };
    let mut line = format!("{arrow}{}", node.node_type);
    if let Some(index) = &node.index {
        line.push_str(&format!(" using {index}"));
    }
    if let Some(relation) = &node.relation {
        line.push_str(&format!(" on {relation}"));
    }
    if options.costs {
        line.push_str(&format!("  (cost=0.00..{:.2} rows={} width={})", node.cost, node.rows, node.width));
    }
    if let Some(actual) = node.actual {
        let lead = if options.costs { " " } else { "  " };
        if options.timing {
            line.push_str(&format!("{lead}(actual time=0.000..{:.3} rows={} loops=1)", actual.total_ms, actual.rows));
        } else {
            line.push_str(&format!("{lead}(actual rows={} loops=1)", actual.rows));
        }
    }
    lines.push(line);
    let indent = " ".repeat(if depth == 0 { 2 } else { 6 * depth + 2 });
    lines.extend(node.details.iter().map(|(label, text)| format!("{indent}{label}: {text}")));
    if options.verbose {
        lines.push(format!("{indent}Engine: {}", node.operator));
    }
    for child in &node.children {
        node_lines(child, options, depth + 1, lines);
    }
}

/// One document.
pub(super) fn json(root: &Node, options: &ExplainOptions, planning_ms: f64, execution_ms: Option<f64>) -> String {
    let mut document = Map::new();
    document.insert("Plan".to_owned(), node_json(root, options));
    if options.summary {
        document.insert("Planning Time".to_owned(), json!(rounded(planning_ms)));
        if let Some(ms) = execution_ms {
            document.insert("Execution Time".to_owned(), json!(rounded(ms)));
        }
    }
    format!("{:#}", Value::Array(vec![Value::Object(document)]))
}

fn node_json(node: &Node, options: &ExplainOptions) -> Value {
    let mut object = Map::new();
    let mut put = |key: &str, value: Value| drop(object.insert(key.to_owned(), value));
    put("Node Type", json!(node.node_type));
    if let Some(index) = &node.index {
        put("Index Name", json!(index));
    }
    if let Some(relation) = &node.relation {
        put("Relation Name", json!(relation));
    }
    put("Operator", json!(node.operator));
    if options.costs {
        put("Startup Cost", json!(0.0));
        put("Total Cost", json!(rounded(node.cost)));
        put("Plan Rows", json!(node.rows));
        put("Plan Width", json!(node.width));
    }
    if let Some(actual) = node.actual {
        if options.timing {
            put("Actual Startup Time", json!(0.0));
            put("Actual Total Time", json!(rounded(actual.total_ms)));
        }
        put("Actual Rows", json!(actual.rows));
        put("Actual Loops", json!(1));
    }
    for (label, text) in &node.details {
        put(label, json!(text));
    }
    if !node.children.is_empty() {
        put("Plans", node.children.iter().map(|child| node_json(child, options)).collect());
    }
    Value::Object(object)
}

fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}
