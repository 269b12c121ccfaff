//! What the fields of date/time text mean: a date, a time of day, a zone.
//!
//! Follows PostgreSQL's decision rules field by field, because their leniency is relied on: text months, two-digit
//! years, run-together digits, Julian days, `allballs`, AM/PM, zone names and abbreviations, the DateStyle order.

use super::datetime_scan::{Bad, Field, FieldKind, Reserved, Unit, Word, fraction, fraction_us, leading_i32, word};
use crate::datetime::{DAY_US, HOUR_US, MINUTE_US, SECOND_US, civil_from_days, days_from_civil, days_in_month};
use crate::style::DateOrder;
use crate::typmod::interval_field;
use crate::zone::Zone;
use crate::zone_table::zone_abbreviation;

/// Day number of Julian day 0.
const JULIAN_DAY_0: i64 = -2_440_588;

/// Which fields have been seen.
pub(crate) mod mask {
    pub(crate) const RESERVED: u32 = 1;
    pub(crate) const MONTH: u32 = 1 << 1;
    pub(crate) const YEAR: u32 = 1 << 2;
    pub(crate) const DAY: u32 = 1 << 3;
    pub(crate) const ZONE: u32 = 1 << 5;
    pub(crate) const DAYLIGHT: u32 = 1 << 6;
    pub(crate) const AMPM: u32 = 1 << 9;
    pub(crate) const HOUR: u32 = 1 << 10;
    pub(crate) const MINUTE: u32 = 1 << 11;
    pub(crate) const SECOND: u32 = 1 << 12;
    pub(crate) const DAY_OF_YEAR: u32 = 1 << 15;
    pub(crate) const WEEKDAY: u32 = 1 << 16;
    pub(crate) const ADBC: u32 = 1 << 18;
    pub(crate) const DAYLIGHT_MODIFIER: u32 = 1 << 28;
    pub(crate) const ALL_SECONDS: u32 = SECOND | 1 << 13 | 1 << 14;
    pub(crate) const DATE: u32 = YEAR | MONTH | DAY;
    pub(crate) const TIME: u32 = HOUR | MINUTE | ALL_SECONDS;
}

/// What was decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// The fields say it.
    Fields,
    Epoch,
    Infinity,
    MinusInfinity,
}

/// The zone that the text names.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ZoneSpec {
    /// None: the session's.
    Absent,
    /// Seconds east.
    Offset(i64),
    /// A named zone.
    Zone(Zone),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Meridian {
    None,
    Am,
    Pm,
}

/// The decoder's state; the fields are the answer once it is done.
pub(crate) struct Decoder<'a> {
    pub(crate) year: i64,
    pub(crate) month: i64,
    pub(crate) day: i64,
    pub(crate) hour: i64,
    pub(crate) minute: i64,
    pub(crate) second: i64,
    pub(crate) micros: i64,
    pub(crate) moment: Moment,
    pub(crate) zone: ZoneSpec,
    day_of_year: i64,
    seen: u32,
    label: Option<Unit>,
    text_month: bool,
    julian: bool,
    two_digits: bool,
    bc: bool,
    meridian: Meridian,
    time_only: bool,
    order: DateOrder,
    session: &'a Zone,
    now_us: i64,
}

impl<'a> Decoder<'a> {
    pub(crate) fn new(order: DateOrder, session: &'a Zone, now_us: i64, time_only: bool) -> Self {
        Self {
            year: 0,
            month: 0,
            day: 0,
            hour: 0,
            minute: 0,
            second: 0,
            micros: 0,
            moment: Moment::Fields,
            zone: ZoneSpec::Absent,
            day_of_year: 0,
            seen: 0,
            label: None,
            text_month: false,
            julian: false,
            two_digits: false,
            bc: false,
            meridian: Meridian::None,
            time_only,
            order,
            session,
            now_us,
        }
    }

    /// Microseconds since midnight; may pass 24 hours where PostgreSQL lets it.
    pub(crate) fn time_us(&self) -> i64 {
        self.hour * HOUR_US + self.minute * MINUTE_US + self.second * SECOND_US + self.micros
    }

