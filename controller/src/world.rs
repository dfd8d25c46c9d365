//! What the rebuild loop publishes: the objects, what they became, and what is wrong, said for people.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use api::{AnyObject, ObjectKey};
use model::Snapshot;
use serde::Serialize;
use translate::{Output, Problem, ShardName};

/// One state of the world: objects and all that follows from them. Never changed after it is built.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// Counts snapshots that differ, from 1.
    pub generation: u64,
    /// Every object that is served, by key.
    pub objects: Arc<BTreeMap<ObjectKey, AnyObject>>,
    /// What translation made of them.
    pub output: Arc<Output>,
    /// The snapshot of the shard `main`; the same `Arc` as before where nothing differs.
    pub snapshot: Arc<Snapshot>,
    /// What is wrong, worst first, then by file and line.
    pub findings: Vec<Finding>,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Something that was asked for is not done.
    Error,
    /// Done as written, but probably not what is meant.
    Warning,
    /// Passed over on purpose.
    Notice,
}

/// Something that is wrong with an object or a file, as people are told.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// The file, below the folder; none if it is not about a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// Line in the file, from 1; 0 if not about a line.
    pub line: u32,
    /// The object, `HTTPRoute shop/cart`; empty if it is not known.
    pub object: String,
    /// Where in the object; empty if it is about the object as a whole.
    pub field: String,
    /// One word for the class of problem: a condition's reason, or how decoding calls it.
    pub reason: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it; may be empty.
    pub mend: String,
}

impl World {
    /// The snapshot of shard `main`; empty if translation made none.
    pub(crate) fn main_snapshot(output: &Output) -> Snapshot {
        output.snapshots.get(&ShardName::main()).cloned().unwrap_or_default()
    }

    /// Whether an object asks for something that is not done.
    pub fn has_errors(&self) -> bool {
        self.findings.iter().any(|finding| finding.level == Level::Error)
    }
}

impl Finding {
    /// A translation problem, with the place where its object stands.
    pub(crate) fn of_problem(problem: &Problem, file: Option<PathBuf>, line: u32) -> Self {
        Self {
            level: match problem.severity {
                translate::Severity::Error => Level::Error,
                translate::Severity::Warning => Level::Warning,
            },
            file,
            line,
            object: problem.object.to_string(),
            field: problem.field.clone(),
            reason: problem.reason.to_owned(),
            message: problem.message.clone(),
            mend: problem.mend.clone(),
        }
    }
}
