//! Reads a folder, a file or standard input into a world.

use std::io::Read;
use std::path::Path;

use controller::{Folder, Rebuild, RebuildSettings, World};
use translate::{Addressing, MeshFacts};

use crate::exit::Failure;

/// The objects of `path`; `-` is standard input.
pub(crate) fn folder(path: &Path) -> Result<Folder, Failure> {
    if path.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .map_err(|error| Failure::Settings(format!("standard input: {error}")))?;
        return Ok(Folder::of_text("-", &text));
    }
    Folder::open(path).map_err(|error| Failure::Settings(format!("{}: {error}", path.display())))
}

/// What becomes of the objects of `path`, once.
pub(crate) fn world(path: &Path) -> Result<World, Failure> {
    let rebuild = Rebuild::new(folder(path)?, settings(Addressing::default()));
    let world = rebuild.world().borrow().as_ref().clone();
    Ok(world)
}

/// Settings of the rebuild loop for a process of its own.
pub(crate) fn settings(addressing: Addressing) -> RebuildSettings {
    RebuildSettings {
        controller_name: translate::inputs::CONTROLLER_NAME.to_owned(),
        addressing,
        mesh: MeshFacts { istio_ca: istio_ca(), ..MeshFacts::default() },
    }
}

/// Whether Istio's CA can be asked: its token and its root are where Istio projects them into pods.
fn istio_ca() -> bool {
    ["/var/run/secrets/tokens/istio-token", "/var/run/secrets/istio/root-cert.pem"]
        .iter()
        .all(|path| Path::new(path).exists())
}
