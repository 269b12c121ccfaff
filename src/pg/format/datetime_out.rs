//! to_char of timestamps and intervals.

use arrow::datatypes::IntervalMonthDayNano;

use super::datetime_pattern::{DatePattern, Key, Letters, Node, Ordinal};
use crate::datetime::{DAY_US, HOUR_US, MINUTE_US, Parts, SECOND_US, days_from_civil, infinite};
use crate::error::{PgError, PgResult};
use crate::fields::iso_week;
use crate::interval::time_us;
use crate::sqlstate;
use crate::zone::Zone;

pub(crate) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
pub(crate) const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
pub(crate) const ROMANS: [&str; 12] = ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII"];

/// What a pattern can show.
struct Moment {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    micros: i64,
    day_of_year: i64,
    /// Days since 1970-01-01; of an interval, as PostgreSQL takes its fields for a date.
    days: i64,
    zone: Option<(i64, String)>,
    span: bool,
}

impl DatePattern {
    /// `to_char(timestamp, pattern)`; `None` (NULL) for infinities and the empty pattern.
    pub fn format_timestamp(&self, us: i64) -> Option<String> {
        if infinite(us) || self.is_empty() {
            return None;
        }
        self.format(&Moment::of(us, None)).ok()
    }

    /// `to_char(timestamptz, pattern)` in a zone.
    pub fn format_timestamptz(&self, us: i64, zone: &Zone) -> Option<String> {
        if infinite(us) || self.is_empty() {
            return None;
        }
        let named = (i64::from(zone.offset_at(us)), zone.abbreviation_at(us));
        self.format(&Moment::of(zone.local(us), Some(named))).ok()
    }

    /// `to_char(interval, pattern)`. 22007 for patterns that need a calendar date.
    pub fn format_interval(&self, span: IntervalMonthDayNano) -> PgResult<Option<String>> {
        if self.is_empty() {
            return Ok(None);
        }
        self.format(&Moment::of_span(span)).map(Some)
    }

    fn format(&self, moment: &Moment) -> PgResult<String> {
        let mut out = String::new();
        for node in &self.nodes {
            match node {
                Node::Literal(c) | Node::Blank(c) | Node::Separator(c) => out.push(*c),
                Node::Field { key, fill, ordinal } => {
                    if moment.span && key.needs_date() {
                        return Err(PgError::new(
                            sqlstate::INVALID_DATETIME_FORMAT,
                            "invalid format specification for an interval value",
                        )
                        .hint("Intervals are not tied to specific calendar dates."));
                    }
                    let start = out.len();
                    let numeric = moment.put(*key, *fill, &mut out);
                    if numeric && *ordinal != Ordinal::None {
                        let suffix = ordinal_suffix(&out[start..]);
                        match ordinal {
                            Ordinal::Upper => out.push_str(&suffix.to_ascii_uppercase()),
                            _ => out.push_str(suffix),
                        }
                    }
                }
            }
        }
        Ok(out)
    }
}

impl Key {
    /// Has it no meaning for an interval?
    fn needs_date(self) -> bool {
        matches!(
            self,
            Self::Era { .. }
                | Self::MonthName(_)
                | Self::MonthShort(_)
                | Self::Weekday(_)
                | Self::WeekdayShort(_)
                | Self::DayOfWeek
                | Self::IsoDayOfWeek
                | Self::Zone { .. }
                | Self::ZoneHour
                | Self::ZoneMinute
                | Self::Offset
        )
    }
}

/// `st`, `nd`, `rd` or `th` for a number's text.
pub(crate) fn ordinal_suffix(number: &str) -> &'static str {
    let bytes = number.as_bytes();
    let teen = bytes.len() > 1 && bytes[bytes.len() - 2] == b'1';
    match bytes.last() {
        Some(b'1') if !teen => "st",
        Some(b'2') if !teen => "nd",
        Some(b'3') if !teen => "rd",
        _ => "th",
    }
}

pub(crate) fn lettered(name: &str, letters: Letters) -> String {
    match letters {
        Letters::Upper => name.to_ascii_uppercase(),
        Letters::Capital => name.to_owned(),
        Letters::Lower => name.to_ascii_lowercase(),
    }
}

