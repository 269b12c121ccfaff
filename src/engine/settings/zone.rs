//! TimeZone and DateStyle: spellings that mean one value.

use chrono_tz::TZ_VARIANTS;

/// A zone's own spelling: IANA names in any case, or fixed offsets as PostgreSQL shows them (`<+05:30>-05:30`).
pub(super) fn normalise(text: &str) -> Option<String> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("utc") || text.eq_ignore_ascii_case("z") || text.eq_ignore_ascii_case("zulu") {
        return Some("UTC".to_owned());
    }
    if let Some(zone) = TZ_VARIANTS.iter().find(|zone| zone.name().eq_ignore_ascii_case(text)) {
        return Some(zone.name().to_owned());
    }
    if text.starts_with('<') {
        // Our own spelling of an offset, given back by a client.
        return text.split_once('>').filter(|(_, rest)| !rest.is_empty()).map(|_| text.to_owned());
    }
    let hours: f64 = text.parse().ok()?;
    if !(-167.0..=167.0).contains(&hours) {
        return None;
    }
    let minutes = (hours * 60.0).round() as i32;
    let spell = |minutes: i32| {
        let sign = if minutes < 0 { '-' } else { '+' };
        let (hour, minute) = (minutes.abs() / 60, minutes.abs() % 60);
        if minute == 0 { format!("{sign}{hour:02}") } else { format!("{sign}{hour:02}:{minute:02}") }
    };
    // POSIX counts west of Greenwich as positive.
    Some(format!("<{}>{}", spell(minutes), spell(-minutes)))
}

/// `ISO, MDY` from any mix of style and order words; what is not named stays at the default.
pub(super) fn date_style(text: &str) -> Option<String> {
    let (mut style, mut order) = (None, None);
    for word in text.split(',').map(|word| word.trim().to_lowercase()).filter(|word| !word.is_empty()) {
        match word.as_str() {
            "iso" => style = Some("ISO"),
            "sql" => style = Some("SQL"),
            "german" => style = Some("German"),
            "postgres" | "postgresql" => style = Some("Postgres"),
            "mdy" | "us" | "noneuro" | "noneuropean" => order = Some("MDY"),
            "dmy" | "euro" | "european" => order = Some("DMY"),
            "ymd" => order = Some("YMD"),
            "default" => {}
            _ => return None,
        }
    }
    let order = order.unwrap_or(if style == Some("German") { "DMY" } else { "MDY" });
    Some(format!("{}, {order}", style.unwrap_or("ISO")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones() {
        for (text, shown) in [
            ("asia/shanghai", Some("Asia/Shanghai")),
            ("utc", Some("UTC")),
            ("5.5", Some("<+05:30>-05:30")),
            ("-8", Some("<-08>+08")),
            ("Mars/Base", None),
        ] {
            assert_eq!(normalise(text).as_deref(), shown, "{text}");
        }
    }

    #[test]
    fn date_styles() {
        for (text, shown) in [
            ("sql, dmy", Some("SQL, DMY")),
            ("german", Some("German, DMY")),
            ("iso", Some("ISO, MDY")),
            ("nonsense", None),
        ] {
            assert_eq!(date_style(text).as_deref(), shown, "{text}");
        }
    }
}
