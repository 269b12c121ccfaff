//! Printers of date, time, timestamp and timestamptz in all date styles.

use std::io::Write;

use crate::datetime::{
    DATE_INFINITY, DATE_MINUS_INFINITY, HOUR_US, MINUTE_US, Parts, SECOND_US, TIMESTAMP_INFINITY,
    TIMESTAMP_MINUS_INFINITY, civil_from_days,
};
use crate::style::{DateFormat, DateOrder, DateStyle};
use crate::zone::Zone;

const WEEKDAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

fn two(value: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(&[b'0' + (value / 10 % 10) as u8, b'0' + (value % 10) as u8]);
}

/// The year without its era, at least four digits.
fn year(year: i64, out: &mut Vec<u8>) {
    let shown = if year > 0 { year } else { 1 - year };
    if shown < 10_000 {
        two((shown / 100) as u32, out);
        two((shown % 100) as u32, out);
    } else {
        write!(out, "{shown}").expect("writing to memory cannot fail");
    }
}

fn date_fields(y: i64, m: u32, d: u32, style: DateStyle, out: &mut Vec<u8>) {
    let (separator, day_first) = match style.format {
        DateFormat::Iso => {
            year(y, out);
            out.push(b'-');
            two(m, out);
            out.push(b'-');
            two(d, out);
            return;
        }
        DateFormat::Sql => (b'/', style.order == DateOrder::Dmy),
        DateFormat::German => (b'.', true),
        DateFormat::Postgres => (b'-', style.order == DateOrder::Dmy),
    };
    let (first, second) = if day_first { (d, m) } else { (m, d) };
    two(first, out);
    out.push(separator);
    two(second, out);
    out.push(separator);
    year(y, out);
}

/// A date.
pub fn print_date(days: i32, style: DateStyle, out: &mut Vec<u8>) {
    match days {
        DATE_INFINITY => return out.extend_from_slice(b"infinity"),
        DATE_MINUS_INFINITY => return out.extend_from_slice(b"-infinity"),
        _ => {}
    }
    let (y, m, d) = civil_from_days(days.into());
    date_fields(y, m, d, style, out);
    if y <= 0 {
        out.extend_from_slice(b" BC");
    }
}

/// A time of day: `hh:mm:ss[.ffffff]`.
pub fn print_time(time_us: i64, out: &mut Vec<u8>) {
    two((time_us / HOUR_US) as u32, out);
    out.push(b':');
    two((time_us / MINUTE_US % 60) as u32, out);
    out.push(b':');
    two((time_us / SECOND_US % 60) as u32, out);
    fraction((time_us % SECOND_US) as u32, out);
}

/// `.ffffff` without trailing zeros; nothing for 0.
pub(crate) fn fraction(micros: u32, out: &mut Vec<u8>) {
    if micros == 0 {
        return;
    }
    out.push(b'.');
    two(micros / 10_000, out);
    two(micros / 100 % 100, out);
    two(micros % 100, out);
    while out.last() == Some(&b'0') {
        out.pop();
    }
}

/// A timestamp without zone.
pub fn print_timestamp(us: i64, style: DateStyle, out: &mut Vec<u8>) {
    timestamp(us, style, out, |_| {});
}

/// A timestamptz in a zone.
pub fn print_timestamptz(us: i64, style: DateStyle, zone: &Zone, out: &mut Vec<u8>) {
    if special(us, out) {
        return;
    }
    let offset = zone.offset_at(us);
    let local = us.saturating_add(i64::from(offset) * SECOND_US);
    timestamp(local, style, out, |out| {
        if style.format == DateFormat::Iso {
            print_offset(offset, out);
        } else {
            out.push(b' ');
            out.extend_from_slice(zone.abbreviation_at(us).as_bytes());
        }
    });
}

fn special(us: i64, out: &mut Vec<u8>) -> bool {
    match us {
        TIMESTAMP_INFINITY => out.extend_from_slice(b"infinity"),
        TIMESTAMP_MINUS_INFINITY => out.extend_from_slice(b"-infinity"),
        _ => return false,
    }
    true
}

