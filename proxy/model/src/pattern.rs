//! Regular expressions of users: full match, linear time, bounded size. One place, so that what `translate`
//! accepts is what the proxy compiles.

use regex::{Regex, RegexBuilder};

/// An expression that is malformed or too large.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{pattern:?} is not a usable regular expression: {reason}")]
pub struct PatternError {
    pattern: String,
    reason: String,
}

/// Compiled size of one expression in bytes, and of its lazily built automaton.
const MAX_COMPILED: usize = 1 << 20;

/// Expressions longer than this are refused before they are parsed.
const MAX_TEXT: usize = 4096;

/// Compiles an expression that must match the whole text.
///
/// # Errors
/// If the expression is malformed, asks for look-around or back-references, is longer than 4096 bytes, or would
/// take more than 1 MiB compiled.
pub fn full_match(pattern: &str) -> Result<Regex, PatternError> {
    let error = |reason: String| PatternError { pattern: pattern.chars().take(200).collect(), reason };
    if pattern.len() > MAX_TEXT {
        return Err(error(format!("longer than {MAX_TEXT} bytes; split it into several matches")));
    }
    // Parsed alone first: `a)|(b` would be a sound expression within the parentheses put round it below, but no
    // full match any more.
    regex_syntax::parse(pattern).map_err(|cause| error(last_line(&cause)))?;
    RegexBuilder::new(&format!(r"\A(?:{pattern})\z"))
        .size_limit(MAX_COMPILED)
        .dfa_size_limit(MAX_COMPILED)
        .build()
        .map_err(|cause| error(last_line(&cause)))
}

/// The parser draws the expression over several lines; the last one says what is wrong.
fn last_line(cause: &dyn std::error::Error) -> String {
    let text = cause.to_string();
    text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_text_must_match() {
        let regex = full_match("a|ab").unwrap();
        assert!(regex.is_match("a") && regex.is_match("ab"));
        assert!(!regex.is_match("abc") && !regex.is_match("xa") && !regex.is_match("a\n"));
    }

    #[test]
    fn bad_expressions_are_refused_with_a_reason() {
        for (pattern, reason) in [
            ("a(", "unclosed group"),
            ("a)|(b", "unopened group"),
            (r"(a)\1", "backreferences are not supported"),
            ("(?=a)", "look-around"),
            (r"(\w{100}){100}", "size limit"),
            (&"a".repeat(5000), "longer than 4096"),
        ] {
            let error = full_match(pattern).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
