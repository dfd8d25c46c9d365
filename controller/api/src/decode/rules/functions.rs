//! The CEL environment of a CRD rule: CEL's standard library, and of Kubernetes' libraries what the CRDs in this crate call.

use std::any::Any;
use std::sync::{Arc, OnceLock};

use cel::common::ast::{CallExpr, Expr};
use cel::common::types::{CelBool, CelList, CelOptional, CelString, STRING_TYPE, Type};
use cel::common::value::{CowVal, StaticVal, Val};
use cel::parser::Macro;
use cel::{DeclarationError, Env, ExecutionError, Program, extensions};

use crate::decode::format;
use crate::decode::schema;

/// Functions that rules may call. A call to any other one compiles, as CEL finds functions when it runs, so it is refused here.
const KNOWN: [&str; 37] = [
    "bool",
    "bytes",
    "charAt",
    "contains",
    "double",
    "duration",
    "dyn",
    "endsWith",
    "hasValue",
    "indexOf",
    "int",
    "isCIDR",
    "isIP",
    "join",
    "lastIndexOf",
    "lowerAscii",
    "matches",
    "none",
    "of",
    "orValue",
    "replace",
    "size",
    "split",
    "startsWith",
    "string",
    "substring",
    "timestamp",
    "trim",
    "type",
    "uint",
    "upperAscii",
    "validate",
    "value",
    "dns1123Label",
    "dns1123Subdomain",
    "labelValue",
    "qualifiedName",
];

/// The name under which `matches` is called: a compiled expression is kept per pattern, where CEL's own compiles at each call.
pub(super) const MATCHES: &str = "cachedMatches";

/// Compiles `source`, and refuses functions that are not declared.
pub(super) fn compile(source: &str) -> Result<Program, String> {
    let program = environment().compile(source).map_err(|error| error.to_string())?;
    let unknown = |name: &&str| {
        name.starts_with(|first: char| first.is_ascii_alphabetic())
            && !KNOWN.contains(name)
            && *name != MATCHES
    };
    if let Some(name) = program.references().functions().into_iter().find(unknown) {
        return Err(format!("the function {name} is not known"));
    }
    Ok(program)
}

/// The environment, built once.
pub(super) fn environment() -> &'static Arc<Env> {
    static ENVIRONMENT: OnceLock<Arc<Env>> = OnceLock::new();
    ENVIRONMENT.get_or_init(|| {
        let mut env = Env::stdlib();
        declare(&mut env).expect("the names below are not those of the standard library");
        Arc::new(env)
    })
}

fn declare(env: &mut Env) -> Result<(), DeclarationError> {
    env.add_extension(extensions::strings)?;
    env.add_macro(Macro::receiver("matches", 1, |helper, target, args| {
        let (Some(text), Some(pattern)) = (target.take(), args.pop()) else { return Ok(None) };
        let call = CallExpr { func_name: MATCHES.to_owned(), target: None, args: vec![text, pattern] };
        Ok(Some(helper.next_expr(Expr::Call(call))))
    }))?;
    env.add_overload(MATCHES, "cached_matches", vec![STRING_TYPE, STRING_TYPE], |args| {
        let (text, pattern) = (text(&args, 0)?, text(&args, 1)?);
        let regex = schema::regex(pattern)
            .ok_or_else(|| ExecutionError::function_error("matches", "not a regular expression"))?;
        Ok(CowVal::owned(CelBool::from(regex.is_match(text))))
    })?;
    env.add_overload("isIP", "is_ip_string", vec![STRING_TYPE], |args| {
        Ok(CowVal::owned(CelBool::from(format::is_ip(text(&args, 0)?))))
    })?;
    env.add_overload("isCIDR", "is_cidr_string", vec![STRING_TYPE], |args| {
        Ok(CowVal::owned(CelBool::from(format::is_cidr(text(&args, 0)?))))
    })?;
    env.add_overload("format.dns1123Label", "format_label", vec![], |_| {
        Ok(CowVal::owned(NameFormat::Label))
    })?;
    env.add_overload("format.dns1123Subdomain", "format_subdomain", vec![], |_| {
        Ok(CowVal::owned(NameFormat::Subdomain))
    })?;
    env.add_overload("format.qualifiedName", "format_qualified", vec![], |_| {
        Ok(CowVal::owned(NameFormat::Qualified))
    })?;
    env.add_overload("format.labelValue", "format_label_value", vec![], |_| {
        Ok(CowVal::owned(NameFormat::LabelValue))
    })?;
    env.add_member_overload(
        "validate",
        "format_validate",
        FORMAT_TYPE.to_owned(),
        vec![STRING_TYPE],
        validate,
    )
}

/// `FORMAT.validate(text)`: the reasons why `text` does not have the format, or none.
fn validate<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let format = args.first().and_then(|format| format.downcast_ref::<NameFormat>());
    let format = format.ok_or_else(|| ExecutionError::function_error("validate", "not a format"))?;
    let text = text(&args, 1)?;
    if format.holds(text) {
        return Ok(CowVal::owned(CelOptional::none()));
    }
    let reason: Box<dyn Val> = Box::new(CelString::from(format!("{text:?} is not a {}", format.describe())));
    Ok(CowVal::owned(CelOptional::of(Box::new(CelList::from(vec![reason])))))
}

fn text<'a>(args: &'a [CowVal<'_, '_>], index: usize) -> Result<&'a str, ExecutionError> {
    let text = args.get(index).and_then(|arg| arg.downcast_ref::<CelString<'_>>());
    text.map(|text| text.inner())
        .ok_or_else(|| ExecutionError::function_error("call", "an argument must be a string"))
}

static FORMAT_TYPE: Type = Type::new_unspecified_type("kubernetes.NamedFormat");

/// A format of Kubernetes' `format` library.
#[derive(Clone, Copy, Debug, PartialEq)]
enum NameFormat {
    Label,
    Subdomain,
    Qualified,
    LabelValue,
}

impl NameFormat {
    fn holds(self, text: &str) -> bool {
        match self {
            Self::Label => format::is_dns_label(text),
            Self::Subdomain => format::is_dns_subdomain(text),
            Self::Qualified => format::is_qualified_name(text),
            Self::LabelValue => format::is_label_value(text),
        }
    }

    fn describe(self) -> &'static str {
        match self {
            Self::Label => "DNS label",
            Self::Subdomain => "DNS subdomain",
            Self::Qualified => "qualified name",
            Self::LabelValue => "label value",
        }
    }
}

impl Val for NameFormat {
    fn get_type(&self) -> &Type {
        <Self as Val>::cel_type()
    }

    fn cel_type() -> &'static Type {
        &FORMAT_TYPE
    }

    fn equals(&self, other: &dyn Val) -> bool {
        other.downcast_ref::<Self>() == Some(self)
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(*self)
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl StaticVal for NameFormat {}
