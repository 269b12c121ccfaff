//! What STORED AS, LOCATION and OPTIONS say, checked.

use std::path::Path;

use tributary_pg::copy::{CopyFormat, CopyOptions};
use tributary_pg::error::{PgError, PgResult, nearest};
use tributary_pg::sqlstate;

use crate::engine::catalog::ExternalObject;
use crate::engine::files::{self, Allowed, Place};

/// How a file is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Packing {
    /// As it is.
    Plain,
    /// gzip, also several of them in a row.
    Gzip,
    /// Zstandard.
    Zstd,
}

impl Packing {
    /// By the end of a file's name, which is cut off.
    pub(super) fn of_name(name: &str) -> (Self, &str) {
        match (name.strip_suffix(".gz"), name.strip_suffix(".zst")) {
            (Some(rest), _) => (Self::Gzip, rest),
            (_, Some(rest)) => (Self::Zstd, rest),
            _ => (Self::Plain, name),
        }
    }
}

/// Formats of external tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Stored {
    /// Lines of fields.
    Csv,
    /// One object a line.
    Json,
    /// Apache Parquet.
    Parquet,
}

/// An external table's files.
#[derive(Clone, Debug)]
pub(in crate::engine) struct Definition {
    /// Format.
    pub(super) stored: Stored,
    /// A file, a directory, or a pattern in the last name.
    pub(super) location: String,
    /// Does the first line name the columns?
    pub(super) header: bool,
    /// How lines are cut.
    pub(super) lines: CopyOptions,
    /// Said in OPTIONS; else names tell.
    pub(super) packing: Option<Packing>,
    /// Lines looked at to find the columns' types.
    pub(super) sample_rows: usize,
}

/// Options by name, as DataFusion has them.
const NAMES: [&str; 8] = [
    "format.compression",
    "format.delimiter",
    "format.escape",
    "format.has_header",
    "format.null_value",
    "format.quote",
    "format.newlines_in_values",
    "format.schema_infer_max_rec",
];

const SAMPLE_ROWS: usize = 1_000;
const SAMPLE_ROWS_MAX: usize = 1_000_000;

impl Definition {
    /// Checks a definition; 22023 for what is wrong in it.
    pub(in crate::engine) fn of(object: &ExternalObject) -> PgResult<Self> {
        let stored = match object.format.as_str() {
            "csv" => Stored::Csv,
            "json" | "ndjson" => Stored::Json,
            "parquet" => Stored::Parquet,
            other => {
                return Err(invalid(format!("format \"{other}\" of external tables not recognized"))
                    .hint("Formats are CSV, JSON and PARQUET."));
            }
        };
        let mut definition = Self {
            stored,
            location: object.location.clone(),
            header: true,
            lines: CopyOptions::new(CopyFormat::Csv),
            packing: None,
            sample_rows: SAMPLE_ROWS,
        };
        for (name, value) in &object.options {
            definition.set(name, value)?;
        }
        if definition.lines.delimiter == definition.lines.quote {
            return Err(invalid("delimiter and quote must be different"));
        }
        Ok(definition)
    }

    fn set(&mut self, given: &str, value: &str) -> PgResult<()> {
        let full = if given.contains('.') { given.to_owned() } else { format!("format.{given}") };
        let short = full.strip_prefix("format.").unwrap_or_default();
        if !NAMES.contains(&full.as_str()) {
            let near = nearest(&full, NAMES).map(|near| format!("Did you mean \"{near}\"?"));
            return Err(invalid(format!("unrecognized external table option \"{given}\"")).hint_opt(near));
        }
        let lines = matches!(short, "compression" | "schema_infer_max_rec") && self.stored != Stored::Parquet;
        if self.stored != Stored::Csv && !lines {
            return Err(invalid(format!("option \"{given}\" is not for this format")));
        }
        let bad = || invalid(format!("invalid value for external table option \"{given}\": \"{value}\""));
        let byte = || match value.as_bytes() {
            [byte] if byte.is_ascii() && !matches!(byte, b'\n' | b'\r') => Ok(*byte),
            _ => Err(bad()),
        };
        let switch = || match value.to_ascii_lowercase().as_str() {
            "true" | "on" | "1" => Ok(true),
            "false" | "off" | "0" => Ok(false),
            _ => Err(bad()),
        };
        match short {
            "delimiter" if value == "\\t" => self.lines.delimiter = b'\t',
            "delimiter" => self.lines.delimiter = byte()?,
            "quote" => {
                // Two quotes are one, unless another escape is named.
                let own = self.lines.escape == self.lines.quote;
                self.lines.quote = byte()?;
                if own {
                    self.lines.escape = self.lines.quote;
                }
            }
            "escape" => self.lines.escape = byte()?,
            "has_header" => self.header = switch()?,
            "newlines_in_values" => drop(switch()?),
            "null_value" if value.contains(['\n', '\r']) => return Err(bad()),
            "null_value" => value.clone_into(&mut self.lines.null),
            "compression" => {
                self.packing = Some(match value.to_ascii_lowercase().as_str() {
                    "gzip" | "gz" => Packing::Gzip,
                    "zstd" | "zst" => Packing::Zstd,
                    "" | "uncompressed" => Packing::Plain,
                    _ => return Err(bad()),
                });
            }
            _ => {
                let count = value.parse().ok().filter(|count| (1..=SAMPLE_ROWS_MAX).contains(count));
                self.sample_rows = count.ok_or_else(bad)?;
            }
        }
        Ok(())
    }

    /// Has the format groups of rows, with bounds?
    pub(super) fn has_groups(&self) -> bool {
        self.stored == Stored::Parquet
    }

    /// The directory to list and the pattern of names in it, if the location has one.
    pub(super) fn pattern(&self) -> Option<(&str, &str)> {
        let (directory, name) = self.location.rsplit_once('/')?;
        name.contains(['*', '?']).then_some((directory, name))
    }

    /// Where the location leads; 42501 if that is not allowed.
    pub(in crate::engine) fn check_place(&self, allowed: &Allowed) -> PgResult<Place> {
        let path = self.pattern().map_or(self.location.as_str(), |(directory, _)| directory);
        files::place(path, allowed)
    }

    /// Whether a file of a directory is meant.
    pub(super) fn takes(&self, path: &Path) -> bool {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return false };
        if name.starts_with(['.', '_']) {
            return false;
        }
        let (_, plain) = Packing::of_name(name);
        let ends = |all: &[&str]| all.iter().any(|end| plain.to_ascii_lowercase().ends_with(end));
        match self.stored {
            Stored::Csv => ends(&[".csv", ".tsv", ".txt"]),
            Stored::Json => ends(&[".json", ".ndjson", ".jsonl"]),
            Stored::Parquet => name.to_ascii_lowercase().ends_with(".parquet"),
        }
    }

    /// How a file of this name is packed.
    pub(super) fn packing_of(&self, path: &str) -> Packing {
        self.packing.unwrap_or_else(|| Packing::of_name(path).0)
    }
}

fn invalid(message: impl Into<String>) -> PgError {
    PgError::new(sqlstate::INVALID_PARAMETER_VALUE, message)
}
