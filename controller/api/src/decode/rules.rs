//! `x-kubernetes-validations`: the CEL rules of a schema, over an object that its schema has already taken.
//!
//! Rules see fields as an API server shows them: integers as `int`, numbers as `double`, absent fields as absent, names that CEL reserves
//! escaped (`__namespace__`). Transition rules (those that name `oldSelf`) hold trivially, since a folder has no old object. The cost is
//! bounded by the schema: rules run only once sizes are checked, and every list that a rule walks has a `maxItems`.

use std::sync::{Arc, OnceLock};

use cel::common::types::CelOptional;
use cel::{Context, ExecutionError, Program, Value as CelValue};
use serde_json::Value;

use super::lines::Path;
use super::problem::Reason;
use super::schema::{Schema, SchemaKind};
use super::structure::Report;

mod functions;
mod quick;
mod value;

use self::value::Item;

/// One entry of `x-kubernetes-validations`.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) source: Box<str>,
    message: Option<Box<str>>,
    message_expression: Option<Box<str>>,
    field_path: Option<Box<str>>,
    optional_old_self: bool,
    compiled: OnceLock<Result<Compiled, String>>,
}

#[derive(Debug)]
struct Compiled {
    program: Program,
    message: Option<Program>,
    old_self: bool,
}

impl Rule {
    /// Reads one entry; absent if it has a key that is not known here.
    pub(super) fn parse(json: &Value) -> Option<Self> {
        let mut rule = Self {
            source: "".into(),
            message: None,
            message_expression: None,
            field_path: None,
            optional_old_self: false,
            compiled: OnceLock::new(),
        };
        for (key, value) in json.as_object()? {
            match key.as_str() {
                "rule" => rule.source = value.as_str()?.into(),
                "message" => rule.message = Some(value.as_str()?.into()),
                "messageExpression" => rule.message_expression = Some(value.as_str()?.into()),
                "fieldPath" => rule.field_path = Some(value.as_str()?.into()),
                "optionalOldSelf" => rule.optional_old_self = value.as_bool()?,
                // Chooses the reason of the API server's answer.
                "reason" => {}
                _ => return None,
            }
        }
        Some(rule)
    }

    /// Compiles the rule if it is not yet.
    #[cfg(test)]
    pub(super) fn compile(&self) -> Result<(), String> {
        self.compiled().as_ref().map(|_| ()).map_err(Clone::clone)
    }

    fn compiled(&self) -> &Result<Compiled, String> {
        self.compiled.get_or_init(|| {
            let program = functions::compile(&self.source)?;
            let message = self.message_expression.as_deref().map(functions::compile).transpose()?;
            let old_self = program.references().has_variable("oldSelf");
            Ok(Compiled { program, message, old_self })
        })
    }

    /// Whether the rule is one of the plain ones and holds.
    fn holds_plainly(&self, item: &Item<'_>) -> bool {
        self.compiled().as_ref().is_ok_and(|compiled| quick::holds(compiled.program.expression(), item))
    }

    /// What is wrong with the `self` of `context`, if the rule does not hold.
    fn broken(&self, context: &Context<'_, '_>) -> Option<String> {
        // A test compiles every rule of every kind, so a rule that does not compile is never shipped.
        let compiled = self.compiled().as_ref().ok()?;
        if compiled.old_self && !self.optional_old_self {
            return None;
        }
        match compiled.program.execute(context) {
            Ok(CelValue::Bool(true)) => None,
            Ok(_) => Some(self.message(compiled, context)),
            // The rule asks for a field that is not there, without has(): what its message says is what is missing.
            Err(ExecutionError::NoSuchKey(_)) => Some(self.message(compiled, context)),
            Err(error) => {
                Some(format!("{} (the rule cannot be decided: {error})", self.message(compiled, context)))
            }
        }
    }

    fn message(&self, compiled: &Compiled, context: &Context<'_, '_>) -> String {
        let computed = compiled.message.as_ref().and_then(|program| match program.execute(context) {
            Ok(CelValue::String(text)) => Some(text.to_string()),
            _ => None,
        });
        computed
            .or_else(|| self.message.as_ref().map(|text| text.trim().to_owned()))
            .unwrap_or_else(|| format!("failed rule: {}", self.source))
    }
}

/// Evaluates all rules of `schema` over `value`, inner fields first, and reports those that do not hold.
pub(super) fn check(report: &mut Report, schema: &Schema, value: &Value) {
    let mut walk = Walk { report, path: Path::default() };
    walk.item(schema, value, false);
}

struct Walk<'r> {
    report: &'r mut Report,
    path: Path,
}

impl Walk<'_> {
    /// The CEL form of `value`, if a rule around it (`seen`) or on it needs one.
    fn item<'v>(&mut self, schema: &Schema, value: &'v Value, seen: bool) -> Item<'v> {
        if !seen && !schema.has_rules {
            return Item::Null;
        }
        let seen = seen || !schema.rules.is_empty();
        let before = self.path.len();
        let item = match value {
            Value::Object(fields) => {
                let preserving = Schema::preserving();
                let mut entries = Vec::with_capacity(if seen { fields.len() } else { 0 });
                for (name, field) in fields {
                    let property = schema.properties.get(&**name).or(schema.additional.as_ref());
                    let property = property.map_or(preserving, |property| &**property);
                    self.path.push_key(name);
                    let item = self.item(property, field, seen);
                    self.path.truncate(before);
                    if seen {
                        entries.push((name.as_str(), item));
                    }
                }
                Item::map(entries)
            }
            Value::Array(items) => {
                let property = schema.items.as_deref().unwrap_or(Schema::preserving());
                let mut out = Vec::with_capacity(items.len());
                for (index, item) in items.iter().enumerate() {
                    self.path.push_index(index);
                    out.push(self.item(property, item, seen));
                    self.path.truncate(before);
                }
                Item::list(out)
            }
            scalar => Item::scalar(scalar, schema.kind == SchemaKind::Number),
        };
        if !schema.rules.is_empty() {
            self.rules(&schema.rules, &item);
        }
        item
    }

    fn rules<'v>(&mut self, rules: &[Rule], item: &Item<'v>) {
        let mut context: Option<Context<'_, 'v>> = None;
        for rule in rules {
            let quick = rule.holds_plainly(item);
            // A debug build, and so every test, asks the interpreter too.
            if quick && !cfg!(debug_assertions) {
                continue;
            }
            let context = context.get_or_insert_with(|| scope(rules, item));
            let broken = rule.broken(context);
            debug_assert!(!quick || broken.is_none(), "{} does not hold: {broken:?}", rule.source);
            if let Some(message) = broken {
                let mut path = self.path.as_str().to_owned();
                if let Some(field) = &rule.field_path {
                    path.push_str(if path.is_empty() { field.trim_start_matches('.') } else { field });
                }
                self.report.add_at(&path, Reason::Rule, message, "");
            }
        }
    }
}

/// What rules see: `self`, and an absent `oldSelf` for those that allow for that.
fn scope<'p, 'v>(rules: &[Rule], item: &Item<'v>) -> Context<'p, 'v> {
    let mut context = Context::with_env(Arc::clone(functions::environment()));
    context.add_variable_as_val("self", item.boxed());
    if rules.iter().any(|rule| rule.optional_old_self) {
        context.add_variable_as_val("oldSelf", Box::new(CelOptional::none()));
    }
    context
}

#[cfg(test)]
mod tests;
