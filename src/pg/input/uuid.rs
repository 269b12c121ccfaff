//! Input of uuid: 32 hexadecimal digits, a hyphen allowed after every four, braces around.

use super::bytea::nibble;
use crate::error::{PgError, PgResult};

/// The 16 bytes. 22P02.
pub fn parse_uuid(text: &str) -> PgResult<[u8; 16]> {
    read(text.as_bytes()).ok_or_else(|| PgError::invalid_input("uuid", text))
}

fn read(bytes: &[u8]) -> Option<[u8; 16]> {
    let mut rest = match bytes {
        [b'{', inner @ .., b'}'] => inner,
        [b'{', ..] => return None,
        _ => bytes,
    };
    let mut out = [0u8; 16];
    for (index, byte) in out.iter_mut().enumerate() {
        let [high, low, tail @ ..] = rest else { return None };
        *byte = nibble(*high)? << 4 | nibble(*low)?;
        rest = match tail {
            [b'-', after @ ..] if index % 2 == 1 && index < 15 => after,
            _ => tail,
        };
    }
    rest.is_empty().then_some(out)
}

#[cfg(test)]
mod tests {
    use super::parse_uuid;

    #[test]
    fn layouts() {
        let expect = parse_uuid("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11").unwrap();
        for text in [
            "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11",
            "{a0eebc99-9c0b4ef8-bb6d6bb9-bd380a11}",
            "a0eebc999c0b4ef8bb6d6bb9bd380a11",
            "a0ee-bc99-9c0b-4ef8-bb6d-6bb9-bd38-0a11",
        ] {
            assert_eq!(parse_uuid(text).unwrap(), expect, "{text}");
        }
        for text in [
            "",
            "x",
            "{a0eebc999c0b4ef8bb6d6bb9bd380a11",
            "a0eebc999c0b4ef8bb6d6bb9bd380a11-",
            "a0-eebc999c0b4ef8bb6d6bb9bd380a11",
            " a0eebc999c0b4ef8bb6d6bb9bd380a11",
        ] {
            let error = parse_uuid(text).unwrap_err();
            assert_eq!(error.message, format!("invalid input syntax for type uuid: \"{text}\""));
        }
    }
}
