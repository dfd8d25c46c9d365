//! Control plane: from where objects are kept to what the proxies serve, and back into what people are told.
//!
//! | file | what |
//! |---|---|
//! | `folder`  | objects out of a folder of YAML and JSON, each file's last good state kept |
//! | `watch`   | which files changed |
//! | `gather`  | when to rebuild: the first change at once, a burst held (pure) |
//! | `rebuild` | the loop: gather → translate → publish what differs |
//! | `world`   | what the loop publishes: objects, snapshot, statuses, problems |

pub mod folder;
mod gather;
mod rebuild;
mod watch;
pub mod world;

pub use folder::Folder;
pub use rebuild::{Rebuild, RebuildSettings, Refresh};
pub use world::{Finding, World};
