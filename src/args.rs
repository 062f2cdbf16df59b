//! Args: what can be asked of the program?

use std::path::PathBuf;

use affluent::trial::Kind;
use clap::{Args, Parser, Subcommand};

/// Incremental personalization for shops: every result is what a batch job would have given.
#[derive(Parser)]
#[command(version, propagate_version = true, after_help = ABOUT)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const ABOUT: &str = "\
To begin:
  affluent run fixtures/online-retail-slice/shop.toml   a real shop, from files to segments
  affluent replay fixtures/two_cookies_become_one_person   what changes in each view, tick by tick
  affluent config > shop.toml   a file for your own shop; every key has its meaning beside it

Exit codes:
  0  all is well
  1  the answer is no: views differ from their batch functions, or nobody is known by that key
  2  the command or the shop's file is wrong
  3  something could not be read or written
  4  the data directory is damaged, or of another program
  5  the disk has failed to make something durable: nothing after it was acknowledged";

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Read a shop's files, keep all views, and say what they show.
    #[command(after_help = RUN)]
    Run(RunArgs),
    /// Tell a story: what changes in each view, tick by tick.
    #[command(after_help = REPLAY)]
    Replay(ReplayArgs),
    /// Run a shop, then compute every view once more with its batch function and compare.
    #[command(after_help = AUDIT)]
    Audit(AuditArgs),
    /// Answer one question from a snapshot, or from a data directory.
    #[command(after_help = SHOW)]
    Show(ShowArgs),
    /// Erase a person by any identifier, with a receipt.
    #[command(after_help = ERASE)]
    Erase(EraseArgs),
    /// Check a receipt: is the person gone from every view and from every byte?
    #[command(after_help = VERIFY)]
    VerifyErasure(VerifyArgs),
    /// Copy a data directory as it is at one tick, also while it is in use.
    #[command(after_help = BACKUP)]
    Backup(BackupArgs),
    /// Make a data directory of a backup.
    #[command(after_help = RESTORE)]
    Restore(RestoreArgs),
    /// Bring damaged files of a data directory back from a backup.
    #[command(after_help = REPAIR)]
    Repair(RepairArgs),
    /// Check a shop's file, and a data directory down to its last byte.
    #[command(after_help = CHECK)]
    Check(CheckArgs),
    /// Put the engine's promises to the test, on a modelled disk that fails in every way.
    #[command(after_help = TRIAL)]
    Trial(TrialArgs),
    /// Print the fields of the canonical input format.
    #[command(
        after_help = "Examples:\n  affluent schema\n  affluent schema --json > record.schema.json"
    )]
    Schema {
        /// As a JSON Schema of an NDJSON record.
        #[arg(long)]
        json: bool,
    },
    /// Print a shop's file in which every key has its meaning and its default.
    #[command(after_help = "Example:\n  affluent config > shop.toml")]
    Config,
}

const RUN: &str = "\
Examples:
  affluent run shop.toml
  affluent run shop.toml --workers 2 --snapshot views
      writes views/<view>.csv and views/manifest.json; `affluent show` reads them
  affluent run shop.toml --snapshot views --at-tick 5
      stops when tick 5 is decided: the same snapshot as at that tick of a longer run
  affluent run shop.toml --data data
      everything is durable in the folder `data`, and the next such run goes on from there
  affluent run shop.toml --snapshot views --follow
      goes on until ctrl-c: reads what is added to the files, and new files that match, and writes
      the snapshot again
  affluent run shop.toml --hosts hosts.txt --process 0 --snapshot views
  affluent run shop.toml --hosts hosts.txt --process 1
      two processes; hosts.txt holds a line `host:port` for each. Process 0 reads the files, writes
      the snapshot and prints; the others compute. This is timely's own network, without
      authentication or encryption: use it on loopback or on a network that you trust.

Every row is accepted, a duplicate or rejected, and the three add up. The view `rejects` names the
file and the line of each rejected row.";

#[derive(Args)]
pub(crate) struct RunArgs {
    /// The shop's file.
    #[arg(value_name = "SHOP.toml")]
    pub(crate) shop: PathBuf,
    /// Worker threads, in each process.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = workers)]
    pub(crate) workers: usize,
    /// Go on with what is added to the files, until ctrl-c.
    #[arg(long, conflicts_with = "at_tick")]
    pub(crate) follow: bool,
    /// Keep everything durable in this data directory, and go on from what it holds.
    #[arg(long, value_name = "DIR", conflicts_with = "hosts")]
    pub(crate) data: Option<PathBuf>,
    /// Write all views to this folder, in place of the snapshot there.
    #[arg(long, value_name = "DIR")]
    pub(crate) snapshot: Option<PathBuf>,
    /// Stop when this tick is decided; the first is 0.
    #[arg(long, value_name = "T")]
    pub(crate) at_tick: Option<u64>,
    /// Run as one of several processes, which this file lists, a `host:port` a line.
    #[arg(long, value_name = "FILE", requires = "process")]
    pub(crate) hosts: Option<PathBuf>,
    /// Which of them this is; the first is 0 and leads.
    #[arg(long, value_name = "I", requires = "hosts")]
    pub(crate) process: Option<usize>,
}