impl Moment {
    fn of(local_us: i64, zone: Option<(i64, String)>) -> Self {
        let parts = Parts::of(local_us);
        Self {
            year: parts.year,
            month: parts.month.into(),
            day: parts.day.into(),
            hour: parts.hour(),
            minute: parts.minute(),
            second: parts.second(),
            micros: parts.microsecond(),
            day_of_year: parts.days - days_from_civil(parts.year, 1, 1) + 1,
            days: parts.days,
            zone,
            span: false,
        }
    }

    fn of_span(span: IntervalMonthDayNano) -> Self {
        let time = time_us(span);
        let (year, month, day) = (i64::from(span.months / 12), i64::from(span.months % 12), i64::from(span.days));
        Self {
            year,
            month,
            day,
            hour: time / HOUR_US,
            minute: time / MINUTE_US % 60,
            second: time / SECOND_US % 60,
            micros: time % SECOND_US,
            day_of_year: (year * 12 + month) * 30 + day,
            days: julian_days(year, month, day),
            zone: None,
            span: true,
        }
    }

    /// The year as shown: BC years positive, those of intervals as they are.
    fn shown_year(&self) -> i64 {
        shown(self.year, self.span)
    }

    /// Appends a field; says whether it was a number.
    fn put(&self, key: Key, fill: bool, out: &mut String) -> bool {
        // The sign of a negative field widens most words, but not those of days and weeks.
        let narrow = matches!(
            key,
            Key::Day | Key::DayOfYear | Key::IsoDayOfYear | Key::WeekOfYear | Key::IsoWeek | Key::IsoYear(_)
        );
        let mut number = |value: i64, width: usize| {
            let width = if fill { 0 } else { width + usize::from(value < 0 && !narrow) };
            out.push_str(&format!("{value:0width$}"));
            true
        };
        match key {
            Key::Hour12 => number(if self.hour % 12 == 0 { 12 } else { self.hour % 12 }, 2),
            Key::Hour24 => number(self.hour, 2),
            Key::Minute => number(self.minute, 2),
            Key::Second => number(self.second, 2),
            Key::Fraction(digits) => {
                let value = self.micros / 10i64.pow(6 - u32::from(digits));
                out.push_str(&format!("{value:0width$}", width = usize::from(digits)));
                true
            }
            Key::Millisecond => {
                out.push_str(&format!("{:03}", self.micros / 1000));
                true
            }
            Key::Microsecond => {
                out.push_str(&format!("{:06}", self.micros));
                true
            }
            Key::SecondOfDay => number(self.hour * 3600 + self.minute * 60 + self.second, 0),
            Key::Month => number(self.month, 2),
            Key::DayOfYear => number(self.day_of_year, 3),
            Key::IsoDayOfYear => number(self.iso_day_of_year(), 3),
            Key::Day => number(self.day, 2),
            Key::DayOfWeek => number((self.days + 4).rem_euclid(7) + 1, 0),
            Key::IsoDayOfWeek => number((self.days + 3).rem_euclid(7) + 1, 0),
            Key::WeekOfYear => number((self.day_of_year - 1) / 7 + 1, 2),
            Key::IsoWeek => number(iso_week(self.days).1, 2),
            Key::Quarter if self.month == 0 => false,
            Key::Quarter => number((self.month - 1) / 3 + 1, 0),
            Key::Century => {
                let century = match self.year {
                    year if self.span => year / 100,
                    year if year > 0 => (year - 1) / 100 + 1,
                    year => year / 100 - 1,
                };
                number(century, if century.abs() <= 99 { 2 } else { 0 })
            }
            Key::YearComma => {
                let year = self.shown_year();
                out.push_str(&format!("{},{:03}", year / 1000, year - year / 1000 * 1000));
                true
            }
            Key::Year(digits) => year_digits(self.shown_year(), digits, &mut number),
            Key::IsoYear(digits) => {
                // PostgreSQL widens by the sign of the calendar's year.
                let year = shown(iso_week(self.days).0, self.span);
                let value = if digits == 4 { year } else { year % 10i64.pow(digits.into()) };
                number(value, usize::from(digits) + usize::from(self.shown_year() < 0))
            }
            Key::WeekOfMonth => number((self.day - 1) / 7 + 1, 0),
            Key::Julian => number(self.days + 2_440_588, 0),
            _ => {
                self.put_name(key, fill, out);
                false
            }
        }
    }

