//! Statements about sequences: CREATE and ALTER SEQUENCE, and what ALTER TABLE does to an identity column.
//!
//! They are read here because their options come in any order, which sqlparser does not allow.

use tributary_pg::error::PgError;
use tributary_pg::sqlstate;

use super::roles::Reader;
use super::sqlparser::tokenizer::{Token, TokenWithSpan};
use super::syntax_error::unexpected;

/// A name with the schema before it, if one is given.
pub type Qualified = (Option<String>, String);

/// A statement about sequences.
#[derive(Clone, Debug, PartialEq)]
pub enum SequenceStatement {
    /// `CREATE [TEMPORARY] SEQUENCE [IF NOT EXISTS]`.
    Create {
        /// TEMPORARY.
        temporary: bool,
        /// IF NOT EXISTS.
        if_not_exists: bool,
        /// Its name.
        name: Qualified,
        /// Options given.
        options: SequenceOptions,
    },
    /// ALTER SEQUENCE [IF EXISTS].
    Alter {
        /// IF EXISTS.
        if_exists: bool,
        /// Its name.
        name: Qualified,
        /// What to change.
        change: SequenceChange,
    },
    /// `ALTER TABLE [IF EXISTS] table ALTER [COLUMN] column`, about its identity.
    Identity {
        /// IF EXISTS.
        if_exists: bool,
        /// The table.
        table: Qualified,
        /// The column.
        column: String,
        /// What to change.
        change: IdentityChange,
    },
}

/// What ALTER SEQUENCE changes.
#[derive(Clone, Debug, PartialEq)]
pub enum SequenceChange {
    /// Its options.
    Options(SequenceOptions),
    /// RENAME TO.
    Rename(String),
    /// OWNER TO.
    Owner(String),
    /// SET SCHEMA.
    Schema(String),
}

/// What ALTER COLUMN changes of an identity.
#[derive(Clone, Debug, PartialEq)]
pub enum IdentityChange {
    /// ADD GENERATED {ALWAYS | BY DEFAULT} AS IDENTITY.
    Add {
        /// ALWAYS.
        always: bool,
        /// Options of its sequence.
        options: SequenceOptions,
    },
    /// SET GENERATED, SET option, RESTART.
    Set {
        /// SET GENERATED ALWAYS is true.
        always: Option<bool>,
        /// Options of its sequence.
        options: SequenceOptions,
    },
    /// DROP IDENTITY [IF EXISTS].
    Drop {
        /// IF EXISTS.
        if_exists: bool,
    },
}

/// Options of a sequence, `None` where not given.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SequenceOptions {
    /// AS type.
    pub data_type: Option<String>,
    /// INCREMENT BY.
    pub increment: Option<i64>,
    /// MINVALUE; NO MINVALUE is `Some(None)`.
    pub min: Option<Option<i64>>,
    /// MAXVALUE.
    pub max: Option<Option<i64>>,
    /// START WITH.
    pub start: Option<i64>,
    /// RESTART; without a value `Some(None)`.
    pub restart: Option<Option<i64>>,
    /// CACHE.
    pub cache: Option<i64>,
    /// CYCLE, NO CYCLE.
    pub cycle: Option<bool>,
    /// OWNED BY table.column; NONE is `Some(None)`.
    pub owned_by: Option<Option<Vec<String>>>,
}

/// Reads a statement about sequences; `None` if it is none. `tokens` hold no blanks.
pub(super) fn parse(tokens: &[&TokenWithSpan], text: &str) -> Result<Option<SequenceStatement>, PgError> {
    let mut reader = Reader { tokens, at: 0, text };
    let statement = match (reader.word(0).as_str(), reader.word(1).as_str(), reader.word(2).as_str()) {
        ("CREATE", "SEQUENCE", _) => create(&mut reader, 2, false)?,
        ("CREATE", "TEMP" | "TEMPORARY", "SEQUENCE") => create(&mut reader, 3, true)?,
        ("CREATE", "UNLOGGED", "SEQUENCE") => create(&mut reader, 3, false)?,
        ("ALTER", "SEQUENCE", _) => {
            reader.at = 2;
            let if_exists = reader.skip("IF") && reader.expect("EXISTS")?;
            let name = qualified(&mut reader)?;
            SequenceStatement::Alter { if_exists, name, change: change(&mut reader)? }
        }
        ("ALTER", "TABLE", _) => match identity(&mut reader)? {
            Some(statement) => statement,
            None => return Ok(None),
        },
        _ => return Ok(None),
    };
    reader.end()?;
    Ok(Some(statement))
}

