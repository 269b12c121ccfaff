//! Date/time patterns read into nodes.

/// One template word of a date/time pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Era {
        dots: bool,
        upper: bool,
    },
    Meridian {
        dots: bool,
        upper: bool,
    },
    Century,
    Weekday(Letters),
    WeekdayShort(Letters),
    DayOfYear,
    IsoDayOfYear,
    Day,
    DayOfWeek,
    IsoDayOfWeek,
    /// FF1 to FF6.
    Fraction(u8),
    Exact,
    Hour24,
    Hour12,
    IsoWeek,
    IsoYear(u8),
    Julian,
    Minute,
    Month,
    MonthName(Letters),
    MonthShort(Letters),
    Millisecond,
    Microsecond,
    Offset,
    Quarter,
    Roman {
        upper: bool,
    },
    SecondOfDay,
    Second,
    ZoneHour,
    ZoneMinute,
    Zone {
        upper: bool,
    },
    WeekOfYear,
    WeekOfMonth,
    YearComma,
    Year(u8),
}

/// The case of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Letters {
    Upper,
    Capital,
    Lower,
}

/// Words in the order they are tried: longer ones before their prefixes. Those in `CASELESS` are written all upper or
/// all lower.
const WORDS: [(&str, Key); 26] = [
    ("DAY", Key::Weekday(Letters::Upper)),
    ("Day", Key::Weekday(Letters::Capital)),
    ("day", Key::Weekday(Letters::Lower)),
    ("DY", Key::WeekdayShort(Letters::Upper)),
    ("Dy", Key::WeekdayShort(Letters::Capital)),
    ("dy", Key::WeekdayShort(Letters::Lower)),
    ("MONTH", Key::MonthName(Letters::Upper)),
    ("Month", Key::MonthName(Letters::Capital)),
    ("month", Key::MonthName(Letters::Lower)),
    ("MON", Key::MonthShort(Letters::Upper)),
    ("Mon", Key::MonthShort(Letters::Capital)),
    ("mon", Key::MonthShort(Letters::Lower)),
    ("A.D.", Key::Era { dots: true, upper: true }),
    ("a.d.", Key::Era { dots: true, upper: false }),
    ("B.C.", Key::Era { dots: true, upper: true }),
    ("b.c.", Key::Era { dots: true, upper: false }),
    ("AD", Key::Era { dots: false, upper: true }),
    ("ad", Key::Era { dots: false, upper: false }),
    ("BC", Key::Era { dots: false, upper: true }),
    ("bc", Key::Era { dots: false, upper: false }),
    ("RM", Key::Roman { upper: true }),
    ("rm", Key::Roman { upper: false }),
    ("TZH", Key::ZoneHour),
    ("TZM", Key::ZoneMinute),
    ("TZ", Key::Zone { upper: true }),
    ("tz", Key::Zone { upper: false }),
];

const MERIDIANS: [(&str, Key); 8] = [
    ("A.M.", Key::Meridian { dots: true, upper: true }),
    ("a.m.", Key::Meridian { dots: true, upper: false }),
    ("P.M.", Key::Meridian { dots: true, upper: true }),
    ("p.m.", Key::Meridian { dots: true, upper: false }),
    ("AM", Key::Meridian { dots: false, upper: true }),
    ("am", Key::Meridian { dots: false, upper: false }),
    ("PM", Key::Meridian { dots: false, upper: true }),
    ("pm", Key::Meridian { dots: false, upper: false }),
];

