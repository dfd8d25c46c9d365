//! The certificate authority: what signs now, what others should trust, and how both change.

pub(crate) mod authority;
pub(crate) mod files;
pub(crate) mod journal;
pub(crate) mod jwt;
pub(crate) mod key;
pub(crate) mod line;
pub(crate) mod lines;
pub(crate) mod root;
pub(crate) mod signer;
pub(crate) mod upstream;

pub use authority::{Acknowledger, Overlap, Rotation, RotationError};
pub use files::FilesError;
pub use journal::JournalError;
pub use key::{CaKey, KeyError};
pub use line::Phase;
pub use upstream::{Minted, UpstreamAuthority, UpstreamError};
