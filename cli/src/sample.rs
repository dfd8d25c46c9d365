//! Runs the sample workloads that a folder asks for: Pods whose image is `diolkos.io/echo`.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};

use api::core::Pod;
use api::{AnyObject, ObjectKey};

use crate::echo::{Echo, EchoSettings};

/// The sample workloads that are running.
#[derive(Debug, Default)]
pub(crate) struct Samples {
    running: HashMap<ObjectKey, (Vec<SocketAddr>, Echo)>,
}

impl Samples {
    /// Starts those that are new, restarts those whose addresses changed, ends those that are gone. A Pod that
    /// cannot be run is told about and left out.
    pub(crate) async fn follow(&mut self, objects: &BTreeMap<ObjectKey, AnyObject>) {
        let wanted: BTreeMap<&ObjectKey, &Pod> = objects
            .iter()
            .filter_map(|(key, object)| match object {
                AnyObject::Pod(pod) if is_sample(pod) => Some((key, pod.as_ref())),
                _ => None,
            })
            .collect();
        self.running.retain(|key, _| wanted.contains_key(key));
        for (key, pod) in wanted {
            let settings = settings(key, pod);
            let addresses: Vec<SocketAddr> =
                [&settings.http, &settings.tcp, &settings.udp].into_iter().flatten().copied().collect();
            if self.running.get(key).is_some_and(|(running, _)| *running == addresses) {
                continue;
            }
            self.running.remove(key);
            match Echo::start(settings).await {
                Ok(echo) => _ = self.running.insert(key.clone(), (addresses, echo)),
                Err(error) => tracing::error!(pod = %key, %error, "Sample workload cannot start"),
            }
        }
    }
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