const REPLAY: &str = "\
Examples:
  affluent replay fixtures/two_cookies_become_one_person
  affluent replay fixtures/late_refund --all
      with the changes of every view, not only of those the story is about

A line `>` is a row of the story's events.csv; `+` is a row that comes into a view at that tick,
`-` one that leaves it.";

#[derive(Args)]
pub(crate) struct ReplayArgs {
    /// The story's folder.
    pub(crate) story: PathBuf,
    /// Show every view.
    #[arg(long)]
    pub(crate) all: bool,
    /// Worker threads.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = workers)]
    pub(crate) workers: usize,
}

const AUDIT: &str = "\
Example:
  affluent audit shop.toml --workers 2

As dear as a batch job for each view: that is what it runs. Exit code 1 if any view differs.";

#[derive(Args)]
pub(crate) struct AuditArgs {
    /// The shop's file.
    #[arg(value_name = "SHOP.toml")]
    pub(crate) shop: PathBuf,
    /// Worker threads.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = workers)]
    pub(crate) workers: usize,
}

const SHOW: &str = "\
Examples:
  affluent run shop.toml --snapshot views
  affluent show --snapshot views profile user:17850
  affluent show --snapshot views item 85123A
  affluent show --snapshot views segment 0
  affluent show --data data --shop shop.toml profile user:17850
      from the newest checkpoint of a data directory, at once, also while a run goes on there; the
      answer names the checkpoint's tick";

#[derive(Args)]
pub(crate) struct ShowArgs {
    /// The folder of the snapshot.
    #[arg(long, value_name = "DIR", required_unless_present = "data")]
    pub(crate) snapshot: Option<PathBuf>,
    /// The data directory, in place of a snapshot.
    #[arg(long, value_name = "DIR", conflicts_with = "snapshot", requires = "shop")]
    pub(crate) data: Option<PathBuf>,
    /// The shop's file, with a data directory.
    #[arg(long, value_name = "SHOP.toml", requires = "data")]
    pub(crate) shop: Option<PathBuf>,
    /// What is asked for.
    #[command(subcommand)]
    pub(crate) what: What,
}

#[derive(Subcommand)]
pub(crate) enum What {
    /// A person, by any identifier: kind:value, such as email:ann@example.org.
    Profile {
        /// The identifier.
        key: String,
    },
    /// An item, by its code.
    Item {
        /// The code.
        key: String,
    },
    /// A segment, by its number.
    Segment {
        /// The number.
        key: String,
    },
}

/// A number of worker threads.
fn workers(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (1..=256).contains(number));
    number.ok_or_else(|| "use a number from 1 to 256".to_owned())
}

const ERASE: &str = "\
Examples:
  affluent erase shop.toml --data data email:ann@example.org
  affluent erase shop.toml --data data user:17850 --now > receipt.json

All events of the profile that has the identifier leave every view in one tick, and the keys that
they are sealed under are destroyed with it: nobody can read them any more. A fit follows, so that
the segments forget too. The bytes themselves are written over within `erase_within`, by the run
that is there then, or at once with --now. The receipt is printed and kept in the directory.
Copies elsewhere (backups, snapshots, the files that were read) are not reached: `restore` applies
the erasures that it is told of.";

#[derive(Args)]
pub(crate) struct EraseArgs {
    /// The shop's file.
    #[arg(value_name = "SHOP.toml")]
    pub(crate) shop: PathBuf,
    /// The data directory.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// Identifiers of the person: kind:value.
    #[arg(required = true, value_name = "KIND:VALUE")]
    pub(crate) identifiers: Vec<String>,
    /// Write everything anew at once, so that no byte is left.
    #[arg(long)]
    pub(crate) now: bool,
    /// Worker threads.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = workers)]
    pub(crate) workers: usize,
}

const VERIFY: &str = "\
Example:
  affluent verify-erasure receipt.json shop.toml --data data --value ann@example.org --value c-71

Checks the signature of the receipt; computes every view once more with its batch function, which
has never seen the person, and compares; and looks for the values in every byte of the directory:
in clear, in lower and upper case, hashed, in digits, in base64, and in what unpacks.
Exit code 1 if anything is found.";

