//! Settings of a session: one table of definitions, one map of values, one undo log.
//!
//! `SET` inside a block is undone by ROLLBACK and ROLLBACK TO; `SET LOCAL` ends with the block. Both are the same thing
//! here: every change is logged with the value before it, marks point into the log, and undoing walks it backwards.
//! Values are kept as the text that SHOW prints, already checked and normalised, so a setting cannot hold nonsense.

mod definition;
mod value;
mod zone;

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;
use std::time::Duration;

use tributary_pg::error::{PgError, nearest};
use tributary_pg::sqlstate;

pub use definition::{Class, Definition, Kind};

/// Settings that say whose rights the session has.
const IDENTITY: [&str; 2] = ["role", "session_authorization"];

/// Settings reported to the client at start and when changed, in this order.
pub const REPORTED: [&str; 13] = [
    "application_name",
    "client_encoding",
    "DateStyle",
    "default_transaction_read_only",
    "in_hot_standby",
    "integer_datetimes",
    "IntervalStyle",
    "is_superuser",
    "server_encoding",
    "server_version",
    "session_authorization",
    "standard_conforming_strings",
    "TimeZone",
];

static DEFINITIONS: LazyLock<BTreeMap<String, Definition>> = LazyLock::new(definition::all);

/// All settings known, by lower case name.
pub fn definitions() -> &'static BTreeMap<String, Definition> {
    &DEFINITIONS
}

/// Position in the undo log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SettingsMark(usize);

#[derive(Clone, Debug)]
struct Undo {
    name: String,
    before: Option<String>,
    /// SET LOCAL: undone at the end of the block even when it commits.
    local: bool,
}

/// The values of one session.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Values at session start: what RESET goes back to.
    session_start: HashMap<String, String>,
    /// Values set since then.
    values: HashMap<String, String>,
    undo: Vec<Undo>,
    /// Reported settings changed since the last drain.
    changed: Vec<&'static str>,
    /// What the client was told of those, by name.
    told: HashMap<&'static str, String>,
}

