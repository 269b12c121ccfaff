//! Normal forms under which identifiers and names are compared.
//!
//! Pure functions from text to text; false means that nothing valid remains. They fold writing, not meaning: no nickname
//! tables, no transliteration between scripts, no punycode.

use unicode_normalization::UnicodeNormalization;
use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory};

/// How mail boxes that deliver to one person are folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Folding {
    /// Not at all: folding merges people who were told apart.
    None,
    /// The local part ends at `+`.
    Plus,
    /// As plus; at Gmail dots do not count and googlemail.com is gmail.com.
    Gmail,
}

impl Folding {
    /// The names of all foldings, as a user writes them.
    pub const NAMES: [&str; 3] = ["none", "plus", "gmail"];

    /// A folding by its name.
    pub fn of_name(name: &str) -> Option<Self> {
        match name {
            "none" => Some(Self::None),
            "plus" => Some(Self::Plus),
            "gmail" => Some(Self::Gmail),
            _ => None,
        }
    }
}

/// Appends the canonical form of a mail address; false if it is none.
pub fn email_canonical(input: &str, folding: Folding, out: &mut String) -> bool {
    /// Limit: RFC 5321.
    const LOCAL_BYTES_MAX: usize = 64;
    /// Limit: RFC 5321.
    const ADDRESS_BYTES_MAX: usize = 254;
    let composed: String = input.nfc().collect();
    let address = unwrapped(composed.trim());
    let Some((local, domain)) = address.split_once('@') else { return false };
    if domain.contains('@') {
        return false;
    }
    let local: String = local.chars().flat_map(char::to_lowercase).collect();
    let domain: String = domain.strip_suffix('.').unwrap_or(domain).chars().flat_map(char::to_lowercase).collect();
    if local.len() > LOCAL_BYTES_MAX || !local_part_valid(&local) || !domain_valid(&domain) {
        return false;
    }
    let at_gmail = matches!(domain.as_str(), "gmail.com" | "googlemail.com");
    let local = match folding {
        Folding::None => local.as_str(),
        Folding::Plus | Folding::Gmail => local.split('+').next().unwrap_or_default(),
    };
    let start = out.len();
    if folding == Folding::Gmail && at_gmail {
        out.extend(local.chars().filter(|c| *c != '.'));
    } else {
        out.push_str(local);
    }
    if out.len() == start {
        return false;
    }
    out.push('@');
    out.push_str(if folding == Folding::Gmail && at_gmail { "gmail.com" } else { &domain });
    let fits = out.len() - start <= ADDRESS_BYTES_MAX;
    if !fits {
        out.truncate(start);
    }
    fits
}

/// The address without `mailto:` and one pair of angle brackets.
fn unwrapped(text: &str) -> &str {
    let text = match text.get(..7) {
        Some(scheme) if scheme.eq_ignore_ascii_case("mailto:") => &text[7..],
        _ => text,
    };
    let text = text.trim();
    text.strip_prefix('<').and_then(|inner| inner.strip_suffix('>')).unwrap_or(text).trim()
}

fn local_part_valid(local: &str) -> bool {
    let forbidden = |c: char| c.is_whitespace() || c.is_control() || "\"(),:;<>[]\\".contains(c);
    !local.is_empty()
        && !local.starts_with('.')
        && !local.ends_with('.')
        && !local.contains("..")
        && !local.contains(forbidden)
}

fn domain_valid(domain: &str) -> bool {
    /// Limit: RFC 1035.
    const LABEL_CHARS_MAX: usize = 63;
    let allowed = |c: char| match c.is_ascii() {
        true => c.is_ascii_alphanumeric() || c == '-',
        false => !c.is_whitespace() && !c.is_control(),
    };
    let label_valid = |label: &str| {
        (1..=LABEL_CHARS_MAX).contains(&label.chars().count())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(allowed)
    };
    let last = domain.rsplit('.').next().unwrap_or_default();
    domain.contains('.') && domain.split('.').all(label_valid) && !last.bytes().all(|b| b.is_ascii_digit())
}

/// Appends the compare key of a person's name; false if no letter or digit remains.
pub fn name_key(input: &str, out: &mut String) -> bool {
    let start = out.len();
    let mut spaced = Spaced { out, start, pending: false };
    if input.is_ascii() {
        for byte in input.bytes() {
            match byte {
                b'\'' | b'`' | b'.' => {}
                _ if byte.is_ascii_alphanumeric() => spaced.push(byte.to_ascii_lowercase() as char),
                // Control characters other than white space are separators too.
                _ => spaced.pending = true,
            }
        }
    } else {
        let folded = input
            .chars()
            .filter(|c| !dropped_mark(*c))
            .nfkd()
            .filter(|c| !dropped_mark(*c) && !('\u{300}'..='\u{36f}').contains(c))
            .filter(|c| c.general_category() != GeneralCategory::Format)
            .flat_map(char::to_lowercase)
            .flat_map(|c| plain_latin(c).into_iter().flatten());
        for c in folded.nfc() {
            let kept = match c.general_category_group() {
                GeneralCategoryGroup::Letter | GeneralCategoryGroup::Mark => true,
                _ => c.general_category() == GeneralCategory::DecimalNumber,
            };
            if kept { spaced.push(c) } else { spaced.pending = true }
        }
    }
    out.len() > start
}

