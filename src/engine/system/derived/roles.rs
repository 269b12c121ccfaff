//! pg_authid, pg_auth_members, pg_db_role_setting.

use tributary_pg::error::PgResult;

use crate::engine::catalog::Catalog;
use crate::engine::system::rows::{Cell, Rows};

/// pg_authid. The provider shows it to superusers only.
pub(super) fn authid(catalog: &Catalog, rows: &mut Rows) -> PgResult<()> {
    for role in catalog.roles.values() {
        rows.push([
            ("oid", role.oid.into()),
            ("rolname", role.name.clone().into()),
            ("rolsuper", role.superuser.into()),
            ("rolinherit", role.inherit.into()),
            ("rolcreaterole", role.create_role.into()),
            ("rolcreatedb", role.create_database.into()),
            ("rolcanlogin", role.login.into()),
            ("rolreplication", role.replication.into()),
            ("rolbypassrls", role.bypass_rls.into()),
            ("rolconnlimit", role.connection_limit.into()),
            ("rolpassword", role.verifier.clone().into()),
            ("rolvaliduntil", role.valid_until_us.into()),
        ]);
    }
    Ok(())
}

/// pg_auth_members
pub(super) fn auth_members(catalog: &Catalog, rows: &mut Rows) -> PgResult<()> {
    for member in catalog.roles.values() {
        for membership in &member.member_of {
            rows.push([
                ("roleid", membership.role.into()),
                ("member", member.oid.into()),
                ("grantor", membership.grantor.into()),
                ("admin_option", membership.admin.into()),
            ]);
        }
    }
    Ok(())
}

/// pg_db_role_setting
pub(super) fn settings(catalog: &Catalog, rows: &mut Rows) -> PgResult<()> {
    for role in catalog.roles.values().filter(|role| !role.settings.is_empty()) {
        let settings: Vec<Cell> = role.settings.iter().map(|setting| Cell::Text(setting.clone())).collect();
        rows.push([("setrole", role.oid.into()), ("setconfig", Cell::List(settings))]);
    }
    Ok(())
}
