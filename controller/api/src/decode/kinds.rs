//! The kinds that are read, with their schemas. A kind's schema is compiled when the first object of it is met.

use std::sync::{Arc, OnceLock};

use serde_json::Value;

use super::schema::{Schema, SchemaError};
use super::suggest;

/// One kind, in all its versions.
pub(super) struct Kind {
    /// API group, empty for Kubernetes' core group.
    pub(super) group: &'static str,
    pub(super) name: &'static str,
    json: &'static str,
    loaded: OnceLock<Result<Loaded, SchemaError>>,
}

/// What a kind's schema file says.
pub(super) struct Loaded {
    pub(super) namespaced: bool,
    versions: Vec<Version>,
    schemas: Vec<Arc<Schema>>,
}

struct Version {
    name: Box<str>,
    served: bool,
    storage: bool,
    schema: usize,
}

/// What an `apiVersion` and `kind` name.
pub(super) enum Lookup {
    Known {
        kind: &'static Kind,
        loaded: &'static Loaded,
        schema: Arc<Schema>,
    },
    /// The kind is read, but not in this version.
    OtherVersion {
        served: Vec<String>,
    },
    /// Not a kind that is read; `ours` if its group is one that Diolkos implements, and the nearest kind that is read.
    Unknown {
        ours: bool,
        nearest: Option<String>,
    },
}

/// The kind that `api_version` and `kind` name.
pub(super) fn find(api_version: &str, kind: &str) -> Lookup {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let Some(found) = KINDS.iter().find(|known| known.name == kind && known.group == group) else {
        return unknown(group, kind);
    };
    let Ok(loaded) = found.loaded() else {
        // A test loads every kind, so a file that does not load is never shipped.
        return Lookup::Unknown { ours: true, nearest: None };
    };
    let served = loaded.versions.iter().find(|known| known.served && *known.name == *version);
    match served.and_then(|version| loaded.schemas.get(version.schema)) {
        Some(schema) => Lookup::Known { kind: found, loaded, schema: Arc::clone(schema) },
        None => {
            let served = loaded.versions.iter().filter(|version| version.served);
            Lookup::OtherVersion { served: served.map(|version| found.api_version(&version.name)).collect() }
        }
    }
}

/// The schema of `metadata`.
pub(super) fn object_meta() -> &'static Schema {
    static SCHEMA: OnceLock<Arc<Schema>> = OnceLock::new();
    SCHEMA.get_or_init(|| {
        let json: Value = serde_json::from_str(include_str!("../../schemas/core/ObjectMeta.json"))
            .expect("a test reads this file");
        Schema::compile(&json).expect("a test compiles this file")
    })
}

impl Kind {
    const fn new(group: &'static str, name: &'static str, json: &'static str) -> Self {
        Self { group, name, json, loaded: OnceLock::new() }
    }

    /// Whether this is one of Kubernetes' own kinds, whose rules are in its Go code rather than in a schema.
    pub(super) fn is_core(&self) -> bool {
        matches!(self.group, "" | "discovery.k8s.io" | "certificates.k8s.io")
    }

    /// The `apiVersion` under which objects of this kind go on, whichever served one they were written in: `v1` where there is one.
    pub(super) fn read_api_version(&self, loaded: &Loaded) -> String {
        let version = loaded
            .versions
            .iter()
            .find(|version| version.served && &*version.name == "v1")
            .or_else(|| loaded.versions.iter().find(|version| version.storage));
        self.api_version(version.map_or("v1", |version| &version.name))
    }

    fn api_version(&self, version: &str) -> String {
        if self.group.is_empty() { version.to_owned() } else { format!("{}/{version}", self.group) }
    }

    fn loaded(&'static self) -> Result<&'static Loaded, &'static SchemaError> {
        self.loaded.get_or_init(|| load(self.json)).as_ref()
    }
}

