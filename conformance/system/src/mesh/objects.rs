//! Objects of a gateway in a mesh, as YAML.

use std::net::SocketAddr;

/// A Gateway `edge` with HTTP on port 8080 and a mesh listener on port 8443 (`Strict`, these peers), a route for everything
/// to Service `cart`, and this `mesh` of its GatewayParameters.
pub fn gateway(mesh: &str, peers: &str) -> String {
    GATEWAY.replace("MESH", mesh).replace("PEERS", peers)
}

/// Service `cart`, port 80, whose pod runs as a service account. `labels` are the pod's.
pub fn cart(address: SocketAddr, account: &str, labels: &str) -> String {
    CART.replace("ADDRESS", &address.ip().to_string())
        .replace("PORT", &address.port().to_string())
        .replace("ACCOUNT", account)
        .replace("LABELS", labels)
}

/// What Istio's injector puts on a pod with a sidecar.
pub const SIDECAR: &str = "security.istio.io/tlsMode: istio";

const GATEWAY: &str = r#"
apiVersion: diolkos.io/v1alpha1
kind: GatewayParameters
metadata: {name: mesh}
spec: {mesh: MESH}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  gatewayClassName: diolkos
  infrastructure: {parametersRef: {group: diolkos.io, kind: GatewayParameters, name: mesh}}
  listeners:
  - {name: http, port: 8080, protocol: HTTP}
  - {name: mesh, port: 8443, protocol: HTTPS, tls: {options: {diolkos.io/certificate: mesh}}}
---
apiVersion: diolkos.io/v1alpha1
kind: ListenerPolicy
metadata: {name: mesh}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: edge, sectionName: mesh}]
  mesh: {mode: Strict, peers: [PEERS]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: all}
spec:
  parentRefs: [{name: edge}]
  rules: [{backendRefs: [{name: cart, port: 80}]}]
"#;

const CART: &str = r#"
apiVersion: v1
kind: Service
metadata: {name: cart}
spec: {ports: [{port: 80, targetPort: PORT}]}
---
apiVersion: v1
kind: Pod
metadata: {name: cart-0, labels: {LABELS}}
spec: {serviceAccountName: ACCOUNT, containers: [{name: cart, image: cart}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: cart, labels: {kubernetes.io/service-name: cart}}
addressType: IPv4
ports: [{port: PORT}]
endpoints: [{addresses: [ADDRESS], targetRef: {kind: Pod, name: cart-0}}]
"#;
