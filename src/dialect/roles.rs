//! Statements about roles: CREATE, ALTER, DROP ROLE | USER | GROUP, and GRANT or REVOKE of membership.
//!
//! They are read here and not by sqlparser, which knows USER as another product's statement and lacks half of the
//! options. A GRANT or REVOKE with ON is about rights and none of ours.

use tributary_pg::error::PgError;

use super::sqlparser::tokenizer::{Token, TokenWithSpan};
use super::syntax_error::unexpected;

/// A statement about roles.
#[derive(Clone, Debug, PartialEq)]
pub enum RoleStatement {
    /// CREATE ROLE | USER | GROUP.
    Create {
        /// Its name.
        name: String,
        /// Given or meant options; USER means LOGIN.
        options: Vec<RoleOption>,
    },
    /// ALTER ROLE name options.
    Alter {
        /// Its name.
        name: String,
        /// Options to change.
        options: Vec<RoleOption>,
    },
    /// ALTER ROLE name RENAME TO new.
    Rename {
        /// Its name.
        name: String,
        /// The new name.
        new_name: String,
    },
    /// ALTER ROLE name SET setting TO value, RESET setting | ALL.
    Setting {
        /// Its name.
        name: String,
        /// The setting, `None` for RESET ALL.
        setting: Option<String>,
        /// The value, `None` for RESET and DEFAULT.
        value: Option<String>,
    },
    /// DROP ROLE | USER | GROUP.
    Drop {
        /// IF EXISTS.
        if_exists: bool,
        /// Names.
        names: Vec<String>,
    },
    /// GRANT role, ... TO role, ... [WITH ADMIN OPTION].
    Grant {
        /// Roles given.
        roles: Vec<String>,
        /// Roles that get them.
        members: Vec<String>,
        /// WITH ADMIN OPTION.
        admin: bool,
    },
    /// REVOKE [ADMIN OPTION FOR] role, ... FROM role, ....
    Revoke {
        /// Roles taken.
        roles: Vec<String>,
        /// Roles that lose them.
        members: Vec<String>,
        /// Only the right to give them on.
        admin_only: bool,
    },
}

/// An attribute of a role.
#[derive(Clone, PartialEq)]
pub enum RoleOption {
    /// `[NO]SUPERUSER`
    Superuser(bool),
    /// `[NO]CREATEDB`
    CreateDatabase(bool),
    /// `[NO]CREATEROLE`
    CreateRole(bool),
    /// `[NO]INHERIT`
    Inherit(bool),
    /// `[NO]LOGIN`
    Login(bool),
    /// `[NO]REPLICATION`
    Replication(bool),
    /// `[NO]BYPASSRLS`
    BypassRls(bool),
    /// CONNECTION LIMIT n
    ConnectionLimit(i32),
    /// `[ENCRYPTED] PASSWORD 'x' | NULL`
    Password(Option<String>),
    /// VALID UNTIL 't'
    ValidUntil(String),
    /// IN ROLE | IN GROUP
    InRole(Vec<String>),
    /// ROLE | USER: members
    Members(Vec<String>),
    /// ADMIN: members that may give it on
    Admins(Vec<String>),
}

/// Passwords stay out of logs.
impl std::fmt::Debug for RoleOption {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Password(_) => f.write_str("Password(<hidden>)"),
            Self::Superuser(on) => write!(f, "Superuser({on})"),
            Self::CreateDatabase(on) => write!(f, "CreateDatabase({on})"),
            Self::CreateRole(on) => write!(f, "CreateRole({on})"),
            Self::Inherit(on) => write!(f, "Inherit({on})"),
            Self::Login(on) => write!(f, "Login({on})"),
            Self::Replication(on) => write!(f, "Replication({on})"),
            Self::BypassRls(on) => write!(f, "BypassRls({on})"),
            Self::ConnectionLimit(limit) => write!(f, "ConnectionLimit({limit})"),
            Self::ValidUntil(time) => write!(f, "ValidUntil({time})"),
            Self::InRole(names) => write!(f, "InRole({names:?})"),
            Self::Members(names) => write!(f, "Members({names:?})"),
            Self::Admins(names) => write!(f, "Admins({names:?})"),
        }
    }
}

