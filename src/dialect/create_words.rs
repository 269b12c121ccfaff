//! Words of CREATE TABLE that sqlparser does not read.
//!
//! `LIKE source INCLUDING ...` among the columns becomes a column of a name no user can write, which carries the clause as
//! its default; [`like_of`] reads it back, so its place among the columns is kept. `WITH NO DATA` behind CREATE TABLE AS
//! is kept in a flag that PostgreSQL's grammar never sets.

use tributary_pg::error::PgError;

use super::roles::Reader;
use super::sequences::Qualified;
use super::sqlparser::ast::{ColumnDef, ColumnOption, CreateTable, Expr, Statement, Value};
use super::sqlparser::dialect::PostgreSqlDialect;
use super::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};
use super::syntax_error::{at_end, unexpected};

/// The name of the column that stands for a LIKE clause.
const LIKE: &str = "\u{1}like";

/// What LIKE may include or leave out.
const LIKE_OPTIONS: [&str; 10] = [
    "ALL",
    "COMMENTS",
    "COMPRESSION",
    "CONSTRAINTS",
    "DEFAULTS",
    "GENERATED",
    "IDENTITY",
    "INDEXES",
    "STATISTICS",
    "STORAGE",
];

/// `LIKE source [INCLUDING x] ...`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LikeClause {
    /// The relation whose columns are copied.
    pub source: Qualified,
    /// Words after INCLUDING and EXCLUDING, in order; true for INCLUDING.
    options: Vec<(bool, String)>,
}

impl LikeClause {
    /// Whether INCLUDING covers a word: the last mention decides.
    pub fn includes(&self, word: &str) -> bool {
        let mention = self.options.iter().rev().find(|(_, given)| given == word || given == "ALL");
        mention.is_some_and(|(including, _)| *including)
    }
}

/// Adapts the tokens of one statement; true for WITH NO DATA.
pub(super) fn adapt(tokens: &mut Vec<TokenWithSpan>, text: &str) -> Result<bool, PgError> {
    let words: Vec<usize> =
        (0..tokens.len()).filter(|&index| !matches!(tokens[index].token, Token::Whitespace(_))).collect();
    let is = |tokens: &[TokenWithSpan], place: usize, word: &str| {
        words.get(place).is_some_and(|&index| {
            matches!(&tokens[index].token, Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(word))
        })
    };
    let table = (1..5).any(|place| is(tokens, place, "TABLE"));
    if !is(tokens, 0, "CREATE") || !table {
        return Ok(false);
    }
    let count = words.len();
    let ends = |given: &[&str]| {
        count > given.len() && given.iter().enumerate().all(|(at, word)| is(tokens, count - given.len() + at, word))
    };
    let (no_data, cut) = match (ends(&["WITH", "NO", "DATA"]), ends(&["WITH", "DATA"])) {
        (true, _) => (true, 3),
        (_, true) => (false, 2),
        _ => (false, 0),
    };
    if cut > 0 {
        tokens.truncate(words[count - cut]);
    }
    column_list(tokens, text)?;
    Ok(no_data)
}

/// Reads the list of columns: puts a column in the place of each LIKE clause, and gives a type to the names alone that
/// CREATE TABLE AS has, whose types its query gives.
fn column_list(tokens: &mut Vec<TokenWithSpan>, text: &str) -> Result<(), PgError> {
    let Some(list) = List::find(tokens) else { return Ok(()) };
    let names = list.items.first().is_some_and(|item| item.len() == 1);
    let wrong = |token: Option<&usize>| token.map_or_else(|| at_end(text), |&index| unexpected(&tokens[index], text));
    let mut put = Vec::new();
    for (item, end) in list.items.iter().zip(&list.ends) {
        let Some(&first) = item.first() else { return Err(wrong(Some(end))) };
        let Token::Word(word) = &tokens[first].token else { continue };
        if word.quote_style.is_none() && word.value.eq_ignore_ascii_case("like") {
            let clause: Vec<&TokenWithSpan> = item[1..].iter().chain([end]).map(|&index| &tokens[index]).collect();
            check_like(&clause, text)?;
            let spelled: String = tokens[first + 1..*end].iter().map(|token| token.token.to_string()).collect();
            let column = vec![
                Token::make_word(LIKE, Some('"')),
                Token::make_keyword("TEXT"),
                Token::make_keyword("DEFAULT"),
                Token::SingleQuotedString(spelled),
            ];
            put.push((first..*end, column));
        } else if names && item.len() > 1 {
            return Err(wrong(item.get(1)));
        } else if item.len() == 1 && !names {
            return Err(wrong(Some(end)));
        } else if names {
            put.push((first + 1..first + 1, vec![Token::make_keyword("TEXT")]));
        }
    }
    match (names, list.query) {
        (true, None) => return Err(wrong(list.behind.as_ref())),
        (false, Some(query)) if !list.items.is_empty() => return Err(wrong(Some(&query))),
        _ => {}
    }
    for (range, column) in put.into_iter().rev() {
        let span = tokens[range.start.min(tokens.len() - 1)].span;
        tokens.splice(range, column.into_iter().map(|token| TokenWithSpan { token, span }));
    }
    Ok(())
}

