//! Main: the command line.

mod args;
mod care;
mod data;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use affluent::config::{self, REFERENCE, Shop};
use affluent::decode::fields::{json_schema, schema_text};
use affluent::durable::{Found, State};
use affluent::fixture::{self, Story};
use affluent::log::Limits;
use affluent::run::summary::summary;
use affluent::run::{self, Done, Input, Plan, Report};
use affluent::show::{self, Question};
use affluent::tend;
use affluent::text;
use affluent::trial;
use affluent::worker::{self, Layout, clock};
use args::{AuditArgs, Cli, Command, RunArgs, TrialArgs, What};
use clap::Parser;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

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
    #[error(transparent)]
    Data(#[from] data::Error),
    #[error(transparent)]
    Care(#[from] care::Error),
    #[error(transparent)]
    Worker(#[from] worker::Error),
    #[error("cannot read or write")]
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
            Failure::Show(error) | Failure::Care(care::Error::Show(error)) => match error {
                show::Error::Unknown(_) => 1,
                show::Error::Question(_) => 2,
                show::Error::Image(_) => 4,
                _ => 3,
            },
            Failure::Care(care::Error::Tend(
                tend::Error::Taken { .. } | tend::Error::Tick { .. } | tend::Error::Stranger { .. },
            )) => 2,
            Failure::Care(
                care::Error::Tend(tend::Error::Durable(_) | tend::Error::Unsound { .. })
                | care::Error::Durable(_)
                | care::Error::Erased { .. },
            ) => 4,
            Failure::Data(data::Error::Durable(error))
            | Failure::Data(data::Error::Run(run::Error::Durable(error)))
            | Failure::Run(run::Error::Durable(error)) => {
                if error.is_sync() {
                    5
                } else {
                    4
                }
            }
            Failure::Data(data::Error::Question(_))
            | Failure::Config(_)
            | Failure::Run(run::Error::Config(_))
            | Failure::Fixture(fixture::Error::Config(_)) => 2,
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
        Command::Erase(args) => match data::erased(Shop::load(&args.shop)?, &args)? {
            Some(receipt) => {
                print(&receipt.json())?;
                if receipt.rewritten.is_none() {
                    eprintln!(
                        "Nobody can read it any more. The bytes go with the first run after \
                         `erase_within_hours`, or at once with --now."
                    );
                }
            }
            None => {
                eprintln!("nobody is known by {}", args.identifiers.join(", "));
                return Ok(ExitCode::from(1));
            }
        },
        Command::Trial(args) => return trials(&args),
        Command::VerifyErasure(args) => {
            let (well, says) = data::verified(Shop::load(&args.shop)?, &args)?;
            print(&says)?;
            return Ok(ExitCode::from(u8::from(!well)));
        }
        Command::Show(args) => {
            let question = match args.what {
                What::Profile { key } => Question::Profile(key),
                What::Item { key } => Question::Item(key),
                What::Segment { key } => Question::Segment(key),
            };
            let said = match (&args.snapshot, &args.data, &args.shop) {
                (None, Some(data), Some(shop)) => care::shown(Shop::load(shop)?, data, &question)?,
                (snapshot, ..) => {
                    show::show(snapshot.as_deref().unwrap_or(".".as_ref()), &question)?
                }
            };
            print(&said)?;
        }
        Command::Backup(args) => print(&care::backed(&args)?)?,
        Command::Restore(args) => print(&care::restored(&args)?)?,
        Command::Repair(args) => return told(care::repaired(&args)?),
        Command::Check(args) => return told(care::checked(Shop::load(&args.shop)?, &args)?),
        Command::Schema { json: true } => print(&json_schema())?,
        Command::Schema { json: false } => print(&schema_text())?,
        Command::Config => print(REFERENCE)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints what was found out; exit code 4 if a directory cannot be used.
fn told((well, says): (bool, String)) -> Result<ExitCode, Failure> {
    print(&says)?;
    Ok(ExitCode::from(if well { 0 } else { 4 }))
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
    let mut shop = Shop::load(&args.shop)?;
    let layout = layout(&args)?;
    let found = match &args.data {
        Some(path) => Some(data::find(&mut shop, path)?),
        None => None,
    };
    let mut plan =
        Plan { layout, at_tick: args.at_tick, snapshot: args.snapshot.clone(), ..Plan::default() };
    if args.follow || found.is_some() {
        let (stop, stopped) = crossbeam_channel::bounded(1);
        let ended = Arc::clone(&plan.stop);
        ctrlc::set_handler(move || {
            if ended.swap(true, Ordering::Relaxed) {
                // Asked twice: at once. The log has all that was acknowledged.
                std::process::exit(130);
            }
            _ = stop.try_send(());
        })?;
        plan.follow = args.follow.then_some(stopped);
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
    let Some(done) = read(&shop, found, plan, said)? else { return Ok(()) };
    print(&summary(&shop, &done))?;
    if let Some(taken_up) = &done.report.taken_up {
        let events = text::many(taken_up.events.1, "event", "events");
        let ticks = text::many(taken_up.frames, "tick", "ticks");
        eprintln!("\nTook up {events} of the checkpoint and {ticks} of the log behind it.");
    }
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
    found: Option<Found>,
    plan: Plan,
    said: impl Fn(&Report) + Send + Sync + 'static,
) -> Result<Option<Done>, Failure> {
    if !plan.layout.leads() {
        return Ok(run::run(shop, None, plan, said)?);
    }
    let mut input = Input::open(shop)?;
    if let Some(found) = found {
        input = input.durable(found.open(Limits::default()).map_err(run::Error::from)?);
    }
    let bar = Arc::new(ProgressBar::with_draw_target(Some(input.bytes()), target()));
    let style = "{bar:30} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left {msg}";
    bar.set_style(ProgressStyle::with_template(style).unwrap_or(ProgressStyle::default_bar()));
    let (progress, health) = (input.progress(), plan.health.clone());
    let (end, ended) = crossbeam_channel::bounded::<()>(0);
    let shown = Arc::clone(&bar);
    let drawing = std::thread::spawn(move || {
        let wait = std::time::Duration::from_millis(100);
        let mut before = State::Starting;
        while ended.recv_timeout(wait) == Err(crossbeam_channel::RecvTimeoutError::Timeout) {
            shown.set_position(progress.bytes());
            let state = health.state();
            if state != before {
                match &state {
                    State::Hydrating { .. } => shown.set_message(state.to_string()),
                    State::Degraded(_) => eprintln!("{state}"),
                    State::Live if matches!(before, State::Degraded(_)) => eprintln!("live again"),
                    State::Live | State::Starting => shown.set_message(""),
                }
                before = state;
            }
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

/// Runs trials: exit code 1 if a promise was broken.
fn trials(args: &TrialArgs) -> Result<ExitCode, Failure> {
    let mut broken = false;
    for kind in &args.what {
        let bar = ProgressBar::with_draw_target(Some(args.seeds), target());
        let tally =
            trial::trials(*kind, args.first..args.first + args.seeds, args.workers, &|done| {
                bar.set_position(done);
            })?;
        bar.finish_and_clear();
        print(&format!("{kind}, seeds from {}: {tally}\n", args.first))?;
        for (seed, violation) in &tally.violations {
            print(&format!("  seed {seed}: {violation}\n"))?;
        }
        broken |= !tally.violations.is_empty();
    }
    Ok(ExitCode::from(u8::from(broken)))
}

/// Where progress is drawn: on a terminal, or not at all.
fn target() -> ProgressDrawTarget {
    match std::io::stderr().is_terminal() {
        true => ProgressDrawTarget::stderr(),
        false => ProgressDrawTarget::hidden(),
    }
}

fn audit(args: &AuditArgs) -> Result<ExitCode, Failure> {
    let shop = Shop::load(&args.shop)?;
    let plan = Plan { layout: Layout::threads(args.workers), audit: true, ..Plan::default() };
    let Some(done) = read(&shop, None, plan, |_| ())? else { return Ok(ExitCode::SUCCESS) };
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
