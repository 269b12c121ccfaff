//! PostgreSQL's key words: which names need quotes, and the rows of pg_get_keywords.

use std::collections::HashMap;
use std::sync::LazyLock;

/// One key word.
#[derive(Clone, Copy, Debug)]
pub struct Keyword {
    /// The word.
    pub word: &'static str,
    /// `U` unreserved, `C` unreserved but no function or type name, `T` reserved but can be one, `R` reserved.
    pub category: &'static str,
    /// May stand as a label without AS.
    pub bare_label: bool,
    /// The category in words.
    pub description: &'static str,
    /// `bare_label` in words.
    pub bare_description: &'static str,
}

/// Every key word, in alphabetical order.
pub fn all() -> &'static [Keyword] {
    static ALL: LazyLock<Vec<Keyword>> = LazyLock::new(|| {
        include_str!("../system/data/keywords.tsv")
            .lines()
            .skip(1)
            .filter_map(|line| {
                let mut fields = line.split('\t');
                Some(Keyword {
                    word: fields.next()?,
                    category: fields.next()?,
                    bare_label: fields.next()? == "t",
                    description: fields.next()?,
                    bare_description: fields.next()?,
                })
            })
            .collect()
    });
    &ALL
}

/// Does quote_ident quote this lower-case word? Every category but unreserved does.
pub fn needs_quotes(word: &str) -> bool {
    static QUOTED: LazyLock<HashMap<&'static str, ()>> = LazyLock::new(|| {
        all().iter().filter(|keyword| keyword.category != "U").map(|keyword| (keyword.word, ())).collect()
    });
    QUOTED.contains_key(word)
}
