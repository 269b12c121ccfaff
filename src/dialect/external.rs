//! CREATE EXTERNAL TABLE, in DataFusion's grammar, and DROP FOREIGN TABLE, which is how PostgreSQL drops one.

use tributary_pg::error::PgError;
use tributary_pg::sqlstate;

use super::OwnStatement;
use super::copy::Reader;
use super::parse::parse_one;
use super::sqlparser::ast::{ColumnDef, ObjectName, Statement as Sql, TableConstraint};
use super::sqlparser::dialect::PostgreSqlDialect;
use super::sqlparser::tokenizer::{Token, TokenWithSpan};

/// CREATE EXTERNAL TABLE.
#[derive(Clone, Debug, PartialEq)]
pub struct ExternalStatement {
    /// Its name.
    pub name: ObjectName,
    /// IF NOT EXISTS.
    pub if_not_exists: bool,
    /// Columns as defined; none to take the files'.
    pub columns: Vec<ColumnDef>,
    /// Constraints beside the columns.
    pub constraints: Vec<TableConstraint>,
    /// STORED AS, in lower case.
    pub format: String,
    /// LOCATION.
    pub location: String,
    /// OPTIONS in the order given, names in lower case.
    pub options: Vec<(String, String)>,
}

/// Reads a statement of this file; `None` if it is none. `tokens` hold no blanks.
pub(super) fn parse(tokens: &[&TokenWithSpan], text: &str) -> Result<Option<OwnStatement>, PgError> {
    let mut reader = Reader { tokens, at: 0, text };
    if !reader.take("CREATE") {
        return parse_drop(tokens, text);
    }
    let unbounded = reader.take("UNBOUNDED");
    if !reader.take("EXTERNAL") {
        return Ok(None);
    }
    if unbounded {
        return Err(PgError::unsupported("unbounded external tables are not supported"));
    }
    if !reader.take("TABLE") {
        return Err(reader.unexpected());
    }
    let if_not_exists = reader.take("IF");
    if if_not_exists && !(reader.take("NOT") && reader.take("EXISTS")) {
        return Err(reader.unexpected());
    }
    let (name, columns, constraints) = reader.named_columns()?;
    let (mut format, mut location, mut options) = (None, None, None);
    while reader.at < tokens.len() {
        if reader.take("STORED") {
            if !reader.take("AS") {
                return Err(reader.unexpected());
            }
            once(&mut format, reader.name()?.to_lowercase())?;
        } else if reader.take("LOCATION") {
            once(&mut location, reader.string()?)?;
        } else if reader.take("OPTIONS") {
            once(&mut options, reader.pairs()?)?;
        } else if reader.word_is("PARTITIONED") || reader.word_is("WITH") {
            let word = reader.word();
            return Err(PgError::unsupported(format!("{word} is not supported for external tables")));
        } else {
            return Err(reader.unexpected());
        }
    }
    let missing = |clause: &str| {
        PgError::new(sqlstate::SYNTAX_ERROR, format!("missing {clause} clause in CREATE EXTERNAL TABLE statement"))
    };
    Ok(Some(OwnStatement::External(Box::new(ExternalStatement {
        name,
        if_not_exists,
        columns,
        constraints,
        format: format.ok_or_else(|| missing("STORED AS"))?,
        location: location.ok_or_else(|| missing("LOCATION"))?,
        options: options.unwrap_or_default(),
    }))))
}

/// DROP FOREIGN TABLE, which sqlparser does not know; also under DataFusion's word.
fn parse_drop(tokens: &[&TokenWithSpan], text: &str) -> Result<Option<OwnStatement>, PgError> {
    let mut reader = Reader { tokens, at: 0, text };
    if !reader.take("DROP") || !(reader.take("FOREIGN") || reader.take("EXTERNAL")) || !reader.take("TABLE") {
        return Ok(None);
    }
    let plain: Vec<TokenWithSpan> =
        tokens.iter().enumerate().filter(|(at, _)| *at != 1).map(|(_, token)| (*token).clone()).collect();
    match parse_one(&PostgreSqlDialect {}, &plain, text)? {
        Sql::Drop { names, if_exists, cascade, .. } => {
            Ok(Some(OwnStatement::DropExternal { names, if_exists, cascade }))
        }
        _ => Err(PgError::internal("DROP FOREIGN TABLE is read as another statement")),
    }
}

fn once<T>(slot: &mut Option<T>, value: T) -> Result<(), PgError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(PgError::new(sqlstate::SYNTAX_ERROR, "conflicting or redundant options")),
    }
}

