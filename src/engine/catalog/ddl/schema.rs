//! CREATE SCHEMA, ALTER SCHEMA.

use std::sync::Arc;

use tributary_pg::error::{PgError, PgResult};
use tributary_pg::sqlstate;

use super::{Ddl, fold, split_name};
use crate::dialect::sqlparser::ast::{AlterSchema, AlterSchemaOperation, ObjectName, Owner, SchemaName};
use crate::engine::catalog::{RoleObject, SchemaObject, rights};

impl Ddl<'_> {
    /// CREATE SCHEMA [IF NOT EXISTS] [name] [AUTHORIZATION role]
    pub(super) fn create_schema(&mut self, name: &SchemaName, if_not_exists: bool) -> PgResult<&'static str> {
        let (name, owner) = match name {
            SchemaName::Simple(name) => (self.schema_own_name(name)?, Arc::clone(&self.role)),
            SchemaName::UnnamedAuthorization(role) => {
                let owner = self.role_named(&fold(role))?;
                (owner.name.clone(), owner)
            }
            SchemaName::NamedAuthorization(name, role) => (self.schema_own_name(name)?, self.role_named(&fold(role))?),
        };
        if !self.role.superuser && !self.owns(owner.oid) {
            return Err(PgError::new(
                sqlstate::INSUFFICIENT_PRIVILEGE,
                format!("must be member of role \"{}\"", owner.name),
            ));
        }
        let name = self.cut_name(name);
        refuse_reserved(&name)?;
        if self.catalog.schema(&name).is_some() {
            let message = format!("schema \"{name}\" already exists");
            if if_not_exists {
                self.notice(PgError::new(sqlstate::DUPLICATE_SCHEMA, format!("{message}, skipping")));
                return Ok("CREATE SCHEMA");
            }
            return Err(PgError::new(sqlstate::DUPLICATE_SCHEMA, message));
        }
        let oid = self.host.new_oid()?;
        self.put(SchemaObject { oid, name, owner: owner.oid, acl: None, comment: None });
        Ok("CREATE SCHEMA")
    }

    /// ALTER SCHEMA name RENAME TO new | OWNER TO role
    pub(super) fn alter_schema(&mut self, alter: &AlterSchema) -> PgResult<&'static str> {
        let (_, name) = split_name(&alter.name)?;
        let mut schema = self.schema(&name)?.as_ref().clone();
        self.must_own(schema.owner, "schema", &name)?;
        for operation in &alter.operations {
            match operation {
                AlterSchemaOperation::Rename { name } => {
                    let (_, new) = split_name(name)?;
                    let new = self.cut_name(new);
                    refuse_reserved(&new)?;
                    if self.catalog.schema(&new).is_some() {
                        return Err(PgError::new(
                            sqlstate::DUPLICATE_SCHEMA,
                            format!("schema \"{new}\" already exists"),
                        ));
                    }
                    schema.name = new;
                }
                AlterSchemaOperation::OwnerTo { owner } => {
                    let owner = self.owner_named(owner)?.oid;
                    schema.acl = self.acl_of_new_owner(schema.acl.take(), schema.owner, owner);
                    schema.owner = owner;
                }
                other => return Err(PgError::unsupported(format!("ALTER SCHEMA {other} is not supported"))),
            }
        }
        self.put(schema);
        Ok("ALTER SCHEMA")
    }

    fn schema_own_name(&self, name: &ObjectName) -> PgResult<String> {
        split_name(name).map(|(_, name)| name)
    }

    /// A role by name, or 42704.
    pub(super) fn role_named(&self, name: &str) -> PgResult<Arc<RoleObject>> {
        match name {
            "current_user" | "current_role" | "session_user" => Ok(Arc::clone(&self.role)),
            _ => self
                .catalog
                .role(name)
                .cloned()
                .ok_or_else(|| PgError::new(sqlstate::UNDEFINED_OBJECT, format!("role \"{name}\" does not exist"))),
        }
    }

    /// A role that may be given an object; 42501 unless the current role is a member of it.
    pub(super) fn new_owner(&self, name: &str) -> PgResult<Arc<RoleObject>> {
        let role = self.role_named(name)?;
        if rights::member_of(&self.catalog, &self.role, role.oid) {
            return Ok(role);
        }
        Err(PgError::new(sqlstate::INSUFFICIENT_PRIVILEGE, format!("must be member of role \"{}\"", role.name)))
    }

    /// The role of OWNER TO: one the current role is a member of, since it could act as it anyway.
    pub(super) fn owner_named(&self, owner: &Owner) -> PgResult<Arc<RoleObject>> {
        match owner {
            Owner::Ident(ident) => self.new_owner(&fold(ident)),
            _ => Ok(Arc::clone(&self.role)),
        }
    }
}

/// Names beginning with pg_ belong to the system.
fn refuse_reserved(name: &str) -> PgResult<()> {
    if name.starts_with("pg_") {
        return Err(PgError::new(sqlstate::RESERVED_NAME, format!("unacceptable schema name \"{name}\""))
            .detail("The prefix \"pg_\" is reserved for system schemas."));
    }
    Ok(())
}
