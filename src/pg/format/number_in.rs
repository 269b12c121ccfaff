//! to_number: a number read by its pattern.
//!
//! Digits, the first point and a sign are taken where the pattern has a digit; commas are read over where both have one;
//! every other character of the pattern reads over one of the text.

use crate::error::{PgError, PgResult};
use crate::format::number::{Key, Node, NumberPattern};
use crate::sqlstate;

impl NumberPattern {
    /// Reads a text; gives plain decimal text. 22P02 when no number is in it.
    pub fn read(&self, text: &str) -> PgResult<String> {
        if self.exponent {
            return Err(PgError::unsupported("\"EEEE\" not supported for input"));
        }
        if self.roman.is_some() {
            return Err(PgError::unsupported("\"RN\" not supported for input"));
        }
        let mut read = Read { rest: text, ..Read::default() };
        for node in &self.nodes {
            if read.rest.is_empty() {
                break;
            }
            read.node(*node, self);
        }
        read.finished(self)
    }
}

#[derive(Default)]
struct Read<'a> {
    rest: &'a str,
    negative: bool,
    signed: bool,
    digits: String,
    /// Digits before and after the point.
    before: i64,
    after: i64,
    point: bool,
}

impl Read<'_> {
    fn advance(&mut self) {
        let mut chars = self.rest.chars();
        chars.next();
        self.rest = chars.as_str();
    }

    fn node(&mut self, node: Node, pattern: &NumberPattern) {
        match node {
            Node::Key(Key::Zero | Key::Nine | Key::Point { .. }) => self.digit(pattern),
            Node::Key(Key::Comma | Key::Group) => {
                if self.rest.starts_with(',') {
                    self.advance();
                }
            }
            Node::Key(Key::Currency) => {
                // Symbols of currency are read over, but nothing that could belong to the number.
                while self.rest.starts_with(|one: char| !one.is_ascii_digit() && !"+-.,".contains(one)) {
                    self.advance();
                }
            }
            Node::Key(Key::Minus | Key::Plus | Key::SignBoth | Key::Sign) => self.sign(),
            Node::Key(Key::Ordinal { .. }) => {
                if self.rest.starts_with(|one: char| one.is_ascii_alphabetic()) {
                    self.advance();
                    self.advance();
                }
            }
            Node::Key(_) => {}
            Node::Literal(_) => {
                if self.rest.starts_with(|one: char| !one.is_ascii_digit() && !"+-.,".contains(one)) {
                    self.advance();
                }
            }
        }
    }

    fn sign(&mut self) {
        let front = self.rest.chars().next();
        if let Some('+' | '-') = front
            && !self.signed
        {
            self.negative = front == Some('-');
            self.signed = true;
            self.advance();
        } else if front == Some(' ') {
            self.advance();
        }
    }

    fn digit(&mut self, pattern: &NumberPattern) {
        if self.rest.starts_with(' ') {
            self.advance();
        }
        if !self.signed && self.before + self.after == 0 {
            match self.rest.chars().next() {
                Some('-' | '<') => {
                    (self.negative, self.signed) = (true, true);
                    self.advance();
                }
                Some('+') => {
                    self.signed = true;
                    self.advance();
                }
                _ => {}
            }
        }
        match self.rest.chars().next() {
            Some(one) if one.is_ascii_digit() => {
                if self.point && self.after == pattern.after {
                    return;
                }
                self.digits.push(one);
                if self.point {
                    self.after += 1;
                } else {
                    self.before += 1;
                }
                self.advance();
            }
            Some('.') if !self.point && pattern.after > 0 => {
                self.point = true;
                self.digits.push('.');
                self.advance();
            }
            // A digit of the pattern reads over whatever else is there.
            _ => self.advance(),
        }
        // A sign behind the last digit, where the pattern has one.
        let expected = pattern.sign || pattern.minus || pattern.plus;
        if expected && !self.signed && self.before + self.after > 0 && (self.rest == "-" || self.rest == "+") {
            (self.negative, self.signed) = (self.rest == "-", true);
            self.rest = "";
        }
    }

    fn finished(self, pattern: &NumberPattern) -> PgResult<String> {
        if self.before + self.after == 0 {
            let shown = if self.digits.is_empty() { " " } else { &self.digits };
            return Err(PgError::invalid_input("numeric", shown));
        }
        if self.before > pattern.before + pattern.shift {
            let error = PgError::new(sqlstate::NUMERIC_VALUE_OUT_OF_RANGE, "numeric field overflow");
            return Err(error);
        }
        let digits = self.digits.trim_end_matches('.');
        // V stands where the point was left out of the text.
        let digits = if pattern.shift > 0 { divided(digits, pattern.shift as usize) } else { digits.to_owned() };
        Ok(format!("{}{digits}", if self.negative { "-" } else { "" }))
    }
}

/// A whole number divided by ten as often as said: PostgreSQL's power of ten has sixteen decimals, so beyond them it is 0.
fn divided(digits: &str, places: usize) -> String {
    if places > 16 {
        return "0".to_owned();
    }
    let padded = format!("{digits:0>width$}", width = places + 1);
    let (whole, rest) = padded.split_at(padded.len() - places);
    format!("{whole}.{rest}")
}
