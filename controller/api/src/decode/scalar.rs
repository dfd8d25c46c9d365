//! What a plain YAML scalar means.
//!
//! Kubernetes reads YAML with a YAML 1.1 library, from which two things are taken over here and one is not. Taken over: integers in the
//! notations of Go (`0644` and `0o644` are octal, `0x1F`, `0b1`, `1_000`), since manifests use them for file modes. Not taken over:
//! `yes`, `no`, `on`, `off`, `y`, `n` as booleans. Clients differ on them and YAML 1.2 has dropped them; here they are strings, so that a
//! header value `on` is what it looks like, and a boolean field refuses them.

use std::borrow::Cow;

use super::node::NodeValue;

/// Why a plain scalar has no JSON form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotJson {
    /// `.nan` and the infinities.
    NotFinite,
}

/// The value of a plain (unquoted, untagged) scalar.
pub(super) fn plain(text: Cow<'_, str>) -> Result<NodeValue<'_>, NotJson> {
    Ok(match &*text {
        "" | "~" | "null" | "Null" | "NULL" => NodeValue::Null,
        "true" | "True" | "TRUE" => NodeValue::Bool(true),
        "false" | "False" | "FALSE" => NodeValue::Bool(false),
        _ if !starts_like_a_number(&text) => NodeValue::String(text),
        other => {
            if let Some(number) = integer(other) {
                NodeValue::Int(number)
            } else if let Some(number) = float(other)? {
                NodeValue::Float(number)
            } else {
                NodeValue::String(text)
            }
        }
    })
}

fn starts_like_a_number(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '+' | '-' | '.'))
}

/// Integers as Go's `strconv.ParseInt(text, 0, 64)` reads them, which the YAML library of Kubernetes calls.
fn integer(text: &str) -> Option<i64> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    let digits: Cow<'_, str> =
        if digits.contains('_') { Cow::Owned(digits.replace('_', "")) } else { Cow::Borrowed(digits) };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, digits.get(2..)?),
        [b'0', b'o' | b'O', ..] => (8, digits.get(2..)?),
        [b'0', b'b' | b'B', ..] => (2, digits.get(2..)?),
        [b'0', _, ..] => (8, digits.get(1..)?),
        _ => (10, &*digits),
    };
    // `from_str_radix` would take a second sign.
    if !digits.starts_with(|first: char| first.is_ascii_hexdigit()) {
        return None;
    }
    let magnitude = i128::from_str_radix(digits, radix).ok()?;
    i64::try_from(if negative { -magnitude } else { magnitude }).ok()
}

fn float(text: &str) -> Result<Option<f64>, NotJson> {
    match text.trim_start_matches(['+', '-']) {
        ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN" => return Err(NotJson::NotFinite),
        _ => {}
    }
    let shaped = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-' | b'_'))
        && text.bytes().any(|byte| byte.is_ascii_digit());
    if !shaped {
        return Ok(None);
    }
    let digits: Cow<'_, str> =
        if text.contains('_') { Cow::Owned(text.replace('_', "")) } else { Cow::Borrowed(text) };
    match digits.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(Some(number)),
        Ok(_) => Err(NotJson::NotFinite),
        Err(_) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        match plain(Cow::Borrowed(text)) {
            Ok(NodeValue::Null) => "null".to_owned(),
            Ok(NodeValue::Bool(value)) => format!("bool {value}"),
            Ok(NodeValue::Int(value)) => format!("int {value}"),
            Ok(NodeValue::Float(value)) => format!("float {value}"),
            Ok(NodeValue::String(value)) => format!("string {value}"),
            Ok(_) => "collection".to_owned(),
            Err(error) => format!("{error:?}"),
        }
    }

    #[test]
    fn plain_scalars_mean_what_kubernetes_reads() {
        for (text, meaning) in [
            ("", "null"),
            ("~", "null"),
            ("true", "bool true"),
            ("TRUE", "bool true"),
            ("tRue", "string tRue"),
            ("yes", "string yes"),
            ("off", "string off"),
            ("y", "string y"),
            ("0", "int 0"),
            ("-7", "int -7"),
            ("+7", "int 7"),
            ("0644", "int 420"),
            ("0o644", "int 420"),
            ("0x1F", "int 31"),
            ("0b101", "int 5"),
            ("1_000", "int 1000"),
            ("9223372036854775807", "int 9223372036854775807"),
            ("-9223372036854775808", "int -9223372036854775808"),
            ("9223372036854775808", "float 9223372036854776000"),
            ("--7", "string --7"),
            ("0x-1", "string 0x-1"),
            ("-", "string -"),
            (".", "string ."),
            ("1.5", "float 1.5"),
            (".5", "float 0.5"),
            ("1e3", "float 1000"),
            ("1.2.3.4", "string 1.2.3.4"),
            ("10.0.0.0/8", "string 10.0.0.0/8"),
            ("2001-01-01", "string 2001-01-01"),
            ("15s", "string 15s"),
            ("089", "float 89"),
            (".nan", "NotFinite"),
            ("-.inf", "NotFinite"),
            ("1e999", "NotFinite"),
            ("-0", "int 0"),
        ] {
            assert_eq!(shown(text), meaning, "{text:?}");
        }
    }
}
