//! Floor 7: the demo. Loads the bundled data through the ordinary SQL path and answers an analyst's questions in order:
//! who is who, who is worth what, where do people give up, which channel earned the sale.
//!
//! The statements are the files of `sql/demo`, the same that run from psql. Each answer is compared with figures known
//! from independent programs: lines `-- check column = value` below a query. The demo changes nothing but its own tables.

mod script;

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::time::Instant;

use flate2::read::GzDecoder;
use indicatif::{ProgressBar, ProgressStyle};
use tributary_pg::error::PgResult;

use crate::console::{Answer, Console, render};
use crate::engine::Engine;
use script::{Check, Step, steps};

macro_rules! bundled {
    ($($name:literal),*) => {
        [$(($name, include_str!(concat!("../sql/demo/", $name, ".sql")))),*]
    };
}

/// The questions in order.
const SCRIPTS: [(&str, &str); 10] = bundled!(
    "01_schema",
    "02_quality",
    "03_identity",
    "04_person",
    "05_scores",
    "06_segments",
    "07_funnel",
    "08_broken_step",
    "09_attribution",
    "10_scorecard"
);

macro_rules! files {
    ($($table:literal: $file:literal),* $(,)?) => {
        [$(($table, include_bytes!(concat!("../sql/demo/data/", $file, ".csv.gz")).as_slice())),*]
    };
}

/// Tables loaded after the schema is there.
const FILES: [(&str, &[u8]); 10] = files!(
    "staging.events": "events",
    "orders": "orders",
    "customers": "customers",
    "tickets": "tickets",
    "surveys": "surveys",
    "consents": "consents",
    "points_ledger": "points_ledger",
    "ad_costs": "ad_costs",
    "desk_merges": "merges",
    "ecom": "ecom",
);

/// How the checks came out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Figures that are as expected.
    pub passed: usize,
    /// Figures that are not.
    pub failed: usize,
}

/// Runs the whole demo and prints it as a report to `out`.
pub async fn run(engine: &Arc<Engine>, user: &str, out: &mut impl Write) -> Result<Verdict, String> {
    let started = Instant::now();
    let mut console = Console::open(engine, user).map_err(|error| error.to_string())?;
    let mut verdict = Verdict::default();
    for (name, text) in SCRIPTS {
        for step in steps(text) {
            let answer = run_step(&mut console, name, &step).await?;
            report(out, &step, &answer, &mut verdict).map_err(|error| error.to_string())?;
        }
        if name == "01_schema" {
            load(&mut console).await.map_err(|error| format!("{name}: {error:?}"))?;
        }
    }
    writeln!(
        out,
        "{} figures checked, {} as expected, {} not. The whole demo took {:.1} s.",
        verdict.passed + verdict.failed,
        verdict.passed,
        verdict.failed,
        started.elapsed().as_secs_f64()
    )
    .map_err(|error| error.to_string())?;
    Ok(verdict)
}

async fn run_step(console: &mut Console, name: &str, step: &Step) -> Result<Answer, String> {
    let answers = console.run(&step.sql).await.map_err(|error| format!("{name}: {error:?}\n{}", step.sql))?;
    answers.into_iter().next().ok_or_else(|| format!("{name}: a step without a statement"))
}

/// Prints question, statement, rows and checks. Statements that only prepare are not worth an analyst's time.
fn report(out: &mut impl Write, step: &Step, answer: &Answer, verdict: &mut Verdict) -> std::io::Result<()> {
    if !step.question.is_empty() {
        writeln!(out, "\n{}\n", step.question)?;
    }
    if answer.columns.is_empty() {
        return Ok(());
    }
    writeln!(out, "{};\n", step.sql)?;
    writeln!(out, "{}", render(answer))?;
    for check in &step.checks {
        for (column, expected) in &check.expected {
            let got = check.value(answer, column);
            let passed = got.as_deref().is_some_and(|got| Check::equal(got, expected));
            let place = check.row.as_ref().map(|(key, value)| format!("{key} {value}: ")).unwrap_or_default();
            let got = got.as_deref().unwrap_or("nothing");
            let word = if passed { "ok" } else { "FAIL" };
            writeln!(out, "check {place}{column}: expected {expected} .. got {got} .. {word}")?;
            if passed {
                verdict.passed += 1;
            } else {
                verdict.failed += 1;
            }
        }
    }
    Ok(())
}

/// COPY of every bundled file, with a bar each on a terminal.
async fn load(console: &mut Console) -> PgResult<()> {
    for (table, bytes) in FILES {
        let bar = if std::io::stderr().is_terminal() { ProgressBar::new(0) } else { ProgressBar::hidden() };
        if let Ok(style) = ProgressStyle::with_template("{prefix:18} {bytes:>10} {bytes_per_sec:>14} {wide_msg}") {
            bar.set_style(style);
        }
        bar.set_prefix(table);
        let statement = format!("COPY {table} FROM STDIN WITH (FORMAT csv, HEADER)");
        let tag = console.copy_in(&statement, GzDecoder::new(bytes), |done| bar.set_position(done)).await?;
        bar.finish_with_message(tag);
    }
    Ok(())
}
