//! Golden files: objects in, snapshot, status and problems out, in one file per case under `tests/golden`.
//!
//! A file holds YAML documents, a line `# --- expect ---`, and what [`translate::translate`] gives.
//! `UPDATE_GOLDEN=1 cargo test -p translate --test golden` writes what is given; read it before committing it.
//! A line `# not admitted` says that an API server would refuse the objects.
//! A line `# addressing: {…}` says how Gateways get addresses; without it one process binds the sockets.
//! A line `# mesh: {…}` says what is known of the mesh around; without it there is a built-in issuer and nothing else.
//!
//! Every case also proves what holds for all inputs: the order of objects does not matter, twice the same input
//! gives the same output, a missing object breaks nothing else, no snapshot has a dangling name, and each one
//! survives the wire.

#![expect(clippy::unwrap_used, reason = "a broken golden file stops the test")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use api::AnyObject;
use api::decode::Reason;
use model::proto::{decode_snapshot, encode_snapshot};
use serde_json::{Map, Value, json};
use translate::{Addressing, Inputs, MeshFacts, Output, translate};

const SEPARATOR: &str = "# --- expect ---\n";

#[test]
fn golden_files_hold() {
    let mut paths = Vec::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden"), &mut paths);
    assert!(!paths.is_empty(), "there are no golden files");
    let failures: Vec<_> = paths.iter().filter_map(|path| check(path).err()).collect();
    assert!(failures.is_empty(), "{} of {} files:\n{}", failures.len(), paths.len(), failures.join("\n"));
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            collect(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            paths.push(path);
        }
    }
}

/// Checks one file: its expectation, then the properties.
fn check(path: &Path) -> Result<(), String> {
    let text = std::fs::read_to_string(path).unwrap();
    let (input, expected) = text.split_once(SEPARATOR).unwrap_or((&text, ""));
    admitted(input).map_err(|refused| format!("{}: {refused}", path.display()))?;
    let case = Case::read(input).map_err(|error| format!("{}: {error}", path.display()))?;
    let output = translate(&case.inputs());
    properties(&case, &output).map_err(|broken| format!("{}: {broken}", path.display()))?;
    let given = render(&output);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let input = input.trim_end();
        std::fs::write(path, format!("{input}\n{SEPARATOR}{given}")).unwrap();
        return Ok(());
    }
    match difference(expected, &given) {
        None => Ok(()),
        Some(lines) => Err(format!("{}:\n{lines}", path.display())),
    }
}

/// Whether an API server would take the objects: a slip of the pen would test something else than it seems to. A
/// file with a line `# not admitted` shows what becomes of objects that got past it, through older CRDs say.
fn admitted(input: &str) -> Result<(), String> {
    let documents = api::decode::decode("input", input);
    let refused: Vec<_> =
        documents.iter().filter_map(|document| document.result.as_ref().err()).flatten().collect();
    let expected = input.lines().any(|line| line == "# not admitted");
    // What has no place in the types is dropped unseen.
    let lost = |reason| matches!(reason, Reason::UnknownField | Reason::UnknownKind | Reason::UnknownVersion);
    let worst = refused.iter().find(|problem| lost(problem.reason)).or(refused.first());
    match worst {
        Some(problem) if !expected || lost(problem.reason) => {
            Err(format!("an API server refuses this input: {problem}"))
        }
        None if expected => {
            Err("an API server takes this input: remove the line '# not admitted'".to_owned())
        }
        _ => Ok(()),
    }
}

struct Case {
    objects: Vec<AnyObject>,
    addressing: Addressing,
    mesh: MeshFacts,
}

impl Case {
    fn read(text: &str) -> Result<Self, String> {
        let documents: Vec<Value> = serde_saphyr::from_multiple(text).map_err(|error| error.to_string())?;
        let objects = documents.into_iter().filter(|document| !document.is_null());
        let objects = objects.map(|document| {
            AnyObject::from_value(document).map_err(|error| match std::error::Error::source(&error) {
                Some(source) => format!("{error}: {source}"),
                None => error.to_string(),
            })
        });
        let objects = objects.collect::<Result<_, _>>()?;
        Ok(Self { objects, addressing: addressing(text), mesh: mesh_facts(text) })
    }

    fn inputs(&self) -> Inputs {
        self.inputs_of(self.objects.iter().cloned())
    }

