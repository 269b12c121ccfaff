//! Text and bytea functions that DataFusion lacks or answers otherwise.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::Digest;
use tributary_pg::error::PgError;
use tributary_pg::sqlstate;

use super::Implementation;
use super::row::{Row, bools, bytes, ints, lenient_texts, text_lists, texts};

/// The family's codes.
pub(super) fn find(code: &str) -> Option<Implementation> {
    lengths(code).or_else(|| parts(code)).or_else(|| quotes(code)).or_else(|| binary(code)).or_else(|| lists(code))
}

fn count(length: usize) -> Result<Option<i32>, PgError> {
    i32::try_from(length)
        .map(Some)
        .map_err(|_| PgError::new(sqlstate::NUMERIC_VALUE_OUT_OF_RANGE, "integer out of range"))
}

fn lengths(code: &str) -> Option<Implementation> {
    match code {
        "textlen" | "bpcharlen" => {
            Implementation::strict(|call, values| ints(call, values, |row| count(row.text(0).chars().count())))
        }
        "textoctetlen" => Implementation::strict(|call, values| ints(call, values, |row| count(row.text(0).len()))),
        "bpcharoctetlen" => Implementation::strict(|call, values| {
            // char(n) counts its blanks.
            let width = usize::try_from(call.arguments[0].typmod - 4).unwrap_or(0);
            ints(call, values, |row| {
                let text = row.text(0);
                count(text.len() + width.saturating_sub(text.chars().count()))
            })
        }),
        "byteaoctetlen" => Implementation::strict(|call, values| ints(call, values, |row| count(row.bytes(0).len()))),
        "bit_length" => Implementation::strict(|call, values| {
            let text = call.arguments[0].oid != super::super::signatures::oid::BYTEA;
            ints(call, values, |row| count(8 * if text { row.text(0).len() } else { row.bytes(0).len() }))
        }),
        "textpos" => Implementation::strict(|call, values| {
            ints(call, values, |row| {
                let (text, part) = (row.text(0), row.text(1));
                count(text.find(part).map_or(0, |at| text[..at].chars().count() + 1))
            })
        }),
        "byteapos" => Implementation::strict(|call, values| {
            ints(call, values, |row| {
                let (text, part) = (row.bytes(0), row.bytes(1));
                let found = (0..=text.len().saturating_sub(part.len())).find(|at| text[*at..].starts_with(part));
                count(found.map_or(0, |at| at + 1))
            })
        }),
        "text_starts_with" | "starts_with" => Implementation::strict(|call, values| {
            bools(call, values, |row| Ok(Some(row.text(0).starts_with(row.text(1)))))
        }),
        "ascii" => Implementation::strict(|call, values| {
            ints(call, values, |row| Ok(Some(row.text(0).chars().next().map_or(0, |one| one as i32))))
        }),
        _ => None,
    }
}

/// Characters from `start` (1-based) on, `length` of them; positions before the text count but hold nothing.
fn cut<T: Clone>(all: &[T], start: i64, length: Option<i64>) -> Result<Vec<T>, PgError> {
    let end = match length {
        Some(length) if length < 0 => {
            return Err(PgError::new(sqlstate::SUBSTRING_ERROR, "negative substring length not allowed"));
        }
        Some(length) => start.saturating_add(length),
        None => i64::MAX,
    };
    let from = start.max(1) - 1;
    let to = (end - 1).clamp(0, all.len() as i64);
    if from >= to { Ok(Vec::new()) } else { Ok(all[from as usize..to as usize].to_vec()) }
}

fn substring(row: Row<'_>) -> Result<Option<String>, PgError> {
    let characters: Vec<char> = row.text(0).chars().collect();
    let length = (row.width() > 2).then(|| i64::from(row.int(2)));
    cut(&characters, i64::from(row.int(1)), length).map(|some| Some(some.into_iter().collect()))
}

fn overlay(row: Row<'_>) -> Result<Option<String>, PgError> {
    let characters: Vec<char> = row.text(0).chars().collect();
    let start = i64::from(row.int(2));
    let length = if row.width() > 3 { i64::from(row.int(3)) } else { row.text(1).chars().count() as i64 };
    if start <= 0 {
        return Err(PgError::new(sqlstate::SUBSTRING_ERROR, "negative substring length not allowed"));
    }
    let mut built: String = cut(&characters, 1, Some(start - 1))?.into_iter().collect();
    built.push_str(row.text(1));
    built.extend(cut(&characters, start.saturating_add(length), None)?);
    Ok(Some(built))
}

