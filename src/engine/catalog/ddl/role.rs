//! Roles: CREATE, ALTER, DROP, and membership by GRANT and REVOKE.
//!
//! A password becomes a verifier here, at once. Membership is kept with the member.

use tributary_pg::error::{PgError, PgResult, Severity};
use tributary_pg::sqlstate;

use super::{Ddl, DdlDone};
use crate::dialect::{RoleOption, RoleStatement};
use crate::engine::catalog::rights;
use crate::engine::catalog::verifier::Verifier;
use crate::engine::catalog::{Membership, RoleObject};
use crate::engine::settings::Settings;

impl Ddl<'_> {
    /// Runs a statement about roles.
    pub fn run_role(mut self, statement: &RoleStatement) -> PgResult<DdlDone> {
        let tag = match statement {
            RoleStatement::Create { name, options } => self.create_role(name, options),
            RoleStatement::Alter { name, options } => self.alter_role(name, options),
            RoleStatement::Rename { name, new_name } => self.rename_role(name, new_name),
            RoleStatement::Setting { name, setting, value } => {
                self.role_setting(name, setting.as_deref(), value.as_deref())
            }
            RoleStatement::Drop { if_exists, names } => self.drop_roles(names, *if_exists).map(|()| "DROP ROLE"),
            RoleStatement::Grant { roles, members, admin } => self.grant_roles(roles, members, *admin),
            RoleStatement::Revoke { roles, members, admin_only } => self.revoke_roles(roles, members, *admin_only),
        }?;
        Ok(self.done(tag))
    }

    fn create_role(&mut self, name: &str, options: &[RoleOption]) -> PgResult<&'static str> {
        if !self.role.superuser && !self.role.create_role {
            return Err(PgError::new(sqlstate::INSUFFICIENT_PRIVILEGE, "permission denied to create role"));
        }
        let name = self.cut_name(name.to_owned());
        refuse_reserved(&name)?;
        if self.catalog.role(&name).is_some() {
            return Err(PgError::new(sqlstate::DUPLICATE_OBJECT, format!("role \"{name}\" already exists")));
        }
        let mut role = RoleObject {
            oid: self.host.new_oid()?,
            name,
            superuser: false,
            login: false,
            create_role: false,
            create_database: false,
            inherit: true,
            replication: false,
            bypass_rls: false,
            connection_limit: -1,
            verifier: None,
            valid_until_us: None,
            member_of: Vec::new(),
            settings: Vec::new(),
            comment: None,
        };
        self.apply_options(&mut role, options)?;
        let oid = role.oid;
        let own_name = role.name.clone();
        self.put(role);
        for option in options {
            match option {
                RoleOption::InRole(groups) => {
                    for group in groups {
                        self.add_member(group, &own_name, false)?;
                    }
                }
                RoleOption::Members(members) => {
                    for member in members {
                        self.add_member(&own_name, member, false)?;
                    }
                }
                RoleOption::Admins(members) => {
                    for member in members {
                        self.add_member(&own_name, member, true)?;
                    }
                }
                _ => {}
            }
        }
        debug_assert!(self.catalog.roles.contains_key(&oid), "the role was put");
        Ok("CREATE ROLE")
    }

    fn apply_options(&mut self, role: &mut RoleObject, options: &[RoleOption]) -> PgResult<()> {
        for option in options {
            match option {
                RoleOption::Superuser(on) => {
                    self.superusers_only(*on != role.superuser)?;
                    role.superuser = *on;
                }
                RoleOption::Replication(on) => {
                    self.superusers_only(*on != role.replication)?;
                    role.replication = *on;
                }
                RoleOption::BypassRls(on) => {
                    self.superusers_only(*on != role.bypass_rls)?;
                    role.bypass_rls = *on;
                }
                RoleOption::CreateDatabase(on) => role.create_database = *on,
                RoleOption::CreateRole(on) => role.create_role = *on,
                RoleOption::Inherit(on) => role.inherit = *on,
                RoleOption::Login(on) => role.login = *on,
                RoleOption::ConnectionLimit(limit) if *limit < -1 => {
                    return Err(PgError::new(
                        sqlstate::INVALID_PARAMETER_VALUE,
                        format!("invalid connection limit: {limit}"),
                    ));
                }
                RoleOption::ConnectionLimit(limit) => role.connection_limit = *limit,
                RoleOption::Password(None) => role.verifier = None,
                RoleOption::Password(Some(password)) if password.is_empty() => {
                    self.say("empty string is not a valid password, clearing password".to_owned());
                    role.verifier = None;
                }
                RoleOption::Password(Some(password)) => {
                    role.verifier = Some(Verifier::from_sql(password)?.to_string());
                }
                RoleOption::ValidUntil(text) => role.valid_until_us = Some(self.host.parse_time(text)?),
                RoleOption::InRole(_) | RoleOption::Members(_) | RoleOption::Admins(_) => {}
            }
        }
        Ok(())
    }

    fn superusers_only(&self, changes: bool) -> PgResult<()> {
        if changes && !self.role.superuser {
            return Err(PgError::new(sqlstate::INSUFFICIENT_PRIVILEGE, "must be superuser to change this attribute"));
        }
        Ok(())
    }

    fn alter_role(&mut self, name: &str, options: &[RoleOption]) -> PgResult<&'static str> {
        let mut role = self.role_named(name)?.as_ref().clone();
        let only_password = options.iter().all(|option| matches!(option, RoleOption::Password(_)));
        let own = role.oid == self.role.oid && only_password;
        if !own {
            self.may_change(&role)?;
        }
        self.apply_options(&mut role, options)?;
        let own_name = role.name.clone();
        self.put(role);
        for option in options {
            if let RoleOption::Members(members) = option {
                for member in members {
                    self.add_member(&own_name, member, false)?;
                }
            }
        }
        Ok("ALTER ROLE")
    }

    fn may_change(&self, role: &RoleObject) -> PgResult<()> {
        if role.superuser && !self.role.superuser {
            return Err(PgError::new(
                sqlstate::INSUFFICIENT_PRIVILEGE,
                "must be superuser to alter superuser roles or change superuser attribute",
            ));
        }
        if !self.role.superuser && !self.role.create_role {
            return Err(PgError::new(sqlstate::INSUFFICIENT_PRIVILEGE, "permission denied"));
        }
        Ok(())
    }

    fn rename_role(&mut self, name: &str, new_name: &str) -> PgResult<&'static str> {
        let mut role = self.role_named(name)?.as_ref().clone();
        self.may_change(&role)?;
        let new_name = self.cut_name(new_name.to_owned());
        refuse_reserved(&role.name)?;
        refuse_reserved(&new_name)?;
        if role.oid == self.role.oid {
            return Err(PgError::unsupported("current user cannot be renamed"));
        }
        if self.catalog.role(&new_name).is_some() {
            return Err(PgError::new(sqlstate::DUPLICATE_OBJECT, format!("role \"{new_name}\" already exists")));
        }
        self.rename_in_rights(&role.name, &new_name);
        role.name = new_name;
        self.put(role);
        Ok("ALTER ROLE")
    }

    fn role_setting(&mut self, name: &str, setting: Option<&str>, value: Option<&str>) -> PgResult<&'static str> {
        let mut role = self.role_named(name)?.as_ref().clone();
        if role.oid != self.role.oid {
            self.may_change(&role)?;
        }
        match setting {
            None => role.settings.clear(),
            Some(setting) => {
                let own = match value {
                    Some(value) => Settings::for_role(setting, value)?,
                    None => Settings::spelling(setting),
                };
                role.settings.retain(|entry| entry.split_once('=').is_none_or(|(name, _)| name != own));
                role.settings.extend(value.map(|value| format!("{own}={value}")));
            }
        }
        self.put(role);
        Ok("ALTER ROLE")
    }

    fn grant_roles(&mut self, roles: &[String], members: &[String], admin: bool) -> PgResult<&'static str> {
        for role in roles {
            for member in members {
                self.add_member(role, member, admin)?;
            }
        }
        Ok("GRANT ROLE")
    }

    fn add_member(&mut self, group: &str, member: &str, admin: bool) -> PgResult<()> {
        let group = self.role_named(group)?;
        let mut member = self.role_named(member)?.as_ref().clone();
        self.may_admin(&group)?;
        if rights::member_of(&self.catalog, &plain(&group), member.oid) || group.oid == member.oid {
            return Err(PgError::new(
                sqlstate::INVALID_GRANT_OPERATION,
                format!("role \"{}\" is a member of role \"{}\"", group.name, member.name),
            ));
        }
        if let Some(known) = member.member_of.iter_mut().find(|membership| membership.role == group.oid) {
            if known.admin || !admin {
                let text = format!("role \"{}\" is already a member of role \"{}\"", member.name, group.name);
                self.notice(PgError::new(sqlstate::SUCCESSFUL_COMPLETION, text));
                return Ok(());
            }
            known.admin = true;
        } else {
            member.member_of.push(Membership { role: group.oid, grantor: self.role.oid, admin });
        }
        self.put(member);
        Ok(())
    }

    fn revoke_roles(&mut self, roles: &[String], members: &[String], admin_only: bool) -> PgResult<&'static str> {
        for group in roles {
            for member in members {
                let group = self.role_named(group)?;
                let mut member = self.role_named(member)?.as_ref().clone();
                self.may_admin(&group)?;
                let Some(index) = member.member_of.iter().position(|membership| membership.role == group.oid) else {
                    let text = format!("role \"{}\" is not a member of role \"{}\"", member.name, group.name);
                    let warning = PgError::new(sqlstate::WARNING, text).severity(Severity::Warning);
                    self.notices.push(warning);
                    continue;
                };
                if admin_only {
                    member.member_of[index].admin = false;
                } else {
                    member.member_of.remove(index);
                }
                self.put(member);
            }
        }
        Ok("REVOKE ROLE")
    }

    /// Superusers, CREATEROLE for plain roles, and members with ADMIN OPTION.
    fn may_admin(&self, group: &RoleObject) -> PgResult<()> {
        let admin = self.role.member_of.iter().any(|membership| membership.role == group.oid && membership.admin);
        if self.role.superuser || admin || (self.role.create_role && !group.superuser) {
            return Ok(());
        }
        Err(PgError::new(
            sqlstate::INSUFFICIENT_PRIVILEGE,
            format!("must have admin option on role \"{}\"", group.name),
        ))
    }
}

/// The role without the superuser's right to be taken for a member of everything.
fn plain(role: &RoleObject) -> RoleObject {
    RoleObject { superuser: false, ..role.clone() }
}

fn refuse_reserved(name: &str) -> PgResult<()> {
    if name.starts_with("pg_") {
        return Err(PgError::new(sqlstate::RESERVED_NAME, format!("role name \"{name}\" is reserved"))
            .detail("Role names starting with \"pg_\" are reserved."));
    }
    if matches!(name, "public" | "none") {
        return Err(PgError::new(sqlstate::RESERVED_NAME, format!("role name \"{name}\" is reserved")));
    }
    Ok(())
}
