//! The session settings that decide how values are read and written.
//!
//! `TextStyle` is plain data, built once when a setting changes and shared by every printer and parser of a
//! statement. Setting strings are checked here with PostgreSQL's errors; storing and undoing them is the session's
//! work.

use crate::error::{PgError, PgResult};
use crate::reg_names::RegNamesHandle;
use crate::sqlstate;
use crate::zone::Zone;

/// Layout of dates and times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum DateFormat {
    /// 1997-12-17 07:37:16-08
    #[default]
    Iso,
    /// 12/17/1997 07:37:16.00 PST
    Sql,
    /// Wed Dec 17 07:37:16 1997 PST
    Postgres,
    /// 17.12.1997 07:37:16.00 PST
    German,
}

/// Which field comes first in ambiguous dates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum DateOrder {
    /// year, month, day
    Ymd,
    /// day, month, year
    Dmy,
    /// month, day, year
    #[default]
    Mdy,
}

/// The setting `DateStyle`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct DateStyle {
    /// Layout.
    pub format: DateFormat,
    /// Order of fields.
    pub order: DateOrder,
}

/// The setting `IntervalStyle`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum IntervalStyle {
    /// 1 year 2 mons -3 days +04:05:06
    #[default]
    Postgres,
    /// @ 1 year 2 mons -3 days 4 hours 5 mins 6 secs
    PostgresVerbose,
    /// +1-2 -3 +4:05:06
    SqlStandard,
    /// P1Y2M-3DT4H5M6S
    Iso8601,
}

/// The setting `bytea_output`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ByteaOutput {
    /// `\x6869`
    #[default]
    Hex,
    /// `hi\000`
    Escape,
}

/// The setting `roaringbitmap.output_format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum RoaringBitmapOutput {
    /// The portable bytes as bytea.
    #[default]
    Bytea,
    /// `{1,2,3}`
    Array,
}

/// Everything that printers and parsers need of a session.
#[derive(Clone, Debug, PartialEq)]
pub struct TextStyle {
    /// DateStyle.
    pub date_style: DateStyle,
    /// IntervalStyle.
    pub interval_style: IntervalStyle,
    /// TimeZone.
    pub time_zone: Zone,
    /// extra_float_digits, -15 to 3.
    pub extra_float_digits: i32,
    /// bytea_output.
    pub bytea_output: ByteaOutput,
    /// roaringbitmap.output_format.
    pub roaringbitmap_output: RoaringBitmapOutput,
    /// Names behind reg* values.
    pub reg_names: RegNamesHandle,
}

impl Default for TextStyle {
    /// ISO, MDY; postgres; UTC; 1; hex; bytea.
    fn default() -> Self {
        Self {
            date_style: DateStyle::default(),
            interval_style: IntervalStyle::default(),
            time_zone: Zone::default(),
            extra_float_digits: 1,
            bytea_output: ByteaOutput::default(),
            roaringbitmap_output: RoaringBitmapOutput::default(),
            reg_names: RegNamesHandle::default(),
        }
    }
}