    fn iso_day_of_year(&self) -> i64 {
        let (year, _) = iso_week(self.days);
        let fourth = days_from_civil(year, 1, 4);
        self.days - (fourth - (fourth + 3).rem_euclid(7)) + 1
    }

    fn put_name(&self, key: Key, fill: bool, out: &mut String) {
        let month = self.month.clamp(1, 12) as usize - 1;
        let weekday = (self.days + 4).rem_euclid(7) as usize;
        let padded = |text: String, width: usize| if fill { text } else { format!("{text:width$}") };
        let dotted = |letters: &str, dots: bool, upper: bool| {
            let text = if dots { letters.chars().flat_map(|c| [c, '.']).collect() } else { letters.to_owned() };
            if upper { text } else { text.to_ascii_lowercase() }
        };
        let (offset, abbreviation) = match &self.zone {
            Some((offset, name)) => (*offset, name.as_str()),
            None => (0, ""),
        };
        let sign = if offset < 0 { '-' } else { '+' };
        let text = match key {
            Key::Era { dots, upper } => dotted(if self.year <= 0 { "BC" } else { "AD" }, dots, upper),
            Key::Meridian { dots, upper } => {
                let hour = self.hour.abs() % (DAY_US / HOUR_US);
                dotted(if hour >= 12 { "PM" } else { "AM" }, dots, upper)
            }
            Key::MonthName(letters) => padded(lettered(MONTHS[month], letters), 9),
            Key::MonthShort(letters) => lettered(&MONTHS[month][..3], letters),
            Key::Weekday(letters) => padded(lettered(WEEKDAYS[weekday], letters), 9),
            Key::WeekdayShort(letters) => lettered(&WEEKDAYS[weekday][..3], letters),
            Key::Roman { .. } if self.month == 0 && self.year == 0 => return,
            Key::Roman { upper } => {
                let numeral = ROMANS[match self.month {
                    0 if self.year < 0 => 0,
                    0 => 11,
                    // Negative months of intervals count from the year's end.
                    negative if negative < 0 => (12 + negative).clamp(0, 11) as usize,
                    _ => month,
                }];
                padded(lettered(numeral, if upper { Letters::Capital } else { Letters::Lower }), 4)
            }
            Key::Zone { upper: true } => abbreviation.to_owned(),
            Key::Zone { upper: false } => abbreviation.to_ascii_lowercase(),
            Key::ZoneHour => format!("{sign}{:02}", offset.abs() / 3600),
            Key::ZoneMinute => format!("{:02}", offset.abs() / 60 % 60),
            Key::Offset => {
                let width = if fill { 0 } else { 2 };
                let hours = format!("{sign}{:0width$}", offset.abs() / 3600);
                if offset % 3600 == 0 { hours } else { format!("{hours}:{:02}", offset.abs() / 60 % 60) }
            }
            _ => return,
        };
        out.push_str(&text);
    }
}

fn shown(year: i64, span: bool) -> i64 {
    if span || year > 0 { year } else { 1 - year }
}

fn year_digits(year: i64, digits: u8, number: &mut impl FnMut(i64, usize) -> bool) -> bool {
    let value = if digits == 4 { year } else { year % 10i64.pow(digits.into()) };
    number(value, usize::from(digits))
}

/// Day number of a date whose fields need not be in range, by PostgreSQL's formula.
fn julian_days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year + 4800, month + 1) } else { (year + 4799, month + 13) };
    let century = year / 100;
    let julian = year * 365 - 32_167 + year / 4 - century + century / 4 + 7834 * month / 256 + day;
    julian - 2_440_588
}
