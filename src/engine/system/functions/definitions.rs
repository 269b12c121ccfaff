//! Definitions as SQL: pg_get_constraintdef, pg_get_indexdef, pg_get_viewdef, pg_get_function_arguments, ...

use tributary_pg::error::PgResult;

use super::arguments::{integer, oid, text};
use super::{Definition, Scope, function};
use crate::engine::catalog::deparse::quote_ident;
use crate::engine::catalog::{ConstraintKind, ConstraintObject, IndexObject, TableObject};
use crate::engine::system::rows::Cell;
use crate::engine::system::{fixed, library};

/// The functions.
pub(super) const FUNCTIONS: &[Definition] = &[
    // Expressions are stored in the form they are shown in.
    function("pg_get_expr", &[2, 3], "text", |_, args| Ok(args[0].clone())),
    function("pg_get_constraintdef", &[1, 2], "text", constraint_definition),
    function("pg_get_indexdef", &[1, 3], "text", index_definition),
    function("pg_get_viewdef", &[1, 2], "text", view_definition),
    function("pg_get_function_arguments", &[1], "text", |_, args| Ok(function_text(oid(&args[0])?, true).into())),
    function("pg_get_function_identity_arguments", &[1], "text", identity_arguments),
    function("pg_get_function_result", &[1], "text", |_, args| Ok(function_text(oid(&args[0])?, false).into())),
    function("pg_get_function_sqlbody", &[1], "text", nothing),
    function("pg_get_functiondef", &[1], "text", nothing),
    function("pg_get_ruledef", &[1, 2], "text", rule_definition),
    function("pg_get_triggerdef", &[1, 2], "text", nothing),
    function("pg_get_partkeydef", &[1], "text", nothing),
    function("pg_get_partition_constraintdef", &[1], "text", nothing),
    function("pg_get_statisticsobjdef", &[1], "text", nothing),
    function("pg_get_statisticsobjdef_columns", &[1], "text", nothing),
    function("pg_get_replica_identity_index", &[1], "regclass", nothing),
    function("pg_relation_is_publishable", &[1], "bool", is_table),
    function("pg_relation_is_updatable", &[2], "int4", |scope, args| {
        Ok(if is_table(scope, args)? == Cell::Bool(true) { 28 } else { 0 }.into())
    }),
    function("pg_column_is_updatable", &[3], "bool", is_table),
    function("pg_index_column_has_property", &[3], "bool", index_property),
    function("pg_indexam_has_property", &[2], "bool", |_, args| Ok(method_property(text(&args[1])?).into())),
    function("pg_index_has_property", &[2], "bool", |_, args| Ok(method_property(text(&args[1])?).into())),
];

/// There is no such object here.
fn nothing(_: &Scope<'_>, _: &[Cell]) -> PgResult<Cell> {
    Ok(Cell::Null)
}

fn is_table(scope: &Scope<'_>, args: &[Cell]) -> PgResult<Cell> {
    Ok(scope.catalog.tables.contains_key(&oid(&args[0])?).into())
}

/// pg_get_constraintdef(oid [, pretty])
fn constraint_definition(scope: &Scope<'_>, args: &[Cell]) -> PgResult<Cell> {
    let wanted = oid(&args[0])?;
    let pretty = matches!(args.get(1), Some(Cell::Bool(true)));
    let found = scope.catalog.tables.values().find_map(|table| {
        table.constraints.iter().find(|constraint| constraint.oid == wanted).map(|constraint| (table, constraint))
    });
    Ok(found.map(|(table, constraint)| constraint_text(scope, table, constraint, pretty)).into())
}