const CASELESS: [(&str, Key); 42] = [
    ("CC", Key::Century),
    ("DDD", Key::DayOfYear),
    ("DD", Key::Day),
    ("D", Key::DayOfWeek),
    ("FF1", Key::Fraction(1)),
    ("FF2", Key::Fraction(2)),
    ("FF3", Key::Fraction(3)),
    ("FF4", Key::Fraction(4)),
    ("FF5", Key::Fraction(5)),
    ("FF6", Key::Fraction(6)),
    ("FX", Key::Exact),
    ("HH24", Key::Hour24),
    ("HH12", Key::Hour12),
    ("HH", Key::Hour12),
    ("IDDD", Key::IsoDayOfYear),
    ("ID", Key::IsoDayOfWeek),
    ("IW", Key::IsoWeek),
    ("IYYY", Key::IsoYear(4)),
    ("IYY", Key::IsoYear(3)),
    ("IY", Key::IsoYear(2)),
    ("I", Key::IsoYear(1)),
    ("J", Key::Julian),
    ("MI", Key::Minute),
    ("MM", Key::Month),
    ("MS", Key::Millisecond),
    ("OF", Key::Offset),
    ("Q", Key::Quarter),
    ("SSSSS", Key::SecondOfDay),
    ("SSSS", Key::SecondOfDay),
    ("SS", Key::Second),
    ("TZH", Key::ZoneHour),
    ("TZM", Key::ZoneMinute),
    ("US", Key::Microsecond),
    ("WW", Key::WeekOfYear),
    ("W", Key::WeekOfMonth),
    ("Y,YYY", Key::YearComma),
    ("YYYY", Key::Year(4)),
    ("YYY", Key::Year(3)),
    ("YY", Key::Year(2)),
    ("Y", Key::Year(1)),
    ("TZ", Key::Zone { upper: true }),
    ("RM", Key::Roman { upper: true }),
];

/// The ordinal suffix a word asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ordinal {
    None,
    Upper,
    Lower,
}

/// Part of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    /// A word with its FM and TH.
    Field { key: Key, fill: bool, ordinal: Ordinal },
    /// A character that stands for itself.
    Literal(char),
    /// A blank.
    Blank(char),
    /// Punctuation.
    Separator(char),
}

/// A date/time pattern, read once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatePattern {
    pub(crate) nodes: Vec<Node>,
    empty: bool,
}

impl DatePattern {
    /// Reads a pattern; every text is one.
    pub fn new(pattern: &str) -> Self {
        let mut nodes = Vec::new();
        let mut rest = pattern;
        while let Some(c) = rest.chars().next() {
            let mut fill = false;
            for prefix in ["FM", "fm", "TM", "tm"] {
                if let Some(tail) = rest.strip_prefix(prefix) {
                    fill = true;
                    rest = tail;
                    break;
                }
            }
            if let Some((length, key)) = keyword(rest) {
                rest = &rest[length..];
                let mut ordinal = Ordinal::None;
                if let Some(tail) = rest.strip_prefix("TH") {
                    (ordinal, rest) = (Ordinal::Upper, tail);
                } else if let Some(tail) = rest.strip_prefix("th") {
                    (ordinal, rest) = (Ordinal::Lower, tail);
                } else if let Some(tail) = rest.strip_prefix("SP") {
                    rest = tail;
                }
                nodes.push(Node::Field { key, fill, ordinal });
                continue;
            }
            let c = if fill {
                match rest.chars().next() {
                    Some(next) => next,
                    None => break,
                }
            } else {
                c
            };
            if c == '"' {
                rest = quoted(&rest[1..], &mut nodes);
                continue;
            }
            // A backslash is special only before a quote.
            let (c, skipped) = if rest.starts_with("\\\"") { ('"', 1) } else { (c, 0) };
            rest = &rest[skipped + c.len_utf8()..];
            nodes.push(if c.is_ascii_punctuation() {
                Node::Separator(c)
            } else if c.is_ascii_whitespace() || c == '\x0b' {
                Node::Blank(c)
            } else {
                Node::Literal(c)
            });
        }
        Self { nodes, empty: pattern.is_empty() }
    }

    /// Is it the empty text? Then to_char gives NULL.
    pub fn is_empty(&self) -> bool {
        self.empty
    }
}

/// The text in double quotes; gives what is behind it.
fn quoted<'a>(text: &'a str, nodes: &mut Vec<Node>) -> &'a str {
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return &text[at + 1..],
            '\\' => match chars.next() {
                Some((_, next)) => nodes.push(Node::Literal(next)),
                None => nodes.push(Node::Literal('\\')),
            },
            other => nodes.push(Node::Literal(other)),
        }
    }
    ""
}

/// The word at the front of a pattern and its length.
fn keyword(rest: &str) -> Option<(usize, Key)> {
    let exact = WORDS.iter().chain(&MERIDIANS).find(|(word, _)| rest.starts_with(word));
    if let Some((word, key)) = exact {
        return Some((word.len(), *key));
    }
    CASELESS
        .iter()
        .find(|(word, _)| rest.starts_with(word) || rest.starts_with(&word.to_ascii_lowercase()))
        .map(|(word, key)| (word.len(), *key))
}
