//! Fuzz target: any text is decoded and translated without a panic, the same each time and in any order of
//! objects, and no snapshot has a dangling name.
#![no_main]

use api::AnyObject;
use translate::{Inputs, translate};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let documents = api::decode::decode("input", text);
    for document in &documents {
        if let Err(problems) = &document.result {
            assert!(!problems.is_empty(), "an object is refused without a reason");
        }
    }
    let decoded = documents.into_iter().filter_map(|document| document.result.ok());
    let objects: Vec<AnyObject> = decoded.map(|decoded| decoded.object).collect();
    let inputs = Inputs::new(objects.iter().cloned());
    let output = translate(&inputs);
    for (shard, snapshot) in &output.snapshots {
        let dangling = snapshot.dangling();
        assert!(dangling.is_empty(), "snapshot {shard} dangles: {dangling:?}");
    }
    assert!(output == translate(&inputs), "the same input twice gives two outputs");
    // A later object replaces an earlier one of the same key, so the order matters only then.
    if inputs.objects.len() == objects.len() {
        let reversed = Inputs::new(objects.into_iter().rev());
        assert!(output == translate(&reversed), "the order of objects matters");
    }
});
