//! Input of boolean.

use super::trim;
use crate::error::{PgError, PgResult};

/// `true`, `yes`, `on`, `1` and their opposites, any case, shortened as far as they stay distinct, blanks around.
pub fn parse_bool(text: &str) -> PgResult<bool> {
    let word = trim(text);
    let starts = |full: &str, shortest: usize| {
        word.len() >= shortest
            && word.len() <= full.len()
            && full.as_bytes()[..word.len()].eq_ignore_ascii_case(word.as_bytes())
    };
    if starts("true", 1) || starts("yes", 1) || starts("on", 2) || word == "1" {
        Ok(true)
    } else if starts("false", 1) || starts("no", 1) || starts("off", 2) || word == "0" {
        Ok(false)
    } else {
        Err(PgError::invalid_input("boolean", text))
    }
}

#[cfg(test)]
mod tests {
    use super::parse_bool;

    #[test]
    fn words_may_be_short() {
        for word in ["t", "TR", "true", " y ", "yes", "on", "ON", "1", "\ttrue\n"] {
            assert_eq!(parse_bool(word), Ok(true), "{word}");
        }
        for word in ["f", "fals", "n", "no", "of", "off", "0"] {
            assert_eq!(parse_bool(word), Ok(false), "{word}");
        }
        for word in ["", " ", "o", "2", "truex", "yesno", "10", "\u{a0}t"] {
            let error = parse_bool(word).unwrap_err();
            assert_eq!(error.message, format!("invalid input syntax for type boolean: \"{word}\""));
            assert_eq!(error.code.as_str(), "22P02");
        }
    }
}
