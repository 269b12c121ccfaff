//! How the text of a configuration value is read.
//!
//! Pure functions from text to a value or to what is wrong with the text, quoted, with the range or form expected.

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

/// A TOML scalar as the text a person would give on the command line.
pub fn scalar(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Float(number) => Some(number.to_string()),
        toml::Value::Boolean(flag) => Some(flag.to_string()),
        _ => None,
    }
}

/// true or false, and the usual other words.
pub fn flag(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "on" | "yes" | "1" => Ok(true),
        "false" | "off" | "no" | "0" => Ok(false),
        _ => Err(format!("{text:?} is neither true nor false")),
    }
}

/// A whole number between two bounds.
pub fn whole_number(text: &str, least: usize, most: usize) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        Ok(_) => Err(format!("{text} is outside {least} .. {most}")),
        Err(_) => Err(format!("{text:?} is not a whole number")),
    }
}

/// Digits and the unit behind them.
fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, text[end..].trim()))
}

/// A time span: `250ms`, `10s`, `5min`, `1h`.
pub fn duration(text: &str, least: Duration, most: Duration) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a time span such as 250ms, 10s, 5min or 1h");
    let (number, unit) = number_and_unit(text).ok_or_else(wrong)?;
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "min" => 60_000,
        "h" => 3_600_000,
        _ => return Err(wrong()),
    };
    let span = Duration::from_millis(number.checked_mul(unit_ms).ok_or_else(wrong)?);
    if span < least || span > most {
        return Err(format!("{text} is outside {least:?} .. {most:?}"));
    }
    Ok(span)
}

/// A number of bytes: `64KiB`, `256MiB`, `2GiB`; kB, MB and GB mean the same, as in PostgreSQL.
pub fn byte_count(text: &str, least: usize, most: usize) -> Result<usize, String> {
    let wrong = || format!("{text:?} is not a number of bytes such as 64KiB, 256MiB or 2GiB");
    let (number, unit) = number_and_unit(text).ok_or_else(wrong)?;
    let shift = match unit {
        "" | "B" => 0,
        "KiB" | "kB" => 10,
        "MiB" | "MB" => 20,
        "GiB" | "GB" => 30,
        _ => return Err(wrong()),
    };
    let bytes = usize::try_from(number).ok().and_then(|number| number.checked_mul(1 << shift)).ok_or_else(wrong)?;
    if !(least..=most).contains(&bytes) {
        return Err(format!("{text} is outside {least} .. {most} bytes"));
    }
    Ok(bytes)
}

/// `HOST:PORT`. A name is looked up once, at start.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    let wrong = |error: String| format!("{text:?} is not an address and port: {error}");
    let mut found = text.to_socket_addrs().map_err(|error| wrong(error.to_string()))?;
    found.next().ok_or_else(|| wrong("the name has no address".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_or_refused() {
        assert_eq!(duration("5min", Duration::ZERO, Duration::MAX), Ok(Duration::from_secs(300)));
        assert_eq!(duration("0ms", Duration::ZERO, Duration::MAX), Ok(Duration::ZERO));
        for wrong in ["", "5", "5 parsecs", "-1s", "99999999999999999999s", "9999999999999999999h"] {
            assert!(duration(wrong, Duration::ZERO, Duration::MAX).is_err(), "{wrong}");
        }
        assert_eq!(byte_count("64KiB", 0, usize::MAX), Ok(65_536));
        assert_eq!(byte_count("7", 0, usize::MAX), Ok(7));
        for wrong in ["", "x", "1.5GiB", "1TiB", "99999999999GiB"] {
            assert!(byte_count(wrong, 0, usize::MAX).is_err(), "{wrong}");
        }
        assert!(byte_count("1KiB", 2048, 4096).is_err());
        assert_eq!(whole_number("3", 1, 3), Ok(3));
        assert!(whole_number("4", 1, 3).is_err());
        assert_eq!((flag("On"), flag("0")), (Ok(true), Ok(false)));
        assert!(flag("maybe").is_err());
        assert_eq!(address("127.0.0.1:0").map(|address| address.port()), Ok(0));
        assert!(address("127.0.0.1").is_err());
    }
}
