//! to_char of numbers.
//!
//! The pattern is walked over the number's digits as PostgreSQL does it, blank by blank, because its results are
//! relied on to the last space.

use crate::error::{PgError, PgResult};
use crate::format::datetime_out::ordinal_suffix;
use crate::sqlstate;

/// Digits of float8 that count.
const FLOAT_DIGITS: i64 = 15;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Comma,
    Point { locale: bool },
    Zero,
    Nine,
    Blank,
    Currency,
    Exponent,
    Fill,
    Group,
    Minus,
    Plus,
    Bracket,
    Roman { upper: bool },
    SignBoth,
    Ignored,
    Sign,
    Ordinal { upper: bool },
    Shift,
}

const WORDS: [(&str, Key); 21] = [
    (",", Key::Comma),
    (".", Key::Point { locale: false }),
    ("0", Key::Zero),
    ("9", Key::Nine),
    ("B", Key::Blank),
    ("C", Key::Ignored),
    ("D", Key::Point { locale: true }),
    ("EEEE", Key::Exponent),
    ("FM", Key::Fill),
    ("G", Key::Group),
    ("L", Key::Currency),
    ("MI", Key::Minus),
    ("PL", Key::Plus),
    ("PR", Key::Bracket),
    ("RN", Key::Roman { upper: true }),
    ("SG", Key::SignBoth),
    ("SP", Key::Ignored),
    ("S", Key::Sign),
    ("TH", Key::Ordinal { upper: true }),
    ("th", Key::Ordinal { upper: false }),
    ("V", Key::Shift),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    Key(Key),
    Literal(char),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SignPlace {
    None,
    Before,
    After,
}

/// A number pattern, read once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NumberPattern {
    pub(crate) nodes: Vec<Node>,
    pub(crate) before: i64,
    pub(crate) after: i64,
    sign_place: SignPlace,
    sign_at: i64,
    pub(crate) shift: i64,
    zero_start: i64,
    zero_end: i64,
    zero: bool,
    blank: bool,
    point: bool,
    fill: bool,
    pub(crate) sign: bool,
    pub(crate) minus: bool,
    pub(crate) plus: bool,
    bracket: bool,
    pub(crate) roman: Option<bool>,
    shifted: bool,
    pub(crate) exponent: bool,
}

#[cold]
fn syntax(message: &str) -> PgError {
    PgError::new(sqlstate::SYNTAX_ERROR, message)
}

impl NumberPattern {
    /// Reads a pattern. 42601 for words that exclude each other.
    pub fn new(pattern: &str) -> PgResult<Self> {
        let mut this = Self {
            nodes: Vec::new(),
            before: 0,
            after: 0,
            sign_place: SignPlace::None,
            sign_at: 0,
            shift: 0,
            zero_start: 0,
            zero_end: 0,
            zero: false,
            blank: false,
            point: false,
            fill: false,
            sign: false,
            minus: false,
            plus: false,
            bracket: false,
            roman: None,
            shifted: false,
            exponent: false,
        };
        let mut rest = pattern;
        while let Some(c) = rest.chars().next() {
            let word = WORDS.iter().find(|(word, _)| rest.starts_with(word)).or_else(|| {
                let lower = |word: &str| word.to_ascii_lowercase();
                WORDS.iter().find(|(word, _)| rest.starts_with(&lower(word)))
            });
            if let Some((word, key)) = word {
                let lower = rest.starts_with(|c: char| c.is_ascii_lowercase());
                let key = if let Key::Roman { .. } = key { Key::Roman { upper: !lower } } else { *key };
                this.prepare(key)?;
                this.nodes.push(Node::Key(key));
                rest = &rest[word.len()..];
            } else if c == '"' {
                rest = this.quoted(&rest[1..]);
            } else {
                let c = if rest.starts_with("\\\"") {
                    rest = &rest[1..];
                    '"'
                } else {
                    c
                };
                this.nodes.push(Node::Literal(c));
                rest = &rest[c.len_utf8()..];
            }
        }
        Ok(this)
    }

