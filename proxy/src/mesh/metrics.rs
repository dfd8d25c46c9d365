//! The text form of what identities and their connections count. One set of series for each identity; peers are no labels.

use std::fmt;

use identity::IdentityMetrics;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::identity::MeshIdentities;

impl MeshIdentities {
    /// The metrics of the identities, and of the connections that stand on them.
    pub fn collectors(&self) -> Vec<Box<dyn Collector>> {
        let identities = IdentityMetrics::default();
        identities.set(self.iter().map(|live| live.identity().clone()).collect());
        vec![Box::new(identities), Box::new(Connections(self.clone()))]
    }
}

#[derive(Debug)]
struct Connections(MeshIdentities);

impl Collector for Connections {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.0.encode_connections(&mut encoder)?;
        self.0.encode_refused(&mut encoder)?;
        self.0.encode_ended(&mut encoder)
    }
}

impl MeshIdentities {
    fn encode_connections(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut family = encoder.encode_descriptor(
            "diolkos_mesh_connections_active",
            "Mesh connections open",
            None,
            MetricType::Gauge,
        )?;
        for live in self.iter() {
            let labels = [("identity", live.name().as_str())];
            family.encode_family(&labels)?.encode_gauge(&live.counters().active.value())?;
        }
        let mut family = encoder.encode_descriptor(
            "diolkos_mesh_connections",
            "Mesh connections made",
            None,
            MetricType::Counter,
        )?;
        for live in self.iter() {
            let counters = live.counters();
            for (side, count) in [("downstream", &counters.downstream), ("upstream", &counters.upstream)] {
                let labels = [("identity", live.name().as_str()), ("side", side)];
                family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&count.value(), None)?;
            }
        }
        Ok(())
    }

    fn encode_refused(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut family = encoder.encode_descriptor(
            "diolkos_mesh_connections_refused",
            "Connections that did not come to a mesh handshake",
            None,
            MetricType::Counter,
        )?;
        for live in self.iter() {
            for ((side, reason), count) in live.counters().refused() {
                let labels =
                    [("identity", live.name().as_str()), ("side", side.as_str()), ("reason", reason)];
                family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
            }
        }
        Ok(())
    }

    fn encode_ended(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut family = encoder.encode_descriptor(
            "diolkos_mesh_connections_ended",
            "Live mesh connections ended because trust had ended",
            None,
            MetricType::Counter,
        )?;
        for live in self.iter() {
            for ((side, how, reason), count) in live.counters().ended() {
                let labels = [
                    ("identity", live.name().as_str()),
                    ("side", side.as_str()),
                    ("how", how.as_str()),
                    ("reason", reason),
                ];
                family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
            }
        }
        Ok(())
    }
}