    /// Decodes all fields.
    pub(crate) fn decode(&mut self, fields: &[Field]) -> Result<(), Bad> {
        let kinds: Vec<FieldKind> = fields.iter().map(|field| field.kind).collect();
        for (index, field) in fields.iter().enumerate() {
            let found = match field.kind {
                FieldKind::Date => self.date_field(index, &field.text, &kinds)?,
                FieldKind::Time => self.time_field(&field.text)?,
                FieldKind::Zone => {
                    self.zone = ZoneSpec::Offset(offset(&field.text)?);
                    mask::ZONE
                }
                FieldKind::Number => match self.label.take() {
                    Some(label) => self.labelled(label, &field.text)?,
                    None => self.number_field(index, &field.text, &kinds)?,
                },
                FieldKind::Word | FieldKind::Special => match self.word_field(index, &field.text, &kinds)? {
                    Some(found) => found,
                    None => continue,
                },
            };
            if found & self.seen != 0 {
                return Err(Bad::Format);
            }
            self.seen |= found;
        }
        self.finish()
    }

    fn has_all(&self, bits: u32) -> bool {
        self.seen & bits == bits
    }

    fn finish(&mut self) -> Result<(), Bad> {
        self.validate_date()?;
        if self.meridian != Meridian::None && self.hour > 12 {
            return Err(Bad::Field);
        }
        if self.meridian == Meridian::Am && self.hour == 12 {
            self.hour = 0;
        } else if self.meridian == Meridian::Pm && self.hour != 12 {
            self.hour += 12;
        }
        if self.time_only {
            if self.time_overflows() {
                return Err(Bad::Field);
            }
            if !self.has_all(mask::TIME) {
                return Err(Bad::Format);
            }
            return self.finish_time_zone();
        }
        if self.moment != Moment::Fields {
            return Ok(());
        }
        if !self.has_all(mask::DATE) {
            return Err(Bad::Format);
        }
        let modified = self.seen & mask::DAYLIGHT_MODIFIER != 0;
        if modified && (self.seen & mask::ZONE == 0 || matches!(self.zone, ZoneSpec::Zone(_))) {
            return Err(Bad::Format);
        }
        Ok(())
    }

    /// A time of day may name a zone whose offset never changes; any other needs a date.
    fn finish_time_zone(&self) -> Result<(), Bad> {
        let ZoneSpec::Zone(zone) = &self.zone else { return Ok(()) };
        if self.seen & mask::DAYLIGHT_MODIFIER != 0 {
            return Err(Bad::Format);
        }
        let steady = match zone {
            Zone::Named(_) => {
                // Every month of the tz database's years.
                const MONTH_US: i64 = 30 * DAY_US;
                let first = zone.offset_at(-1500 * MONTH_US);
                (-1500..1000).all(|month| zone.offset_at(month * MONTH_US) == first)
            }
            _ => true,
        };
        if steady || self.has_all(mask::DATE) { Ok(()) } else { Err(Bad::Format) }
    }

    fn validate_date(&mut self) -> Result<(), Bad> {
        if self.seen & mask::YEAR != 0 && !self.julian {
            if self.bc {
                if self.year <= 0 {
                    return Err(Bad::Field);
                }
                self.year = 1 - self.year;
            } else if self.two_digits {
                self.year += if self.year < 70 { 2000 } else { 1900 };
            } else if self.year <= 0 {
                return Err(Bad::Field);
            }
        }
        if self.seen & mask::DAY_OF_YEAR != 0 {
            let days = days_from_civil(self.year, 1, 1) + self.day_of_year - 1;
            self.set_date(days);
        }
        if self.seen & mask::MONTH != 0 && !(1..=12).contains(&self.month) {
            return Err(Bad::MonthDay);
        }
        if self.seen & mask::DAY != 0 && !(1..=31).contains(&self.day) {
            return Err(Bad::MonthDay);
        }
        if self.has_all(mask::DATE) && self.day > i64::from(days_in_month(self.year, self.month as u32)) {
            return Err(Bad::Field);
        }
        Ok(())
    }

    fn set_date(&mut self, days: i64) {
        let (year, month, day) = civil_from_days(days);
        (self.year, self.month, self.day) = (year, i64::from(month), i64::from(day));
    }

    fn set_time(&mut self, time_us: i64) {
        self.hour = time_us / HOUR_US;
        self.minute = time_us / MINUTE_US % 60;
        self.second = time_us / SECOND_US % 60;
        self.micros = time_us % SECOND_US;
    }

    fn time_overflows(&self) -> bool {
        !(0..=24).contains(&self.hour)
            || !(0..60).contains(&self.minute)
            || !(0..=60).contains(&self.second)
            || !(0..=SECOND_US).contains(&self.micros)
            || self.time_us() > DAY_US
    }