    fn inputs_of(&self, objects: impl Iterator<Item = AnyObject>) -> Inputs {
        let (addressing, mesh) = (self.addressing.clone(), self.mesh.clone());
        Inputs { addressing, mesh, ..Inputs::new(objects) }
    }
}

/// Reads `# addressing: Service` or `# addressing: {default: [192.0.2.1], local: [192.0.2.7]}`.
fn addressing(text: &str) -> Addressing {
    let Some(line) = text.lines().find_map(|line| line.strip_prefix("# addressing: ")) else {
        return Addressing::default();
    };
    let value: Value = serde_saphyr::from_str(line).unwrap();
    if value == "Service" {
        return Addressing::Service;
    }
    let list = |name: &str| -> Option<Vec<IpAddr>> {
        let values = value.get(name)?.as_array()?.iter();
        Some(values.map(|value| value.as_str().unwrap().parse().unwrap()).collect())
    };
    Addressing::Bind {
        default: list("default").unwrap_or_default(),
        local: list("local").map(|local| local.into_iter().collect::<BTreeSet<_>>()),
    }
}

/// Reads `# mesh: {istio_ca: true, built_in: false, trust_domain: example.org, pods: true}`.
fn mesh_facts(text: &str) -> MeshFacts {
    let default = MeshFacts::default();
    let Some(line) = text.lines().find_map(|line| line.strip_prefix("# mesh: ")) else { return default };
    let value: Value = serde_saphyr::from_str(line).unwrap();
    let flag = |name: &str, default: bool| value.get(name).and_then(Value::as_bool).unwrap_or(default);
    MeshFacts {
        istio_ca: flag("istio_ca", default.istio_ca),
        built_in: flag("built_in", default.built_in),
        trust_domain: value.get("trust_domain").and_then(Value::as_str).map(str::to_owned),
        pods: flag("pods", default.pods),
    }
}

/// What holds for every input.
fn properties(case: &Case, output: &Output) -> Result<(), String> {
    sound(output, "as written")?;
    if translate(&case.inputs()) != *output {
        return Err("the same input twice gives two outputs".to_owned());
    }
    let reversed = case.inputs_of(case.objects.iter().rev().cloned());
    if translate(&reversed) != *output {
        return Err("the order of objects matters".to_owned());
    }
    for (position, dropped) in case.objects.iter().enumerate() {
        let rest = case.objects.iter().enumerate().filter(|(other, _)| *other != position);
        let inputs = case.inputs_of(rest.map(|(_, object)| object.clone()));
        sound(&translate(&inputs), &format!("without {}", dropped.key()))?;
    }
    Ok(())
}

fn sound(output: &Output, when: &str) -> Result<(), String> {
    for (shard, snapshot) in &output.snapshots {
        let dangling = snapshot.dangling();
        if !dangling.is_empty() {
            return Err(format!("{when}, snapshot {shard} dangles: {dangling:?}"));
        }
        match decode_snapshot(encode_snapshot(snapshot)) {
            Ok(same) if same == *snapshot => {}
            Ok(_) => return Err(format!("{when}, snapshot {shard} is another one after the wire")),
            Err(error) => return Err(format!("{when}, snapshot {shard}: {error}: {}", error.source)),
        }
    }
    Ok(())
}

fn render(output: &Output) -> String {
    let mut snapshots = Map::new();
    for (shard, snapshot) in &output.snapshots {
        snapshots.insert(shard.to_string(), serde_json::to_value(snapshot).unwrap());
    }
    let mut statuses = Map::new();
    for (object, status) in &output.statuses {
        statuses.insert(object.to_string(), compact(serde_json::to_value(status).unwrap()));
    }
    let problems: Vec<Value> = (output.problems.iter())
        .map(|problem| match problem.condition {
            "" => json!(format!("{:?}: {problem}", problem.severity)),
            condition => json!(format!("{:?} {condition}/{}: {problem}", problem.severity, problem.reason)),
        })
        .collect();
    let snapshot = match (snapshots.len(), snapshots.remove("main")) {
        (1, Some(main)) => main,
        (_, Some(main)) => {
            snapshots.insert("main".to_owned(), main);
            Value::Object(snapshots)
        }
        (_, None) => Value::Object(snapshots),
    };
    let mut parts = vec![("snapshot", snapshot), ("status", Value::Object(statuses))];
    // Left out where it says nothing but whose trust domain the issuer is of.
    if !output.issuer.registrations.is_empty() || !output.issuer.federated.is_empty() {
        parts.push(("issuer", serde_json::to_value(&output.issuer).unwrap()));
    }
    parts.push(("problems", problems.into()));
    let mut text = String::new();
    for (name, value) in parts {
        let _ = write!(text, "{name}:");
        write_value(&shorten(value), 1, &mut text);
    }
    text
}

