//! Functions in FROM: a call becomes a subquery that unnests the list of its values.
//!
//! `WITH ORDINALITY`, several arguments of unnest, functions of several output columns and column definition lists are
//! told apart here. Table functions over relations keep their call: their own planner reads the arguments as written.

use tributary_pg::error::PgError;
use tributary_pg::sqlstate;

use super::forms::{HIDDEN, Kind, form, null, packed, unnest};
use super::names::folded;
use super::semantics::{
    FunctionKind, Rewriter, SERIES, aliased, bare_query, bare_select, mentions_columns, private_relation, unsupported,
};
use super::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, Ident, ObjectName, ObjectNamePart, SetExpr, TableAlias, TableFactor,
    TableWithJoins, Value,
};

impl Rewriter<'_> {
    /// `FROM f(..) [WITH ORDINALITY] a(b)` becomes a subquery that unnests the list of f's values.
    pub(super) fn function_factor(
        &mut self,
        name: ObjectName,
        args: Vec<FunctionArg>,
        alias: Option<TableAlias>,
        ordinality: bool,
        factor: &mut TableFactor,
    ) -> Result<(), PgError> {
        let function = self.function_name(&name)?;
        if self.functions.kind(&function) == FunctionKind::Own {
            let args = self.report_arguments(args)?;
            restore_args(factor, &function, args, alias);
            return Ok(());
        }
        let position = self.at_name(&name);
        let mut operands = Vec::new();
        for arg in args {
            let FunctionArg::Unnamed(FunctionArgExpr::Expr(mut one)) = arg else {
                return Err(unsupported("a named argument of a function in FROM"));
            };
            self.value(&mut one)?;
            operands.push(one);
        }
        let lateral = operands.iter().any(mentions_columns);
        let several = function == "unnest" && operands.len() > 1;
        let scalar = !matches!(self.functions.kind(&function), FunctionKind::Set);
        let mut items = Vec::new();
        // unnest of a tsvector has columns of its own; that of an array, the only one here, has none.
        let columns = if function == "unnest" { Vec::new() } else { self.functions.columns(&function) };
        // The name of a single output parameter wins over the alias, the alias over the function's name.
        let column = match (columns.as_slice(), alias.as_ref().filter(|one| one.columns.is_empty())) {
            ([only], _) => (*only).to_owned(),
            (_, Some(alias)) => folded(&alias.name),
            _ => function.clone(),
        };
        if function.ends_with("_to_recordset") || function.ends_with("_to_record") {
            return records(&function, operands, alias, position, factor);
        }
        if columns.len() > 1 {
            for (index, name) in columns.into_iter().enumerate() {
                let list = packed(Kind::Set, &format!("{function}/{index}"), position, operands.clone());
                items.push(aliased(unnest(list, position), name));
            }
        } else if function == "generate_series" && !ordinality && !operands.iter().any(reads_rows) {
            let name = format!("{SERIES}\u{1}{position}\u{1}{column}");
            let args = operands.into_iter().map(|one| FunctionArg::Unnamed(FunctionArgExpr::Expr(one))).collect();
            let default_alias =
                TableAlias { explicit: true, name: Ident::with_quote('"', function), columns: Vec::new(), at: None };
            *factor = private_relation(&name, args, Some(alias.unwrap_or(default_alias)));
            return Ok(());
        } else if several {
            for (index, one) in operands.into_iter().enumerate() {
                let list = packed(Kind::Set, "unnest", position, vec![one]);
                let name =
                    if index == 0 { "unnest".to_owned() } else { format!("unnest{HIDDEN}{}", self.next_serial()) };
                items.push(aliased(unnest(list, position), &name));
            }
        } else if scalar {
            items.push(aliased(packed(Kind::Call, &function, position, operands), &column));
        } else {
            let list = packed(Kind::Set, &function, position, operands);
            items.push(aliased(unnest(list.clone(), position), &column));
            if ordinality {
                let numbers = packed(Kind::Set, "\u{2}ordinality", position, vec![list]);
                items.push(aliased(unnest(numbers, position), "ordinality"));
            }
        }
        let default_alias =
            TableAlias { explicit: true, name: Ident::with_quote('"', function), columns: Vec::new(), at: None };
        let subquery = Box::new(bare_query(SetExpr::Select(Box::new(bare_select(items, Vec::new())))));
        *factor = TableFactor::Derived { lateral, subquery, alias: Some(alias.unwrap_or(default_alias)), sample: None };
        Ok(())
    }
}

