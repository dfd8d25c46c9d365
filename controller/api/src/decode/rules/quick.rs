//! Decides the plainest rules without the CEL interpreter.
//!
//! Most rules of the Gateway API compare a field or two with literals, and hold. For those, this walks the parsed expression over the value
//! in place; whatever it does not know, and whatever does not hold, is left to the interpreter, whose word counts.

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, SelectExpr, operators};

use super::functions::MATCHES;
use super::value::Item;
use crate::decode::schema;

/// A value that needs no interpreter.
#[derive(Clone, Copy)]
enum Quick<'a> {
    Bool(bool),
    Int(i64),
    Text(&'a str),
    Item(&'a Item<'a>),
}

/// Whether `rule` holds for `this` beyond doubt. False says nothing.
pub(super) fn holds(rule: &IdedExpr, this: &Item<'_>) -> bool {
    boolean(rule, this) == Some(true)
}

fn boolean<'a>(expression: &'a IdedExpr, this: &'a Item<'a>) -> Option<bool> {
    match value(expression, this)? {
        Quick::Bool(value) => Some(value),
        _ => None,
    }
}

fn value<'a>(expression: &'a IdedExpr, this: &'a Item<'a>) -> Option<Quick<'a>> {
    match &expression.expr {
        Expr::Literal(LiteralValue::Boolean(value)) => Some(Quick::Bool(*value.inner())),
        Expr::Literal(LiteralValue::Int(number)) => Some(Quick::Int(*number.inner())),
        Expr::Literal(LiteralValue::String(text)) => Some(Quick::Text(text.inner())),
        Expr::Ident(name) if name == "self" => Some(plain(this)),
        Expr::Select(select) => selected(select, this),
        Expr::Call(call) => called(call, this),
        _ => None,
    }
}

/// A scalar as itself.
fn plain<'a>(item: &'a Item<'a>) -> Quick<'a> {
    match item {
        Item::Bool(value) => Quick::Bool(*value.inner()),
        Item::Int(number) => Quick::Int(*number.inner()),
        Item::String(text) => Quick::Text(text.inner()),
        other => Quick::Item(other),
    }
}

fn selected<'a>(select: &'a SelectExpr, this: &'a Item<'a>) -> Option<Quick<'a>> {
    let Quick::Item(Item::Map(fields)) = value(&select.operand, this)? else { return None };
    let field = fields.field(&select.field);
    if select.test { Some(Quick::Bool(field.is_some())) } else { field.map(plain) }
}

fn called<'a>(call: &'a CallExpr, this: &'a Item<'a>) -> Option<Quick<'a>> {
    match (&call.target, call.args.as_slice()) {
        (None, [only]) if call.func_name == operators::LOGICAL_NOT => {
            Some(Quick::Bool(!boolean(only, this)?))
        }
        (None, [only]) if call.func_name == "size" => size(value(only, this)?),
        (Some(target), []) if call.func_name == "size" => size(value(target, this)?),
        (None, [left, right]) => operator(&call.func_name, left, right, this).map(Quick::Bool),
        (None, [condition, then, otherwise]) if call.func_name == operators::CONDITIONAL => {
            value(if boolean(condition, this)? { then } else { otherwise }, this)
        }
        (Some(target), [argument]) => {
            let (Quick::Text(text), Quick::Text(part)) = (value(target, this)?, value(argument, this)?)
            else {
                return None;
            };
            match call.func_name.as_str() {
                "contains" => Some(Quick::Bool(text.contains(part))),
                "endsWith" => Some(Quick::Bool(text.ends_with(part))),
                "startsWith" => Some(Quick::Bool(text.starts_with(part))),
                _ => None,
            }
        }
        _ => None,
    }
}

fn operator<'a>(name: &str, left: &'a IdedExpr, right: &'a IdedExpr, this: &'a Item<'a>) -> Option<bool> {
    match name {
        // As in CEL, one side that decides is enough, whatever the other one is.
        operators::LOGICAL_AND => match (boolean(left, this), boolean(right, this)) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (Some(true), Some(true)) => Some(true),
            _ => None,
        },
        operators::LOGICAL_OR => match (boolean(left, this), boolean(right, this)) {
            (Some(true), _) | (_, Some(true)) => Some(true),
            (Some(false), Some(false)) => Some(false),
            _ => None,
        },
        operators::EQUALS => equal(value(left, this)?, value(right, this)?),
        operators::NOT_EQUALS => equal(value(left, this)?, value(right, this)?).map(|equal| !equal),
        operators::IN => {
            let Expr::List(list) = &right.expr else { return None };
            let wanted = value(left, this)?;
            let found: Option<Vec<bool>> =
                list.elements.iter().map(|element| equal(wanted, value(element, this)?)).collect();
            found.map(|found| found.contains(&true))
        }
        MATCHES => match (value(left, this)?, value(right, this)?) {
            (Quick::Text(text), Quick::Text(pattern)) => {
                schema::regex(pattern).map(|regex| regex.is_match(text))
            }
            _ => None,
        },
        operators::LESS => integers(left, right, this).map(|(left, right)| left < right),
        operators::LESS_EQUALS => integers(left, right, this).map(|(left, right)| left <= right),
        operators::GREATER => integers(left, right, this).map(|(left, right)| left > right),
        operators::GREATER_EQUALS => integers(left, right, this).map(|(left, right)| left >= right),
        _ => None,
    }
}

fn equal(left: Quick<'_>, right: Quick<'_>) -> Option<bool> {
    match (left, right) {
        (Quick::Bool(left), Quick::Bool(right)) => Some(left == right),
        (Quick::Int(left), Quick::Int(right)) => Some(left == right),
        (Quick::Text(left), Quick::Text(right)) => Some(left == right),
        _ => None,
    }
}

fn integers<'a>(left: &'a IdedExpr, right: &'a IdedExpr, this: &'a Item<'a>) -> Option<(i64, i64)> {
    match (value(left, this)?, value(right, this)?) {
        (Quick::Int(left), Quick::Int(right)) => Some((left, right)),
        _ => None,
    }
}

fn size(value: Quick<'_>) -> Option<Quick<'_>> {
    let size = match value {
        Quick::Text(text) => text.chars().count(),
        Quick::Item(item) => item.len()?,
        _ => return None,
    };
    i64::try_from(size).ok().map(Quick::Int)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::rules::functions;

    #[test]
    fn only_what_holds_beyond_doubt_is_decided() {
        let fields = [("type", "Exact"), ("value", "/a")];
        let fields: Vec<(&str, Item<'_>)> =
            fields.iter().map(|(name, text)| (*name, Item::String((*text).into()))).collect();
        let this = Item::map(fields);
        for (rule, decided) in [
            ("self.type == 'Exact'", true),
            ("self.type in ['Prefix', 'Exact'] ? self.value.startsWith('/') : true", true),
            ("!(has(self.other) && self.other != 'x')", true),
            ("!has(self.other) || self.other.size() > 3", true),
            ("self.value.matches('^/[a-z]$') && size(self) == 2", true),
            ("self.value.size() <= 2", true),
            // Breaks, fails, or is nothing that is known here: for the interpreter.
            ("self.type != 'Exact'", false),
            ("self.other == 'x'", false),
            ("has(self.other)", false),
            ("self.type == 1", false),
            ("self.exists(key, key == 'type')", false),
            ("duration(self.value) == duration('1s')", false),
        ] {
            let program = functions::compile(rule).unwrap_or_else(|error| panic!("{rule}: {error}"));
            assert_eq!(holds(program.expression(), &this), decided, "{rule}");
        }
    }
}