impl Reader<'_> {
    /// `name [(columns)]`, as in CREATE TABLE.
    fn named_columns(&mut self) -> Result<(ObjectName, Vec<ColumnDef>, Vec<TableConstraint>), PgError> {
        let start = self.at;
        self.name()?;
        while self.take_token(&Token::Period) {
            self.name()?;
        }
        let mut parts: Vec<TokenWithSpan> =
            [Token::make_keyword("CREATE"), Token::make_keyword("TABLE")].map(TokenWithSpan::wrap).into();
        let listed = self.token_is(0, &Token::LParen);
        if listed {
            self.pass_parentheses()?;
        }
        parts.extend(self.tokens[start..self.at].iter().map(|token| (*token).clone()));
        if !listed {
            parts.extend([Token::LParen, Token::RParen].map(TokenWithSpan::wrap));
        }
        match parse_one(&PostgreSqlDialect {}, &parts, self.text)? {
            Sql::CreateTable(create) => Ok((create.name, create.columns, create.constraints)),
            _ => Err(PgError::internal("columns of an external table are read as another statement")),
        }
    }

    /// Goes behind the parenthesis that closes the one here.
    fn pass_parentheses(&mut self) -> Result<(), PgError> {
        let mut depth = 0;
        loop {
            match self.token(0) {
                Token::LParen => depth += 1,
                Token::RParen => depth -= 1,
                Token::EOF => return Err(self.unexpected()),
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Ok(());
            }
        }
    }

    /// `('name' 'value', ...)`; names may also be words with dots.
    fn pairs(&mut self) -> Result<Vec<(String, String)>, PgError> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        self.expect(&Token::LParen)?;
        loop {
            let name = match self.token(0) {
                Token::Word(_) => {
                    let mut name = self.name()?;
                    while self.take_token(&Token::Period) {
                        name.push('.');
                        name.push_str(&self.name()?);
                    }
                    name
                }
                _ => self.string()?,
            };
            let name = name.to_lowercase();
            let value = match self.token(0).clone() {
                Token::Number(digits, _) => {
                    self.at += 1;
                    digits
                }
                Token::Word(_) => self.name()?,
                _ => self.string()?,
            };
            if pairs.iter().any(|(known, _)| *known == name) {
                let message = format!("option \"{name}\" provided more than once");
                return Err(PgError::new(sqlstate::SYNTAX_ERROR, message));
            }
            pairs.push((name, value));
            if !self.take_token(&Token::Comma) {
                break;
            }
        }
        self.expect(&Token::RParen)?;
        Ok(pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::Ast;

    fn external(text: &str) -> Result<ExternalStatement, PgError> {
        match crate::dialect::parse(text)?.remove(0).ast {
            Ast::Own(OwnStatement::External(statement)) => Ok(*statement),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn clauses_come_in_any_order() {
        let one = external(
            "CREATE EXTERNAL TABLE IF NOT EXISTS s.\"T\" (a int, b numeric(10, 2)) STORED AS CSV LOCATION '/x/*.csv' \
             OPTIONS ('format.has_header' 'true', format.delimiter ';', 'n' 7)",
        )
        .expect("parses");
        assert_eq!((one.name.to_string().as_str(), one.if_not_exists, one.columns.len()), ("s.\"T\"", true, 2));
        assert_eq!((one.format.as_str(), one.location.as_str()), ("csv", "/x/*.csv"));
        let options = [("format.has_header", "true"), ("format.delimiter", ";"), ("n", "7")];
        assert_eq!(one.options, options.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let other = external("create external table t location 'f' stored as \"Parquet\"").expect("parses");
        assert_eq!((other.columns.len(), other.format.as_str(), other.location.as_str()), (0, "parquet", "f"));
    }

    #[test]
    fn what_is_missing_or_strange_is_told() {
        for (text, code, message) in [
            (
                "CREATE EXTERNAL TABLE t LOCATION 'x'",
                "42601",
                "missing STORED AS clause in CREATE EXTERNAL TABLE statement",
            ),
            (
                "CREATE EXTERNAL TABLE t STORED AS CSV",
                "42601",
                "missing LOCATION clause in CREATE EXTERNAL TABLE statement",
            ),
            (
                "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION 'x' LOCATION 'y'",
                "42601",
                "conflicting or redundant options",
            ),
            (
                "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION 'x' OPTIONS ('a' '1', 'A' '2')",
                "42601",
                "option \"a\" provided more than once",
            ),
            ("CREATE EXTERNAL TABLE t (a int STORED AS CSV LOCATION 'x'", "42601", "syntax error at end of input"),
            ("CREATE EXTERNAL TABLE t STORED AS CSV NOWHERE 'x'", "42601", "syntax error at or near \"NOWHERE\""),
            (
                "CREATE EXTERNAL TABLE t STORED AS CSV PARTITIONED BY (a) LOCATION 'x'",
                "0A000",
                "PARTITIONED is not supported for external tables",
            ),
            ("CREATE EXTERNAL VIEW t", "42601", "syntax error at or near \"VIEW\""),
        ] {
            let error = external(text).expect_err(text);
            assert_eq!((error.code.as_str(), error.message.as_str()), (code, message), "{text}");
        }
        let dropped = crate::dialect::parse("DROP FOREIGN TABLE IF EXISTS t, u CASCADE").expect("parses").remove(0);
        let Ast::Own(OwnStatement::DropExternal { names, if_exists, cascade }) = dropped.ast else { panic!("another") };
        assert_eq!((names.len(), if_exists, cascade), (2, true, true));
    }
}
