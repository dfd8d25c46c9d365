//! Who may use whom inside crate `proxy`: the request path is layered, and imports point one way.

use std::path::Path;

use super::Violation;

/// Modules of `proxy/src` from the edge inwards. A module may import from its own layer and later ones.
const LAYERS: &[&[&str]] = &[
    &["app", "worker", "source"],
    &["admin", "listener", "explain"],
    &["http", "tcp", "udp"],
    &["compiled"],
    &["upstream"],
    &["mesh"],
    &["telemetry", "drain", "overload", "settings"],
];

/// Checks the imports of one file of crate `proxy`.
pub(super) fn check(path: &Path, text: &str) -> Vec<Violation> {
    let Some(own) = path.strip_prefix("proxy/src").ok().and_then(module).and_then(layer) else {
        return Vec::new();
    };
    let code = text.split("#[cfg(test)]").next().unwrap_or(text);
    let mut found = Vec::new();
    for (number, line) in code.lines().enumerate() {
        for target in line.split("crate::").skip(1) {
            let name: String = target.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if layer(&name).is_some_and(|other| other < own) {
                found.push(Violation {
                    file: path.to_owned(),
                    line: number + 1,
                    message: format!(
                        "imports crate::{name}, which lies further out: turn the dependency round"
                    ),
                });
            }
        }
    }
    found
}

/// The top-level module that a file belongs to.
fn module(path: &Path) -> Option<&str> {
    let first = path.components().next()?.as_os_str().to_str()?;
    Some(first.strip_suffix(".rs").unwrap_or(first))
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_point_inwards() {
        let inwards = check(Path::new("proxy/src/http/forward.rs"), "use crate::upstream::Picked;\n");
        assert_eq!(inwards, []);
        let outwards = check(Path::new("proxy/src/upstream/pool.rs"), "use crate::http::Error;\n");
        assert_eq!(outwards.len(), 1);
        let in_tests = "#[cfg(test)]\nmod tests { use crate::app::Proxy; }\n";
        assert_eq!(check(Path::new("proxy/src/upstream/pool.rs"), in_tests), []);
    }
}
