//! The files of `sql/demo` cut into steps: a question (comment above a statement), the statement, the checks below it.

use crate::console::Answer;

/// One statement with what stands around it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Step {
    /// Comment lines above the statement; empty if there are none.
    pub question: String,
    /// The statement, without semicolon.
    pub sql: String,
    /// `-- check` lines below it.
    pub checks: Vec<Check>,
}

/// Figures one row must show: `-- check [key=value:] column = figure, column = figure`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Check {
    /// The row: where this column has this value. `None`: the first row.
    pub row: Option<(String, String)>,
    /// Columns and figures.
    pub expected: Vec<(String, String)>,
}

/// Cuts a file into steps. A statement ends with a semicolon at the end of a line.
pub(super) fn steps(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut step = Step::default();
    for line in text.lines() {
        if let Some(check) = line.strip_prefix("-- check ") {
            if let Some(last) = steps.last_mut() {
                last.checks.extend(parse_check(check));
            }
        } else if let Some(comment) = line.strip_prefix("-- ").filter(|_| step.sql.is_empty()) {
            push_line(&mut step.question, comment);
        } else if !line.trim().is_empty() || !step.sql.is_empty() {
            push_line(&mut step.sql, line);
            if let Some(sql) = step.sql.trim_end().strip_suffix(';') {
                step.sql = sql.to_owned();
                steps.push(std::mem::take(&mut step));
            }
        }
    }
    steps
}

fn push_line(text: &mut String, line: &str) {
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(line);
}

fn parse_check(text: &str) -> Option<Check> {
    let (row, figures) = match text.split_once(": ") {
        Some((row, figures)) => {
            let (column, value) = row.split_once('=')?;
            (Some((column.trim().to_owned(), value.trim().to_owned())), figures)
        }
        None => (None, text),
    };
    let expected = figures
        .split(", ")
        .map(|figure| figure.split_once(" = ").map(|(column, value)| (column.to_owned(), value.to_owned())))
        .collect::<Option<Vec<_>>>()?;
    Some(Check { row, expected })
}

impl Check {
    /// What the answer shows in the place the check looks at. A row that is not there shows 0 for counts of a missing
    /// group only if the check expects 0, which the caller sees as nothing.
    pub(super) fn value(&self, answer: &Answer, column: &str) -> Option<String> {
        let at = |name: &str| answer.columns.iter().position(|known| known == name);
        let row = match &self.row {
            None => answer.rows.first(),
            Some((key, value)) => {
                let key = at(key)?;
                answer.rows.iter().find(|row| row[key].as_deref() == Some(value))
            }
        }?;
        row[at(column)?].clone()
    }

    /// Equal as numbers, whatever their trailing zeros, to six decimals; other texts letter by letter.
    pub(super) fn equal(got: &str, expected: &str) -> bool {
        match (got.parse::<f64>(), expected.parse::<f64>()) {
            (Ok(got), Ok(expected)) => (got - expected).abs() < 5e-7,
            _ => got == expected,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_cut_into_questions_statements_and_checks() {
        let text = "-- Who?\n-- Indeed.\n\nCREATE VIEW v AS\nSELECT 1;\n\nSELECT a, b\nFROM v;\n-- check a = 1\n-- check a=x: b = 2.5, c = 0\n";
        let steps = steps(text);
        assert_eq!(steps.len(), 2);
        assert_eq!(steps[0].question, "Who?\nIndeed.");
        assert_eq!(steps[0].sql, "CREATE VIEW v AS\nSELECT 1");
        assert_eq!(steps[1].sql, "SELECT a, b\nFROM v");
        assert_eq!(
            steps[1].checks,
            vec![
                Check { row: None, expected: vec![("a".to_owned(), "1".to_owned())] },
                Check {
                    row: Some(("a".to_owned(), "x".to_owned())),
                    expected: vec![("b".to_owned(), "2.5".to_owned()), ("c".to_owned(), "0".to_owned())],
                },
            ]
        );
    }

    #[test]
    fn figures_compare_as_numbers() {
        assert!(Check::equal("487.600000", "487.6"));
        assert!(!Check::equal("487.61", "487.6"));
        assert!(!Check::equal("", "0"));
    }

    #[test]
    fn every_bundled_script_has_steps_and_no_tail() {
        for (name, text) in super::super::SCRIPTS {
            assert!(!steps(text).is_empty(), "{name}");
            assert!(
                text.trim_end().ends_with(';') || text.lines().last().unwrap_or_default().starts_with("-- check"),
                "{name}"
            );
        }
    }
}
