//! One file: what it holds, what is wrong with it, and what it held when it was last good.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use api::decode::{self, DecodeProblem, Document, Hints, LineMap, Reason, Severity};
use api::{AnyObject, ObjectKey};

use super::walk::Walk;
use crate::world::{Finding, Level};

/// One file of objects.
#[derive(Debug, Default)]
pub(super) struct File {
    stamp: Option<Stamp>,
    pub(super) objects: BTreeMap<ObjectKey, Held>,
    pub(super) findings: Vec<Finding>,
}

/// An object in force.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) object: AnyObject,
    lines: LineMap,
}

impl Held {
    /// The line of a field, or of what is nearest around it.
    pub(super) fn line(&self, field: &str) -> u32 {
        self.lines.line_of(field).unwrap_or(0)
    }
}

/// What tells a changed file from an unchanged one without reading it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
}

impl File {
    /// Reads a file; none if it is unchanged. One that cannot be read keeps what it had.
    pub(super) fn read(path: &Path, name: &Path, previous: Option<&Self>) -> Option<Self> {
        let stamp = std::fs::metadata(path).ok().map(|facts| Stamp {
            device: facts.dev(),
            inode: facts.ino(),
            length: facts.len(),
            modified: (facts.mtime(), facts.mtime_nsec()),
        });
        if stamp.is_some() && previous.is_some_and(|previous| previous.stamp == stamp) {
            return None;
        }
        Some(match read_text(path) {
            Ok(text) => Self { stamp, ..Self::of_text(name, &text, previous) },
            Err(error) => Self {
                stamp: None,
                objects: previous.map(|previous| previous.objects.clone()).unwrap_or_default(),
                findings: vec![unreadable(name, &error)],
            },
        })
    }

    /// Decodes a file's text. What is bad in it stays as `previous` had it.
    pub(super) fn of_text(name: &Path, text: &str, previous: Option<&Self>) -> Self {
        let mut file = Self::default();
        let mut may_hide_others = false;
        let mut last_refused = false;
        for document in decode::decode(&name.display().to_string(), text) {
            last_refused = document.result.is_err();
            may_hide_others |= file.add(name, document, previous);
        }
        // A file that ends in a bad document may be half written.
        may_hide_others |= last_refused;
        if let Some(previous) = previous.filter(|_| may_hide_others) {
            for (key, held) in &previous.objects {
                file.objects.entry(key.clone()).or_insert_with(|| held.clone());
            }
        }
        file
    }

    /// Takes one document in. True if it is so broken that it may hide others: it does not say which object it
    /// is, or it is no YAML, as the end of a half-written file.
    fn add(&mut self, name: &Path, document: Document, previous: Option<&Self>) -> bool {
        let problems = match document.result {
            Ok(decoded) => {
                self.hold(name, decoded.object, decoded.lines);
                return false;
            }
            Err(problems) => problems,
        };
        let key = key(&document.hints);
        let refused = problems.iter().any(|problem| problem.severity == Severity::Error);
        let problems_are_syntax = problems.iter().any(|problem| problem.reason == Reason::Syntax);
        let held = key.as_ref().and_then(|key| previous?.objects.get(key));
        let object = key.as_ref().map(ToString::to_string).unwrap_or_default();
        for problem in problems {
            self.findings.push(finding(name, &object, problem, held.is_some()));
        }
        let hides_others = key.is_none() || problems_are_syntax;
        if let (Some(key), Some(held), true) = (key, held, refused) {
            self.objects.entry(key).or_insert_with(|| held.clone());
        }
        refused && hides_others
    }

    fn hold(&mut self, name: &Path, object: AnyObject, lines: LineMap) {
        let key = object.key();
        if self.objects.contains_key(&key) {
            let line = lines.line_of("").unwrap_or(0);
            let file = name.display().to_string();
            self.findings.push(super::duplicate(name, &key, line, &file));
            return;
        }
        self.objects.insert(key, Held { object, lines });
    }

    /// Whether a file that a walk did not find is kept: a folder above it could not be listed.
    pub(super) fn survives(&self, walk: &Walk, path: &Path) -> bool {
        walk.problems.iter().any(|(folder, _)| path.starts_with(folder))
    }
}

/// The key that a document claims, if it names a kind that we read and a name.
fn key(hints: &Hints) -> Option<ObjectKey> {
    let (group, _) = hints.api_version.as_deref()?.rsplit_once('/').unwrap_or_default();
    let info = api::object::KINDS
        .iter()
        .find(|info| info.group == group && Some(info.kind) == hints.kind.as_deref())?;
    let namespace = match (info.namespaced, hints.namespace.as_deref()) {
        (false, _) => "",
        (true, None | Some("")) => "default",
        (true, Some(namespace)) => namespace,
    };
    Some(ObjectKey::new(group, info.kind, namespace, hints.name.as_deref()?))
}

fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let read = std::fs::File::open(path)?.take(LARGEST + 1).read_to_string(&mut text)?;
    if read as u64 > LARGEST {
        return Err(io::Error::other(format!("it is larger than {} MiB", LARGEST >> 20)));
    }
    Ok(text)
}

fn unreadable(name: &Path, error: &io::Error) -> Finding {
    Finding {
        level: Level::Error,
        file: Some(name.to_owned()),
        line: 0,
        object: String::new(),
        field: String::new(),
        reason: "Unreadable".to_owned(),
        message: format!("cannot be read: {error}"),
        mend: "make it a readable UTF-8 text; what it held before stays in force".to_owned(),
    }
}

fn finding(name: &Path, object: &str, problem: DecodeProblem, kept: bool) -> Finding {
    let mend = match (kept && problem.severity == Severity::Error, problem.mend.is_empty()) {
        (true, true) => KEPT.to_owned(),
        (true, false) => format!("{}; {KEPT}", problem.mend),
        (false, _) => problem.mend,
    };
    Finding {
        level: match problem.severity {
            Severity::Error => Level::Error,
            Severity::Notice => Level::Notice,
        },
        file: Some(PathBuf::from(name)),
        line: problem.line,
        object: object.to_owned(),
        field: problem.path,
        reason: format!("{:?}", problem.reason),
        message: problem.message,
        mend,
    }
}

/// Said where a bad update leaves the old object in force.
const KEPT: &str = "until then the last good version stays in force";
/// Bytes of a file.
const LARGEST: u64 = 64 << 20;
