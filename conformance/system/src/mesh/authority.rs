//! A mesh's certificate authority as files: root, intermediate (istiod's `cacerts`), SVIDs for foreign peers.

use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use time::OffsetDateTime;

/// A root and one intermediate that signs.
#[derive(Debug)]
pub struct Authority {
    root: String,
    root_issuer: Issuer<'static, KeyPair>,
    intermediate: String,
    intermediate_key: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate chain and its key, as PEM.
#[derive(Clone)]
pub struct Svid {
    /// Leaf, then intermediate.
    pub chain: String,
    /// PKCS#8.
    pub key: String,
}

impl std::fmt::Debug for Svid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Svid").finish_non_exhaustive()
    }
}

impl Authority {
    /// A new root; its intermediate is good for `life`, so that no leaf can be good for longer.
    pub fn new(name: &str, life: Duration) -> Result<Self> {
        let key = KeyPair::generate()?;
        let parameters = ca(name, Duration::from_secs(86400 * 30));
        let root = parameters.self_signed(&key)?.pem();
        Self::below(name, root, Issuer::new(parameters, key), life)
    }

    /// Another intermediate below the same root.
    pub fn renewed(self, name: &str, life: Duration) -> Result<Self> {
        Self::below(name, self.root, self.root_issuer, life)
    }

    fn below(
        name: &str,
        root: String,
        root_issuer: Issuer<'static, KeyPair>,
        life: Duration,
    ) -> Result<Self> {
        let key = KeyPair::generate()?;
        let parameters = ca(&format!("{name} intermediate"), life);
        let intermediate = parameters.signed_by(&key, &root_issuer)?.pem();
        let intermediate_key = key.serialize_pem();
        Ok(Self { root, root_issuer, intermediate, intermediate_key, issuer: Issuer::new(parameters, key) })
    }

    /// The root, as PEM.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// Writes istiod's `cacerts` into a folder. `roots` are others that the mesh believes as well.
    pub fn write_cacerts(&self, folder: &Path, roots: &[&str]) -> Result<()> {
        std::fs::create_dir_all(folder)?;
        let all = [&[self.root.as_str()], roots].concat().concat();
        for (name, text) in [
            ("ca-cert.pem", self.intermediate.as_str()),
            ("ca-key.pem", self.intermediate_key.as_str()),
            ("cert-chain.pem", self.intermediate.as_str()),
            ("root-cert.pem", all.as_str()),
        ] {
            std::fs::write(folder.join(name), text).with_context(|| name.to_owned())?;
        }
        Ok(())
    }

    /// A certificate for a workload, good for an hour.
    pub fn svid(&self, id: &str) -> Result<Svid> {
        self.leaf(SanType::URI(Ia5String::try_from(id)?))
    }

    /// A certificate for a server at an IP address, good for an hour.
    pub fn server(&self, address: &str) -> Result<Svid> {
        self.leaf(SanType::IpAddress(address.parse()?))
    }

    fn leaf(&self, name: SanType) -> Result<Svid> {
        let key = KeyPair::generate()?;
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        parameters.subject_alt_names = vec![name];
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        parameters.not_before = from_now(-60);
        parameters.not_after = from_now(3600);
        let leaf = parameters.signed_by(&key, &self.issuer)?.pem();
        Ok(Svid { chain: format!("{leaf}{}", self.intermediate), key: key.serialize_pem() })
    }
}

fn ca(name: &str, life: Duration) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    parameters.not_before = from_now(-60);
    parameters.not_after = from_now(i64::try_from(life.as_secs()).unwrap_or(i64::MAX));
    parameters
}

fn from_now(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::from(SystemTime::now()) + time::Duration::seconds(seconds)
}
