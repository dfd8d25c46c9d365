//! Look-ups by the system's configuration, through hickory.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::LookupIpStrategy;
use tokio::runtime::Handle;

use crate::upstream::resolve::{Answer, Lookup};

/// The system's name servers, or why there are none.
pub(crate) struct System(Result<TokioResolver, String>);

impl System {
    /// Reads the system's configuration once.
    pub(crate) fn new(runtime: &Handle) -> Self {
        let _entered = runtime.enter();
        let built = TokioResolver::builder_tokio().and_then(|mut builder| {
            let options = builder.options_mut();
            // Answers are cached by our own rules.
            options.cache_size = 0;
            options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
            builder.build()
        });
        Self(built.map_err(|error| format!("no usable resolver configuration: {error}")))
    }
}

impl Lookup for System {
    fn look_up(&self, name: Arc<str>) -> BoxFuture<'static, Answer> {
        let resolver = self.0.clone();
        async move {
            match resolver {
                Ok(resolver) => ask(&resolver, &name).await,
                Err(reason) => Answer::Failed { reason },
            }
        }
        .boxed()
    }
}

async fn ask(resolver: &TokioResolver, name: &str) -> Answer {
    // A name with a dot is whole: the search list would ask for five others first where ndots is 5.
    let whole = name.contains('.') && !name.ends_with('.');
    let query = if whole { format!("{name}.") } else { name.to_owned() };
    match resolver.lookup_ip(query).await {
        Ok(found) => {
            let addresses: Vec<IpAddr> = found.iter().collect();
            let ttl = found.valid_until().saturating_duration_since(Instant::now());
            Answer::Found { addresses, ttl }
        }
        Err(error) if error.is_nx_domain() || error.is_no_records_found() => Answer::Absent,
        Err(error) => Answer::Failed { reason: error.to_string() },
    }
}
