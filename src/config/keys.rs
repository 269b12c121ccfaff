//! The table of configuration keys.
//!
//! One row is everything about a key: name, shown default, description, and how its text becomes a value. Help, the
//! environment variables and the check for unknown names are made from it.

use std::time::Duration;

use tributary_store::STORE_KEYS;

use super::Config;
use super::value::{address, byte_count, duration, flag, whole_number};

/// Environment variables begin with this; the rest is the key in upper case with underscores.
pub const ENVIRONMENT_PREFIX: &str = "TRIBUTARY_";

/// Names the configuration file; not a key, since a file cannot name itself.
pub const CONFIG_VARIABLE: &str = "TRIBUTARY_CONFIG";

/// Keys so common that their variable needs no section.
const SHORT: [(&str, &str); 4] = [
    ("TRIBUTARY_LISTEN", "server.listen"),
    ("TRIBUTARY_DATA_DIR", "server.data_dir"),
    ("TRIBUTARY_TRUST", "server.trust"),
    ("TRIBUTARY_LOG", "log.filter"),
];

/// One key.
pub struct Key {
    /// `section.name`.
    pub path: &'static str,
    /// The default as a person would write it.
    pub default: &'static str,
    /// What it does, in one line.
    pub doc: &'static str,
    /// Reads the text into the configuration, or says what is wrong with it.
    pub set: fn(&mut Config, &str) -> Result<(), String>,
}

impl Key {
    /// The environment variable of this key: the short one where there is one.
    pub fn variable(&self) -> String {
        match SHORT.iter().find(|(_, path)| *path == self.path) {
            Some((variable, _)) => (*variable).to_owned(),
            None => format!("{ENVIRONMENT_PREFIX}{}", self.path.replace('.', "_").to_uppercase()),
        }
    }
}

/// The key an environment variable stands for.
pub fn of_variable(name: &str) -> Option<String> {
    if let Some((_, path)) = SHORT.iter().find(|(variable, _)| *variable == name) {
        return Some((*path).to_owned());
    }
    let rest = name.strip_prefix(ENVIRONMENT_PREFIX)?.to_lowercase();
    for free in ["settings", "store"] {
        if let Some(key) = rest.strip_prefix(free).and_then(|rest| rest.strip_prefix('_')) {
            return Some(format!("{free}.{key}"));
        }
    }
    KEYS.iter().map(|key| key.path).find(|path| path.replace('.', "_") == rest).map(str::to_owned)
}

