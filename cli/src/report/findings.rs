//! What is wrong, as lines for people.

use controller::Finding;
use controller::world::Level;

/// One line per finding: where, what, and the mend.
pub(crate) fn lines(findings: &[Finding]) -> String {
    findings.iter().map(|finding| format!("{}\n", line(finding))).collect()
}

/// Where, what, and the mend.
pub(crate) fn line(finding: &Finding) -> String {
    let level = match finding.level {
        Level::Error => "error",
        Level::Warning => "warning",
        Level::Notice => "notice",
    };
    let mut line = format!("{level}: ");
    if let Some(file) = &finding.file {
        line.push_str(&file.display().to_string());
        if finding.line > 0 {
            line.push_str(&format!(":{}", finding.line));
        }
        line.push_str(": ");
    }
    let subject: Vec<&str> = [finding.object.as_str(), finding.field.as_str()]
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect();
    if !subject.is_empty() {
        line.push_str(&format!("{}: ", subject.join(" ")));
    }
    line.push_str(&format!("{} [{}]", finding.message, finding.reason));
    if !finding.mend.is_empty() {
        line.push_str(&format!("\n    mend: {}", finding.mend));
    }
    line
}
