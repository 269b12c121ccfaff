//! FETCH and MOVE: where a cursor goes.

use tributary_pg::error::PgError;

use super::names::folded;
use super::sqlparser::ast::Ident;
use super::sqlparser::tokenizer::{Token, TokenWithSpan};
use super::syntax_error::unexpected;
use super::{FetchTo, OwnStatement};

/// Reads the words of a FETCH or MOVE; `None` for any other statement.
pub(super) fn parse(words: &[&TokenWithSpan], text: &str) -> Result<Option<OwnStatement>, PgError> {
    let mut words = Words { rest: words, text };
    let moves = match words.keyword().as_str() {
        "FETCH" => false,
        "MOVE" => true,
        _ => return Ok(None),
    };
    words.advance();
    let to = words.direction()?;
    if matches!(words.keyword().as_str(), "FROM" | "IN") {
        words.advance();
    }
    let name = words.name()?;
    match words.rest.first() {
        None => Ok(Some(OwnStatement::Fetch { name, to, moves })),
        Some(more) => Err(unexpected(more, text)),
    }
}

struct Words<'a> {
    rest: &'a [&'a TokenWithSpan],
    text: &'a str,
}

impl Words<'_> {
    fn advance(&mut self) {
        self.rest = self.rest.get(1..).unwrap_or_default();
    }

    /// The word at the front in capitals; empty for anything else, and for the last one, which is the cursor's name.
    fn keyword(&self) -> String {
        match self.rest {
            [front, _, ..] => match &front.token {
                Token::Word(word) if word.quote_style.is_none() => word.value.to_ascii_uppercase(),
                _ => String::new(),
            },
            _ => String::new(),
        }
    }

    /// A whole number with its sign, if one stands here. A sign needs its number.
    fn number(&mut self) -> Result<Option<i64>, PgError> {
        let negative = match self.rest.first().map(|one| &one.token) {
            Some(Token::Minus) => true,
            Some(Token::Plus | Token::Number(..)) => false,
            _ => return Ok(None),
        };
        if !matches!(self.rest.first().map(|one| &one.token), Some(Token::Number(..))) {
            self.advance();
        }
        let Some(Token::Number(digits, _)) = self.rest.first().map(|one| &one.token) else { return Err(self.wrong()) };
        let value: i64 = digits.parse().map_err(|_| self.wrong())?;
        self.advance();
        Ok(Some(if negative { -value } else { value }))
    }

    fn needed(&mut self) -> Result<i64, PgError> {
        self.number()?.ok_or_else(|| self.wrong())
    }

    /// ALL, a number, or nothing, which is one row.
    fn count(&mut self) -> Result<i64, PgError> {
        if self.keyword() == "ALL" {
            self.advance();
            return Ok(i64::MAX);
        }
        Ok(self.number()?.unwrap_or(1))
    }

    fn direction(&mut self) -> Result<FetchTo, PgError> {
        let fixed = match self.keyword().as_str() {
            "NEXT" => FetchTo::Forward(1),
            "PRIOR" => FetchTo::Forward(-1),
            "FIRST" => FetchTo::Absolute(1),
            "LAST" => FetchTo::Absolute(-1),
            "ABSOLUTE" => {
                self.advance();
                return self.needed().map(FetchTo::Absolute);
            }
            "RELATIVE" => {
                self.advance();
                return self.needed().map(FetchTo::Relative);
            }
            "FORWARD" => {
                self.advance();
                return Ok(FetchTo::Forward(self.count()?));
            }
            "BACKWARD" => {
                self.advance();
                return Ok(FetchTo::Forward(-self.count()?));
            }
            _ => return Ok(FetchTo::Forward(self.count()?)),
        };
        self.advance();
        Ok(fixed)
    }

    fn name(&mut self) -> Result<String, PgError> {
        let Some(Token::Word(word)) = self.rest.first().map(|one| &one.token) else { return Err(self.wrong()) };
        let name = folded(&Ident { quote_style: word.quote_style, ..Ident::new(word.value.clone()) });
        self.advance();
        Ok(name)
    }

    fn wrong(&self) -> PgError {
        match self.rest.first() {
            Some(token) => unexpected(token, self.text),
            None => {
                let position = self.text.chars().count() + 1;
                PgError::new(tributary_pg::sqlstate::SYNTAX_ERROR, "syntax error at end of input").at(position)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::{Ast, parse};

    #[test]
    fn directions_are_read() {
        for (text, expect) in [
            ("fetch c", FetchTo::Forward(1)),
            ("fetch 3 from c", FetchTo::Forward(3)),
            ("fetch -3 c", FetchTo::Forward(-3)),
            ("fetch all c", FetchTo::Forward(i64::MAX)),
            ("fetch forward all in c", FetchTo::Forward(i64::MAX)),
            ("FETCH NEXT FROM c", FetchTo::Forward(1)),
            ("fetch backward 2 c", FetchTo::Forward(-2)),
            ("fetch backward all from c", FetchTo::Forward(-i64::MAX)),
            ("fetch first from c", FetchTo::Absolute(1)),
            ("fetch last c", FetchTo::Absolute(-1)),
            ("fetch absolute -2 from c", FetchTo::Absolute(-2)),
            ("move relative 0 in c", FetchTo::Relative(0)),
            ("move next", FetchTo::Forward(1)),
        ] {
            let statement = parse(text).expect("reads").remove(0);
            let Ast::Own(OwnStatement::Fetch { name, to, moves }) = statement.ast else { panic!("{text} is no FETCH") };
            let named = if text == "move next" { "next" } else { "c" };
            assert_eq!((name.as_str(), to, moves), (named, expect, text.starts_with("move")), "{text}");
        }
        for text in [
            "fetch",
            "fetch - c",
            "fetch + c",
            "fetch absolute - c",
            "fetch absolute c",
            "fetch 1 from c d",
            "move 1.5 c",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