fn create(reader: &mut Reader<'_>, at: usize, temporary: bool) -> Result<SequenceStatement, PgError> {
    reader.at = at;
    let if_not_exists = reader.skip("IF") && reader.expect("NOT")? && reader.expect("EXISTS")?;
    let name = qualified(reader)?;
    Ok(SequenceStatement::Create { temporary, if_not_exists, name, options: options(reader)? })
}

fn change(reader: &mut Reader<'_>) -> Result<SequenceChange, PgError> {
    Ok(match reader.word(0).as_str() {
        "RENAME" => {
            reader.at += 1;
            reader.expect("TO")?;
            SequenceChange::Rename(reader.name()?)
        }
        "OWNER" => {
            reader.at += 1;
            reader.expect("TO")?;
            SequenceChange::Owner(reader.name()?)
        }
        "SET" if reader.word(1) == "SCHEMA" => {
            reader.at += 2;
            SequenceChange::Schema(reader.name()?)
        }
        _ if reader.at == reader.tokens.len() => return Err(reader.error()),
        _ => SequenceChange::Options(options(reader)?),
    })
}

fn qualified(reader: &mut Reader<'_>) -> Result<Qualified, PgError> {
    let mut parts = dotted(reader)?;
    match parts.len() {
        1 => Ok((None, parts.remove(0))),
        2 | 3 => {
            let own = parts.pop().unwrap_or_default();
            Ok((parts.pop(), own))
        }
        _ => Err(PgError::new(
            sqlstate::SYNTAX_ERROR,
            format!("improper qualified name (too many dotted names): {}", parts.join(".")),
        )),
    }
}

fn dotted(reader: &mut Reader<'_>) -> Result<Vec<String>, PgError> {
    let mut parts = vec![reader.name()?];
    while reader.tokens.get(reader.at).is_some_and(|token| token.token == Token::Period) {
        reader.at += 1;
        parts.push(reader.name()?);
    }
    Ok(parts)
}

/// All options from here to the end or to a closing parenthesis.
fn options(reader: &mut Reader<'_>) -> Result<SequenceOptions, PgError> {
    let mut options = SequenceOptions::default();
    while reader.tokens.get(reader.at).is_some_and(|token| token.token != Token::RParen) {
        option(reader, &mut options)?;
    }
    Ok(options)
}

fn option(reader: &mut Reader<'_>, options: &mut SequenceOptions) -> Result<(), PgError> {
    let (word, next) = (reader.word(0), reader.word(1));
    let place = reader.at;
    let twice = |reader: &Reader<'_>, given: bool| match (given, reader.tokens.get(place)) {
        (true, Some(token)) => {
            let error = PgError::new(sqlstate::SYNTAX_ERROR, "conflicting or redundant options");
            Err(match unexpected(token, reader.text).position {
                Some(position) => error.at(position),
                None => error,
            })
        }
        _ => Ok(()),
    };
    match (word.as_str(), next.as_str()) {
        ("AS", _) => {
            twice(reader, options.data_type.is_some())?;
            reader.at += 1;
            options.data_type = Some(reader.name()?);
        }
        ("INCREMENT", _) => {
            twice(reader, options.increment.is_some())?;
            reader.at += 1;
            reader.skip("BY");
            options.increment = Some(number(reader)?);
        }
        ("MINVALUE", _) => {
            twice(reader, options.min.is_some())?;
            reader.at += 1;
            options.min = Some(Some(number(reader)?));
        }
        ("MAXVALUE", _) => {
            twice(reader, options.max.is_some())?;
            reader.at += 1;
            options.max = Some(Some(number(reader)?));
        }
        ("NO", "MINVALUE") => {
            twice(reader, options.min.is_some())?;
            reader.at += 2;
            options.min = Some(None);
        }
        ("NO", "MAXVALUE") => {
            twice(reader, options.max.is_some())?;
            reader.at += 2;
            options.max = Some(None);
        }
        ("NO", "CYCLE") | ("CYCLE", _) => {
            twice(reader, options.cycle.is_some())?;
            reader.at += if word == "NO" { 2 } else { 1 };
            options.cycle = Some(word == "CYCLE");
        }
        ("START", _) => {
            twice(reader, options.start.is_some())?;
            reader.at += 1;
            reader.skip("WITH");
            options.start = Some(number(reader)?);
        }
        ("RESTART", _) => {
            twice(reader, options.restart.is_some())?;
            reader.at += 1;
            let with = reader.skip("WITH");
            options.restart = Some(if with || starts_number(reader) { Some(number(reader)?) } else { None });
        }
        ("CACHE", _) => {
            twice(reader, options.cache.is_some())?;
            reader.at += 1;
            options.cache = Some(number(reader)?);
        }
        ("OWNED", "BY") => {
            twice(reader, options.owned_by.is_some())?;
            reader.at += 2;
            options.owned_by = Some(if reader.skip("NONE") { None } else { Some(dotted(reader)?) });
        }
        _ => return Err(reader.error()),
    }
    Ok(())
}

