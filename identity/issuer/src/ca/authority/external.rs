//! A CA that is not our own: files, or an authority above us.

use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertificateParams, DistinguishedName, DnType};
use tracing::{info, warn};

use super::{Authority, AuthorityError, Inner, blocking};
use crate::ca::files::{self, External, FilesError, fingerprints};
use crate::ca::key::{CaKey, Handle, KeyError, MemoryKey};
use crate::ca::line::unix;
use crate::ca::signer::{self, Signer};
use crate::ca::upstream::UpstreamAuthority;
use crate::settings::CaKind;

impl Authority {
    /// Resolves when it is worth looking at the CA again.
    pub(super) async fn external_change(&self) {
        match &self.kind {
            CaKind::SelfSigned { .. } | CaKind::Held { .. } => std::future::pending().await,
            // Projected volumes swap links; a look at four small files costs less than following them.
            CaKind::Files(_) => tokio::time::sleep(LOOK_EVERY).await,
            CaKind::Upstream { authority, .. } => {
                let mut roots = authority.roots();
                // The value that we read before is marked as seen by nobody, so compare by time instead.
                tokio::select! {
                    changed = roots.changed() => if changed.is_err() { tokio::time::sleep(LOOK_EVERY).await },
                    () = tokio::time::sleep(LOOK_EVERY) => {}
                }
            }
        }
    }

    /// Takes over a CA that has changed.
    pub(super) async fn refresh_external(&self) -> Result<(), AuthorityError> {
        match &self.kind {
            CaKind::SelfSigned { .. } => Ok(()),
            CaKind::Files(paths) => {
                let paths = paths.clone();
                let found = blocking(move || files::read(&paths).map_err(AuthorityError::from)).await?;
                self.consider(found).await
            }
            CaKind::Held { key, chain, roots } => {
                let ordered = files::in_order(chain.clone(), roots)?;
                let signer = Signer::new(ordered.signing, ordered.handed_out, key.clone())
                    .map_err(|error| AuthorityError::Upstream(error.to_string()))?;
                let digest = signer.fingerprint().to_string();
                self.consider(External { signer: Arc::new(signer), roots: roots.clone(), digest }).await
            }
            CaKind::Upstream { authority, ttl } => self.refresh_upstream(authority, *ttl).await,
        }
    }

    /// Takes a CA from files over, unless its roots are all new: that is what a person must force.
    async fn consider(&self, found: External) -> Result<(), AuthorityError> {
        let mut inner = self.inner.lock().await;
        let seen = |held: &Option<External>| held.as_ref().is_some_and(|held| held.digest == found.digest);
        if seen(&inner.external) || seen(&inner.pending) {
            return Ok(());
        }
        if let Some(held) = &inner.external
            && !held.roots.iter().any(|root| found.roots.contains(root))
        {
            let error =
                FilesError::NoOverlap { old: fingerprints(&held.roots), new: fingerprints(&found.roots) };
            inner.pending = Some(found);
            return Err(error.into());
        }
        inner.pending = None;
        info!(roots = %fingerprints(&found.roots), signing = %found.signer.fingerprint(), "CA was taken over");
        self.take_external(&mut inner, found).await
    }

    pub(super) async fn take_external(
        &self,
        inner: &mut Inner,
        found: External,
    ) -> Result<(), AuthorityError> {
        let mut lines = inner.lines.clone();
        if inner.external.as_ref().is_none_or(|held| held.roots != found.roots) {
            lines.bump(self.clock.now());
        }
        let held = inner.external.replace(found);
        let result = self.commit(inner, lines).await;
        if result.is_err() {
            inner.external = held;
        }
        result
    }

    async fn refresh_upstream(
        &self,
        authority: &Arc<dyn UpstreamAuthority>,
        ttl: Duration,
    ) -> Result<(), AuthorityError> {
        let roots = authority.roots().borrow().clone();
        let digest = fingerprints(&roots);
        let held = self.inner.lock().await.external.clone();
        let now = self.clock.now();
        // A new one at half of the life that was asked for.
        let fresh = held.as_ref().filter(|held| held.signer.not_after() > now + ttl / 2);
        let signer = match (fresh, &held) {
            (Some(fresh), _) if fresh.digest == digest => return Ok(()),
            (Some(fresh), _) => fresh.signer.clone(),
            (None, held) => match mint(authority, ttl, &roots).await {
                Ok(signer) => signer,
                Err(error) if held.as_ref().is_some_and(|held| held.signer.not_after() > now) => {
                    warn!(%error, "The signing certificate was not renewed; the one in use goes on");
                    return Ok(());
                }
                Err(error) => return Err(error),
            },
        };
        let mut inner = self.inner.lock().await;
        self.take_external(&mut inner, External { signer, roots, digest }).await
    }
}

/// Has a new key signed from above.
async fn mint(
    authority: &Arc<dyn UpstreamAuthority>,
    ttl: Duration,
    roots: &[rustls_pki_types::CertificateDer<'static>],
) -> Result<Arc<Signer>, AuthorityError> {
    let key: Arc<dyn CaKey> = Arc::new(MemoryKey::generate()?);
    let request = request(key.clone())?;
    let minted = authority
        .mint_x509_ca(request, ttl)
        .await
        .map_err(|error| AuthorityError::Upstream(error.to_string()))?;
    let ordered = files::in_order(minted.chain, roots)?;
    let signer = Signer::new(ordered.signing, ordered.handed_out, key)
        .map_err(|error| AuthorityError::Upstream(error.to_string()))?;
    info!(signing = %signer.fingerprint(), not_after = unix(signer.not_after()), "Signing certificate was renewed");
    Ok(Arc::new(signer))
}

fn request(key: Arc<dyn CaKey>) -> Result<Vec<u8>, KeyError> {
    let mut params = CertificateParams::default();
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, format!("Diolkos issuer {}", signer::hex(&signer::random::<4>()?)));
    params.distinguished_name = name;
    let request =
        params.serialize_request(&Handle::new(key)?).map_err(|error| KeyError::Sign(error.to_string()))?;
    Ok(request.der().to_vec())
}

/// Between two looks at files, and at the life of what an authority above us gave.
const LOOK_EVERY: Duration = Duration::from_secs(2);
