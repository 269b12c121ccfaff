//! Time zones: names, fixed offsets, and the two conversions.
//!
//! Instants are microseconds since 1970-01-01 UTC. A local time that a zone skips or repeats resolves as PostgreSQL
//! does: the offset before a gap, the one after an overlap. The tz database is compiled in; years
//! beyond those it lists follow its last rules. Nothing here reads the environment.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use chrono::{DateTime, Offset, TimeZone};
use chrono_tz::{OffsetName, Tz};

use crate::datetime::{DAY_US, civil_from_days, days_from_civil, leap, timestamp_of};
use crate::error::{PgError, PgResult};
use crate::sqlstate;
use crate::zone_table::zone_abbreviation;

/// Microseconds in a second.
pub const SECOND_US: i64 = 1_000_000;
/// PostgreSQL's limit of an offset: under 16 hours.
pub const OFFSET_SECONDS_MAX: i32 = 16 * 3600 - 1;

/// A session's or a literal's time zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Zone {
    /// UTC, under whichever of its names.
    Utc(Arc<str>),
    /// A zone of the tz database.
    Named(Tz),
    /// A fixed offset.
    Fixed {
        /// Seconds east of Greenwich.
        east_seconds: i32,
        /// What SHOW says and what stands behind times in the verbose date styles.
        name: Arc<str>,
    },
}

static NAMES: LazyLock<HashMap<String, Tz>> =
    LazyLock::new(|| chrono_tz::TZ_VARIANTS.iter().map(|tz| (tz.name().to_ascii_lowercase(), *tz)).collect());

impl Default for Zone {
    fn default() -> Self {
        Self::Utc("UTC".into())
    }
}

impl Zone {
    /// A fixed offset with PostgreSQL's spelling, such as `<+08>-08`.
    pub fn fixed(east_seconds: i32) -> Self {
        Self::Fixed { east_seconds, name: fixed_name(east_seconds).into() }
    }

    /// The value of the setting `TimeZone`: a zone name, a number of hours east (`8`, `-3.5`), an interval's text
    /// is not accepted here. 22023 `invalid value for parameter "TimeZone": "x"`.
    pub fn parse_setting(text: &str) -> PgResult<Self> {
        let trimmed = text.trim();
        if let Ok(hours) = trimmed.parse::<f64>() {
            let seconds = (hours * 3600.0).round();
            if seconds.abs() <= 167.0 * 3600.0 && hours.is_finite() {
                return Ok(Self::fixed(seconds as i32));
            }
        }
        Self::by_name(trimmed).ok_or_else(|| {
            PgError::new(
                sqlstate::INVALID_PARAMETER_VALUE,
                format!("invalid value for parameter \"TimeZone\": \"{text}\""),
            )
        })
    }

    /// The zone that `AT TIME ZONE` or a zone argument names: an abbreviation, a zone name, a POSIX specification.
    /// 22023 `time zone "x" not recognized`.
    pub fn parse_argument(text: &str) -> PgResult<Self> {
        if let Some((east_seconds, _)) = zone_abbreviation(text) {
            return Ok(Self::Fixed { east_seconds, name: text.to_ascii_uppercase().into() });
        }
        Self::by_name(text).ok_or_else(|| not_recognized(text))
    }

    /// A zone of the tz database (any case), or a POSIX specification such as `UTC+3`, `<+08>-08`, `+3`.
    pub fn by_name(name: &str) -> Option<Self> {
        let lower = name.to_ascii_lowercase();
        match lower.as_str() {
            "utc" | "etc/utc" | "zulu" | "etc/zulu" | "uct" | "etc/uct" | "universal" | "etc/universal" => {
                let shown = NAMES.get(&lower).map_or("UTC", |tz| tz.name());
                return Some(Self::Utc(shown.into()));
            }
            _ => {}
        }
        NAMES.get(&lower).map(|tz| Self::Named(*tz)).or_else(|| posix(name))
    }

    /// What SHOW TimeZone says.
    pub fn name(&self) -> &str {
        match self {
            Self::Utc(name) => name,
            Self::Named(tz) => tz.name(),
            Self::Fixed { name, .. } => name,
        }
    }

    /// Seconds east of Greenwich at an instant.
    pub fn offset_at(&self, utc_us: i64) -> i32 {
        match self {
            Self::Utc(_) => 0,
            Self::Fixed { east_seconds, .. } => *east_seconds,
            Self::Named(tz) => match DateTime::from_timestamp(like_year(utc_us).div_euclid(SECOND_US), 0) {
                Some(at) => tz.offset_from_utc_datetime(&at.naive_utc()).fix().local_minus_utc(),
                None => 0,
            },
        }
    }

    /// The abbreviation in use at an instant, such as `CET`; `+03` for zones that have none.
    pub fn abbreviation_at(&self, utc_us: i64) -> String {
        match self {
            Self::Utc(_) => "UTC".to_owned(),
            Self::Fixed { east_seconds, name } => {
                if name.starts_with('<') {
                    numeric_offset(*east_seconds)
                } else {
                    posix_abbreviation(name)
                }
            }
            Self::Named(tz) => DateTime::from_timestamp(like_year(utc_us).div_euclid(SECOND_US), 0)
                .and_then(|at| {
                    let offset = tz.offset_from_utc_datetime(&at.naive_utc());
                    offset.abbreviation().map(str::to_owned)
                })
                .unwrap_or_else(|| numeric_offset(self.offset_at(utc_us))),
        }
    }

    /// The local time at an instant, as microseconds since 1970-01-01 local; saturates at the ends.
    pub fn local(&self, utc_us: i64) -> i64 {
        utc_us.saturating_add(i64::from(self.offset_at(utc_us)) * SECOND_US)
    }

