//! Printer of interval in all interval styles.

use std::io::Write;

use arrow::datatypes::IntervalMonthDayNano;

use super::datetime::fraction;
use crate::datetime::{HOUR_US, MINUTE_US, SECOND_US};
use crate::interval::time_us;
use crate::style::IntervalStyle;

/// An interval's fields, each with its own sign.
#[derive(Clone, Copy)]
struct Fields {
    years: i64,
    months: i64,
    days: i64,
    hours: i64,
    minutes: i64,
    seconds: i64,
    micros: i64,
}

macro_rules! put {
    ($out:expr, $($arg:tt)*) => { write!($out, $($arg)*).expect("writing to memory cannot fail") };
}

impl Fields {
    fn of(span: IntervalMonthDayNano) -> Self {
        let time = time_us(span);
        Self {
            years: i64::from(span.months / 12),
            months: i64::from(span.months % 12),
            days: i64::from(span.days),
            hours: time / HOUR_US,
            minutes: time / MINUTE_US % 60,
            seconds: time / SECOND_US % 60,
            micros: time % SECOND_US,
        }
    }

    fn all(&self) -> [i64; 7] {
        [self.years, self.months, self.days, self.hours, self.minutes, self.seconds, self.micros]
    }

    fn negated(&self) -> Self {
        let [years, months, days, hours, minutes, seconds, micros] = self.all().map(|field| -field);
        Self { years, months, days, hours, minutes, seconds, micros }
    }

    fn time_negative(&self) -> bool {
        self.all()[3..].iter().any(|field| *field < 0)
    }

    fn has_time(&self) -> bool {
        self.all()[3..].iter().any(|field| *field != 0)
    }

    /// Seconds and fraction without sign.
    fn put_seconds(&self, padded: bool, out: &mut Vec<u8>) {
        let seconds = self.seconds.unsigned_abs();
        if padded {
            put!(out, "{seconds:02}");
        } else {
            put!(out, "{seconds}");
        }
        fraction(self.micros.unsigned_abs() as u32, out);
    }

    fn put_clock(&self, hour_width: usize, out: &mut Vec<u8>) {
        put!(out, "{:0hour_width$}:{:02}:", self.hours.unsigned_abs(), self.minutes.unsigned_abs());
        self.put_seconds(true, out);
    }
}

/// An interval.
pub fn print_interval(span: IntervalMonthDayNano, style: IntervalStyle, out: &mut Vec<u8>) {
    let fields = Fields::of(span);
    match style {
        IntervalStyle::Postgres => postgres(&fields, out),
        IntervalStyle::PostgresVerbose => verbose(&fields, out),
        IntervalStyle::SqlStandard => sql_standard(fields, out),
        IntervalStyle::Iso8601 => iso_8601(&fields, out),
    }
}

fn postgres(fields: &Fields, out: &mut Vec<u8>) {
    let mut first = true;
    let mut before = false;
    for (value, unit) in [(fields.years, "year"), (fields.months, "mon"), (fields.days, "day")] {
        if value == 0 {
            continue;
        }
        let blank = if first { "" } else { " " };
        let plus = if before && value > 0 { "+" } else { "" };
        let plural = if value == 1 { "" } else { "s" };
        put!(out, "{blank}{plus}{value} {unit}{plural}");
        before = value < 0;
        first = false;
    }
    if first || fields.has_time() {
        if !first {
            out.push(b' ');
        }
        if fields.time_negative() {
            out.push(b'-');
        } else if before {
            out.push(b'+');
        }
        fields.put_clock(2, out);
    }
}

fn verbose(fields: &Fields, out: &mut Vec<u8>) {
    out.push(b'@');
    let mut first = true;
    let mut before = false;
    let parts = [
        (fields.years, "year"),
        (fields.months, "mon"),
        (fields.days, "day"),
        (fields.hours, "hour"),
        (fields.minutes, "min"),
    ];
    for (value, unit) in parts {
        if value == 0 {
            continue;
        }
        if first {
            before = value < 0;
        }
        let value = if before { -value } else { value };
        put!(out, " {value} {unit}{}", if value == 1 { "" } else { "s" });
        first = false;
    }
    if fields.seconds != 0 || fields.micros != 0 {
        out.push(b' ');
        if fields.seconds < 0 || fields.seconds == 0 && fields.micros < 0 {
            if first {
                before = true;
            } else if !before {
                out.push(b'-');
            }
        } else if before {
            out.push(b'-');
        }
        fields.put_seconds(false, out);
        let one = fields.seconds.unsigned_abs() == 1 && fields.micros == 0;
        out.extend_from_slice(if one { b" sec" } else { b" secs" });
        first = false;
    }
    if first {
        out.extend_from_slice(b" 0");
    }
    if before {
        out.extend_from_slice(b" ago");
    }
}