/// Apostrophes, in all the shapes that keyboards and typesetters give them, and full stops.
fn dropped_mark(c: char) -> bool {
    matches!(
        c,
        '\'' | '`'
            | '.'
            | '\u{b4}'
            | '\u{2bb}'
            | '\u{2bc}'
            | '\u{2018}'
            | '\u{2019}'
            | '\u{201b}'
            | '\u{2032}'
            | '\u{ff07}'
            | '\u{ff0e}'
    )
}

/// Latin letters that no decomposition reaches.
fn plain_latin(c: char) -> [Option<char>; 2] {
    match c {
        '\u{111}' | '\u{f0}' => [Some('d'), None],
        '\u{f8}' => [Some('o'), None],
        '\u{142}' => [Some('l'), None],
        '\u{127}' => [Some('h'), None],
        '\u{167}' => [Some('t'), None],
        '\u{131}' => [Some('i'), None],
        '\u{138}' => [Some('k'), None],
        '\u{14b}' => [Some('n'), None],
        '\u{df}' => [Some('s'), Some('s')],
        '\u{e6}' => [Some('a'), Some('e')],
        '\u{153}' => [Some('o'), Some('e')],
        '\u{fe}' => [Some('t'), Some('h')],
        '\u{3c2}' => [Some('\u{3c3}'), None],
        other => [Some(other), None],
    }
}

/// Writes words with one space between them and none around.
struct Spaced<'a> {
    out: &'a mut String,
    start: usize,
    pending: bool,
}

impl Spaced<'_> {
    fn push(&mut self, c: char) {
        if self.pending && self.out.len() > self.start {
            self.out.push(' ');
        }
        self.pending = false;
        self.out.push(c);
    }
}

/// Appends the compare key of a number or code: letters and digits only, upper case; false if none remains.
pub fn id_key(input: &str, out: &mut String) -> bool {
    let start = out.len();
    if input.is_ascii() {
        out.extend(input.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()));
    } else {
        let upper = input.nfkc().flat_map(char::to_uppercase);
        out.extend(upper.filter(|c| {
            c.general_category_group() == GeneralCategoryGroup::Letter
                || c.general_category() == GeneralCategory::DecimalNumber
        }));
    }
    out.len() > start
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fields of a CSV text with quoted fields.
    fn csv(text: &str) -> Vec<Vec<String>> {
        let (mut rows, mut quoted) = (vec![vec![String::new()]], false);
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            let row = rows.last_mut().unwrap();
            match c {
                '"' if quoted && chars.peek() == Some(&'"') => {
                    chars.next();
                    row.last_mut().unwrap().push('"');
                }
                '"' => quoted = !quoted,
                ',' if !quoted => row.push(String::new()),
                '\n' if !quoted => rows.push(vec![String::new()]),
                '\r' if !quoted => {}
                other => row.last_mut().unwrap().push(other),
            }
        }
        rows.retain(|row| row.len() > 1);
        rows
    }

    #[test]
    fn recorded_vectors() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/identity/normalise.csv");
        let rows = csv(&std::fs::read_to_string(path).unwrap());
        assert_eq!(rows[0], ["function", "input", "folding", "expected"]);
        assert!(rows.len() > 300);
        for row in &rows[1..] {
            let [function, input, folding, expected] = row.as_slice() else { panic!("{row:?}") };
            let mut out = String::new();
            let found = match function.as_str() {
                "email_canonical" => email_canonical(input, Folding::of_name(folding).unwrap(), &mut out),
                "name_key" => name_key(input, &mut out),
                "id_key" => id_key(input, &mut out),
                other => panic!("{other}"),
            };
            assert_eq!(if found { out.as_str() } else { "\\N" }, expected, "{row:?}");
        }
    }

    /// The short way for ASCII gives what the long way gives.
    #[test]
    fn ascii_is_no_special_case() {
        for input in ["J.R.R. Tolkien", "AT&T", "a_b", "x\ty\x01z", "`quoted`", "  ", "O'Brien-Smith 3rd"] {
            // A trailing variation of nothing: U+0301 alone is deleted and only forces the long way.
            let long = format!("{input}\u{301}");
            let (mut a, mut b) = (String::new(), String::new());
            assert_eq!(name_key(input, &mut a), name_key(&long, &mut b), "{input}");
            assert_eq!(a, b, "{input}");
        }
    }
}
