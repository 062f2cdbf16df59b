//! Main: the command line.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use affluent::config::{self, REFERENCE, Shop};
use affluent::decode::fields::{json_schema, schema_text};
use affluent::fixture::{self, Story};
use affluent::run::summary::summary;
use affluent::run::{self, Done, Input, Plan, Report};
use affluent::show::{self, Question};
use affluent::text;
use affluent::worker::{self, Layout, clock};
use clap::{Args, Parser, Subcommand};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Incremental personalization for shops: every result is what a batch job would have given.
#[derive(Parser)]
#[command(version, propagate_version = true, after_help = ABOUT)]
struct Cli {
    #[command(subcommand)]
    command: Command,
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
  3  something could not be read or written";

#[derive(Subcommand)]
enum Command {
    /// Read a shop's files, keep all views, and say what they show.
    #[command(after_help = RUN)]
    Run(RunArgs),
    /// Tell a story: what changes in each view, tick by tick.
    #[command(after_help = REPLAY)]
    Replay(ReplayArgs),
    /// Run a shop, then compute every view once more with its batch function and compare.
    #[command(after_help = AUDIT)]
    Audit(AuditArgs),
    /// Answer one question from a snapshot.
    #[command(after_help = SHOW)]
    Show(ShowArgs),
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
struct RunArgs {
    /// The shop's file.
    #[arg(value_name = "SHOP.toml")]
    shop: PathBuf,
    /// Worker threads, in each process.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = workers)]
    workers: usize,
    /// Go on with what is added to the files, until ctrl-c.
    #[arg(long, conflicts_with = "at_tick")]
    follow: bool,
    /// Write all views to this folder, in place of the snapshot there.
    #[arg(long, value_name = "DIR")]
    snapshot: Option<PathBuf>,
    /// Stop when this tick is decided; the first is 0.
    #[arg(long, value_name = "T")]
    at_tick: Option<u64>,
    /// Run as one of several processes, which this file lists, a `host:port` a line.
    #[arg(long, value_name = "FILE", requires = "process")]
    hosts: Option<PathBuf>,
    /// Which of them this is; the first is 0 and leads.
    #[arg(long, value_name = "I", requires = "hosts")]
    process: Option<usize>,
}

const REPLAY: &str = "\
Examples:
  affluent replay fixtures/two_cookies_become_one_person
  affluent replay fixtures/late_refund --all
      with the changes of every view, not only of those the story is about

A line `>` is a row of the story's events.csv; `+` is a row that comes into a view at that tick,
`-` one that leaves it.";

#[derive(Args)]
struct ReplayArgs {
    /// The story's folder.
    story: PathBuf,
    /// Show every view.
    #[arg(long)]
    all: bool,
    /// Worker threads.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = workers)]
    workers: usize,
}

const AUDIT: &str = "\
Example:
  affluent audit shop.toml --workers 2

As dear as a batch job for each view: that is what it runs. Exit code 1 if any view differs.";

#[derive(Args)]
struct AuditArgs {
    /// The shop's file.
    #[arg(value_name = "SHOP.toml")]
    shop: PathBuf,
    /// Worker threads.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = workers)]
    workers: usize,
}

const SHOW: &str = "\
Examples:
  affluent run shop.toml --snapshot views
  affluent show --snapshot views profile user:17850
  affluent show --snapshot views item 85123A
  affluent show --snapshot views segment 0";

#[derive(Args)]
struct ShowArgs {
    /// The folder of the snapshot.
    #[arg(long, value_name = "DIR")]
    snapshot: PathBuf,
    /// What is asked for.
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
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

fn main() -> ExitCode {
    match act(Cli::parse().command) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("error: {}", failure.message());
            ExitCode::from(failure.code())
        }
    }
}

/// Why a command did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Config(#[from] config::Error),
    #[error(transparent)]
    Run(#[from] run::Error),
    #[error(transparent)]
    Fixture(#[from] fixture::Error),
    #[error(transparent)]
    Show(#[from] show::Error),
    #[error("cannot listen for ctrl-c")]
    Signal(#[from] ctrlc::Error),
    #[error("cannot write to the standard output")]
    Print(#[from] std::io::Error),
}

impl Failure {
    /// The message, with all its causes.
    fn message(&self) -> String {
        let mut message = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let more = error.to_string();
            if !message.contains(&more) {
                message = format!("{message}: {more}");
            }
            cause = error.source();
        }
        message
    }

    fn code(&self) -> u8 {
        match self {
            Failure::Show(show::Error::Unknown(_)) => 1,
            Failure::Config(_)
            | Failure::Run(run::Error::Config(_))
            | Failure::Fixture(fixture::Error::Config(_))
            | Failure::Show(show::Error::Question(_)) => 2,
            Failure::Run(run::Error::Worker(
                worker::Error::Hosts { .. } | worker::Error::Process { .. },
            )) => 2,
            _ => 3,
        }
    }
}

/// Does what is asked for.
fn act(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Run(args) => run(args)?,
        Command::Replay(args) => {
            print(&Story::read(&args.story)?.replay(args.workers, args.all)?)?;
        }
        Command::Audit(args) => return audit(&args),
        Command::Show(args) => {
            let question = match args.what {
                What::Profile { key } => Question::Profile(key),
                What::Item { key } => Question::Item(key),
                What::Segment { key } => Question::Segment(key),
            };
            print(&show::show(&args.snapshot, &question)?)?;
        }
        Command::Schema { json: true } => print(&json_schema())?,
        Command::Schema { json: false } => print(&schema_text())?,
        Command::Config => print(REFERENCE)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes to the standard output; a reader that has seen enough is no fault.
fn print(text: &str) -> Result<(), Failure> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// The layout of the workers.
fn layout(args: &RunArgs) -> Result<Layout, Failure> {
    Ok(match (&args.hosts, args.process) {
        (Some(hosts), Some(process)) => {
            Layout::cluster(args.workers, hosts.clone(), process).map_err(run::Error::from)?
        }
        _ => Layout::threads(args.workers),
    })
}

fn run(args: RunArgs) -> Result<(), Failure> {
    let began = clock::now();
    let shop = Shop::load(&args.shop)?;
    let layout = layout(&args)?;
    let mut plan =
        Plan { layout, at_tick: args.at_tick, snapshot: args.snapshot.clone(), ..Plan::default() };
    if args.follow {
        let (stop, stopped) = crossbeam_channel::bounded(1);
        ctrlc::set_handler(move || _ = stop.try_send(()))?;
        plan.follow = Some(stopped);
    }
    let snapshot = args.snapshot.map(|path| path.display().to_string());
    let kept = snapshot.clone();
    let following = args.follow;
    let said = move |report: &Report| {
        if following {
            let place =
                snapshot.as_ref().map(|path| format!("; {path} shows it")).unwrap_or_default();
            let rows = text::many(report.counts.rows, "row", "rows");
            eprintln!("{rows} read, tick {} decided{place}; ctrl-c ends", report.tick);
        }
    };
    let Some(done) = read(&shop, plan, said)? else { return Ok(()) };
    print(&summary(&shop, &done))?;
    eprintln!("\nDone in {:.1} s.", began.elapsed().as_secs_f64());
    eprintln!("{}", next(&done, kept.as_deref()));
    Ok(())
}

/// What can be done next.
fn next(done: &Done, snapshot: Option<&str>) -> String {
    let (Some(manifest), Some(path)) = (&done.manifest, snapshot) else {
        return "With --snapshot DIR all views are kept as CSV files, and `affluent show` answers \
                from them."
            .to_owned();
    };
    let rows: usize = manifest.views.values().map(|entry| entry.rows).sum();
    format!(
        "{path} holds {} of {} views at tick {}; `affluent show --snapshot {path} item CODE` \
         answers from it.",
        text::many(rows, "row", "rows"),
        manifest.views.len(),
        manifest.tick,
    )
}

/// Runs `shop` behind a progress bar, which is there on a terminal only.
fn read(
    shop: &Shop,
    plan: Plan,
    said: impl Fn(&Report) + Send + Sync + 'static,
) -> Result<Option<Done>, Failure> {
    if !plan.layout.leads() {
        return Ok(run::run(shop, None, plan, said)?);
    }
    let input = Input::open(shop)?;
    let bar = Arc::new(ProgressBar::with_draw_target(
        Some(input.bytes()),
        match std::io::stderr().is_terminal() {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        },
    ));
    let style = "{bar:30} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left";
    bar.set_style(ProgressStyle::with_template(style).unwrap_or(ProgressStyle::default_bar()));
    let progress = input.progress();
    let (end, ended) = crossbeam_channel::bounded::<()>(0);
    let shown = Arc::clone(&bar);
    let drawing = std::thread::spawn(move || {
        let wait = std::time::Duration::from_millis(100);
        while ended.recv_timeout(wait) == Err(crossbeam_channel::RecvTimeoutError::Timeout) {
            shown.set_position(progress.bytes());
        }
        shown.finish_and_clear();
    });
    let caught_up = move |report: &Report| {
        bar.finish_and_clear();
        said(report);
    };
    let done = run::run(shop, Some(input), plan, caught_up);
    drop(end);
    drop(drawing.join());
    Ok(done?)
}

fn audit(args: &AuditArgs) -> Result<ExitCode, Failure> {
    let shop = Shop::load(&args.shop)?;
    let plan = Plan { layout: Layout::threads(args.workers), audit: true, ..Plan::default() };
    let Some(done) = read(&shop, plan, |_| ())? else { return Ok(ExitCode::SUCCESS) };
    let mut lines = Vec::new();
    let mut differing = 0;
    for audited in &done.audit {
        let rows = text::many(audited.rows, "row", "rows");
        let told = match &audited.difference {
            None => format!("equal, {rows}"),
            Some(difference) => {
                differing += 1;
                format!("DIFFERS: {difference}")
            }
        };
        lines.push(vec![audited.view.to_owned(), told]);
    }
    print(&text::table("", &[text::Align::Left; 2], &lines))?;
    let tick = done.report.tick;
    let views = done.audit.len();
    if differing == 0 {
        print(&format!("All {views} views at tick {tick} are what their batch functions give.\n"))?;
        return Ok(ExitCode::SUCCESS);
    }
    print(&format!("{differing} of {views} views at tick {tick} differ: please report this.\n"))?;
    Ok(ExitCode::from(1))
}