fn load(json: &str) -> Result<Loaded, SchemaError> {
    let json: Value = serde_json::from_str(json).map_err(|error| SchemaError::File(error.to_string()))?;
    let list = |name: &str| {
        json.get(name).and_then(Value::as_array).ok_or_else(|| SchemaError::File(format!("no {name}")))
    };
    let version = |version: &Value| {
        Some(Version {
            name: version.get("name")?.as_str()?.into(),
            served: version.get("served")?.as_bool()?,
            storage: version.get("storage")?.as_bool()?,
            schema: usize::try_from(version.get("schema")?.as_u64()?).ok()?,
        })
    };
    let versions: Option<Vec<Version>> = list("versions")?.iter().map(version).collect();
    Ok(Loaded {
        namespaced: json.get("namespaced") == Some(&Value::Bool(true)),
        versions: versions.ok_or_else(|| SchemaError::File("unusable versions".to_owned()))?,
        schemas: list("schemas")?.iter().map(Schema::compile).collect::<Result<_, _>>()?,
    })
}

fn unknown(group: &str, kind: &str) -> Lookup {
    let kept_out = NOT_READ.contains(&(group, kind));
    let same_kind = KINDS.iter().find(|known| known.name == kind);
    let near_group =
        same_kind.filter(|known| suggest::nearest(group, std::iter::once(known.group)).is_some());
    let ours = (OURS.contains(&group) && !kept_out) || near_group.is_some();
    let near_kind = || {
        let of_group = KINDS.iter().filter(|known| known.group == group);
        suggest::nearest(kind, of_group.map(|known| known.name)).map(|name| (group, name))
    };
    let nearest = match same_kind {
        Some(known) => Some((known.group, known.name)),
        None => near_kind(),
    };
    let nearest = nearest
        .filter(|_| !kept_out)
        .map(|(group, name)| if group.is_empty() { name.to_owned() } else { format!("{name} of {group}") });
    Lookup::Unknown { ours, nearest }
}

/// Groups in which an unknown kind is a mistake rather than somebody else's object.
const OURS: [&str; 3] = ["diolkos.io", "gateway.networking.k8s.io", "gateway.networking.x-k8s.io"];

/// Kinds of those groups that say nothing to a gateway.
const NOT_READ: [(&str, &str); 2] =
    [("gateway.networking.x-k8s.io", "XMesh"), ("gateway.networking.x-k8s.io", "XTelemetryPolicy")];

macro_rules! kinds {
    ($($group:literal in $folder:literal: $($name:literal)+;)+) => {
        [$($(Kind::new($group, $name, include_str!(concat!("../../schemas/", $folder, "/", $name, ".json"))),)+)+]
    };
}

static KINDS: [Kind; 27] = kinds! {
    "gateway.networking.k8s.io" in "gateway.networking.k8s.io":
        "BackendTLSPolicy" "GRPCRoute" "Gateway" "GatewayClass" "HTTPRoute" "ListenerSet" "ReferenceGrant" "TCPRoute" "TLSRoute" "UDPRoute";
    "gateway.networking.x-k8s.io" in "gateway.networking.x-k8s.io": "XBackend" "XBackendTrafficPolicy";
    "" in "core": "ConfigMap" "Namespace" "Pod" "Secret" "Service" "ServiceAccount";
    "discovery.k8s.io" in "discovery.k8s.io": "EndpointSlice";
    "certificates.k8s.io" in "certificates.k8s.io": "ClusterTrustBundle";
    "diolkos.io" in "diolkos.io":
        "BackendPolicy" "FederatedTrustDomain" "GatewayParameters" "ListenerPolicy" "TrafficPolicy" "WorkloadRegistration";
    "security.istio.io" in "security.istio.io": "PeerAuthentication";
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_pattern_and_rule_compiles() {
        for kind in &KINDS {
            let loaded = kind.loaded().unwrap_or_else(|error| panic!("{}: {error}", kind.name));
            for schema in &loaded.schemas {
                schema.compile_parts(kind.name).unwrap_or_else(|error| panic!("{error}"));
            }
        }
        assert!(object_meta().properties.contains_key("labels"));
    }

    #[test]
    fn every_schema_file_is_a_kind() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas");
        let mut files = 0;
        for group in std::fs::read_dir(folder).expect("schemas") {
            for file in std::fs::read_dir(group.expect("entry").path()).expect("schemas/GROUP") {
                let name = file.expect("entry").file_name().into_string().expect("an ASCII name");
                let kind = name.trim_end_matches(".json");
                assert!(
                    kind == "ObjectMeta" || KINDS.iter().any(|known| known.name == kind),
                    "{name} is not in KINDS"
                );
                files += 1;
            }
        }
        assert_eq!(files, KINDS.len() + 1);
    }
}