fn constraint_text(scope: &Scope<'_>, table: &TableObject, constraint: &ConstraintObject, pretty: bool) -> String {
    let columns = column_list(table, &constraint.columns);
    let mut text = match constraint.kind {
        ConstraintKind::PrimaryKey => format!("PRIMARY KEY ({columns})"),
        ConstraintKind::Unique => format!("UNIQUE ({columns})"),
        ConstraintKind::Check => {
            let shown = constraint.expression_shown.as_deref().unwrap_or_default();
            let shown = if pretty { strip_parentheses(shown) } else { shown };
            format!("CHECK ({shown})")
        }
        ConstraintKind::ForeignKey => foreign_text(scope, &columns, constraint),
    };
    if constraint.deferrable {
        text.push_str(" DEFERRABLE");
    }
    if constraint.deferred {
        text.push_str(" INITIALLY DEFERRED");
    }
    // A foreign key is recorded and not enforced: that is what NOT VALID tells a client.
    if constraint.kind == ConstraintKind::ForeignKey {
        text.push_str(" NOT VALID");
    }
    text
}

/// `(n > 0)` becomes `n > 0` when the first parenthesis closes at the end.
fn strip_parentheses(text: &str) -> &str {
    let Some(inner) = text.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) else { return text };
    let (mut depth, mut quoted) = (0_i32, false);
    for c in inner.chars() {
        match c {
            '\'' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth -= 1,
            _ => {}
        }
        if depth < 0 {
            return text;
        }
    }
    inner
}

fn foreign_text(scope: &Scope<'_>, columns: &str, constraint: &ConstraintObject) -> String {
    let Some(key) = &constraint.references else { return String::new() };
    let Some(target) = scope.catalog.tables.get(&key.table) else { return String::new() };
    let mut text = format!(
        "FOREIGN KEY ({columns}) REFERENCES {}({})",
        relation_text(scope, target),
        column_list(target, &key.columns)
    );
    if key.match_type == 'f' {
        text.push_str(" MATCH FULL");
    }
    let action = |letter: char| match letter {
        'r' => Some("RESTRICT"),
        'c' => Some("CASCADE"),
        'n' => Some("SET NULL"),
        'd' => Some("SET DEFAULT"),
        _ => None,
    };
    for (word, letter) in [("UPDATE", key.on_update), ("DELETE", key.on_delete)] {
        if let Some(action) = action(letter) {
            text.push_str(&format!(" ON {word} {action}"));
        }
    }
    text
}

fn column_list(table: &TableObject, attnums: &[i16]) -> String {
    let names: Vec<String> = attnums
        .iter()
        .filter_map(|attnum| table.column_by_attnum(*attnum))
        .map(|column| quote_ident(&column.name))
        .collect();
    names.join(", ")
}

/// A table's name, qualified when search_path does not find it.
fn relation_text(scope: &Scope<'_>, table: &TableObject) -> String {
    if super::names::relation_is_visible(&scope.place(), table.oid) == Some(true) {
        quote_ident(&table.name)
    } else {
        qualified(scope, table)
    }
}

fn qualified(scope: &Scope<'_>, table: &TableObject) -> String {
    format!("{}.{}", quote_ident(scope.catalog.schema_name(table.schema)), quote_ident(&table.name))
}

/// pg_get_indexdef(index [, column, pretty])
fn index_definition(scope: &Scope<'_>, args: &[Cell]) -> PgResult<Cell> {
    let Some((table, index)) = scope.catalog.index(oid(&args[0])?) else { return Ok(Cell::Null) };
    let column = args.get(1).map(integer).transpose()?.unwrap_or(0);
    if column > 0 {
        let attnum = usize::try_from(column - 1).ok().and_then(|at| index.columns.get(at));
        return Ok(attnum.map(|attnum| column_list(table, &[*attnum])).unwrap_or_default().into());
    }
    Ok(index_text(scope, table, index).into())
}

