use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::*;

const DEADLINE: Duration = Duration::from_secs(20);

/// Events only, and soon; a poll would hide a missed event.
const EVENTS: Pace = Pace {
    quiet: Duration::from_millis(20),
    impatience: Duration::from_secs(1),
    poll: Duration::from_secs(3600),
    events: true,
};

async fn changed(watch: &mut Watch) {
    assert!(timeout(DEADLINE, watch.changed()).await.expect("a change is noticed"));
}

fn replace(path: &Path, text: &str) {
    let aside = path.with_extension("new");
    fs::write(&aside, text).unwrap();
    fs::rename(aside, path).unwrap();
}

#[tokio::test]
async fn an_atomic_replacement_a_rewrite_and_an_editors_rename_are_noticed() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("key.pem");
    fs::write(&path, "one").unwrap();
    let mut watch = Watch::with_pace([path.clone()], EVENTS);
    replace(&path, "two");
    changed(&mut watch).await;
    fs::write(&path, "three").unwrap();
    changed(&mut watch).await;
    fs::rename(&path, root.path().join("key.pem~")).unwrap();
    changed(&mut watch).await;
    fs::write(&path, "four").unwrap();
    changed(&mut watch).await;
}

#[tokio::test]
async fn a_configmaps_swap_is_noticed_again_and_again() {
    let root = tempfile::tempdir().unwrap();
    let publish = |version: &str| {
        let directory = root.path().join(format!("..{version}"));
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("key.pem"), version).unwrap();
        symlink(format!("..{version}"), root.path().join("..data_tmp")).unwrap();
        fs::rename(root.path().join("..data_tmp"), root.path().join("..data")).unwrap();
    };
    publish("one");
    symlink("..data/key.pem", root.path().join("key.pem")).unwrap();
    let mut watch = Watch::with_pace([root.path().join("key.pem")], EVENTS);
    for version in ["two", "three", "four"] {
        publish(version);
        changed(&mut watch).await;
    }
}

#[tokio::test]
async fn files_that_come_and_go_in_a_directory_are_noticed() {
    let root = tempfile::tempdir().unwrap();
    let mut watch = Watch::with_pace([root.path().to_owned()], EVENTS);
    fs::write(root.path().join("a.yaml"), "a").unwrap();
    changed(&mut watch).await;
    fs::remove_file(root.path().join("a.yaml")).unwrap();
    changed(&mut watch).await;
}

#[tokio::test]
async fn a_file_in_a_directory_made_later_is_noticed() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("later/key.pem");
    let mut watch = Watch::with_pace([path.clone()], EVENTS);
    fs::create_dir(root.path().join("later")).unwrap();
    // Whether the file is there before or after the new directory is watched, its contents are compared.
    fs::write(&path, "one").unwrap();
    changed(&mut watch).await;
}

#[tokio::test]
async fn without_events_the_poll_finds_changes() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("key.pem");
    fs::write(&path, "one").unwrap();
    let pace = Pace { poll: Duration::from_millis(20), events: false, ..EVENTS };
    let mut watch = Watch::with_pace([path.clone()], pace);
    replace(&path, "two");
    changed(&mut watch).await;
}

#[tokio::test]
async fn the_same_contents_again_are_no_change() {
    let root = tempfile::tempdir().unwrap();
    let (path, other) = (root.path().join("key.pem"), root.path().join("other.pem"));
    fs::write(&path, "one").unwrap();
    fs::write(&other, "one").unwrap();
    let mut watch = Watch::with_pace([path.clone(), other.clone()], EVENTS);
    replace(&path, "one");
    replace(&other, "two");
    changed(&mut watch).await;
    assert!(!watch.changes.has_changed().unwrap());
}

#[tokio::test]
async fn a_dropped_watch_ends_its_task() {
    let root = tempfile::tempdir().unwrap();
    let watch = Watch::with_pace([root.path().to_owned()], EVENTS);
    let task = watch.task.clone();
    drop(watch);
    timeout(DEADLINE, async {
        while !task.is_finished() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
}
