//! How deep one expression may nest without parentheses.
//!
//! The parser counts the levels of its own recursion, which parentheses and calls cause. It reads operators and what
//! follows an expression in a loop instead: `1+1+1...` and `1::int::int...` would be expressions of any depth, for which no
//! stack suffices. So runs of them are counted over the tokens, for each level of parentheses on its own.

use tributary_pg::error::PgError;
use tributary_pg::sqlstate;

use super::sqlparser::keywords::Keyword;
use super::sqlparser::tokenizer::{Token, TokenWithSpan};

/// Casts, subscripts, tests and collations in a row at most.
const POSTFIXES_MAX: usize = 200;

/// Operators in one chain at most.
const OPERATORS_MAX: usize = 5_000;

/// Runs within one pair of parentheses.
#[derive(Default)]
struct Level {
    postfixes: usize,
    operators: usize,
}

/// 54001 if the tokens nest deeper.
pub(super) fn check(tokens: &[TokenWithSpan]) -> Result<(), PgError> {
    let mut levels = vec![Level::default()];
    for token in tokens {
        match &token.token {
            Token::LParen | Token::LBracket => {
                if token.token == Token::LBracket
                    && let Some(level) = levels.last_mut()
                {
                    level.postfixes += 1;
                }
                levels.push(Level::default());
            }
            Token::RParen | Token::RBracket if levels.len() > 1 => {
                levels.pop();
            }
            other => {
                let Some(level) = levels.last_mut() else { return Ok(()) };
                count(other, level);
            }
        }
        let Some(level) = levels.last() else { return Ok(()) };
        if level.postfixes > POSTFIXES_MAX {
            let hint = format!("At most {POSTFIXES_MAX} casts, subscripts and tests may follow an expression.");
            return Err(too_deep().hint(hint));
        }
        if level.operators > OPERATORS_MAX {
            let hint = format!(
                "At most {OPERATORS_MAX} operators may stand in one chain. A long list of values is faster as IN."
            );
            return Err(too_deep().hint(hint));
        }
    }
    Ok(())
}

fn too_deep() -> PgError {
    PgError::new(sqlstate::STATEMENT_TOO_COMPLEX, "statement is nested too deeply")
}

fn count(token: &Token, level: &mut Level) {
    let operator = match token {
        Token::DoubleColon => {
            level.postfixes += 1;
            return;
        }
        Token::Comma | Token::SemiColon => {
            *level = Level::default();
            return;
        }
        Token::Word(word) if word.quote_style.is_none() => match word.keyword {
            Keyword::IS | Keyword::COLLATE | Keyword::AT | Keyword::NOTNULL => {
                level.postfixes += 1;
                return;
            }
            Keyword::AND | Keyword::OR | Keyword::LIKE | Keyword::ILIKE | Keyword::SIMILAR => true,
            Keyword::UNION | Keyword::INTERSECT | Keyword::EXCEPT => {
                // A chain of queries: what stood in the one before ends.
                level.postfixes = 0;
                false
            }
            Keyword::SELECT | Keyword::FROM | Keyword::WHERE | Keyword::HAVING | Keyword::GROUP | Keyword::ORDER => {
                *level = Level::default();
                return;
            }
            Keyword::CASE | Keyword::WHEN | Keyword::THEN | Keyword::ELSE | Keyword::IN | Keyword::ON => {
                *level = Level::default();
                return;
            }
            _ => return,
        },
        Token::Whitespace(_) | Token::Period | Token::Number(..) | Token::Word(_) | Token::EOF => return,
        Token::SingleQuotedString(_) | Token::EscapedStringLiteral(_) | Token::NationalStringLiteral(_) => return,
        Token::DollarQuotedString(_) | Token::HexStringLiteral(_) | Token::Placeholder(_) => return,
        _ => true,
    };
    if operator {
        level.operators += 1;
        level.postfixes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::sqlparser::dialect::PostgreSqlDialect;
    use crate::dialect::sqlparser::tokenizer::Tokenizer;

    #[test]
    fn runs_are_counted_and_lists_are_not() {
        let many = |piece: &str, times: usize, by: &str| vec![piece; times].join(by);
        let cases = [
            (format!("SELECT {}", many("1", 5_000, "+")), true),
            (format!("SELECT {}", many("1", 500_000, "+")), false),
            (format!("SELECT {}", many("a = 1", 100_000, " OR ")), false),
            (format!("SELECT 1{}", "::int".repeat(201)), false),
            (format!("SELECT 1{}", "::numeric(10, 2)".repeat(201)), false),
            (format!("SELECT a{}", "[1]".repeat(201)), false),
            (format!("SELECT a{}", " IS NULL".repeat(201)), false),
            (format!("SELECT a::date IN ({})", many("'2024-01-01'::date", 10_000, ", ")), true),
            (format!("SELECT x::int = ANY (ARRAY[{}])", many("1::int", 10_000, ", ")), true),
            (format!("INSERT INTO t VALUES {}", many("(1::int + 2, -3::numeric(10, 2))", 10_000, ", ")), true),
            (
                format!("SELECT CASE {} END", many("WHEN a IS NULL AND b::int = 1 THEN c::text || 'x'", 1_000, " ")),
                true,
            ),
            (format!("SELECT {}", many("(a::int)", 1_000, ", ")), true),
        ];
        for (text, allowed) in cases {
            let tokens = Tokenizer::new(&PostgreSqlDialect {}, &text).tokenize_with_location().expect("tokens");
            assert_eq!(check(&tokens).is_ok(), allowed, "{}", &text[..60]);
        }
    }
}
