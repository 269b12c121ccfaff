//! Words of writes that sqlparser does not read: taken out of its tokens, or put in other words, before it parses.
//!
//! `ONLY` before a target means nothing without inheritance. `INSERT INTO t TABLE s` is a query in other words. The WHERE
//! of a conflict target chooses among partial indexes, and every key here covers all rows. OVERRIDING has a meaning:
//! it is handed back, and kept in a field of INSERT that PostgreSQL's grammar never fills.

use super::sqlparser::ast::{Insert, MysqlInsertPriority, SetExpr, Statement};
use super::sqlparser::keywords::Keyword;
use super::sqlparser::tokenizer::{Token, TokenWithSpan};

/// OVERRIDING of an INSERT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overriding {
    /// OVERRIDING SYSTEM VALUE: given values win over GENERATED ALWAYS.
    System,
    /// OVERRIDING USER VALUE: given values of identity columns are ignored.
    User,
}

/// Adapts the tokens of one statement.
pub(super) fn adapt(tokens: &mut Vec<TokenWithSpan>) -> Option<Overriding> {
    merge_source(tokens);
    merge_actions(tokens);
    let first = tokens.iter().find(|token| !matches!(token.token, Token::Whitespace(_)));
    let begins = [Keyword::INSERT, Keyword::UPDATE, Keyword::DELETE, Keyword::WITH, Keyword::EXPLAIN, Keyword::PREPARE];
    if !first.is_some_and(|first| begins.iter().any(|word| is(first, *word))) {
        return None;
    }
    let outer = outer_tokens(tokens);
    let verb = |word| outer.iter().position(|&index| is(&tokens[index], word));
    let at = |place: usize| outer.get(place).map(|&index| &tokens[index]);
    let only = |place: usize| at(place).is_some_and(|token| is(token, Keyword::ONLY));
    if let Some(update) = verb(Keyword::UPDATE).filter(|update| only(update + 1)) {
        tokens.remove(outer[update + 1]);
        return None;
    }
    if let Some(delete) = verb(Keyword::DELETE).filter(|delete| only(delete + 2)) {
        tokens.remove(outer[delete + 2]);
        return None;
    }
    let insert = verb(Keyword::INSERT)?;
    let mut overriding = None;
    let mut gone = Vec::new();
    let mut source = None;
    let mut target = None;
    for place in insert + 2..outer.len() {
        let word = |ahead: usize, word| at(place + ahead).is_some_and(|token| is(token, word));
        let ends = |word| word_named(at(place), word);
        if source.is_none() && ends("overriding") && word_named(at(place + 2), "value") {
            overriding = match at(place + 1) {
                token if word_named(token, "system") => Some(Overriding::System),
                token if word_named(token, "user") => Some(Overriding::User),
                _ => None,
            };
            gone.extend((place..place + 3).filter(|_| overriding.is_some()));
        } else if source.is_none() && place > insert + 2 && word(0, Keyword::TABLE) {
            source = Some(place);
            target = Some(outer[place]);
        } else if source.is_none() && (word(0, Keyword::SELECT) || word(0, Keyword::VALUES) || word(0, Keyword::WITH)) {
            source = Some(place);
        } else if word(0, Keyword::CONFLICT) && at(place + 1).is_some_and(|token| token.token == Token::LParen) {
            // The list is one place: the next outer token is its end.
            if at(place + 3).is_some_and(|token| is(token, Keyword::WHERE)) {
                let end = (place + 3..outer.len()).find(|&end| at(end).is_some_and(|token| is(token, Keyword::DO)));
                gone.extend(place + 3..end.unwrap_or(place + 3));
            }
        }
    }
    let mut spans: Vec<(usize, usize)> =
        gone.iter().map(|&place| (outer[place], outer.get(place + 1).copied().unwrap_or(tokens.len()))).collect();
    spans.sort_unstable();
    if let Some(index) = target {
        let words = ["SELECT", "FROM"].map(Token::make_keyword);
        let [select, from] = words;
        let like = |token: Token| TokenWithSpan { token, span: tokens[index].span };
        let put = [select, Token::Mul, from].map(like);
        tokens.splice(index..=index, put);
        for (start, end) in &mut spans {
            if *start > index {
                (*start, *end) = (*start + 2, *end + 2);
            }
        }
    }
    for (start, end) in spans.into_iter().rev() {
        tokens.drain(start..end);
    }
    overriding
}

