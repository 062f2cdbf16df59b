//! Durable: can the program be killed, stopped, and starved of room, and lose nothing?
//!
//! `TRIALS` sets how often each is done. What a run has in the end must be, byte for byte, what one
//! that nobody disturbed has.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use affluent::storage::Dice;

/// How often something is done.
fn trials(many: usize) -> usize {
    std::env::var("TRIALS").map_or(many, |text| text.parse().expect("a number"))
}

/// A shop in a folder of its own.
struct Shop {
    folder: tempfile::TempDir,
    file: String,
}

impl Shop {
    /// A shop of so many events, from a seed: some late, some again, some corrected and retracted.
    fn new(seed: u64, events: usize) -> Shop {
        let folder = tempfile::tempdir().unwrap();
        let mut dice = Dice::new(seed);
        let mut rows = String::new();
        for number in 0..events {
            let id = if dice.once_in(30) { dice.below(number + 1) } else { number };
            let (person, day) = (dice.below(200), 1 + (number * 27 / events + dice.below(2)) % 28);
            let head = format!("{{\"id\":\"e{id}\",\"at\":\"2024-02-{day:02}T10:00:00Z\",");
            let who = match dice.below(3) {
                0 => format!("\"who\":{{\"cookie\":\"c{person}\"}},"),
                1 => format!("\"who\":{{\"cookie\":\"c{person}\",\"email\":\"p{person}@x.org\"}},"),
                _ => format!("\"who\":{{\"email\":\"p{person}@x.org\"}},"),
            };
            let item = dice.below(50);
            match dice.below(40) {
                0 => writeln!(rows, "{{\"id\":\"e{id}\",\"op\":\"retract\"}}").unwrap(),
                1 => writeln!(rows, "{head}{who}\"action\":\"nonsense\"}}").unwrap(),
                2..8 => writeln!(
                    rows,
                    "{head}{who}\"action\":\"order\",\"order\":\"o{id}\",\"lines\":[{{\"item\":\
                     \"i{item}\",\"quantity\":1,\"price\":\"2.50\"}}]}}"
                )
                .unwrap(),
                _ => {
                    writeln!(rows, "{head}{who}\"action\":\"view\",\"item\":\"i{item}\"}}")
                        .unwrap();
                }
            }
        }
        std::fs::write(folder.path().join("web.ndjson"), rows).unwrap();
        let text = concat!(
            "[shop]\nname = \"S\"\nsecret = \"000102030405060708090a0b0c0d0e0f\"\n",
            "[run]\ntick_events = 100\n",
            "[[source]]\nname = \"web\"\nfiles = \"web.ndjson\"\n",
        );
        let file = folder.path().join("shop.toml");
        std::fs::write(&file, text).unwrap();
        Shop { file: file.display().to_string(), folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts a run.
    fn start(&self, data: &Path, more: &[&str]) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_affluent"));
        command.args(["run", &self.file, "--data"]).arg(data).args(more);
        command.env_remove("AFFLUENT_SECRET").stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    /// A run to its end: what it wrote to the standard error.
    fn run(&self, data: &Path, more: &[&str]) -> String {
        let Output { status, stderr, .. } = self.start(data, more).wait_with_output().unwrap();
        let stderr = String::from_utf8(stderr).unwrap();
        assert_eq!(status.code(), Some(0), "{stderr}");
        stderr
    }

    /// The snapshot that a run has in the end.
    fn snapshot(&self, data: &Path, name: &str) -> Vec<(PathBuf, Vec<u8>)> {
        let path = self.path(name);
        self.run(data, &["--snapshot", &path.display().to_string()]);
        let entries = std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> = entries
            .map(|file| (file.file_name().unwrap().into(), std::fs::read(&file).unwrap()))
            .collect();
        files.sort();
        files
    }
}

/// Compares two snapshots file by file, so that a failure says which.
fn equal(one: &[(PathBuf, Vec<u8>)], two: &[(PathBuf, Vec<u8>)], what: &str) {
    assert_eq!(one.len(), two.len(), "{what}");
    for ((name, one), (_, two)) in one.iter().zip(two) {
        assert!(one == two, "{what}: {} differs", name.display());
    }
}

/// Lets a run go on for a while.
fn pause(time: Duration) {
    assert!(crossbeam_channel::after(time).recv().is_ok(), "a clock goes on");
}

fn kill(child: &Child, signal: &str) {
    Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
}

#[test]
fn a_killed_run_goes_on_as_if_nothing_had_been() {
    let shop = Shop::new(1, 30_000);
    let expected = shop.snapshot(&shop.path("calm"), "calm-views");
    let mut dice = Dice::new(7);
    let (mut kills, mut round) = (0, 0);
    while kills < trials(20) {
        let data = shop.path(&format!("data-{round}"));
        let before = kills;
        round += 1;
        loop {
            let mut child = shop.start(&data, &[]);
            // Longer from kill to kill, so that a slow machine comes to the end as well.
            let wait = 20 + dice.below(300) + 15 * (kills - before);
            pause(Duration::from_millis(u64::try_from(wait).unwrap()));
            if let Some(status) = child.try_wait().unwrap() {
                assert_eq!(status.code(), Some(0));
                break;
            }
            kill(&child, "-KILL");
            child.wait().unwrap();
            kills += 1;
        }
        equal(&shop.snapshot(&data, "views"), &expected, "after kills");
        std::fs::remove_dir_all(&data).unwrap();
    }
    eprintln!("{kills} kills in {round} runs, every end the same");
}

#[test]
fn a_terminated_run_ends_well_and_leaves_nothing_to_replay() {
    let shop = Shop::new(2, 20_000);
    let expected = shop.snapshot(&shop.path("calm"), "calm-views");
    let mut dice = Dice::new(8);
    let mut stopped = 0;
    for round in 0..trials(4) {
        let data = shop.path(&format!("data-{round}"));
        let child = shop.start(&data, &["--follow"]);
        pause(Duration::from_millis(100 + u64::try_from(dice.below(500)).unwrap()));
        kill(&child, "-TERM");
        let began = affluent::worker::clock::now();
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{text}");
        assert!(began.elapsed() < Duration::from_secs(10), "it ends within ten seconds");
        let text = shop.run(&data, &[]);
        assert!(text.contains("and 0 ticks of the log"), "{text}");
        // A stop decides what has come, so that ticks are cut, and models made, elsewhere.
        let cut = |files: Vec<(PathBuf, Vec<u8>)>| -> Vec<(PathBuf, Vec<u8>)> {
            let models = ["centroids.csv", "segments.csv", "spread.csv", "manifest.json"];
            files
                .into_iter()
                .filter(|(name, _)| !models.iter().any(|of| name == Path::new(of)))
                .collect()
        };
        let (views, expected) = (shop.snapshot(&data, "views"), expected.clone());
        equal(&cut(views), &cut(expected), "after a stop");
        std::fs::remove_dir_all(&data).unwrap();
        stopped += 1;
    }
    eprintln!("{stopped} runs ended by a signal, with nothing to replay");
}

#[test]
fn a_run_waits_for_room_on_a_full_disk_and_goes_on_by_itself() {
    let disk = tempfile::tempdir().unwrap();
    let mount = |size: &str| {
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", size, "tmpfs"]).arg(disk.path());
        command.stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    };
    if !mount("size=40m") {
        eprintln!("SKIPPED: a small disk in memory cannot be mounted here");
        return;
    }
    let shop = Shop::new(3, 20_000);
    let expected = shop.snapshot(&shop.path("calm"), "calm-views");
    let mut dice = Dice::new(9);
    let mut waited = 0;
    for round in 0..trials(4) {
        let data = disk.path().join("data");
        let ballast = disk.path().join("ballast");
        let room = 200_000 + dice.below(1_500_000);
        std::fs::write(&ballast, vec![1; 40 * 1024 * 1024 - room]).unwrap();
        let mut child = shop.start(&data, &[]);
        pause(Duration::from_millis(1500));
        waited += usize::from(child.try_wait().unwrap().is_none());
        std::fs::remove_file(&ballast).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        let full = output.status.code() == Some(4) && text.contains("room");
        assert!(output.status.success() || full, "round {round}: {text}");
        equal(&shop.snapshot(&data, "views"), &expected, "after a full disk");
        std::fs::remove_dir_all(&data).unwrap();
    }
    Command::new("umount").arg(disk.path()).status().unwrap();
    eprintln!("{waited} runs waited for room, every end the same");
    assert!(0 < waited, "no run met a full disk");
}

#[test]
fn an_erased_person_is_gone_and_the_receipt_says_so() {
    let shop = Shop::new(4, 3000);
    let data = shop.path("data");
    shop.run(&data, &[]);
    let told = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_affluent"));
        let output = command.args(arguments).env_remove("AFFLUENT_SECRET").output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let path = data.display().to_string();
    let erase = ["erase", &shop.file, "--data", &path, "email:p7@x.org", "--now"];
    let (code, receipt, error) = told(&erase);
    assert_eq!(code, Some(0), "{error}");
    for part in ["\"pseudonym\"", "\"events\"", "\"rewritten\"", "\"signature\""] {
        assert!(receipt.contains(part), "{part} in {receipt}");
    }
    assert!(!receipt.contains("p7"), "a receipt names nobody");
    let file = shop.path("receipt.json").display().to_string();
    std::fs::write(&file, &receipt).unwrap();
    let values = ["--value", "p7@x.org", "--value", "c7"];
    let verify = [&["verify-erasure", &file, &shop.file, "--data", &path][..], &values].concat();
    let (code, says, error) = told(&verify);
    assert_eq!(code, Some(0), "{says}{error}");
    // One that was changed is not signed.
    std::fs::write(&file, receipt.replacen("\"events\": ", "\"events\": 1", 1)).unwrap();
    let (code, says, _) = told(&verify);
    assert_eq!(code, Some(1), "{says}");
    assert!(says.contains("signed by this directory: NO"), "{says}");
    assert_eq!(told(&erase).0, Some(1), "nobody is left to be erased");
    // The rows that were read stay read: the person does not come back with them.
    shop.run(&data, &[]);
    assert_eq!(told(&erase).0, Some(1), "nobody came back");
}
