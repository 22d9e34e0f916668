//! Where files of cases are.

use std::io;
use std::path::{Path, PathBuf};

/// The folder of cases beside a policy.
const FOLDER: &str = "tests";

/// Deepest folder that is searched.
const MAX_DEPTH: usize = 16;

/// The files of cases beside a policy: those whose names end in `.test.yaml` or `.test.yml`, and those in the folder
/// `tests`. One that has another policy's name, as `b.test.yaml` beside `b.yaml`, is that one's.
///
/// # Errors
/// A folder that cannot be read.
pub fn beside(policy: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    search(folder_of(policy), 0, &mut found)?;
    found.retain(|path| is_for(path, policy));
    let tests = folder_of(policy).join(FOLDER);
    if tests.is_dir() {
        search(&tests, MAX_DEPTH, &mut found)?;
    }
    found.sort();
    Ok(found.into_iter().map(|path| path.strip_prefix(".").map_or(path.clone(), Path::to_owned)).collect())
}

/// Whether a file of cases beside a policy is not another policy's.
fn is_for(cases: &Path, policy: &Path) -> bool {
    let Some(name) = cases.file_stem().map(Path::new).and_then(Path::file_stem) else { return true };
    let is_there = |end: &str| {
        let mut file = name.to_owned();
        file.push(end);
        cases.with_file_name(file).is_file()
    };
    Some(name) == policy.file_stem() || ![".yaml", ".yml"].into_iter().any(is_there)
}

/// The folders in which [`beside`] looks first: a new file shows in one of them.
pub fn folders(policy: &Path) -> Vec<PathBuf> {
    let folder = folder_of(policy);
    vec![folder.to_owned(), folder.join(FOLDER)]
}

fn folder_of(policy: &Path) -> &Path {
    match policy.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) | None => Path::new("."),
    }
}

/// The files that a path stands for: itself, or those in the folder and below, by their names.
///
/// # Errors
/// A path where nothing is, a folder that cannot be read.
pub fn at(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !std::fs::metadata(path)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    search(path, MAX_DEPTH, &mut found)?;
    found.sort();
    Ok(found)
}

/// Names with a leading dot are a ConfigMap's machinery and editors' drafts.
fn search(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        if name.starts_with('.') {
            continue;
        }
        // A link to a folder may lead in a circle.
        if entry.file_type()?.is_dir() {
            if depth > 0 {
                search(&path, depth - 1, found)?;
            }
        } else if name.ends_with(".test.yaml") || name.ends_with(".test.yml") {
            found.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn files_are_found_beside_a_policy_and_in_folders() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        for name in [
            "policy.yaml",
            "a.test.yaml",
            "other.yaml",
            "other.test.yaml",
            "policy.test.yaml",
            "v1.2.test.yaml",
            ".draft.test.yaml",
            "rules.d/b.test.yaml",
            "tests/c.test.yml",
            "tests/deep/d.test.yaml",
            "tests/check.yaml",
        ] {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let names = |found: Vec<PathBuf>| -> Vec<String> {
            found.iter().map(|path| path.strip_prefix(root).unwrap().display().to_string()).collect()
        };
        std::os::unix::fs::symlink(root, root.join("tests/circle")).unwrap();
        let all = ["a.test.yaml", "policy.test.yaml", "tests/c.test.yml", "tests/deep/d.test.yaml", "v1.2.test.yaml"];
        assert_eq!(names(beside(&root.join("policy.yaml")).unwrap()), all);
        assert_eq!(names(at(&root.join("tests")).unwrap()), all[2..4]);
        let others = names(beside(&root.join("other.yaml")).unwrap());
        assert!(others.contains(&"other.test.yaml".to_owned()) && !others.contains(&"policy.test.yaml".to_owned()));
        assert_eq!(names(at(&root.join("tests/check.yaml")).unwrap()), ["tests/check.yaml"]);
        assert!(at(&root.join("nothing")).is_err());
    }
}
