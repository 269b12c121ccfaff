//! COPY, with its options as names and values: sqlparser knows only some of them, and takes what follows
//! `FROM STDIN` for data.

use tributary_pg::copy::{CopyOption, CopyValue};
use tributary_pg::error::PgError;

use super::parse::{LineIndex, NESTING_MAX, parse_one};
use super::sqlparser::ast::{Expr, Query, Statement as Sql};
use super::sqlparser::dialect::PostgreSqlDialect;
use super::sqlparser::parser::Parser;
use super::sqlparser::tokenizer::{Token, TokenWithSpan};
use super::syntax_error::{syntax_error, unexpected};

/// COPY.
#[derive(Clone, Debug, PartialEq)]
pub struct CopyStatement {
    /// What is copied.
    pub subject: CopySubject,
    /// FROM: into the table.
    pub from: bool,
    /// The other end.
    pub place: CopyPlace,
    /// Options in the order given.
    pub options: Vec<CopyOption>,
    /// WHERE of a COPY FROM.
    pub condition: Option<Box<Expr>>,
}

/// What a COPY reads or fills.
#[derive(Clone, Debug, PartialEq)]
pub enum CopySubject {
    /// A table.
    Table {
        /// Its schema, if named.
        schema: Option<String>,
        /// Its name.
        name: String,
        /// The columns named, none for all.
        columns: Vec<String>,
    },
    /// A query.
    Query(Box<Query>),
}

/// Where the bytes come from or go to.
#[derive(Clone, Debug, PartialEq)]
pub enum CopyPlace {
    /// STDIN, STDOUT.
    Client,
    /// A file of the server.
    File(String),
    /// A program of the server.
    Program,
}

/// Reads a COPY; `None` if it is none. `tokens` hold no blanks.
pub(super) fn parse(tokens: &[&TokenWithSpan], text: &str) -> Result<Option<CopyStatement>, PgError> {
    let mut reader = Reader { tokens, at: 0, text };
    if !reader.take("COPY") {
        return Ok(None);
    }
    let mut options = Vec::new();
    if reader.word_is("BINARY") && !reader.token_is(1, &Token::Period) {
        options.push(reader.flag("format", "binary"));
    }
    let subject = reader.subject()?;
    let from = if reader.take("FROM") {
        true
    } else if reader.take("TO") {
        false
    } else {
        return Err(reader.unexpected());
    };
    if from && matches!(subject, CopySubject::Query(_)) {
        return Err(reader.unexpected_at(reader.at - 1));
    }
    let place = reader.place()?;
    reader.options(&mut options)?;
    let condition = if from && reader.take("WHERE") { Some(Box::new(reader.rest_as_expression()?)) } else { None };
    if reader.at < tokens.len() {
        return Err(reader.unexpected());
    }
    Ok(Some(CopyStatement { subject, from, place, options, condition }))
}

/// Takes a statement's tokens one after the other.
pub(super) struct Reader<'a> {
    pub(super) tokens: &'a [&'a TokenWithSpan],
    pub(super) at: usize,
    pub(super) text: &'a str,
}

