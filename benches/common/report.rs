//! Report: how are figures named, passed on and compared?
#![expect(
    clippy::float_arithmetic,
    clippy::as_conversions,
    reason = "figures of a measurement are read, never joined"
)]

use std::fmt::Write;

use super::measure::{Sample, Spent, load, machine, rustc};

/// The name of the figure that tells whether results agree.
const DIGEST: &str = "digest of results";

/// Named figures of one subject, in the order in which they were taken.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures(Vec<(String, f64)>);

impl Figures {
    fn push(&mut self, name: &str, value: f64) {
        self.0.push((name.to_string(), value));
    }

    /// A bulk load.
    pub(crate) fn bulk(&mut self, spent: Spent, events: u64) {
        self.spent("bulk load", spent);
        self.push("bulk load, events per processor second", rate(events, spent));
    }

    /// Something done once.
    pub(crate) fn spent(&mut self, name: &str, spent: Spent) {
        self.push(&format!("{name}, processor ms"), 1e3 * spent.processor.as_secs_f64());
        self.push(&format!("{name}, wall ms"), 1e3 * spent.wall.as_secs_f64());
    }

    /// Something done often.
    pub(crate) fn sample(&mut self, name: &str, sample: &Sample) {
        self.push(&format!("{name}, wall ms, p50"), sample.wall_ms(500));
        self.push(&format!("{name}, wall ms, p99"), sample.wall_ms(990));
        self.push(&format!("{name}, processor ms, mean"), sample.processor_ms());
    }

    /// Memory held after a load of `events`.
    pub(crate) fn memory(&mut self, bytes: usize, events: u64) {
        let bytes = bytes as f64;
        self.push("memory, MB", bytes / 1e6);
        self.push("memory, bytes per event", bytes / events as f64);
    }

    /// How many of something there were.
    pub(crate) fn count(&mut self, name: &str, n: usize) {
        self.push(name, n as f64);
    }

    /// What was read, in one number.
    pub(crate) fn digest(&mut self, digest: u64) {
        // As many bits as a figure holds exactly.
        self.push(DIGEST, (digest >> 12) as f64);
    }

    /// Reads what [`Figures`] displayed.
    pub(crate) fn parse(text: &str) -> Figures {
        let figures = text.lines().filter_map(|line| line.split_once('\t'));
        let figure = |(name, value): (&str, &str)| Some((name.to_string(), value.parse().ok()?));
        Figures(figures.filter_map(figure).collect())
    }

    fn get(&self, name: &str) -> f64 {
        self.0.iter().find(|(other, _)| other == name).map_or(f64::NAN, |(_, value)| *value)
    }
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|(name, value)| writeln!(f, "{name}\t{value}"))
    }
}

/// Events per second of processor time.
fn rate(events: u64, spent: Spent) -> f64 {
    events as f64 / spent.processor.as_secs_f64()
}

/// A table of all subjects' figures, with the ratio of each to the first, in Markdown.
///
/// Of `further`, which are the second with a further view, it says what that adds.
pub(crate) fn report(
    columns: &[(&str, Figures)],
    further: &[(&str, Figures)],
    settings: &[(&str, u64)],
) -> String {
    let mut text = String::from("# Benchmark\n\n");
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "- {name}: {value}");
    };
    line("date", jiff::ZonedDateTime::now().strftime("%Y-%m-%d %H:%M %Z").to_string());
    line("versions", format!("affluent {}, {}", env!("CARGO_PKG_VERSION"), rustc()));
    line("machine", machine());
    line("load at the end", load());
    settings.iter().for_each(|(name, value)| line(name, value.to_string()));
    let Some(((first, plain), others)) = columns.split_first() else { return text };
    for (name, figures) in others.iter().filter(|(_, figures)| !figures.get(DIGEST).is_nan()) {
        let same = plain.get(DIGEST) == figures.get(DIGEST);
        line(&format!("{name} agrees with {first}"), if same { "yes" } else { "NO" }.into());
    }
    let _ = write!(text, "\n| | {first} |");
    for (name, _) in others {
        let _ = write!(text, " {name} | {name} ÷ {first} |");
    }
    let _ = writeln!(text, "\n|---|---:|{}", "---:|---:|".repeat(others.len()));
    for (name, value) in plain.0.iter().filter(|(name, _)| name != DIGEST) {
        let _ = write!(text, "| {name} | {} |", number(*value));
        for (_, figures) in others {
            let other = figures.get(name);
            let _ = write!(text, " {} | {} |", number(other), number(other / value));
        }
        text.push('\n');
    }
    if let Some((_, four)) = others.first() {
        add_further(&mut text, four, further);
    }
    text
}

/// A table of what further views add to the four.
fn add_further(text: &mut String, four: &Figures, further: &[(&str, Figures)]) {
    if further.is_empty() {
        return;
    }
    text.push_str(
        "\n| | bulk load, processor ms | more than the four | bytes per event | more |\n",
    );
    text.push_str("|---|---:|---:|---:|---:|\n");
    for (name, figures) in further {
        let _ = write!(text, "| {name} |");
        for figure in ["bulk load, processor ms", "memory, bytes per event"] {
            let (value, before) = (figures.get(figure), four.get(figure));
            let _ = write!(text, " {} | {} |", number(value), number(value - before));
        }
        text.push('\n');
    }
}

/// A number with as many places as tell something.
fn number(value: f64) -> String {
    let places = match value.abs() {
        0.0 => 0,
        size if size < 0.1 => 5,
        size if size < 10.0 => 3,
        size if size < 100.0 => 1,
        _ => 0,
    };
    format!("{value:.places$}")
}
