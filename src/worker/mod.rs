//! Worker: how do all dataflows get from tick to tick?
//!
//! The driver runs on worker 0, so a single worker answers without a change of threads. It hands
//! each tick's updates to the workers of its own process, by event, and waits until every view has
//! published the tick. Workers of other processes get their work through timely's exchange alone.

pub mod clock;
pub mod ingest;
mod publish;
pub mod recover;
pub mod refit;

use std::cell::Cell;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::thread::Thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};
use dataflows::{Diff, Event, Settings, Tick, personalize};
use differential_dataflow::input::InputSession;
use timely::communication::Config as Communication;
use timely::dataflow::operators::probe::Handle;
use timely::logging::{TimelyEvent, TimelyEventBuilder};
use timely::worker::Worker;

use crate::ledger::Update;
use crate::view::{Store, lock};
use publish::Publisher;

/// How many ticks may wait for a worker.
const TICKS_IN_FLIGHT_MAX: usize = 16;

/// How long a worker without work sleeps before it looks again.
const PARK: Duration = Duration::from_millis(1);

/// What can go wrong when workers are started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nothing was computed.
    #[error("the workers could not be started: {0}")]
    Start(String),
    /// The file of hosts cannot be read; nothing was started.
    #[error("cannot read the file of hosts {}", path.display())]
    Hosts {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// This process is not one of the cluster; nothing was started.
    #[error("process {process} is not in the file of hosts, which has {hosts} lines")]
    Process {
        /// The number asked for.
        process: usize,
        /// How many there are.
        hosts: usize,
    },
}

/// Where the workers run.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    /// Worker threads in each process, at least 1.
    pub threads: usize,
    /// The number of this process, and the `host:port` of all, where there are several.
    pub cluster: Option<(usize, Vec<String>)>,
    /// Whether the updates that move between operators are counted, see [`Driver::moved`].
    pub counting: bool,
}

impl Layout {
    /// One process with `threads` workers.
    #[must_use]
    pub fn threads(threads: usize) -> Layout {
        Layout { threads, ..Layout::default() }
    }

    /// Process `process` of those in the file of hosts, a `host:port` a line.
    ///
    /// # Errors
    ///
    /// If the file cannot be read or has no such line.
    pub fn cluster(threads: usize, path: PathBuf, process: usize) -> Result<Layout, Error> {
        let text =
            std::fs::read_to_string(&path).map_err(|source| Error::Hosts { path, source })?;
        let hosts =
            text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let hosts: Vec<String> = hosts.map(str::to_string).collect();
        if hosts.len() <= process {
            return Err(Error::Process { process, hosts: hosts.len() });
        }
        Ok(Layout { threads, cluster: Some((process, hosts)), counting: false })
    }

    /// Whether this process reads the input and holds the views.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.cluster.as_ref().is_none_or(|(process, _)| *process == 0)
    }

    fn communication(&self) -> Communication {
        let threads = self.threads.max(1);
        match &self.cluster {
            Some((process, addresses)) => Communication::Cluster {
                threads,
                process: *process,
                addresses: addresses.clone(),
                report: false,
                zerocopy: false,
            },
            None if threads == 1 => Communication::Thread,
            None => Communication::Process(threads),
        }
    }
}

/// A tick's updates for one worker.
type Feed = (Tick, Vec<(Event, Diff)>);

/// Takes the engine from tick to tick; lives on worker 0.
pub struct Driver<'w> {
    worker: &'w mut Worker,
    input: InputSession<Tick, Rc<Event>, Diff>,
    probe: Handle<Tick>,
    others: Vec<(Sender<Feed>, Thread)>,
    store: Store,
    upper: Tick,
    /// The tick of the dataflows that is the first of this engine.
    base: u64,
    /// What has been given to the dataflows, while somebody wants to know.
    given: Option<Vec<Update>>,
    moved: Rc<Cell<i64>>,
}

impl std::fmt::Debug for Driver<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver").field("upper", &self.upper).finish_non_exhaustive()
    }
}

impl Driver<'_> {
    /// The first tick that is not yet decided.
    #[must_use]
    pub fn upper(&self) -> Tick {
        Tick(self.upper.0 - self.base)
    }

    /// Takes back all that was given to the dataflows since this was asked last, so that another
    /// engine can begin with tick 0 in them: for trials, which would take long to make dataflows
    /// for each.
    pub fn begin_anew(&mut self) {
        if let Some(given) = self.given.replace(Vec::new()) {
            let back = given.into_iter().map(|(event, diff)| (event, -diff));
            self.tick(back.collect());
        }
        self.given = Some(Vec::new());
        self.base = self.upper.0;
    }

    /// How many updates operators of this worker have sent each other, if they are counted.
    #[must_use]
    pub fn moved(&self) -> i64 {
        if let Some(mut register) = self.worker.log_register() {
            register.flush();
        }
        self.moved.get()
    }

    /// The views, at the tick before `upper`.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The next tick that is decided is `tick`, or the one that is next already if that is later.
    pub fn skip_to(&mut self, tick: Tick) {
        self.upper = self.upper.max(Tick(self.base + tick.0));
        self.input.advance_to(self.upper);
    }

    /// Decides the next tick: these updates hold from it on. Returns when all views show it.
    pub fn tick(&mut self, updates: Vec<Update>) -> Tick {
        let tick = self.upper;
        self.upper = tick.next();
        if let Some(given) = &mut self.given {
            given.extend(updates.iter().cloned());
        }
        if self.others.is_empty() {
            for (event, diff) in updates {
                self.input.update(event, diff);
            }
        } else {
            let workers = self.others.len() + 1;
            let mut shares: Vec<Vec<(Event, Diff)>> =
                self.others.iter().map(|_| Vec::new()).collect();
            for (event, diff) in updates {
                let share = event.id.0 % u64::try_from(workers).unwrap_or(1);
                match usize::try_from(share).unwrap_or(0).checked_sub(1) {
                    None => self.input.update(event, diff),
                    Some(other) => shares[other].push((Rc::unwrap_or_clone(event), diff)),
                }
            }
            for ((sender, thread), share) in self.others.iter().zip(shares) {
                // A worker that is gone has taken the process with it.
                drop(sender.send((tick, share)));
                thread.unpark();
            }
        }
        self.input.advance_to(self.upper);
        self.input.flush();
        let (probe, upper) = (&self.probe, self.upper);
        self.worker.step_or_park_while(Some(PARK), || probe.less_than(&upper));
        Tick(tick.0 - self.base)
    }
}