fn parts(code: &str) -> Option<Implementation> {
    match code {
        "textcat" => Implementation::strict(|call, values| {
            texts(call, values, |row| Ok(Some([row.text(0), row.text(1)].concat())))
        }),
        "text_concat" => Implementation::lenient(|call, values| {
            lenient_texts(call, values, |row| {
                Ok(Some((0..row.width()).filter(|index| !row.null(*index)).map(|index| row.text(index)).collect()))
            })
        }),
        "text_concat_ws" => Implementation::lenient(|call, values| {
            lenient_texts(call, values, |row| {
                if row.null(0) {
                    return Ok(None);
                }
                let some: Vec<&str> =
                    (1..row.width()).filter(|index| !row.null(*index)).map(|index| row.text(index)).collect();
                Ok(Some(some.join(row.text(0))))
            })
        }),
        "text_substr" | "text_substr_no_len" => Implementation::strict(|call, values| texts(call, values, substring)),
        "bytea_substr" | "bytea_substr_no_len" => Implementation::strict(|call, values| {
            bytes(call, values, |row| {
                let length = (row.width() > 2).then(|| i64::from(row.int(2)));
                cut(row.bytes(0), i64::from(row.int(1)), length).map(Some)
            })
        }),
        "textoverlay" | "textoverlay_no_len" => Implementation::strict(|call, values| texts(call, values, overlay)),
        "bpchar_pad" => Implementation::strict(|call, values| {
            texts(call, values, |row| {
                let (text, width) = (row.text(0), usize::try_from(row.int(1)).unwrap_or(0));
                Ok(Some(format!("{text:<width$}")))
            })
        }),
        "text_reverse" => Implementation::strict(|call, values| {
            texts(call, values, |row| Ok(Some(row.text(0).chars().rev().collect())))
        }),
        "text_left" | "text_right" => {
            if code == "text_left" {
                Implementation::strict(|call, values| texts(call, values, |row| Ok(Some(side(row, true)))))
            } else {
                Implementation::strict(|call, values| texts(call, values, |row| Ok(Some(side(row, false)))))
            }
        }
        "split_part" => Implementation::strict(|call, values| texts(call, values, split_part)),
        "replace_text" => Implementation::strict(|call, values| {
            texts(call, values, |row| {
                let from = row.text(1);
                Ok(Some(if from.is_empty() { row.text(0).to_owned() } else { row.text(0).replace(from, row.text(2)) }))
            })
        }),
        "repeat" => Implementation::strict(|call, values| {
            texts(call, values, |row| {
                let times = usize::try_from(row.int(1)).unwrap_or(0);
                let length = row.text(0).len().saturating_mul(times);
                if length >= 1 << 30 {
                    return Err(PgError::new(sqlstate::PROGRAM_LIMIT_EXCEEDED, "requested length too large"));
                }
                Ok(Some(row.text(0).repeat(times)))
            })
        }),
        "upper" => {
            Implementation::strict(|call, values| texts(call, values, |row| Ok(Some(mapped(row.text(0), upper)))))
        }
        "lower" => {
            Implementation::strict(|call, values| texts(call, values, |row| Ok(Some(mapped(row.text(0), lower)))))
        }
        "initcap" => Implementation::strict(|call, values| texts(call, values, |row| Ok(Some(initcap(row.text(0)))))),
        "chr" => Implementation::strict(|call, values| {
            texts(call, values, |row| {
                let code = row.int(0);
                match u32::try_from(code).ok().and_then(char::from_u32) {
                    Some('\0') => Err(PgError::new(sqlstate::PROGRAM_LIMIT_EXCEEDED, "null character not permitted")),
                    Some(one) => Ok(Some(one.to_string())),
                    None if code < 0 => {
                        let message = "character number must be positive";
                        Err(PgError::new(sqlstate::INVALID_PARAMETER_VALUE, message))
                    }
                    None => {
                        let message = format!("requested character too large for encoding: {code}");
                        Err(PgError::new(sqlstate::PROGRAM_LIMIT_EXCEEDED, message))
                    }
                }
            })
        }),
        _ => None,
    }
}

/// left(x, n) and right(x, n); a negative n leaves |n| characters out.
fn side(row: Row<'_>, left: bool) -> String {
    let characters: Vec<char> = row.text(0).chars().collect();
    let total = characters.len() as i64;
    let wanted = i64::from(row.int(1));
    let taken = if wanted < 0 { (total + wanted).max(0) } else { wanted.min(total) } as usize;
    if left { characters[..taken].iter().collect() } else { characters[characters.len() - taken..].iter().collect() }
}