    fn quoted<'a>(&mut self, text: &'a str) -> &'a str {
        let mut chars = text.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => return &text[at + 1..],
                '\\' => self.nodes.push(Node::Literal(chars.next().map_or('\\', |(_, next)| next))),
                other => self.nodes.push(Node::Literal(other)),
            }
        }
        ""
    }

    fn prepare(&mut self, key: Key) -> PgResult<()> {
        if self.exponent && key != Key::Exponent {
            return Err(syntax("\"EEEE\" must be the last pattern used"));
        }
        match key {
            Key::Nine | Key::Zero => self.prepare_digit(key)?,
            Key::Blank => self.blank |= self.before == 0 && self.after == 0 && !self.zero,
            Key::Point { .. } => {
                if self.point {
                    return Err(syntax("multiple decimal points"));
                }
                if self.shifted {
                    return Err(syntax("cannot use \"V\" and decimal point together"));
                }
                self.point = true;
            }
            Key::Fill => self.fill = true,
            Key::Sign | Key::Minus | Key::Plus | Key::SignBoth | Key::Bracket => self.prepare_sign(key)?,
            Key::Roman { upper } => self.roman = Some(upper),
            Key::Shift => {
                if self.point {
                    return Err(syntax("cannot use \"V\" and decimal point together"));
                }
                self.shifted = true;
            }
            Key::Exponent => {
                if self.exponent {
                    return Err(syntax("cannot use \"EEEE\" twice"));
                }
                let other = self.blank
                    || self.fill
                    || self.sign
                    || self.bracket
                    || self.minus
                    || self.plus
                    || self.roman.is_some()
                    || self.shifted;
                if other {
                    return Err(syntax("\"EEEE\" is incompatible with other formats")
                        .detail("\"EEEE\" may only be used together with digit and decimal point patterns."));
                }
                self.exponent = true;
            }
            Key::Comma | Key::Currency | Key::Group | Key::Ignored | Key::Ordinal { .. } => {}
        }
        Ok(())
    }

    fn prepare_digit(&mut self, key: Key) -> PgResult<()> {
        if self.bracket {
            let digit = if key == Key::Nine { 9 } else { 0 };
            return Err(syntax(&format!("\"{digit}\" must be ahead of \"PR\"")));
        }
        if key == Key::Nine && self.shifted {
            self.shift += 1;
            return Ok(());
        }
        if key == Key::Zero && !self.zero && !self.point {
            self.zero = true;
            self.zero_start = self.before + 1;
        }
        if self.point {
            self.after += 1;
        } else {
            self.before += 1;
        }
        if key == Key::Zero {
            self.zero_end = self.before + self.after;
        }
        Ok(())
    }

    fn prepare_sign(&mut self, key: Key) -> PgResult<()> {
        let signed = self.plus || self.minus;
        match key {
            Key::Sign => {
                if self.sign {
                    return Err(syntax("cannot use \"S\" twice"));
                }
                if signed || self.bracket {
                    return Err(syntax("cannot use \"S\" and \"PL\"/\"MI\"/\"SG\"/\"PR\" together"));
                }
                self.sign = true;
                if self.point {
                    self.sign_place = SignPlace::After;
                } else {
                    self.sign_place = SignPlace::Before;
                    self.sign_at = self.before;
                }
            }
            Key::Bracket => {
                if self.sign || signed {
                    return Err(syntax("cannot use \"PR\" and \"S\"/\"PL\"/\"MI\"/\"SG\" together"));
                }
                self.bracket = true;
            }
            _ => {
                let name = match key {
                    Key::Minus => "MI",
                    Key::Plus => "PL",
                    _ => "SG",
                };
                if self.sign {
                    return Err(syntax(&format!("cannot use \"S\" and \"{name}\" together")));
                }
                self.minus |= key != Key::Plus;
                self.plus |= key != Key::Minus;
            }
        }
        Ok(())
    }

    /// `to_char(numeric, pattern)` of a number's plain decimal text.
    pub fn format_decimal(&self, number: &str) -> String {
        let (negative, size) = match number.strip_prefix('-') {
            Some(size) => (true, size),
            None => (false, number),
        };
        if let Some(upper) = self.roman {
            return self.walk(&roman(&rounded(size, 0, 0), negative, upper), 0, false);
        }
        if self.exponent {
            let zero = !size.bytes().any(|b| matches!(b, b'1'..=b'9'));
            let sign = if negative && !zero { '-' } else { ' ' };
            return format!("{sign}{}", scientific(size, self.after as usize));
        }
        let digits = rounded(size, self.after as usize, self.shift);
        let negative = negative && digits.bytes().any(|b| matches!(b, b'1'..=b'9'));
        self.place(digits, negative)
    }

    /// `to_char(double precision, pattern)`: 15 digits count. 22P02 for the ordinal of NaN or infinity.
    pub fn format_float(&self, number: f64) -> PgResult<String> {
        if number.is_finite() {
            return Ok(self.format_finite(number));
        }
        let ordinal = self.nodes.iter().any(|node| matches!(node, Node::Key(Key::Ordinal { .. })));
        if ordinal && self.roman.is_none() && !self.exponent && !self.point && number != f64::NEG_INFINITY {
            let name = if number.is_nan() { "NaN" } else { "Infinity" };
            if name.len() as i64 <= self.before + self.shift {
                return Err(PgError::new(sqlstate::INVALID_TEXT_REPRESENTATION, format!("\"{name}\" is not a number")));
            }
        }
        Ok(self.format_special(number))
    }

    fn format_finite(&self, number: f64) -> String {
        if self.roman.is_some() {
            return self.format_decimal(&format!("{:.0}", number.round_ties_even()));
        }
        if self.exponent {
            let text = format!("{:.*e}", self.after as usize, number);
            let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
            let blank = if number.is_sign_negative() { "" } else { " " };
            return format!("{blank}{mantissa}e{}", exponent_text(exponent.parse().unwrap_or(0)));
        }
        let number = number * 10f64.powi(self.shift as i32);
        let before = format!("{:.0}", number.abs()).len() as i64;
        let after = if before >= FLOAT_DIGITS { 0 } else { self.after.min(FLOAT_DIGITS - before) };
        let text = format!("{:.*}", after as usize, number);
        let (size, negative) = match text.strip_prefix('-') {
            Some(size) => (size.to_owned(), true),
            None => (text, false),
        };
        if after == self.after {
            return self.place(size, negative);
        }
        // Decimals beyond the digits that count are not there at all.
        Self { after, ..self.clone() }.place(size, negative)
    }

    fn format_special(&self, number: f64) -> String {
        if self.roman.is_some() {
            return self.walk(&"#".repeat(15), 0, false);
        }
        if self.exponent {
            let mut filled = "#".repeat((self.before + self.after + 6) as usize);
            filled.replace_range(..1, " ");
            let point = self.before as usize + 1;
            filled.replace_range(point..=point, ".");
            return filled;
        }
        let name = if number.is_nan() { "NaN" } else { "Infinity" };
        self.place(name.to_owned(), number < 0.0)
    }

    /// Pads digits to the pattern's width, or fills it with `#`.
    fn place(&self, digits: String, negative: bool) -> String {
        let width = self.before + self.shift;
        let length = digits.find('.').unwrap_or(digits.len()) as i64;
        if length > width {
            let mut filled = "#".repeat((width + self.after + 1) as usize);
            filled.replace_range(width as usize..=width as usize, ".");
            return self.walk(&filled, 0, negative);
        }
        self.walk(&digits, width - length, negative)
    }

    fn walk(&self, digits: &str, blanks: i64, negative: bool) -> String {
        Walk::new(self, digits, blanks, negative).run(self)
    }
}