#[derive(Args)]
pub(crate) struct VerifyArgs {
    /// The receipt.
    pub(crate) receipt: PathBuf,
    /// The shop's file.
    #[arg(value_name = "SHOP.toml")]
    pub(crate) shop: PathBuf,
    /// The data directory.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// What to look for, such as an e-mail address.
    #[arg(long, value_name = "TEXT")]
    pub(crate) value: Vec<String>,
    /// Worker threads.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = workers)]
    pub(crate) workers: usize,
}

const BACKUP: &str = "\
Example:
  affluent backup --data data --to backups/monday

A run may go on meanwhile. Files that never change are linked where the file system can, and copied
where not: copy the folder to another disk if it is to outlive this one. Every byte is read once and
compared with its checksum before it is done. A backup holds the keys of people: keep it as safe as
the directory. The list of the erased, data/erased, is not in it: keep that apart, and give it to
`restore`.";

#[derive(Args)]
pub(crate) struct BackupArgs {
    /// The data directory.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// The folder of the backup, which must not be there yet.
    #[arg(long, value_name = "DIR")]
    pub(crate) to: PathBuf,
}

const RESTORE: &str = "\
Examples:
  affluent restore backups/monday --data data --erased old/erased
  affluent restore backups/monday --data data --erased old/erased --tick 1200
      as it was at tick 1200, if the backup reaches back so far

The directory must not be there yet, or be empty. Everybody whom `erased` names is erased again
before anything else happens. Without that file those who were erased since the backup would come
back: --nobody-was-erased says that there were none. The next run reads the shop's files on from
that tick: take the rows of those who were erased out of them first. Decisions of operators (link,
unlink) that name somebody come back as they were in the backup: look at them, and retract them.";

#[derive(Args)]
pub(crate) struct RestoreArgs {
    /// The backup.
    pub(crate) backup: PathBuf,
    /// The data directory to be made.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// The last tick that is restored.
    #[arg(long, value_name = "T")]
    pub(crate) tick: Option<u64>,
    /// The file `erased` of the directory that was backed up.
    #[arg(long, value_name = "FILE", required_unless_present = "nobody_was_erased")]
    pub(crate) erased: Option<PathBuf>,
    /// Says that nobody was erased since the backup.
    #[arg(long)]
    pub(crate) nobody_was_erased: bool,
}

const REPAIR: &str = "\
Example:
  affluent repair --data data --from backups/monday

No run may have the directory. Files that are damaged or missing are brought back if the backup has
them whole; what was there is kept beside them, with `.damaged` behind its name, until the next time
that everything is written anew. What was appended since the backup stays. It says what it did, and
what is still missing: exit code 4 if anything is. Damage to what was never backed up cannot be
mended: `restore` the backup to another folder then.";

#[derive(Args)]
pub(crate) struct RepairArgs {
    /// The data directory.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// The backup.
    #[arg(long, value_name = "BACKUP")]
    pub(crate) from: PathBuf,
}

const CHECK: &str = "\
Examples:
  affluent check shop.toml
  affluent check shop.toml --data data

Reads every frame, block and image, and compares every checksum; says who else may read the files,
how much room is left and whether the folder can be written. Nothing is changed, and a run may go on
meanwhile. A line for each finding: the file, the byte, what is wrong. Exit code 4 if the directory
cannot be used so.";

#[derive(Args)]
pub(crate) struct CheckArgs {
    /// The shop's file.
    #[arg(value_name = "SHOP.toml")]
    pub(crate) shop: PathBuf,
    /// The data directory.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
}

const TRIAL: &str = "\
Examples:
  affluent trial
  affluent trial --seeds 100000 --workers 2
  affluent trial crash --first 4711 --seeds 1
      one trial again, by the seed that a failure has named

crash    random shops that ingest, correct, retract, erase, write checkpoints and everything anew,
         on a disk that loses power at any write, fails to sync, or is full: what was acknowledged
         is there, and every view is what its batch function gives
rescale  stops and goes on with 1, 2, 4 and 1 workers: the same bytes of every view
canary   plants texts in identifiers, names and values, erases the person, and looks for them in
         every byte of the directory
Exit code 1 if a promise was broken.";

#[derive(Args)]
pub(crate) struct TrialArgs {
    /// What is tried.
    #[arg(default_values_t = [Kind::Crash])]
    pub(crate) what: Vec<Kind>,
    /// How many trials.
    #[arg(long, default_value_t = 1000, value_name = "N")]
    pub(crate) seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 20_101_201, value_name = "SEED")]
    pub(crate) first: u64,
    /// Trials at a time.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = workers)]
    pub(crate) workers: usize,
}