    /// The offset in force at a local time.
    pub fn offset_of_local(&self, local_us: i64) -> i32 {
        let Self::Named(_) = self else { return self.offset_at(local_us) };
        let before = self.offset_at(local_us.saturating_sub(DAY_US));
        let after = self.offset_at(local_us.saturating_add(DAY_US));
        if before == after {
            return before;
        }
        let holds = |offset: i32| self.offset_at(local_us.saturating_sub(i64::from(offset) * SECOND_US)) == offset;
        if holds(after) { after } else { before }
    }

    /// The instant of a local time; saturates at the ends.
    pub fn instant(&self, local_us: i64) -> i64 {
        local_us.saturating_sub(i64::from(self.offset_of_local(local_us)) * SECOND_US)
    }
}

/// Last year that the tz database spells out; later ones follow its last rules.
const LISTED_YEAR_MAX: i64 = 2037;

/// The same moment in a year that is listed and has the same days of the week: rules repeat after 28 years.
fn like_year(utc_us: i64) -> i64 {
    const LISTED_END_US: i64 = timestamp_of(LISTED_YEAR_MAX + 1, 1, 1, 0);
    if utc_us < LISTED_END_US {
        return utc_us;
    }
    let (year, ..) = civil_from_days(utc_us.div_euclid(DAY_US));
    let first = days_from_civil(year, 1, 1);
    let alike = (LISTED_YEAR_MAX - 27..=LISTED_YEAR_MAX)
        .find(|listed| leap(*listed) == leap(year) && (days_from_civil(*listed, 1, 1) - first) % 7 == 0);
    match alike {
        Some(listed) => utc_us - (first - days_from_civil(listed, 1, 1)) * DAY_US,
        None => utc_us,
    }
}

/// 22023 `time zone "x" not recognized`.
pub fn not_recognized(name: &str) -> PgError {
    PgError::new(sqlstate::INVALID_PARAMETER_VALUE, format!("time zone \"{name}\" not recognized"))
}

/// `+08`, `-03:30`, `+05:53:28`.
pub fn numeric_offset(east_seconds: i32) -> String {
    let sign = if east_seconds < 0 { '-' } else { '+' };
    let s = east_seconds.unsigned_abs();
    let (h, m, s) = (s / 3600, s / 60 % 60, s % 60);
    match (m, s) {
        (0, 0) => format!("{sign}{h:02}"),
        (_, 0) => format!("{sign}{h:02}:{m:02}"),
        _ => format!("{sign}{h:02}:{m:02}:{s:02}"),
    }
}

fn fixed_name(east_seconds: i32) -> String {
    format!("<{}>{}", numeric_offset(east_seconds), numeric_offset(-east_seconds))
}

fn posix_abbreviation(name: &str) -> String {
    name.trim_start_matches('<').chars().take_while(|c| c.is_ascii_alphabetic()).collect()
}

/// POSIX: an optional name, then hours[:minutes[:seconds]] WEST of Greenwich. A daylight part is refused.
fn posix(text: &str) -> Option<Zone> {
    let rest = match text.strip_prefix('<') {
        Some(quoted) => &quoted[quoted.find('>')? + 1..],
        None => text.trim_start_matches(|c: char| c.is_ascii_alphabetic()),
    };
    let (sign, digits) = match rest.as_bytes().first()? {
        b'-' => (1, &rest[1..]),
        b'+' => (-1, &rest[1..]),
        _ => (-1, rest),
    };
    let mut west = 0i32;
    let mut units = [(3600, 167), (60, 59), (1, 59)].into_iter();
    for part in digits.split(':') {
        let (seconds, value_max) = units.next()?;
        if part.is_empty() || part.len() > 3 || !part.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let value: i32 = part.parse().ok()?;
        if value > value_max {
            return None;
        }
        west += value * seconds;
    }
    Some(Zone::Fixed { east_seconds: sign * west, name: text.to_ascii_uppercase().into() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datetime::timestamp_of;

    fn at(y: i64, mo: u32, d: u32, h: i64, mi: i64) -> i64 {
        timestamp_of(y, mo, d, (h * 60 + mi) * 60 * SECOND_US)
    }

    #[test]
    fn gaps_take_the_offset_before_and_overlaps_the_one_after() {
        let zone = Zone::by_name("america/new_york").unwrap();
        assert_eq!(zone.instant(at(2024, 3, 10, 2, 30)), at(2024, 3, 10, 7, 30));
        assert_eq!(zone.instant(at(2024, 11, 3, 1, 30)), at(2024, 11, 3, 6, 30));
        assert_eq!(zone.instant(at(2024, 3, 10, 1, 59)), at(2024, 3, 10, 6, 59));
        assert_eq!(zone.instant(at(2024, 3, 10, 3, 0)), at(2024, 3, 10, 7, 0));
        assert_eq!(zone.abbreviation_at(at(2024, 7, 1, 0, 0)), "EDT");
    }

    #[test]
    fn settings_and_arguments() {
        for (text, east) in [("UTC", 0), ("8", 28800), ("-3.5", -12600), ("UTC+3", -10800), ("Asia/Kolkata", 19800)] {
            assert_eq!(Zone::parse_setting(text).unwrap().offset_at(0), east, "{text}");
        }
        assert_eq!(Zone::parse_setting("8").unwrap().name(), "<+08>-08");
        assert_eq!(Zone::parse_argument("+08").unwrap().offset_at(0), -28800);
        assert_eq!(Zone::parse_argument("EST").unwrap().offset_at(0), -18000);
        assert_eq!(Zone::parse_argument("mars").unwrap_err().message, "time zone \"mars\" not recognized");
        assert!(Zone::parse_setting("mars/x").is_err());
        assert_eq!(Zone::parse_setting("utc").unwrap().name(), "UTC");
    }
}
