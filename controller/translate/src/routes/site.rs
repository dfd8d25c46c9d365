//! What the parts of one route share while it is compiled for one listener.

use std::sync::Arc;

use api::ObjectKey;
use api::gateway_api::BackendObjectReference;
use model::{BackendName, BackendRef, Origin, UpstreamTls};

use super::{Fault, Reason, Scope, origin};
use crate::backends::{self, User, Wire};
use crate::context::Context;
use crate::grants::Referrer;
use crate::status::Verdict;

/// What the parts of one route share. A listener with filters of its own is a site, too.
pub(crate) struct Site<'s, 'a> {
    /// The route.
    pub(crate) key: &'s ObjectKey,
    /// The same, for the IR.
    pub(crate) origin: Origin,
    /// The listener.
    pub(crate) scope: &'s Scope<'s>,
    /// What is read and added to.
    pub(crate) context: &'s mut Context<'a>,
    references: Vec<Fault>,
}

impl<'s, 'a> Site<'s, 'a> {
    /// A site without faults.
    pub(crate) fn new(key: &'s ObjectKey, scope: &'s Scope<'s>, context: &'s mut Context<'a>) -> Self {
        Self { key, origin: origin(key), scope, context, references: Vec::new() }
    }

    /// Resolves a reference; a fault is remembered.
    pub(crate) fn resolve(
        &mut self,
        reference: &BackendObjectReference,
        wire: Wire,
        field: &str,
    ) -> Result<BackendName, Arc<str>> {
        let ObjectKey { group, kind, namespace, .. } = self.key;
        let user = User { referrer: Referrer { group, kind, namespace }, scope: self.scope, wire };
        let name = backends::resolve(self.context, &user, reference, field)
            .map_err(|fault| self.unresolved(fault))?;
        // HTTPBackendRef: a reference is invalid, too, if the requirements of a BackendTLSPolicy cannot be met. The
        // backend itself is closed and answers errors.
        if let Some((backend, _)) = self.context.backends.get(&name)
            && let UpstreamTls::Closed { reason } = &backend.tls
        {
            let message = format_args!("TLS to {} cannot be set up: {reason}", backend.origin);
            let fault = Fault::new(Reason::InvalidBackendTls, format!("{field}.name"), message);
            self.unresolved(fault);
        }
        Ok(name)
    }

    /// The same as a part of the IR. A reference that cannot be resolved answers an error: 500 for HTTP; gRPC asks
    /// for UNAVAILABLE, which is 503.
    pub(crate) fn backend(
        &mut self,
        reference: &BackendObjectReference,
        wire: Wire,
        field: &str,
    ) -> BackendRef {
        match self.resolve(reference, wire, field) {
            Ok(name) => BackendRef::Name(name),
            Err(reason) => BackendRef::Invalid { reason, status: if wire == Wire::Grpc { 503 } else { 500 } },
        }
    }

    /// Remembers a reference that leads nowhere; gives what to say about it.
    pub(crate) fn unresolved(&mut self, fault: Fault) -> Arc<str> {
        self.report(&fault, "ResolvedRefs");
        let reason = fault.to_string().into();
        self.references.push(fault);
        reason
    }

    /// Says a fault as a problem of the route.
    pub(crate) fn report(&mut self, fault: &Fault, condition: &'static str) {
        self.context.problems.push(fault.problem(self.key, condition));
    }

    /// What condition `ResolvedRefs` says.
    pub(crate) fn resolved_refs(&self) -> Verdict {
        match self.references.as_slice() {
            [] => Verdict::Yes,
            [fault] => Verdict::no(fault.reason.as_str(), fault.to_string()),
            [fault, rest @ ..] => {
                Verdict::no(fault.reason.as_str(), format!("{fault} (and {} more)", rest.len()))
            }
        }
    }
}
