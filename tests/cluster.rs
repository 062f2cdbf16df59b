//! Cluster: do two processes agree with one?

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How long the processes may take.
const SECONDS_MAX: u64 = 300;

/// A process that does not outlive its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Running {
    /// Starts the program.
    fn start(arguments: &[&str]) -> Running {
        let mut command = Command::new(env!("CARGO_BIN_EXE_affluent"));
        command.args(arguments).env_remove("AFFLUENT_SECRET").stdin(Stdio::null());
        Running(command.stdout(Stdio::null()).spawn().expect("the program was built"))
    }

    /// Waits until `all` have ended well; stops waiting when one has not, or time is up.
    fn end(mut all: Vec<Running>) {
        let (_timer, tick) = std::sync::mpsc::channel::<()>();
        let wait = Duration::from_millis(50);
        for _ in 0..SECONDS_MAX * 20 {
            all.retain_mut(|running| match running.0.try_wait().expect("it is a child") {
                Some(status) => {
                    assert!(status.success(), "{status}");
                    false
                }
                None => true,
            });
            if all.is_empty() {
                return;
            }
            _ = tick.recv_timeout(wait);
        }
        panic!("{} processes are not done after {SECONDS_MAX} s", all.len());
    }
}

/// Two ports that nobody listens at.
fn ports() -> [u16; 2] {
    let held = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("loopback is there"));
    held.each_ref().map(|listener| listener.local_addr().expect("it is bound").port())
}

/// The bytes of a file.
fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).expect("a file of the snapshot")
}

/// All files of a folder, by name.
fn files(folder: &Path) -> Vec<(std::ffi::OsString, Vec<u8>)> {
    let entries = std::fs::read_dir(folder).expect("a snapshot");
    let paths = entries.map(|entry| entry.expect("a file").path());
    let mut files: Vec<_> =
        paths.map(|path| (path.file_name().unwrap_or_default().to_owned(), read(&path))).collect();
    files.sort();
    files
}

#[test]
fn two_processes_give_the_same_snapshot_as_one() {
    let shop = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/online-retail-slice/shop.toml");
    let shop = shop.display().to_string();
    let folder = tempfile::tempdir().unwrap();
    let [alone, together] = ["alone", "together"].map(|name| folder.path().join(name));
    let hosts = folder.path().join("hosts.txt");
    let [first, second] = ports();
    std::fs::write(&hosts, format!("127.0.0.1:{first}\n127.0.0.1:{second}\n")).unwrap();
    let (hosts, snapshot) = (hosts.display().to_string(), together.display().to_string());
    Running::end(vec![
        Running::start(&["run", &shop, "--hosts", &hosts, "--process", "1"]),
        Running::start(&[
            "run",
            &shop,
            "--hosts",
            &hosts,
            "--process",
            "0",
            "--snapshot",
            &snapshot,
        ]),
    ]);
    Running::end(vec![Running::start(&["run", &shop, "--snapshot", &alone.display().to_string()])]);
    let (alone, together) = (files(&alone), files(&together));
    assert!(20 <= alone.len(), "all views and the manifest");
    assert_eq!(alone.len(), together.len());
    for ((name, one), (other, many)) in alone.iter().zip(&together) {
        assert_eq!(name, other);
        assert!(one == many, "{} differs", name.display());
    }
}
