//! What a folder gives as its files come, change, break and go.

use std::fs;

use super::*;

const SERVICE: &str =
    "apiVersion: v1\nkind: Service\nmetadata: {name: NAME}\nspec: {ports: [{port: PORT}]}\n";

fn service(name: &str, port: u16) -> String {
    SERVICE.replace("NAME", name).replace("PORT", &port.to_string())
}

fn key(name: &str) -> ObjectKey {
    ObjectKey::new("", "Service", "default", name)
}

fn port(folder: &Folder, name: &str) -> Option<i32> {
    match folder.contents().objects.get(&key(name)) {
        Some(AnyObject::Service(service)) => Some(service.spec.as_ref()?.ports.as_ref()?.first()?.port),
        _ => None,
    }
}

struct Scenario {
    root: tempfile::TempDir,
    folder: Folder,
}

impl Scenario {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::open(root.path()).unwrap();
        Self { root, folder }
    }

    /// Puts a file in place as an editor does: written beside, then renamed.
    fn write(&mut self, name: &str, text: &str) {
        let path = self.root.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let draft = self.root.path().join(".draft");
        fs::write(&draft, text).unwrap();
        fs::rename(draft, &path).unwrap();
        self.refresh(name);
    }

    fn remove(&mut self, name: &str) {
        let path = self.root.path().join(name);
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap()
        } else {
            fs::remove_file(path).unwrap()
        }
        self.refresh(name);
    }

    fn refresh(&mut self, name: &str) {
        let path = self.folder.root().join(name);
        self.folder.refresh(Changes::Paths(BTreeSet::from([path])));
    }
}

#[test]
fn files_come_change_and_go() {
    let mut scenario = Scenario::new();
    scenario.write("a.yaml", &service("a", 80));
    scenario.write(
        "below/deeper/b.json",
        r#"{"apiVersion":"v1","kind":"Service","metadata":{"name":"b"},"spec":{"ports":[{"port":81}]}}"#,
    );
    scenario.write("notes.txt", "not ours");
    assert_eq!((port(&scenario.folder, "a"), port(&scenario.folder, "b")), (Some(80), Some(81)));

    scenario.write("a.yaml", &service("a", 90));
    assert_eq!(port(&scenario.folder, "a"), Some(90));

    scenario.remove("below");
    assert_eq!(port(&scenario.folder, "b"), None);
    assert_eq!(scenario.folder.contents().findings, []);
}

#[test]
fn an_object_that_becomes_invalid_stays_as_it_was() {
    let mut scenario = Scenario::new();
    scenario.write("a.yaml", &format!("{}---\n{}", service("a", 80), service("b", 81)));
    let broken = service("a", 80).replace("port:", "prot:");
    scenario.write("a.yaml", &format!("{broken}---\n{}", service("b", 82)));
    assert_eq!(port(&scenario.folder, "a"), Some(80), "the last good version");
    assert_eq!(port(&scenario.folder, "b"), Some(82), "its neighbour goes on");
    let findings = scenario.folder.contents().findings;
    assert!(
        findings.iter().any(|finding| finding.line == 4 && finding.object == "Service default/a"),
        "{findings:?}"
    );
    assert!(findings.iter().all(|finding| finding.mend.contains("last good version")), "{findings:?}");

    scenario.write("a.yaml", &service("a", 83));
    assert_eq!((port(&scenario.folder, "a"), port(&scenario.folder, "b")), (Some(83), None));
}

#[test]
fn a_half_written_file_keeps_what_it_had() {
    let mut scenario = Scenario::new();
    let text = format!("{}---\n{}", service("a", 80), service("b", 81));
    for cut in 0..text.len() {
        scenario.write("a.yaml", &text);
        scenario.write("a.yaml", &text[..cut]);
        let contents = scenario.folder.contents();
        let complete = contents.findings.iter().all(|finding| finding.level != Level::Error);
        let both = contents.objects.contains_key(&key("a")) && contents.objects.contains_key(&key("b"));
        assert!(both || complete, "cut at {cut}: {:?}", contents.findings);
    }
}

#[test]
fn the_first_of_two_with_one_name_is_taken() {
    let mut scenario = Scenario::new();
    scenario.write("a.yaml", &service("a", 80));
    scenario.write("b.yaml", &service("a", 81));
    assert_eq!(port(&scenario.folder, "a"), Some(80));
    let findings = scenario.folder.contents().findings;
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].reason, "Duplicate");
    assert!(findings[0].message.starts_with("a.yaml"), "{}", findings[0].message);

    scenario.remove("a.yaml");
    assert_eq!(port(&scenario.folder, "a"), Some(81));
}

#[test]
fn a_mounted_config_map_swaps_all_its_files() {
    let mut scenario = Scenario::new();
    let root = scenario.root.path().to_owned();
    fs::create_dir(root.join("..1")).unwrap();
    fs::write(root.join("..1/a.yaml"), service("a", 80)).unwrap();
    std::os::unix::fs::symlink("..1", root.join("..data")).unwrap();
    std::os::unix::fs::symlink("..data/a.yaml", root.join("a.yaml")).unwrap();
    scenario.refresh("a.yaml");
    assert_eq!(port(&scenario.folder, "a"), Some(80));

    fs::create_dir(root.join("..2")).unwrap();
    fs::write(root.join("..2/a.yaml"), service("a", 90)).unwrap();
    std::os::unix::fs::symlink("..2", root.join("..draft")).unwrap();
    fs::rename(root.join("..draft"), root.join("..data")).unwrap();
    scenario.refresh("..data");
    assert_eq!(port(&scenario.folder, "a"), Some(90));
}

#[test]
fn a_text_is_a_folder_of_one_file() {
    let folder = Folder::of_text("-", &service("a", 80));
    assert_eq!(port(&folder, "a"), Some(80));
    assert_eq!(folder.line_of(Path::new("-"), &key("a"), "spec.ports[0].port"), 4);
}
