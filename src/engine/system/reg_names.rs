//! The catalog as `regclass` and its kin see it: OIDs printed as names, names read as OIDs.

use std::sync::Arc;

use tributary_pg::error::{PgError, PgResult};
use tributary_pg::reg_names::RegNames;
use tributary_pg::sqlstate;
use tributary_pg::types::oid;

use super::functions::{Place, names};
use super::{fixed, library};
use crate::engine::catalog::Catalog;
use crate::engine::catalog::deparse::quote_ident;

/// OIDs of the types without a constant elsewhere.
const REGCONFIG: u32 = 3734;
const REGDICTIONARY: u32 = 3769;
const REGCOLLATION: u32 = 4191;

/// One session's catalog and search_path.
pub struct SessionNames {
    /// The catalog.
    pub catalog: Arc<Catalog>,
    /// Schemas searched, in order.
    pub path: Arc<[String]>,
}

impl SessionNames {
    fn place(&self) -> Place<'_> {
        Place { catalog: &self.catalog, path: &self.path }
    }

    fn relation(&self, value: u32) -> Option<String> {
        let found = names::relation_name(&self.catalog, value)?;
        if names::relation_is_visible(&self.place(), value) == Some(true) {
            return Some(quote_ident(found.name));
        }
        Some(format!("{}.{}", quote_ident(self.catalog.schema_name(found.schema)), quote_ident(found.name)))
    }

    fn function(&self, value: u32, arguments: bool) -> Option<String> {
        if let Some(function) = library::by_oid(value) {
            let list = if arguments { format!("({})", function.arguments) } else { String::new() };
            return Some(format!("{}{list}", function.name));
        }
        let function = fixed::functions().by_oid.get(&value)?;
        if arguments {
            let types: Vec<String> =
                function.argument_types.iter().map(|ty| names::type_text(&self.place(), *ty, None)).collect();
            return Some(format!("{}({})", quote_ident(function.name), types.join(",")));
        }
        let alone = fixed::functions().by_name.get(function.name).is_some_and(|all| all.len() == 1);
        Some(if alone { quote_ident(function.name) } else { format!("pg_catalog.{}", quote_ident(function.name)) })
    }
}

/// `name` of the row with this OID in an embedded relation.
fn embedded_name(relation: &str, value: u32) -> Option<String> {
    let wanted = value.to_string();
    fixed::raw_rows(relation).find(|row| row[0] == wanted).map(|row| row[1].to_owned())
}

/// OID of the row with this name in an embedded relation.
fn embedded_oid(relation: &str, name: &str) -> Option<u32> {
    fixed::raw_rows(relation).find(|row| row[1] == name).and_then(|row| row[0].parse().ok())
}

impl RegNames for SessionNames {
    fn name(&self, reg_type: u32, value: u32) -> Option<String> {
        match reg_type {
            oid::REGCLASS => self.relation(value),
            oid::REGTYPE => {
                names::type_place(&self.catalog, value)?;
                Some(names::type_text(&self.place(), value, None))
            }
            oid::REGPROC => self.function(value, false),
            oid::REGPROCEDURE => self.function(value, true),
            oid::REGNAMESPACE => self.catalog.schemas.get(&value).map(|schema| quote_ident(&schema.name)),
            oid::REGROLE => self.catalog.roles.get(&value).map(|role| quote_ident(&role.name)),
            oid::REGOPER | oid::REGOPERATOR => embedded_name("pg_operator", value),
            REGCONFIG => embedded_name("pg_ts_config", value),
            REGDICTIONARY => embedded_name("pg_ts_dict", value),
            REGCOLLATION => embedded_name("pg_collation", value),
            _ => None,
        }
    }

    fn find(&self, reg_type: u32, text: &str) -> PgResult<u32> {
        let missing =
            |what: &str| PgError::new(sqlstate::UNDEFINED_OBJECT, format!("{what} \"{text}\" does not exist"));
        let own = || names::split(text).map(|parts| parts.last().cloned().unwrap_or_default());
        if text == "-" {
            return Ok(0);
        }
        match reg_type {
            oid::REGCLASS => names::relation_oid(&self.catalog, &self.path, text),
            oid::REGTYPE => names::type_oid(&self.catalog, &self.path, text),
            oid::REGPROC => names::find_function(text),
            oid::REGPROCEDURE => names::find_function(text.split('(').next().unwrap_or_default()),
            oid::REGNAMESPACE => {
                self.catalog.schema(&own()?).map(|schema| schema.oid).ok_or_else(|| {
                    PgError::new(sqlstate::UNDEFINED_SCHEMA, format!("schema \"{text}\" does not exist"))
                })
            }
            oid::REGROLE => self.catalog.role(&own()?).map(|role| role.oid).ok_or_else(|| missing("role")),
            oid::REGOPER | oid::REGOPERATOR => embedded_oid("pg_operator", &own()?).ok_or_else(|| missing("operator")),
            REGCONFIG => embedded_oid("pg_ts_config", &own()?).ok_or_else(|| missing("text search configuration")),
            REGDICTIONARY => embedded_oid("pg_ts_dict", &own()?).ok_or_else(|| missing("text search dictionary")),
            REGCOLLATION => embedded_oid("pg_collation", &own()?)
                .ok_or_else(|| missing("collation").detail("Collations are for encoding \"UTF8\".")),
            _ => Err(PgError::unsupported("names of this type are not supported")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_oids_go_both_ways() {
        let catalog = Arc::new(Catalog::new(1, Catalog::bootstrap("postgres", None)));
        let path: Arc<[String]> = Arc::from(["pg_catalog".to_owned(), "public".to_owned()]);
        let session = SessionNames { catalog, path };
        for (reg_type, text, value, shown) in [
            (oid::REGCLASS, "pg_class", 1259, "pg_class"),
            (oid::REGCLASS, "information_schema.tables", 13425, "information_schema.tables"),
            (oid::REGTYPE, "int", 23, "integer"),
            (oid::REGTYPE, "varchar[]", 1015, "character varying[]"),
            (oid::REGNAMESPACE, "public", 2200, "public"),
            (oid::REGROLE, "postgres", 10, "postgres"),
            (oid::REGPROC, "boolin", 1242, "boolin"),
        ] {
            assert_eq!(session.find(reg_type, text).expect(text), value, "{text}");
            assert_eq!(session.name(reg_type, value).as_deref(), Some(shown), "{value}");
        }
        assert_eq!(session.find(oid::REGCLASS, "nope").expect_err("unknown").code.as_str(), "42P01");
        assert_eq!(session.name(oid::REGCLASS, 99_999), None);
    }
}
