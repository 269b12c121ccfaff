//! The server's configuration: defaults, then the file, then `TRIBUTARY_*` variables, then the command line.
//!
//! Every key is one row of [`keys::KEYS`]: its name, default, what it does and how its text is read stand in one place,
//! and the help text and the check for unknown names come from there. A configuration is built in full or refused: an
//! unknown key names the nearest known one, a wrong value names its source. Nothing is read again while the server runs.

pub mod keys;
mod value;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tributary_pg::error::nearest;

use crate::wire::access::{Addresses, Method, Rule};
use crate::wire::tls::TlsFiles;

/// Everything the server can be told.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the data lives; a command that needs it refuses to run without.
    pub data_dir: Option<PathBuf>,
    /// Address of the PostgreSQL port.
    pub listen: SocketAddr,
    /// Directory of the Unix socket, if there is to be one.
    pub socket_dir: Option<PathBuf>,
    /// Name of the one database.
    pub database: String,
    /// Certificate.
    pub tls_cert: Option<PathBuf>,
    /// Private key.
    pub tls_key: Option<PathBuf>,
    /// Whether clear text may leave this machine.
    pub allow_plaintext: bool,
    /// Whether everyone from loopback is the superuser without a password.
    pub trust: bool,
    /// Name of the superuser made at the first start.
    pub superuser: Option<String>,
    /// File whose first line is that superuser's password.
    pub password_file: Option<PathBuf>,
    /// Sessions at most.
    pub connections_max: usize,
    /// Of these, kept for superusers.
    pub connections_reserved: usize,
    /// Time for encryption, start-up packet and password together.
    pub authentication_timeout: Duration,
    /// Longest message of a logged-in client.
    pub message_bytes_max: usize,
    /// How long running statements get when the server is told to stop.
    pub shutdown_timeout: Duration,
    /// Threads that move bytes.
    pub reactor_threads: usize,
    /// Threads that plan and run statements; 0 is one a core.
    pub query_threads: usize,
    /// Bytes all queries may use together.
    pub query_memory_bytes: Option<usize>,
    /// Bytes of disk all queries may use together.
    pub temp_bytes_max: usize,
    /// Whether to start on a directory that lost acknowledged data. Said on the command line only, never in a file.
    pub accept_data_loss: bool,
    /// Options of the store, checked by it.
    pub store: Vec<(String, String)>,
    /// Settings of every session, checked by the engine.
    pub settings: Vec<(String, String)>,
    /// Access rules in order; empty means passwords for everyone.
    pub access: Vec<Rule>,
    /// Address of the health and metrics port, if there is to be one.
    pub admin_listen: Option<SocketAddr>,
    /// Which log lines are written, in the form of `RUST_LOG`.
    pub log_filter: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: None,
            listen: SocketAddr::from(([127, 0, 0, 1], 5488)),
            socket_dir: None,
            database: "tributary".to_owned(),
            tls_cert: None,
            tls_key: None,
            allow_plaintext: false,
            trust: false,
            superuser: None,
            password_file: None,
            connections_max: 200,
            connections_reserved: 3,
            authentication_timeout: Duration::from_secs(10),
            message_bytes_max: 256 << 20,
            shutdown_timeout: Duration::from_secs(3),
            reactor_threads: 1,
            query_threads: 0,
            query_memory_bytes: None,
            temp_bytes_max: 50 << 30,
            accept_data_loss: false,
            store: Vec::new(),
            settings: Vec::new(),
            access: Vec::new(),
            admin_listen: None,
            log_filter: "info".to_owned(),
        }
    }
}

/// Why a configuration is refused: one sentence and, where there is one, advice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// What is wrong, and where it was written.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ConfigError {}

impl ConfigError {
    /// An error without advice.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None }
    }

    /// Adds advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// The layers above the defaults, lowest first.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Path and text of the configuration file.
    pub file: Option<(PathBuf, String)>,
    /// Environment variables whose names begin with `TRIBUTARY_`.
    pub environment: Vec<(String, String)>,
    /// `section.key`, value, and the flag that said so.
    pub flags: Vec<(String, String, String)>,
}

