//! Ground: a shop, its data directory, and what may happen to it.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// Runs the program and waits for its end: its exit code, and what it wrote.
pub(crate) fn told(arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_affluent"));
    let output = command.args(arguments).env_remove("AFFLUENT_SECRET").output();
    let Output { status, stdout, stderr } = output.expect("the program was built");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("the program writes UTF-8");
    (status.code().expect("no signal ended it"), text(stdout), text(stderr))
}

/// What the program wrote, if all was well.
pub(crate) fn said(arguments: &[&str]) -> String {
    let (code, out, error) = told(arguments);
    assert_eq!(code, 0, "{arguments:?}: {out}{error}");
    out
}

/// What went wrong, with its exit code.
pub(crate) fn refused(arguments: &[&str]) -> (i32, String) {
    let (code, out, error) = told(arguments);
    assert_ne!(code, 0, "{arguments:?}: {out}");
    (code, error)
}

/// A shop in a folder of its own.
pub(crate) struct Ground {
    folder: tempfile::TempDir,
}

/// Rows of a shop with six people, among them Ann, from number `from` on.
pub(crate) fn rows(from: usize, many: usize) -> String {
    let mut rows = String::new();
    for number in from..from + many {
        let (day, hour) = (1 + number / 24, number % 24);
        let at = format!("2026-01-{day:02}T{hour:02}:00:00Z");
        let who = match number % 6 {
            0 => "user:ann email:ann@example.org".to_owned(),
            other => format!("user:u{other}"),
        };
        let item = ["lamp", "mug", "shade"][number % 3];
        let what = match number % 4 {
            0 => format!("order,,o{number},{item}@4.50;vase@9"),
            _ => format!("view,{item},,"),
        };
        writeln!(rows, "{number},{at},{who},{what}").unwrap();
    }
    rows
}

impl Ground {
    pub(crate) fn new() -> Ground {
        let ground = Ground { folder: tempfile::tempdir().unwrap() };
        let shop = concat!(
            "[shop]\nsecret = \"0f0e0d0c0b0a09080706050403020100\"\n",
            "[[source]]\nfiles = \"*.csv\"\n[run]\ntick_events = 5\n",
        );
        std::fs::write(ground.path("shop.toml"), shop).unwrap();
        ground.write("id,at,who,action,item,order,lines\n");
        ground.add(0, 40);
        ground
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn at(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    pub(crate) fn write(&self, text: &str) {
        let path = self.path("rows.csv");
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
        std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
    }

    pub(crate) fn add(&self, from: usize, many: usize) {
        self.write(&rows(from, many));
    }

    /// Runs the shop with the directory `data`.
    pub(crate) fn run(&self, data: &str, more: &[&str]) -> String {
        let (shop, data) = (self.at("shop.toml"), self.at(data));
        said(&[&["run", &shop, "--data", &data], more].concat())
    }

    pub(crate) fn check(&self, data: &str) -> (i32, String) {
        let (code, out, error) = told(&["check", &self.at("shop.toml"), "--data", &self.at(data)]);
        (code, out + &error)
    }

    pub(crate) fn show(&self, data: &str, what: [&str; 2]) -> (i32, String, String) {
        let (data, shop) = (self.at(data), self.at("shop.toml"));
        told(&[&["show", "--data", &data, "--shop", &shop], &what[..]].concat())
    }

    /// A process that follows the files, with the directory `data` in hand.
    pub(crate) fn follow(&self, data: &str) -> Child {
        let child = Command::new(env!("CARGO_BIN_EXE_affluent"))
            .args(["run", &self.at("shop.toml"), "--follow", "--data", &self.at(data)])
            .args(["--snapshot", &self.at("followed")])
            .env_remove("AFFLUENT_SECRET")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait(|| self.path("followed/manifest.json").exists());
        child
    }

    /// A directory that was closed at tick 3 and at its end, and a backup of the first.
    pub(crate) fn closed_twice(&self) {
        self.run("data", &["--at-tick", "3"]);
        said(&["backup", "--data", &self.at("data"), "--to", &self.at("early")]);
        self.run("data", &[]);
    }
}

/// Waits, for a minute at most, until `done`.
pub(crate) fn wait(mut done: impl FnMut() -> bool) {
    let (_timer, tick) = std::sync::mpsc::channel::<()>();
    for _ in 0..1200 {
        if done() {
            return;
        }
        _ = tick.recv_timeout(std::time::Duration::from_millis(50));
    }
    panic!("it takes more than a minute");
}

/// Ends a process as ctrl-c does.
pub(crate) fn end(mut child: Child) {
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    wait(|| child.try_wait().unwrap().is_some());
    assert!(child.wait().unwrap().success());
}

/// All files below a folder.
pub(crate) fn below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(below(&path)) } else { files.push(path) }
    }
    files.sort();
    files
}

/// Copies a folder, so that what is done to the one is not done to the other.
pub(crate) fn copy(from: &Path, to: &Path) {
    for file in below(from) {
        let new = to.join(file.strip_prefix(from).unwrap());
        std::fs::create_dir_all(new.parent().unwrap()).unwrap();
        std::fs::copy(&file, new).unwrap();
    }
}

/// The files of a snapshot.
pub(crate) fn snapshot(folder: &Path) -> Vec<(PathBuf, String)> {
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        (path.strip_prefix(folder).unwrap().to_owned(), text)
    };
    below(folder).into_iter().map(read).collect()
}

/// The newest file below a folder whose name ends so.
pub(crate) fn last(folder: &Path, name: &str) -> PathBuf {
    let named = |path: &PathBuf| path.display().to_string().ends_with(name);
    below(folder).into_iter().rfind(named).unwrap()
}

/// Flips a bit in the middle of a file, or `before` so many bytes of its end.
pub(crate) fn flip(path: &Path, before: Option<usize>) {
    let mut bytes = std::fs::read(path).unwrap();
    let at = before.map_or(bytes.len() / 2, |before| bytes.len() - before);
    bytes[at] ^= 4;
    // Not in place: a backup may have the same file.
    std::fs::remove_file(path).unwrap();
    std::fs::write(path, bytes).unwrap();
}

/// Removes a file.
pub(crate) fn remove(path: &Path) {
    std::fs::remove_file(path).unwrap();
}

/// Two snapshots are the same, file by file.
pub(crate) fn same(one: &Path, other: &Path, what: &str) {
    let [one, other] = [one, other].map(snapshot);
    assert_eq!(one.len(), other.len(), "{what}");
    for ((name, one), (_, other)) in one.iter().zip(&other) {
        assert!(one == other, "{what}: {} differs", name.display());
    }
}

/// Ends a process as a power cut does.
pub(crate) fn end_at_once(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}
