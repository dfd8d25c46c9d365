//! Generated protobuf code: the wire types of the IR (crate `model`), the CA and Workload API protocols (crate
//! `identity`).

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
    for set in SETS {
        for entry in fs::read_dir(root.join(set.types))? {
            let path = entry?.path();
            ensure!(generated.contains_key(&path), "{} is no longer generated; remove it", path.display());
        }
    }
    Ok(())
}

/// Path and text of each file: one per protobuf package.
fn generated(root: &Path) -> Result<BTreeMap<PathBuf, String>> {
    let mut texts = BTreeMap::new();
    for set in SETS {
        let include = root.join(set.sources);
        let files = protox::compile(sources(&include)?, [&include]).context("compile the .proto files")?;
        // The types of google.protobuf come along because ours name them; prost-types has their code.
        let files = files.file.into_iter();
        let requests = files.map(|file| (Module::from_protobuf_package_name(file.package()), file)).collect();
        let mut config = Config::new();
        // Sorted maps give equal values equal bytes. The `Debug` of a message with key material is written by hand.
        config.btree_map(["."]).skip_debug(set.secrets);
        if set.services {
            config.service_generator(tonic_prost_build::configure().service_generator());
        }
        for (module, text) in config.generate(requests).context("generate from the .proto files")? {
            let path = root.join(set.types).join(module.to_file_name_or(set.name));
            texts.insert(path, rustfmt(root, &format!("{HEADER}{text}"))?);
        }
    }
    Ok(texts)
}

/// The `.proto` files below a folder.
fn sources(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(sources(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// `.proto` files that are compiled together.
struct Set {
    /// Where they are.
    sources: &'static str,
    /// Where their code goes.
    types: &'static str,
    /// File name of what has no package.
    name: &'static str,
    /// Whether clients and servers are generated.
    services: bool,
    /// Messages with key material.
    secrets: &'static [&'static str],
}

const SETS: [Set; 2] = [
    Set {
        sources: "proxy/model/proto",
        types: "proxy/model/src/proto/generated",
        name: "root",
        services: false,
        secrets: &[".diolkos.v1.Secret"],
    },
    Set {
        sources: "identity/proto",
        types: "identity/src/proto/generated",
        name: "spiffe_workload",
        services: true,
        secrets: &[
            ".X509SVID",
            ".X509SVIDResponse",
            ".JWTSVID",
            ".JWTSVIDResponse",
            ".ValidateJWTSVIDRequest",
        ],
    },
];
const HEADER: &str = "//! Written by `cargo xtask protos`.\n\n";

#[cfg(test)]
mod tests {
    #[test]
    fn generated_files_are_what_the_generator_writes() {
        super::check(&crate::workspace_root().unwrap()).unwrap();
    }
}
