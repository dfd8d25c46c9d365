//! `diolkos.io/mesh` on a Service or its namespace.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::core::Namespace;
use api::gateway_api::ObjectMeta;
use api::{Object, ObjectKey};
use model::Origin;

use super::Asked;
use crate::context::Context;
use crate::problem::Problem;
use crate::routes::origin;

/// What a Service or its namespace is marked with.
pub(super) enum Mark {
    None,
    Spiffe,
    /// With something that is not served, as the owner of the mark is told.
    Refused(String),
}

impl Mark {
    /// The mark of a backend; its own goes before that of its namespace.
    pub(super) fn of(
        asked: &Asked<'_, '_>,
        context: &mut Context<'_>,
        set_by: &mut BTreeMap<Arc<str>, Origin>,
    ) -> Self {
        let own = value(asked.metadata).map(|value| (value.to_owned(), asked.key.clone()));
        let namespace = (!asked.is_external).then_some(asked.key.namespace.as_str());
        let of_namespace = || {
            let namespace = context.index.find::<Namespace>("", namespace?)?;
            Some((value(&namespace.metadata)?.to_owned(), namespace.key()))
        };
        let Some((value, key)) = own.or_else(of_namespace) else { return Self::None };
        set_by.entry("mesh.mode".into()).or_insert_with(|| origin(&key));
        match value.as_str() {
            "spiffe" => Self::Spiffe,
            "linkerd" => refused(&key, "Linkerd's wire is not implemented yet", context),
            other => refused(&key, &format!("{other:?} is no mesh"), context),
        }
    }
}

fn refused(key: &ObjectKey, message: &str, context: &mut Context<'_>) -> Mark {
    let mend = "write diolkos.io/mesh: spiffe, or remove it";
    context.problems.push(Problem::error(
        key,
        "metadata.labels[\"diolkos.io/mesh\"]",
        ("", ""),
        message,
        mend,
    ));
    Mark::Refused(format!("{key} is marked with diolkos.io/mesh, but {message}"))
}

fn value(metadata: &ObjectMeta) -> Option<&str> {
    let label = metadata.labels.as_ref().and_then(|labels| labels.get(MESH));
    let annotation = || metadata.annotations.as_ref().and_then(|annotations| annotations.get(MESH));
    label.or_else(annotation).map(String::as_str)
}

const MESH: &str = "diolkos.io/mesh";
