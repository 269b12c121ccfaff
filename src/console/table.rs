//! An answer drawn the way psql draws it.

use std::fmt::Write;

use super::Answer;

/// Rows shown at most; the rest is counted.
const ROWS_SHOWN: usize = 40;

/// The answer as an aligned table with a row count, or its command tag.
pub fn render(answer: &Answer) -> String {
    if answer.columns.is_empty() {
        return format!("{}\n", answer.tag);
    }
    let shown = &answer.rows[..answer.rows.len().min(ROWS_SHOWN)];
    let widths: Vec<usize> = answer
        .columns
        .iter()
        .enumerate()
        .map(|(index, name)| {
            let cells = shown.iter().map(|row| width(row[index].as_deref().unwrap_or_default()));
            cells.max().unwrap_or(0).max(width(name))
        })
        .collect();
    let mut out = String::new();
    let header: Vec<String> = answer.columns.iter().zip(&widths).map(|(name, size)| centred(name, *size)).collect();
    push_line(&mut out, &header);
    let rule: Vec<String> = widths.iter().map(|size| "-".repeat(size + 2)).collect();
    push(&mut out, &rule.join("+"));
    for row in shown {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .zip(&answer.numeric)
            .map(|((cell, size), numeric)| padded(cell.as_deref().unwrap_or_default(), *size, *numeric))
            .collect();
        push_line(&mut out, &cells);
    }
    let count = answer.rows.len();
    let more = if count > ROWS_SHOWN { format!(", {} not shown", count - ROWS_SHOWN) } else { String::new() };
    push(&mut out, &format!("({count} row{}{more})", if count == 1 { "" } else { "s" }));
    out
}

fn push_line(out: &mut String, cells: &[String]) {
    let line = format!(" {} ", cells.join(" | "));
    push(out, line.trim_end());
}

fn push(out: &mut String, line: &str) {
    writeln!(out, "{line}").expect("writing to a String does not fail");
}

fn padded(text: &str, size: usize, right: bool) -> String {
    let blanks = " ".repeat(size.saturating_sub(width(text)));
    if right { format!("{blanks}{text}") } else { format!("{text}{blanks}") }
}

fn centred(text: &str, size: usize) -> String {
    let blanks = size.saturating_sub(width(text));
    format!("{}{text}{}", " ".repeat(blanks / 2), " ".repeat(blanks - blanks / 2))
}

/// Columns a terminal needs: wide scripts take two.
fn width(text: &str) -> usize {
    text.chars().map(|c| if matches!(u32::from(c), 0x1100..=0x115f | 0x2e80..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff | 0xfe30..=0xfe6f | 0xff00..=0xff60 | 0xffe0..=0xffe6 | 0x1f300..=0x1f64f | 0x20000..=0x3fffd) { 2 } else { 1 }).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_aligned() {
        let answer = Answer {
            columns: vec!["stage".to_owned(), "n".to_owned()],
            numeric: vec![false, true],
            rows: vec![vec![Some("lost".to_owned()), Some("1489".to_owned())], vec![None, Some("2".to_owned())]],
            tag: "SELECT 2".to_owned(),
        };
        assert_eq!(render(&answer), " stage |  n\n-------+------\n lost  | 1489\n       |    2\n(2 rows)\n");
    }

    #[test]
    fn a_command_shows_its_tag() {
        assert_eq!(render(&Answer { tag: "CREATE TABLE".to_owned(), ..Answer::default() }), "CREATE TABLE\n");
    }
}
