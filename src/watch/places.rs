//! Where a file's replacement shows.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

/// Links followed for one path; the kernel's own limit is 40.
const MAX_LINKS: usize = 40;

/// The directories in which replacing any of these files, or any link on the way to them, makes an event.
pub(super) fn to_watch(paths: &[PathBuf]) -> BTreeSet<PathBuf> {
    let mut directories = BTreeSet::new();
    for path in paths {
        let Ok(path) = std::path::absolute(path) else { continue };
        if path.is_dir() {
            directories.insert(path.clone());
        }
        directories.extend(parent_that_exists(&path));
        follow(&path, &mut 0, &mut directories);
    }
    directories
}

/// Walks a path as the kernel does. Each link on it can be swapped in the directory that holds it; in the end the file
/// can be written to or replaced where it really is.
fn follow(path: &Path, links: &mut usize, directories: &mut BTreeSet<PathBuf>) {
    let mut walked = PathBuf::new();
    let mut components = path.components();
    while let Some(component) = components.next() {
        match component {
            Component::ParentDir => {
                walked.pop();
                continue;
            }
            other => walked.push(other),
        }
        let Ok(target) = std::fs::read_link(&walked) else { continue };
        *links += 1;
        if *links > MAX_LINKS {
            return;
        }
        walked.pop();
        directories.insert(walked.clone());
        // A relative target starts where the link is, an absolute one replaces what was walked.
        let rest = walked.join(target).join(components.as_path());
        return follow(&rest, links, directories);
    }
    directories.extend(parent_that_exists(&walked));
}

fn parent_that_exists(path: &Path) -> Option<PathBuf> {
    path.ancestors().skip(1).find(|ancestor| ancestor.is_dir()).map(Path::to_owned)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn every_directory_that_holds_a_link_on_the_way_is_watched() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("mount/..2026")).unwrap();
        fs::write(root.join("mount/..2026/key.pem"), "k").unwrap();
        symlink("..2026", root.join("mount/..data")).unwrap();
        symlink("..data/key.pem", root.join("mount/key.pem")).unwrap();
        fs::create_dir(root.join("links")).unwrap();
        symlink(root.join("mount"), root.join("links/keys")).unwrap();

        let found = to_watch(&[root.join("links/keys/key.pem")]);
        for directory in ["links", "links/keys", "mount", "mount/..2026"] {
            assert!(found.contains(&root.join(directory)), "{directory}: {found:?}");
        }
    }

    #[test]
    fn a_missing_file_is_awaited_where_it_will_appear_and_a_loop_of_links_ends() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        assert_eq!(to_watch(&[root.join("a/b/key.pem")]), BTreeSet::from([root.clone()]));
        symlink("two", root.join("one")).unwrap();
        symlink("one", root.join("two")).unwrap();
        assert_eq!(to_watch(&[root.join("one")]), BTreeSet::from([root.clone()]));
    }
}
