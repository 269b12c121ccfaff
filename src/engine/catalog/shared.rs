//! The newest committed catalog, and how a transaction's changes get into it.
//!
//! Readers take the current value and never wait. A transaction changes a copy of its own; at COMMIT the objects it
//! touched are laid over what is newest then. If somebody else changed one of them meanwhile, or took a name the
//! transaction gave away, COMMIT fails with 40001: the first to commit wins.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use tributary_pg::error::{PgError, PgResult};
use tributary_pg::sqlstate;

use super::ddl::DdlDone;
use super::{Catalog, CatalogObject, oid};

/// What one transaction did to the catalog.
#[derive(Clone, Debug)]
pub struct CatalogChanges {
    /// The committed catalog it began with.
    pub base: Arc<Catalog>,
    /// The catalog as the transaction sees it.
    pub catalog: Arc<Catalog>,
    /// OIDs of what it made, changed or dropped.
    pub touched: BTreeSet<u32>,
}

/// The catalog all sessions share.
#[derive(Debug)]
pub struct SharedCatalog {
    current: ArcSwap<Catalog>,
    next_oid: AtomicU32,
    publishing: Mutex<()>,
}

impl SharedCatalog {
    /// Begins with these stored objects; `next_oid` is the first OID never given out.
    pub fn open(objects: Vec<CatalogObject>, next_oid: u32) -> Self {
        Self {
            current: ArcSwap::from_pointee(Catalog::new(new_version(), objects)),
            next_oid: AtomicU32::new(next_oid.max(oid::FIRST_USER)),
            publishing: Mutex::default(),
        }
    }

    /// The newest committed catalog.
    pub fn load(&self) -> Arc<Catalog> {
        self.current.load_full()
    }

    /// An OID nobody has or had.
    pub fn new_oid(&self) -> PgResult<u32> {
        let next = self.next_oid.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |oid| oid.checked_add(1));
        next.map_err(|_| PgError::new(sqlstate::PROGRAM_LIMIT_EXCEEDED, "all object identifiers are used up"))
    }

    /// The OID that is given out next.
    pub fn next_oid(&self) -> u32 {
        self.next_oid.load(Ordering::Relaxed)
    }

    /// Lays a statement's work over what its transaction did before; `seen` is the catalog the statement began with.
    pub fn extend(&self, before: Option<CatalogChanges>, seen: Arc<Catalog>, done: DdlDone) -> CatalogChanges {
        let (base, mut touched) = match before {
            Some(changes) => (changes.base, changes.touched),
            None => (seen, BTreeSet::new()),
        };
        touched.extend(done.touched);
        let mut catalog = done.catalog;
        catalog.version = new_version();
        CatalogChanges { base, catalog: Arc::new(catalog), touched }
    }

    /// Makes a transaction's changes the newest catalog. `store` is called with the objects to write and the OIDs to
    /// drop, while no other publisher runs; nothing is published if it fails.
    pub fn publish(
        &self,
        changes: &CatalogChanges,
        store: impl FnOnce(&[CatalogObject], &[u32]) -> PgResult<()>,
    ) -> PgResult<()> {
        let _guard = self.publishing.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = self.load();
        let (mut written, mut dropped) = (Vec::new(), Vec::new());
        for &oid in &changes.touched {
            let unchanged = match (changes.base.object(oid), newest.object(oid)) {
                (Some(before), Some(now)) => before.same(&now),
                (None, None) => true,
                _ => false,
            };
            if !unchanged {
                return Err(conflict());
            }
            match changes.catalog.object(oid) {
                Some(object) => written.push(object),
                None if newest.object(oid).is_some() => dropped.push(oid),
                None => {}
            }
        }
        let mut next = newest.as_ref().clone();
        for &oid in &changes.touched {
            next.remove(oid);
        }
        // Schemas first: the others live in them.
        written.sort_by_key(|object| (object.kind(), object.oid()));
        for object in &written {
            check_names(&next, object)?;
            next.insert(object.clone());
        }
        store(&written, &dropped)?;
        next.version = new_version();
        self.current.store(Arc::new(next));
        Ok(())
    }
}

/// Numbers are given out once in a process: what is derived from a catalog is kept by its version, whosever it is.
fn new_version() -> u64 {
    static VERSIONS: AtomicU64 = AtomicU64::new(1);
    VERSIONS.fetch_add(1, Ordering::Relaxed) + 1
}

fn conflict() -> PgError {
    PgError::new(
        sqlstate::T_R_SERIALIZATION_FAILURE,
        "could not serialize access due to concurrent change of the catalog",
    )
    .hint("Retry the transaction.")
}

/// A new object whose name another transaction took first: the error the statement would have had.
fn check_names(catalog: &Catalog, object: &CatalogObject) -> PgResult<()> {
    let duplicate = |code, message: String| Err(PgError::new(code, message));
    match object {
        CatalogObject::Schema(schema) if catalog.schema(&schema.name).is_some() => {
            duplicate(sqlstate::DUPLICATE_SCHEMA, format!("schema \"{}\" already exists", schema.name))
        }
        CatalogObject::Role(role) if catalog.role(&role.name).is_some() => {
            duplicate(sqlstate::DUPLICATE_OBJECT, format!("role \"{}\" already exists", role.name))
        }
        CatalogObject::Table(table) => {
            let names = std::iter::once(&table.name).chain(table.indexes.iter().map(|index| &index.name));
            check_place(catalog, table.schema, names)
        }
        CatalogObject::View(view) => check_place(catalog, view.schema, std::iter::once(&view.name)),
        CatalogObject::Sequence(sequence) => check_place(catalog, sequence.schema, std::iter::once(&sequence.name)),
        _ => Ok(()),
    }
}

fn check_place<'a>(catalog: &Catalog, schema: u32, names: impl Iterator<Item = &'a String>) -> PgResult<()> {
    if !catalog.schemas.contains_key(&schema) {
        return Err(PgError::new(sqlstate::UNDEFINED_SCHEMA, format!("schema with OID {schema} does not exist")));
    }
    for name in names {
        if catalog.relation_exists(schema, name) {
            return Err(PgError::new(sqlstate::DUPLICATE_TABLE, format!("relation \"{name}\" already exists")));
        }
    }
    Ok(())
}
