//! Names behind `regclass`, `regtype` and their kin.
//!
//! A value of these types is an OID; what name it has, and which OID a name means, only a catalog and a search_path
//! know. The session puts them into [`crate::style::TextStyle`], so that every printer and parser finds them there.

use std::fmt;
use std::sync::Arc;

use crate::error::PgResult;

/// A catalog as reg* types see it.
pub trait RegNames: Send + Sync {
    /// How a value of a reg* type is shown; `None` for an OID that names nothing.
    fn name(&self, reg_type: u32, value: u32) -> Option<String>;

    /// The OID a text means as a value of a reg* type; the error is PostgreSQL's for an unknown name.
    fn find(&self, reg_type: u32, text: &str) -> PgResult<u32>;
}

/// Perhaps a catalog. Two of them are never told apart: styles are compared by their settings alone.
#[derive(Clone, Default)]
pub struct RegNamesHandle(Option<Arc<dyn RegNames>>);

impl RegNamesHandle {
    /// Names from this catalog.
    pub fn new(names: Arc<dyn RegNames>) -> Self {
        Self(Some(names))
    }

    /// The catalog, if there is one.
    pub fn get(&self) -> Option<&dyn RegNames> {
        self.0.as_deref()
    }
}

impl PartialEq for RegNamesHandle {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl fmt::Debug for RegNamesHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "RegNames" } else { "none" })
    }
}