/// The whole CREATE INDEX.
fn index_text(scope: &Scope<'_>, table: &TableObject, index: &IndexObject) -> String {
    let keys: Vec<String> = index
        .columns
        .iter()
        .enumerate()
        .map(|(at, attnum)| {
            let order = match index.options.get(at).copied().unwrap_or(0) {
                1 => " DESC NULLS LAST",
                2 => " NULLS FIRST",
                3 => " DESC",
                _ => "",
            };
            format!("{}{order}", column_list(table, &[*attnum]))
        })
        .collect();
    format!(
        "CREATE {}INDEX {} ON {} USING {} ({})",
        if index.unique { "UNIQUE " } else { "" },
        quote_ident(&index.name),
        qualified(scope, table),
        index.method,
        keys.join(", ")
    )
}

/// pg_get_viewdef(view [, pretty or wrap])
fn view_definition(scope: &Scope<'_>, args: &[Cell]) -> PgResult<Cell> {
    let wanted = match &args[0] {
        Cell::Int(_) => oid(&args[0])?,
        name => super::names::relation_oid(scope.catalog, scope.path, text(name)?)?,
    };
    if let Some(view) = scope.catalog.views.get(&wanted) {
        return Ok(format!(" {};", view.query).into());
    }
    Ok(crate::engine::system::views::query(wanted).map(|query| format!(" {query};")).into())
}

/// pg_get_ruledef: the rule of a view is numbered like the view.
fn rule_definition(scope: &Scope<'_>, args: &[Cell]) -> PgResult<Cell> {
    let Some(view) = scope.catalog.views.get(&oid(&args[0])?) else { return Ok(Cell::Null) };
    let name = format!("{}.{}", quote_ident(scope.catalog.schema_name(view.schema)), quote_ident(&view.name));
    Ok(format!("CREATE RULE \"_RETURN\" AS\n    ON SELECT TO {name} DO INSTEAD {};", view.query).into())
}

/// Arguments or result of a function.
fn function_text(wanted: u32, arguments: bool) -> Option<String> {
    if let Some(function) = fixed::functions().by_oid.get(&wanted) {
        return if arguments { Some(function.arguments.to_owned()) } else { function.result.map(str::to_owned) };
    }
    let function = library::by_oid(wanted)?;
    Some(if arguments { function.arguments.clone() } else { function.result.clone() })
}

/// Like the arguments, without defaults.
fn identity_arguments(_: &Scope<'_>, args: &[Cell]) -> PgResult<Cell> {
    let Some(arguments) = function_text(oid(&args[0])?, true) else { return Ok(Cell::Null) };
    let plain: Vec<&str> =
        arguments.split(", ").map(|argument| argument.split(" DEFAULT ").next().unwrap_or_default()).collect();
    Ok(plain.join(", ").into())
}

/// pg_index_column_has_property(index, column, property)
fn index_property(scope: &Scope<'_>, args: &[Cell]) -> PgResult<Cell> {
    let Some((_, index)) = scope.catalog.index(oid(&args[0])?) else { return Ok(Cell::Null) };
    let at = usize::try_from(integer(&args[1])? - 1).ok();
    let Some(option) = at.filter(|at| *at < index.columns.len()).map(|at| index.options.get(at).copied().unwrap_or(0))
    else {
        return Ok(Cell::Null);
    };
    let ordered = index.method == "btree";
    Ok(match text(&args[2])?.to_ascii_lowercase().as_str() {
        "asc" => (ordered && option & 1 == 0).into(),
        "desc" => (ordered && option & 1 == 1).into(),
        "nulls_first" => (ordered && option & 2 == 2).into(),
        "nulls_last" => (ordered && option & 2 == 0).into(),
        "orderable" | "returnable" | "search_array" | "search_nulls" => ordered.into(),
        "distance_orderable" => false.into(),
        _ => Cell::Null,
    })
}

fn method_property(property: &str) -> Option<bool> {
    match property.to_ascii_lowercase().as_str() {
        "can_order" | "can_unique" | "can_multi_col" | "can_include" | "backward_scan" | "index_scan"
        | "clusterable" => Some(true),
        "can_exclude" | "bitmap_scan" => Some(false),
        _ => None,
    }
}