/// A condition in one line, and the list of features by its length: a unit test has them.
fn compact(value: Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .map(|(name, value)| match (name.as_str(), &value) {
                    ("conditions", Value::Array(conditions)) => {
                        (name, conditions.iter().map(condition).collect())
                    }
                    ("supportedFeatures", Value::Array(features)) => (name, json!(features.len())),
                    _ => (name, compact(value)),
                })
                .collect(),
        ),
        Value::Array(values) => values.into_iter().map(compact).collect(),
        other => other,
    }
}

fn condition(condition: &Value) -> Value {
    let text = |name: &str| condition[name].as_str().unwrap_or_default();
    let generation = &condition["observedGeneration"];
    let seen = if generation.is_null() { String::new() } else { format!(" @{generation}") };
    json!(format!("{}={} {}{seen}: {}", text("type"), text("status"), text("reason"), text("message")))
}

/// Keeps PEM texts out of the file, and writes an origin as `HTTPRoute shop/cart`.
fn shorten(value: Value) -> Value {
    if let Ok(origin) = serde_json::from_value::<model::Origin>(value.clone())
        && serde_json::to_value(&origin).is_ok_and(|same| same == value)
    {
        return json!(origin.to_string());
    }
    match value {
        Value::String(text) if text.contains("-----BEGIN ") => {
            json!(format!("({} PEM blocks)", text.matches("-----BEGIN ").count()))
        }
        Value::Object(fields) => {
            fields.into_iter().map(|(name, value)| (name, shorten(value))).collect::<Map<_, _>>().into()
        }
        Value::Array(values) => values.into_iter().map(shorten).collect(),
        other => other,
    }
}

/// YAML in block style, short and the same on every day.
fn write_value(value: &Value, depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            text.push('\n');
            for (name, value) in fields {
                let _ = write!(text, "{indent}{}:", scalar(name));
                write_value(value, depth + 1, text);
            }
        }
        Value::Array(values) if values.iter().any(|value| value.is_object() || value.is_array()) => {
            text.push('\n');
            for value in values {
                let mut item = String::new();
                write_value(value, depth + 1, &mut item);
                let _ = write!(text, "{indent}- {}", item.trim_start());
            }
        }
        Value::Array(values) if values.iter().map(|value| value.to_string().len()).sum::<usize>() > 80 => {
            text.push('\n');
            for value in values {
                let _ = writeln!(text, "{indent}- {}", scalar(value.as_str().unwrap_or(&value.to_string())));
            }
        }
        Value::Array(values) => {
            let items: Vec<_> =
                values.iter().map(|value| value.as_str().map_or(value.to_string(), scalar)).collect();
            let _ = writeln!(text, " [{}]", items.join(", "));
        }
        Value::Object(_) => text.push_str(" {}\n"),
        Value::String(string) => {
            let _ = writeln!(text, " {}", scalar(string));
        }
        other => {
            let _ = writeln!(text, " {other}");
        }
    }
}

/// A text without quotes where YAML needs none.
fn scalar(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./ @()=;".contains(c);
    let word = text.chars().all(plain) && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
    if word && !text.ends_with(' ') && !matches!(text, "true" | "false" | "null" | "yes" | "no") {
        text.to_owned()
    } else {
        Value::String(text.to_owned()).to_string()
    }
}

/// The first lines that differ.
fn difference(expected: &str, given: &str) -> Option<String> {
    if expected == given {
        return None;
    }
    let mut text = String::new();
    let (expected, given): (Vec<_>, Vec<_>) = (expected.lines().collect(), given.lines().collect());
    let first = expected.iter().zip(&given).take_while(|(a, b)| a == b).count();
    for (sign, lines) in [('-', &expected), ('+', &given)] {
        for line in lines.iter().skip(first).take(12) {
            let _ = writeln!(text, "  {sign} {line}");
        }
    }
    Some(text)
}
