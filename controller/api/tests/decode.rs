//! Decoding as a whole: the Gateway API's own examples, good and bad, and input that nobody wrote on purpose.

use std::collections::BTreeSet;
use std::path::Path;

use api::decode::{Document, Severity, decode};
use proptest::prelude::*;
use serde_json::Value;

fn data(folder: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(folder);
    let mut files: Vec<(String, String)> = std::fs::read_dir(folder)
        .expect("the folder of examples")
        .map(|entry| entry.expect("entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .map(|path| {
            (path.display().to_string(), std::fs::read_to_string(&path).expect("an example is readable"))
        })
        .collect();
    files.sort();
    files
}

fn errors(documents: &[Document]) -> Vec<String> {
    let problems = documents.iter().filter_map(|document| document.result.as_ref().err()).flatten();
    problems.filter(|problem| problem.severity == Severity::Error).map(ToString::to_string).collect()
}

#[test]
fn the_examples_of_gateway_api_are_good() {
    let files = data("gateway-api");
    assert!(files.len() >= 10);
    for (name, text) in files {
        let documents = decode(&name, &text);
        assert!(!documents.is_empty(), "{name}");
        assert_eq!(errors(&documents), Vec::<String>::new(), "{name}");
    }
}

/// Each line of `verdicts.jsonl` is an object, and the fields for which an API server refuses it, if it does: the answers of
/// k8s.io/apiextensions-apiserver v0.36.1 (pruning, defaulting, schema, list keys and CEL) to examples that were changed at random.
#[test]
fn the_verdict_is_that_of_an_api_server() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/verdicts.jsonl");
    let text = std::fs::read_to_string(path).expect("the file of verdicts");
    let mut refused = 0;
    for line in text.lines() {
        let verdict: Value = serde_json::from_str(line).expect("a line of JSON");
        let object = verdict["object"].to_string();
        let expected: BTreeSet<&str> = verdict["refused"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|path| path.as_str().expect("a path"))
            .collect();
        let documents = decode("verdict", &object);
        let problems = documents[0].result.as_ref().err();
        let found: BTreeSet<&str> =
            problems.into_iter().flatten().map(|problem| problem.path.as_str()).collect();
        assert_eq!(found, expected, "{object}");
        refused += usize::from(!expected.is_empty());
    }
    assert!(refused > 200, "{refused} refused");
}

#[test]
fn every_beginning_of_a_file_is_survived() {
    // The shorter ones: the work grows with the square of the length.
    for (name, text) in data("gateway-api").into_iter().filter(|(_, text)| text.len() < 1200) {
        for (end, _) in text.char_indices() {
            let documents = decode(&name, text.get(..end).expect("a character boundary"));
            for document in documents {
                assert!(
                    document.result.is_ok() || document.result.is_err_and(|problems| !problems.is_empty()),
                    "{name} cut at {end}"
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_survived(text in "(\\PC|[\\n\\t :{}\\[\\]&*!|>'\"%@#,-]){0,200}") {
        for document in decode("any", &text) {
            prop_assert!(document.result.map_or_else(|problems| !problems.is_empty(), |_| true));
        }
    }

    #[test]
    fn a_damaged_file_is_survived_and_leaves_other_documents(
        file in 0_usize..8,
        at in any::<prop::sample::Index>(),
        length in 0_usize..12,
        insert in "[\\n :{}\\[\\]&*!|>'\"%@#,a0-]{0,6}",
    ) {
        let files = data("gateway-api");
        let (name, text) = &files[file % files.len()];
        let characters: Vec<char> = text.chars().collect();
        let start = at.index(characters.len());
        let end = (start + length).min(characters.len());
        let mut damaged: String = characters[..start].iter().collect();
        damaged.push_str(&insert);
        damaged.extend(&characters[end..]);
        let neighbour = "apiVersion: v1\nkind: Namespace\nmetadata: {name: neighbour}\n";
        let documents = decode(name, &format!("{neighbour}---\n{damaged}\n---\n{neighbour}"));
        let first = documents.first().and_then(|document| document.result.as_ref().ok());
        let last = documents.last().and_then(|document| document.result.as_ref().ok());
        prop_assert_eq!(first.map(|decoded| decoded.key().name), Some("neighbour".to_owned()));
        prop_assert_eq!(last.map(|decoded| decoded.key().name), Some("neighbour".to_owned()));
    }
}