    fn date_field(&mut self, index: usize, text: &str, kinds: &[FieldKind]) -> Result<u32, Bad> {
        if self.time_only {
            let count = kinds.len();
            if index == 0 && count >= 2 && (kinds[count - 1] == FieldKind::Date || kinds[1] == FieldKind::Time) {
                return self.date(text);
            }
            return self.time_or_zone(text, self.seen | mask::DATE);
        }
        if self.label == Some(Unit::Julian) {
            self.label = None;
            let (day, rest) = leading_i32(text).filter(|(day, _)| *day >= 0).ok_or(Bad::Field)?;
            self.set_date(day + JULIAN_DAY_0);
            self.julian = true;
            self.zone = ZoneSpec::Offset(offset(rest)?);
            return Ok(mask::DATE | mask::TIME | mask::ZONE);
        }
        if self.label.is_some() || self.has_all(mask::MONTH | mask::DAY) {
            return self.time_or_zone(text, self.seen);
        }
        self.date(text)
    }

    /// A run-together time with an offset (`040506-08`), or a zone name.
    fn time_or_zone(&mut self, text: &str, seen: u32) -> Result<u32, Bad> {
        if !text.as_bytes()[0].is_ascii_digit() && self.label.is_none() {
            let zone = Zone::by_name(text).ok_or_else(|| Bad::ZoneName(text.to_owned()))?;
            self.zone = ZoneSpec::Zone(zone);
            return Ok(mask::ZONE);
        }
        if self.label.take().is_some_and(|label| label != Unit::Time) || self.has_all(mask::TIME) {
            return Err(Bad::Format);
        }
        let dash = text.find('-').ok_or(Bad::Format)?;
        self.zone = ZoneSpec::Offset(offset(&text[dash..])?);
        Ok(self.joined_number(&text[..dash], seen)? | mask::ZONE)
    }

    fn time_field(&mut self, text: &str) -> Result<u32, Bad> {
        if !self.time_only && self.label.take().is_some_and(|label| label != Unit::Time) {
            return Err(Bad::Format);
        }
        let time = clock(text, 0)?;
        if time.hour > i64::from(i32::MAX) {
            return Err(Bad::Field);
        }
        (self.hour, self.minute, self.second, self.micros) = (time.hour, time.minute, time.second, time.micros);
        if !self.time_only && self.time_overflows() {
            return Err(Bad::Field);
        }
        Ok(mask::TIME)
    }

    /// A number behind a label such as `J`, `t` or `y`.
    fn labelled(&mut self, label: Unit, text: &str) -> Result<u32, Bad> {
        let (value, rest) = leading_i32(text).ok_or(Bad::Field)?;
        let decimals_allowed = matches!(label, Unit::Julian | Unit::Time | Unit::Second);
        if self.time_only && !matches!(label, Unit::Julian | Unit::Time) {
            return Err(Bad::Format);
        }
        if !(rest.is_empty() || rest.starts_with('.') && decimals_allowed) {
            return Err(Bad::Format);
        }
        Ok(match label {
            Unit::Year => {
                self.year = value;
                mask::YEAR
            }
            Unit::Month if self.has_all(mask::MONTH | mask::HOUR) => {
                self.minute = value;
                mask::MINUTE
            }
            Unit::Month => {
                self.month = value;
                mask::MONTH
            }
            Unit::Day => {
                self.day = value;
                mask::DAY
            }
            Unit::Hour => {
                self.hour = value;
                mask::HOUR
            }
            Unit::Minute => {
                self.minute = value;
                mask::MINUTE
            }
            Unit::Second => {
                self.second = value;
                if rest.is_empty() {
                    return Ok(mask::SECOND);
                }
                self.micros = fraction_us(rest)?;
                mask::ALL_SECONDS
            }
            Unit::Julian => {
                if value < 0 {
                    return Err(Bad::Field);
                }
                self.set_date(value + JULIAN_DAY_0);
                self.julian = true;
                if rest.is_empty() {
                    return Ok(mask::DATE);
                }
                self.set_time((fraction(rest)? * DAY_US as f64) as i64);
                mask::DATE | mask::TIME
            }
            Unit::Time => {
                let found = self.joined_number(text, self.seen | mask::DATE)?;
                if found != mask::TIME {
                    return Err(Bad::Format);
                }
                found
            }
            _ => return Err(Bad::Format),
        })
    }

