//! `headers` of a TrafficPolicy: edits by header, merged over policies.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::Object;
use api::gateway_api::{HeaderModifier, HttpHeader};
use api::own::{HeaderEdit, HeaderField, TrafficPolicy};
use model::{Filter, Rule};

use super::{Levels, Parts};
use crate::routes::filters::header_edit;
use crate::routes::{Fault, origin};

/// Edits of one direction, by header.
#[derive(Clone, Debug, Default)]
pub(super) struct Edits(BTreeMap<Arc<str>, Edit>);

#[derive(Clone, Debug)]
enum Edit {
    Set(Arc<str>),
    Add(Arc<str>),
    Remove,
}

impl Edits {
    /// Reads a policy's edits.
    pub(super) fn of(wanted: Option<&HeaderEdit>, field: &str) -> Result<Self, Fault> {
        let Some(wanted) = wanted else { return Ok(Self::default()) };
        let fields = |fields: &[HeaderField]| -> Vec<HttpHeader> {
            let field = |HeaderField { name, value }: &HeaderField| HttpHeader {
                name: name.clone(),
                value: value.clone(),
            };
            fields.iter().map(field).collect()
        };
        let wanted = HeaderModifier {
            set: fields(&wanted.set),
            add: fields(&wanted.add),
            remove: wanted.remove.clone(),
        };
        let edit = header_edit(&wanted, field)?;
        let set = edit.set.into_iter().map(|field| (field.name, Edit::Set(field.value)));
        let add = edit.add.into_iter().map(|field| (field.name, Edit::Add(field.value)));
        let remove = edit.remove.into_iter().map(|name| (name, Edit::Remove));
        Ok(Self(set.chain(add).chain(remove).collect()))
    }
}

/// Adds the edits of all policies, after the rule's own filters. A header that the rule edits itself is left to it,
/// unless the policy is enforced.
pub(super) fn apply(
    levels: &Levels<'_, TrafficPolicy>,
    rule: &mut Rule,
    response: bool,
    parts: impl Fn(&TrafficPolicy) -> Option<Arc<Parts>>,
) {
    let mut names = BTreeSet::new();
    for parts in levels.iter().filter_map(&parts) {
        names.extend(parts.edits(response).0.keys().cloned());
    }
    let own = own_names(rule, response);
    let mut merged = model::HeaderEdit::default();
    for name in names {
        let Some(picked) = levels.pick(|policy| parts(policy)?.edits(response).0.get(&name).cloned()) else {
            continue;
        };
        if own.contains(&name) && !picked.enforced {
            continue;
        }
        let direction = if response { "response" } else { "request" };
        rule.set_by.insert(format!("headers.{direction}.{name}").into(), origin(&picked.by.key()));
        match picked.value {
            Edit::Set(value) => merged.set.push(model::HeaderField { name, value }),
            Edit::Add(value) => merged.add.push(model::HeaderField { name, value }),
            Edit::Remove => merged.remove.push(name),
        }
    }
    if merged != model::HeaderEdit::default() {
        rule.filters.push(if response {
            Filter::ResponseHeaders(merged)
        } else {
            Filter::RequestHeaders(merged)
        });
    }
}

fn own_names(rule: &Rule, response: bool) -> BTreeSet<Arc<str>> {
    let edits = rule.filters.iter().filter_map(|filter| match filter {
        Filter::RequestHeaders(edit) if !response => Some(edit),
        Filter::ResponseHeaders(edit) if response => Some(edit),
        _ => None,
    });
    let names = edits.flat_map(|edit| {
        let fields = edit.set.iter().chain(&edit.add).map(|field| field.name.clone());
        fields.chain(edit.remove.iter().cloned())
    });
    names.collect()
}
