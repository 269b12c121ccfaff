//! How deep one expression may nest by what follows it.
//!
//! The parser counts the levels of its own recursion, which parentheses and calls cause. It reads what follows an
//! expression in a loop instead: `1::int::int...` would be an expression of any depth, for which no stack suffices.

use tributary_pg::error::PgError;
use tributary_pg::sqlstate;

use super::sqlparser::keywords::Keyword;
use super::sqlparser::tokenizer::{Token, TokenWithSpan};

/// Casts, subscripts, tests and collations in a row at most.
const POSTFIXES_MAX: usize = 200;

/// 54001 if the tokens have more.
pub(super) fn check(tokens: &[TokenWithSpan]) -> Result<(), PgError> {
    // Postfixes of the expression in hand, and parentheses open since its first one.
    let (mut run, mut open) = (0, 0_usize);
    for token in tokens {
        match &token.token {
            Token::DoubleColon | Token::LBracket => run += 1,
            Token::Word(word) if word.quote_style.is_none() => match word.keyword {
                Keyword::IS | Keyword::COLLATE | Keyword::AT | Keyword::NOTNULL => run += 1,
                Keyword::AND | Keyword::OR | Keyword::WHEN | Keyword::THEN | Keyword::ELSE | Keyword::CASE => run = 0,
                Keyword::SELECT | Keyword::FROM | Keyword::WHERE | Keyword::VALUES => run = 0,
                _ => {}
            },
            Token::LParen if run > 0 => open += 1,
            Token::RParen => open = open.saturating_sub(1),
            // The comma of `numeric(10, 2)` is within the postfix.
            Token::Comma if open > 0 => {}
            Token::RBracket | Token::Period | Token::Number(..) | Token::SingleQuotedString(_) => {}
            Token::Whitespace(_) | Token::LParen | Token::Word(_) => {}
            _ => run = 0,
        }
        if run == 0 {
            open = 0;
        }
        if run > POSTFIXES_MAX {
            return Err(PgError::new(sqlstate::STATEMENT_TOO_COMPLEX, "statement is nested too deeply")
                .hint(format!("At most {POSTFIXES_MAX} casts, subscripts and tests may follow an expression.")));
        }
    }
    Ok(())
}