impl Sources {
    /// The file at `path` and the process environment; flags are added by the caller.
    pub fn read(path: Option<&Path>) -> Result<Self, ConfigError> {
        let mut environment: Vec<(String, String)> =
            std::env::vars().filter(|(name, _)| name.starts_with(keys::ENVIRONMENT_PREFIX)).collect();
        environment.sort();
        let named = environment.iter().find(|(name, _)| name == keys::CONFIG_VARIABLE).map(|(_, path)| path.into());
        let file = match path.map(Path::to_owned).or(named) {
            None => None,
            Some(path) => {
                let text = std::fs::read_to_string(&path).map_err(|error| {
                    ConfigError::new(format!("configuration file {} cannot be read: {error}", path.display()))
                })?;
                Some((path, text))
            }
        };
        Ok(Self { file, environment, flags: Vec::new() })
    }
}

impl Config {
    /// Builds the configuration from its layers and checks what concerns several keys at once.
    pub fn build(sources: &Sources) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        if let Some((path, text)) = &sources.file {
            config.apply_file(&path.display().to_string(), text)?;
        }
        for (name, value) in &sources.environment {
            if name != keys::CONFIG_VARIABLE {
                let key = keys::of_variable(name).ok_or_else(|| unknown_variable(name))?;
                config.apply(&key, value, &format!("environment variable {name}"))?;
            }
        }
        for (key, value, flag) in &sources.flags {
            config.apply(key, value, flag)?;
        }
        config.check()?;
        Ok(config)
    }

    /// The certificate's files, if TLS is configured.
    pub fn tls_files(&self) -> Option<TlsFiles> {
        Some(TlsFiles { certificate: self.tls_cert.clone()?, key: self.tls_key.clone()? })
    }

    /// The rules in force: those written down, or passwords for everyone; `--trust` stands before both.
    pub fn access_rules(&self) -> Vec<Rule> {
        let rule = |addresses, method| Rule { addresses, users: Vec::new(), method, tls: None };
        let mut rules = Vec::new();
        if self.trust {
            rules.push(rule(Addresses::Loopback, Method::Trust));
        }
        if self.access.is_empty() {
            rules.push(rule(Addresses::Local, Method::Peer));
            rules.push(rule(Addresses::All, Method::Scram));
        }
        rules.extend(self.access.iter().cloned());
        rules
    }

    fn apply(&mut self, path: &str, value: &str, source: &str) -> Result<(), ConfigError> {
        let wrong = |message: String| ConfigError::new(format!("{source}: {path}: {message}"));
        match path.split_once('.') {
            Some(("settings", name)) if !name.is_empty() => replace(&mut self.settings, name, value),
            Some(("store", name)) if !name.is_empty() => replace(&mut self.store, name, value),
            _ => match keys::KEYS.iter().find(|key| key.path == path) {
                Some(key) => (key.set)(self, value).map_err(wrong)?,
                None => return Err(unknown_key(path, source)),
            },
        }
        Ok(())
    }

    fn apply_file(&mut self, source: &str, text: &str) -> Result<(), ConfigError> {
        let table: toml::Table =
            text.parse().map_err(|error: toml::de::Error| ConfigError::new(format!("{source}: {error}")))?;
        for (section, content) in table {
            match (section.as_str(), content) {
                ("access", toml::Value::Array(rules)) => {
                    for (index, rule) in rules.iter().enumerate() {
                        self.access.push(access_rule(rule).map_err(|message| {
                            ConfigError::new(format!("{source}: [[access]] number {}: {message}", index + 1))
                        })?);
                    }
                }
                (_, toml::Value::Table(keys)) => {
                    for (name, value) in keys {
                        let path = format!("{section}.{name}");
                        let value = value::scalar(&value)
                            .ok_or_else(|| ConfigError::new(format!("{source}: {path} must be a single value")))?;
                        self.apply(&path, &value, source)?;
                    }
                }
                (name, _) => return Err(unknown_key(name, source)),
            }
        }
        Ok(())
    }

    fn check(&self) -> Result<(), ConfigError> {
        if self.tls_cert.is_some() != self.tls_key.is_some() {
            return Err(ConfigError::new("tls_cert and tls_key must be given together"));
        }
        let encrypted = self.tls_cert.is_some();
        for address in std::iter::once(self.listen).chain(self.admin_listen) {
            if !address.ip().is_loopback() && !encrypted && !self.allow_plaintext {
                return Err(ConfigError::new(format!("refusing to listen on {address} without tls"))
                    .hint("Set tls_cert and tls_key, or allow_plaintext = true."));
            }
        }
        if self.trust && !self.listen.ip().is_loopback() {
            return Err(ConfigError::new(format!("refusing --trust on {}", self.listen))
                .hint("Trust is for loopback addresses; use passwords and access rules elsewhere."));
        }
        for rule in &self.access {
            if rule.method == Method::Trust && !rule.addresses.only_loopback() {
                return Err(ConfigError::new("an access rule trusts addresses of other machines")
                    .hint("Method trust is for address = \"loopback\" or \"local\"; use scram elsewhere."));
            }
        }
        if self.connections_reserved >= self.connections_max {
            return Err(ConfigError::new("server.reserved_connections must be less than server.max_connections"));
        }
        if self.password_file.is_some() && self.superuser.is_none() {
            return Err(ConfigError::new("server.password_file needs server.superuser"));
        }
        Ok(())
    }
}

