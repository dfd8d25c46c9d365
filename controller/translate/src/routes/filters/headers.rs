//! RequestHeaderModifier and ResponseHeaderModifier.

use api::gateway_api::{HeaderModifier, HttpHeader};
use model::{HeaderEdit, HeaderField};

use super::super::Fault;
use super::super::matches::header_name;

/// Edits of headers.
///
/// # Errors
/// A name or value that no header can have; a name with two actions; a name that frames the message.
pub(crate) fn header_edit(wanted: &HeaderModifier, field: &str) -> Result<HeaderEdit, Fault> {
    let set = fields(&wanted.set, &format!("{field}.set"))?;
    let add = fields(&wanted.add, &format!("{field}.add"))?;
    let mut remove = Vec::new();
    for (index, name) in wanted.remove.iter().enumerate() {
        let name = editable(name, &format!("{field}.remove[{index}]"))?;
        if !remove.contains(&name) {
            remove.push(name);
        }
    }
    let mut names: Vec<_> = set.iter().chain(&add).map(|field| &field.name).chain(&remove).collect();
    names.sort();
    if let Some([name, _]) = names.array_windows().find(|[first, second]| first == second) {
        let message = format_args!("header {name} has more than one action");
        return Err(Fault::unsupported(field, message).mend("leave one of set, add, remove"));
    }
    Ok(HeaderEdit { set, add, remove })
}

fn fields(wanted: &[HttpHeader], field: &str) -> Result<Vec<HeaderField>, Fault> {
    let mut fields: Vec<HeaderField> = Vec::new();
    for (index, header) in wanted.iter().enumerate() {
        let name = editable(&header.name, &format!("{field}[{index}].name"))?;
        // RFC 9110 §5.5, without obs-text.
        if !header.value.bytes().all(|b| b == b'\t' || (b' '..=b'~').contains(&b)) {
            let message = "a header's value is printable ASCII";
            return Err(Fault::unsupported(format!("{field}[{index}].value"), message));
        }
        // "Subsequent entries with an equivalent header name MUST be ignored" (HTTPHeader).
        if fields.iter().all(|known| known.name != name) {
            fields.push(HeaderField { name, value: header.value.trim().into() });
        }
    }
    Ok(fields)
}

fn editable(name: &str, field: &str) -> Result<std::sync::Arc<str>, Fault> {
    let name = header_name(name, field)?;
    match &*name {
        "host" => {
            let fault = Fault::unsupported(field, "Host is no header that can be edited");
            Err(fault.mend("use URLRewrite with hostname"))
        }
        "connection" | "content-length" | "keep-alive" | "proxy-connection" | "te" | "trailer"
        | "transfer-encoding" | "upgrade" => {
            // RFC 9110 §7.6.1, RFC 9112 §6: these say where a message ends and what the connection is.
            let message = format_args!("{name} belongs to the connection and cannot be edited");
            Err(Fault::unsupported(field, message))
        }
        _ => Ok(name),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn edit(value: Value) -> Result<HeaderEdit, Fault> {
        header_edit(&serde_json::from_value(value).unwrap(), "f")
    }

    #[test]
    fn names_are_folded_and_the_first_counts() {
        let set = json!([{"name": "X-A", "value": "1"}, {"name": "x-a", "value": "2"}]);
        let edit = edit(json!({"set": set, "remove": ["X-B", "x-b"]})).unwrap();
        let field = HeaderField { name: "x-a".into(), value: "1".into() };
        assert_eq!(edit, HeaderEdit { set: vec![field], add: vec![], remove: vec!["x-b".into()] });
    }

    #[test]
    fn what_cannot_be_edited_is_refused() {
        let a = json!([{"name": "a", "value": "1"}]);
        for (bad, field) in [
            (json!({"set": a, "add": a}), "f"),
            (json!({"set": a, "remove": ["A"]}), "f"),
            (json!({"set": [{"name": "Host", "value": "x"}]}), "f.set[0].name"),
            (json!({"add": [{"name": "Content-Length", "value": "0"}]}), "f.add[0].name"),
            (json!({"remove": ["transfer-encoding"]}), "f.remove[0]"),
            (json!({"remove": ["a b"]}), "f.remove[0]"),
            (json!({"set": [{"name": "a", "value": "x\r\ny: z"}]}), "f.set[0].value"),
        ] {
            assert_eq!(edit(bad.clone()).unwrap_err().field, field, "{bad}");
        }
    }
}
