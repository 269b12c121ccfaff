//! SET, SHOW, RESET, DISCARD.

use tributary_pg::error::{PgError, Severity};
use tributary_pg::sqlstate;

use super::{Analysis, text_column, text_rows};
use crate::dialect::DiscardTarget;
use crate::dialect::sqlparser::ast::{ContextModifier, Expr, Ident, ObjectName, Set, UnaryOperator, Value};
use crate::engine::catalog::rights;
use crate::engine::prepared::{Outcome, OutputColumn, Portal};
use crate::engine::session::Session;
use crate::engine::settings::{Settings, definitions};
use crate::engine::transaction::TransactionStatus;

/// The columns of SHOW.
pub(super) fn analyze_show(variable: &[Ident]) -> Result<Analysis, PgError> {
    Ok(Analysis::utility_rows(show_columns(&setting_name(variable))))
}

fn show_columns(name: &str) -> Vec<OutputColumn> {
    if name.eq_ignore_ascii_case("all") {
        return ["name", "setting", "description"].map(text_column).to_vec();
    }
    vec![text_column(&Settings::spelling(name))]
}

/// SHOW name, SHOW ALL.
pub(super) fn show(session: &mut Session, portal: &mut Portal, variable: &[Ident]) -> Result<Outcome, PgError> {
    let name = setting_name(variable);
    let rows = if name.eq_ignore_ascii_case("all") {
        let settings = session.settings();
        definitions()
            .values()
            .map(|d| vec![d.name.clone(), settings.get(&d.name).unwrap_or_default(), d.short_desc.clone()])
            .collect()
    } else {
        vec![vec![session.settings().show(&name)?]]
    };
    text_rows(portal, &show_columns(&name), &rows)?;
    Ok(Outcome::Rows("SHOW"))
}

/// `SHOW TIME ZONE`, `SHOW SESSION AUTHORIZATION`, `SHOW TRANSACTION ISOLATION LEVEL` and plain names.
fn setting_name(variable: &[Ident]) -> String {
    let words: Vec<String> = variable.iter().map(|ident| ident.value.clone()).collect();
    match words.iter().map(|word| word.to_lowercase()).collect::<Vec<_>>().join(" ").as_str() {
        "time zone" => "TimeZone".to_owned(),
        // The parser takes SESSION for a modifier.
        "session authorization" | "authorization" => "session_authorization".to_owned(),
        "transaction isolation level" => "transaction_isolation".to_owned(),
        _ => words.join("."),
    }
}

/// SET in all its forms but SET TRANSACTION.
pub(super) fn set(session: &mut Session, set: &Set) -> Result<Outcome, PgError> {
    match set {
        Set::SingleAssignment { scope, variable, values, .. } => {
            let name = object_name(variable);
            assign(session, &name, values, matches!(scope, Some(ContextModifier::Local)))?;
        }
        Set::SetTimeZone { local, value } => assign(session, "TimeZone", std::slice::from_ref(value), *local)?,
        Set::SetNames { charset_name, .. } => session.settings().set("client_encoding", &charset_name.value, false)?,
        Set::SetNamesDefault {} => session.settings().reset("client_encoding")?,
        Set::SetRole { context_modifier, role_name } => {
            let local = matches!(context_modifier, Some(ContextModifier::Local));
            set_role(session, role_name.as_ref().map(|role| role.value.as_str()), local)?;
        }
        Set::SetSessionAuthorization(_) => {
            return Err(PgError::internal("SET SESSION AUTHORIZATION reached the wrong branch"));
        }
        _ => return Err(PgError::new(sqlstate::SYNTAX_ERROR, "syntax error in SET")),
    }
    Ok(Outcome::Done("SET".to_owned()))
}

fn assign(session: &mut Session, name: &str, values: &[Expr], local: bool) -> Result<(), PgError> {
    if local && session.transaction_status() == TransactionStatus::Idle {
        session.notice(
            PgError::new(sqlstate::NO_ACTIVE_SQL_TRANSACTION, "SET LOCAL can only be used in transaction blocks")
                .severity(Severity::Warning),
        );
        return Ok(());
    }
    if let [Expr::Identifier(word)] = values
        && word.quote_style.is_none()
        && word.value.eq_ignore_ascii_case("default")
    {
        return session.settings().reset(name);
    }
    if name.eq_ignore_ascii_case("timezone")
        && let [Expr::Identifier(word)] = values
        && word.value.eq_ignore_ascii_case("local")
    {
        return session.settings().reset(name);
    }
    if name.eq_ignore_ascii_case("role") {
        let role = setting_value(name, values)?;
        return set_role(session, Some(role.as_str()).filter(|role| *role != "none"), local);
    }
    let value = setting_value(name, values)?;
    if name.eq_ignore_ascii_case("session_authorization") {
        return session_authorization(session, Some(&value)).map(drop);
    }
    session.settings().set(name, &value, local)?;
    if name.eq_ignore_ascii_case("application_name") {
        session.backend().update(|status| status.application_name = value);
    }
    Ok(())
}

fn set_role(session: &mut Session, role: Option<&str>, local: bool) -> Result<(), PgError> {
    let value = role.unwrap_or("none").to_owned();
    if let Some(role) = role {
        let user = session.settings().get("session_authorization").unwrap_or_default();
        rights::must_be_member(&session.catalog(), &user, role)?;
    }
    session.settings().set_identity("role", &value, local);
    let current = session.current_user();
    session.backend().update(|status| status.role = current);
    session.report_superuser();
    Ok(())
}