/// The list of columns of a CREATE TABLE, as places among its tokens.
struct List {
    /// Tokens of each item, without blanks.
    items: Vec<Vec<usize>>,
    /// The comma or parenthesis behind each item.
    ends: Vec<usize>,
    /// What follows the list.
    behind: Option<usize>,
    /// AS, where a query follows.
    query: Option<usize>,
}

impl List {
    /// None where there is no list, or one that does not end.
    fn find(tokens: &[TokenWithSpan]) -> Option<Self> {
        let is = |index: usize, word: &str| matches!(&tokens[index].token, Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(word));
        let words = (0..tokens.len()).filter(|&index| !matches!(tokens[index].token, Token::Whitespace(_)));
        let mut list = Self { items: Vec::new(), ends: Vec::new(), behind: None, query: None };
        let mut item = Vec::new();
        let (mut depth, mut closed) = (0_usize, false);
        for index in words {
            if closed && list.behind.is_none() {
                list.behind = Some(index);
            }
            match &tokens[index].token {
                // A query or storage parameters begin here, not a list of columns.
                _ if depth == 0 && !closed && (is(index, "as") || is(index, "with")) => return None,
                _ if depth == 0 && is(index, "as") => {
                    list.query = Some(index);
                    break;
                }
                Token::LParen => depth += 1,
                Token::RParen => depth = depth.checked_sub(1)?,
                _ => {}
            }
            match &tokens[index].token {
                _ if closed => continue,
                Token::LParen if depth == 1 => continue,
                Token::RParen if depth == 0 => closed = true,
                Token::Comma if depth == 1 => {}
                _ => {
                    if depth > 0 {
                        item.push(index);
                    }
                    continue;
                }
            }
            // PostgreSQL lets a table have no columns.
            if depth > 0 || !item.is_empty() || !list.items.is_empty() {
                list.items.push(std::mem::take(&mut item));
                list.ends.push(index);
            }
        }
        closed.then_some(list)
    }
}

/// Refuses what is no LIKE clause. `clause` is what follows LIKE, up to and with what ends the item.
fn check_like(clause: &[&TokenWithSpan], text: &str) -> Result<(), PgError> {
    let mut reader = Reader { tokens: clause, at: 0, text };
    reader.name()?;
    while reader.tokens.get(reader.at).is_some_and(|token| token.token == Token::Period) {
        reader.at += 1;
        reader.name()?;
    }
    while reader.at + 1 < clause.len() {
        if !reader.skip("INCLUDING") {
            reader.expect("EXCLUDING")?;
        }
        if !LIKE_OPTIONS.contains(&reader.word(0).as_str()) {
            return Err(reader.error());
        }
        reader.at += 1;
    }
    Ok(())
}

/// The LIKE clause that a column definition stands for.
pub fn like_of(definition: &ColumnDef) -> Option<LikeClause> {
    if definition.name.value != LIKE {
        return None;
    }
    let text = definition.options.iter().find_map(|option| match &option.option {
        ColumnOption::Default(Expr::Value(value)) => match &value.value {
            Value::SingleQuotedString(text) => Some(text),
            _ => None,
        },
        _ => None,
    })?;
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, text).tokenize().ok()?;
    let mut tokens = tokens.into_iter().filter(|token| !matches!(token, Token::Whitespace(_))).peekable();
    let name = |token: Option<Token>| match token {
        Some(Token::Word(word)) if word.quote_style.is_some() => Some(word.value),
        Some(Token::Word(word)) => Some(word.value.to_lowercase()),
        _ => None,
    };
    let mut source = (None, name(tokens.next())?);
    while tokens.next_if_eq(&Token::Period).is_some() {
        source = (Some(source.1), name(tokens.next())?);
    }
    let mut options = Vec::new();
    while let Some(word) = name(tokens.next()) {
        let option = name(tokens.next())?.to_uppercase();
        options.push((word == "including", option));
    }
    Some(LikeClause { source, options })
}

