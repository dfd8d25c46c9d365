//! Runs the sample workloads that a folder asks for: Pods whose image is `diolkos.io/echo`.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use api::core::Pod;
use api::{AnyObject, ObjectKey};
use identity::{Issue, MeshAlpn, MeshServer, SourceContext};
use model::{
    GatewayIdentity, IdentityName, IdentitySource, MeshClients, MeshMode, PeerMatch, PeerProfile, TlsVersion,
};

use crate::echo::{Echo, EchoSettings};

/// The sample workloads that are running.
#[derive(Debug)]
pub(crate) struct Samples {
    mesh: Mesh,
    running: HashMap<ObjectKey, Sample>,
}

/// Who gives meshed samples their identities.
#[derive(Clone, Debug)]
pub(crate) struct Mesh {
    pub(crate) issuer: Arc<dyn Issue>,
    pub(crate) trust_domain: Arc<str>,
}

/// A running one. What is dropped with it ends.
#[derive(Debug)]
struct Sample {
    wanted: Wanted,
    _echo: Echo,
    _identity: Option<identity::Running>,
}

/// What a Pod asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Wanted {
    addresses: Vec<SocketAddr>,
    /// Its SPIFFE ID, if it is meshed.
    spiffe_id: Option<Arc<str>>,
}

impl Samples {
    pub(crate) fn new(mesh: Mesh) -> Self {
        Self { mesh, running: HashMap::new() }
    }

    /// Starts those that are new, restarts those whose addresses or identities changed, ends those that are gone. A
    /// Pod that cannot be run is told about and left out.
    pub(crate) async fn follow(&mut self, objects: &BTreeMap<ObjectKey, AnyObject>) {
        let pods: BTreeMap<&ObjectKey, &Pod> = objects
            .iter()
            .filter_map(|(key, object)| match object {
                AnyObject::Pod(pod) if is_sample(pod) => Some((key, pod.as_ref())),
                _ => None,
            })
            .collect();
        self.running.retain(|key, _| pods.contains_key(key));
        for (key, pod) in pods {
            let settings = settings(key, pod);
            let wanted = Wanted {
                addresses: [&settings.http, &settings.tcp, &settings.udp]
                    .into_iter()
                    .flatten()
                    .copied()
                    .collect(),
                spiffe_id: is_meshed(pod).then(|| self.mesh.id_of(key, pod)),
            };
            if self.running.get(key).is_some_and(|sample| sample.wanted == wanted) {
                continue;
            }
            self.running.remove(key);
            match self.mesh.start(key, wanted, settings).await {
                Ok(sample) => _ = self.running.insert(key.clone(), sample),
                Err(error) => tracing::error!(pod = %key, %error, "Sample workload cannot start"),
            }
        }
    }
}

impl Mesh {
    /// As Istio names a pod: by its service account.
    fn id_of(&self, key: &ObjectKey, pod: &Pod) -> Arc<str> {
        let account = pod.spec.as_ref().and_then(|spec| spec.service_account_name.as_deref());
        let account = account.filter(|name| !name.is_empty()).unwrap_or("default");
        format!("spiffe://{}/ns/{}/sa/{account}", self.trust_domain, key.namespace).into()
    }

    async fn start(&self, key: &ObjectKey, wanted: Wanted, mut settings: EchoSettings) -> io::Result<Sample> {
        let mut running = None;
        if let Some(id) = &wanted.spiffe_id {
            let (config, identity) = self.join(key, id).map_err(io::Error::other)?;
            settings.mesh = Some(config);
            running = Some(identity);
        }
        Ok(Sample { wanted, _echo: Echo::start(settings).await?, _identity: running })
    }

    /// An identity of its own, and the TLS that lets in whoever has one of the same trust domain.
    fn join(
        &self,
        key: &ObjectKey,
        id: &Arc<str>,
    ) -> Result<(identity::ServerTlsConfig, identity::Running), identity::ConfigError> {
        let name = IdentityName::from(format!("{}/{}", key.namespace, key.name));
        let spec = GatewayIdentity {
            trust_domain: Arc::clone(&self.trust_domain),
            spiffe_id: Some(Arc::clone(id)),
            profile: PeerProfile::SpiffeStrict,
            source: IdentitySource::BuiltIn { ttl: SAMPLE_TTL },
        };
        let context = SourceContext { issuer: Some(Arc::clone(&self.issuer)), ..SourceContext::default() };
        let (identity, running) = identity::start(&name, &spec, context);
        let clients = MeshClients {
            identity: name,
            mode: MeshMode::Strict,
            peers: vec![PeerMatch::TrustDomain(Arc::clone(&self.trust_domain))],
        };
        let config = identity::mesh_server_config(MeshServer {
            identity: &identity,
            clients: Some(&clients),
            certificates: &[],
            min_version: TlsVersion::V1_2,
            alpn: MeshAlpn::Http,
        })?;
        Ok((config, running))
    }
}

/// The label that Istio puts on pods with a sidecar.
fn is_meshed(pod: &Pod) -> bool {
    let labels = pod.metadata.labels.as_ref();
    labels.and_then(|labels| labels.get("security.istio.io/tlsMode")).is_some_and(|mode| mode == "istio")
}

fn is_sample(pod: &Pod) -> bool {
    let image =
        |image: &str| image == IMAGE || image.strip_prefix(IMAGE).is_some_and(|tag| tag.starts_with(':'));
    pod.spec.as_ref().is_some_and(|spec| {
        spec.containers.iter().any(|container| container.image.as_deref().is_some_and(image))
    })
}

/// A port named `tcp…` speaks TCP, one of protocol UDP speaks UDP, every other HTTP.
fn settings(key: &ObjectKey, pod: &Pod) -> EchoSettings {
    let mut settings = EchoSettings { workload: key.name.clone(), ..EchoSettings::default() };
    let ip: IpAddr = pod
        .status
        .as_ref()
        .and_then(|status| status.pod_ip.as_deref()?.parse().ok())
        .unwrap_or(IpAddr::from([127, 0, 0, 1]));
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    for port in containers.flat_map(|container| container.ports.iter().flatten()) {
        let Ok(number) = u16::try_from(port.container_port) else { continue };
        let name = port.name.as_deref().unwrap_or_default();
        let addresses = match port.protocol.as_deref() {
            Some("UDP") => &mut settings.udp,
            _ if name.starts_with("tcp") => &mut settings.tcp,
            _ => &mut settings.http,
        };
        addresses.push(SocketAddr::new(ip, number));
    }
    settings
}

/// The image that stands for the built-in echo workload.
const IMAGE: &str = "diolkos.io/echo";

/// Life of a sample's SVID.
const SAMPLE_TTL: Duration = Duration::from_secs(3600);
