//! Measure: how long did it take, how much memory is held, and on what machine?
#![expect(
    clippy::float_arithmetic,
    clippy::as_conversions,
    reason = "figures of a measurement are read, never joined"
)]

use std::fs::read_to_string;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// Time spent: by the clock on the wall, and by all processors for this process.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spent {
    /// By the clock on the wall.
    pub(crate) wall: Duration,
    /// By the processors.
    pub(crate) processor: Duration,
}

impl Spent {
    /// What `work` takes.
    pub(crate) fn on<T>(work: impl FnOnce() -> T) -> (Spent, T) {
        let watch = Watch::start();
        let result = work();
        (watch.read(), result)
    }

    /// What is left without a part of it that only this thread worked on.
    pub(crate) fn without(self, part: Spent) -> Spent {
        Spent {
            wall: self.wall.saturating_sub(part.wall),
            processor: self.processor.saturating_sub(part.processor),
        }
    }
}

impl std::ops::AddAssign for Spent {
    fn add_assign(&mut self, other: Spent) {
        self.wall += other.wall;
        self.processor += other.processor;
    }
}

/// A running measurement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watch {
    wall: Instant,
    processor: Duration,
    clock: ClockId,
}

impl Watch {
    /// Starts to measure this process.
    pub(crate) fn start() -> Watch {
        Watch::of(ClockId::ProcessCPUTime)
    }

    /// Starts to measure this thread alone.
    pub(crate) fn start_thread() -> Watch {
        Watch::of(ClockId::ThreadCPUTime)
    }

    #[expect(clippy::disallowed_methods, reason = "a bench measures")]
    fn of(clock: ClockId) -> Watch {
        Watch { processor: processor(clock), wall: Instant::now(), clock }
    }

    /// What was spent since the start.
    pub(crate) fn read(self) -> Spent {
        let wall = self.wall.elapsed();
        Spent { wall, processor: processor(self.clock).saturating_sub(self.processor) }
    }
}

/// The time that processors have spent.
fn processor(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Many measurements of the same kind of work.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample {
    walls: Vec<Duration>,
    total: Spent,
}

impl Sample {
    /// Takes a measurement in.
    pub(crate) fn push(&mut self, spent: Spent) {
        self.walls.push(spent.wall);
        self.total += spent;
    }

    /// The milliseconds on the wall that `permille` of the measurements stay below.
    pub(crate) fn wall_ms(&self, permille: usize) -> f64 {
        let mut walls = self.walls.clone();
        walls.sort_unstable();
        let place = (walls.len() * permille / 1000).min(walls.len().saturating_sub(1));
        1e3 * walls.get(place).map_or(f64::NAN, Duration::as_secs_f64)
    }

    /// The milliseconds of processor time of one measurement on average.
    pub(crate) fn processor_ms(&self) -> f64 {
        1e3 * self.total.processor.as_secs_f64() / self.walls.len() as f64
    }
}

/// The bytes of memory that this process holds.
pub(crate) fn resident() -> usize {
    let pages = read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = pages.split(' ').nth(1).and_then(|text| text.parse().ok()).unwrap_or(0);
    rustix::param::page_size() * pages
}

/// How many processes were ready to run, over the last 1, 5 and 15 minutes.
pub(crate) fn load() -> String {
    let text = read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

/// The processor's model, and how many there are.
pub(crate) fn machine() -> String {
    let text = read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown");
    let n = std::thread::available_parallelism().map_or(1, |n| n.get());
    format!("{n} × {}", model.trim_start_matches([' ', '\t', ':']))
}

/// The compiler's version.
pub(crate) fn rustc() -> String {
    let output = Command::new("rustc").arg("--version").output();
    output.map_or_else(
        |_| "unknown".into(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_string(),
    )
}
