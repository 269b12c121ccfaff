//! `email_canonical`, `name_key` and `id_key` as SQL functions over [`super::normalise`].

use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray, StringBuilder};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion_common::{Result, ScalarValue, internal_err};
use datafusion_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};

use super::normalise::{Folding, email_canonical, id_key, name_key};
use crate::arguments::{Rows, Texts, literal_of_scalar, scalar_text, text_type};
use crate::documentation::{Documentation, Example};
use crate::error::UNDEFINED_FUNCTION;
use crate::family::{Function, LawArgument, LawCase};
use crate::{SqlError, type_name};

/// Which of the functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Email,
    Name,
    Id,
}

/// A normaliser as the engine sees it.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Normaliser {
    kind: Kind,
    signature: Signature,
}

pub(super) fn functions() -> Vec<Function> {
    vec![
        function(Kind::Email, &["email_canonical(address text, [folding text]) -> text"], email_documentation()),
        function(
            Kind::Name,
            &["name_key(name text) -> text"],
            documented(
                "The key under which names are compared: apostrophes and full stops deleted, accents stripped, lower case, \
                 Latin letters without decomposition replaced, anything else between words one space. Scripts are kept.",
                "NULL in, NULL out; NULL if no letter or digit remains.",
                &[("SELECT name_key('J.R.R.  O''Brien-M\u{fc}ller')", "jrr obrien muller")],
            ),
        ),
        function(
            Kind::Id,
            &["id_key(code text) -> text"],
            documented(
                "The key under which numbers and codes are compared: compatibility forms folded, upper case, letters and \
                 digits only.",
                "NULL in, NULL out; NULL if no letter or digit remains.",
                &[("SELECT id_key('ab-12/c')", "AB12C")],
            ),
        ),
    ]
}

fn documented(description: &str, rules: &str, examples: &[(&str, &str)]) -> Documentation {
    Documentation {
        syntax: Vec::new(),
        description: description.into(),
        arguments: Vec::new(),
        rules: rules.into(),
        cost: "O(length); ASCII takes a short way.",
        source: "Unicode normalisation forms (UAX 15)",
        examples: examples.iter().map(|(sql, output)| Example::new(*sql, *output)).collect(),
    }
}

fn email_documentation() -> Documentation {
    let mut documentation = documented(
        "The canonical form of a mail address: composed, trimmed, without mailto: and angle brackets, lower case.",
        "NULL in, NULL out; NULL if it is no address: one @, a local part of at most 64 bytes without white space or \
         special characters, at least two domain labels, 254 bytes in all. An unknown folding: 22023.",
        &[
            ("SELECT email_canonical(' <An.Nguyen@Mail.TEST> ')", "an.nguyen@mail.test"),
            ("SELECT email_canonical('An.Ng.uyen+shop@GoogleMail.com', 'gmail')", "annguyen@gmail.com"),
        ],
    );
    documentation.arguments = vec![(
        "folding",
        "a constant: 'none' (default; folding merges people), 'plus' cuts the local part at +, 'gmail' also drops dots and \
         maps googlemail.com, for Gmail only",
    )];
    documentation.source = "RFC 5321 limits; no punycode";
    documentation
}

fn function(kind: Kind, syntax: &[&str], mut documentation: Documentation) -> Function {
    documentation.syntax = syntax.iter().map(|line| line.to_string()).collect();
    let signature = match kind {
        Kind::Email => Signature::one_of(vec![TypeSignature::Any(1), TypeSignature::Any(2)], Volatility::Immutable)
            .with_parameter_names(vec!["address".to_string(), "folding".to_string()])
            .expect("two names for at most two arguments"),
        Kind::Name | Kind::Id => Signature::any(1, Volatility::Immutable),
    };
    Function::scalar(Normaliser { kind, signature }, documentation, move || cases(kind))
}

fn folding_of(value: Option<&ScalarValue>) -> Result<Folding> {
    let Some(value) = value else { return Ok(Folding::None) };
    let name = scalar_text(value).unwrap_or_default();
    Folding::of_name(name).ok_or_else(|| {
        let names = Folding::NAMES.map(|name| format!("\"{name}\"")).join(", ");
        SqlError::invalid_parameter(format!("unknown value \"{name}\" for folding"))
            .with_detail(format!("Valid values are {names}."))
            .into()
    })
}

impl ScalarUDFImpl for Normaliser {
    fn name(&self) -> &str {
        match self.kind {
            Kind::Email => "email_canonical",
            Kind::Name => "name_key",
            Kind::Id => "id_key",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let is_text = |field: &FieldRef| text_type(field.data_type()) || field.data_type().is_null();
        if !args.arg_fields.iter().all(is_text) {
            let types: Vec<String> =
                args.arg_fields.iter().map(|field| type_name::sql_type_name(field.data_type())).collect();
            let message = format!("function {}({}) does not exist", self.name(), types.join(", "));
            return Err(SqlError::new(UNDEFINED_FUNCTION, message).with_hint("The argument must be text.").into());
        }
        folding_of(literal_of_scalar(&args, 1, "folding")?)?;
        Ok(Arc::new(Field::new(self.name(), DataType::Utf8, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let folding = match args.args.get(1) {
            None => Folding::None,
            Some(ColumnarValue::Scalar(value)) => folding_of(Some(value).filter(|v| !v.is_null()))?,
            Some(ColumnarValue::Array(_)) => return internal_err!("folding was a constant when this was planned"),
        };
        let rows = Rows::new(&args.args[..1], args.number_rows)?;
        let texts = Texts::new(rows.array(0).as_ref())?;
        let mut builder = StringBuilder::new();
        let mut out = String::new();
        for row in 0..rows.row_count() {
            out.clear();
            let valid = texts.get(rows.index(0, row)).is_some_and(|text| match self.kind {
                Kind::Email => email_canonical(text, folding, &mut out),
                Kind::Name => name_key(text, &mut out),
                Kind::Id => id_key(text, &mut out),
            });
            if valid { builder.append_value(&out) } else { builder.append_null() }
        }
        let result: ArrayRef = Arc::new(builder.finish());
        rows.finish(result)
    }
}

fn cases(kind: Kind) -> Vec<LawCase> {
    let texts = [
        Some("An.Nguyen+x@Gmail.com"),
        None,
        Some(""),
        Some("  J.R.R. O'Brien-M\u{fc}ller "),
        Some("mailto:<a@b.co>"),
        Some("\u{ff10}12 ab/c \u{304c}"),
    ];
    let column = || LawArgument::column(Arc::new(StringArray::from(texts.to_vec())));
    let mut cases = vec![LawCase::new("texts", vec![column()])];
    if kind == Kind::Email {
        for folding in Folding::NAMES {
            cases.push(LawCase::new(folding, vec![column(), LawArgument::constant(ScalarValue::from(folding))]));
        }
    }
    cases
}
