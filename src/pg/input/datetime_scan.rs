//! Date/time text cut into fields, and the words that may stand in it.
//!
//! The grammar is PostgreSQL's: a field is a number, a date or time with its punctuation, a word, or a signed number;
//! everything else separates. What the fields mean is decided in [`super::datetime_decode`] and [`super::interval`].

/// Why date/time text is refused; each has its own message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Bad {
    /// 22007 invalid input syntax.
    Format,
    /// 22008 a field is out of range.
    Field,
    /// 22008 a month or day is out of range: the order of fields may be wrong.
    MonthDay,
    /// 22015 an interval's field is out of range.
    Interval,
    /// 22009 an offset is out of range.
    Zone,
    /// 22023 no such zone.
    ZoneName(String),
}

/// What a field looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FieldKind {
    /// Digits, maybe with a decimal point.
    Number,
    /// Letters.
    Word,
    /// Digits or letters joined by `-`, `/` or `.`; also zone names.
    Date,
    /// Digits joined by `:`.
    Time,
    /// A sign and digits.
    Zone,
    /// A sign and letters.
    Special,
}

/// A field, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) kind: FieldKind,
    pub(crate) text: String,
}

/// Units of interval fields and labels of numbers in dates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Microsecond,
    Millisecond,
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
    Decade,
    Century,
    Millennium,
    Julian,
    /// The `t` before an ISO time.
    Time,
    /// Units of EXTRACT that mean nothing in input.
    Other,
}

/// Reserved words of date/time input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reserved {
    Now,
    Today,
    Tomorrow,
    Yesterday,
    Epoch,
    Infinity,
    MinusInfinity,
    Zulu,
}

/// What a word means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    Ignore,
    Reserved(Reserved),
    Month(i64),
    Weekday,
    Am,
    Pm,
    Ad,
    Bc,
    DaylightModifier,
    Unit(Unit),
    IsoTime,
}

/// Most fields one value may have.
const FIELDS_MAX: usize = 25;
/// Characters of a word that are compared.
const WORD_CHARS: usize = 10;

/// Cuts `text` into fields. `chars_max` bounds the characters kept.
pub(crate) fn scan(text: &str, chars_max: usize) -> Result<Vec<Field>, Bad> {
    let mut scanner = Scanner { bytes: text.as_bytes(), at: 0 };
    let mut fields: Vec<Field> = Vec::new();
    let mut kept = 0;
    while let Some(byte) = scanner.peek() {
        if is_space(byte) {
            scanner.at += 1;
            continue;
        }
        if fields.len() >= FIELDS_MAX {
            return Err(Bad::Format);
        }
        let mut out = String::new();
        let kind = match byte {
            b'0'..=b'9' => scanner.number(&mut out),
            b'.' => {
                scanner.take_one(&mut out);
                scanner.take(&mut out, |b| b.is_ascii_digit());
                FieldKind::Number
            }
            b'+' | b'-' => scanner.signed(&mut out)?,
            _ if byte.is_ascii_alphabetic() => scanner.word(&mut out),
            _ if byte.is_ascii_punctuation() => {
                scanner.at += 1;
                continue;
            }
            _ => return Err(Bad::Format),
        };
        kept += out.len() + 1;
        if kept > chars_max {
            return Err(Bad::Format);
        }
        fields.push(Field { kind, text: out });
    }
    Ok(fields)
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Scanner<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn next_is(&self, test: impl Fn(u8) -> bool) -> bool {
        self.peek().is_some_and(test)
    }

    fn take_one(&mut self, out: &mut String) {
        if let Some(byte) = self.peek() {
            out.push(byte.to_ascii_lowercase() as char);
            self.at += 1;
        }
    }

    fn take(&mut self, out: &mut String, test: impl Fn(u8) -> bool) {
        while self.next_is(&test) {
            self.take_one(out);
        }
    }

    fn number(&mut self, out: &mut String) -> FieldKind {
        self.take(out, |b| b.is_ascii_digit());
        match self.peek() {
            Some(b':') => {
                self.take(out, |b| b.is_ascii_digit() || b == b':' || b == b'.');
                FieldKind::Time
            }
            Some(delimiter @ (b'-' | b'/' | b'.')) => {
                self.take_one(out);
                if !self.next_is(|b| b.is_ascii_digit()) {
                    self.take(out, |b| b.is_ascii_alphanumeric() || b == delimiter);
                    return FieldKind::Date;
                }
                self.take(out, |b| b.is_ascii_digit());
                if self.peek() == Some(delimiter) {
                    self.take(out, |b| b.is_ascii_digit() || b == delimiter);
                    return FieldKind::Date;
                }
                if delimiter == b'.' { FieldKind::Number } else { FieldKind::Date }
            }
            _ => FieldKind::Number,
        }
    }

    fn signed(&mut self, out: &mut String) -> Result<FieldKind, Bad> {
        self.take_one(out);
        while self.next_is(is_space) {
            self.at += 1;
        }
        if self.next_is(|b| b.is_ascii_digit()) {
            self.take(out, |b| b.is_ascii_digit() || matches!(b, b':' | b'.' | b'-'));
            Ok(FieldKind::Zone)
        } else if self.next_is(|b| b.is_ascii_alphabetic()) {
            self.take(out, |b| b.is_ascii_alphabetic());
            Ok(FieldKind::Special)
        } else {
            Err(Bad::Format)
        }
    }

    fn word(&mut self, out: &mut String) -> FieldKind {
        self.take(out, |b| b.is_ascii_alphabetic());
        // A date may have a month's name first, a zone may have punctuation and digits inside.
        let joined = match self.peek() {
            Some(b'-' | b'/' | b'.') => true,
            Some(b) if b == b'+' || b.is_ascii_digit() => word(out).is_none(),
            _ => false,
        };
        if !joined {
            return FieldKind::Word;
        }
        self.take(out, |b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'/' | b'_' | b'.' | b':'));
        FieldKind::Date
    }
}

