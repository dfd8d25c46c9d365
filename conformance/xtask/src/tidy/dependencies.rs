//! Rules about dependencies: the fences between our crates, bans, licences, sources. The same rules as
//! `deny.toml`, over `cargo metadata`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::Violation;

/// Own crate → own crates that it may use. Whoever is missing may use any (cli, conformance).
const FENCES: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("identity", &["model"]),
    ("issuer", &["identity", "model"]),
    ("api", &[]),
    ("translate", &["api", "identity", "model"]),
    ("controller", &["api", "model", "translate"]),
    ("proxy", &["identity", "model"]),
];

/// Own crates that nobody may use.
const LEAVES: &[&str] = &["diolkos", "system", "xtask", "bench"];

/// Outside library → own crates that may name it as a normal dependency.
const GATES: &[(&str, &[&str])] = &[
    ("hyper", &["identity", "issuer", "proxy", "diolkos", "system", "bench"]),
    ("k8s-openapi", &["api", "controller", "translate", "xtask"]),
    ("kube", &["api", "controller", "translate", "xtask"]),
    ("rcgen", &["identity", "issuer", "system", "bench"]),
    ("rustls", &["identity", "issuer", "proxy", "diolkos", "system", "bench"]),
    ("tokio", &["controller", "diolkos", "identity", "issuer", "proxy", "system", "bench"]),
    ("anyhow", &["diolkos", "system", "xtask", "bench"]),
];

/// Checks the resolved dependency graph of the workspace.
pub(super) fn check(root: &Path) -> Result<Vec<Violation>> {
    let target = "x86_64-unknown-linux-gnu";
    let metadata =
        cargo(root, &["metadata", "--format-version", "1", "--locked", "--filter-platform", target])?;
    let metadata: Value = serde_json::from_str(&metadata).context("cargo metadata printed no JSON")?;
    let tree = cargo(
        root,
        &[
            "tree",
            "--workspace",
            "--locked",
            "--edges",
            "normal,build",
            "--prefix",
            "none",
            "--target",
            target,
        ],
    )?;
    let deny = std::fs::read_to_string(root.join("deny.toml")).context("deny.toml")?;
    let mut messages = fences(&metadata);
    messages.extend(bans(&tree, &quoted_values(&deny, "crate = ")));
    messages.extend(licences(&metadata, &allowed_licences(&deny)));
    Ok(messages
        .into_iter()
        .map(|message| Violation { file: PathBuf::from("Cargo.lock"), line: 0, message })
        .collect())
}