fn starts_number(reader: &Reader<'_>) -> bool {
    let token = reader.tokens.get(reader.at).map(|token| &token.token);
    matches!(token, Some(Token::Number(..) | Token::Minus | Token::Plus))
}

fn number(reader: &mut Reader<'_>) -> Result<i64, PgError> {
    let token = |reader: &Reader<'_>| reader.tokens.get(reader.at).map(|token| token.token.clone());
    let sign = match token(reader) {
        Some(Token::Minus) => "-",
        Some(Token::Plus) => "+",
        _ => "",
    };
    reader.at += sign.len();
    let Some(Token::Number(digits, _)) = token(reader) else { return Err(reader.error()) };
    reader.at += 1;
    format!("{sign}{digits}").parse().map_err(|_| {
        let message = format!("value \"{}{digits}\" is out of range for type bigint", sign.replace('+', ""));
        PgError::new(sqlstate::NUMERIC_VALUE_OUT_OF_RANGE, message)
    })
}

/// The one action of an ALTER TABLE, if it is about an identity.
fn identity(reader: &mut Reader<'_>) -> Result<Option<SequenceStatement>, PgError> {
    reader.at = 2;
    let if_exists = reader.word(0) == "IF" && reader.word(1) == "EXISTS";
    reader.at += if if_exists { 2 } else { 0 };
    reader.skip("ONLY");
    let Ok(table) = qualified(reader) else { return Ok(None) };
    if !reader.skip("ALTER") {
        return Ok(None);
    }
    reader.skip("COLUMN");
    let Ok(column) = reader.name() else { return Ok(None) };
    let change = match (reader.word(0).as_str(), reader.word(1).as_str()) {
        ("ADD", "GENERATED") => {
            reader.at += 2;
            let always = generated(reader)?;
            reader.expect("AS")?;
            reader.expect("IDENTITY")?;
            let mut given = SequenceOptions::default();
            if reader.tokens.get(reader.at).is_some_and(|token| token.token == Token::LParen) {
                reader.at += 1;
                given = options(reader)?;
                match reader.tokens.get(reader.at) {
                    Some(token) if token.token == Token::RParen => reader.at += 1,
                    _ => return Err(reader.error()),
                }
            }
            IdentityChange::Add { always, options: given }
        }
        ("DROP", "IDENTITY") => {
            reader.at += 2;
            IdentityChange::Drop { if_exists: reader.skip("IF") && reader.expect("EXISTS")? }
        }
        ("RESTART", _)
        | ("SET", "GENERATED" | "INCREMENT" | "MINVALUE" | "MAXVALUE" | "NO" | "START" | "CACHE" | "CYCLE") => {
            let (mut always, mut given) = (None, SequenceOptions::default());
            while reader.at < reader.tokens.len() {
                let set = reader.skip("SET");
                match reader.word(0).as_str() {
                    "GENERATED" if set => {
                        reader.at += 1;
                        always = Some(generated(reader)?);
                    }
                    "RESTART" if !set => option(reader, &mut given)?,
                    _ if set => option(reader, &mut given)?,
                    _ => return Err(reader.error()),
                }
            }
            IdentityChange::Set { always, options: given }
        }
        _ => return Ok(None),
    };
    Ok(Some(SequenceStatement::Identity { if_exists, table, column, change }))
}