fn timestamp(us: i64, style: DateStyle, out: &mut Vec<u8>, zone: impl Fn(&mut Vec<u8>)) {
    if special(us, out) {
        return;
    }
    let parts = Parts::of(us);
    if style.format == DateFormat::Postgres {
        let weekday = (parts.days + 4).rem_euclid(7) as usize;
        out.extend_from_slice(WEEKDAYS[weekday].as_bytes());
        out.push(b' ');
        let month = MONTHS[parts.month as usize - 1].as_bytes();
        if style.order == DateOrder::Dmy {
            two(parts.day, out);
            out.push(b' ');
            out.extend_from_slice(month);
        } else {
            out.extend_from_slice(month);
            out.push(b' ');
            two(parts.day, out);
        }
        out.push(b' ');
        print_time(parts.time_us, out);
        out.push(b' ');
        year(parts.year, out);
    } else {
        date_fields(parts.year, parts.month, parts.day, style, out);
        out.push(b' ');
        print_time(parts.time_us, out);
    }
    zone(out);
    if parts.year <= 0 {
        out.extend_from_slice(b" BC");
    }
}

/// `+08`, `-03:30`, `+05:53:28`.
pub fn print_offset(east_seconds: i32, out: &mut Vec<u8>) {
    out.push(if east_seconds < 0 { b'-' } else { b'+' });
    let size = east_seconds.unsigned_abs();
    two(size / 3600, out);
    if !size.is_multiple_of(3600) {
        out.push(b':');
        two(size / 60 % 60, out);
    }
    if !size.is_multiple_of(60) {
        out.push(b':');
        two(size % 60, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datetime::{DAY_US, days_from_civil, timestamp_of};

    fn style(text: &str) -> DateStyle {
        DateStyle::parse(text, DateStyle::default()).unwrap()
    }

    #[test]
    fn dates_in_all_styles() {
        // Answers of PostgreSQL 15.
        let day = days_from_civil(1997, 12, 7) as i32;
        for (name, text) in [
            ("ISO", "1997-12-07"),
            ("SQL, MDY", "12/07/1997"),
            ("SQL, DMY", "07/12/1997"),
            ("Postgres, MDY", "12-07-1997"),
            ("Postgres, DMY", "07-12-1997"),
            ("German", "07.12.1997"),
        ] {
            let mut out = Vec::new();
            print_date(day, style(name), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
        for (days, text) in [
            (DATE_INFINITY, "infinity"),
            (DATE_MINUS_INFINITY, "-infinity"),
            (days_from_civil(-43, 3, 15) as i32, "0044-03-15 BC"),
            (days_from_civil(12345, 1, 2) as i32, "12345-01-02"),
        ] {
            let mut out = Vec::new();
            print_date(days, DateStyle::default(), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }

    #[test]
    fn timestamps_in_all_styles() {
        let us = timestamp_of(1997, 12, 17, 15 * HOUR_US + 37 * MINUTE_US + 16_250_000);
        let zone = Zone::by_name("America/Los_Angeles").unwrap();
        for (name, plain, zoned) in [
            ("ISO", "1997-12-17 15:37:16.25", "1997-12-17 07:37:16.25-08"),
            ("SQL, DMY", "17/12/1997 15:37:16.25", "17/12/1997 07:37:16.25 PST"),
            ("Postgres, MDY", "Wed Dec 17 15:37:16.25 1997", "Wed Dec 17 07:37:16.25 1997 PST"),
            ("Postgres, DMY", "Wed 17 Dec 15:37:16.25 1997", "Wed 17 Dec 07:37:16.25 1997 PST"),
            ("German", "17.12.1997 15:37:16.25", "17.12.1997 07:37:16.25 PST"),
        ] {
            let mut out = Vec::new();
            print_timestamp(us, style(name), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), plain);
            let mut out = Vec::new();
            print_timestamptz(us, style(name), &zone, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), zoned);
        }
        let mut out = Vec::new();
        print_timestamptz(timestamp_of(-1, 1, 1, 0), DateStyle::default(), &Zone::default(), &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), "0002-01-01 00:00:00+00 BC");
    }

    #[test]
    fn times_and_offsets() {
        for (us, text) in [(0, "00:00:00"), (DAY_US, "24:00:00"), (3_661_000_100, "01:01:01.0001")] {
            let mut out = Vec::new();
            print_time(us, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
        for (east, text) in [(0, "+00"), (19_800, "+05:30"), (-12_600, "-03:30"), (21_208, "+05:53:28")] {
            let mut out = Vec::new();
            print_offset(east, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }
}
