use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use tollgate::authn::keys::KeySet;
use tollgate::authn::spec::{Algorithm, KeySource};
use tollgate::authn::store::{KeyFileError, KeyStore};

use crate::fixture::{Process, has, jwks, key, soon, spec, until};

fn fails(keys: KeySource) -> String {
    let process = Process::new();
    let KeyFileError(message) = KeyStore::start(&spec(keys), &process.deps()).unwrap_err();
    message
}

/// Whether a store uses exactly the keys in this PEM text.
fn uses(store: &KeyStore, text: &str) -> bool {
    let wanted = KeySet::from_pem([(Path::new("x"), text.as_bytes())]).unwrap();
    store.current().is_ok_and(|set| set.is_subset_of(&wanted) && wanted.is_subset_of(&set))
}

fn replace(path: &Path, text: &str) {
    let aside = path.with_extension("new");
    fs::write(&aside, text).unwrap();
    fs::rename(aside, path).unwrap();
}

#[test]
fn files_are_read_without_a_runtime_too() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("key.pem");
    let (_, pem) = key("one");
    fs::write(&file, &pem).unwrap();
    let process = Process::new();
    let store = process.start(&spec(KeySource::Pem(vec![file])));
    assert!(uses(&store, &pem));
    assert_eq!(process.events.count("outcome: Fresh, keys: 1"), 1);
}

#[test]
fn row_077_a_broken_key_file_is_an_error_that_names_file_and_line() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("key.pem");
    let pem = |path: &Path| fails(KeySource::Pem(vec![path.to_owned()]));
    let starts = |line: usize| format!("{}:{line}: ", file.display());
    assert!(pem(&file).starts_with(&starts(1)) && pem(&file).contains("not readable"));
    fs::write(&file, "").unwrap();
    assert!(pem(&file).starts_with(&starts(1)));
    fs::write(&file, format!("{}\n-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", key("one").1))
        .unwrap();
    assert!(pem(&file).starts_with(&starts(5)) && pem(&file).contains("openssl pkey -pubout"), "{}", pem(&file));
    assert!(pem(directory.path()).contains("not a regular file"));
    assert!(fails(KeySource::Pem(Vec::new())).contains("no PEM file"));
    fs::write(&file, vec![b' '; (4 << 20) + 1]).unwrap();
    assert!(pem(&file).contains("larger than 4 MiB"));

    let jwks = || fails(KeySource::JwksFile(file.clone()));
    fs::write(&file, "{\n  \"keys\": [\n").unwrap();
    assert!(jwks().starts_with(&starts(3)), "{}", jwks());
    fs::write(&file, r#"{"keys":[{"kty":"oct","k":"AAAA"}]}"#).unwrap();
    assert!(jwks().starts_with(&starts(1)) && jwks().contains("symmetric"));
}

#[tokio::test]
async fn replaced_pem_files_are_followed_without_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let (one, two) = (directory.path().join("one.pem"), directory.path().join("two.pem"));
    let (old, new, other) = (key("").1, key("").1, key("").1);
    fs::write(&one, &old).unwrap();
    fs::write(&two, &other).unwrap();
    let process = Process::new();
    let store = process.start(&spec(KeySource::Pem(vec![one.clone(), two])));
    assert!(uses(&store, &format!("{old}{other}")));
    // Rotation: both keys for a while, then the new one alone.
    replace(&one, &format!("{old}{new}"));
    until("the new key is used", || uses(&store, &format!("{old}{new}{other}"))).await;
    replace(&one, &new);
    until("the old key is gone", || uses(&store, &format!("{new}{other}"))).await;
}

#[tokio::test]
async fn a_broken_replacement_keeps_the_last_good_keys_and_shows() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("key.pem");
    let good = key("").1;
    fs::write(&file, &good).unwrap();
    let process = Process::new();
    let store = process.start(&spec(KeySource::Pem(vec![file.clone()])));
    // Half-written, empty, gone: one after the other.
    for (count, broken) in [(1, Some(&good[..60])), (2, Some("")), (3, None)] {
        match broken {
            Some(text) => fs::write(&file, text).unwrap(),
            None => fs::remove_file(&file).unwrap(),
        }
        process.events.counted("outcome: Invalid, keys: 1", count).await;
        assert!(uses(&store, &good));
        assert!(store.status().last_error.unwrap().contains("key.pem:1: "));
    }
    fs::write(&file, &good).unwrap();
    until("the error is gone", || store.status().last_error.is_none()).await;
    assert!(uses(&store, &good));
}

#[tokio::test]
async fn a_file_that_is_written_slowly_between_two_blocks_loses_no_key() {
    use std::io::Write as _;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("key.pem");
    let (one, two, three) = (key("").1, key("").1, key("").1);
    fs::write(&file, format!("{one}{two}")).unwrap();
    let process = Process::new();
    let store = process.start(&spec(KeySource::Pem(vec![file.clone()])));
    let mut writer = fs::File::create(&file).unwrap();
    writer.write_all(one.as_bytes()).unwrap();
    writer.flush().unwrap();
    // The half that is there is a good file of its own. It is read, and not believed until it is read again.
    let mut tick = tokio::time::interval(std::time::Duration::from_millis(10));
    for _ in 0..30 {
        assert!(uses(&store, &format!("{one}{two}")));
        tick.tick().await;
    }
    writer.write_all(format!("{two}{three}").as_bytes()).unwrap();
    drop(writer);
    until("all keys are used", || {
        let all = uses(&store, &format!("{one}{two}{three}"));
        assert!(all || uses(&store, &format!("{one}{two}")));
        all
    })
    .await;
}

#[tokio::test]
async fn a_configmaps_swap_is_followed() {
    let directory = tempfile::tempdir().unwrap();
    let publish = |version: &str, text: &str| {
        let target = directory.path().join(format!("..{version}"));
        fs::create_dir(&target).unwrap();
        fs::write(target.join("jwks.json"), text).unwrap();
        symlink(format!("..{version}"), directory.path().join("..data_tmp")).unwrap();
        fs::rename(directory.path().join("..data_tmp"), directory.path().join("..data")).unwrap();
    };
    publish("1", &jwks(&["one"]).to_string());
    symlink("..data/jwks.json", directory.path().join("jwks.json")).unwrap();
    let process = Process::new();
    let store = process.start(&spec(KeySource::JwksFile(directory.path().join("jwks.json"))));
    assert!(has(&store, "one"));
    publish("2", &jwks(&["two"]).to_string());
    until("the second version is used", || has(&store, "two") && !has(&store, "one")).await;
    fs::remove_dir_all(directory.path().join("..1")).unwrap();
    publish("3", &jwks(&["three"]).to_string());
    until("the third version is used", || has(&store, "three")).await;
}

#[tokio::test]
async fn unknown_kids_of_a_file_make_nobody_wait() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("jwks.json");
    fs::write(&file, json!({ "keys": [key("one").0] }).to_string()).unwrap();
    let process = Process::new();
    let store = process.start(&spec(KeySource::JwksFile(file)));
    soon(store.refetch_for("two")).await;
    assert_eq!(process.events.count("refetched: false"), 1);
    assert!(store.wait(std::time::Duration::ZERO).await);
    let set = store.current().unwrap();
    assert_eq!(set.candidates(Some("one"), Algorithm::ES256).count(), 1);
    assert_eq!(set.candidates(Some("two"), Algorithm::ES256).count(), 0);
    drop(store);
    until("the task has ended", || Arc::strong_count(&process.events) == 1).await;
}