fn split_part(row: Row<'_>) -> Result<Option<String>, PgError> {
    let (text, by, wanted) = (row.text(0), row.text(1), row.int(2));
    if wanted == 0 {
        return Err(PgError::new(sqlstate::INVALID_PARAMETER_VALUE, "field position must not be zero"));
    }
    let fields: Vec<&str> = if by.is_empty() { vec![text] } else { text.split(by).collect() };
    let index = if wanted > 0 { i64::from(wanted) - 1 } else { fields.len() as i64 + i64::from(wanted) };
    let found = usize::try_from(index).ok().and_then(|index| fields.get(index));
    Ok(Some(found.map_or_else(String::new, |one| (*one).to_owned())))
}

/// One character for one: PostgreSQL's C.UTF-8 has no mapping to several.
fn upper(one: char) -> char {
    let mut mapped = one.to_uppercase();
    match (mapped.next(), mapped.next()) {
        (Some(single), None) => single,
        _ => one,
    }
}

fn lower(one: char) -> char {
    let mut mapped = one.to_lowercase();
    match (mapped.next(), mapped.next()) {
        (Some(single), None) => single,
        _ => one,
    }
}

fn mapped(text: &str, map: fn(char) -> char) -> String {
    text.chars().map(map).collect()
}

fn initcap(text: &str) -> String {
    let mut inside = false;
    text.chars()
        .map(|one| {
            let done = if inside { lower(one) } else { upper(one) };
            inside = one.is_alphanumeric();
            done
        })
        .collect()
}