/// All keys, in the order of the help text.
pub static KEYS: &[Key] = &[
    Key {
        path: "server.data_dir",
        default: "(none)",
        doc: "directory of the data; made if it does not exist",
        set: |config, text| {
            config.data_dir = Some(text.into());
            Ok(())
        },
    },
    Key {
        path: "server.listen",
        default: "127.0.0.1:5488",
        doc: "address and port for PostgreSQL clients; another address than loopback needs TLS",
        set: |config, text| {
            config.listen = address(text)?;
            Ok(())
        },
    },
    Key {
        path: "server.socket_dir",
        default: "(none)",
        doc: "directory of the Unix socket; it is given mode 0700",
        set: |config, text| {
            config.socket_dir = Some(text.into());
            Ok(())
        },
    },
    Key {
        path: "server.database",
        default: "tributary",
        doc: "name of the database; clients may also call it postgres",
        set: |config, text| {
            if text.is_empty() || text.len() > 63 {
                return Err("a name has 1 to 63 bytes".to_owned());
            }
            text.clone_into(&mut config.database);
            Ok(())
        },
    },
    Key {
        path: "server.tls_cert",
        default: "(none)",
        doc: "PEM file with the certificate chain",
        set: |config, text| {
            config.tls_cert = Some(text.into());
            Ok(())
        },
    },
    Key {
        path: "server.tls_key",
        default: "(none)",
        doc: "PEM file with the private key, readable by its owner only",
        set: |config, text| {
            config.tls_key = Some(text.into());
            Ok(())
        },
    },
    Key {
        path: "server.allow_plaintext",
        default: "false",
        doc: "listen on another address than loopback without TLS",
        set: |config, text| {
            config.allow_plaintext = flag(text)?;
            Ok(())
        },
    },
    Key {
        path: "server.trust",
        default: "false",
        doc: "everyone from loopback is the superuser, without a password",
        set: |config, text| {
            config.trust = flag(text)?;
            Ok(())
        },
    },
    Key {
        path: "server.superuser",
        default: "(postgres)",
        doc: "superuser made at the first start",
        set: |config, text| {
            config.superuser = Some(text.to_owned());
            Ok(())
        },
    },
    Key {
        path: "server.password_file",
        default: "(none)",
        doc: "file with that superuser's password; without it one is written to superuser.password in the data directory",
        set: |config, text| {
            config.password_file = Some(text.into());
            Ok(())
        },
    },
    Key {
        path: "server.max_connections",
        default: "200",
        doc: "sessions at most",
        set: |config, text| {
            config.connections_max = whole_number(text, 1, 10_000)?;
            Ok(())
        },
    },
    Key {
        path: "server.reserved_connections",
        default: "3",
        doc: "of these, kept for superusers",
        set: |config, text| {
            config.connections_reserved = whole_number(text, 0, 1_000)?;
            Ok(())
        },
    },
    Key {
        path: "server.authentication_timeout",
        default: "10s",
        doc: "time for encryption, start-up packet and password together",
        set: |config, text| {
            config.authentication_timeout = duration(text, Duration::from_millis(100), Duration::from_secs(600))?;
            Ok(())
        },
    },
    Key {
        path: "server.max_message",
        default: "256MiB",
        doc: "longest message of a client",
        set: |config, text| {
            config.message_bytes_max = byte_count(text, 64 << 10, 1 << 30)?;
            Ok(())
        },
    },
    Key {
        path: "server.shutdown_timeout",
        default: "3s",
        doc: "how long running statements get when the server is told to stop",
        set: |config, text| {
            config.shutdown_timeout = duration(text, Duration::ZERO, Duration::from_secs(3_600))?;
            Ok(())
        },
    },
    Key {
        path: "server.reactor_threads",
        default: "1",
        doc: "threads that move bytes",
        set: |config, text| {
            config.reactor_threads = whole_number(text, 1, 64)?;
            Ok(())
        },
    },
    Key {
        path: "server.query_threads",
        default: "0",
        doc: "threads that plan and run statements; 0 is one a core",
        set: |config, text| {
            config.query_threads = whole_number(text, 0, 1_024)?;
            Ok(())
        },
    },
    Key {
        path: "server.query_memory",
        default: "(what store.memory leaves)",
        doc: "memory all queries may use together",
        set: |config, text| {
            config.query_memory_bytes = Some(byte_count(text, 16 << 20, usize::MAX >> 1)?);
            Ok(())
        },
    },
    Key {
        path: "server.temp_limit",
        default: "50GiB",
        doc: "disk space all queries may use together for what does not fit their memory",
        set: |config, text| {
            config.temp_bytes_max = byte_count(text, 16 << 20, usize::MAX >> 1)?;
            Ok(())
        },
    },
    Key {
        path: "admin.listen",
        default: "(none)",
        doc: "address and port of /health, /ready and /metrics",
        set: |config, text| {
            config.admin_listen = Some(address(text)?);
            Ok(())
        },
    },
    Key {
        path: "log.filter",
        default: "info",
        doc: "which log lines are written to standard error",
        set: |config, text| {
            text.clone_into(&mut config.log_filter);
            Ok(())
        },
    },
];

/// The part of the help text that lists the keys.
pub fn help() -> String {
    let width = KEYS.iter().map(|key| key.path.len()).max().unwrap_or(0);
    let mut text = String::from(
        "Configuration keys, for the file ([section] and name = value), for --set section.name=value and, in upper\n\
         case with underscores, for TRIBUTARY_* variables (TRIBUTARY_SERVER_DATABASE). Later ones win: file,\n\
         environment, command line. PostgreSQL settings go into [settings], access rules into [[access]]:\n\n",
    );
    for key in KEYS {
        text.push_str(&format!("  {:width$}  {} [{}]\n", key.path, key.doc, key.default));
    }
    text.push_str("\nOf the store, with the reason to change them:\n\n");
    let width = STORE_KEYS.iter().map(|key| key.name.len() + 6).max().unwrap_or(0);
    for key in STORE_KEYS {
        text.push_str(&format!("  {:width$}  {} [{}]\n", format!("store.{}", key.name), key.doc, key.default));
    }
    text.push_str(
        "\n  [[access]]  address = \"all\" | \"loopback\" | \"local\" | \"10.0.0.0/8\", user = \"name\" or a list,\n              \
         method = \"scram\" | \"peer\" | \"trust\" | \"reject\", tls = true | false; the first fitting rule decides\n",
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The default shown in the help is the default in force.
    #[test]
    fn shown_defaults_are_true() {
        let mut config = Config::default();
        for key in KEYS.iter().filter(|key| !key.default.starts_with('(')) {
            (key.set)(&mut config, key.default).unwrap();
        }
        assert_eq!(format!("{config:?}"), format!("{:?}", Config::default()));
    }

    #[test]
    fn every_key_has_a_variable_of_its_own() {
        let mut seen = std::collections::BTreeSet::new();
        for key in KEYS {
            assert_eq!(of_variable(&key.variable()).as_deref(), Some(key.path));
            assert!(seen.insert(key.variable()));
            assert!(help().contains(key.path));
        }
        assert!(STORE_KEYS.iter().all(|key| help().contains(&format!("  store.{} ", key.name))));
        assert_eq!(of_variable("TRIBUTARY_SETTINGS_WORK_MEM").as_deref(), Some("settings.work_mem"));
        assert_eq!(of_variable("TRIBUTARY_NOPE"), None);
    }
}