/// Keeps WITH NO DATA with its statement.
pub(super) fn keep(no_data: bool, statement: &mut Statement) {
    if let Statement::CreateTable(create) = statement {
        create.transient = no_data;
    }
}

/// Whether CREATE TABLE AS is to leave the table empty.
pub fn without_data(create: &CreateTable) -> bool {
    create.transient
}

#[cfg(test)]
mod tests {
    use super::super::parse::parse_one;
    use super::*;

    fn read(text: &str) -> Result<Statement, PgError> {
        let tokens = Tokenizer::new(&PostgreSqlDialect {}, text).tokenize_with_location().expect("tokens");
        parse_one(&PostgreSqlDialect {}, &tokens, text)
    }

    fn created(text: &str) -> CreateTable {
        match read(text).unwrap_or_else(|error| panic!("{text}: {error:?}")) {
            Statement::CreateTable(create) => create,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn like_keeps_its_place_and_its_options() {
        let create = created("CREATE TEMP TABLE t (a int, LIKE s.\"B\" INCLUDING ALL EXCLUDING INDEXES, c text)");
        let like: Vec<Option<LikeClause>> = create.columns.iter().map(like_of).collect();
        let [None, Some(like), None] = like.as_slice() else { panic!("{like:?}") };
        assert_eq!(like.source, (Some("s".to_owned()), "B".to_owned()));
        assert!(like.includes("DEFAULTS") && !like.includes("INDEXES"));
    }

    #[test]
    fn wrong_lists_are_syntax_errors() {
        for (text, near) in [
            ("CREATE TABLE t (a) ON COMMIT DROP", "at or near \"ON\""),
            ("CREATE TABLE t (a)", "at end of input"),
            ("CREATE TABLE t (\"a\", b)", "at end of input"),
            ("CREATE TABLE t (a, b int)", "at or near \"int\""),
            ("CREATE TABLE t (a int, b)", "at or near \")\""),
            ("CREATE TABLE t (a, b int) AS SELECT 1, 2", "at or near \"int\""),
            ("CREATE TABLE t (a int) AS SELECT 1", "at or near \"AS\""),
            ("CREATE TABLE t (a,)", "at or near \")\""),
            ("CREATE TABLE t (LIKE 5)", "at or near \"5\""),
            ("CREATE TABLE t (LIKE)", "at or near \")\""),
            ("CREATE TABLE t (LIKE s foo)", "at or near \"foo\""),
            ("CREATE TABLE t (LIKE s INCLUDING)", "at or near \")\""),
            ("CREATE TABLE t (LIKE s INCLUDING foo)", "at or near \"foo\""),
            ("CREATE TABLE t (LIKE s INCLUDING ALL EXCLUDING)", "at or near \")\""),
            ("CREATE TABLE t (LIKE s BLA ALL)", "at or near \"BLA\""),
            ("CREATE TABLE t (LIKE s, LIKE)", "at or near \")\""),
        ] {
            let error = read(text).expect_err(text);
            let found = (error.code, error.message.clone());
            assert_eq!(found, (tributary_pg::sqlstate::SYNTAX_ERROR, format!("syntax error {near}")), "{text}");
        }
        for text in [
            "CREATE TABLE t ()",
            "CREATE TABLE t (a) WITH (fillfactor = 70) AS SELECT 1",
            "CREATE TABLE t (a int, b int) WITH (order_by = 'a', partition_by = 'week(b)')",
            "CREATE TABLE t (a int, b numeric(5, 2) DEFAULT (1), CHECK (a IN (1, 2)))",
            "CREATE TABLE t (\"like\" int, PRIMARY KEY (\"like\"))",
            "CREATE TABLE t (LIKE s INCLUDING STATISTICS EXCLUDING COMPRESSION INCLUDING STORAGE INCLUDING GENERATED)",
            "CREATE TABLE t AS SELECT (a), b FROM s",
        ] {
            created(text);
        }
    }

    #[test]
    fn data_may_be_left_out() {
        for (text, without) in [
            ("CREATE TABLE t AS SELECT 1 AS a WITH NO DATA", true),
            ("CREATE TABLE t AS SELECT 1 AS a WITH DATA", false),
            ("CREATE TABLE t AS SELECT a LIKE 'x' AS b FROM s", false),
        ] {
            assert_eq!(without_data(&created(text)), without, "{text}");
        }
    }
}