fn sql_standard(fields: Fields, out: &mut Vec<u8>) {
    let mut fields = fields;
    let negative = fields.all().iter().any(|field| *field < 0);
    let positive = fields.all().iter().any(|field| *field > 0);
    let year_month = fields.years != 0 || fields.months != 0;
    let day_time = fields.days != 0 || fields.has_time();
    if !negative && !positive {
        return out.push(b'0');
    }
    if negative && positive || year_month && day_time {
        // No single sign fits, so every part has its own.
        let sign = |negative: bool| if negative { '-' } else { '+' };
        put!(
            out,
            "{}{}-{} {}{} {}",
            sign(fields.years < 0 || fields.months < 0),
            fields.years.unsigned_abs(),
            fields.months.unsigned_abs(),
            sign(fields.days < 0),
            fields.days.unsigned_abs(),
            sign(fields.time_negative()),
        );
        return fields.put_clock(1, out);
    }
    if negative {
        out.push(b'-');
        fields = fields.negated();
    }
    if year_month {
        put!(out, "{}-{}", fields.years, fields.months);
        return;
    }
    if fields.days != 0 {
        put!(out, "{} ", fields.days);
    }
    fields.put_clock(1, out);
}

fn iso_8601(fields: &Fields, out: &mut Vec<u8>) {
    if fields.all() == [0; 7] {
        return out.extend_from_slice(b"PT0S");
    }
    let part = |value: i64, unit: char, out: &mut Vec<u8>| {
        if value != 0 {
            put!(out, "{value}{unit}");
        }
    };
    out.push(b'P');
    part(fields.years, 'Y', out);
    part(fields.months, 'M', out);
    part(fields.days, 'D', out);
    if !fields.has_time() {
        return;
    }
    out.push(b'T');
    part(fields.hours, 'H', out);
    part(fields.minutes, 'M', out);
    if fields.seconds != 0 || fields.micros != 0 {
        if fields.seconds < 0 || fields.micros < 0 {
            out.push(b'-');
        }
        fields.put_seconds(false, out);
        out.push(b'S');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interval::make;

    #[test]
    fn all_styles() {
        // Answers of PostgreSQL 15, in the order postgres, postgres_verbose, sql_standard, iso_8601.
        let second = 1_000_000;
        for (months, days, us, expect) in [
            (0, 0, 0, ["00:00:00", "@ 0", "0", "PT0S"]),
            (14, 0, 0, ["1 year 2 mons", "@ 1 year 2 mons", "1-2", "P1Y2M"]),
            (0, 3, 14_706 * second, ["3 days 04:05:06", "@ 3 days 4 hours 5 mins 6 secs", "3 4:05:06", "P3DT4H5M6S"]),
            (
                -14,
                3,
                -14_706 * second,
                [
                    "-1 years -2 mons +3 days -04:05:06",
                    "@ 1 year 2 mons -3 days 4 hours 5 mins 6 secs ago",
                    "-1-2 +3 -4:05:06",
                    "P-1Y-2M3DT-4H-5M-6S",
                ],
            ),
            (0, 0, -500_000, ["-00:00:00.5", "@ 0.5 secs ago", "-0:00:00.5", "PT-0.5S"]),
            (0, 1, -second, ["1 day -00:00:01", "@ 1 day -1 sec", "+0-0 +1 -0:00:01", "P1DT-1S"]),
        ] {
            let styles = [
                IntervalStyle::Postgres,
                IntervalStyle::PostgresVerbose,
                IntervalStyle::SqlStandard,
                IntervalStyle::Iso8601,
            ];
            for (style, text) in styles.into_iter().zip(expect) {
                let mut out = Vec::new();
                print_interval(make(months, days, us).unwrap(), style, &mut out);
                assert_eq!(String::from_utf8(out).unwrap(), text);
            }
        }
    }
}