/// A number on its way through the pattern.
struct Walk<'a> {
    digits: &'a [u8],
    at: usize,
    out: String,
    blanks: i64,
    negative: bool,
    sign_written: bool,
    sign_place: SignPlace,
    bracket: bool,
    count: i64,
    position: i64,
    zero_start: i64,
    in_number: bool,
    last_relevant: Option<usize>,
    /// Where the output ends because the digits ran out before the pattern did.
    cut: Option<usize>,
}

impl<'a> Walk<'a> {
    fn new(pattern: &NumberPattern, digits: &'a str, blanks: i64, negative: bool) -> Self {
        let bytes = digits.as_bytes();
        let before = pattern.before + pattern.shift;
        let mut this = Self {
            digits: bytes,
            at: 0,
            out: String::new(),
            blanks,
            negative,
            sign_written: false,
            sign_place: pattern.sign_place,
            bracket: pattern.bracket,
            count: pattern.after + before - 1,
            position: 0,
            zero_start: if pattern.zero_start > 0 { pattern.zero_start - 1 } else { 0 },
            in_number: false,
            last_relevant: None,
            cut: None,
        };
        if pattern.plus || pattern.minus {
            this.sign_written = !pattern.plus || pattern.minus;
        } else {
            this.bracket &= negative || !pattern.fill;
            this.sign_written = !negative && pattern.fill && !pattern.sign;
            if this.sign_place == SignPlace::Before && before == pattern.sign_at {
                this.sign_place = SignPlace::After;
            }
        }
        if pattern.fill && pattern.point {
            this.last_relevant = last_relevant(bytes);
            if let Some(last) = this.last_relevant
                && pattern.zero_end > blanks
            {
                let zero = (pattern.zero_end - blanks).min(bytes.len() as i64 - 1) as usize;
                this.last_relevant = Some(last.max(zero));
            }
        }
        if !this.sign_written && blanks == 0 {
            this.count += 1;
        }
        this
    }

