//! The pattern language of the sequence functions, read into elements.
//!
//! `(?N)` takes the next row if condition N is true for it, `.` takes the next row, `.*` skips any number of rows, `(?t op V)` skips to a
//! row whose time compares with that of the last taken row plus V. Spaces are allowed inside a time element only.

use crate::SqlError;

/// What a row must be to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// Condition `index` (from 0) is true.
    Condition(usize),
    /// Anything.
    Any,
}

/// How rows are skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gap {
    /// Any number.
    Any,
    /// To a row whose time compares so with the last taken row's time plus `ticks`.
    Time {
        /// The comparison.
        compare: Compare,
        /// What is added.
        ticks: i64,
    },
}

/// A comparison of times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Compare {
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Equal,
    NotEqual,
}

/// A row to be taken, after some skipping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    /// Applied one after another before the row; empty: the row is the next one.
    pub gaps: Vec<Gap>,
    /// The row.
    pub taken: Taken,
}

/// A pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// Rows to be taken, in order; at least one.
    pub elements: Vec<Element>,
    /// Skipping behind the last taken row.
    pub tail: Vec<Gap>,
}

/// Ticks of one second and of a number without unit; `None` where seconds do not exist.
#[derive(Debug, Clone, Copy)]
pub struct Ticks {
    /// Of a number without a unit.
    pub plain: i64,
    /// Of a second.
    pub second: Option<i64>,
    /// Of a day.
    pub day: i64,
}

impl Pattern {
    /// Reads a pattern over `condition_count` conditions.
    pub fn parse(text: &str, condition_count: usize, ticks: Ticks) -> Result<Self, SqlError> {
        let mut reader = Reader { rest: text, text };
        let (mut elements, mut gaps) = (Vec::new(), Vec::new());
        while !reader.rest.is_empty() {
            if reader.eat(".*") {
                gaps.push(Gap::Any);
            } else if reader.eat(".") {
                elements.push(Element { gaps: std::mem::take(&mut gaps), taken: Taken::Any });
            } else if reader.rest.starts_with("(?t") {
                let gap = reader.time(ticks)?;
                if elements.is_empty() {
                    return Err(SqlError::invalid_parameter("time condition needs an event before it"));
                }
                gaps.push(gap);
            } else {
                let number = reader.condition()?;
                if number == 0 || number > condition_count {
                    return Err(SqlError::invalid_parameter(format!("condition {number} is not given")));
                }
                elements.push(Element { gaps: std::mem::take(&mut gaps), taken: Taken::Condition(number - 1) });
            }
        }
        if elements.is_empty() {
            return Err(SqlError::invalid_parameter("pattern has no event"));
        }
        Ok(Self { elements, tail: gaps })
    }
}

struct Reader<'a> {
    rest: &'a str,
    text: &'a str,
}

impl Reader<'_> {
    fn eat(&mut self, word: &str) -> bool {
        match self.rest.strip_prefix(word) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn invalid(&self, from: &str) -> SqlError {
        let position = self.text[..self.text.len() - from.len()].chars().count() + 1;
        let expected = r#"expected "(?N)", ".", ".*" or "(?t op V)""#;
        SqlError::invalid_parameter(format!("invalid pattern at position {position}: {expected}"))
    }

    fn digits(&mut self) -> Option<&str> {
        let end = self.rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(self.rest.len());
        let (digits, rest) = self.rest.split_at(end);
        self.rest = rest;
        (!digits.is_empty()).then_some(digits)
    }

    fn spaces(&mut self) {
        self.rest = self.rest.trim_start_matches(' ');
    }

    fn condition(&mut self) -> Result<usize, SqlError> {
        let from = self.rest;
        let number =
            if self.eat("(?") { self.digits().map(|digits| digits.parse().unwrap_or(usize::MAX)) } else { None };
        match number {
            Some(number) if self.eat(")") => Ok(number),
            _ => Err(self.invalid(from)),
        }
    }

    fn time(&mut self, ticks: Ticks) -> Result<Gap, SqlError> {
        let from = self.rest;
        self.rest = &self.rest[3..];
        self.spaces();
        let words = [
            ("<=", Compare::LessEqual),
            (">=", Compare::GreaterEqual),
            ("==", Compare::Equal),
            ("!=", Compare::NotEqual),
            ("<", Compare::Less),
            (">", Compare::Greater),
        ];
        let Some(compare) = words.iter().find(|(word, _)| self.eat(word)).map(|(_, compare)| *compare) else {
            return Err(self.invalid(from));
        };
        self.spaces();
        let Some(number) = self.digits().map(|digits| digits.parse::<i64>().unwrap_or(i64::MAX)) else {
            return Err(self.invalid(from));
        };
        self.spaces();
        let unit = ["s", "m", "h", "d"].into_iter().find(|unit| self.eat(unit));
        self.spaces();
        if !self.eat(")") {
            return Err(self.invalid(from));
        }
        let seconds = |count: i64| ticks.second.map(|second| second.saturating_mul(count));
        let unit_ticks = match unit {
            None => Some(ticks.plain),
            Some("s") => seconds(1),
            Some("m") => seconds(60),
            Some("h") => seconds(3_600),
            Some(_) => Some(ticks.day),
        };
        let Some(unit_ticks) = unit_ticks else {
            return Err(SqlError::invalid_parameter("dates have no time unit below a day"));
        };
        Ok(Gap::Time { compare, ticks: number.saturating_mul(unit_ticks) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNITS: Ticks = Ticks { plain: 1, second: Some(1), day: 86_400 };

    #[test]
    fn elements_and_gaps() {
        let pattern = Pattern::parse("(?1).*.(?t >= 2m)(?2)(?t<3)", 2, UNITS).unwrap();
        let time = |compare, ticks| Gap::Time { compare, ticks };
        assert_eq!(
            pattern.elements,
            [
                Element { gaps: vec![], taken: Taken::Condition(0) },
                Element { gaps: vec![Gap::Any], taken: Taken::Any },
                Element { gaps: vec![time(Compare::GreaterEqual, 120)], taken: Taken::Condition(1) },
            ]
        );
        assert_eq!(pattern.tail, [time(Compare::Less, 3)]);
    }

    #[test]
    fn refusals() {
        let invalid = |position: usize| {
            format!(r#"invalid pattern at position {position}: expected "(?N)", ".", ".*" or "(?t op V)""#)
        };
        for (text, message) in [
            ("(?1)  (?2)", invalid(5)),
            ("(?1)(?t=3)", invalid(5)),
            ("(?1)(?t<3x)", invalid(5)),
            ("(?1", invalid(1)),
            ("(?1)(?x)", invalid(5)),
            ("(?3)", "condition 3 is not given".into()),
            ("(?0)", "condition 0 is not given".into()),
            ("(?t<3)(?1)", "time condition needs an event before it".into()),
            (".*(?t<3)(?1)", "time condition needs an event before it".into()),
            ("", "pattern has no event".into()),
            (".*", "pattern has no event".into()),
        ] {
            let error = Pattern::parse(text, 2, UNITS).unwrap_err();
            assert_eq!((error.sqlstate, error.message), ("22023", message), "{text}");
        }
        let dates = Ticks { plain: 1, second: None, day: 1 };
        assert!(Pattern::parse("(?1)(?t<3d)", 1, dates).is_ok());
        assert!(Pattern::parse("(?1)(?t<3h)", 1, dates).is_err());
    }
}
