//! sqlparser's complaints in PostgreSQL's words: `syntax error at or near "x"`, with its position.

use tributary_pg::error::PgError;
use tributary_pg::sqlstate;

use super::parse::LineIndex;
use super::sqlparser::parser::ParserError;
use super::sqlparser::tokenizer::{Location, Token, TokenWithSpan, TokenizerError};

/// Maps an error of the parser over the statement's `tokens`.
pub(super) fn syntax_error(error: &ParserError, tokens: &[TokenWithSpan], text: &str) -> PgError {
    match error {
        ParserError::RecursionLimitExceeded => {
            PgError::new(sqlstate::STATEMENT_TOO_COMPLEX, "statement is nested too deeply")
                .hint(format!("At most {} levels are supported.", super::parse::NESTING_MAX))
        }
        ParserError::TokenizerError(message) => PgError::new(sqlstate::SYNTAX_ERROR, message.clone()),
        ParserError::ParserError(message) => {
            let offending = match location_of(message) {
                Some(location) => tokens.iter().find(|token| token.span.start == location),
                None if message.ends_with("EOF") => None,
                None => tokens.first(),
            };
            let mapped = offending.map_or_else(|| at_end(text), |token| unexpected(token, text));
            let expected = message.split(" at Line").next().unwrap_or(message);
            match expected.strip_prefix("Expected: ").and_then(|rest| rest.split(", found").next()) {
                Some(expected) => mapped.detail(format!("Expected {expected}.")),
                None => mapped,
            }
        }
    }
}

/// Maps an error of the tokenizer: unterminated strings and comments.
pub(super) fn tokenizer_error(error: &TokenizerError, text: &str) -> PgError {
    let lines = LineIndex::new(text);
    let message = if error.message.contains("string literal") || error.message.contains("Unterminated") {
        let rest: String = text[lines.byte(error.location)..].to_owned();
        format!(
            "{} at or near \"{rest}\"",
            if error.message.contains("comment") {
                "unterminated /* comment"
            } else if error.message.contains("dollar") {
                "unterminated dollar-quoted string"
            } else {
                "unterminated quoted string"
            }
        )
    } else {
        format!("syntax error: {}", error.message)
    };
    PgError::new(sqlstate::SYNTAX_ERROR, message).at(lines.position(error.location))
}

/// `syntax error at or near "token"`.
pub(super) fn unexpected(token: &TokenWithSpan, text: &str) -> PgError {
    if token.token == Token::EOF {
        return at_end(text);
    }
    let lines = LineIndex::new(text);
    let (start, end) = (lines.byte(token.span.start), lines.byte(token.span.end));
    let shown =
        text.get(start..end).filter(|shown| !shown.is_empty()).map_or_else(|| token.token.to_string(), str::to_owned);
    PgError::new(sqlstate::SYNTAX_ERROR, format!("syntax error at or near \"{shown}\""))
        .at(lines.position(token.span.start))
}

/// `syntax error at end of input`.
pub(super) fn at_end(text: &str) -> PgError {
    PgError::new(sqlstate::SYNTAX_ERROR, "syntax error at end of input").at(text.trim_end().chars().count() + 1)
}

/// The `Line: 1, Column: 7` sqlparser appends to its messages.
fn location_of(message: &str) -> Option<Location> {
    let rest = message.rsplit_once("Line: ")?.1;
    let (line, column) = rest.split_once(", Column: ")?;
    let column: String = column.chars().take_while(char::is_ascii_digit).collect();
    Some(Location { line: line.trim().parse().ok()?, column: column.parse().ok()? })
}