/// Puts the options of identity columns into the one order that sqlparser reads.
pub(super) fn order_options(tokens: &mut [TokenWithSpan]) {
    let word = |token: &TokenWithSpan| match &token.token {
        Token::Word(word) if word.quote_style.is_none() => word.value.to_ascii_uppercase(),
        _ => String::new(),
    };
    let outer: Vec<usize> =
        (0..tokens.len()).filter(|&index| !matches!(tokens[index].token, Token::Whitespace(_))).collect();
    for pair in outer.windows(2) {
        let [identity, open] = *pair else { continue };
        if word(&tokens[identity]) != "IDENTITY" || tokens[open].token != Token::LParen {
            continue;
        }
        let Some(close) = (open..tokens.len()).find(|&index| tokens[index].token == Token::RParen) else { return };
        let mut options: Vec<(usize, Vec<TokenWithSpan>)> = Vec::new();
        for token in &tokens[open + 1..close] {
            let name = word(token);
            let rank = ["INCREMENT", "MINVALUE", "MAXVALUE", "START", "CACHE", "CYCLE"]
                .iter()
                .position(|known| *known == name);
            match (rank, options.last_mut()) {
                // NO goes before the word it denies.
                (Some(rank), Some(last)) if last.0 == usize::MAX => {
                    last.0 = rank;
                    last.1.push(token.clone());
                }
                (Some(rank), _) => options.push((rank, vec![token.clone()])),
                (None, _) if name == "NO" => options.push((usize::MAX, vec![token.clone()])),
                (None, Some(last)) => last.1.push(token.clone()),
                (None, None) if name.is_empty() => options.push((0, vec![token.clone()])),
                (None, None) => return,
            }
        }
        options.sort_by_key(|(rank, _)| *rank);
        let ordered = options.into_iter().flat_map(|(_, option)| option);
        for (place, token) in tokens[open + 1..close].iter_mut().zip(ordered) {
            *place = token;
        }
    }
}

fn generated(reader: &mut Reader<'_>) -> Result<bool, PgError> {
    if reader.skip("ALWAYS") {
        return Ok(true);
    }
    reader.expect("BY")?;
    reader.expect("DEFAULT")?;
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::super::{Ast, OwnStatement, parse};
    use super::*;

    fn read(text: &str) -> Result<SequenceStatement, PgError> {
        match parse(text)?.remove(0).ast {
            Ast::Own(OwnStatement::Sequence(statement)) => Ok(*statement),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn options_come_in_any_order() {
        let statement = read("CREATE SEQUENCE a.s START 5 NO CYCLE INCREMENT -2 MAXVALUE 9 NO MINVALUE CACHE 7");
        let options = SequenceOptions {
            start: Some(5),
            cycle: Some(false),
            increment: Some(-2),
            max: Some(Some(9)),
            min: Some(None),
            cache: Some(7),
            ..SequenceOptions::default()
        };
        let name = (Some("a".to_owned()), "s".to_owned());
        let wanted = SequenceStatement::Create { temporary: false, if_not_exists: false, name, options };
        assert_eq!(statement.expect("reads"), wanted);
    }

    #[test]
    fn identity_changes_are_read_and_other_alterations_are_not() {
        for (text, wanted) in [
            ("ALTER TABLE t ALTER c DROP IDENTITY IF EXISTS", IdentityChange::Drop { if_exists: true }),
            (
                "ALTER TABLE ONLY t ALTER COLUMN c SET GENERATED ALWAYS SET INCREMENT 5 RESTART",
                IdentityChange::Set {
                    always: Some(true),
                    options: SequenceOptions { increment: Some(5), restart: Some(None), ..SequenceOptions::default() },
                },
            ),
        ] {
            match read(text).expect("reads") {
                SequenceStatement::Identity { change, .. } => assert_eq!(change, wanted, "{text}"),
                other => panic!("{other:?}"),
            }
        }
        assert!(matches!(parse("ALTER TABLE t ALTER c SET NOT NULL").expect("reads")[0].ast, Ast::Sql(_)));
        let error = read("CREATE SEQUENCE s CYCLE NO CYCLE").expect_err("twice");
        assert_eq!((error.message.as_str(), error.position), ("conflicting or redundant options", Some(25)));
        assert_eq!(read("CREATE SEQUENCE s START").expect_err("no number").code.as_str(), "42601");
    }
}