    fn number_field(&mut self, index: usize, text: &str, kinds: &[FieldKind]) -> Result<u32, Bad> {
        let point = text.find('.');
        if self.time_only {
            let seen = self.seen | mask::DATE;
            return match point {
                Some(_) if index == 0 && kinds.len() >= 2 && kinds[kinds.len() - 1] == FieldKind::Date => {
                    self.date(text)
                }
                Some(at) if at > 2 => self.joined_number(text, seen),
                Some(_) => Err(Bad::Format),
                None if text.len() > 4 => self.joined_number(text, seen),
                None => self.number(text, false, seen),
            };
        }
        match point {
            Some(_) if self.seen & mask::DATE == 0 => self.date(text),
            Some(at) if at > 2 => self.joined_number(text, self.seen),
            _ if text.len() >= 6 && (self.seen & mask::DATE == 0 || self.seen & mask::TIME == 0) => {
                self.joined_number(text, self.seen)
            }
            _ => self.number(text, self.text_month, self.seen),
        }
    }

    fn word_field(&mut self, index: usize, text: &str, kinds: &[FieldKind]) -> Result<Option<u32>, Bad> {
        if let Some((east_seconds, daylight)) = zone_abbreviation(text) {
            self.zone = ZoneSpec::Offset(i64::from(east_seconds));
            return Ok(Some(if daylight { mask::DAYLIGHT | mask::ZONE } else { mask::ZONE }));
        }
        let Some(word) = word(text) else {
            let zone = Zone::by_name(text).ok_or(Bad::Format)?;
            self.zone = ZoneSpec::Zone(zone);
            return Ok(Some(mask::ZONE));
        };
        Ok(Some(match word {
            Word::Ignore => return Ok(None),
            Word::Reserved(reserved) => self.reserved(reserved)?,
            Word::Month(_) | Word::Weekday if self.time_only => return Err(Bad::Format),
            Word::Month(month) => {
                // A number read as a month was the day.
                let swap = self.seen & mask::MONTH != 0
                    && !self.text_month
                    && self.seen & mask::DAY == 0
                    && (1..=31).contains(&self.month);
                if swap {
                    self.day = self.month;
                }
                self.text_month = true;
                self.month = month;
                if swap { mask::DAY } else { mask::MONTH }
            }
            Word::Weekday => mask::WEEKDAY,
            Word::DaylightModifier => {
                if let ZoneSpec::Offset(seconds) = &mut self.zone {
                    *seconds += 3600;
                }
                mask::DAYLIGHT_MODIFIER | mask::DAYLIGHT
            }
            Word::Am | Word::Pm => {
                self.meridian = if word == Word::Am { Meridian::Am } else { Meridian::Pm };
                mask::AMPM
            }
            Word::Ad | Word::Bc => {
                self.bc = word == Word::Bc;
                mask::ADBC
            }
            Word::Unit(unit) => {
                self.label = Some(unit);
                0
            }
            Word::IsoTime => {
                let next = kinds.get(index + 1);
                let fits = matches!(next, Some(FieldKind::Number | FieldKind::Time | FieldKind::Date));
                if !fits || !self.time_only && !self.has_all(mask::DATE) {
                    return Err(Bad::Format);
                }
                self.label = Some(Unit::Time);
                0
            }
        }))
    }

    fn reserved(&mut self, reserved: Reserved) -> Result<u32, Bad> {
        let local = self.session.local(self.now_us);
        let today = local.div_euclid(DAY_US);
        if self.time_only && !matches!(reserved, Reserved::Now | Reserved::Zulu) {
            return Err(Bad::Format);
        }
        let date = match reserved {
            Reserved::Now => {
                self.set_date(today);
                self.set_time(local.rem_euclid(DAY_US));
                if self.time_only {
                    return Ok(mask::TIME);
                }
                self.zone = ZoneSpec::Offset(i64::from(self.session.offset_at(self.now_us)));
                return Ok(mask::DATE | mask::TIME | mask::ZONE);
            }
            Reserved::Zulu => {
                self.set_time(0);
                self.zone = ZoneSpec::Offset(0);
                return Ok(mask::TIME | mask::ZONE);
            }
            Reserved::Today => today,
            Reserved::Tomorrow => today + 1,
            Reserved::Yesterday => today - 1,
            Reserved::Epoch | Reserved::Infinity | Reserved::MinusInfinity => {
                self.moment = match reserved {
                    Reserved::Epoch => Moment::Epoch,
                    Reserved::Infinity => Moment::Infinity,
                    _ => Moment::MinusInfinity,
                };
                return Ok(mask::RESERVED);
            }
        };
        self.julian = true;
        self.set_date(date);
        Ok(mask::DATE)
    }

