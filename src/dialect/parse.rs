//! One pass over the tokens: statements are cut at semicolons, each parsed by us or by sqlparser.

use std::sync::Arc;

use tributary_pg::error::PgError;

use super::sqlparser::dialect::PostgreSqlDialect;
use super::sqlparser::parser::Parser;
use super::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};
use super::syntax_error::{syntax_error, tokenizer_error};
use super::{Ast, DiscardTarget, OwnStatement, Statement, write_words};

/// Longest text of one message. Reason: the parser needs many times the text in memory.
pub const TEXT_BYTES_MAX: usize = 16 << 20;

/// Deepest nesting of expressions and subqueries. Reason: the parser and the planner recurse.
pub const NESTING_MAX: usize = 128;

/// Parses a whole text. Blanks, comments and semicolons alone give no statement.
pub fn parse(text: &str) -> Result<Vec<Statement>, PgError> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(PgError::new(
            tributary_pg::sqlstate::PROGRAM_LIMIT_EXCEEDED,
            format!("statement text of {} bytes exceeds the limit of {TEXT_BYTES_MAX}", text.len()),
        ));
    }
    let dialect = PostgreSqlDialect {};
    let tokens =
        Tokenizer::new(&dialect, text).tokenize_with_location().map_err(|error| tokenizer_error(&error, text))?;
    let lines = LineIndex::new(text);
    let mut statements = Vec::new();
    for group in tokens.split(|token| token.token == Token::SemiColon) {
        let group: &[TokenWithSpan] = trim(group);
        let Some((first, last)) = group.first().zip(group.last()) else { continue };
        let start = lines.byte(first.span.start);
        let end = lines.byte(last.span.end).max(start).min(text.len());
        let source = text[start..end].trim_end();
        let ast = match own_statement(group, text)? {
            Some(own) => Ast::Own(own),
            None => Ast::Sql(Box::new(parse_one(&dialect, group, text)?)),
        };
        statements.push(Statement { ast, text: Arc::from(source), offset: text[..start].chars().count() });
    }
    Ok(statements)
}

pub(super) fn parse_one(
    dialect: &PostgreSqlDialect,
    tokens: &[TokenWithSpan],
    text: &str,
) -> Result<super::sqlparser::ast::Statement, PgError> {
    super::nesting::check(tokens)?;
    let mut parser_tokens = tokens.to_vec();
    // ABORT is PostgreSQL's own word for ROLLBACK; sqlparser does not know it.
    if let Some(first) = parser_tokens.first_mut()
        && matches!(&first.token, Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case("abort"))
    {
        first.token = Token::make_keyword("ROLLBACK");
    }
    // TABLE t is known to sqlparser further in only.
    if let Some(first) = parser_tokens.first().cloned()
        && matches!(&first.token, Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case("table"))
    {
        let spelled = [Token::make_keyword("SELECT"), Token::Mul, Token::make_keyword("FROM")];
        parser_tokens.splice(..1, spelled.map(|token| TokenWithSpan { token, span: first.span }));
    }
    let overriding = write_words::adapt(&mut parser_tokens);
    super::sequences::order_options(&mut parser_tokens);
    super::locks::adapt(&mut parser_tokens);
    super::distinct::adapt(&mut parser_tokens);
    let no_data = super::create_words::adapt(&mut parser_tokens, text)?;
    let mut parser = Parser::new(dialect).with_recursion_limit(NESTING_MAX).with_tokens_with_locations(parser_tokens);
    let mut statement = parser.parse_statement().map_err(|error| syntax_error(&error, tokens, text))?;
    super::weight::check(&statement)?;
    write_words::keep(overriding, &mut statement);
    super::create_words::keep(no_data, &mut statement);
    match parser.peek_token().token {
        Token::EOF => Ok(statement),
        _ => Err(super::syntax_error::unexpected(&parser.peek_token(), text)),
    }
}

/// Cuts white space and comments off both ends.
fn trim(mut tokens: &[TokenWithSpan]) -> &[TokenWithSpan] {
    let blank = |token: &TokenWithSpan| matches!(token.token, Token::Whitespace(_) | Token::EOF);
    while tokens.first().is_some_and(blank) {
        tokens = &tokens[1..];
    }
    while tokens.last().is_some_and(blank) {
        tokens = &tokens[..tokens.len() - 1];
    }
    tokens
}

