//! What a backend reference becomes: Service, XBackend → backend and endpoints, each resolved once.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;

use model::{Backend, BackendName, EndpointSet};

/// Backends and endpoints, each resolved once.
#[derive(Default)]
pub struct Backends<'a> {
    backends: BTreeMap<BackendName, Arc<Backend>>,
    endpoints: BTreeMap<BackendName, Arc<EndpointSet>>,
    marker: PhantomData<&'a ()>,
}

impl Backends<'_> {
    /// A resolved backend and its endpoints, by the name that a reference resolved to.
    pub fn get(&self, name: &BackendName) -> Option<(&Arc<Backend>, &Arc<EndpointSet>)> {
        let _ = self.marker;
        Some((self.backends.get(name)?, self.endpoints.get(name)?))
    }
}