/// A server has one database, and what is set for it stands in its configuration.
fn of_database(what: &str) -> PgError {
    PgError::unsupported(format!("{what} is not supported"))
        .hint("Use ALTER ROLE name SET, or [settings] in the configuration file.")
}

/// Reads a statement about roles; `None` if it is none. `tokens` hold no blanks.
pub(super) fn parse(tokens: &[&TokenWithSpan], text: &str) -> Result<Option<RoleStatement>, PgError> {
    let mut reader = Reader { tokens, at: 0, text };
    let kind = (reader.word(0), reader.word(1));
    let statement = match (kind.0.as_str(), kind.1.as_str()) {
        // CREATE USER MAPPING belongs to foreign data.
        ("CREATE" | "ALTER" | "DROP", "USER") if reader.word(2) == "MAPPING" => return Ok(None),
        ("CREATE", "ROLE" | "USER" | "GROUP") => {
            reader.at = 2;
            let name = reader.name()?;
            let mut options = reader.options()?;
            let login = kind.1 == "USER" && !options.iter().any(|option| matches!(option, RoleOption::Login(_)));
            options.extend(login.then_some(RoleOption::Login(true)));
            RoleStatement::Create { name, options }
        }
        ("ALTER", "ROLE" | "USER" | "GROUP") => {
            reader.at = 2;
            reader.alter()?
        }
        ("ALTER", "DATABASE") => return Err(of_database("ALTER DATABASE")),
        ("DROP", "ROLE" | "USER" | "GROUP") => {
            reader.at = 2;
            let if_exists = reader.skip("IF") && reader.expect("EXISTS")?;
            RoleStatement::Drop { if_exists, names: reader.names()? }
        }
        ("GRANT" | "REVOKE", _) if !reader.contains("ON") => {
            reader.at = 1;
            reader.membership(kind.0 == "GRANT")?
        }
        _ => return Ok(None),
    };
    reader.end()?;
    Ok(Some(statement))
}

/// Reads the tokens of a statement one after the other.
pub(super) struct Reader<'a> {
    pub(super) tokens: &'a [&'a TokenWithSpan],
    /// The next token.
    pub(super) at: usize,
    pub(super) text: &'a str,
}

