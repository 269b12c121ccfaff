use proptest::prelude::*;

use super::*;

#[test]
fn canonical_text() {
    // Answers of PostgreSQL 15.
    for (text, expect) in [
        ("{\"b\":1,\"a\":2,\"b\":3}", "{\"a\": 2, \"b\": 3}"),
        ("{\"aa\":1,\"b\":2,\"\":3}", "{\"\": 3, \"b\": 2, \"aa\": 1}"),
        ("[1.50, 1e5, 1E-3, -0, -0.0, 1.5e+2]", "[1.50, 100000, 0.001, 0, 0.0, 150]"),
        ("\"\\u0041\\/\\n\\u0001\"", "\"A/\\n\\u0001\""),
        ("\"\\ud83d\\ude00\"", "\"\u{1f600}\""),
    ] {
        assert_eq!(canonical_jsonb(text).unwrap(), expect);
    }
}

#[test]
fn depth_is_bounded() {
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(check_json(&deep(DEPTH_MAX)).is_ok());
    assert_eq!(check_json(&deep(DEPTH_MAX + 1)).unwrap_err().code.as_str(), "54001");
    assert_eq!(canonical_jsonb(&deep(100_000)).unwrap_err().code.as_str(), "54001");
    assert_eq!(canonical_jsonb("1e400000").unwrap_err().code.as_str(), "22003");
}

proptest! {
    #[test]
    fn agrees_with_serde(text in "[-0-9.eE\"\\\\u{}\\[\\]:, truefalsn\u{e9}]{0,24}") {
        let ours = check_json(&text).is_ok();
        match serde_json::from_str::<serde_json::Value>(&text) {
            Ok(_) => prop_assert!(ours, "{text:?}"),
            // serde refuses numbers beyond f64 and lone surrogates, which json may hold.
            Err(error) => {
                let shown = error.to_string();
                prop_assert!(!ours || shown.contains("number out of range") || text.contains("\\u"), "{text:?} {shown}");
            }
        }
        if let Ok(canonical) = canonical_jsonb(&text) {
            prop_assert_eq!(canonical_jsonb(&canonical).unwrap(), canonical);
        }
    }
}