impl TextStyle {
    /// Sets one of the six settings from its text (name in any case). `Ok(false)` if the name is none of them.
    /// 22023 with PostgreSQL's words for a bad value.
    pub fn set(&mut self, name: &str, value: &str) -> PgResult<bool> {
        match name.to_ascii_lowercase().as_str() {
            "datestyle" => self.date_style = DateStyle::parse(value, self.date_style)?,
            "intervalstyle" => self.interval_style = IntervalStyle::parse(value)?,
            "timezone" => self.time_zone = Zone::parse_setting(value)?,
            "extra_float_digits" => self.extra_float_digits = parse_extra_float_digits(value)?,
            "bytea_output" => self.bytea_output = ByteaOutput::parse(value)?,
            "roaringbitmap.output_format" => self.roaringbitmap_output = RoaringBitmapOutput::parse(value)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

fn invalid(setting: &str, value: &str) -> PgError {
    PgError::new(sqlstate::INVALID_PARAMETER_VALUE, format!("invalid value for parameter \"{setting}\": \"{value}\""))
}

fn choice<T: Copy>(setting: &str, value: &str, choices: &[(&str, T)]) -> PgResult<T> {
    choices.iter().find(|(name, _)| name.eq_ignore_ascii_case(value)).map(|(_, choice)| *choice).ok_or_else(|| {
        let names = choices.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        invalid(setting, value).hint(format!("Available values: {names}."))
    })
}

fn parse_extra_float_digits(value: &str) -> PgResult<i32> {
    let digits: i64 = value.trim().parse().map_err(|_| invalid("extra_float_digits", value))?;
    if !(-15..=3).contains(&digits) {
        return Err(PgError::new(
            sqlstate::INVALID_PARAMETER_VALUE,
            format!("{digits} is outside the valid range for parameter \"extra_float_digits\" (-15 .. 3)"),
        ));
    }
    Ok(digits as i32)
}

impl DateStyle {
    /// Reads `ISO, MDY`, `German`, `dmy`, ...; what is not said keeps its current value. Two different layouts or
    /// orders are a conflict.
    pub fn parse(text: &str, current: Self) -> PgResult<Self> {
        let mut format = None;
        let mut order = None;
        let mut default_order = None;
        let conflict = || invalid("DateStyle", text).detail("Conflicting \"datestyle\" specifications.");
        for word in text.split(',').map(|word| word.trim().to_ascii_lowercase()) {
            let (new_format, new_order) = match word.as_str() {
                "iso" => (Some(DateFormat::Iso), None),
                "sql" => (Some(DateFormat::Sql), None),
                _ if word.starts_with("postgres") => (Some(DateFormat::Postgres), None),
                "german" => {
                    default_order = Some(DateOrder::Dmy);
                    (Some(DateFormat::German), None)
                }
                "ymd" => (None, Some(DateOrder::Ymd)),
                "dmy" | "euro" | "european" => (None, Some(DateOrder::Dmy)),
                "mdy" | "us" | "noneuro" | "noneuropean" => (None, Some(DateOrder::Mdy)),
                "default" => (Some(DateFormat::Iso), Some(DateOrder::Mdy)),
                _ => {
                    let detail = format!("Unrecognized key word: \"{word}\".");
                    return Err(invalid("DateStyle", text).detail(detail));
                }
            };
            if new_format.is_some() {
                if format.is_some() && format != new_format {
                    return Err(conflict());
                }
                format = new_format;
            }
            if new_order.is_some() {
                if order.is_some() && order != new_order {
                    return Err(conflict());
                }
                order = new_order;
            }
        }
        Ok(Self { format: format.unwrap_or(current.format), order: order.or(default_order).unwrap_or(current.order) })
    }

    /// What SHOW DateStyle says: `ISO, MDY`.
    pub fn show(&self) -> String {
        let format = match self.format {
            DateFormat::Iso => "ISO",
            DateFormat::Sql => "SQL",
            DateFormat::Postgres => "Postgres",
            DateFormat::German => "German",
        };
        let order = match self.order {
            DateOrder::Ymd => "YMD",
            DateOrder::Dmy => "DMY",
            DateOrder::Mdy => "MDY",
        };
        format!("{format}, {order}")
    }
}

impl IntervalStyle {
    const CHOICES: [(&'static str, Self); 4] = [
        ("postgres", Self::Postgres),
        ("postgres_verbose", Self::PostgresVerbose),
        ("sql_standard", Self::SqlStandard),
        ("iso_8601", Self::Iso8601),
    ];

    /// Reads the setting.
    pub fn parse(text: &str) -> PgResult<Self> {
        choice("IntervalStyle", text, &Self::CHOICES)
    }

    /// What SHOW says.
    pub fn show(self) -> &'static str {
        Self::CHOICES.iter().find(|(_, style)| *style == self).map_or("postgres", |(name, _)| name)
    }
}

impl ByteaOutput {
    /// Reads the setting.
    pub fn parse(text: &str) -> PgResult<Self> {
        choice("bytea_output", text, &[("escape", Self::Escape), ("hex", Self::Hex)])
    }
}

impl RoaringBitmapOutput {
    /// Reads the setting.
    pub fn parse(text: &str) -> PgResult<Self> {
        choice("roaringbitmap.output_format", text, &[("bytea", Self::Bytea), ("array", Self::Array)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn date_styles_merge_with_what_is_set() {
        let mut style = TextStyle::default();
        for (text, expect) in [
            ("iso", "ISO, MDY"),
            ("dmy", "ISO, DMY"),
            ("German", "German, DMY"),
            ("sql, ymd", "SQL, YMD"),
            ("Postgres, euro", "Postgres, DMY"),
            ("default", "ISO, MDY"),
        ] {
            assert!(style.set("DateStyle", text).unwrap());
            assert_eq!(style.date_style.show(), expect, "{text}");
        }
        assert_eq!(style.set("datestyle", "iso, sql").unwrap_err().code.as_str(), "22023");
        assert_eq!(style.set("datestyle", "x").unwrap_err().detail.as_deref(), Some("Unrecognized key word: \"x\"."));
    }

    #[test]
    fn choices_list_what_is_available() {
        let error = ByteaOutput::parse("x").unwrap_err();
        assert_eq!(error.message, "invalid value for parameter \"bytea_output\": \"x\"");
        assert_eq!(error.hint.as_deref(), Some("Available values: escape, hex."));
        assert!(TextStyle::default().set("extra_float_digits", "4").is_err());
        assert!(!TextStyle::default().set("work_mem", "4").unwrap());
    }
}