impl Settings {
    /// Settings as they are at session start; `layers` are applied in order, later ones win.
    pub fn open<'a>(layers: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, PgError> {
        let mut settings = Self::default();
        for (name, value) in layers {
            let key = name.to_lowercase();
            let checked = check(&key, value, Phase::Start)?;
            settings.session_start.insert(key, checked);
        }
        Ok(settings)
    }

    /// The value SHOW prints. Unknown names: 42704.
    pub fn show(&self, name: &str) -> Result<String, PgError> {
        self.get(name).ok_or_else(|| unknown(name))
    }

    /// The value, or `None` if there is no such setting.
    pub fn get(&self, name: &str) -> Option<String> {
        let key = canonical(name);
        if let Some(value) = self.values.get(&key).or_else(|| self.session_start.get(&key)) {
            return Some(value.clone());
        }
        DEFINITIONS.get(&key).map(|definition| definition.default.clone())
    }

    /// The spelling of a setting's own name, which SHOW uses for its column.
    pub fn spelling(name: &str) -> String {
        let key = canonical(name);
        DEFINITIONS.get(&key).map_or(key, |definition| definition.name.clone())
    }

    /// Sets a value; `local` ends with the block.
    ///
    /// Who the session is cannot be set by this: [`Settings::set_identity`] is for who has checked that it may be.
    pub fn set(&mut self, name: &str, value: &str, local: bool) -> Result<(), PgError> {
        let key = canonical(name);
        if IDENTITY.contains(&key.as_str()) {
            let message = format!("permission denied to set parameter \"{key}\"");
            return Err(PgError::new(sqlstate::INSUFFICIENT_PRIVILEGE, message));
        }
        let checked = check(&key, value, Phase::Session)?;
        self.store(key, Some(checked), local);
        Ok(())
    }

    /// Checks a setting that sessions of a role shall begin with, and gives its own name.
    pub fn for_role(name: &str, value: &str) -> Result<String, PgError> {
        let key = canonical(name);
        if key == "session_authorization" {
            let message = format!("parameter \"{key}\" cannot be changed");
            return Err(PgError::new(sqlstate::CANT_CHANGE_RUNTIME_PARAM, message));
        }
        check(&key, value, Phase::Session)?;
        Ok(Self::spelling(name))
    }

    /// The text of a setting, which is empty from now on and stays so whatever is rolled back.
    pub fn take_text(&mut self, name: &str) -> String {
        let key = canonical(name);
        self.undo.retain(|undo| undo.name != key);
        self.session_start.remove(&key);
        self.values.remove(&key).unwrap_or_default()
    }

    /// Sets the role or session user that the caller has found allowed.
    pub fn set_identity(&mut self, name: &str, value: &str, local: bool) {
        self.store(canonical(name), Some(value.to_owned()), local);
    }

    /// Sets a value the server itself computes (session_authorization, is_superuser, ...), without checks.
    pub fn set_internal(&mut self, name: &str, value: &str) {
        self.store(canonical(name), Some(value.to_owned()), false);
    }

    /// RESET: back to the value at session start.
    pub fn reset(&mut self, name: &str) -> Result<(), PgError> {
        let key = canonical(name);
        match DEFINITIONS.get(&key) {
            Some(definition) => definition.check_settable(Phase::Session)?,
            None if key.contains('.') => {}
            None => return Err(unknown(name)),
        }
        // A setting of the user's own that was set once stays known, with nothing in it.
        let nothing = (!DEFINITIONS.contains_key(&key) && !self.session_start.contains_key(&key)).then(String::new);
        self.store(key, nothing, false);
        Ok(())
    }

    /// RESET ALL.
    pub fn reset_all(&mut self) {
        let keep = |key: &str| DEFINITIONS.get(key).is_some_and(|definition| definition.no_reset_all);
        let keys: Vec<String> = self.values.keys().filter(|key| !keep(key)).cloned().collect();
        for key in keys {
            self.store(key, None, false);
        }
    }

    /// A mark to undo to.
    pub fn mark(&self) -> SettingsMark {
        SettingsMark(self.undo.len())
    }

    /// ROLLBACK, ROLLBACK TO: undoes everything since the mark.
    pub fn undo_to(&mut self, mark: SettingsMark) {
        while self.undo.len() > mark.0 {
            if let Some(undo) = self.undo.pop() {
                self.put_back(undo);
            }
        }
    }

    /// COMMIT: SET LOCAL ends, SET stays.
    ///
    /// A SET after a SET LOCAL of the same name stays with its own value; a SET before it comes back.
    pub fn commit(&mut self) {
        let undo = std::mem::take(&mut self.undo);
        let mut done: Vec<String> = Vec::new();
        for entry in undo.into_iter().rev() {
            if done.contains(&entry.name) {
                continue;
            }
            if entry.local {
                self.put_back(entry);
            } else {
                done.push(entry.name);
            }
        }
    }

    /// Reported settings that changed since the last call, with their values.
    pub fn drain_changed(&mut self) -> Vec<(&'static str, String)> {
        let mut changed = std::mem::take(&mut self.changed);
        changed.sort_by_key(|name| REPORTED.iter().position(|reported| reported == name));
        let mut news = Vec::with_capacity(changed.len());
        for name in changed {
            let value = self.get(name).unwrap_or_default();
            if self.told.insert(name, value.clone()).as_ref() != Some(&value) {
                news.push((name, value));
            }
        }
        news
    }

    /// A time setting in milliseconds; zero means none.
    pub fn duration(&self, name: &str) -> Option<Duration> {
        let shown = self.get(name)?;
        let ms = value::parse_integer(&shown, Some("ms")).ok()?;
        u64::try_from(ms).ok().filter(|ms| *ms > 0).map(Duration::from_millis)
    }

    /// A boolean setting.
    pub fn flag(&self, name: &str) -> bool {
        self.get(name).as_deref() == Some("on")
    }

    fn store(&mut self, key: String, value: Option<String>, local: bool) {
        let shown_before = self.get(&key);
        let before = match &value {
            Some(value) => self.values.insert(key.clone(), value.clone()),
            None => self.values.remove(&key),
        };
        self.undo.push(Undo { name: key.clone(), before, local });
        self.note_change(&key, shown_before);
    }

    fn put_back(&mut self, undo: Undo) {
        let shown_before = self.get(&undo.name);
        match undo.before {
            Some(value) => self.values.insert(undo.name.clone(), value),
            None => self.values.remove(&undo.name),
        };
        self.note_change(&undo.name, shown_before);
    }

    fn note_change(&mut self, key: &str, shown_before: Option<String>) {
        if let Some(reported) = REPORTED.iter().find(|name| name.eq_ignore_ascii_case(key))
            && self.get(key) != shown_before
            && !self.changed.contains(reported)
        {
            self.changed.push(reported);
            self.told.entry(reported).or_insert_with(|| shown_before.unwrap_or_default());
        }
    }
}

/// When a value is set: some settings cannot be set after connection start, others never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Configuration file or startup packet.
    Start,
    /// SET.
    Session,
}

fn check(key: &str, value: &str, phase: Phase) -> Result<String, PgError> {
    match DEFINITIONS.get(key) {
        Some(definition) => {
            definition.check_settable(phase)?;
            definition.normalise(value)
        }
        None => check_custom(key, value),
    }
}