    /// A date of several parts in one field.
    fn date(&mut self, text: &str) -> Result<u32, Bad> {
        let bytes = text.as_bytes();
        let mut parts: Vec<&str> = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            while at < bytes.len() && !bytes[at].is_ascii_alphanumeric() {
                at += 1;
            }
            if at == bytes.len() {
                return Err(Bad::Format);
            }
            let digits = bytes[at].is_ascii_digit();
            let alike = |b: &u8| if digits { b.is_ascii_digit() } else { b.is_ascii_alphabetic() };
            let start = at;
            at += bytes[at..].iter().take_while(|b| alike(b)).count();
            parts.push(&text[start..at]);
            at += 1;
        }
        let mut seen = self.seen;
        let mut found = 0;
        let mut text_month = false;
        // The month's name first: it settles what the numbers are.
        for part in parts.iter().filter(|part| part.as_bytes()[0].is_ascii_alphabetic()) {
            match word(part) {
                Some(Word::Ignore) => continue,
                Some(Word::Month(month)) if seen & mask::MONTH == 0 => self.month = month,
                _ => return Err(Bad::Format),
            }
            text_month = true;
            seen |= mask::MONTH;
            found |= mask::MONTH;
        }
        for part in parts.iter().filter(|part| part.as_bytes()[0].is_ascii_digit()) {
            let bits = self.number(part, text_month, seen)?;
            if bits & seen != 0 {
                return Err(Bad::Format);
            }
            seen |= bits;
            found |= bits;
        }
        if seen & !(mask::DAY_OF_YEAR | mask::ZONE) != mask::DATE {
            return Err(Bad::Format);
        }
        Ok(found)
    }

    /// One number: which date field it is depends on what has been seen, its length and the DateStyle order.
    fn number(&mut self, text: &str, text_month: bool, seen: u32) -> Result<u32, Bad> {
        let (value, rest) = leading_i32(text).ok_or(Bad::Field)?;
        if rest.len() == text.len() {
            return Err(Bad::Format);
        }
        if rest.starts_with('.') {
            if text.len() - rest.len() > 2 {
                return self.joined_number(text, seen | mask::DATE);
            }
            self.micros = fraction_us(rest)?;
        } else if !rest.is_empty() {
            return Err(Bad::Format);
        }
        let have = seen & mask::DATE;
        if text.len() == 3 && have == mask::YEAR && (1..=366).contains(&value) {
            self.day_of_year = value;
            return Ok(mask::DAY_OF_YEAR | mask::MONTH | mask::DAY);
        }
        let yearly = text.len() >= 3 || self.order == DateOrder::Ymd;
        const YEAR_MONTH: u32 = mask::YEAR | mask::MONTH;
        const MONTH_DAY: u32 = mask::MONTH | mask::DAY;
        let which = match have {
            0 if yearly => mask::YEAR,
            0 if self.order == DateOrder::Dmy => mask::DAY,
            0 => mask::MONTH,
            mask::YEAR => mask::MONTH,
            mask::MONTH if text_month && yearly => mask::YEAR,
            mask::MONTH => mask::DAY,
            YEAR_MONTH => {
                if text_month && text.len() >= 3 && self.two_digits {
                    // The two-digit number taken for a year was the day.
                    self.day = self.year;
                    self.year = value;
                    self.two_digits = false;
                    return Ok(mask::DAY);
                }
                mask::DAY
            }
            mask::DAY => mask::MONTH,
            MONTH_DAY => mask::YEAR,
            mask::DATE => return self.joined_number(text, seen),
            _ => return Err(Bad::Format),
        };
        match which {
            mask::YEAR => {
                self.year = value;
                self.two_digits = text.len() <= 2;
            }
            mask::MONTH => self.month = value,
            _ => self.day = value,
        }
        Ok(which)
    }

    /// Digits run together: `20240131`, `040506`, `0405`, `040506.789`.
    fn joined_number(&mut self, text: &str, seen: u32) -> Result<u32, Bad> {
        let part = |digits: &str| leading_i32(digits).map(|(value, _)| value).ok_or(Bad::Field);
        let mut text = text;
        if let Some(point) = text.find('.') {
            let digits = text[point + 1..].bytes().take_while(u8::is_ascii_digit).count();
            self.micros = fraction_us(&text[point..point + 1 + digits])?;
            text = &text[..point];
        } else if seen & mask::DATE != mask::DATE && text.len() >= 6 {
            let length = text.len();
            self.day = part(&text[length - 2..])?;
            self.month = part(&text[length - 4..length - 2])?;
            self.year = part(&text[..length - 4])?;
            if length == 6 {
                self.two_digits = true;
            }
            return Ok(mask::DATE);
        }
        if seen & mask::TIME == mask::TIME {
            return Err(Bad::Format);
        }
        match text.len() {
            6 => self.second = part(&text[4..])?,
            4 => self.second = 0,
            _ => return Err(Bad::Format),
        }
        self.minute = part(&text[2..4])?;
        self.hour = part(&text[..2])?;
        Ok(mask::TIME)
    }

    /// Seconds east at the decoded local time: what the text says, else the session's zone.
    pub(crate) fn east_seconds(&self, local_us: i64) -> i64 {
        match &self.zone {
            ZoneSpec::Offset(seconds) => *seconds,
            ZoneSpec::Zone(zone) => i64::from(zone.offset_of_local(local_us)),
            ZoneSpec::Absent => i64::from(self.session.offset_of_local(local_us)),
        }
    }
}

