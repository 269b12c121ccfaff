//! to_date and to_timestamp: text read by a pattern, as forgiving as PostgreSQL reads it.
//!
//! One pass over pattern and text side by side: punctuation and blanks match loosely, a number takes the digits its word
//! is wide or, before something that is no digit, all there are. What was read is checked and put together at the end.

use crate::datetime::{
    DAY_US, HOUR_US, MINUTE_US, SECOND_US, check_date, check_timestamp, civil_from_days, days_from_civil,
    days_in_month, leap, timestamp_out_of_range, timestamp_to_instant,
};
use crate::error::{PgError, PgResult};
use crate::format::datetime_pattern::{DatePattern, Key, Letters, Node, Ordinal};
use crate::sqlstate;
use crate::zone::Zone;

/// Days from 4714-11-24 BC, where Julian days begin, to 1970-01-01.
const JULIAN_EPOCH: i64 = 2_440_588;

const MONTHS: [&str; 12] = [
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
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const ROMAN: [&str; 12] = ["XII", "XI", "X", "IX", "VIII", "VII", "VI", "V", "IV", "III", "II", "I"];

/// A point in time read from text: days since 1970, microseconds of the day, and the zone if the text had one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadTime {
    /// Days since 1970-01-01.
    pub days: i64,
    /// Microseconds since midnight.
    pub time_us: i64,
    /// Seconds east of Greenwich.
    pub offset: Option<i32>,
}

impl ReadTime {
    /// The day alone. 22008 outside the range of dates.
    pub fn date(&self) -> PgResult<i64> {
        check_date(self.days).map(i64::from)
    }