/// The column by which a clause of MERGE says DO NOTHING.
pub const MERGE_NOTHING: &str = "\u{1}nothing";

/// The column by which a clause of MERGE says INSERT DEFAULT VALUES.
pub const MERGE_DEFAULTS: &str = "\u{1}defaults";

/// Puts `DO NOTHING` and `DEFAULT VALUES` of a MERGE into words that are read: columns that no user can name.
fn merge_actions(tokens: &mut Vec<TokenWithSpan>) {
    if !is_merge(tokens) {
        return;
    }
    let mut matched = true;
    let mut at = 0;
    while at < tokens.len() {
        let word = |tokens: &[TokenWithSpan], ahead: usize| {
            let following = tokens[at..].iter().filter(|token| !matches!(token.token, Token::Whitespace(_)));
            following.map(|token| token.token.to_string().to_ascii_uppercase()).nth(ahead).unwrap_or_default()
        };
        let (first, second, third) = (word(tokens, 0), word(tokens, 1), word(tokens, 2));
        let put: Option<(usize, Vec<Token>)> = match (first.as_str(), second.as_str(), third.as_str()) {
            ("WHEN", "MATCHED", _) => {
                matched = true;
                None
            }
            ("WHEN", "NOT", "MATCHED") => {
                matched = false;
                None
            }
            ("DO", "NOTHING", _) if matched => {
                let column = Token::make_word(MERGE_NOTHING, Some('"'));
                let number = Token::Number("1".to_owned(), false);
                let words = [Token::make_keyword("UPDATE"), Token::make_keyword("SET"), column, Token::Eq, number];
                Some((2, words.to_vec()))
            }
            ("DO", "NOTHING", _) => Some((2, insert_of(MERGE_NOTHING))),
            ("INSERT", "DEFAULT", "VALUES") => Some((3, insert_of(MERGE_DEFAULTS))),
            _ => None,
        };
        if let Some((count, words)) = put
            && !matches!(tokens[at].token, Token::Whitespace(_))
        {
            let mut left = count;
            let mut end = at;
            while left > 0 && end < tokens.len() {
                left -= usize::from(!matches!(tokens[end].token, Token::Whitespace(_)));
                end += 1;
            }
            let span = tokens[at].span;
            let length = words.len();
            tokens.splice(at..end, words.into_iter().map(|token| TokenWithSpan { token, span }));
            at += length;
        } else {
            at += 1;
        }
    }
}

/// `INSERT (column) VALUES (1)`.
fn insert_of(column: &str) -> Vec<Token> {
    vec![
        Token::make_keyword("INSERT"),
        Token::LParen,
        Token::make_word(column, Some('"')),
        Token::RParen,
        Token::make_keyword("VALUES"),
        Token::LParen,
        Token::Number("1".to_owned(), false),
        Token::RParen,
    ]
}

fn is_merge(tokens: &[TokenWithSpan]) -> bool {
    let outer = outer_tokens(tokens);
    let first = outer.first().map(|&index| &tokens[index]);
    let begins = [Keyword::MERGE, Keyword::WITH, Keyword::EXPLAIN, Keyword::PREPARE];
    first.is_some_and(|first| begins.iter().any(|word| is(first, *word)))
        && outer.iter().any(|&index| is(&tokens[index], Keyword::MERGE))
}

/// Puts parentheses around a source of MERGE that is a join.
fn merge_source(tokens: &mut Vec<TokenWithSpan>) {
    if !is_merge(tokens) {
        return;
    }
    let outer = outer_tokens(tokens);
    let place = |word| outer.iter().position(|&index| is(&tokens[index], word));
    let (Some(using), Some(when)) = (place(Keyword::USING), place(Keyword::WHEN)) else { return };
    let joined = outer.get(using..when).is_some_and(|part| part.iter().any(|&at| is(&tokens[at], Keyword::JOIN)));
    let on = outer.get(using..when).and_then(|part| part.iter().rposition(|&at| is(&tokens[at], Keyword::ON)));
    let Some(on) = on.filter(|_| joined) else { return };
    let (first, last) = (outer[using + 1], outer[using + on]);
    let like = |token: Token, at: usize| TokenWithSpan { token, span: tokens[at].span };
    let (close, open) = (like(Token::RParen, last), like(Token::LParen, first));
    tokens.insert(last, close);
    tokens.insert(first, open);
}

