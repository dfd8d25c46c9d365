//! h2spec: HTTP/2 conformance (RFC 9113, RFC 7541) of both listeners, strict cases included.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::gateway::{Gateway, HTTP, HTTPS};
use super::junit::{self, Case, Outcome};
use crate::Missing;
use crate::binary;

/// Runs the suite against both ports and writes the report; an error names every case that is not as expected.
pub(super) fn run(root: &Path) -> Result<()> {
    let tools = root.join("conformance/h2spec");
    let versions = Versions::find(root, &tools)?;
    let binary = binary::released(root)?;
    let mut gateway = Gateway::start(&binary)?;
    let mut report = versions.head();
    let mut wrong = Vec::new();
    for listener in LISTENERS {
        let cases = cases(&tools, &gateway, listener)?;
        gateway.check_alive()?;
        listener.report(&cases, &mut report);
        wrong.extend(listener.surprises(&cases));
    }
    fs::create_dir_all(root.join(REPORTS)).context(REPORTS)?;
    fs::write(root.join(REPORTS).join("h2spec.md"), &report).context("write h2spec.md")?;
    println!("{report}");
    ensure!(wrong.is_empty(), "h2spec: {}", wrong.join("; "));
    Ok(())
}

fn cases(tools: &Path, gateway: &Gateway, listener: &Listener) -> Result<Vec<Case>> {
    let xml = gateway.folder().join(format!("{}.xml", listener.port));
    // It fails if a case fails; whether that is as expected is decided here.
    let output = Command::new("go")
        .args(["tool", "h2spec", "--strict", "--timeout", TIMEOUT])
        .args(["--host", &gateway.address().to_string(), "--port", &listener.port.to_string()])
        .args(listener.arguments)
        .arg("--junit-report")
        .arg(&xml)
        .current_dir(tools)
        .output()
        .context("go tool h2spec")?;
    let text = fs::read_to_string(&xml)
        .with_context(|| format!("h2spec wrote no report: {}", String::from_utf8_lossy(&output.stderr)))?;
    junit::read(&text)
}

/// A listener under test.
#[derive(Debug)]
struct Listener {
    name: &'static str,
    port: u16,
    arguments: &'static [&'static str],
    /// Cases that fail and are meant to.
    exceptions: &'static [Exception],
}

/// A case that fails by a decision of ours.
#[derive(Debug)]
struct Exception {
    section: &'static str,
    title: &'static str,
    reason: &'static str,
}

impl Exception {
    fn is(&self, case: &Case) -> bool {
        self.section == case.section && self.title == case.title
    }
}

impl Listener {
    fn report(&self, cases: &[Case], report: &mut String) {
        let count = |wanted: fn(&Outcome) -> bool| cases.iter().filter(|case| wanted(&case.outcome)).count();
        let passed = count(|outcome| *outcome == Outcome::Passed);
        let skipped = count(|outcome| *outcome == Outcome::Skipped);
        let failed = cases.len() - passed - skipped;
        let _ = write!(
            report,
            "\n## {}\n\n{} cases: {passed} passed, {skipped} skipped, {failed} failed.\n",
            self.name,
            cases.len()
        );
        for case in cases {
            let Outcome::Failed(came) = &case.outcome else { continue };
            let known = self.exceptions.iter().find(|exception| exception.is(case));
            let reason = known.map_or("Not expected: this is a defect.", |exception| exception.reason);
            let _ = write!(report, "\n- `{}` {}: {came}\n  {reason}\n", case.section, case.title);
        }
    }

    /// What differs from the list of exceptions, either way.
    fn surprises(&self, cases: &[Case]) -> Vec<String> {
        let mut surprises = Vec::new();
        for case in cases {
            let expected = self.exceptions.iter().any(|exception| exception.is(case));
            let name = format!("{}: {} {}", self.name, case.section, case.title);
            match (&case.outcome, expected) {
                (Outcome::Passed, false) | (Outcome::Failed(_), true) => {}
                (Outcome::Passed, true) => {
                    surprises.push(format!("{name} passes now: take its exception out"))
                }
                (Outcome::Failed(came), false) => surprises.push(format!("{name} fails: {came}")),
                (Outcome::Skipped, _) => surprises.push(format!("{name} was skipped")),
            }
        }
        if cases.len() < CASES {
            surprises.push(format!("{}: only {} cases were run, not {CASES}", self.name, cases.len()));
        }
        surprises
    }
}

/// What a report must name so that it can be repeated.
#[derive(Debug)]
struct Versions {
    h2spec: String,
    go: String,
    diolkos: String,
    hyper: String,
    h2: String,
}

