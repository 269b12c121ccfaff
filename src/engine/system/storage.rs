//! The views of schema tributary: parts, storage, compactions.
//!
//! For: seeing what the store holds and does without leaving SQL. Like PostgreSQL's statistics views everybody may read
//! them; values of rows (the bounds of a part) are shown to whom the table may be read by, and the server's disk (log and
//! free space) to members of pg_monitor, as pg_ls_waldir does. Rows are made when a scan begins and describe that moment,
//! not the statement's snapshot. Rows of the delta belong to no part and are not listed in `parts`.

use std::sync::Arc;

use tributary_pg::error::PgResult;
use tributary_pg::style::TextStyle;
use tributary_pg::text::{ColumnText, TextPrinter};
use tributary_store::{ColumnSummary, RewriteKind, Source, Store, TableLayout};

use super::rows::{Cell, Rows};
use crate::engine::catalog::{Catalog, TableObject, rights};
use crate::engine::planner::ReadView;

/// Fills a view of schema tributary.
pub(super) fn fill(name: &str, view: &ReadView, rows: &mut Rows) -> PgResult<()> {
    let Some(engine) = &view.vars.engine else { return Ok(()) };
    match name {
        "parts" => parts(view, engine.store(), rows)?,
        "storage" => storage(view, engine.store(), rows),
        "compactions" => compactions(&view.catalog, engine.store(), rows),
        _ => {}
    }
    Ok(())
}

/// A count or size as bigint.
fn big(value: u64) -> Cell {
    Cell::Int(i64::try_from(value).unwrap_or(i64::MAX))
}

fn parts(view: &ReadView, store: &Store, rows: &mut Rows) -> PgResult<()> {
    let catalog = &view.catalog;
    let snapshot = store.snapshot();
    for table in catalog.tables.values() {
        let Some(state) = snapshot.table(table.oid) else { continue };
        let may_read = rights::must_allow_on_table(catalog, &view.vars.current_user, 'r', table).is_ok();
        for source in state.sources() {
            let Some(facts) = source.part_facts() else { continue };
            let (min, max) = if may_read { bounds(table, state.layout(), source)? } else { (Cell::Null, Cell::Null) };
            rows.push([
                ("relid", table.oid.into()),
                ("schemaname", catalog.schema_name(table.schema).to_owned().into()),
                ("relname", table.name.clone().into()),
                ("part", source.number().into()),
                ("format", facts.format.into()),
                ("run", facts.run.into()),
                ("level", Cell::Int(i64::from(facts.level))),
                ("bucket", state.layout().partition.and(facts.bucket).into()),
                ("rows", big(source.rows())),
                ("deleted", big(source.deletes().map_or(0, |deletes| deletes.len()))),
                ("bytes", big(source.bytes())),
                ("order_by_min", min),
                ("order_by_max", max),
            ]);
        }
    }
    Ok(())
}

/// Bounds of the leading `order_by` column, as text; NULL where none are known.
fn bounds(table: &TableObject, layout: &Arc<TableLayout>, source: &Source) -> PgResult<(Cell, Cell)> {
    let nothing = (Cell::Null, Cell::Null);
    let Some(column) = table.order_by.first().and_then(|attnum| table.column_by_attnum(*attnum)) else {
        return Ok(nothing);
    };
    let Some(stored) = layout.column(column.column_id) else { return Ok(nothing) };
    let Some(ColumnSummary { min, max, .. }) = source.summary_as(stored) else { return Ok(nothing) };
    let printer = TextPrinter::for_field(&stored.field, &TextStyle::default())?;
    let shown = |bound: &dyn arrow::array::Array| -> PgResult<Cell> {
        let mut text = ColumnText::new();
        printer.print(bound, &mut text)?;
        Ok(text.text(0).map(str::to_owned).into())
    };
    Ok((shown(min.as_ref())?, shown(max.as_ref())?))
}

fn storage(view: &ReadView, store: &Store, rows: &mut Rows) {
    let status = store.status();
    let monitor = view.catalog.role("pg_monitor").map(|role| role.oid);
    let trusted = view
        .catalog
        .role(&view.vars.current_user)
        .is_some_and(|role| monitor.is_some_and(|monitor| rights::has_role(&view.catalog, role, monitor)));
    let disk = |cell: Cell| if trusted { cell } else { Cell::Null };
    rows.push([
        ("seq", big(status.seq)),
        ("wal_bytes", disk(big(status.wal_bytes))),
        ("delta_bytes", big(status.delta_bytes)),
        ("parts", big(status.parts as u64)),
        ("oldest_snapshot", big(status.oldest_open_seq.unwrap_or(status.seq))),
        ("free_bytes", disk(status.free_bytes.map_or(Cell::Null, big))),
        ("checkpoint_seq", big(status.checkpoint_seq)),
        ("checkpoint_age", Cell::Int(i64::try_from(status.checkpoint_age.as_micros()).unwrap_or(i64::MAX))),
        ("meta_rebuilds", big(status.meta_rebuilds)),
    ]);
}

fn compactions(catalog: &Catalog, store: &Store, rows: &mut Rows) {
    for rewrite in store.rewrites() {
        // A table that was dropped since has no name any more.
        let table = catalog.tables.get(&rewrite.table);
        rows.push([
            ("relid", rewrite.table.into()),
            ("schemaname", table.map(|table| catalog.schema_name(table.schema).to_owned()).into()),
            ("relname", table.map(|table| table.name.clone()).into()),
            (
                "kind",
                match rewrite.kind {
                    RewriteKind::Flush => "flush",
                    RewriteKind::Merge => "merge",
                    RewriteKind::Purge => "purge",
                }
                .into(),
            ),
            ("started_at", rewrite.started_at_us.into()),
            ("finished_at", rewrite.finished_at_us.into()),
            ("sources", big(rewrite.sources as u64)),
            ("rows_in", big(rewrite.rows_in)),
            ("bytes_in", big(rewrite.bytes_in)),
            ("parts", big(rewrite.parts as u64)),
            ("rows_out", big(rewrite.rows_out)),
            ("bytes_out", big(rewrite.bytes_out)),
            ("error", rewrite.error.into()),
        ]);
    }
}