/// Whether an expression needs rows of other relations.
fn reads_rows(expr: &Expr) -> bool {
    let mut found = false;
    let _flow = super::sqlparser::ast::visit_expressions(expr, |one| {
        found |= matches!(
            one,
            Expr::Identifier(_)
                | Expr::CompoundIdentifier(_)
                | Expr::Subquery(_)
                | Expr::Exists { .. }
                | Expr::InSubquery { .. }
        );
        std::ops::ControlFlow::<()>::Continue(())
    });
    found
}

/// `FROM json_to_recordset(x) AS t(a int, b text)`: each column is a field of each element, cast to its type.
fn records(
    function: &str,
    operands: Vec<Expr>,
    alias: Option<TableAlias>,
    position: usize,
    factor: &mut TableFactor,
) -> Result<(), PgError> {
    let set = function.ends_with("_to_recordset");
    let missing = || {
        let message = "a column definition list is required for functions returning \"record\"";
        PgError::new(sqlstate::SYNTAX_ERROR, message).at(position)
    };
    let Some(mut alias) = alias else { return Err(missing()) };
    let lateral = operands.iter().any(mentions_columns);
    // The elements come out of a list, which forgets that they are JSON.
    let json = Expr::Cast {
        kind: super::sqlparser::ast::CastKind::Cast,
        expr: Box::new(null()),
        data_type: if function.starts_with("jsonb") {
            super::sqlparser::ast::DataType::JSONB
        } else {
            super::sqlparser::ast::DataType::JSON
        },
        array: false,
        format: None,
    };
    let value = form(Kind::Cast, "", position, Expr::Identifier(Ident::with_quote('"', "value")), json);
    let mut items = Vec::new();
    for column in &mut alias.columns {
        let Some(data_type) = column.data_type.take() else { return Err(missing()) };
        let key = form(Kind::String, "", 0, Expr::value(Value::SingleQuotedString(folded(&column.name))), null());
        let field = form(Kind::Infix, "->>", position, value.clone(), key);
        let target = Expr::Cast {
            kind: super::sqlparser::ast::CastKind::Cast,
            expr: Box::new(null()),
            data_type,
            array: false,
            format: None,
        };
        items.push(aliased(form(Kind::Cast, "", position, field, target), &folded(&column.name)));
    }
    if items.is_empty() {
        return Err(missing());
    }
    let elements = format!("{}_array_elements", if function.starts_with("jsonb") { "jsonb" } else { "json" });
    let inner = if set {
        aliased(unnest(packed(Kind::Set, &elements, position, operands), position), "value")
    } else {
        let Some(only) = operands.into_iter().next() else { return Err(missing()) };
        aliased(only, "value")
    };
    let inner = bare_query(SetExpr::Select(Box::new(bare_select(vec![inner], Vec::new()))));
    let name = Ident::with_quote('"', format!("{HIDDEN}r"));
    let inner_alias = TableAlias { explicit: true, name, columns: Vec::new(), at: None };
    let relation =
        TableFactor::Derived { lateral: false, subquery: Box::new(inner), alias: Some(inner_alias), sample: None };
    let from = vec![TableWithJoins { relation, joins: Vec::new() }];
    let subquery = Box::new(bare_query(SetExpr::Select(Box::new(bare_select(items, from)))));
    *factor = TableFactor::Derived { lateral, subquery, alias: Some(alias), sample: None };
    Ok(())
}

/// Puts a function's arguments back; its name stands without the schema.
fn restore_args(factor: &mut TableFactor, function: &str, list: Vec<FunctionArg>, name: Option<TableAlias>) {
    let bare = ObjectName(vec![ObjectNamePart::Identifier(Ident::new(function))]);
    match factor {
        TableFactor::Table { args: Some(args), alias, name: called, .. } => {
            *called = bare;
            args.args = list;
            *alias = name;
        }
        TableFactor::Function { args, alias, name: called, .. } => {
            *called = bare;
            *args = list;
            *alias = name;
        }
        _ => {}
    }
}