    /// Microseconds since 1970, in the zone that was read or else in `zone`. 22008 outside the range of timestamps.
    pub fn instant(&self, zone: &Zone) -> PgResult<i64> {
        let local = self.days.checked_mul(DAY_US).and_then(|us| us.checked_add(self.time_us));
        let local = check_timestamp(local.ok_or_else(timestamp_out_of_range)?)?;
        match self.offset {
            Some(seconds) => check_timestamp(local - i64::from(seconds) * SECOND_US),
            None => timestamp_to_instant(local, zone),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Convention {
    Gregorian,
    IsoWeek,
}

/// What the words have given; 0 is nothing, as in PostgreSQL.
#[derive(Debug, Default)]
struct Read {
    hour: i64,
    afternoon: i64,
    minute: i64,
    second: i64,
    second_of_day: i64,
    weekday: i64,
    day: i64,
    day_of_year: i64,
    month: i64,
    millisecond: i64,
    microsecond: i64,
    year: i64,
    year_digits: i64,
    before_christ: i64,
    week: i64,
    week_of_month: i64,
    century: i64,
    julian: i64,
    zone_sign: i64,
    zone_hour: i64,
    zone_minute: i64,
    half_days: bool,
    convention: Option<Convention>,
}

fn format_error(message: String) -> PgError {
    PgError::new(sqlstate::INVALID_DATETIME_FORMAT, message)
}

impl DatePattern {
    /// Reads a text by the pattern.
    pub fn read(&self, text: &str) -> PgResult<ReadTime> {
        let mut scan = Scan { rest: text, skipped: 0, last: None };
        let mut read = Read::default();
        let mut exact = false;
        for (index, node) in self.nodes.iter().enumerate() {
            if scan.rest.is_empty() {
                break;
            }
            if !exact && (matches!(node, Node::Field { .. }) || index == 0) {
                scan.skip_blanks();
            }
            match node {
                Node::Blank(_) | Node::Separator(_) if exact => scan.advance(),
                Node::Blank(_) | Node::Separator(_) => {
                    scan.skipped -= 1;
                    if scan.rest.starts_with(|one: char| blank(one) || separator(one)) {
                        scan.advance();
                        scan.skipped += 1;
                    }
                }
                Node::Literal(_) if !exact && scan.skipped > 0 => scan.skipped -= 1,
                Node::Literal(_) => scan.advance(),
                Node::Field { key: Key::Exact, .. } => exact = true,
                Node::Field { key, fill, ordinal } => {
                    read.set_convention(*key)?;
                    let slurps = *fill || next_is_no_digit(*ordinal, self.nodes.get(index + 1));
                    read.word(*key, &mut scan, slurps)?;
                    if *ordinal != Ordinal::None && numbered(*key) {
                        scan.advance();
                        scan.advance();
                    }
                    if !exact {
                        scan.skipped = 0;
                        scan.skip_blanks();
                    }
                }
            }
        }
        read.put_together(text)
    }
}

/// Words after which TH is read over.
fn numbered(key: Key) -> bool {
    width(key).is_some() || key == Key::YearComma
}

/// Whether what follows a number in the pattern cannot begin with a digit: then the number takes all digits there are.
fn next_is_no_digit(ordinal: Ordinal, next: Option<&Node>) -> bool {
    if ordinal != Ordinal::None {
        return true;
    }
    match next {
        None => true,
        Some(Node::Field { key, .. }) => !numbered(*key) || matches!(key, Key::Fraction(_) | Key::ZoneHour),
        Some(Node::Literal(one) | Node::Blank(one) | Node::Separator(one)) => !one.is_ascii_digit(),
    }
}

/// How many characters a word takes and what it is called; None for words that are no plain number.
fn width(key: Key) -> Option<(usize, &'static str)> {
    Some(match key {
        Key::Century => (2, "CC"),
        Key::DayOfYear => (3, "DDD"),
        Key::IsoDayOfYear => (3, "IDDD"),
        Key::Day => (2, "DD"),
        Key::DayOfWeek => (1, "D"),
        Key::IsoDayOfWeek => (1, "ID"),
        Key::Fraction(1) => (1, "FF1"),
        Key::Fraction(2) => (2, "FF2"),
        Key::Fraction(3) => (3, "FF3"),
        Key::Fraction(4) => (4, "FF4"),
        Key::Fraction(5) => (5, "FF5"),
        Key::Fraction(_) => (6, "FF6"),
        Key::Hour24 => (2, "HH24"),
        Key::Hour12 => (2, "HH12"),
        Key::IsoWeek => (2, "IW"),
        Key::WeekOfYear => (2, "WW"),
        Key::WeekOfMonth => (1, "W"),
        Key::IsoYear(4) => (4, "IYYY"),
        Key::IsoYear(3) => (3, "IYY"),
        Key::IsoYear(2) => (2, "IY"),
        Key::IsoYear(_) => (1, "I"),
        Key::Julian => (1, "J"),
        Key::Minute => (2, "MI"),
        Key::Month => (2, "MM"),
        Key::Millisecond => (3, "MS"),
        Key::Microsecond => (6, "US"),
        Key::Quarter => (1, "Q"),
        Key::SecondOfDay => (5, "SSSSS"),
        Key::Second => (2, "SS"),
        Key::ZoneHour => (2, "TZH"),
        Key::ZoneMinute => (2, "TZM"),
        Key::Year(4) => (4, "YYYY"),
        Key::Year(3) => (3, "YYY"),
        Key::Year(2) => (2, "YY"),
        Key::Year(_) => (1, "Y"),
        _ => return None,
    })
}

fn blank(one: char) -> bool {
    one.is_ascii_whitespace() || one == '\x0b'
}

fn separator(one: char) -> bool {
    one.is_ascii_graphic() && !one.is_ascii_alphanumeric()
}

/// The text still to be read.
struct Scan<'a> {
    rest: &'a str,
    /// Characters read over beyond those the pattern asked for.
    skipped: i32,
    last: Option<char>,
}

impl<'a> Scan<'a> {
    fn advance(&mut self) {
        let mut chars = self.rest.chars();
        self.last = chars.next();
        self.rest = chars.as_str();
    }

    fn skip_blanks(&mut self) {
        while self.rest.starts_with(blank) {
            self.advance();
            self.skipped += 1;
        }
    }

    /// The length of the number at the front, blanks and sign included, as strtol reads it; 0 when there is none.
    fn number_length(text: &str) -> usize {
        let unsigned = text.trim_start_matches(blank);
        let digits = unsigned.strip_prefix(['+', '-']).unwrap_or(unsigned);
        let count = digits.len() - digits.trim_start_matches(|one: char| one.is_ascii_digit()).len();
        if count == 0 { 0 } else { text.len() - digits.len() + count }
    }

    fn number(&mut self, name: &str, length: usize, slurps: bool) -> PgResult<(i64, usize)> {
        let front = self.rest.trim_start_matches(blank);
        let end = front.char_indices().nth(length).map_or(front.len(), |(at, _)| at);
        let copy = &front[..end];
        let invalid = || format_error(format!("invalid value \"{copy}\" for \"{name}\""));
        let hint = "If your source string is not fixed-width, try using the \"FM\" modifier.";
        let taken = if slurps {
            let taken = Self::number_length(self.rest);
            if taken == 0 {
                return Err(invalid().detail("Value must be an integer."));
            }
            self.rest.split_at(taken)
        } else {
            let (given, used) = (copy.chars().count(), Self::number_length(copy));
            if given < length {
                let message = format!("source string too short for \"{name}\" formatting field");
                let detail = format!("Field requires {length} characters, but only {given} remain.");
                return Err(format_error(message).detail(detail).hint(hint));
            }
            if used == 0 {
                return Err(invalid().detail("Value must be an integer."));
            }
            if used < length {
                let detail = format!("Field requires {length} characters, but only {used} could be parsed.");
                return Err(invalid().detail(detail).hint(hint));
            }
            front.split_at(used)
        };
        let value: Option<i32> = taken.0.trim_start_matches(blank).parse().ok();
        let Some(value) = value else {
            let message = format!("value for \"{name}\" in source string is out of range");
            let detail = format!("Value must be in the range {} to {}.", i32::MIN, i32::MAX);
            return Err(PgError::new(sqlstate::DATETIME_FIELD_OVERFLOW, message).detail(detail));
        };
        let read = self.rest.len() - taken.1.len();
        self.last = taken.0.chars().next_back();
        self.rest = taken.1;
        Ok((value.into(), read))
    }

    /// Which of some names stands at the front, in any case.
    fn name(&mut self, name: &str, names: &[&str], letters: usize) -> PgResult<i64> {
        for (index, candidate) in names.iter().enumerate() {
            let candidate = &candidate[..candidate.len().min(letters)];
            if self.rest.get(..candidate.len()).is_some_and(|front| front.eq_ignore_ascii_case(candidate)) {
                self.rest = &self.rest[candidate.len()..];
                return Ok(index as i64);
            }
        }
        let copy = self.rest.split(blank).next().unwrap_or_default();
        let detail = "The given value did not match any of the allowed values for this field.";
        Err(format_error(format!("invalid value \"{copy}\" for \"{name}\"")).detail(detail))
    }
}

fn store(field: &mut i64, value: i64, name: &str) -> PgResult<()> {
    if *field != 0 && *field != value {
        let message = format!("conflicting values for \"{name}\" field in formatting string");
        return Err(format_error(message).detail("This value contradicts a previous setting for the same field type."));
    }
    *field = value;
    Ok(())
}

/// Years of fewer than four digits are those nearest to 2020.
fn near_2020(year: i64) -> i64 {
    match year {
        ..70 => year + 2000,
        70..100 => year + 1900,
        100..520 => year + 2000,
        520..1000 => year + 1000,
        _ => year,
    }
}

/// A word as the pattern spells it.
fn spelled(case: Letters, [upper, capital, lower]: [&'static str; 3]) -> &'static str {
    match case {
        Letters::Upper => upper,
        Letters::Capital => capital,
        Letters::Lower => lower,
    }
}

impl Read {
    fn set_convention(&mut self, key: Key) -> PgResult<()> {
        let convention = match key {
            Key::IsoDayOfYear | Key::IsoDayOfWeek | Key::IsoWeek | Key::IsoYear(_) => Convention::IsoWeek,
            Key::DayOfYear
            | Key::Day
            | Key::DayOfWeek
            | Key::Month
            | Key::MonthName(_)
            | Key::MonthShort(_)
            | Key::Roman { .. }
            | Key::WeekOfYear
            | Key::WeekOfMonth
            | Key::Year(_)
            | Key::YearComma => Convention::Gregorian,
            _ => return Ok(()),
        };
        if *self.convention.get_or_insert(convention) != convention {
            let hint = "Do not mix Gregorian and ISO week date conventions in a formatting template.";
            return Err(format_error("invalid combination of date conventions".to_owned()).hint(hint));
        }
        Ok(())
    }

    /// Reads what one word of the pattern stands for.
    fn word(&mut self, key: Key, scan: &mut Scan<'_>, slurps: bool) -> PgResult<()> {
        if let Some((length, name)) = width(key) {
            if key == Key::ZoneHour {
                self.zone_sign = match scan.rest.chars().next() {
                    Some('-') => -1,
                    Some('+' | ' ') => 1,
                    _ if scan.skipped > 0 && scan.last == Some('-') => -1,
                    _ => 1,
                };
                if scan.rest.starts_with(['+', '-', ' ']) {
                    scan.advance();
                }
            }
            let (value, read) = scan.number(name, length, slurps)?;
            return self.number(key, name, value, read);
        }
        match key {
            Key::Meridian { dots, .. } => {
                let names: &[&str] = if dots { &["a.m.", "p.m."] } else { &["am", "pm"] };
                store(&mut self.afternoon, scan.name("AM", names, 4)?, "AM")?;
                self.half_days = true;
            }
            Key::Era { dots, .. } => {
                let names: &[&str] = if dots { &["a.d.", "b.c."] } else { &["ad", "bc"] };
                store(&mut self.before_christ, scan.name("BC", names, 4)?, "BC")?;
            }
            Key::MonthName(case) => {
                let name = spelled(case, ["MONTH", "Month", "month"]);
                store(&mut self.month, scan.name(name, &MONTHS, 9)? + 1, name)?;
            }
            Key::MonthShort(case) => {
                let name = spelled(case, ["MON", "Mon", "mon"]);
                store(&mut self.month, scan.name(name, &MONTHS, 3)? + 1, name)?;
            }
            Key::Roman { .. } => store(&mut self.month, 12 - scan.name("RM", &ROMAN, 4)?, "RM")?,
            Key::Weekday(case) => {
                let name = spelled(case, ["DAY", "Day", "day"]);
                store(&mut self.weekday, scan.name(name, &DAYS, 9)? + 1, name)?;
            }
            Key::WeekdayShort(case) => {
                let name = spelled(case, ["DY", "Dy", "dy"]);
                store(&mut self.weekday, scan.name(name, &DAYS, 3)? + 1, name)?;
            }
            Key::YearComma => self.year_with_comma(scan)?,
            Key::Zone { .. } | Key::Offset => {
                let name = if key == Key::Offset { "OF" } else { "TZ" };
                let message = format!("formatting field \"{name}\" is only supported in to_char");
                return Err(PgError::new(sqlstate::FEATURE_NOT_SUPPORTED, message));
            }
            _ => {}
        }
        Ok(())
    }

    fn year_with_comma(&mut self, scan: &mut Scan<'_>) -> PgResult<()> {
        let invalid = || format_error("invalid input string for \"Y,YYY\"".to_owned());
        let (thousands, after) = scan.rest.split_once(',').ok_or_else(invalid)?;
        let end = after.bytes().take(3).take_while(u8::is_ascii_digit).count();
        let thousands: i32 = thousands.trim().parse().map_err(|_| invalid())?;
        let years: i32 = after[..end].parse().map_err(|_| invalid())?;
        let year = thousands.checked_mul(1000).and_then(|first| first.checked_add(years)).ok_or_else(|| {
            let message = "value for \"Y,YYY\" in source string is out of range";
            PgError::new(sqlstate::DATETIME_FIELD_OVERFLOW, message)
        })?;
        store(&mut self.year, i64::from(year), "Y,YYY")?;
        self.year_digits = 4;
        scan.rest = &after[end..];
        Ok(())
    }

    fn number(&mut self, key: Key, name: &str, value: i64, read: usize) -> PgResult<()> {
        // Fewer digits of a fraction are its first ones.
        let scaled = |digits: u32| value * 10_i64.pow(digits.saturating_sub(read as u32));
        match key {
            Key::Hour12 => {
                self.half_days = true;
                store(&mut self.hour, value, name)
            }
            Key::Hour24 => store(&mut self.hour, value, name),
            Key::Minute => store(&mut self.minute, value, name),
            Key::Second => store(&mut self.second, value, name),
            Key::SecondOfDay => store(&mut self.second_of_day, value, name),
            Key::Millisecond => store(&mut self.millisecond, scaled(3), name),
            Key::Microsecond | Key::Fraction(_) => store(&mut self.microsecond, scaled(6), name),
            Key::Day => store(&mut self.day, value, name),
            Key::DayOfYear | Key::IsoDayOfYear => store(&mut self.day_of_year, value, name),
            Key::DayOfWeek => store(&mut self.weekday, value, name),
            // Sunday is the first day here.
            Key::IsoDayOfWeek => store(&mut self.weekday, if value >= 7 { 1 } else { value + 1 }, name),
            Key::WeekOfYear | Key::IsoWeek => store(&mut self.week, value, name),
            Key::WeekOfMonth => store(&mut self.week_of_month, value, name),
            Key::Month => store(&mut self.month, value, name),
            Key::Century => store(&mut self.century, value, name),
            Key::Julian => store(&mut self.julian, value, name),
            Key::ZoneHour => store(&mut self.zone_hour, value, name),
            Key::ZoneMinute => {
                if self.zone_sign == 0 {
                    self.zone_sign = 1;
                }
                store(&mut self.zone_minute, value, name)
            }
            Key::Year(digits) | Key::IsoYear(digits) => {
                self.year_digits = digits.into();
                let year = if digits < 4 && read < 4 { near_2020(value) } else { value };
                store(&mut self.year, year, name)
            }
            _ => Ok(()),
        }
    }

    fn put_together(mut self, text: &str) -> PgResult<ReadTime> {
        let overflow = || {
            let message = format!("date/time field value out of range: \"{text}\"");
            PgError::new(sqlstate::DATETIME_FIELD_OVERFLOW, message)
        };
        let time_us = self.time(overflow)?;
        let days = self.date(overflow)?;
        let offset = (self.zone_sign != 0).then_some(self.zone_sign * (self.zone_hour * 3600 + self.zone_minute * 60));
        if !(0..=15).contains(&self.zone_hour) || !(0..60).contains(&self.zone_minute) {
            return Err(overflow());
        }
        Ok(ReadTime { days, time_us, offset: offset.map(|seconds| seconds as i32) })
    }

    fn time(&self, overflow: impl Fn() -> PgError) -> PgResult<i64> {
        let whole = self.second_of_day;
        let or = |own: i64, other: i64| if own != 0 { own } else { other };
        let mut hour = or(self.hour, whole / 3600);
        let (minute, second) = (or(self.minute, whole % 3600 / 60), or(self.second, whole % 60));
        if self.half_days {
            if !(1..=12).contains(&hour) {
                let message = format!("hour \"{hour}\" is invalid for the 12-hour clock");
                let hint = "Use the 24-hour clock, or give an hour between 1 and 12.";
                return Err(format_error(message).hint(hint));
            }
            hour = hour % 12 + if self.afternoon != 0 { 12 } else { 0 };
        }
        let fraction = self.millisecond * 1000 + self.microsecond;
        let good = (0..24).contains(&hour)
            && (0..60).contains(&minute)
            && (0..60).contains(&second)
            && (0..SECOND_US).contains(&fraction);
        if !good {
            return Err(overflow());
        }
        Ok(hour * HOUR_US + minute * MINUTE_US + second * SECOND_US + fraction)
    }

    /// The year as astronomers count, 0 when none was given.
    fn astronomical_year(&self) -> i64 {
        let century = if self.before_christ != 0 { -self.century } else { self.century };
        if self.year != 0 {
            if self.century != 0 && self.year_digits <= 2 {
                let short = self.year % 100;
                return match (short, century >= 0) {
                    (0, true) => century * 100,
                    (0, false) => century * 100 + 1,
                    (_, true) => short + (century - 1) * 100,
                    (_, false) => (century + 1) * 100 - short + 1,
                };
            }
            let year = if self.before_christ != 0 { -self.year } else { self.year };
            return if year < 0 { year + 1 } else { year };
        }
        match self.century {
            0 => 0,
            _ if century >= 0 => (century - 1) * 100 + 1,
            _ => century * 100 + 1,
        }
    }

    fn date(&mut self, overflow: impl Fn() -> PgError) -> PgResult<i64> {
        let mut year = self.astronomical_year();
        let (mut month, mut day) = (1, 1);
        let mut set = |days: i64| {
            let (y, m, d) = civil_from_days(days);
            (year, month, day) = (y, i64::from(m), i64::from(d));
        };
        let iso = self.convention == Some(Convention::IsoWeek);
        if self.julian != 0 {
            set(self.julian - JULIAN_EPOCH);
        }
        let week_start = |year: i64, week: i64| {
            let fourth = days_from_civil(year, 1, 4);
            // 1970-01-01 was a Thursday; ISO weeks begin on Monday.
            fourth - (fourth + 3).rem_euclid(7) + (week - 1) * 7
        };
        let written_year = self.astronomical_year();
        if self.week != 0 {
            if iso {
                let weekday = match self.weekday {
                    0 => 0,
                    1 => 6,
                    other => other - 2,
                };
                set(week_start(written_year, self.week) + weekday);
            } else {
                self.day_of_year = (self.week - 1) * 7 + 1;
            }
        }
        if self.week_of_month != 0 {
            self.day = (self.week_of_month - 1) * 7 + 1;
        }
        let day_of_year = self.day_of_year;
        if iso && day_of_year != 0 && self.week == 0 {
            set(week_start(written_year, 1) + day_of_year - 1);
        }
        if self.day != 0 {
            day = self.day;
        }
        if self.month != 0 {
            month = self.month;
        }
        if day_of_year != 0 && (month <= 1 || day <= 1) {
            if year == 0 && self.before_christ == 0 {
                return Err(format_error("cannot calculate day of year without year information".to_owned()));
            }
            if !iso {
                let mut left = day_of_year;
                let mut found = 1;
                while found < 12 && left > i64::from(days_in_month(year, found)) {
                    left -= i64::from(days_in_month(year, found));
                    found += 1;
                }
                if day_of_year > if leap(year) { 366 } else { 365 } {
                    return Err(overflow());
                }
                month = if month <= 1 { i64::from(found) } else { month };
                day = if day <= 1 { left } else { day };
            }
        }
        let month = u32::try_from(month).ok().filter(|month| (1..=12).contains(month)).ok_or_else(&overflow)?;
        let day = u32::try_from(day).ok().filter(|day| (1..=31).contains(day)).ok_or_else(&overflow)?;
        if day > days_in_month(year, month) {
            return Err(overflow());
        }
        let days = days_from_civil(year, month, day);
        if days.abs() > i64::MAX / DAY_US {
            return Err(overflow());
        }
        Ok(days)
    }
}
