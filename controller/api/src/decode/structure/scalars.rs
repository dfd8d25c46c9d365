//! Checks of single values: their type, length, range, pattern, format and set of values; and how many entries a collection has.

use serde_json::{Number, Value};

use super::{Report, logic, quoted};
use crate::decode::format::Format;
use crate::decode::node::{Node, NodeValue, Position};
use crate::decode::problem::Reason;
use crate::decode::schema::{Bound, Logic, Schema, SchemaKind};
use crate::decode::suggest;

impl Report {
    pub(super) fn text(&mut self, schema: &Schema, text: &str, at: Position) -> Option<Value> {
        let (min, max) = (schema.limits.min_length, schema.limits.max_length);
        if min.is_some() || max.is_some() {
            // Code points, as an API server counts them.
            let length = text.chars().count();
            if let Some(min) = min.filter(|min| length < *min) {
                let message = if min == 1 {
                    "must not be empty".to_owned()
                } else {
                    format!("must be at least {min} characters long, is {length}")
                };
                self.add(at, Reason::OutOfRange, message, "");
                return None;
            }
            if let Some(max) = max.filter(|max| length > *max) {
                self.add(
                    at,
                    Reason::OutOfRange,
                    format!("must be at most {max} characters long, is {length}"),
                    "Shorten it",
                );
                return None;
            }
        }
        if let Some(pattern) = &schema.pattern
            && !pattern.is_match(text)
        {
            self.add(at, Reason::Pattern, format!("{} does not match {}", quoted(text), pattern.text), "");
            return None;
        }
        if let Some(format) = schema.format
            && !format.holds(text)
        {
            self.add(at, Reason::Pattern, format!("{} is not {}", quoted(text), format.describe()), "");
            return None;
        }
        Some(Value::from(text))
    }

    pub(super) fn integer(&mut self, schema: &Schema, node: &Node<'_>, at: Position) -> Option<Value> {
        let number = match node.value {
            NodeValue::Int(number) => number,
            // 1.0 is an integer in JSON schema; past 2^53 a float does not say which one.
            NodeValue::Float(number) if number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0 => {
                number as i64
            }
            _ => return self.wrong_type(schema, node, at),
        };
        if let Some(Format::Bounded { minimum, maximum }) = schema.format
            && !(minimum..=maximum).contains(&number)
        {
            self.add(
                at,
                Reason::OutOfRange,
                format!("must be between {minimum} and {maximum}, is {number}"),
                "",
            );
            return None;
        }
        self.bounds(schema, number as f64, at)?;
        Some(Value::from(number))
    }

    pub(super) fn number(&mut self, schema: &Schema, node: &Node<'_>, at: Position) -> Option<Value> {
        let (number, value) = match node.value {
            NodeValue::Int(number) => (number as f64, Some(Value::from(number))),
            NodeValue::Float(number) => (number, Number::from_f64(number).map(Value::Number)),
            _ => return self.wrong_type(schema, node, at),
        };
        self.bounds(schema, number, at)?;
        value
    }

    pub(super) fn bounds(&mut self, schema: &Schema, number: f64, at: Position) -> Option<()> {
        let below =
            |bound: &Bound| if bound.exclusive { number <= bound.value } else { number < bound.value };
        let above =
            |bound: &Bound| if bound.exclusive { number >= bound.value } else { number > bound.value };
        if let Some(bound) = schema.limits.minimum.filter(below) {
            let than = if bound.exclusive { "greater than" } else { "at least" };
            self.add(at, Reason::OutOfRange, format!("must be {than} {}, is {number}", bound.value), "");
            return None;
        }
        if let Some(bound) = schema.limits.maximum.filter(above) {
            let than = if bound.exclusive { "less than" } else { "at most" };
            self.add(at, Reason::OutOfRange, format!("must be {than} {}, is {number}", bound.value), "");
            return None;
        }
        Some(())
    }

    /// How many entries a list or mapping has.
    pub(super) fn count(
        &mut self,
        count: usize,
        min: Option<usize>,
        max: Option<usize>,
        at: Position,
    ) -> Option<()> {
        let entries = |number| if number == 1 { "1 entry".to_owned() } else { format!("{number} entries") };
        if let Some(min) = min.filter(|min| count < *min) {
            let message = format!("must have at least {}, has {count}", entries(min));
            self.add(at, Reason::OutOfRange, message, "");
            return None;
        }
        if let Some(max) = max.filter(|max| count > *max) {
            let message = format!("must have at most {}, has {count}", entries(max));
            self.add(at, Reason::OutOfRange, message, "");
            return None;
        }
        Some(())
    }

    pub(super) fn enumeration(&mut self, schema: &Schema, value: &Value, at: Position) -> Option<()> {
        if schema.enumeration.is_empty() || schema.enumeration.contains(value) {
            return Some(());
        }
        let known = || schema.enumeration.iter().filter_map(Value::as_str);
        let mend = match value.as_str().and_then(|text| suggest::nearest(text, known())) {
            Some(nearest) => format!("Did you mean {nearest}?"),
            None => String::new(),
        };
        let allowed: Vec<String> = schema.enumeration.iter().map(Value::to_string).collect();
        self.add(
            at,
            Reason::Enum,
            format!("must be one of {}, is {}", allowed.join(", "), short(value)),
            mend,
        );
        None
    }

    pub(super) fn logic(&mut self, logic: &Logic, value: &Value, at: Position) -> Option<()> {
        match logic::broken(logic, value) {
            None => Some(()),
            Some(message) => {
                self.add(at, Reason::Rule, message, "");
                None
            }
        }
    }

    pub(super) fn wrong_type<T>(&mut self, schema: &Schema, node: &Node<'_>, at: Position) -> Option<T> {
        let wanted = match schema.kind {
            SchemaKind::Any => "a value",
            SchemaKind::Array => "a list",
            SchemaKind::Boolean => "a boolean",
            SchemaKind::IntOrString => "an integer or a string",
            SchemaKind::Integer => "an integer",
            SchemaKind::Number => "a number",
            SchemaKind::Object => "a mapping",
            SchemaKind::Quantity => "a quantity",
            SchemaKind::String => "a string",
        };
        let mend = match (schema.kind, &node.value) {
            (SchemaKind::String, NodeValue::Bool(_) | NodeValue::Int(_) | NodeValue::Float(_)) => {
                "Put it in quotes"
            }
            (SchemaKind::Array, NodeValue::Mapping(_)) => "Write the entries of a list with \"- \"",
            (SchemaKind::Boolean, NodeValue::String(_)) => "Write true or false, without quotes",
            (SchemaKind::Integer | SchemaKind::Number, NodeValue::String(_)) => {
                "Write the number without quotes"
            }
            _ => "",
        };
        self.add(at, Reason::WrongType, format!("must be {wanted}, is {}", node.type_name()), mend);
        None
    }
}

fn short(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a mapping".to_owned(),
        _ => value.to_string(),
    }
}