/// A time of day, or the time part of an interval.
pub(crate) struct Clock {
    pub(crate) hour: i64,
    pub(crate) minute: i64,
    pub(crate) second: i64,
    pub(crate) micros: i64,
}

/// `hh:mm`, `hh:mm:ss`, `hh:mm:ss.ffffff`, `mm:ss.ffffff`. `range` is an interval's field range.
pub(crate) fn clock(text: &str, range: i32) -> Result<Clock, Bad> {
    let (hour, rest) = super::datetime_scan::leading_int(text).ok_or(Bad::Field)?;
    let rest = rest.strip_prefix(':').ok_or(Bad::Format)?;
    let (minute, rest) = leading_i32(rest).ok_or(Bad::Field)?;
    let mut time = Clock { hour, minute, second: 0, micros: 0 };
    let minutes_first = |time: &mut Clock| {
        (time.second, time.minute, time.hour) = (time.minute, time.hour, 0);
        if i32::try_from(time.minute).is_ok() { Ok(()) } else { Err(Bad::Field) }
    };
    if rest.is_empty() {
        if range == interval_field::MINUTE | interval_field::SECOND {
            minutes_first(&mut time)?;
        }
    } else if rest.starts_with('.') {
        time.micros = fraction_us(rest)?;
        minutes_first(&mut time)?;
    } else {
        let rest = rest.strip_prefix(':').ok_or(Bad::Format)?;
        let (second, rest) = leading_i32(rest).ok_or(Bad::Field)?;
        time.second = second;
        if rest.starts_with('.') {
            time.micros = fraction_us(rest)?;
        } else if !rest.is_empty() {
            return Err(Bad::Format);
        }
    }
    let sane = time.hour >= 0
        && (0..60).contains(&time.minute)
        && (0..=60).contains(&time.second)
        && (0..=SECOND_US).contains(&time.micros);
    if sane { Ok(time) } else { Err(Bad::Field) }
}

/// `+hh`, `+hhmm`, `+hh:mm`, `+hh:mm:ss` as seconds east.
fn offset(text: &str) -> Result<i64, Bad> {
    let negative = match text.as_bytes().first() {
        Some(b'+') => false,
        Some(b'-') => true,
        _ => return Err(Bad::Format),
    };
    let (mut hours, mut rest) = leading_i32(&text[1..]).ok_or(Bad::Zone)?;
    let (mut minutes, mut seconds) = (0, 0);
    if let Some(tail) = rest.strip_prefix(':') {
        (minutes, rest) = leading_i32(tail).ok_or(Bad::Zone)?;
        if let Some(tail) = rest.strip_prefix(':') {
            (seconds, rest) = leading_i32(tail).ok_or(Bad::Zone)?;
        }
    } else if rest.is_empty() && text.len() > 3 {
        (hours, minutes) = (hours / 100, hours % 100);
    }
    if !(0..=15).contains(&hours) || !(0..60).contains(&minutes) || !(0..60).contains(&seconds) {
        return Err(Bad::Zone);
    }
    if !rest.is_empty() {
        return Err(Bad::Format);
    }
    let east = (hours * 60 + minutes) * 60 + seconds;
    Ok(if negative { -east } else { east })
}
