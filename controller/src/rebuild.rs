//! The loop: a change → gather → read → translate, off the async threads → publish what differs.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use api::gateway_api::{GatewayClass, GatewayClassSpec};
use api::{AnyObject, ObjectKey};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use translate::{Addressing, Inputs, MeshFacts, Output};

use crate::folder::{Contents, Folder};
use crate::gather::Gather;
use crate::watch::{Changes, Watch};
use crate::world::{Finding, Level, World};

/// Keeps a [`World`] true to a folder.
pub struct Rebuild {
    folder: Folder,
    settings: RebuildSettings,
    world: watch::Sender<Arc<World>>,
    refresh: Arc<Notify>,
}

/// What no object says.
#[derive(Clone, Debug)]
pub struct RebuildSettings {
    /// GatewayClasses that name this controller are ours.
    pub controller_name: String,
    /// How Gateways get their addresses.
    pub addressing: Addressing,
    /// What is known of the mesh around.
    pub mesh: MeshFacts,
}

/// Makes the loop read everything again (SIGHUP).
#[derive(Clone, Debug)]
pub struct Refresh(Arc<Notify>);

impl Refresh {
    /// Asks for it.
    pub fn all(&self) {
        self.0.notify_one();
    }
}

impl Rebuild {
    /// The first world, from what the folder holds now.
    pub fn new(folder: Folder, settings: RebuildSettings) -> Self {
        let world = build(&folder, &settings, &World::default());
        Self { folder, settings, world: watch::Sender::new(Arc::new(world)), refresh: Arc::default() }
    }

    /// The newest world, now and later.
    pub fn world(&self) -> watch::Receiver<Arc<World>> {
        self.world.subscribe()
    }

    /// A handle that makes the loop read everything again.
    pub fn refresh(&self) -> Refresh {
        Refresh(Arc::clone(&self.refresh))
    }

    /// Watches the folder and publishes worlds until every receiver is gone.
    ///
    /// # Errors
    /// If the folder cannot be watched.
    pub async fn run(mut self) -> Result<(), notify::Error> {
        let watch = Watch::start(self.folder.root())?;
        // Something may have changed between the first reading and the start of the watch.
        self.refresh.notify_one();
        let mut gather = Gather::default();
        let mut everything = false;
        loop {
            let due = gather.due();
            tokio::select! {
                () = watch.changed() => gather.change(Instant::now()),
                () = self.refresh.notified() => {
                    everything = true;
                    gather.change(Instant::now());
                }
                () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    gather.rebuilt(Instant::now());
                    let changes = watch.take();
                    let changes = if std::mem::take(&mut everything) { Changes::Everything } else { changes };
                    self = self.rebuild(changes).await;
                }
                () = self.world.closed() => return Ok(()),
            }
        }
    }

    async fn rebuild(mut self, changes: Changes) -> Self {
        let rebuilt = tokio::task::spawn_blocking(move || {
            self.folder.refresh(changes);
            let world = build(&self.folder, &self.settings, &self.world.borrow());
            (self, world)
        });
        let (this, world) =
            rebuilt.await.expect("the blocking task neither panics (translation is caught) nor is cancelled");
        this.world.send_if_modified(|current| {
            let differs = world.generation != current.generation
                || world.findings != current.findings
                || world.output != current.output
                || world.objects != current.objects;
            if differs {
                *current = Arc::new(world);
            }
            differs
        });
        this
    }
}

/// The world that follows from the folder. The snapshot keeps its `Arc` and generation where it is equal.
fn build(folder: &Folder, settings: &RebuildSettings, previous: &World) -> World {
    let Contents { mut objects, files, mut findings } = folder.contents();
    let class = default_class(&settings.controller_name);
    objects.entry(class.key()).or_insert(class);
    let inputs = Inputs {
        objects,
        controller_name: settings.controller_name.clone(),
        addressing: settings.addressing.clone(),
        mesh: settings.mesh.clone(),
    };
    let output = match catch_unwind(AssertUnwindSafe(|| translate::translate(&inputs))) {
        Ok(output) => Arc::new(output),
        Err(_) => {
            findings.push(translation_panicked());
            Arc::clone(&previous.output)
        }
    };
    findings.extend(translation_findings(&output, folder, &files));
    findings
        .sort_by(|a, b| (a.level, &a.file, a.line, &a.object).cmp(&(b.level, &b.file, b.line, &b.object)));
    let snapshot = World::main_snapshot(&output);
    let same = previous.generation > 0 && snapshot == *previous.snapshot;
    World {
        generation: if same { previous.generation } else { previous.generation + 1 },
        objects: Arc::new(inputs.objects),
        snapshot: if same { Arc::clone(&previous.snapshot) } else { Arc::new(snapshot) },
        output,
        findings,
    }
}

fn translation_findings<'a>(
    output: &'a Output,
    folder: &'a Folder,
    files: &'a std::collections::BTreeMap<ObjectKey, std::path::PathBuf>,
) -> impl Iterator<Item = Finding> + 'a {
    output.problems.iter().map(|problem| {
        let file = files.get(&problem.object);
        let line = file.map_or(0, |file| folder.line_of(file, &problem.object, &problem.field));
        Finding::of_problem(problem, file.cloned(), line)
    })
}

fn translation_panicked() -> Finding {
    Finding {
        level: Level::Error,
        file: None,
        line: 0,
        object: String::new(),
        field: String::new(),
        reason: "Defect".to_owned(),
        message: "translation failed on these objects; the last good state stays in force".to_owned(),
        mend: "this is a defect of Diolkos: please report it with the objects; undoing the last change helps meanwhile"
            .to_owned(),
    }
}

/// The class that is there without being written: `diolkos`.
fn default_class(controller_name: &str) -> AnyObject {
    GatewayClass {
        metadata: ObjectMeta { name: Some("diolkos".to_owned()), ..ObjectMeta::default() },
        spec: GatewayClassSpec {
            controller_name: controller_name.to_owned(),
            description: None,
            parameters_ref: None,
        },
        status: None,
    }
    .into()
}