/// What the first worker is to do.
type Drive = Box<dyn FnOnce(&mut Driver<'_>) + Send>;

/// Starts workers, runs `drive` on the first, and returns what it returned: `None` in a process
/// that does not lead.
///
/// # Errors
///
/// If the workers could not be started.
pub fn run<T: Send + 'static>(
    layout: &Layout,
    settings: Settings,
    store: Store,
    drive: impl FnOnce(&mut Driver<'_>) -> T + Send + 'static,
) -> Result<Option<T>, Error> {
    let done = Arc::new(Mutex::new(None));
    let result = Arc::clone(&done);
    let drive = move |driver: &mut Driver<'_>| {
        let value = drive(driver);
        *lock(&result) = Some(value);
    };
    start(layout, settings, store, Box::new(drive))?;
    Ok(lock(&done).take())
}

/// [`run`] without its types, so that all dataflows are compiled once, in this crate, and not
/// again for every caller.
fn start(layout: &Layout, settings: Settings, store: Store, drive: Drive) -> Result<(), Error> {
    let threads = layout.threads.max(1);
    let (leads, counting) = (layout.leads(), layout.counting);
    let channels: Vec<_> = (1..threads).map(|_| bounded::<Feed>(TICKS_IN_FLIGHT_MAX)).collect();
    let (hello, hellos) = bounded::<(usize, Thread)>(threads);
    let drive = Mutex::new(Some(drive));
    let config = timely::Config {
        communication: layout.communication(),
        worker: timely::WorkerConfig::default(),
    };
    let guards = timely::execute(config, move |worker| {
        let _together = (1 < worker.peers()).then_some(Together);
        let moved = Rc::new(Cell::new(0));
        if counting {
            count(worker, &moved);
        }
        let probe = Handle::new();
        let mut input = InputSession::new();
        let settings = Rc::new(settings.clone());
        let mut publisher = Publisher::new(store.clone(), threads, probe.clone());
        worker.dataflow::<Tick, _, _>(|scope| {
            personalize(input.to_collection(scope), &settings, &mut publisher);
        });
        drop(publisher);
        let number = worker.index();
        if !leads {
            return;
        }
        if let Some(other) = number.checked_sub(1) {
            drop(hello.send((number, std::thread::current())));
            follow(worker, input, &channels[other].1);
            return;
        }
        let mut threads: Vec<_> = hellos.iter().take(channels.len()).collect();
        threads.sort_by_key(|(number, _)| *number);
        let senders = channels.iter().map(|(sender, _)| sender.clone());
        let others = senders.zip(threads.into_iter().map(|(_, thread)| thread)).collect();
        let drive = lock(&drive).take();
        if let Some(drive) = drive {
            let store = store.clone();
            let upper = Tick(0);
            let (base, given) = (0, None);
            let mut driver =
                Driver { worker, input, probe, others, store, upper, base, given, moved };
            drive(&mut driver);
            assert!(driver.upper < Tick(u64::MAX), "ticks do not run out");
            for (sender, thread) in &driver.others {
                // An empty tick at the end of time: no more will come.
                drop(sender.send((Tick(u64::MAX), Vec::new())));
                thread.unpark();
            }
        }
    });
    for worker in guards.map_err(Error::Start)?.join() {
        worker.map_err(Error::Start)?;
    }
    Ok(())
}

/// Held by a worker that has peers: if it panics, its process ends, for they would wait for it for
/// ever. What the panic said is on the standard error by then.
struct Together;

impl Drop for Together {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::process::abort();
        }
    }
}

/// Counts the updates that this worker's operators send each other.
fn count(worker: &Worker, moved: &Rc<Cell<i64>>) {
    let moved = Rc::clone(moved);
    let add = move |_: &Duration, events: &mut Option<Vec<(Duration, TimelyEvent)>>| {
        for (_, event) in events.iter().flatten() {
            if let TimelyEvent::Messages(message) = event
                && message.is_send
            {
                moved.set(moved.get() + message.record_count);
            }
        }
    };
    if let Some(mut register) = worker.log_register() {
        register.insert::<TimelyEventBuilder, _>("timely", add);
    }
}

/// What a worker does that does not drive: it takes its share of each tick, and works.
fn follow(
    worker: &mut Worker,
    mut input: InputSession<Tick, Rc<Event>, Diff>,
    feeds: &Receiver<Feed>,
) {
    loop {
        match feeds.try_recv() {
            Ok((Tick(u64::MAX), _)) | Err(TryRecvError::Disconnected) => return,
            Ok((tick, updates)) => {
                input.advance_to(tick);
                for (event, diff) in updates {
                    input.update(Rc::new(event), diff);
                }
                input.advance_to(tick.next());
                input.flush();
                worker.step();
            }
            Err(TryRecvError::Empty) => {
                worker.step_or_park(Some(PARK));
            }
        }
    }
}