impl Reader<'_> {
    pub(super) fn token(&self, ahead: usize) -> &Token {
        self.tokens.get(self.at + ahead).map_or(&Token::EOF, |token| &token.token)
    }

    pub(super) fn token_is(&self, ahead: usize, token: &Token) -> bool {
        self.token(ahead) == token
    }

    /// The next word without quotes, upper case.
    pub(super) fn word(&self) -> String {
        match self.token(0) {
            Token::Word(word) if word.quote_style.is_none() => word.value.to_ascii_uppercase(),
            _ => String::new(),
        }
    }

    pub(super) fn word_is(&self, word: &str) -> bool {
        self.word() == word
    }

    pub(super) fn take(&mut self, word: &str) -> bool {
        let taken = self.word_is(word);
        self.at += usize::from(taken);
        taken
    }

    pub(super) fn take_token(&mut self, token: &Token) -> bool {
        let taken = self.token_is(0, token);
        self.at += usize::from(taken);
        taken
    }

    pub(super) fn expect(&mut self, token: &Token) -> Result<(), PgError> {
        if self.take_token(token) { Ok(()) } else { Err(self.unexpected()) }
    }

    pub(super) fn unexpected(&self) -> PgError {
        self.unexpected_at(self.at)
    }

    pub(super) fn unexpected_at(&self, at: usize) -> PgError {
        match self.tokens.get(at) {
            Some(token) => unexpected(token, self.text),
            None => unexpected(&TokenWithSpan::new_eof(), self.text),
        }
    }

    pub(super) fn name(&mut self) -> Result<String, PgError> {
        let name = match self.token(0) {
            Token::Word(word) if word.quote_style.is_some() => word.value.clone(),
            Token::Word(word) => word.value.to_lowercase(),
            _ => return Err(self.unexpected()),
        };
        self.at += 1;
        Ok(name)
    }

    pub(super) fn names(&mut self) -> Result<Vec<String>, PgError> {
        let mut names = vec![self.name()?];
        while self.take_token(&Token::Comma) {
            names.push(self.name()?);
        }
        Ok(names)
    }

    pub(super) fn string(&mut self) -> Result<String, PgError> {
        let string = match self.token(0) {
            Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text) => text.clone(),
            Token::DollarQuotedString(text) => text.value.clone(),
            _ => return Err(self.unexpected()),
        };
        self.at += 1;
        Ok(string)
    }

    /// Position of the next token, in characters of the statement, from 1.
    pub(super) fn position(&self) -> Option<usize> {
        let lines = LineIndex::new(self.text);
        let place = |token: &TokenWithSpan| lines.position(token.span.start);
        Some(place(self.tokens.get(self.at)?) - place(self.tokens.first()?) + 1)
    }

    fn subject(&mut self) -> Result<CopySubject, PgError> {
        if self.take_token(&Token::LParen) {
            let start = self.at;
            let mut depth = 1;
            while depth > 0 {
                match self.token(0) {
                    Token::LParen => depth += 1,
                    Token::RParen => depth -= 1,
                    Token::EOF => return Err(self.unexpected()),
                    _ => {}
                }
                self.at += 1;
            }
            let inner: Vec<TokenWithSpan> = self.tokens[start..self.at - 1].iter().map(|t| (*t).clone()).collect();
            return match parse_one(&PostgreSqlDialect {}, &inner, self.text)? {
                Sql::Query(query) => Ok(CopySubject::Query(query)),
                _ => Err(PgError::unsupported("COPY of a statement that is no query is not supported")),
            };
        }
        let first = self.name()?;
        let (schema, name) = if self.take_token(&Token::Period) { (Some(first), self.name()?) } else { (None, first) };
        let columns = match self.take_token(&Token::LParen) {
            true => {
                let names = self.names()?;
                self.expect(&Token::RParen)?;
                names
            }
            false => Vec::new(),
        };
        Ok(CopySubject::Table { schema, name, columns })
    }

    fn place(&mut self) -> Result<CopyPlace, PgError> {
        match self.word().as_str() {
            // PostgreSQL takes either word for either direction.
            "STDIN" | "STDOUT" => {
                self.at += 1;
                Ok(CopyPlace::Client)
            }
            "PROGRAM" => {
                self.at += 1;
                self.string()?;
                Ok(CopyPlace::Program)
            }
            _ => self.string().map(CopyPlace::File),
        }
    }

    fn options(&mut self, options: &mut Vec<CopyOption>) -> Result<(), PgError> {
        if self.word_is("USING") || self.word_is("DELIMITERS") {
            let position = self.position();
            self.take("USING");
            if !self.take("DELIMITERS") {
                return Err(self.unexpected());
            }
            options.push(text_option("delimiter", self.string()?, position));
        }
        self.take("WITH");
        if self.take_token(&Token::LParen) {
            loop {
                options.push(self.option()?);
                if !self.take_token(&Token::Comma) {
                    break;
                }
            }
            return self.expect(&Token::RParen);
        }
        while let Some(option) = self.old_option()? {
            options.push(option);
        }
        Ok(())
    }

    /// `name [value]` between parentheses.
    fn option(&mut self) -> Result<CopyOption, PgError> {
        let position = self.position();
        let name = self.name()?.to_lowercase();
        let value = match self.token(0).clone() {
            Token::Comma | Token::RParen => None,
            Token::Mul => {
                self.at += 1;
                Some(CopyValue::Star)
            }
            Token::LParen => {
                self.at += 1;
                let names = self.names()?;
                self.expect(&Token::RParen)?;
                Some(CopyValue::Names(names))
            }
            Token::Word(_) => Some(CopyValue::Text(self.name()?)),
            Token::Number(digits, _) => {
                self.at += 1;
                Some(CopyValue::Text(digits))
            }
            Token::Minus | Token::Plus => {
                let sign = if self.take_token(&Token::Minus) { "-" } else { "" };
                self.take_token(&Token::Plus);
                let Token::Number(digits, _) = self.token(0).clone() else { return Err(self.unexpected()) };
                self.at += 1;
                Some(CopyValue::Text(format!("{sign}{digits}")))
            }
            _ => Some(CopyValue::Text(self.string()?)),
        };
        Ok(CopyOption { name, value, position })
    }

    fn flag(&mut self, name: &str, value: &str) -> CopyOption {
        let position = self.position();
        self.at += 1;
        text_option(name, value.to_owned(), position)
    }

    /// An option of the syntax before PostgreSQL 9.0.
    fn old_option(&mut self) -> Result<Option<CopyOption>, PgError> {
        let position = self.position();
        let option = match self.word().as_str() {
            "BINARY" => self.flag("format", "binary"),
            "CSV" => self.flag("format", "csv"),
            "FREEZE" => self.flag("freeze", "true"),
            "HEADER" => self.flag("header", "true"),
            word @ ("DELIMITER" | "NULL" | "QUOTE" | "ESCAPE" | "ENCODING") => {
                self.at += 1;
                self.take("AS");
                text_option(&word.to_lowercase(), self.string()?, position)
            }
            "FORCE" => {
                self.at += 1;
                let name = if self.take("QUOTE") {
                    "force_quote"
                } else if self.take("NOT") {
                    if !self.take("NULL") {
                        return Err(self.unexpected());
                    }
                    "force_not_null"
                } else if self.take("NULL") {
                    "force_null"
                } else {
                    return Err(self.unexpected());
                };
                let star = name == "force_quote" && self.take_token(&Token::Mul);
                let value = if star { CopyValue::Star } else { CopyValue::Names(self.names()?) };
                CopyOption { name: name.to_owned(), value: Some(value), position }
            }
            _ => return Ok(None),
        };
        Ok(Some(option))
    }

    fn rest_as_expression(&mut self) -> Result<Expr, PgError> {
        let rest: Vec<TokenWithSpan> = self.tokens[self.at..].iter().map(|token| (*token).clone()).collect();
        let dialect = PostgreSqlDialect {};
        let mut parser =
            Parser::new(&dialect).with_recursion_limit(NESTING_MAX).with_tokens_with_locations(rest.clone());
        let expr = parser.parse_expr().map_err(|error| syntax_error(&error, &rest, self.text))?;
        match parser.peek_token().token {
            Token::EOF => {
                self.at = self.tokens.len();
                Ok(expr)
            }
            _ => Err(unexpected(&parser.peek_token(), self.text)),
        }
    }
}