    fn run(mut self, pattern: &NumberPattern) -> String {
        for node in &pattern.nodes {
            let key = match node {
                Node::Literal(c) => {
                    self.out.push(*c);
                    continue;
                }
                Node::Key(key) => *key,
            };
            let number = std::str::from_utf8(self.digits).unwrap_or("");
            match key {
                Key::Nine | Key::Zero | Key::Point { .. } => self.digit(pattern, key),
                Key::Comma | Key::Group => {
                    if self.in_number {
                        self.out.push(',');
                    } else if !pattern.fill {
                        self.out.push(' ');
                    }
                }
                Key::Currency => self.out.push(' '),
                Key::Roman { .. } if pattern.fill => self.out.push_str(number),
                Key::Roman { .. } => self.out.push_str(&format!("{number:>15}")),
                Key::Ordinal { upper } => {
                    let none = pattern.roman.is_some() || number.starts_with('#') || self.negative || pattern.point;
                    if !none {
                        let suffix = ordinal_suffix(number);
                        self.out.push_str(&if upper { suffix.to_ascii_uppercase() } else { suffix.to_owned() });
                    }
                }
                Key::Minus if self.negative => self.out.push('-'),
                Key::Plus if !self.negative => self.out.push('+'),
                Key::Minus | Key::Plus if pattern.fill => {}
                Key::Minus | Key::Plus => self.out.push(' '),
                Key::SignBoth => self.out.push(if self.negative { '-' } else { '+' }),
                _ => {}
            }
        }
        if let Some(end) = self.cut {
            self.out.truncate(end);
        }
        self.out
    }

    /// `9.9` of 0.1 is ` .1`: the zero before the point is not shown.
    fn hidden_zero(&self, pattern: &NumberPattern) -> bool {
        !pattern.zero && self.at == 0 && self.digits.first() == Some(&b'0') && pattern.after != 0
    }

    fn ends_at_point(&self) -> bool {
        self.last_relevant.is_some_and(|last| self.digits.get(last) == Some(&b'.'))
    }

    fn digit(&mut self, pattern: &NumberPattern, key: Key) {
        if pattern.roman.is_some() {
            return;
        }
        self.in_number = false;
        self.write_sign(pattern);
        let padding = self.position < self.blanks;
        if padding && (self.zero_start > self.position || !pattern.zero) {
            if !pattern.fill {
                self.out.push(' ');
            }
        } else if padding {
            self.out.push('0');
            self.in_number = true;
        } else {
            self.write_digit(pattern, key);
            if self.at < self.digits.len() {
                self.at += 1;
            }
        }
        let mut end = self.count + i64::from(self.blanks > 0) + i64::from(pattern.point);
        if self.last_relevant == Some(self.at) {
            end = self.position;
        }
        if self.position + 1 == end {
            if self.sign_written && self.bracket {
                self.out.push(if self.negative { '>' } else { ' ' });
            } else if pattern.sign && self.sign_place == SignPlace::After {
                self.out.push(if self.negative { '-' } else { '+' });
            }
        }
        self.position += 1;
    }