/// The last value for a name is the one that counts.
fn replace(list: &mut Vec<(String, String)>, name: &str, value: &str) {
    list.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
    list.push((name.to_owned(), value.to_owned()));
}

fn unknown_key(path: &str, source: &str) -> ConfigError {
    let known = keys::KEYS.iter().map(|key| key.path);
    let error = ConfigError::new(format!("{source}: unknown key {path}"));
    match nearest(path, known) {
        Some(name) => error.hint(format!("Did you mean {name}?")),
        None => error.hint("`tributary serve --help` lists the keys; PostgreSQL settings go into [settings]."),
    }
}

fn unknown_variable(name: &str) -> ConfigError {
    let known: Vec<String> = keys::KEYS.iter().map(keys::Key::variable).collect();
    let error = ConfigError::new(format!("unknown environment variable {name}"));
    match nearest(name, known.iter().map(String::as_str)) {
        Some(known) => error.hint(format!("Did you mean {known}?")),
        None => error,
    }
}

/// Reads one `[[access]]` table.
fn access_rule(rule: &toml::Value) -> Result<Rule, String> {
    const KNOWN: [&str; 4] = ["address", "user", "method", "tls"];
    let table = rule.as_table().ok_or("must be a table")?;
    if let Some(unknown) = table.keys().find(|key| !KNOWN.contains(&key.as_str())) {
        let advice = nearest(unknown, KNOWN).map(|name| format!("; did you mean {name}?")).unwrap_or_default();
        return Err(format!("unknown key {unknown}{advice}"));
    }
    let text = |name: &str| -> Result<Option<&str>, String> {
        table.get(name).map(|value| value.as_str().ok_or(format!("{name} must be a string"))).transpose()
    };
    let users = match table.get("user") {
        None => Vec::new(),
        Some(toml::Value::String(user)) if user == "all" => Vec::new(),
        Some(toml::Value::String(user)) => vec![user.clone()],
        Some(toml::Value::Array(users)) if !users.is_empty() => users
            .iter()
            .map(|user| user.as_str().map(str::to_owned).ok_or_else(|| "user must be strings".to_owned()))
            .collect::<Result<_, _>>()?,
        Some(_) => return Err("user must be a name or a list of names".to_owned()),
    };
    Ok(Rule {
        addresses: text("address")?.unwrap_or("all").parse()?,
        users,
        method: text("method")?.ok_or("method is missing")?.parse()?,
        tls: table.get("tls").map(|value| value.as_bool().ok_or("tls must be true or false")).transpose()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(file: &str, environment: &[(&str, &str)], flags: &[(&str, &str)]) -> Sources {
        Sources {
            file: Some((PathBuf::from("t.toml"), file.to_owned())),
            environment: environment.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
            flags: flags.iter().map(|(key, value)| ((*key).into(), (*value).into(), "--set".into())).collect(),
        }
    }

    #[test]
    fn later_layers_win() {
        let file = "[server]\nlisten = \"127.0.0.1:1\"\nmax_connections = 10\ndatabase = \"f\"\n[settings]\nwork_mem = \"8MB\"\n";
        let config = Config::build(&sources(
            file,
            &[("TRIBUTARY_LISTEN", "127.0.0.1:2"), ("TRIBUTARY_SERVER_DATABASE", "e")],
            &[("server.listen", "127.0.0.1:3"), ("settings.Work_Mem", "9MB"), ("store.sync", "off")],
        ))
        .unwrap();
        assert_eq!(config.listen.port(), 3);
        assert_eq!((config.database.as_str(), config.connections_max), ("e", 10));
        assert_eq!(config.settings, [("Work_Mem".to_owned(), "9MB".to_owned())]);
        assert_eq!(config.store, [("sync".to_owned(), "off".to_owned())]);
    }

    #[test]
    fn refusals_name_what_is_wrong() {
        for (file, environment, flag, message, hint) in [
            (
                "[server]\nlistn = \"x\"",
                ("", ""),
                ("", ""),
                "t.toml: unknown key server.listn",
                "Did you mean server.listen?",
            ),
            ("[sever]\nx = 1", ("", ""), ("", ""), "t.toml: unknown key sever.x", "`tributary serve --help`"),
            ("x = 1", ("", ""), ("", ""), "t.toml: unknown key x", ""),
            (
                "",
                ("TRIBUTARY_LISTN", "x"),
                ("", ""),
                "unknown environment variable TRIBUTARY_LISTN",
                "TRIBUTARY_LISTEN",
            ),
            ("", ("", ""), ("server.max_connections", "many"), "--set: server.max_connections: \"many\" is not a", ""),
            (
                "",
                ("", ""),
                ("server.listen", "0.0.0.0:5488"),
                "refusing to listen on 0.0.0.0:5488 without tls",
                "allow_plaintext",
            ),
            ("", ("", ""), ("admin.listen", "0.0.0.0:1"), "refusing to listen on 0.0.0.0:1 without tls", ""),
            ("[server]\ntls_cert = \"c\"", ("", ""), ("", ""), "tls_cert and tls_key must be given together", ""),
            (
                "[[access]]\nmethod = \"trust\"",
                ("", ""),
                ("", ""),
                "an access rule trusts addresses of other machines",
                "",
            ),
            (
                "[[access]]\nmethd = \"trust\"",
                ("", ""),
                ("", ""),
                "t.toml: [[access]] number 1: unknown key methd; did you mean method?",
                "",
            ),
            (
                "[[access]]\nmethod = \"md5\"",
                ("", ""),
                ("", ""),
                "t.toml: [[access]] number 1: method md5 is not supported; use scram",
                "",
            ),
            ("[server]\nmax_connections = 3", ("", ""), ("", ""), "server.reserved_connections must be less", ""),
        ] {
            let some = |pair: (&'static str, &'static str)| (!pair.0.is_empty()).then_some(pair);
            let environment: Vec<_> = some(environment).into_iter().collect();
            let flags: Vec<_> = some(flag).into_iter().collect();
            let error = Config::build(&sources(file, &environment, &flags)).unwrap_err();
            assert!(error.message.starts_with(message), "{error}");
            assert!(error.hint.unwrap_or_default().contains(hint), "{message}");
        }
        let mut trusting = sources("", &[], &[("server.listen", "10.0.0.1:1"), ("server.allow_plaintext", "true")]);
        trusting.flags.push(("server.trust".into(), "true".into(), "--trust".into()));
        assert_eq!(Config::build(&trusting).unwrap_err().message, "refusing --trust on 10.0.0.1:1");
    }

    #[test]
    fn access_rules_keep_their_order() {
        let file = "[[access]]\naddress = \"loopback\"\nuser = [\"ann\", \"bob\"]\nmethod = \"trust\"\n\
                    [[access]]\nmethod = \"scram\"\ntls = true\n";
        let rules = Config::build(&sources(file, &[], &[])).unwrap().access_rules();
        assert_eq!(rules.len(), 2);
        assert_eq!((rules[0].method, rules[0].users.len()), (Method::Trust, 2));
        assert_eq!((rules[1].method, rules[1].tls), (Method::Scram, Some(true)));
    }
}
