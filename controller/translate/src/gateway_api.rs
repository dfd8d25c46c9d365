//! Gateway API: classes, Gateways, ListenerSets, attachment of routes, assembly of the snapshot.

use crate::context::Context;
use crate::index::Index;
use crate::inputs::Inputs;
use crate::output::Output;

/// See [`crate::translate`].
pub(crate) fn translate(inputs: &Inputs) -> Output {
    let index = Index::new(inputs);
    let context = Context::new(&index);
    Output { problems: context.problems, ..Output::default() }
}