/// Indices of the tokens outside all parentheses, blanks left out; of a pair in parentheses both ends.
fn outer_tokens(tokens: &[TokenWithSpan]) -> Vec<usize> {
    let mut depth = 0_usize;
    let mut outer = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        match token.token {
            Token::LParen => {
                if depth == 0 {
                    outer.push(index);
                }
                depth += 1;
            }
            Token::RParen => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    outer.push(index);
                }
            }
            Token::Whitespace(_) => {}
            _ if depth == 0 => outer.push(index),
            _ => {}
        }
    }
    outer
}

fn is(token: &TokenWithSpan, keyword: Keyword) -> bool {
    matches!(&token.token, Token::Word(word) if word.quote_style.is_none() && word.keyword == keyword)
}

fn word_named(token: Option<&TokenWithSpan>, name: &str) -> bool {
    matches!(
        token.map(|token| &token.token),
        Some(Token::Word(word)) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(name)
    )
}

/// Keeps OVERRIDING with the INSERT of a statement.
pub(super) fn keep(overriding: Option<Overriding>, statement: &mut Statement) {
    let Some(overriding) = overriding else { return };
    match statement {
        Statement::Insert(insert) => {
            insert.priority = Some(match overriding {
                Overriding::System => MysqlInsertPriority::HighPriority,
                Overriding::User => MysqlInsertPriority::LowPriority,
            });
        }
        Statement::Query(query) => {
            if let SetExpr::Insert(inner) = query.body.as_mut() {
                keep(Some(overriding), inner);
            }
        }
        Statement::Explain { statement, .. } | Statement::Prepare { statement, .. } => {
            keep(Some(overriding), statement);
        }
        _ => {}
    }
}

/// OVERRIDING of an INSERT.
pub fn overriding(insert: &Insert) -> Option<Overriding> {
    match insert.priority {
        Some(MysqlInsertPriority::HighPriority) => Some(Overriding::System),
        Some(MysqlInsertPriority::LowPriority) => Some(Overriding::User),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::sqlparser::dialect::PostgreSqlDialect;
    use super::super::sqlparser::tokenizer::Tokenizer;
    use super::*;

    #[test]
    fn words_are_taken_out_or_put_differently() {
        for (text, adapted, overriding) in [
            ("UPDATE ONLY t SET a = 1", "UPDATE  t SET a = 1", None),
            ("DELETE FROM ONLY t WHERE (a) > 1", "DELETE FROM  t WHERE (a) > 1", None),
            ("INSERT INTO t TABLE s", "INSERT INTO t SELECT*FROM s", None),
            ("INSERT INTO t (a, b) TABLE s", "INSERT INTO t (a, b) SELECT*FROM s", None),
            (
                "INSERT INTO t (a) OVERRIDING SYSTEM VALUE VALUES (1)",
                "INSERT INTO t (a) VALUES (1)",
                Some(Overriding::System),
            ),
            (
                "WITH w AS (SELECT 1) INSERT INTO t OVERRIDING USER VALUE TABLE w",
                "WITH w AS (SELECT 1) INSERT INTO t SELECT*FROM w",
                Some(Overriding::User),
            ),
            (
                "INSERT INTO t VALUES (1) ON CONFLICT (a) WHERE a > (0) DO NOTHING",
                "INSERT INTO t VALUES (1) ON CONFLICT (a) DO NOTHING",
                None,
            ),
            (
                "INSERT INTO t VALUES (1) ON CONFLICT (a) DO UPDATE SET a = 1 WHERE t.a > 0",
                "INSERT INTO t VALUES (1) ON CONFLICT (a) DO UPDATE SET a = 1 WHERE t.a > 0",
                None,
            ),
            ("SELECT overriding FROM only", "SELECT overriding FROM only", None),
        ] {
            let mut tokens = Tokenizer::new(&PostgreSqlDialect {}, text).tokenize_with_location().expect("tokens");
            assert_eq!(adapt(&mut tokens), overriding, "{text}");
            let shown: String = tokens.iter().map(|token| token.token.to_string()).collect();
            assert_eq!(shown, adapted, "{text}");
        }
    }
}
