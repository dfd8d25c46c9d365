//! What is gathered while routes are compiled: backends, secrets, problems, what policies are to say.

use std::collections::BTreeMap;

use api::ObjectKey;
use api::gateway_api::{Condition, ParentReference};

use crate::backends::Backends;
use crate::certificates::Certificates;
use crate::index::Index;
use crate::mesh::{Mesh, PeerAuthentications};
use crate::output::Status;
use crate::policy::Policies;
use crate::problem::{Problem, Severity};
use crate::status::Verdict;

/// What the compilation of one route reads and adds to. One for the whole translation: which shard needs what
/// is decided later, by what its listeners reach.
pub struct Context<'a> {
    /// The inputs.
    pub index: &'a Index<'a>,
    /// Backends and endpoints, each resolved once.
    pub backends: Backends,
    /// Key pairs and trust anchors, each checked once.
    pub certificates: Certificates<'a>,
    /// Our own policies, by what they act on.
    pub policies: Policies<'a>,
    /// What is known of the mesh as a whole.
    pub(crate) mesh: Mesh,
    /// Which pods take no mTLS, as Istio's own policies say.
    pub(crate) peer_authentications: PeerAuthentications<'a>,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// What objects are to say.
    pub statuses: BTreeMap<ObjectKey, Status>,
    /// What policies say about the Gateways that they act on (GEP-713 ancestors).
    pub ancestors: Ancestors,
}

impl<'a> Context<'a> {
    /// A context that has gathered nothing.
    pub fn new(index: &'a Index<'a>) -> Self {
        Self {
            index,
            backends: Backends::default(),
            certificates: Certificates::new(index),
            policies: Policies::new(index),
            mesh: Mesh::default(),
            peer_authentications: PeerAuthentications::new(index),
            problems: Vec::new(),
            statuses: BTreeMap::new(),
            ancestors: Ancestors::default(),
        }
    }

    /// Says as a problem of `object` what a condition of it says. A good verdict is no problem.
    pub fn report_verdict(&mut self, object: &ObjectKey, condition: &'static str, verdict: &Verdict) {
        if let Verdict::No { reason, message } = verdict {
            self.problems.push(Problem {
                object: object.clone(),
                field: String::new(),
                condition,
                reason,
                message: message.clone(),
                mend: String::new(),
                severity: Severity::Error,
            });
        }
    }
}

/// Policy → Gateway → conditions.
#[derive(Debug, Default)]
pub struct Ancestors(BTreeMap<ObjectKey, BTreeMap<ObjectKey, (ParentReference, Vec<Condition>)>>);

impl Ancestors {
    /// Says what `policy` says about `ancestor`. The first that is said of a pair stays.
    pub fn note(
        &mut self,
        policy: &ObjectKey,
        ancestor: &ObjectKey,
        conditions: impl FnOnce() -> Vec<Condition>,
    ) {
        let by_ancestor = self.0.entry(policy.clone()).or_default();
        by_ancestor.entry(ancestor.clone()).or_insert_with(|| {
            let reference = ParentReference {
                group: ancestor.group.clone(),
                kind: ancestor.kind.clone(),
                namespace: Some(ancestor.namespace.clone()),
                name: ancestor.name.clone(),
                ..ParentReference::default()
            };
            (reference, conditions())
        });
    }

    /// Everything that was said.
    pub fn into_inner(self) -> BTreeMap<ObjectKey, BTreeMap<ObjectKey, (ParentReference, Vec<Condition>)>> {
        self.0
    }
}