impl Reader<'_> {
    /// What stands `ahead` tokens on.
    pub(super) fn token(&self, ahead: usize) -> Option<&Token> {
        self.tokens.get(self.at + ahead).map(|token| &token.token)
    }

    /// The unquoted word `ahead` tokens on, upper case; empty for anything else.
    pub(super) fn word(&self, ahead: usize) -> String {
        match self.token(ahead) {
            Some(Token::Word(word)) if word.quote_style.is_none() => word.value.to_ascii_uppercase(),
            _ => String::new(),
        }
    }

    fn contains(&self, wanted: &str) -> bool {
        self.tokens.iter().any(|token| match &token.token {
            Token::Word(word) => word.quote_style.is_none() && word.value.eq_ignore_ascii_case(wanted),
            _ => false,
        })
    }

    pub(super) fn skip(&mut self, wanted: &str) -> bool {
        let found = self.word(0) == wanted;
        self.at += usize::from(found);
        found
    }

    pub(super) fn expect(&mut self, wanted: &str) -> Result<bool, PgError> {
        if self.skip(wanted) { Ok(true) } else { Err(self.error()) }
    }

    pub(super) fn error(&self) -> PgError {
        match self.tokens.get(self.at) {
            Some(token) => unexpected(token, self.text),
            None => PgError::new(tributary_pg::sqlstate::SYNTAX_ERROR, "syntax error at end of input").at(self
                .text
                .chars()
                .count()
                + 1),
        }
    }

    pub(super) fn end(&self) -> Result<(), PgError> {
        if self.at < self.tokens.len() { Err(self.error()) } else { Ok(()) }
    }

    pub(super) fn name(&mut self) -> Result<String, PgError> {
        let name = match self.tokens.get(self.at).map(|token| &token.token) {
            Some(Token::Word(word)) if word.quote_style.is_some() => word.value.clone(),
            Some(Token::Word(word)) => word.value.to_lowercase(),
            _ => return Err(self.error()),
        };
        self.at += 1;
        Ok(name)
    }

    fn names(&mut self) -> Result<Vec<String>, PgError> {
        let mut names = vec![self.name()?];
        while matches!(self.tokens.get(self.at).map(|token| &token.token), Some(Token::Comma)) {
            self.at += 1;
            names.push(self.name()?);
        }
        Ok(names)
    }

    pub(super) fn string(&mut self) -> Result<String, PgError> {
        let text = match self.tokens.get(self.at).map(|token| &token.token) {
            Some(
                Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text) | Token::UnicodeStringLiteral(text),
            ) => text.clone(),
            Some(Token::DollarQuotedString(text)) => text.value.clone(),
            _ => return Err(self.error()),
        };
        self.at += 1;
        Ok(text)
    }

    fn integer(&mut self) -> Result<i32, PgError> {
        let negative = matches!(self.tokens.get(self.at).map(|token| &token.token), Some(Token::Minus));
        self.at += usize::from(negative);
        let number = match self.tokens.get(self.at).map(|token| &token.token) {
            Some(Token::Number(number, _)) => number.parse::<i32>().map_err(|_| self.error())?,
            _ => return Err(self.error()),
        };
        self.at += 1;
        Ok(if negative { -number } else { number })
    }

    fn options(&mut self) -> Result<Vec<RoleOption>, PgError> {
        self.skip("WITH");
        let mut options: Vec<RoleOption> = Vec::new();
        while self.at < self.tokens.len() {
            let start = self.at;
            let option = self.option()?;
            let repeated = options.iter().any(|other| std::mem::discriminant(other) == std::mem::discriminant(&option));
            if repeated {
                self.at = start;
                let error = PgError::new(tributary_pg::sqlstate::SYNTAX_ERROR, "conflicting or redundant options");
                return Err(match self.error().position {
                    Some(position) => error.at(position),
                    None => error,
                });
            }
            options.push(option);
        }
        Ok(options)
    }

    fn option(&mut self) -> Result<RoleOption, PgError> {
        let word = self.word(0);
        let (on, flag) = match word.strip_prefix("NO") {
            Some(rest) if !rest.is_empty() => (false, rest),
            _ => (true, word.as_str()),
        };
        let flag = match flag {
            "SUPERUSER" => Some(RoleOption::Superuser(on)),
            "CREATEDB" => Some(RoleOption::CreateDatabase(on)),
            "CREATEROLE" => Some(RoleOption::CreateRole(on)),
            "INHERIT" => Some(RoleOption::Inherit(on)),
            "LOGIN" => Some(RoleOption::Login(on)),
            "REPLICATION" => Some(RoleOption::Replication(on)),
            "BYPASSRLS" => Some(RoleOption::BypassRls(on)),
            _ => None,
        };
        if let Some(flag) = flag {
            self.at += 1;
            return Ok(flag);
        }
        self.at += 1;
        match word.as_str() {
            "CONNECTION" => {
                self.expect("LIMIT")?;
                Ok(RoleOption::ConnectionLimit(self.integer()?))
            }
            "ENCRYPTED" => {
                self.expect("PASSWORD")?;
                Ok(RoleOption::Password(Some(self.string()?)))
            }
            "PASSWORD" if self.skip("NULL") => Ok(RoleOption::Password(None)),
            "PASSWORD" => Ok(RoleOption::Password(Some(self.string()?))),
            "VALID" => {
                self.expect("UNTIL")?;
                Ok(RoleOption::ValidUntil(self.string()?))
            }
            "IN" => {
                if !self.skip("ROLE") {
                    self.expect("GROUP")?;
                }
                Ok(RoleOption::InRole(self.names()?))
            }
            "ROLE" | "USER" => Ok(RoleOption::Members(self.names()?)),
            "ADMIN" => Ok(RoleOption::Admins(self.names()?)),
            _ => {
                self.at -= 1;
                Err(self.error())
            }
        }
    }

    fn alter(&mut self) -> Result<RoleStatement, PgError> {
        if self.word(0) == "ALL" {
            return Err(of_database("ALTER ROLE ALL"));
        }
        let name = self.name()?;
        match self.word(0).as_str() {
            "IN" if self.word(1) == "DATABASE" => Err(of_database("ALTER ROLE IN DATABASE")),
            "RENAME" => {
                self.at += 1;
                self.expect("TO")?;
                Ok(RoleStatement::Rename { name, new_name: self.name()? })
            }
            // ALTER GROUP g ADD | DROP USER u
            "ADD" | "DROP" => {
                let grant = self.word(0) == "ADD";
                self.at += 1;
                self.expect("USER")?;
                let (roles, members) = (vec![name], self.names()?);
                Ok(if grant {
                    RoleStatement::Grant { roles, members, admin: false }
                } else {
                    RoleStatement::Revoke { roles, members, admin_only: false }
                })
            }
            "SET" => {
                self.at += 1;
                let setting = Some(self.setting_name()?);
                let equals = matches!(self.tokens.get(self.at).map(|token| &token.token), Some(Token::Eq));
                self.at += usize::from(equals);
                if !equals {
                    self.expect("TO")?;
                }
                let value = if self.skip("DEFAULT") { None } else { Some(self.setting_value()?) };
                Ok(RoleStatement::Setting { name, setting, value })
            }
            "RESET" => {
                self.at += 1;
                let setting = if self.skip("ALL") { None } else { Some(self.setting_name()?) };
                Ok(RoleStatement::Setting { name, setting, value: None })
            }
            _ => Ok(RoleStatement::Alter { name, options: self.options()? }),
        }
    }

    fn setting_name(&mut self) -> Result<String, PgError> {
        let mut name = self.name()?;
        while matches!(self.tokens.get(self.at).map(|token| &token.token), Some(Token::Period)) {
            self.at += 1;
            name = format!("{name}.{}", self.name()?);
        }
        Ok(name)
    }

    /// Words, numbers and texts, separated by commas.
    fn setting_value(&mut self) -> Result<String, PgError> {
        let mut values = Vec::new();
        loop {
            values.push(match self.tokens.get(self.at).map(|token| &token.token) {
                Some(Token::Number(..) | Token::Minus) => self.integer()?.to_string(),
                Some(Token::Word(_)) => self.name()?,
                _ => self.string()?,
            });
            if !matches!(self.tokens.get(self.at).map(|token| &token.token), Some(Token::Comma)) {
                return Ok(values.join(", "));
            }
            self.at += 1;
        }
    }

    fn membership(&mut self, grant: bool) -> Result<RoleStatement, PgError> {
        let admin_only = !grant && self.word(0) == "ADMIN" && self.word(1) == "OPTION";
        if admin_only {
            self.at += 2;
            self.expect("FOR")?;
        }
        let roles = self.names()?;
        self.expect(if grant { "TO" } else { "FROM" })?;
        let members = self.names()?;
        let admin = grant && self.skip("WITH");
        if admin {
            self.expect("ADMIN")?;
            self.expect("OPTION")?;
        }
        if self.skip("GRANTED") {
            self.expect("BY")?;
            self.name()?;
        }
        if !grant && !self.skip("CASCADE") {
            self.skip("RESTRICT");
        }
        Ok(if grant {
            RoleStatement::Grant { roles, members, admin }
        } else {
            RoleStatement::Revoke { roles, members, admin_only }
        })
    }
}
