//! Header edits in place. Performance-critical path.

use http::HeaderMap;

use crate::compiled::CompiledHeaderEdit;

/// Sets, then adds, then removes.
pub(super) fn edit(headers: &mut HeaderMap, edit: &CompiledHeaderEdit) {
    for (name, value) in &edit.set {
        headers.insert(name, value.clone());
    }
    for (name, value) in &edit.add {
        headers.append(name, value.clone());
    }
    for name in &edit.remove {
        headers.remove(name);
    }
}
