//! Generated code of the API crate: Gateway API types from the vendored CRDs, CRDs from our own types.

mod names;
mod render;
mod schema;
mod words;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::rustfmt::rustfmt;

/// Writes every generated file.
pub(crate) fn write() -> Result<()> {
    for (path, text) in generated()? {
        let parent = path.parent().context("a generated file has a folder")?;
        fs::create_dir_all(parent).with_context(|| format!("create {}", parent.display()))?;
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

/// Fails if a generated file differs from the one in the tree, or if the tree holds one too many.
pub(crate) fn check() -> Result<()> {
    let generated = generated()?;
    for (path, text) in &generated {
        let found = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        ensure!(found == *text, "{} is out of date; run `cargo xtask crds`", path.display());
    }
    for folder in [TYPES, CHART] {
        for entry in fs::read_dir(root().join(folder))? {
            let path = entry?.path();
            ensure!(generated.contains_key(&path), "{} is no longer generated; remove it", path.display());
        }
    }
    Ok(())
}

fn generated() -> Result<BTreeMap<PathBuf, String>> {
    let mut reader = schema::Reader::default();
    let mut kinds = Vec::new();
    for file in SOURCES {
        let crd = read_crd(&root().join(VENDORED).join(file))?;
        kinds.push(reader.kind(&crd).with_context(|| format!("generate from {file}"))?);
    }
    let shapes = reader.finish()?;
    let mut files = BTreeMap::new();
    for (module, text) in render::modules(&kinds, &shapes)? {
        files.insert(root().join(TYPES).join(format!("{module}.rs")), rustfmt(&root(), &text)?);
    }
    for crd in api::own::crds() {
        let name = crd.pointer("/metadata/name").and_then(Value::as_str).context("a CRD has a name")?;
        let (plural, group) = name.split_once('.').context("a CRD is named by plural and group")?;
        let text = format!("{CHART_HEADER}{}", serde_saphyr::to_string(&crd)?);
        files.insert(root().join(CHART).join(format!("{group}_{plural}.yaml")), text);
    }
    Ok(files)
}

fn read_crd(path: &Path) -> Result<Value> {
    let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    serde_saphyr::from_str(&text).with_context(|| format!("parse {}", path.display()))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

const VENDORED: &str = "controller/api/crds/gateway-api";
const TYPES: &str = "controller/api/src/gateway_api/generated";
const CHART: &str = "charts/diolkos-crds/crds";
const CHART_HEADER: &str = "# Written by `cargo xtask crds` from the Rust types in controller/api/src/own.\n";

/// The CRDs that have types, in the order in which shared shapes are named.
const SOURCES: &[&str] = &[
    "gateway.networking.k8s.io_gatewayclasses.yaml",
    "gateway.networking.k8s.io_gateways.yaml",
    "gateway.networking.k8s.io_listenersets.yaml",
    "gateway.networking.k8s.io_httproutes.yaml",
    "gateway.networking.k8s.io_grpcroutes.yaml",
    "gateway.networking.k8s.io_tlsroutes.yaml",
    "gateway.networking.k8s.io_tcproutes.yaml",
    "gateway.networking.k8s.io_udproutes.yaml",
    "gateway.networking.k8s.io_referencegrants.yaml",
    "gateway.networking.k8s.io_backendtlspolicies.yaml",
    "gateway.networking.x-k8s.io_xbackends.yaml",
    "gateway.networking.x-k8s.io_xbackendtrafficpolicies.yaml",
];

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{VENDORED, check, root};

    #[test]
    fn generated_files_are_what_the_generator_writes() {
        check().unwrap();
    }

    #[test]
    fn every_vendored_crd_is_of_the_pinned_release() {
        let mut count = 0;
        for entry in fs::read_dir(root().join(VENDORED)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "yaml") {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            for annotation in [
                "gateway.networking.k8s.io/bundle-version: v1.7.0",
                "gateway.networking.k8s.io/channel: experimental",
            ] {
                assert!(text.contains(annotation), "{} lacks {annotation}", path.display());
            }
            count += 1;
        }
        assert_eq!(count, 14);
    }
}
