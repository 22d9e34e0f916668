//! The image, as far as it can be held true without a daemon: the Dockerfile is parsed and its promises are checked, and
//! its build runs here on exactly the files that the image's build would get, in the development profile (the image's own
//! takes minutes of link-time optimisation, and differs in nothing that a source file could break).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::fs;
use std::path::Path;
use std::process::Command;

/// One instruction: its name and arguments, continuation lines joined.
#[derive(Debug)]
struct Instruction {
    name: String,
    arguments: String,
}

impl Instruction {
    fn words(&self) -> Vec<&str> {
        self.arguments.split_whitespace().collect()
    }

    /// The words that are not `--options`.
    fn operands(&self) -> Vec<&str> {
        self.words().into_iter().filter(|word| !word.starts_with("--")).collect()
    }

    /// The exec form: a JSON array.
    fn exec(&self) -> Vec<String> {
        let start = self.arguments.find('[').unwrap_or_else(|| panic!("{self:?} is not in exec form"));
        serde_json::from_str(&self.arguments[start..]).unwrap()
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn instructions() -> Vec<Instruction> {
    let text = fs::read_to_string(root().join("Dockerfile")).unwrap();
    let mut whole = String::new();
    let mut found = Vec::new();
    for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
        whole.push_str(line.trim_end_matches('\\'));
        if !line.ends_with('\\') {
            if let Some((name, arguments)) = whole.trim().split_once(' ') {
                found.push(Instruction { name: name.to_uppercase(), arguments: arguments.trim().to_owned() });
            }
            whole.clear();
        }
    }
    found
}

/// The instructions of each stage, `FROM` first.
fn stages() -> Vec<Vec<Instruction>> {
    let mut stages: Vec<Vec<Instruction>> = Vec::new();
    for instruction in instructions() {
        if instruction.name == "FROM" {
            stages.push(Vec::new());
        }
        stages.last_mut().expect("FROM comes first").push(instruction);
    }
    stages
}

fn only<'i>(stage: &'i [Instruction], name: &str) -> &'i Instruction {
    let mut found = stage.iter().filter(|instruction| instruction.name == name);
    let one = found.next().unwrap_or_else(|| panic!("the stage has no {name}"));
    assert!(found.next().is_none(), "the stage has more than one {name}");
    one
}

/// The lines of `.dockerignore` that let something in; the first one keeps everything out.
fn let_in() -> Vec<String> {
    let text = fs::read_to_string(root().join(".dockerignore")).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    assert_eq!(lines[0], "*", "everything is out unless it is let in");
    lines[1..].iter().map(|line| line.strip_prefix('!').expect("only exceptions follow").to_owned()).collect()
}

#[test]
fn images_are_pinned_and_the_last_has_no_shell() {
    let stages = stages();
    assert!(stages.len() >= 2, "what builds is not shipped");
    for stage in &stages {
        let image = stage[0].operands()[0];
        let tag = image.rsplit_once(':').map(|(_, tag)| tag);
        assert!(image.contains("@sha256:") || tag.is_some_and(|tag| tag != "latest"), "`{image}` is not pinned");
    }
    let last = stages.last().unwrap()[0].operands()[0].to_owned();
    assert!(last.contains("distroless") || last == "scratch", "`{last}`");
    assert!(stages.last().unwrap().iter().all(|instruction| instruction.name != "RUN"), "there is no shell to run it");
}

#[test]
fn the_toolchain_is_at_least_what_the_package_asks_for() {
    let version = |text: &str| -> Vec<u32> { text.split('.').map(|part| part.parse().unwrap()).collect() };
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let wanted =
        manifest.lines().find_map(|line| line.strip_prefix("rust-version = ")).unwrap().trim_matches('"').to_owned();
    let stages = stages();
    let image = stages[0][0].operands()[0];
    let tag = image.rsplit_once("rust:").unwrap().1.split('-').next().unwrap();
    assert!(version(tag) >= version(&wanted), "{image} is older than {wanted}");
}

#[test]
fn the_process_is_not_root_and_holds_no_secret() {
    let stages = stages();
    let user = only(stages.last().unwrap(), "USER").arguments.clone();
    let (user, group) = user.split_once(':').unwrap();
    assert!(
        user.parse::<u32>().unwrap() > 0 && group.parse::<u32>().unwrap() > 0,
        "a number, so that a cluster can tell"
    );
    for Instruction { name, arguments } in instructions() {
        assert!(name != "ADD", "ADD fetches and unpacks: COPY");
        let text = arguments.to_lowercase();
        for word in ["password", "secret", "token", "api_key", "private"] {
            assert!(!(["ENV", "ARG", "LABEL"].contains(&&*name) && text.contains(word)), "{name} {arguments}");
        }
    }
}