/// An identifier in quotes unless it needs none.
pub(super) fn quoted_identifier(name: &str) -> String {
    let plain = name.starts_with(|one: char| one.is_ascii_lowercase() || one == '_')
        && name.chars().all(|one| one.is_ascii_lowercase() || one.is_ascii_digit() || one == '_')
        && !reserved(name);
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

fn reserved(name: &str) -> bool {
    const WORDS: &str = " all analyse analyze and any array as asc asymmetric authorization between bigint binary bit boolean both case cast char character check coalesce collate collation column concurrently constraint create cross current_catalog current_date current_role current_schema current_time current_timestamp current_user dec decimal default deferrable desc distinct do else end except exists extract false fetch float for foreign freeze from full grant greatest group grouping having ilike in initially inner inout int integer intersect interval into is isnull join lateral leading least left like limit localtime localtimestamp national natural nchar none normalize not notnull null nullif numeric offset on only or order out outer overlaps overlay placing position precision primary real references returning right row select session_user setof similar smallint some substring symmetric table tablesample then time timestamp to trailing treat trim true union unique user using values varchar variadic verbose when where window with xmlattributes xmlconcat xmlelement xmlexists xmlforest xmlnamespaces xmlparse xmlpi xmlroot xmlserialize xmltable ";
    WORDS.contains(&format!(" {name} "))
}

/// A literal in quotes, with E'' when it holds backslashes.
pub(super) fn quoted_literal(text: &str) -> String {
    let doubled = text.replace('\'', "''");
    if text.contains('\\') { format!("E'{}'", doubled.replace('\\', "\\\\")) } else { format!("'{doubled}'") }
}

fn quotes(code: &str) -> Option<Implementation> {
    match code {
        "quote_ident" => {
            Implementation::strict(|call, values| texts(call, values, |row| Ok(Some(quoted_identifier(row.text(0))))))
        }
        "quote_literal" => {
            Implementation::strict(|call, values| texts(call, values, |row| Ok(Some(quoted_literal(row.text(0))))))
        }
        "quote_nullable" => Implementation::lenient(|call, values| {
            lenient_texts(call, values, |row| {
                Ok(Some(if row.null(0) { "NULL".to_owned() } else { quoted_literal(row.text(0)) }))
            })
        }),
        "text_format" | "text_format_nv" => Implementation::lenient(|call, values| lenient_texts(call, values, format)),
        "to_hex32" => {
            Implementation::strict(|call, values| texts(call, values, |row| Ok(Some(format!("{:x}", row.int(0))))))
        }
        "to_hex64" => {
            Implementation::strict(|call, values| texts(call, values, |row| Ok(Some(format!("{:x}", row.long(0))))))
        }
        _ => None,
    }
}

/// format(): %s, %I, %L with position, `-` and width.
fn format(row: Row<'_>) -> Result<Option<String>, PgError> {
    if row.null(0) {
        return Ok(None);
    }
    let invalid = |message: &str| PgError::new(sqlstate::INVALID_PARAMETER_VALUE, message.to_owned());
    let pattern: Vec<char> = row.text(0).chars().collect();
    let mut built = String::new();
    let (mut at, mut next) = (0, 1);
    while at < pattern.len() {
        let one = pattern[at];
        at += 1;
        if one != '%' {
            built.push(one);
            continue;
        }
        if pattern.get(at) == Some(&'%') {
            built.push('%');
            at += 1;
            continue;
        }
        let digits = |from: usize| -> (usize, usize) {
            let some: String = pattern[from..].iter().take_while(|one| one.is_ascii_digit()).collect();
            (some.parse().unwrap_or(0), from + some.len())
        };
        let (number, after) = digits(at);
        let mut argument = next;
        if after > at && pattern.get(after) == Some(&'$') {
            argument = number;
            at = after + 1;
        }
        let left = pattern.get(at) == Some(&'-');
        if left {
            at += 1;
        }
        let (width, after) = digits(at);
        at = after;
        let Some(kind) = pattern.get(at) else { return Err(invalid("unterminated format() type specifier")) };
        at += 1;
        if argument == 0 || argument >= row.width() {
            return Err(invalid("too few arguments for format()"));
        }
        next = argument + 1;
        let null = row.null(argument);
        let shown = match kind {
            's' => {
                if null {
                    String::new()
                } else {
                    row.text(argument).to_owned()
                }
            }
            'I' if null => {
                return Err(PgError::new(
                    sqlstate::NULL_VALUE_NOT_ALLOWED,
                    "null values cannot be formatted as an SQL identifier",
                ));
            }
            'I' => quoted_identifier(row.text(argument)),
            'L' => {
                if null {
                    "NULL".to_owned()
                } else {
                    quoted_literal(row.text(argument))
                }
            }
            other => {
                return Err(invalid(&format!("unrecognized format() type specifier \"{other}\""))
                    .hint("For a single \"%\" use \"%%\"."));
            }
        };
        let fill = width.saturating_sub(shown.chars().count());
        if left {
            built.push_str(&shown);
            built.extend(std::iter::repeat_n(' ', fill));
        } else {
            built.extend(std::iter::repeat_n(' ', fill));
            built.push_str(&shown);
        }
    }
    Ok(Some(built))
}

fn binary(code: &str) -> Option<Implementation> {
    match code {
        "binary_encode" => Implementation::strict(|call, values| texts(call, values, encode)),
        "binary_decode" => Implementation::strict(|call, values| bytes(call, values, decode)),
        "sha224_bytea" => Implementation::strict(|call, values| {
            bytes(call, values, |row| Ok(Some(sha2::Sha224::digest(row.bytes(0)).to_vec())))
        }),
        "sha256_bytea" => Implementation::strict(|call, values| {
            bytes(call, values, |row| Ok(Some(sha2::Sha256::digest(row.bytes(0)).to_vec())))
        }),
        "sha384_bytea" => Implementation::strict(|call, values| {
            bytes(call, values, |row| Ok(Some(sha2::Sha384::digest(row.bytes(0)).to_vec())))
        }),
        "sha512_bytea" => Implementation::strict(|call, values| {
            bytes(call, values, |row| Ok(Some(sha2::Sha512::digest(row.bytes(0)).to_vec())))
        }),
        "byteacat" => Implementation::strict(|call, values| {
            bytes(call, values, |row| Ok(Some([row.bytes(0), row.bytes(1)].concat())))
        }),
        _ => None,
    }
}

fn unknown_encoding(name: &str) -> PgError {
    PgError::new(sqlstate::INVALID_PARAMETER_VALUE, format!("unrecognized encoding: \"{name}\""))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn encode(row: Row<'_>) -> Result<Option<String>, PgError> {
    let value = row.bytes(0);
    match row.text(1).to_ascii_lowercase().as_str() {
        "hex" => Ok(Some(hex(value))),
        "base64" => {
            // Lines of 76 characters, as MIME has them.
            let flat = STANDARD.encode(value);
            let lines: Vec<&str> =
                (0..flat.len()).step_by(76).map(|start| &flat[start..flat.len().min(start + 76)]).collect();
            Ok(Some(lines.join("\n")))
        }
        "escape" => {
            let mut built = String::new();
            for byte in value {
                match byte {
                    b'\\' => built.push_str("\\\\"),
                    0 | 0x80.. => built.push_str(&format!("\\{byte:03o}")),
                    other => built.push(char::from(*other)),
                }
            }
            Ok(Some(built))
        }
        other => Err(unknown_encoding(other)),
    }
}

fn decode(row: Row<'_>) -> Result<Option<Vec<u8>>, PgError> {
    let text = row.text(0);
    match row.text(1).to_ascii_lowercase().as_str() {
        "hex" => {
            let compact: String = text.chars().filter(|one| !one.is_ascii_whitespace()).collect();
            if let Some(wrong) = compact.chars().find(|one| !one.is_ascii_hexdigit()) {
                let message = format!("invalid hexadecimal digit: \"{wrong}\"");
                return Err(PgError::new(sqlstate::INVALID_PARAMETER_VALUE, message));
            }
            tributary_pg::input::parse_bytea(&format!("\\x{compact}")).map(Some)
        }
        "base64" => {
            let compact: String = text.chars().filter(|one| !one.is_ascii_whitespace()).collect();
            STANDARD.decode(compact).map(Some).map_err(|_| {
                PgError::new(sqlstate::INVALID_PARAMETER_VALUE, "invalid base64 end sequence")
                    .hint("Input data is missing padding, is truncated, or is otherwise corrupted.")
            })
        }
        "escape" => tributary_pg::input::parse_bytea(text).map(Some),
        other => Err(unknown_encoding(other)),
    }
}

fn lists(code: &str) -> Option<Implementation> {
    match code {
        "text_to_array" | "text_to_array_null" | "text_to_table" | "text_to_table_null" => {
            Implementation::lenient(|call, values| {
                text_lists(call, values, false, |row| {
                    if row.null(0) {
                        return Ok(None);
                    }
                    let text = row.text(0);
                    let null = (row.width() > 2 && !row.null(2)).then(|| row.text(2));
                    let fields: Vec<String> = if text.is_empty() {
                        Vec::new()
                    } else if row.null(1) {
                        text.chars().map(String::from).collect()
                    } else if row.text(1).is_empty() {
                        vec![text.to_owned()]
                    } else {
                        text.split(row.text(1)).map(str::to_owned).collect()
                    };
                    Ok(Some(fields.into_iter().map(|one| Some(one).filter(|one| Some(one.as_str()) != null)).collect()))
                })
            })
        }
        "like_escape" => Implementation::strict(|call, values| texts(call, values, like_escape)),
        _ => None,
    }
}

/// A LIKE pattern with another escape character, rewritten to the backslash.
fn like_escape(row: Row<'_>) -> Result<Option<String>, PgError> {
    let (pattern, escape) = (row.text(0), row.text(1));
    let mut characters = escape.chars();
    let escape = match (characters.next(), characters.next()) {
        (None, _) => return Ok(Some(pattern.replace('\\', "\\\\"))),
        (Some(one), None) => one,
        _ => {
            return Err(PgError::new(sqlstate::INVALID_ESCAPE_SEQUENCE, "invalid escape string")
                .hint("Escape string must be empty or one character."));
        }
    };
    let mut built = String::with_capacity(pattern.len());
    let mut escaped = false;
    for one in pattern.chars() {
        if one == escape && !escaped {
            built.push('\\');
            escaped = true;
            continue;
        }
        if one == '\\' && !escaped && escape != '\\' {
            built.push('\\');
        }
        built.push(one);
        escaped = false;
    }
    Ok(Some(built))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn substrings_count_from_one_and_before() {
        let all: Vec<char> = "abcdef".chars().collect();
        for (start, length, expect) in [(0, Some(3), "ab"), (2, None, "bcdef"), (-2, Some(4), "a"), (5, Some(9), "ef")]
        {
            let got: String = cut(&all, start, length).expect("the length is not negative").into_iter().collect();
            assert_eq!(got, expect, "{start} {length:?}");
        }
        assert!(cut(&all, 1, Some(-1)).is_err());
    }

    #[test]
    fn identifiers_are_quoted_when_needed() {
        for (name, expect) in [("abc", "abc"), ("select", "\"select\""), ("A b", "\"A b\""), ("a\"b", "\"a\"\"b\"")] {
            assert_eq!(quoted_identifier(name), expect);
        }
    }
}
