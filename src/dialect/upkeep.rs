//! Statements of upkeep: VACUUM, ANALYZE, CHECKPOINT, REINDEX, CLUSTER, BACKUP TO.
//!
//! Read here because sqlparser knows other products' forms of them. Options of VACUUM that have no meaning for this
//! store are taken and do nothing; unknown ones are refused as PostgreSQL does.

use tributary_pg::error::PgError;
use tributary_pg::sqlstate;

use super::roles::Reader;
use super::sqlparser::tokenizer::{Token, TokenWithSpan};

/// A table as written: schema, name.
pub type TableName = (Option<String>, String);

/// A statement of upkeep.
#[derive(Clone, Debug, PartialEq)]
pub enum UpkeepStatement {
    /// `VACUUM [FULL] [tables]`.
    Vacuum {
        /// Rewrite every part that has deleted rows.
        full: bool,
        /// None = all.
        tables: Vec<TableName>,
    },
    /// `ANALYZE [tables]`.
    Analyze {
        /// None = all.
        tables: Vec<TableName>,
    },
    /// CHECKPOINT.
    Checkpoint,
    /// REINDEX and CLUSTER: nothing to do here. The word is the tag.
    Nothing(&'static str),
    /// BACKUP TO 'directory'.
    Backup {
        /// As written.
        directory: String,
    },
}

/// Options of VACUUM and ANALYZE.
const OPTIONS: [&str; 13] = [
    "FULL",
    "FREEZE",
    "VERBOSE",
    "ANALYZE",
    "ANALYSE",
    "DISABLE_PAGE_SKIPPING",
    "SKIP_LOCKED",
    "INDEX_CLEANUP",
    "PROCESS_TOAST",
    "PROCESS_MAIN",
    "TRUNCATE",
    "PARALLEL",
    "BUFFER_USAGE_LIMIT",
];

/// Reads a statement of upkeep; `None` if it is none. `tokens` hold no blanks.
pub(super) fn parse(tokens: &[&TokenWithSpan], text: &str) -> Result<Option<UpkeepStatement>, PgError> {
    let mut reader = Reader { tokens, at: 0, text };
    let first = reader.word(0);
    reader.at = 1;
    let statement = match first.as_str() {
        "VACUUM" => {
            let full = reader.vacuum_options("VACUUM")?;
            UpkeepStatement::Vacuum { full, tables: reader.tables()? }
        }
        "ANALYZE" | "ANALYSE" => {
            reader.vacuum_options("ANALYZE")?;
            UpkeepStatement::Analyze { tables: reader.tables()? }
        }
        "CHECKPOINT" => UpkeepStatement::Checkpoint,
        "REINDEX" => return Ok(Some(UpkeepStatement::Nothing("REINDEX"))),
        "CLUSTER" => return Ok(Some(UpkeepStatement::Nothing("CLUSTER"))),
        "BACKUP" => {
            reader.expect("TO")?;
            UpkeepStatement::Backup { directory: reader.string()? }
        }
        _ => return Ok(None),
    };
    reader.end()?;
    Ok(Some(statement))
}

impl Reader<'_> {
    /// Options with or without parentheses; gives whether FULL is among them.
    fn vacuum_options(&mut self, verb: &str) -> Result<bool, PgError> {
        let mut full = false;
        if self.token(0) != Some(&Token::LParen) {
            // Without parentheses only these, as in PostgreSQL.
            while ["FULL", "FREEZE", "VERBOSE", "ANALYZE", "ANALYSE"].contains(&self.word(0).as_str()) {
                full |= self.word(0) == "FULL";
                self.at += 1;
            }
            return Ok(full);
        }
        loop {
            self.at += 1;
            let name = self.word(0);
            if name.is_empty() {
                return Err(self.error());
            }
            if !OPTIONS.contains(&name.as_str()) {
                let message = format!("unrecognized {verb} option \"{}\"", name.to_lowercase());
                return Err(PgError::new(sqlstate::SYNTAX_ERROR, message));
            }
            self.at += 1;
            let mut on = true;
            if !matches!(self.token(0), Some(Token::Comma | Token::RParen)) {
                on = !matches!(self.word(0).as_str(), "FALSE" | "OFF")
                    && self.token(0) != Some(&Token::Number("0".to_owned(), false));
                self.at += 1;
            }
            full |= name == "FULL" && on;
            match self.token(0) {
                Some(Token::Comma) => {}
                Some(Token::RParen) => break,
                _ => return Err(self.error()),
            }
        }
        self.at += 1;
        Ok(full)
    }

    /// `[schema.]name [(columns)], ...`; columns only matter to statistics.
    fn tables(&mut self) -> Result<Vec<TableName>, PgError> {
        let mut tables = Vec::new();
        if self.token(0).is_none() {
            return Ok(tables);
        }
        loop {
            let first = self.name()?;
            if self.token(0) == Some(&Token::Period) {
                self.at += 1;
                tables.push((Some(first), self.name()?));
            } else {
                tables.push((None, first));
            }
            if self.token(0) == Some(&Token::LParen) {
                loop {
                    self.at += 1;
                    self.name()?;
                    match self.token(0) {
                        Some(Token::Comma) => {}
                        Some(Token::RParen) => break,
                        _ => return Err(self.error()),
                    }
                }
                self.at += 1;
            }
            match self.token(0) {
                Some(Token::Comma) => self.at += 1,
                _ => return Ok(tables),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Ast, OwnStatement};
    use super::*;

    fn read(text: &str) -> Result<UpkeepStatement, String> {
        match super::super::parse(text).map_err(|error| error.message.clone())?.remove(0).ast {
            Ast::Own(OwnStatement::Upkeep(statement)) => Ok(statement),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn forms_of_every_statement_are_read() {
        let name = |name: &str| (None, name.to_owned());
        let vacuum = |full, tables| UpkeepStatement::Vacuum { full, tables };
        let cases = [
            ("VACUUM", vacuum(false, vec![])),
            ("vacuum full", vacuum(true, vec![])),
            ("VACUUM (FULL, ANALYZE) Events", vacuum(true, vec![name("events")])),
            ("VACUUM (full off, verbose) \"E\"", vacuum(false, vec![name("E")])),
            ("VACUUM FREEZE VERBOSE ANALYZE a (x, y), s.b", {
                vacuum(false, vec![name("a"), (Some("s".to_owned()), "b".to_owned())])
            }),
            ("ANALYZE", UpkeepStatement::Analyze { tables: vec![] }),
            ("analyse verbose t", UpkeepStatement::Analyze { tables: vec![name("t")] }),
            ("CHECKPOINT", UpkeepStatement::Checkpoint),
            ("REINDEX TABLE t", UpkeepStatement::Nothing("REINDEX")),
            ("BACKUP TO '/b/1'", UpkeepStatement::Backup { directory: "/b/1".to_owned() }),
        ];
        for (text, expected) in cases {
            assert_eq!(read(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn wrong_forms_are_syntax_errors() {
        let cases = [
            ("VACUUM (fool) t", "unrecognized VACUUM option \"fool\""),
            ("VACUUM t u", "syntax error at or near \"u\""),
            ("CHECKPOINT now", "syntax error at or near \"now\""),
            ("BACKUP '/x'", "syntax error at or near \"'/x'\""),
            ("BACKUP TO", "syntax error at end of input"),
        ];
        for (text, expected) in cases {
            assert_eq!(read(text), Err(expected.to_owned()), "{text}");
        }
    }
}
