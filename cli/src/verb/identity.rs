//! `diolkos identity`: who a gateway is, who says so, for how long, and whom it trusts.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::SystemTime;

use serde::Deserialize;

use crate::arguments::{Format, Identity};
use crate::exit::Failure;
use crate::{admin, report, workload};

/// Prints every identity of a running gateway, or of this process by a Workload API.
pub(crate) fn run(arguments: &Identity) -> Result<ExitCode, Failure> {
    let text = match &arguments.socket {
        Some(socket) => asked(socket)?,
        None => admin::get(arguments.admin, "/identities")?,
    };
    let from = |error: serde_json::Error| {
        Failure::Unreachable(format!(
            "{} is not an admin interface of this version: {error}",
            arguments.admin
        ))
    };
    if arguments.output == Format::Json {
        let value: serde_json::Value = serde_json::from_str(&text).map_err(from)?;
        report::json(&value);
        return Ok(ExitCode::SUCCESS);
    }
    let statuses: Vec<Status> = serde_json::from_str(&text).map_err(from)?;
    if statuses.is_empty() {
        report::line("No identity: nothing here asks for one. Meshed backends and mesh listeners do.");
    }
    let now = seconds(SystemTime::now());
    for status in &statuses {
        report::print(&status.text(now));
    }
    Ok(ExitCode::SUCCESS)
}

/// Asks a Workload API once, as this process.
fn asked(socket: &str) -> Result<String, Failure> {
    super::runtime()?.block_on(async {
        let (identity, _running) = workload::identity(socket).await.map_err(Failure::Unreachable)?;
        Ok(serde_json::to_string(&[identity.status()]).expect("our own types have string keys only"))
    })
}

/// What the admin interface says of an identity. Times are seconds since 1970.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    name: String,
    #[serde(default)]
    not_ready: Option<String>,
    source: String,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    issuer: Option<String>,
    #[serde(default)]
    serial: Option<String>,
    #[serde(default)]
    chain: usize,
    #[serde(default)]
    not_after: Option<u64>,
    #[serde(default)]
    next_renewal: Option<u64>,
    #[serde(default)]
    last_error: Option<String>,
    #[serde(default)]
    failures: u64,
    generation: u64,
    bundles: BTreeMap<String, Bundle>,
    #[serde(default)]
    revocation_lists: usize,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bundle {
    roots: usize,
    jwt_keys: usize,
    #[serde(default)]
    sequence: Option<u64>,
}

impl Status {
    fn text(&self, now: u64) -> String {
        let mut lines = vec![("Identity", self.name.clone())];
        let mut add = |what, text: Option<String>| lines.extend(text.map(|text| (what, text)));
        add("SPIFFE ID", self.id.clone());
        add("Not ready", self.not_ready.clone());
        add("Source", Some(self.source.clone()));
        add("Issuer", self.issuer.clone());
        add("Serial", self.serial.clone());
        add("Chain", (self.chain > 0).then(|| count(self.chain, "certificate")));
        add("Days left", self.not_after.map(|at| format!("{:.1} ({})", days(now, at), relative(now, at))));
        add("Next renewal", self.next_renewal.map(|at| relative(now, at)));
        add("Last error", self.last_error.clone());
        add("Failures", (self.failures > 0).then(|| format!("{} since the last success", self.failures)));
        add("Generation", Some(self.generation.to_string()));
        add("Revocation", (self.revocation_lists > 0).then(|| count(self.revocation_lists, "list")));
        let bundles = self.bundles.iter().map(|(domain, bundle)| format!("{domain}: {}", bundle.text()));
        let mut first = "Trusts";
        for bundle in bundles {
            lines.push((std::mem::take(&mut first), bundle));
        }
        let lines = lines.iter().map(|(what, text)| format!("{what:<14}{text}").trim_end().to_owned());
        lines.collect::<Vec<_>>().join("\n") + "\n\n"
    }
}

impl Bundle {
    fn text(&self) -> String {
        let sequence = self.sequence.map(|sequence| format!(", sequence {sequence}")).unwrap_or_default();
        format!("{}, {}{sequence}", count(self.roots, "root"), count(self.jwt_keys, "JWT key"))
    }
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn days(now: u64, at: u64) -> f64 {
    at.saturating_sub(now) as f64 / 86_400.0
}

/// `in 11h 59m`, `3m 2s ago`.
fn relative(now: u64, at: u64) -> String {
    let span = now.abs_diff(at);
    let (days, hours, minutes, rest) = (span / 86_400, span / 3_600 % 24, span / 60 % 60, span % 60);
    let text = match (days, hours, minutes) {
        (0, 0, 0) => format!("{rest}s"),
        (0, 0, minutes) => format!("{minutes}m {rest}s"),
        (0, hours, minutes) => format!("{hours}h {minutes}m"),
        (days, hours, _) => format!("{days}d {hours}h"),
    };
    if at >= now { format!("in {text}") } else { format!("{text} ago") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_told_line_by_line() {
        let status: Status = serde_json::from_value(serde_json::json!({
            "name": "default/edge-diolkos", "ready": true, "source": "the built-in issuer",
            "id": "spiffe://cluster.local/ns/default/sa/edge-diolkos", "issuer": "O=cluster.local", "serial": "0a",
            "chain": 1, "notAfter": 87_400, "nextRenewal": 1_061, "generation": 3,
            "failures": 0, "bundles": {"cluster.local": {"roots": 2, "jwtKeys": 1, "sequence": 4}},
        }))
        .unwrap();
        let expected = "\
Identity      default/edge-diolkos
SPIFFE ID     spiffe://cluster.local/ns/default/sa/edge-diolkos
Source        the built-in issuer
Issuer        O=cluster.local
Serial        0a
Chain         1 certificate
Days left     1.0 (in 1d 0h)
Next renewal  in 1m 1s
Generation    3
Trusts        cluster.local: 2 roots, 1 JWT key, sequence 4

";
        assert_eq!(status.text(1_000), expected);
        assert_eq!(relative(1_000, 900), "1m 40s ago");
    }
}