#[test]
fn what_starts_is_what_the_program_understands() {
    let stages = stages();
    let last = stages.last().unwrap();
    let program = only(last, "ENTRYPOINT").exec();
    let copied = last
        .iter()
        .filter(|instruction| instruction.name == "COPY")
        .any(|copy| copy.operands().last().is_some_and(|target| program[0].starts_with(*target)));
    assert!(copied, "nothing is copied to {}", program[0]);
    assert_eq!(only(last, "HEALTHCHECK").exec()[0], program[0]);
    for arguments in [only(last, "CMD").exec(), only(last, "HEALTHCHECK").exec()[1..].to_vec()] {
        let line = [program.clone(), arguments].concat();
        if let Err(error) = tollgate::cli::command().try_get_matches_from(&line) {
            panic!("{line:?}: {error}");
        }
    }
    for port in only(last, "EXPOSE").words() {
        assert!(port.parse::<u16>().unwrap() >= 1024, "{port}: not root");
    }
    assert_eq!(only(last, "STOPSIGNAL").arguments, "SIGTERM");
}

#[test]
fn what_is_copied_is_there() {
    for stage in stages() {
        for copy in stage.iter().filter(|instruction| instruction.name == "COPY") {
            let operands = copy.operands();
            let (_, sources) = operands.split_last().unwrap();
            if copy.words().iter().any(|word| word.starts_with("--from=")) {
                // Out of another stage, where only what was installed under /image exists.
                assert!(sources.iter().all(|source| source.starts_with("/image/")), "{copy:?}");
            } else {
                for source in sources {
                    assert!(root().join(source).exists(), "COPY {source}: not there");
                }
            }
        }
    }
    for path in let_in() {
        assert!(root().join(&path).exists(), ".dockerignore lets in `{path}`, which is not there");
    }
}

#[test]
fn the_context_holds_sources_and_nothing_else() {
    for path in let_in() {
        assert!(!path.contains("..") && !path.contains('*'), "{path}");
        assert!(!["target", ".git", ".tools", "tests"].contains(&&*path), "{path} has no place in an image");
    }
}

/// The `cargo build` command of the first stage, from `cargo` to the next `&&`.
fn cargo_build() -> Vec<String> {
    let stages = stages();
    let run = stages[0].iter().find(|instruction| instruction.arguments.contains("cargo build")).unwrap();
    let words: Vec<String> = run.words().into_iter().map(str::to_owned).collect();
    let start = words.iter().position(|word| word == "cargo").unwrap();
    words[start..].iter().take_while(|word| *word != "&&").cloned().collect()
}

#[test]
fn shell_lines_are_well_formed() {
    for run in instructions().iter().filter(|instruction| instruction.name == "RUN") {
        let words = run.words();
        let line = words.iter().skip_while(|word| word.starts_with("--")).copied().collect::<Vec<_>>().join(" ");
        let checked = Command::new("sh").args(["-n", "-c", &line]).output().unwrap();
        assert!(checked.status.success(), "{line}: {}", String::from_utf8_lossy(&checked.stderr));
        // Each path that is installed from is one that the build makes or the context holds.
        for part in line.split("&&").filter(|part| part.trim_start().starts_with("install")) {
            let operands: Vec<&str> = part.split_whitespace().skip(1).filter(|word| !word.starts_with('-')).collect();
            let target = operands.last().unwrap();
            assert!(target.starts_with("/image/"), "{part}");
        }
    }
}

#[test]
fn the_build_works_on_what_the_context_holds() {
    let command = cargo_build();
    assert_eq!(command[..2], ["cargo", "build"]);
    assert!(command.contains(&"--locked".to_owned()), "the image is built of what was tested");
    let profile = command.iter().position(|word| word == "--profile").map(|at| command[at + 1].clone()).unwrap();
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert!(manifest.contains(&format!("[profile.{profile}]")), "there is no profile `{profile}`");

    // In one place with the times of the originals, so that a second run finds everything built.
    let temporary = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let context = temporary.join("image-context");
    let _ = fs::remove_dir_all(&context);
    fs::create_dir_all(&context).unwrap();
    for path in let_in() {
        copy(&root().join(&path), &context.join(&path));
    }
    let arguments = command[1..].iter().map(|word| if *word == profile { "dev" } else { word });
    let built = Command::new(env!("CARGO"))
        .args(arguments)
        .arg("--offline")
        .current_dir(&context)
        // Results go aside; the dependencies that were built for the tests are used again.
        .env("CARGO_TARGET_DIR", temporary.join("image-target"))
        .env("CARGO_BUILD_BUILD_DIR", temporary.parent().unwrap())
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let program = temporary.join("image-target/debug/tollgate");
    let version = Command::new(program).arg("--version").output().unwrap();
    assert_eq!(String::from_utf8(version.stdout).unwrap(), format!("tollgate {}\n", env!("CARGO_PKG_VERSION")));
}

fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let name = entry.unwrap().file_name();
            copy(&from.join(&name), &to.join(&name));
        }
    } else {
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(from, to).unwrap();
        let modified = fs::metadata(from).unwrap().modified().unwrap();
        fs::File::options().append(true).open(to).unwrap().set_modified(modified).unwrap();
    }
}
