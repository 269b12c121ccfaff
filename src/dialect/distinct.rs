//! `a IS DISTINCT FROM b AND c`: sqlparser takes all that follows FROM for the right side, AND and OR included. Where one of
//! the two ends that side, the words become an operator that ends there too; `a IS NOT DISTINCT FROM b` is that operator
//! and IS FALSE.

use super::sqlparser::keywords::Keyword;
use super::sqlparser::tokenizer::{Token, TokenWithSpan};

/// Words that end an expression without being part of a condition.
const ENDS: [Keyword; 31] = [
    Keyword::FROM,
    Keyword::WHERE,
    Keyword::GROUP,
    Keyword::HAVING,
    Keyword::ORDER,
    Keyword::LIMIT,
    Keyword::OFFSET,
    Keyword::FETCH,
    Keyword::UNION,
    Keyword::INTERSECT,
    Keyword::EXCEPT,
    Keyword::WINDOW,
    Keyword::RETURNING,
    Keyword::ON,
    Keyword::USING,
    Keyword::JOIN,
    Keyword::LEFT,
    Keyword::RIGHT,
    Keyword::INNER,
    Keyword::FULL,
    Keyword::CROSS,
    Keyword::NATURAL,
    Keyword::FOR,
    Keyword::THEN,
    Keyword::WHEN,
    Keyword::ELSE,
    Keyword::AS,
    Keyword::ASC,
    Keyword::DESC,
    Keyword::NULLS,
    Keyword::BETWEEN,
];

fn keyword(token: &TokenWithSpan) -> Option<Keyword> {
    match &token.token {
        Token::Word(word) if word.quote_style.is_none() => Some(word.keyword),
        _ => None,
    }
}

/// Adapts the tokens of one statement.
pub(super) fn adapt(tokens: &mut Vec<TokenWithSpan>) {
    let words: Vec<usize> =
        (0..tokens.len()).filter(|&index| !matches!(tokens[index].token, Token::Whitespace(_))).collect();
    let word = |place: usize| words.get(place).and_then(|&index| keyword(&tokens[index]));
    // Where, how many tokens go, and what comes in their place; in the order of the text.
    let mut edits: Vec<(usize, usize, Vec<Token>)> = Vec::new();
    for place in 1..words.len() {
        let negated = word(place) == Some(Keyword::NOT);
        let (distinct, from) = if negated { (place + 1, place + 2) } else { (place, place + 1) };
        let begins = word(place - 1) == Some(Keyword::IS)
            && word(distinct) == Some(Keyword::DISTINCT)
            && word(from) == Some(Keyword::FROM);
        if begins && let Some(end) = operand_end(tokens, &words, from + 1) {
            edits.push((words[place - 1], words[from] + 1 - words[place - 1], vec![Token::Spaceship]));
            if negated {
                edits.push((words[end], 0, ["IS", "FALSE"].map(Token::make_keyword).to_vec()));
            }
        }
    }
    edits.sort_by_key(|(index, ..)| *index);
    for (index, gone, put) in edits.into_iter().rev() {
        let span = tokens[index].span;
        tokens.splice(index..index + gone, put.into_iter().map(|token| TokenWithSpan { token, span }));
    }
}

/// The place of the AND or OR that ends an operand; `None` if something else does.
fn operand_end(tokens: &[TokenWithSpan], words: &[usize], start: usize) -> Option<usize> {
    let mut depth = 0usize;
    for place in start..words.len() {
        let token = &tokens[words[place]];
        match (&token.token, keyword(token)) {
            (Token::LParen | Token::LBracket, _) | (_, Some(Keyword::CASE)) => depth += 1,
            (Token::RParen | Token::RBracket, _) | (_, Some(Keyword::END)) => depth = depth.checked_sub(1)?,
            (Token::Comma | Token::EOF, _) if depth == 0 => return None,
            (_, Some(Keyword::AND | Keyword::OR)) if depth == 0 => return (place > start).then_some(place),
            (_, Some(Keyword::LEFT | Keyword::RIGHT))
                if words.get(place + 1).is_some_and(|&next| tokens[next].token == Token::LParen) => {}
            (_, Some(word)) if depth == 0 && ENDS.contains(&word) => return None,
            _ => {}
        }
    }
    None
}