fn key(text: &str) -> &str {
    match text.char_indices().nth(WORD_CHARS) {
        Some((end, _)) => &text[..end],
        None => text,
    }
}

/// The meaning of a word (in lower case) in a date or time.
pub(crate) fn word(text: &str) -> Option<Word> {
    Some(match key(text) {
        "-infinity" => Word::Reserved(Reserved::MinusInfinity),
        "infinity" => Word::Reserved(Reserved::Infinity),
        "allballs" => Word::Reserved(Reserved::Zulu),
        "epoch" => Word::Reserved(Reserved::Epoch),
        "now" => Word::Reserved(Reserved::Now),
        "today" => Word::Reserved(Reserved::Today),
        "tomorrow" => Word::Reserved(Reserved::Tomorrow),
        "yesterday" => Word::Reserved(Reserved::Yesterday),
        "ad" => Word::Ad,
        "bc" => Word::Bc,
        "am" => Word::Am,
        "pm" => Word::Pm,
        "at" | "on" => Word::Ignore,
        "dst" => Word::DaylightModifier,
        "t" => Word::IsoTime,
        "jan" | "january" => Word::Month(1),
        "feb" | "february" => Word::Month(2),
        "mar" | "march" => Word::Month(3),
        "apr" | "april" => Word::Month(4),
        "may" => Word::Month(5),
        "jun" | "june" => Word::Month(6),
        "jul" | "july" => Word::Month(7),
        "aug" | "august" => Word::Month(8),
        "sep" | "sept" | "september" => Word::Month(9),
        "oct" | "october" => Word::Month(10),
        "nov" | "november" => Word::Month(11),
        "dec" | "december" => Word::Month(12),
        "sun" | "sunday" | "mon" | "monday" | "tue" | "tues" | "tuesday" | "wed" | "weds" | "wednesday" | "thu"
        | "thur" | "thurs" | "thursday" | "fri" | "friday" | "sat" | "saturday" => Word::Weekday,
        "d" => Word::Unit(Unit::Day),
        "h" => Word::Unit(Unit::Hour),
        "j" | "jd" | "julian" => Word::Unit(Unit::Julian),
        "m" => Word::Unit(Unit::Month),
        "mm" => Word::Unit(Unit::Minute),
        "s" => Word::Unit(Unit::Second),
        "y" => Word::Unit(Unit::Year),
        "dow" | "doy" | "isodow" | "isoyear" => Word::Unit(Unit::Other),
        _ => return None,
    })
}

/// What a word means in an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SpanWord {
    Ignore,
    Ago,
    Unit(Unit),
}

/// The meaning of a word (in lower case) in an interval, and of EXTRACT's and date_trunc's unit names.
pub(crate) fn span_word(text: &str) -> Option<SpanWord> {
    let unit = match key(text) {
        "@" => return Some(SpanWord::Ignore),
        "ago" => return Some(SpanWord::Ago),
        "c" | "cent" | "centuries" | "century" => Unit::Century,
        "d" | "day" | "days" => Unit::Day,
        "dec" | "decade" | "decades" | "decs" => Unit::Decade,
        "h" | "hour" | "hours" | "hr" | "hrs" => Unit::Hour,
        "m" | "min" | "mins" | "minute" | "minutes" => Unit::Minute,
        "microsecon" | "us" | "usec" | "usecond" | "useconds" | "usecs" => Unit::Microsecond,
        "mil" | "mils" | "millennia" | "millennium" => Unit::Millennium,
        "millisecon" | "ms" | "msec" | "msecond" | "mseconds" | "msecs" => Unit::Millisecond,
        "mon" | "mons" | "month" | "months" => Unit::Month,
        "qtr" | "quarter" => Unit::Quarter,
        "s" | "sec" | "second" | "seconds" | "secs" => Unit::Second,
        "w" | "week" | "weeks" => Unit::Week,
        "y" | "year" | "years" | "yr" | "yrs" => Unit::Year,
        "timezone" | "timezone_h" | "timezone_m" => Unit::Other,
        _ => return None,
    };
    Some(SpanWord::Unit(unit))
}

/// C's strtol on the front of a string: the number and the rest. `None` when it leaves i64. No digits: 0 and all of it.
pub(crate) fn leading_int(text: &str) -> Option<(i64, &str)> {
    let bytes = text.as_bytes();
    let sign = usize::from(matches!(bytes.first(), Some(b'+' | b'-')));
    let end = bytes[sign..].iter().position(|b| !b.is_ascii_digit()).map_or(bytes.len(), |n| n + sign);
    if end == sign {
        return Some((0, text));
    }
    text[..end].parse().ok().map(|value| (value, &text[end..]))
}

/// The same within i32.
pub(crate) fn leading_i32(text: &str) -> Option<(i64, &str)> {
    leading_int(text).filter(|(value, _)| i32::try_from(*value).is_ok())
}

/// A fraction that starts with a point; a lone point is 0.
pub(crate) fn fraction(text: &str) -> Result<f64, Bad> {
    let digits = text.strip_prefix('.').ok_or(Bad::Format)?;
    if digits.is_empty() {
        return Ok(0.0);
    }
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Bad::Format);
    }
    text.parse().map_err(|_| Bad::Format)
}

/// A fraction of a second in microseconds.
pub(crate) fn fraction_us(text: &str) -> Result<i64, Bad> {
    Ok((fraction(text)? * 1e6).round_ties_even() as i64)
}
