//! Generated code of crate `model`: the wire types of the IR, from `proxy/model/proto`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use prost_build::{Config, Module};

use crate::rustfmt::rustfmt;

/// Writes every generated file.
pub(crate) fn write(root: &Path) -> Result<()> {
    for (path, text) in generated(root)? {
        let parent = path.parent().context("a generated file has a folder")?;
        fs::create_dir_all(parent).with_context(|| format!("create {}", parent.display()))?;
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

/// Fails if a generated file differs from the one in the tree, or if the tree holds one too many.
pub(crate) fn check(root: &Path) -> Result<()> {
    let generated = generated(root)?;
    for (path, text) in &generated {
        let found = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        ensure!(found == *text, "{} is out of date; run `cargo xtask protos`", path.display());
    }
    for entry in fs::read_dir(root.join(TYPES))? {
        let path = entry?.path();
        ensure!(generated.contains_key(&path), "{} is no longer generated; remove it", path.display());
    }
    Ok(())
}

/// Path and text of each file: one per protobuf package.
fn generated(root: &Path) -> Result<BTreeMap<PathBuf, String>> {
    let include = root.join(SOURCES);
    let files = protox::compile(sources(&include)?, [&include]).context("compile the .proto files")?;
    // The types of google.protobuf come along because ours name them; prost-types has their code.
    let files = files.file.into_iter();
    let requests = files.map(|file| (Module::from_protobuf_package_name(file.package()), file)).collect();
    let mut config = Config::new();
    // Sorted maps give equal values equal bytes. The `Debug` of a message with key material is written by hand.
    config.btree_map(["."]).skip_debug(SECRETS);
    let mut texts = BTreeMap::new();
    for (module, text) in config.generate(requests).context("generate from the .proto files")? {
        let path = root.join(TYPES).join(module.to_file_name_or("root"));
        texts.insert(path, rustfmt(root, &format!("{HEADER}{text}"))?);
    }
    Ok(texts)
}

fn sources(include: &Path) -> Result<Vec<PathBuf>> {
    let folder = include.join(PACKAGE.replace('.', "/"));
    let mut files = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("read {}", folder.display()))? {
        files.push(entry?.path());
    }
    files.retain(|path| path.extension().is_some_and(|extension| extension == "proto"));
    files.sort();
    Ok(files)
}

const SOURCES: &str = "proxy/model/proto";
const TYPES: &str = "proxy/model/src/proto/generated";
const PACKAGE: &str = "diolkos.v1";
const SECRETS: [&str; 1] = [".diolkos.v1.Secret"];
const HEADER: &str = "//! The messages of package `diolkos.v1`, written by `cargo xtask protos`.\n\n";

#[cfg(test)]
mod tests {
    #[test]
    fn generated_files_are_what_the_generator_writes() {
        super::check(&crate::workspace_root().unwrap()).unwrap();
    }
}
