//! Words of CREATE TABLE that sqlparser does not read.
//!
//! `LIKE source INCLUDING ...` among the columns becomes a column of a name no user can write, which carries the clause as
//! its default; [`like_of`] reads it back, so its place among the columns is kept. `WITH NO DATA` behind CREATE TABLE AS
//! is kept in a flag that PostgreSQL's grammar never sets.

use super::sequences::Qualified;
use super::sqlparser::ast::{ColumnDef, ColumnOption, CreateTable, Expr, Statement, Value};
use super::sqlparser::dialect::PostgreSqlDialect;
use super::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

/// The name of the column that stands for a LIKE clause.
const LIKE: &str = "\u{1}like";

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
pub(super) fn adapt(tokens: &mut Vec<TokenWithSpan>) -> bool {
    let words: Vec<usize> =
        (0..tokens.len()).filter(|&index| !matches!(tokens[index].token, Token::Whitespace(_))).collect();
    let is = |tokens: &[TokenWithSpan], place: usize, word: &str| {
        words.get(place).is_some_and(|&index| {
            matches!(&tokens[index].token, Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(word))
        })
    };
    let table = (1..5).any(|place| is(tokens, place, "TABLE"));
    if !is(tokens, 0, "CREATE") || !table {
        return false;
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
    like_clauses(tokens);
    no_data
}

/// Puts a column in the place of each LIKE clause.
fn like_clauses(tokens: &mut Vec<TokenWithSpan>) {
    let mut depth = 0_usize;
    let mut starts = false;
    let mut at = 0;
    while at < tokens.len() {
        match &tokens[at].token {
            Token::LParen => {
                depth += 1;
                starts = depth == 1;
            }
            Token::RParen => depth = depth.saturating_sub(1),
            Token::Comma => starts = depth == 1,
            Token::Whitespace(_) => {}
            Token::Word(word) if starts && word.quote_style.is_none() && word.value.eq_ignore_ascii_case("like") => {
                let end = tokens[at..]
                    .iter()
                    .position(|token| matches!(token.token, Token::Comma | Token::RParen))
                    .map_or(tokens.len(), |length| at + length);
                let clause: String = tokens[at + 1..end].iter().map(|token| token.token.to_string()).collect();
                let span = tokens[at].span;
                let put = [
                    Token::make_word(LIKE, Some('"')),
                    Token::make_keyword("TEXT"),
                    Token::make_keyword("DEFAULT"),
                    Token::SingleQuotedString(clause),
                ];
                tokens.splice(at..end, put.map(|token| TokenWithSpan { token, span }));
                at += 3;
                starts = false;
            }
            // A name alone is a column of CREATE TABLE AS, whose type its query gives.
            Token::Word(_) if starts && ends_item(&tokens[at + 1..]) => {
                let span = tokens[at].span;
                tokens.insert(at + 1, TokenWithSpan { token: Token::make_keyword("TEXT"), span });
                at += 1;
                starts = false;
            }
            // A query begins here, not a list of columns.
            _ if depth == 0
                && matches!(&tokens[at].token, Token::Word(word) if word.value.eq_ignore_ascii_case("as")) =>
            {
                return;
            }
            _ => starts = false,
        }
        at += 1;
    }
}

/// Whether nothing but a comma or the end of the list follows.
fn ends_item(tokens: &[TokenWithSpan]) -> bool {
    let next = tokens.iter().find(|token| !matches!(token.token, Token::Whitespace(_)));
    next.is_some_and(|token| matches!(token.token, Token::Comma | Token::RParen))
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
    use tributary_pg::error::PgError;

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
