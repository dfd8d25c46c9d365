//! Rules about one source file: its shape, its size, what must not stand in it.

use std::path::Path;

use super::Violation;

/// Non-test lines of a file.
const FILE_LINES: usize = 500;
/// Lines of a function, signature and braces included.
const FUNCTION_LINES: usize = 80;
/// Lines of an inline test module; a longer one moves to `foo/tests.rs`.
const INLINE_TEST_LINES: usize = 120;

/// Names that say nothing about what is in a file.
const VAGUE: &[&str] = &["mod.rs", "utils.rs", "util.rs", "helpers.rs", "misc.rs", "common.rs"];

/// Texts that must not stand in a source file, and why.
const FORBIDDEN: &[(&str, &str)] = &[
    ("use crate::*", "name what is imported"),
    ("#[allow(", "relax a lint with #[expect(lint, reason = \"…\")]"),
    ("#![allow(", "relax a lint with #![expect(lint, reason = \"…\")]"),
    ("#[ignore", "a test that does not run is no test"),
    ("#[should_panic]", "say which panic: #[should_panic(expected = \"…\")]"),
    ("TODO", "finish it, or open an issue"),
    ("FIXME", "finish it, or open an issue"),
    ("XXX", "finish it, or open an issue"),
];

/// Checks one file; `path` is below the workspace root.
pub(super) fn check(path: &Path, text: &str) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut report =
        |line: usize, message: String| found.push(Violation { file: path.to_owned(), line, message });
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if VAGUE.contains(&name) {
        report(0, format!("a file named {name} has no one job: name it after what is in it"));
    }
    if !text.starts_with("//!") {
        report(1, "the first line is a `//!` that says the file's one job".to_owned());
    }
    let is_test_file = is_test(path);
    let lines: Vec<&str> = text.lines().collect();
    let code = lines.iter().position(|line| *line == "#[cfg(test)]").unwrap_or(lines.len());
    if !is_test_file {
        if code > FILE_LINES {
            report(0, format!("{code} lines before the tests, at most {FILE_LINES}: split it by noun"));
        }
        if lines.len() - code > INLINE_TEST_LINES {
            let tests = lines.len() - code;
            report(
                code + 1,
                format!(
                    "{tests} lines of inline tests, at most {INLINE_TEST_LINES}: move them to a tests.rs"
                ),
            );
        }
        for (line, length) in long_functions(lines.get(..code).unwrap_or(&lines)) {
            report(line, format!("a function of {length} lines, at most {FUNCTION_LINES}"));
        }
    }
    if !path.ends_with("conformance/xtask/src/tidy/source.rs") {
        for (number, line) in lines.iter().enumerate() {
            for (text, why) in FORBIDDEN {
                if line.contains(text) {
                    report(number + 1, format!("`{text}`: {why}"));
                }
            }
        }
    }
    found
}

/// Whether the file holds tests only, or is a program of the test tree.
fn is_test(path: &Path) -> bool {
    let in_tests = path.components().any(|part| {
        let part = part.as_os_str();
        part == "tests" || part == "benches" || part == "fuzz" || part == "fuzz_targets"
    });
    in_tests || path.file_name().is_some_and(|name| name == "tests.rs")
}

/// Functions that are too long: (first line, length). A function ends at the closing brace in the column
/// of its first line, as rustfmt writes it.
fn long_functions(lines: &[&str]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let indent = line.len() - code.len();
        if !starts_function(code) || code.ends_with(';') {
            continue;
        }
        let closing = format!("{}}}", " ".repeat(indent));
        let length = lines.iter().skip(start).position(|line| *line == closing).map(|end| end + 1);
        if let Some(length) = length.filter(|length| *length > FUNCTION_LINES) {
            found.push((start + 1, length));
        }
    }
    found
}

fn starts_function(code: &str) -> bool {
    let code =
        code.strip_prefix("pub(").and_then(|rest| rest.split_once(") ")).map_or(code, |(_, rest)| rest);
    let code = code.strip_prefix("pub ").unwrap_or(code);
    let code = code.strip_prefix("const ").unwrap_or(code);
    let code = code.strip_prefix("async ").unwrap_or(code);
    code.starts_with("fn ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(path: &str, text: &str) -> Vec<String> {
        check(Path::new(path), text).into_iter().map(|violation| violation.message).collect()
    }

    #[test]
    fn a_good_file_passes() {
        assert_eq!(messages("proxy/src/pool.rs", "//! Pools.\n\nfn f() {\n}\n"), Vec::<String>::new());
    }

    #[test]
    fn every_rule_can_fail() {
        let long_function = format!("//! X.\nfn f() {{\n{}}}\n", "    g();\n".repeat(FUNCTION_LINES));
        let long_file = format!("//! X.\n{}", "const A: u8 = 1;\n".repeat(FILE_LINES));
        let long_tests = format!("//! X.\n#[cfg(test)]\n{}", "// t\n".repeat(INLINE_TEST_LINES));
        for (path, text, part) in [
            ("a/src/utils.rs", "//! X.\n", "no one job"),
            ("a/src/b.rs", "fn f() {}\n", "one job"),
            ("a/src/b.rs", long_function.as_str(), "a function of 82 lines"),
            ("a/src/b.rs", long_file.as_str(), "split it by noun"),
            ("a/src/b.rs", long_tests.as_str(), "lines of inline tests"),
            ("a/src/b.rs", "//! X.\nuse crate::*;\n", "name what is imported"),
            ("a/tests/b.rs", "//! X.\n#[ignore]\n", "no test"),
            ("a/tests/b.rs", "//! X.\n// TODO later\n", "finish it"),
        ] {
            let found = messages(path, text);
            assert!(found.iter().any(|message| message.contains(part)), "{part:?} not in {found:?}");
        }
    }
}