/// `my.name`: any text, unless the prefix is ours.
fn check_custom(key: &str, value: &str) -> Result<String, PgError> {
    let Some((prefix, rest)) = key.split_once('.') else { return Err(unknown(key)) };
    let identifier = |part: &str| {
        !part.is_empty()
            && !part.starts_with(|c: char| c.is_ascii_digit())
            && part.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '$')
    };
    let invalid = || PgError::new(sqlstate::INVALID_NAME, format!("invalid configuration parameter name \"{key}\""));
    if prefix == "tributary" {
        return Err(invalid().detail("\"tributary\" is a reserved prefix."));
    }
    if !identifier(prefix) || !rest.split('.').all(identifier) {
        return Err(
            invalid().detail("Custom parameter names must be two or more simple identifiers separated by dots.")
        );
    }
    Ok(value.to_owned())
}

/// Lower case, with the spellings that mean another setting.
fn canonical(name: &str) -> String {
    let key = name.to_lowercase();
    match key.as_str() {
        "time zone" => "timezone".to_owned(),
        "session authorization" => "session_authorization".to_owned(),
        "transaction isolation level" => "transaction_isolation".to_owned(),
        _ => key,
    }
}

fn unknown(name: &str) -> PgError {
    let error = PgError::new(sqlstate::UNDEFINED_OBJECT, format!("unrecognized configuration parameter \"{name}\""));
    error.hint_opt(
        nearest(name, DEFINITIONS.values().map(|d| d.name.as_str()))
            .map(|near| format!("Perhaps you meant \"{near}\".")),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open() -> Settings {
        Settings::open([("application_name", "psql")]).expect("valid")
    }

    #[test]
    fn rollback_undoes_and_commit_keeps_all_but_local() {
        let mut settings = open();
        settings.set("work_mem", "8192", false).expect("valid");
        settings.commit();
        assert_eq!(settings.show("work_mem").expect("known"), "8MB");
        let mark = settings.mark();
        settings.set("work_mem", "1536kB", false).expect("valid");
        settings.set("statement_timeout", "60000", true).expect("valid");
        assert_eq!(settings.show("statement_timeout").expect("known"), "1min");
        settings.undo_to(mark);
        assert_eq!(settings.show("work_mem").expect("known"), "8MB");
        assert_eq!(settings.duration("statement_timeout"), Some(Duration::from_secs(1800)));
        settings.set("work_mem", "1536kB", false).expect("valid");
        settings.set("work_mem", "64kB", true).expect("valid");
        settings.commit();
        assert_eq!(settings.show("WORK_MEM").expect("known"), "1536kB");
    }

    #[test]
    fn a_text_that_was_taken_does_not_come_back() {
        let name = "tributary.idempotency_token";
        let mut settings = open();
        settings.set(name, "first", false).expect("valid");
        settings.commit();
        let mark = settings.mark();
        settings.set(name, "second", true).expect("valid");
        settings.set("work_mem", "64kB", true).expect("valid");
        assert_eq!(settings.take_text(name), "second");
        settings.undo_to(mark);
        settings.commit();
        assert_eq!(
            (settings.take_text(name), settings.show("work_mem").expect("known")),
            (String::new(), "4MB".to_owned())
        );
    }

    #[test]
    fn errors_are_postgresqls() {
        let mut settings = open();
        let mut error = |name: &str, value: &str| format!("{:?}", settings.set(name, value, false).unwrap_err());
        assert_eq!(error("work_mem", "abc"), "ERROR 22023: invalid value for parameter \"work_mem\": \"abc\"");
        assert_eq!(
            error("statement_timeout", "-5"),
            "ERROR 22023: -5 ms is outside the valid range for parameter \"statement_timeout\" (0 .. 2147483647)"
        );
        assert_eq!(error("jit", "maybe"), "ERROR 22023: parameter \"jit\" requires a Boolean value");
        assert_eq!(
            error("statement_timeot", "1"),
            "ERROR 42704: unrecognized configuration parameter \"statement_timeot\" HINT: Perhaps you meant \"statement_timeout\"."
        );
        assert_eq!(error("block_size", "1"), "ERROR 55P02: parameter \"block_size\" cannot be changed");
        assert!(error("tributary.foo", "1").starts_with("ERROR 42602"));
    }

    #[test]
    fn changes_of_reported_settings_are_told_once() {
        let mut settings = open();
        settings.drain_changed();
        settings.set("timezone", "Asia/Shanghai", false).expect("valid");
        settings.set("TimeZone", "Asia/Tokyo", false).expect("valid");
        settings.set("work_mem", "1MB", false).expect("valid");
        assert_eq!(settings.drain_changed(), vec![("TimeZone", "Asia/Tokyo".to_owned())]);
        assert!(settings.drain_changed().is_empty());
        settings.set("TimeZone", "UTC", false).expect("valid");
        settings.set("TimeZone", "Asia/Tokyo", false).expect("valid");
        assert!(settings.drain_changed().is_empty(), "a value that is back is no news");
    }
}