impl Versions {
    fn find(root: &Path, tools: &Path) -> Result<Self> {
        let wanted = wanted_go(tools)?;
        let missing = format!(
            "h2spec needs Go {wanted} or newer (Debian 13 and later: apt install golang-go; \
             else https://go.dev/dl)"
        );
        let Ok(go) = go(tools, &["env", "GOVERSION"]) else { bail!(Missing(missing)) };
        if numbers(&go) < numbers(&wanted) {
            bail!(Missing(format!("{missing}; this is {go}")));
        }
        let module = go_module(tools)?;
        Ok(Self {
            h2spec: module,
            go,
            diolkos: binary::locked_version(root, "diolkos")?,
            hyper: binary::locked_version(root, "hyper")?,
            h2: binary::locked_version(root, "h2")?,
        })
    }

    fn head(&self) -> String {
        let Self { h2spec, go, diolkos, hyper, h2 } = self;
        format!(
            "# HTTP/2 conformance: h2spec\n\n\
             Written by `cargo xtask conformance h2spec` on {}.\n\n\
             h2spec {h2spec} (strict cases included, {TIMEOUT} s for each; {go}) against diolkos {diolkos}, released build, \
             with hyper {hyper} and h2 {h2}: one Gateway with an HTTP and an HTTPS listener, in front of `diolkos echo`.\n",
            jiff::Zoned::now().strftime("%Y-%m-%d")
        )
    }
}

fn go_module(tools: &Path) -> Result<String> {
    go(tools, &["list", "-m", "-f", "{{.Version}}", "github.com/summerwind/h2spec"])
        .map(|version| version.trim_end_matches("+incompatible").to_owned())
}

/// The version that `go.mod` asks for.
fn wanted_go(tools: &Path) -> Result<String> {
    let text = fs::read_to_string(tools.join("go.mod")).context("conformance/h2spec/go.mod")?;
    let line = text.lines().find_map(|line| line.strip_prefix("go "));
    Ok(line.context("go.mod says its Go version")?.trim().to_owned())
}

fn go(tools: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new("go").args(arguments).current_dir(tools).output().context("go")?;
    ensure!(
        output.status.success(),
        "go {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// The numbers of a version, in order of weight.
fn numbers(version: &str) -> Vec<u32> {
    let digits = version.trim_start_matches(|c: char| !c.is_ascii_digit());
    digits.split('.').map_while(|part| part.parse().ok()).collect()
}

const REPORTS: &str = "conformance/reports";
/// Seconds that a case waits for what must come. The tool's own are 2; a busy machine gets more.
const TIMEOUT: &str = "5";
/// Cases of the pinned version with `--strict`.
const CASES: usize = 146;

const LISTENERS: &[Listener] = &[
    Listener {
        name: "In the clear (prior knowledge)",
        port: HTTP,
        arguments: &[],
        exceptions: &[Exception {
            section: "http2/3.5",
            title: "Sends invalid connection preface",
            reason: "The port speaks HTTP/1.1 as well and tells the two apart by the first bytes. What is no HTTP/2 preface \
                     is an HTTP/1.1 request, here a malformed one: it is answered 400 in HTTP/1.1, and the connection is \
                     closed. The tool takes the answer for a bad frame.",
        }],
    },
    Listener {
        name: "Over TLS (ALPN h2)",
        port: HTTPS,
        arguments: &["--tls", "--insecure"],
        exceptions: &[],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(section: &str, title: &str) -> Case {
        Case {
            section: section.to_owned(),
            title: title.to_owned(),
            outcome: Outcome::Failed("x".to_owned()),
        }
    }

    #[test]
    fn only_the_exceptions_may_fail() {
        let [clear, tls] = LISTENERS else { unreachable!("there are two") };
        let mut cases = vec![failed("http2/3.5", "Sends invalid connection preface")];
        let pass = Case { outcome: Outcome::Passed, ..failed("generic/1", "x") };
        cases.resize(CASES, pass.clone());
        assert_eq!(clear.surprises(&cases), Vec::<String>::new());
        assert_eq!(tls.surprises(&cases).len(), 1);
        cases[0].outcome = Outcome::Passed;
        assert_eq!(clear.surprises(&cases).len(), 1);
        cases[1] = failed("generic/2", "y");
        assert_eq!(clear.surprises(&cases).len(), 2);
        assert_eq!(clear.surprises(&[pass]).len(), 1, "too few cases");
    }

    #[test]
    fn versions_compare_by_number() {
        assert!(numbers("go1.26.8") > numbers("1.24.0"));
        assert!(numbers("go1.9") < numbers("1.24.0"));
    }
}