fn cargo(root: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new("cargo").args(arguments).current_dir(root).output().context("cargo")?;
    if !output.status.success() {
        bail!("cargo {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
    }
    String::from_utf8(output.stdout).context("cargo printed no UTF-8")
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Edges between our own crates, and from them to gated libraries.
fn fences(metadata: &Value) -> Vec<String> {
    let members: BTreeSet<&str> =
        list(metadata, "workspace_members").iter().filter_map(Value::as_str).collect();
    let own: Vec<&Value> =
        list(metadata, "packages").iter().filter(|package| members.contains(text(package, "id"))).collect();
    let names: BTreeSet<&str> = own.iter().map(|package| text(package, "name")).collect();
    let mut found = Vec::new();
    for package in own {
        let user = text(package, "name");
        let normal =
            list(package, "dependencies").iter().filter(|dependency| text(dependency, "kind").is_empty());
        for used in normal.map(|dependency| text(dependency, "name")) {
            if names.contains(used) && LEAVES.contains(&used) {
                found.push(format!("{user} uses {used}, which nobody may use"));
            }
            let fence = FENCES.iter().find(|(name, _)| *name == user);
            if names.contains(used) && fence.is_some_and(|(_, allowed)| !allowed.contains(&used)) {
                found.push(format!("{user} uses {used}: not in the map of DESIGN.md"));
            }
            let gate = GATES.iter().find(|(name, _)| *name == used);
            if gate.is_some_and(|(_, allowed)| !allowed.contains(&user)) {
                found.push(format!("{user} uses {used}: only {:?} may", gate.map(|gate| gate.1)));
            }
        }
    }
    found
}

/// Banned crates among those that a build of the workspace compiles: `tree` is one `name vVERSION` a line.
/// (`cargo metadata` also lists what optional features that are off would bring.)
fn bans(tree: &str, banned: &[String]) -> Vec<String> {
    let built: BTreeSet<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    banned
        .iter()
        .filter(|name| built.contains(name.as_str()))
        .map(|name| format!("{name} is built, which deny.toml bans: `cargo tree -i {name}` says for whom"))
        .collect()
}

/// Packages from elsewhere than the registry, or under a licence that is not allowed.
fn licences(metadata: &Value, allowed: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for package in list(metadata, "packages") {
        let name = text(package, "name");
        let source = text(package, "source");
        if !source.is_empty() && !source.starts_with("registry+") && !source.starts_with("sparse+") {
            found.push(format!("{name} comes from {source}, not from the registry"));
        }
        let licence = text(package, "license");
        if !is_allowed(licence, allowed) {
            found.push(format!("{name} is under {licence:?}, which deny.toml does not allow"));
        }
    }
    found
}

/// An SPDX expression holds if one side of each `OR` holds; all sides of each `AND` must.
fn is_allowed(expression: &str, allowed: &[String]) -> bool {
    let expression = expression.replace('/', " OR ").replace(['(', ')'], " ");
    expression
        .split(" OR ")
        .any(|side| side.split(" AND ").all(|licence| allowed.iter().any(|known| known == licence.trim())))
}

fn allowed_licences(deny: &str) -> Vec<String> {
    let section =
        deny.split_once("allow = [").and_then(|(_, rest)| rest.split_once(']')).map_or("", |(list, _)| list);
    section.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

fn quoted_values(text: &str, key: &str) -> Vec<String> {
    text.split(key)
        .skip(1)
        .filter_map(|rest| rest.strip_prefix('"')?.split_once('"'))
        .map(|(value, _)| value.to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fences_gates_and_leaves_can_fail() {
        let package = |name: &str, uses: &[&str]| {
            let dependencies: Vec<_> = uses.iter().map(|used| json!({"name": used, "kind": null})).collect();
            json!({"id": name, "name": name, "dependencies": dependencies})
        };
        let metadata = json!({
            "workspace_members": ["model", "proxy", "controller", "diolkos"],
            "packages": [
                package("model", &["tokio"]),
                package("proxy", &["controller", "model"]),
                package("controller", &["diolkos"]),
                package("diolkos", &["proxy", "controller"]),
            ],
        });
        let found = fences(&metadata);
        for part in ["model uses tokio", "proxy uses controller", "controller uses diolkos, which nobody"] {
            assert!(found.iter().any(|message| message.starts_with(part)), "{part} not in {found:?}");
        }
        assert!(!found.iter().any(|message| message.starts_with("diolkos")), "{found:?}");
    }

    #[test]
    fn licence_expressions_are_read() {
        let allowed = vec!["MIT".to_owned(), "Apache-2.0".to_owned()];
        assert!(is_allowed("GPL-3.0 OR MIT", &allowed));
        assert!(is_allowed("MIT/Apache-2.0", &allowed));
        assert!(is_allowed("MIT AND Apache-2.0", &allowed));
        assert!(!is_allowed("MIT AND GPL-3.0", &allowed));
        assert!(!is_allowed("", &allowed));
    }

    #[test]
    fn bans_see_what_is_built() {
        let banned = ["ring".to_owned(), "openssl".to_owned()];
        let found = bans("diolkos v0.1.0 (/somewhere)\nring v0.17.0\nstring v1.0.0\n", &banned);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(bans("string v1.0.0\n", &banned).is_empty());
    }
}
