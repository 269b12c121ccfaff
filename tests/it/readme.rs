//! The psql session in README.md prints what README.md shows.

use std::path::Path;
use std::sync::Arc;

use tributary::console::{Console, render};

use crate::harness::Harness;

/// Statements of the session with the lines below each.
fn session(text: &str) -> Vec<(String, String)> {
    let block = text
        .split("```text\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .find(|block| block.starts_with("tributary=> "))
        .expect("README.md shows a session");
    let mut steps: Vec<(String, String)> = Vec::new();
    let mut statement: Option<String> = None;
    for line in block.lines() {
        let (begun, line) = match line.strip_prefix("tributary=> ") {
            Some(rest) => (Some(String::new()), rest),
            None => (statement.take(), line),
        };
        match begun {
            Some(mut sql) => {
                sql.push_str(line);
                sql.push('\n');
                if line.ends_with(';') {
                    steps.push((sql, String::new()));
                } else {
                    statement = Some(sql);
                }
            }
            None => {
                if let Some((_, output)) = steps.last_mut() {
                    output.push_str(line);
                    output.push('\n');
                }
            }
        }
    }
    steps
}

#[test]
fn the_session_prints_what_it_shows() {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("readable");
    let harness = Harness::start();
    let steps = session(&text);
    assert!(steps.len() >= 5, "the session has {} statements", steps.len());
    let engine = Arc::clone(harness.engine());
    harness.block_on(async {
        let mut console = Console::open(&engine, "tributary").expect("connects");
        for (sql, expected) in steps {
            let printed = match console.run(&sql).await {
                Ok(answers) => answers.iter().map(render).collect::<String>(),
                Err(error) => {
                    let hint = error.hint.as_ref().map(|hint| format!("HINT:  {hint}\n")).unwrap_or_default();
                    format!("ERROR:  {}\n{hint}", error.message)
                }
            };
            assert_eq!(printed.trim_end(), expected.trim_end(), "{sql}");
        }
    });
}
