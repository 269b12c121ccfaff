//! The first superuser of a data directory.
//!
//! There is no default password. The operator names a superuser and a file with its password, or a password is made and
//! written to `superuser.password` in the data directory, readable by its owner only and never printed. A directory that
//! holds data already keeps the roles it has; nothing here changes them.

use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rand::Rng;

use crate::config::{Config, ConfigError};
use crate::engine::Verifier;

/// Superuser that `--trust` makes, unless another is named.
const TRUSTED_SUPERUSER: &str = "tributary";

/// Superuser that is made otherwise.
const DEFAULT_SUPERUSER: &str = "postgres";

/// File of a password that was made here.
const PASSWORD_FILE: &str = "superuser.password";

/// Characters of such a password: 24 of 57 are 139 bits, without those that look alike.
const PASSWORD_CHARACTERS: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789";

/// Length of such a password.
const PASSWORD_LENGTH: usize = 24;

/// Limit: bytes of a password file. A longer file is no password.
const PASSWORD_BYTES_MAX: u64 = 4096;

/// Name of the superuser a new data directory gets.
pub fn superuser_name(config: &Config) -> String {
    let default = if config.trust { TRUSTED_SUPERUSER } else { DEFAULT_SUPERUSER };
    config.superuser.clone().unwrap_or_else(|| default.to_owned())
}

/// The verifier of the first superuser's password. `None` if `--trust` asks for no password.
pub fn verifier(config: &Config, data_dir: &Path) -> Result<Option<String>, ConfigError> {
    let password_path = data_dir.join(PASSWORD_FILE);
    let password = match &config.password_file {
        Some(path) => read_password(path)?,
        // A start that failed before the roles were written has left its password.
        None if password_path.exists() => read_password(&password_path)?,
        None if config.trust => return Ok(None),
        None => make_password(&password_path)?,
    };
    let verifier = Verifier::from_sql(&password);
    verifier
        .map(|verifier| Some(verifier.to_string()))
        .map_err(|error| ConfigError::new(format!("superuser password: {error}")))
}

/// The first line of a file.
fn read_password(path: &Path) -> Result<String, ConfigError> {
    let wrong = |what: String| ConfigError::new(format!("password file {} {what}", path.display()));
    let file = fs::File::open(path).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    let mode = file.metadata().map_err(|error| wrong(format!("cannot be read: {error}")))?.permissions().mode();
    if mode & 0o077 != 0 {
        tracing::warn!(path = %path.display(), "the password file can be read by other users");
    }
    let mut text = String::new();
    file.take(PASSWORD_BYTES_MAX)
        .read_to_string(&mut text)
        .map_err(|error| wrong(format!("cannot be read: {error}")))?;
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(line.to_owned()),
        _ => Err(wrong("holds no password in its first line".to_owned())),
    }
}

/// A new password, on disk before anybody can need it.
fn make_password(path: &Path) -> Result<String, ConfigError> {
    let mut random = rand::rng();
    let password: String = (0..PASSWORD_LENGTH)
        .map(|_| char::from(PASSWORD_CHARACTERS[random.random_range(0..PASSWORD_CHARACTERS.len())]))
        .collect();
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(format!("{password}\n").as_bytes())?;
        file.sync_all()
    };
    write().map_err(|error| ConfigError::new(format!("{} cannot be written: {error}", path.display())))?;
    tracing::warn!(path = %path.display(), "made a superuser; its password is in this file");
    Ok(password)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_directory_gets_a_password_once() {
        let data_dir = tempfile::tempdir().unwrap();
        let first = verifier(&Config::default(), data_dir.path()).unwrap().unwrap();
        let path = data_dir.path().join(PASSWORD_FILE);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let password = fs::read_to_string(&path).unwrap();
        assert_eq!(password.trim_end().len(), PASSWORD_LENGTH);
        assert!(first.starts_with("SCRAM-SHA-256$4096:"));
        verifier(&Config::default(), data_dir.path()).unwrap().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), password);
    }

    #[test]
    fn trust_makes_none() {
        let data_dir = tempfile::tempdir().unwrap();
        let config = Config { trust: true, ..Config::default() };
        assert_eq!(verifier(&config, data_dir.path()).unwrap(), None);
        assert!(!data_dir.path().join(PASSWORD_FILE).exists());
    }

    #[test]
    fn a_given_password_is_the_first_line_of_its_file() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("given");
        let mut config =
            Config { superuser: Some("ann".into()), password_file: Some(file.clone()), ..Config::default() };
        for (content, fine) in [("secret\nrest", true), ("", false), ("\nsecret", false)] {
            fs::write(&file, content).unwrap();
            assert_eq!(verifier(&config, home.path()).is_ok(), fine, "{content:?}");
        }
        config.password_file = Some(home.path().join("missing"));
        assert!(verifier(&config, home.path()).is_err());
        assert_eq!(superuser_name(&config), "ann");
        assert_eq!(superuser_name(&Config { trust: true, ..Config::default() }), "tributary");
        assert_eq!(superuser_name(&Config::default()), "postgres");
    }
}
