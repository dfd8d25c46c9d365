//! Objects out of a folder of YAML and JSON files.
//!
//! Each file keeps its last good state: an object that is no longer valid stays as it was, as an API server
//! refuses a bad update; a file that cannot be read or split into documents keeps what it had.

mod file;
mod walk;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use api::{AnyObject, ObjectKey};

use self::file::File;
use crate::watch::Changes;
use crate::world::{Finding, Level};

/// A folder, or a single file, of objects.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
    files: BTreeMap<PathBuf, File>,
    /// What could not be listed.
    unlisted: Vec<Finding>,
}

/// All objects of a folder, where each stands, and what is wrong with the files.
#[derive(Debug, Default)]
pub struct Contents {
    /// By key; of two objects with one key the first by file name and line is taken.
    pub objects: BTreeMap<ObjectKey, AnyObject>,
    /// The file of each object, below the folder.
    pub files: BTreeMap<ObjectKey, PathBuf>,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

impl Folder {
    /// Reads everything below `root`.
    ///
    /// # Errors
    /// If `root` does not exist or cannot be read. Files below it that cannot be read are findings.
    pub fn open(root: &Path) -> Result<Self, io::Error> {
        let root = root.canonicalize()?;
        if root.is_dir() {
            std::fs::read_dir(&root)?;
        } else {
            std::fs::File::open(&root)?;
        }
        let mut folder = Self { root, files: BTreeMap::new(), unlisted: Vec::new() };
        folder.refresh_all();
        Ok(folder)
    }

    /// A folder that never changes: the objects of one text, such as standard input.
    pub fn of_text(name: &str, text: &str) -> Self {
        let path = PathBuf::from(name);
        let file = File::of_text(&path, text, None);
        Self { root: PathBuf::new(), files: BTreeMap::from([(path, file)]), unlisted: Vec::new() }
    }

    /// The folder's absolute path.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Reads again what has changed.
    pub(crate) fn refresh(&mut self, changes: Changes) {
        match changes {
            Changes::None => {}
            Changes::Everything => self.refresh_all(),
            Changes::Paths(paths) => self.refresh_paths(&paths),
        }
    }

    /// Reads again every file whose size, time or identity changed, and forgets those that are gone.
    pub fn refresh_all(&mut self) {
        let walk = walk::files(&self.root);
        self.unlisted = walk.problems.iter().map(|(path, error)| self.unreadable(path, error)).collect();
        self.files.retain(|path, file| walk.files.contains(path) || file.survives(&walk, path));
        for path in walk.files {
            self.read(path);
        }
    }

    /// A path may be a file or a folder, new, changed or gone. A hidden one is how Kubernetes swaps the files
    /// of a mounted ConfigMap: then everything is looked at.
    fn refresh_paths(&mut self, paths: &BTreeSet<PathBuf>) {
        if paths.iter().any(|path| walk::is_hidden_below(&self.root, path)) {
            return self.refresh_all();
        }
        for path in paths {
            if path.is_dir() {
                let walk = walk::files(path);
                walk.files.into_iter().for_each(|file| self.read(file));
            } else if path.exists() {
                if walk::is_ours(&self.root, path) {
                    self.read(path.clone());
                }
            } else {
                self.files.retain(|file, _| !file.starts_with(path));
            }
        }
    }

    fn read(&mut self, path: PathBuf) {
        let name = self.relative(&path);
        let previous = self.files.get(&path);
        if let Some(file) = File::read(&path, &name, previous) {
            self.files.insert(path, file);
        }
    }

    /// All objects, and all that is wrong with the files.
    pub fn contents(&self) -> Contents {
        let mut contents = Contents { findings: self.unlisted.clone(), ..Contents::default() };
        for (path, file) in &self.files {
            let name = self.relative(path);
            contents.findings.extend(file.findings.iter().cloned());
            for (key, held) in &file.objects {
                if let Some(first) = contents.files.get(key) {
                    let first = first.display().to_string();
                    contents.findings.push(duplicate(&name, key, held.line(""), &first));
                    continue;
                }
                contents.objects.insert(key.clone(), held.object.clone());
                contents.files.insert(key.clone(), name.clone());
            }
        }
        contents
    }

    /// The line on which a field of an object stands.
    pub fn line_of(&self, file: &Path, key: &ObjectKey, field: &str) -> u32 {
        let path = if self.root.is_file() || self.root.as_os_str().is_empty() {
            self.files.keys().next().cloned().unwrap_or_default()
        } else {
            self.root.join(file)
        };
        let held = self.files.get(&path).and_then(|file| file.objects.get(key));
        held.map_or(0, |held| held.line(field))
    }

    fn relative(&self, path: &Path) -> PathBuf {
        match path.strip_prefix(&self.root) {
            Ok(below) if !below.as_os_str().is_empty() => below.to_owned(),
            _ => path.file_name().map_or_else(|| path.to_owned(), PathBuf::from),
        }
    }

    fn unreadable(&self, path: &Path, error: &io::Error) -> Finding {
        Finding {
            level: Level::Error,
            file: Some(self.relative(path)),
            line: 0,
            object: String::new(),
            field: String::new(),
            reason: "Unreadable".to_owned(),
            message: format!("cannot be read: {error}"),
            mend: "make it readable; what it held before stays in force".to_owned(),
        }
    }
}

fn duplicate(file: &Path, key: &ObjectKey, line: u32, first: &str) -> Finding {
    Finding {
        level: Level::Error,
        file: Some(file.to_owned()),
        line,
        object: key.to_string(),
        field: String::new(),
        reason: "Duplicate".to_owned(),
        message: format!("{first} has an object of the same kind and name, which is taken"),
        mend: "remove one of the two, or rename it".to_owned(),
    }
}

#[cfg(test)]
mod tests;
