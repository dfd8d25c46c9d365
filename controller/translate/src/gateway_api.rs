//! Gateway API: classes, Gateways, ListenerSets, attachment of routes, assembly of the snapshot.

mod addresses;
mod assemble;
mod attach;
mod class;
mod conflict;
mod filters;
mod frontend_tls;
mod gateway;
mod listener;
mod listener_set;
mod mesh;
mod report;

use std::collections::{BTreeMap, BTreeSet};

use api::ObjectKey;
use model::Snapshot;

use self::gateway::GatewayState;
use crate::context::Context;
use crate::index::Index;
use crate::inputs::{Addressing, Inputs};
use crate::output::{Output, ShardName};
use crate::problem::Problem;

pub use self::class::FEATURES;

/// See [`crate::translate`].
pub(crate) fn translate(inputs: &Inputs) -> Output {
    let index = Index::new(inputs);
    let mut context = Context::new(&index);
    let classes = class::classes(&mut context);
    let mut gateways = gateway::gateways(&classes, &mut context);
    let issuer = crate::mesh::gather(&mut context);
    let shared = matches!(inputs.addressing, Addressing::Bind { .. });
    if shared {
        conflict::share_sockets(&mut gateways, &mut context);
    }
    attach::attach(&mut gateways, &mut context);

    let mut snapshots = BTreeMap::<ShardName, Snapshot>::new();
    let mut served_by = BTreeMap::<ObjectKey, BTreeSet<ShardName>>::new();
    let mut settled = BTreeSet::new();
    if shared {
        snapshots.insert(ShardName::main(), Snapshot::default());
    }
    for state in &mut gateways {
        let shard = shard(shared, state);
        let snapshot = snapshots.entry(shard.clone()).or_default();
        if state.accepted.is_yes() {
            settle(state, snapshot, settled.insert(shard.clone()), &mut context);
        }
        assemble::add(state, snapshot, &mut context);
        if state.serves() && state.mesh.is_stated {
            assemble::add_identity(&state.mesh.identity, snapshot, &context);
        }
        for key in state.sets.iter().map(|set| &set.key).chain([&state.key]) {
            served_by.entry(key.clone()).or_default().insert(shard.clone());
        }
        report::gateway(state, &mut context);
    }
    for snapshot in snapshots.values_mut() {
        assemble::fill(snapshot, &context);
    }
    crate::policy::report(&mut context);
    report::policies(&mut context);
    // Several listeners may have said the same of one route.
    let problems: BTreeSet<_> = context.problems.into_iter().collect();
    let problems = problems.into_iter().collect();
    Output { snapshots, statuses: context.statuses, served_by, issuer, problems }
}

/// Settings of a proxy: where one process serves several Gateways, the word of the oldest.
fn settle(state: &GatewayState<'_>, snapshot: &mut Snapshot, first: bool, context: &mut Context<'_>) {
    if first {
        snapshot.settings = state.settings.clone();
    } else if snapshot.settings != state.settings {
        context.problems.push(Problem::warning(
            &state.key,
            "spec.infrastructure.parametersRef",
            "its parameters differ from those of an older Gateway in the same process, which hold",
            "give all Gateways of one process the same parameters",
        ));
    }
}

fn shard(shared: bool, state: &GatewayState<'_>) -> ShardName {
    if shared { ShardName::main() } else { ShardName::of_gateway(&state.key.namespace, &state.key.name) }
}
