//! CREATE EXTERNAL TABLE and DROP FOREIGN TABLE in a session.
//!
//! Whoever makes one must be allowed to read files, as for COPY; its columns are taken from the files once, here. Files
//! are looked at before the catalog changes, and again by every query.

use tributary_pg::error::PgError;

use super::ddl::with_ddl;
use crate::dialect::ExternalStatement;
use crate::dialect::sqlparser::ast::ObjectName;
use crate::engine::catalog::ExternalObject;
use crate::engine::external::{self, Definition};
use crate::engine::files::{Allowed, FileRight};
use crate::engine::prepared::Outcome;
use crate::engine::session::Session;

/// CREATE EXTERNAL TABLE.
pub(super) fn create(session: &mut Session, create: &ExternalStatement) -> Result<Outcome, PgError> {
    FileRight::Read.must_have(&session.catalog(), &session.current_user(), "create an external table")?;
    let object = ExternalObject {
        format: create.format.clone(),
        location: create.location.clone(),
        options: create.options.clone(),
    };
    let definition = Definition::of(&object)?;
    let allowed = Allowed::of(session.engine().store());
    // Refused here whether or not the columns are needed.
    definition.check_place(&allowed)?;
    with_ddl(session, "CREATE EXTERNAL TABLE", |ddl| {
        ddl.create_external(create, object, || external::columns_of(&definition, &allowed))
    })
}

/// DROP FOREIGN TABLE.
pub(super) fn drop(
    session: &mut Session,
    names: &[ObjectName],
    if_exists: bool,
    cascade: bool,
) -> Result<Outcome, PgError> {
    with_ddl(session, "DROP FOREIGN TABLE", |ddl| ddl.drop_external(names, if_exists, cascade))
}
