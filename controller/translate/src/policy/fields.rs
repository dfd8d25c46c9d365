//! The fields that a policy sets, by path: what conflicts are about, and what provenance names.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;

/// The paths of everything that `spec` sets: `timeouts.request`. What is merged as a whole counts as one field.
/// Header edits count by header: `headers.request.x-edge`.
pub(super) fn fields(spec: &impl Serialize, whole: &[&str]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    if let Ok(Value::Object(fields)) = serde_json::to_value(spec) {
        for (name, value) in &fields {
            if !matches!(name.as_str(), "targetRefs" | "targetSelectors" | "enforce") {
                walk(name, value, whole, &mut found);
            }
        }
    }
    found
}

fn walk(path: &str, value: &Value, whole: &[&str], found: &mut BTreeSet<String>) {
    match value {
        Value::Null => {}
        Value::Object(fields) if !whole.contains(&path) => {
            for (name, value) in fields {
                walk(&format!("{path}.{name}"), value, whole, found);
            }
        }
        Value::Array(edits) if path.starts_with("headers.") => {
            let direction = path.rsplit_once('.').map_or(path, |(direction, _)| direction);
            for edit in edits {
                let name = edit.get("name").unwrap_or(edit).as_str().unwrap_or_default();
                found.insert(format!("{direction}.{}", name.to_ascii_lowercase()));
            }
        }
        _ => {
            found.insert(path.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_are_paths() {
        let spec = json!({
            "targetRefs": [{"kind": "Gateway", "name": "a"}],
            "timeouts": {"request": "1s", "idle": null},
            "cors": {"allowOrigins": ["*"]},
            "retry": {"on": ["reset"], "budget": {"percent": 1}},
            "headers": {"request": {"set": [{"name": "X-A", "value": "1"}], "remove": ["x-b"]}},
        });
        let found = fields(&spec, &["cors"]);
        let expected = [
            "cors",
            "headers.request.x-a",
            "headers.request.x-b",
            "retry.budget.percent",
            "retry.on",
            "timeouts.request",
        ];
        assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), expected);
    }
}
