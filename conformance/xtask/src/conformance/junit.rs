//! Reads the JUnit report that h2spec writes: one line per case, with its outcome below.

use anyhow::{Context, Result, ensure};

/// One case of the suite.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Case {
    /// The suite's group and section, as `http2/3.5`.
    pub(super) section: String,
    /// What it does.
    pub(super) title: String,
    pub(super) outcome: Outcome,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Outcome {
    Passed,
    Skipped,
    /// What was expected and what came.
    Failed(String),
}

/// All cases, in the order of the report.
pub(super) fn read(xml: &str) -> Result<Vec<Case>> {
    let cases = xml.split("<testcase ").skip(1).map(case).collect::<Result<Vec<_>>>()?;
    ensure!(!cases.is_empty(), "the JUnit report has no case");
    Ok(cases)
}

fn case(text: &str) -> Result<Case> {
    let text = text.split("</testcase>").next().unwrap_or(text);
    let (head, body) = text.split_once('>').context("a case of the JUnit report has no end")?;
    let attribute = |name: &str| {
        let start = format!("{name}=\"");
        let value = head.split(&start).nth(1).and_then(|rest| rest.split('"').next());
        value.map(plain).with_context(|| format!("a case of the JUnit report has no {name}"))
    };
    let outcome = if body.trim_start().starts_with("<skipped") {
        Outcome::Skipped
    } else if body.trim().is_empty() {
        Outcome::Passed
    } else {
        let reason = body.split('<').filter_map(|part| part.split_once('>')).map(|(_, text)| text.trim());
        Outcome::Failed(plain(&reason.collect::<Vec<_>>().join(" ")).trim().to_owned())
    };
    Ok(Case { section: attribute("package")?, title: attribute("classname")?, outcome })
}

/// XML's escapes taken back, lines joined.
fn plain(text: &str) -> String {
    let mut plain = text.replace('\n', "; ");
    for (escape, character) in
        [("&#34;", "\""), ("&quot;", "\""), ("&#39;", "'"), ("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")]
    {
        plain = plain.replace(escape, character);
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_read() {
        let xml = r#"<testsuites>
  <testsuite name="3.5. Preface" package="http2/3.5" id="3.5" tests="2" skipped="0" failures="0" errors="1">
    <testcase package="http2/3.5" classname="Sends &#34;a&#34;" time="0.0002"></testcase>
    <testcase package="http2/3.5" classname="Sends b" time="0.0011">
      <error>Connection closed
Error: a &lt; b</error>
    </testcase>
    <testcase package="hpack/2" classname="Sends c" time="0"><skipped></skipped></testcase>
  </testsuite>
</testsuites>"#;
        let case = |section: &str, title: &str, outcome| Case {
            section: section.to_owned(),
            title: title.to_owned(),
            outcome,
        };
        assert_eq!(
            read(xml).unwrap(),
            [
                case("http2/3.5", "Sends \"a\"", Outcome::Passed),
                case("http2/3.5", "Sends b", Outcome::Failed("Connection closed; Error: a < b".to_owned())),
                case("hpack/2", "Sends c", Outcome::Skipped),
            ]
        );
        assert!(read("<testsuites></testsuites>").is_err());
    }
}