fn text_option(name: &str, value: String, position: Option<usize>) -> CopyOption {
    CopyOption { name: name.to_owned(), value: Some(CopyValue::Text(value)), position }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::{Ast, OwnStatement};

    fn copy(text: &str) -> Result<CopyStatement, PgError> {
        let statements = crate::dialect::parse(text)?;
        match &statements[..] {
            [crate::dialect::Statement { ast: Ast::Own(OwnStatement::Copy(copy)), .. }] => Ok(copy.as_ref().clone()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn both_syntaxes_give_the_same_options() {
        let names = |text: &str| -> Vec<(String, Option<CopyValue>)> {
            copy(text).unwrap().options.into_iter().map(|option| (option.name, option.value)).collect()
        };
        let new = names(
            "COPY s.t (a, \"B\") FROM STDIN WITH (FORMAT csv, HEADER true, DELIMITER ';', NULL 'x', FORCE_NULL (a))",
        );
        assert_eq!(new, names("COPY s.t (a, \"B\") FROM STDIN CSV HEADER DELIMITER AS ';' NULL 'x' FORCE NULL a"));
        assert_eq!(names("COPY t TO STDOUT (FORMAT csv, FORCE_QUOTE *)"), names("COPY t TO STDOUT CSV FORCE QUOTE *"));
        assert_eq!(names("COPY BINARY t TO STDOUT"), names("COPY t TO STDOUT BINARY"));
        assert_eq!(names("COPY t FROM STDIN USING DELIMITERS '|'"), names("COPY t FROM STDIN DELIMITER '|'"));
    }

    #[test]
    fn subjects_and_places() {
        let statement = copy("copy (SELECT (1), ')' FROM x) to '/tmp/a' (format csv)").unwrap();
        assert!(
            matches!(&statement.subject, CopySubject::Query(query) if query.to_string() == "SELECT (1), ')' FROM x")
        );
        assert_eq!(statement.place, CopyPlace::File("/tmp/a".to_owned()));
        let statement = copy("COPY t FROM STDIN WHERE a > 1 AND b").unwrap();
        assert_eq!(statement.condition.unwrap().to_string(), "a > 1 AND b");
        assert_eq!(copy("COPY t FROM PROGRAM 'rm -rf /'").unwrap().place, CopyPlace::Program);
    }

    #[test]
    fn syntax_errors_have_positions() {
        for (text, message, position) in [
            ("COPY t", "syntax error at end of input", 7),
            ("COPY t FROM", "syntax error at end of input", 12),
            ("COPY (SELECT 1) FROM STDIN", "syntax error at or near \"FROM\"", 17),
            ("COPY t FROM STDIN NOPE", "syntax error at or near \"NOPE\"", 19),
            ("COPY t FROM STDIN (FORMAT csv", "syntax error at end of input", 30),
        ] {
            let error = copy(text).unwrap_err();
            assert_eq!((error.message.as_str(), error.position), (message, Some(position)), "{text}");
        }
    }

    #[test]
    fn options_know_where_they_stand() {
        let statements = crate::dialect::parse("SELECT 1; COPY t TO STDOUT (nope 1)").unwrap();
        let Ast::Own(OwnStatement::Copy(copy)) = &statements[1].ast else { panic!("no COPY") };
        assert_eq!(copy.options[0].position, Some(19));
        assert_eq!(statements[1].offset, 10);
    }
}