/// A list becomes `a, b`; words are folded, strings kept; list settings quote what needs it.
fn setting_value(name: &str, values: &[Expr]) -> Result<String, PgError> {
    let parts = values.iter().map(value_text).collect::<Result<Vec<_>, _>>()?;
    if name.eq_ignore_ascii_case("search_path") {
        let quoted: Vec<String> = parts.iter().map(|part| quote_if_needed(part)).collect();
        return Ok(quoted.join(", "));
    }
    Ok(parts.join(", "))
}

fn quote_if_needed(name: &str) -> String {
    let plain = !name.is_empty()
        && name
            .chars()
            .enumerate()
            .all(|(index, c)| c == '_' || c.is_ascii_lowercase() || (index > 0 && (c.is_ascii_digit() || c == '$')));
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

fn value_text(value: &Expr) -> Result<String, PgError> {
    match value {
        Expr::Identifier(ident) if ident.quote_style.is_some() => Ok(ident.value.clone()),
        Expr::Identifier(ident) => Ok(ident.value.to_lowercase()),
        Expr::CompoundIdentifier(parts) => {
            Ok(parts.iter().map(|part| part.value.clone()).collect::<Vec<_>>().join("."))
        }
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text)
            | Value::EscapedStringLiteral(text)
            | Value::UnicodeStringLiteral(text)
            | Value::DoubleQuotedString(text) => Ok(text.clone()),
            Value::Number(number, _) => Ok(number.clone()),
            Value::Boolean(flag) => Ok(if *flag { "true" } else { "false" }.to_owned()),
            other => Err(PgError::new(sqlstate::SYNTAX_ERROR, format!("syntax error at or near \"{other}\""))),
        },
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => Ok(format!("-{}", value_text(expr)?)),
        Expr::UnaryOp { op: UnaryOperator::Plus, expr } => value_text(expr),
        Expr::Interval(interval) => interval_hours(&interval.value.to_string()),
        other => Err(PgError::new(sqlstate::SYNTAX_ERROR, format!("syntax error at or near \"{other}\""))),
    }
}

/// `SET TIME ZONE INTERVAL '-08:00' HOUR TO MINUTE`.
fn interval_hours(text: &str) -> Result<String, PgError> {
    let text = text.trim_matches('\'');
    let invalid = || {
        PgError::new(sqlstate::INVALID_PARAMETER_VALUE, format!("invalid value for parameter \"TimeZone\": \"{text}\""))
    };
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    let (hours, minutes) = rest.split_once(':').unwrap_or((rest, "0"));
    let hours: f64 = hours.trim().parse().map_err(|_| invalid())?;
    let minutes: f64 = minutes.trim().parse().map_err(|_| invalid())?;
    Ok((sign * (hours + minutes / 60.0)).to_string())
}

pub(in crate::engine) fn object_name(name: &ObjectName) -> String {
    name.0
        .iter()
        .map(|part| part.as_ident().map_or_else(|| part.to_string(), |ident| ident.value.clone()))
        .collect::<Vec<_>>()
        .join(".")
}

/// RESET name, RESET ALL.
pub(super) fn reset(session: &mut Session, name: Option<&str>) -> Result<Outcome, PgError> {
    match name {
        Some(name) if name.eq_ignore_ascii_case("timezone") || name.eq_ignore_ascii_case("time zone") => {
            session.settings().reset("TimeZone")?;
        }
        Some(name) if name.eq_ignore_ascii_case("role") => set_role(session, None, false)?,
        Some(name) if name.eq_ignore_ascii_case("session_authorization") => {
            session_authorization(session, None)?;
        }
        Some(name) => session.settings().reset(name)?,
        None => session.settings().reset_all(),
    }
    Ok(Outcome::Done("RESET".to_owned()))
}

/// SET SESSION AUTHORIZATION: only to the role that logged in, or by a superuser.
pub(super) fn session_authorization(session: &mut Session, role: Option<&str>) -> Result<Outcome, PgError> {
    let login = session.backend().user.clone();
    let role = role.unwrap_or(&login).to_owned();
    rights::must_be_superuser_or_same(&session.catalog(), &login, &role)?;
    session.settings().set_identity("session_authorization", &role, false);
    set_role(session, None, false)?;
    Ok(Outcome::Done("SET".to_owned()))
}

/// DISCARD.
pub(super) async fn discard(session: &mut Session, target: DiscardTarget) -> Result<Outcome, PgError> {
    let tag = match target {
        DiscardTarget::Plans => "DISCARD PLANS",
        DiscardTarget::Sequences => {
            session.forget_sequences();
            "DISCARD SEQUENCES"
        }
        DiscardTarget::Temp => {
            session.drop_temporary().await?;
            "DISCARD TEMP"
        }
        DiscardTarget::All => {
            if session.transaction_status() != TransactionStatus::Idle {
                return Err(PgError::new(
                    sqlstate::ACTIVE_SQL_TRANSACTION,
                    "DISCARD ALL cannot run inside a transaction block",
                ));
            }
            session.close_all_portals();
            session_authorization(session, None)?;
            session.settings().reset_all();
            session.close_all_prepared();
            session.forget_sequences();
            session.drop_temporary().await?;
            session.mailbox().unlisten(None);
            "DISCARD ALL"
        }
    };
    Ok(Outcome::Done(tag.to_owned()))
}
