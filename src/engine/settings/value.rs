//! Numbers with units as PostgreSQL reads and prints them: `8MB`, `1536kB`, `1min`, `0`.

use tributary_pg::error::PgError;
use tributary_pg::sqlstate;

/// Multipliers of a family of units over its smallest member.
fn units(base: &str) -> Option<&'static [(&'static str, i128)]> {
    const MEMORY: &[(&str, i128)] = &[("TB", 1 << 40), ("GB", 1 << 30), ("MB", 1 << 20), ("kB", 1 << 10), ("B", 1)];
    const TIME: &[(&str, i128)] =
        &[("d", 86_400_000_000), ("h", 3_600_000_000), ("min", 60_000_000), ("s", 1_000_000), ("ms", 1_000), ("us", 1)];
    match base {
        "B" | "kB" | "8kB" | "MB" => Some(MEMORY),
        "us" | "ms" | "s" | "min" => Some(TIME),
        _ => None,
    }
}

fn base_factor(base: &str) -> i128 {
    match base {
        "8kB" => 8 << 10,
        other => units(other)
            .and_then(|family| family.iter().find(|(name, _)| *name == other))
            .map_or(1, |(_, factor)| *factor),
    }
}

/// Reads an integer with an optional unit into multiples of `base`. `Err` carries nothing: the caller words it.
pub(super) fn parse_integer(text: &str, base: Option<&str>) -> Result<i64, ()> {
    let text = text.trim();
    let digits_end = text.find(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | '-' | '+')).unwrap_or(text.len());
    let (number, unit) = (text[..digits_end].trim(), text[digits_end..].trim());
    if number.is_empty() {
        return Err(());
    }
    let value: f64 = number.parse().map_err(|_| ())?;
    let scaled = match (unit, base) {
        ("", _) => value,
        (_, None) => return Err(()),
        (unit, Some(base)) => {
            let family = units(base).ok_or(())?;
            let (_, factor) = family.iter().find(|(name, _)| *name == unit).ok_or(())?;
            value * (*factor as f64) / (base_factor(base) as f64)
        }
    };
    let rounded = scaled.round_ties_even();
    if rounded.abs() > 9.0e18 { Err(()) } else { Ok(rounded as i64) }
}

/// Prints in the largest unit that holds the value whole.
pub(super) fn show_integer(value: i64, base: Option<&str>) -> String {
    let Some(family) = base.and_then(units) else { return value.to_string() };
    if value <= 0 {
        return value.to_string();
    }
    let total = i128::from(value) * base_factor(base.unwrap_or_default());
    let (name, factor) = family
        .iter()
        .find(|(_, factor)| total % factor == 0)
        .expect("the smallest unit has factor 1 and divides everything");
    format!("{}{name}", total / factor)
}

/// PostgreSQL's unambiguous prefixes of boolean words.
pub(super) fn parse_bool(text: &str) -> Option<bool> {
    let text = text.trim().to_lowercase();
    let prefix_of = |word: &str, least: usize| text.len() >= least && word.starts_with(text.as_str());
    if prefix_of("true", 1) || prefix_of("yes", 1) || prefix_of("on", 2) || text == "1" {
        Some(true)
    } else if prefix_of("false", 1) || prefix_of("no", 1) || prefix_of("off", 2) || text == "0" {
        Some(false)
    } else {
        None
    }
}

/// 22023 for a value that is none of the type.
pub(super) fn invalid(name: &str, value: &str) -> PgError {
    PgError::new(sqlstate::INVALID_PARAMETER_VALUE, format!("invalid value for parameter \"{name}\": \"{value}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_read_and_print() {
        for (text, base, shown) in [
            ("8192", "kB", "8MB"),
            ("1536", "kB", "1536kB"),
            ("60000", "ms", "1min"),
            ("0", "ms", "0"),
            ("1.5h", "ms", "90min"),
            ("16", "8kB", "128kB"),
            ("1d", "s", "1d"),
        ] {
            let value = parse_integer(text, Some(base)).expect(text);
            assert_eq!(show_integer(value, Some(base)), shown, "{text} {base}");
        }
        assert!(parse_integer("5 parsecs", Some("ms")).is_err());
        assert!(parse_integer("", None).is_err());
    }

    #[test]
    fn boolean_words() {
        for (text, value) in
            [("t", Some(true)), ("ON", Some(true)), ("of", Some(false)), ("o", None), ("n", Some(false)), ("2", None)]
        {
            assert_eq!(parse_bool(text), value, "{text}");
        }
    }
}