/// Recognises the statements of [`OwnStatement`] by their first words.
fn own_statement(tokens: &[TokenWithSpan], text: &str) -> Result<Option<OwnStatement>, PgError> {
    let words: Vec<&TokenWithSpan> = tokens.iter().filter(|t| !matches!(t.token, Token::Whitespace(_))).collect();
    let word = |index: usize| match words.get(index).map(|t| &t.token) {
        Some(Token::Word(word)) if word.quote_style.is_none() => word.value.to_ascii_uppercase(),
        _ => String::new(),
    };
    if let Some(statement) = super::roles::parse(&words, text)? {
        return Ok(Some(OwnStatement::Role(statement)));
    }
    if let Some(statement) = super::sequences::parse(&words, text)? {
        return Ok(Some(OwnStatement::Sequence(Box::new(statement))));
    }
    if let Some(statement) = super::upkeep::parse(&words, text)? {
        return Ok(Some(OwnStatement::Upkeep(statement)));
    }
    if let Some(external) = super::external::parse(&words, text)? {
        return Ok(Some(external));
    }
    if let Some(fetch) = super::fetch::parse(&words, text)? {
        return Ok(Some(fetch));
    }
    let own = match (word(0).as_str(), word(1).as_str()) {
        ("COPY", _) => match super::copy::parse(&words, text)? {
            Some(copy) => OwnStatement::Copy(Box::new(copy)),
            None => return Ok(None),
        },
        ("DISCARD", "ALL") => OwnStatement::Discard(DiscardTarget::All),
        ("DISCARD", "PLANS") => OwnStatement::Discard(DiscardTarget::Plans),
        ("DISCARD", "SEQUENCES") => OwnStatement::Discard(DiscardTarget::Sequences),
        ("DISCARD", "TEMP" | "TEMPORARY") => OwnStatement::Discard(DiscardTarget::Temp),
        ("SET", "CONSTRAINTS") => OwnStatement::SetConstraints,
        ("SET", "SESSION") if word(2) == "AUTHORIZATION" => {
            let role = match words.get(3).map(|t| &t.token) {
                Some(Token::SingleQuotedString(name)) => Some(name.clone()),
                Some(Token::Word(w)) if w.quote_style.is_some() => Some(w.value.clone()),
                Some(Token::Word(w)) if !w.value.eq_ignore_ascii_case("default") => Some(w.value.to_lowercase()),
                _ => None,
            };
            OwnStatement::SessionAuthorization(role)
        }
        ("RESET", "ALL") => OwnStatement::Reset(None),
        ("RESET", "SESSION") if word(2) == "AUTHORIZATION" => {
            OwnStatement::Reset(Some("session_authorization".to_owned()))
        }
        ("RESET", _) => {
            let name: String = words[1..].iter().map(|t| t.token.to_string()).collect();
            OwnStatement::Reset(Some(name))
        }
        ("DO", _) => match words.iter().find_map(|t| match &t.token {
            Token::DollarQuotedString(body) => Some(body.value.clone()),
            Token::SingleQuotedString(body) => Some(body.clone()),
            _ => None,
        }) {
            Some(body) => OwnStatement::Do(body),
            None => return Ok(None),
        },
        _ => return Ok(None),
    };
    Ok(Some(own))
}

/// Byte offsets of line starts, to turn the tokenizer's line and column into bytes.
pub(super) struct LineIndex<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> LineIndex<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let starts =
            std::iter::once(0).chain(text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(i, _)| i + 1));
        Self { text, starts: starts.collect() }
    }

    /// The byte a location points at; columns count characters from 1. Locations out of range give the text's end.
    pub(super) fn byte(&self, location: Location) -> usize {
        let Some(line) = (location.line as usize).checked_sub(1) else { return self.text.len() };
        let Some(&start) = self.starts.get(line) else { return self.text.len() };
        let column = (location.column as usize).saturating_sub(1);
        self.text[start..].char_indices().nth(column).map_or(self.text.len(), |(byte, _)| start + byte)
    }

    /// 1-based character position of a location, as PostgreSQL reports it.
    pub(super) fn position(&self, location: Location) -> usize {
        self.text[..self.byte(location)].chars().count() + 1
    }
}