    fn write_sign(&mut self, pattern: &NumberPattern) {
        let starts = self.position >= self.blanks || pattern.zero && self.zero_start == self.position;
        let shown = !self.hidden_zero(pattern) || self.ends_at_point();
        if self.sign_written || !starts || !shown {
            return;
        }
        if pattern.sign {
            if self.sign_place == SignPlace::Before {
                self.out.push(if self.negative { '-' } else { '+' });
                self.sign_written = true;
            }
            return;
        }
        if self.bracket {
            self.out.push(if self.negative { '<' } else { ' ' });
        } else if self.negative {
            self.out.push('-');
        } else if !pattern.fill {
            self.out.push(' ');
        }
        self.sign_written = true;
    }

    fn write_digit(&mut self, pattern: &NumberPattern, key: Key) {
        let Some(byte) = self.digits.get(self.at).copied() else {
            if self.last_relevant.is_none() || key == Key::Zero {
                self.cut.get_or_insert(self.out.len());
            }
            return;
        };
        if byte == b'.' {
            self.out.push('.');
        } else if self.last_relevant.is_some_and(|last| self.at > last) && key != Key::Zero {
            // A trailing zero that FM drops.
        } else if self.hidden_zero(pattern) {
            if !pattern.fill {
                self.out.push(' ');
            } else if self.ends_at_point() {
                self.out.push('0');
            }
        } else {
            self.out.push(byte as char);
            self.in_number = true;
        }
    }
}

/// The last decimal that is not zero, or the point.
fn last_relevant(digits: &[u8]) -> Option<usize> {
    let point = digits.iter().position(|b| *b == b'.')?;
    let last = digits[point + 1..].iter().rposition(|b| *b != b'0');
    Some(last.map_or(point, |at| point + 1 + at))
}

/// A decimal text times 10^shift, rounded half away from zero to `decimals`.
fn rounded(size: &str, decimals: usize, shift: i64) -> String {
    let (whole, fraction) = size.split_once('.').unwrap_or((size, ""));
    let mut digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).map(|b| b - b'0').collect();
    let mut point = whole.len() + shift.max(0) as usize;
    digits.resize(digits.len().max(point + decimals + 1), 0);
    let kept = point + decimals;
    let up = digits[kept] >= 5;
    digits.truncate(kept);
    if up {
        let mut at = kept;
        loop {
            if at == 0 {
                digits.insert(0, 1);
                point += 1;
                break;
            }
            at -= 1;
            if digits[at] < 9 {
                digits[at] += 1;
                break;
            }
            digits[at] = 0;
        }
    }
    let text: String = digits.iter().map(|digit| (digit + b'0') as char).collect();
    let (whole, fraction) = text.split_at(point);
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    if decimals == 0 { whole.to_owned() } else { format!("{whole}.{fraction}") }
}

fn scientific(size: &str, decimals: usize) -> String {
    let (whole, fraction) = size.split_once('.').unwrap_or((size, ""));
    let digits = format!("{whole}{fraction}");
    let Some(first) = digits.bytes().position(|b| b != b'0') else {
        let point = if decimals > 0 { format!(".{}", "0".repeat(decimals)) } else { String::new() };
        return format!("0{point}e+00");
    };
    let exponent = whole.len() as i64 - first as i64 - 1;
    // Rounding may give 10.00, which PostgreSQL leaves so.
    let mantissa = rounded(&format!("{}.{}0", &digits[first..=first], &digits[first + 1..]), decimals, 0);
    format!("{mantissa}e{}", exponent_text(exponent))
}

fn exponent_text(exponent: i64) -> String {
    format!("{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

/// A Roman numeral, or `#` where there is none.
fn roman(size: &str, negative: bool, upper: bool) -> String {
    const STEPS: [(u32, &str); 13] = [
        (1000, "M"),
        (900, "CM"),
        (500, "D"),
        (400, "CD"),
        (100, "C"),
        (90, "XC"),
        (50, "L"),
        (40, "XL"),
        (10, "X"),
        (9, "IX"),
        (5, "V"),
        (4, "IV"),
        (1, "I"),
    ];
    let mut rest = match size.parse::<u32>() {
        Ok(value @ 1..=3999) if !negative => value,
        _ => return "#".repeat(15),
    };
    let mut out = String::new();
    for (value, letters) in STEPS {
        while rest >= value {
            out.push_str(letters);
            rest -= value;
        }
    }
    if upper { out } else { out.to_ascii_lowercase() }
}
