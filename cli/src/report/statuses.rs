//! What becomes of each object, as rows: one per condition.

use serde::Serialize;
use serde_json::Value;
use translate::Output;

use super::table::Table;

/// One condition of one object, or of a part of it.
#[derive(Debug, Eq, PartialEq, Serialize)]
pub(crate) struct ConditionRow {
    pub(crate) object: String,
    /// Which part: a listener, a parent, an ancestor; empty for the object itself.
    pub(crate) part: String,
    pub(crate) condition: String,
    pub(crate) status: String,
    pub(crate) reason: String,
    pub(crate) message: String,
}

/// Every condition of every object.
pub(crate) fn rows(output: &Output) -> Vec<ConditionRow> {
    let mut rows = Vec::new();
    for (key, status) in &output.statuses {
        let value = serde_json::to_value(status).expect("a status has string keys only");
        let object = key.to_string();
        conditions(&object, "", &value, &mut rows);
        for listener in list(&value, "listeners") {
            conditions(&object, &format!("listener {}", text(listener, "name")), listener, &mut rows);
        }
        for parent in list(&value, "parents") {
            conditions(&object, &reference(parent, "parentRef"), parent, &mut rows);
        }
        for ancestor in list(&value, "ancestors") {
            conditions(&object, &reference(ancestor, "ancestorRef"), ancestor, &mut rows);
        }
    }
    rows
}

fn conditions(object: &str, part: &str, holder: &Value, rows: &mut Vec<ConditionRow>) {
    for condition in list(holder, "conditions") {
        rows.push(ConditionRow {
            object: object.to_owned(),
            part: part.to_owned(),
            condition: text(condition, "type").to_owned(),
            status: text(condition, "status").to_owned(),
            reason: text(condition, "reason").to_owned(),
            message: text(condition, "message").to_owned(),
        });
    }
}

/// `Gateway edge/http`: a reference without its defaults.
fn reference(holder: &Value, field: &str) -> String {
    let reference = holder.get(field).unwrap_or(&Value::Null);
    let kind = match text(reference, "kind") {
        "" => "Gateway",
        kind => kind,
    };
    let mut name = text(reference, "name").to_owned();
    match text(reference, "sectionName") {
        "" => {}
        section => name = format!("{name}/{section}"),
    }
    if let Some(port) = reference.get("port").and_then(Value::as_u64) {
        name = format!("{name}:{port}");
    }
    format!("{kind} {name}")
}

fn list<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value.get(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// For people. The message is shown only where it says more than the reason: where something is not so.
pub(crate) fn table(rows: &[ConditionRow]) -> Table {
    let mut table = Table::new(["OBJECT", "PART", "CONDITION", "STATUS", "REASON"]);
    for row in rows {
        table.row([&row.object, &row.part, &row.condition, &row.status, &row.reason].map(Clone::clone));
    }
    table
}
